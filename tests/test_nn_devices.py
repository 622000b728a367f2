"""Networks and optimizers on another device: they move there, train there, and come back."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.errors import DeviceError
from tensorflowlite.nn import functional as F

from .backends import TestBackend, all_backends

BACKENDS = [pytest.param(b, id=b.name) for b in all_backends()]


def network():
    tfl.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 6, activation="gelu"), nn.Linear(6, 4),
    )  # fmt: skip


def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 1, 4, 4)).astype(np.float32), rng.integers(0, 4, 8)


def trained(model, optimizer, x, y, steps=3):
    schedule = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        (loss + 0.01 * nn.utils.l1_penalty(model.parameters())).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()


OPTIMIZERS = [
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adam, {"lr": 0.01, "amsgrad": True, "weight_decay": 0.01}),
    (optim.AdamW, {"lr": 0.01}),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS, ids=["SGD", "Adam", "AdamW"])
def test_the_same_training_on_every_device(backend: TestBackend, kind, options):
    here, there = network(), network()
    assert there.to(backend.device) is there
    assert all(p.device == backend.device for p in there.parameters())
    x, y = batch()
    one, two = kind(here.parameters(), **options), kind(there.parameters(), **options)
    trained(here, one, tfl.tensor(x), tfl.tensor(y))
    trained(there, two, backend.tensor(x), backend.tensor(y))
    for name, value in there.state_dict().items():
        assert type(value.array) is backend.array_type, name
        np.testing.assert_allclose(
            backend.host(value), here.state_dict()[name].numpy(), 2e-4, 2e-5, err_msg=name
        )
    state = two.state_dict()["state"]
    assert all(type(t.array) is backend.array_type for one in state.values() for t in one.values())
    back = copy.deepcopy(there).cpu()
    assert {p.device for p in back.parameters()} == {"cpu"}
    back.load_state_dict(there.state_dict())
    there.load_state_dict(here.state_dict())
    assert all(type(p.array) is backend.array_type for p in there.parameters())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_moved_after_the_optimizer_was_made(backend: TestBackend):
    here, there = network(), network()
    x, y = batch()
    one = optim.AdamW(here.parameters(), lr=0.01)
    two = optim.AdamW(there.parameters(), lr=0.01)
    trained(here, one, tfl.tensor(x), tfl.tensor(y), 2)
    trained(there, two, tfl.tensor(x), tfl.tensor(y), 2)
    there.to(backend.device)
    assert all(type(p.grad.array) is backend.array_type for p in there.parameters())
    two.param_groups[0]["lr"] = one.param_groups[0]["lr"] = 0.02
    trained(here, one, tfl.tensor(x), tfl.tensor(y), 1)
    trained(there, two, backend.tensor(x), backend.tensor(y), 1)
    for p, q in zip(there.parameters(), here.parameters(), strict=True):
        np.testing.assert_allclose(backend.host(p), q.detach().numpy(), 2e-4, 2e-5)
        assert two.state[p]["step"].item() == 3


def test_mixed_devices():
    other = next(b for b in all_backends() if not b.on_host)
    model = nn.Sequential(nn.Linear(2, 2)).to(other.device)
    x, image, labels = tfl.ones((1, 2)), tfl.ones((1, 1, 2, 2)), tfl.tensor([0])
    for name, call in (
        ("linear", lambda: model(x)),
        ("convolution", lambda: F.conv2d(image.to(other.device), image)),
        ("cross_entropy", lambda: F.cross_entropy(x.to(other.device), labels)),
        ("layer_norm", lambda: F.layer_norm(x, 2, tfl.ones(2).to(other.device))),
        ("clip", lambda: tfl.clip(x, x.to(other.device), None)),
    ):
        with pytest.raises(DeviceError, match=f"^{name}: the tensors must be on one device, .*cpu"):
            call()
    with pytest.raises(DeviceError, match="SGD: the parameters of a group must be on one device"):
        optim.SGD([*model.parameters(), nn.Parameter(tfl.ones(1))])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64])
def test_labels_and_indices_of_any_integers(backend: TestBackend, dtype):
    """More classes and rows than a small dtype counts."""
    numbers = np.array([100, 3, 7])
    given = backend.tensor(numbers.astype(dtype))
    x = backend.leaf(np.zeros((3, 300), np.float32))
    for loss in (F.cross_entropy(x, given), F.nll_loss(F.log_softmax(x, 1), given)):
        x.grad = None
        loss.backward()
        np.testing.assert_allclose(float(loss), np.log(300), rtol=1e-6)
        np.testing.assert_array_equal(backend.host(x.grad).argmin(1), numbers)
    table = backend.leaf(np.arange(600, dtype=np.float32).reshape(300, 2))
    rows = F.embedding(given, table)
    rows.sum().backward()
    np.testing.assert_array_equal(backend.host(rows.detach())[:, 0], 2 * numbers)
    np.testing.assert_array_equal(np.flatnonzero(backend.host(table.grad)[:, 0]), [3, 7, 100])
