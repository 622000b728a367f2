"""Networks that learn: handwritten digits with an MLP and a CNN, a line, and XOR."""

from __future__ import annotations

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.nn import functional as F


@pytest.fixture(scope="module")
def digits():
    from sklearn import datasets

    data = datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x = (data.images[order] / 8 - 1).astype(np.float32)[:, None]
    y = data.target[order]
    return x[:1400], y[:1400], x[1400:], y[1400:]


def fit(model, digits, epochs, lr, batch=64):
    x, y, x_test, y_test = digits
    optimizer = optim.AdamW(model.parameters(), lr=lr)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    rng = np.random.default_rng(1)
    model.train()
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            optimizer.zero_grad()
            loss = F.cross_entropy(model(tfl.asarray(x[rows])), tfl.asarray(y[rows]))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        schedule.step()
    model.eval()
    with tfl.no_grad():
        guesses = model(tfl.asarray(x_test)).numpy().argmax(1)
    return (guesses == y_test).mean()


def test_an_mlp_learns_digits(digits):
    tfl.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    assert fit(model, digits, epochs=15, lr=5e-3) > 0.95


def test_a_cnn_learns_digits(digits):
    tfl.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, activation="relu"), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 10),
    )  # fmt: skip
    assert fit(model, digits, epochs=6, lr=5e-3) > 0.95


def test_a_line_is_found():
    x = np.linspace(-1, 1, 50).reshape(-1, 1)
    model = nn.Linear(1, 1).double()
    optimizer = optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    for _ in range(500):
        optimizer.zero_grad()
        F.mse_loss(model(tfl.asarray(x)), tfl.asarray(3 * x - 0.5)).backward()
        optimizer.step()
    assert model.weight.item() == pytest.approx(3, abs=1e-6)
    assert model.bias.item() == pytest.approx(-0.5, abs=1e-6)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.Softplus])
def test_xor(activation):
    tfl.manual_seed(2)
    model = nn.Sequential(nn.Linear(2, 16), activation(), nn.LayerNorm(16), nn.Linear(16, 1))
    x = tfl.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = tfl.tensor([[0.0], [1.0], [1.0], [0.0]])
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_an_embedding_learns():
    tfl.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7))
    x = tfl.arange(7)
    optimizer = optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), x).backward()
        optimizer.step()
    with tfl.no_grad():
        assert model(x).numpy().argmax(1).tolist() == list(range(7))
