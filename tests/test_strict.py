"""`debug.strict`: each rule fires on a mistake, leaves its good twin alone, and can be silenced."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.debug import StrictWarning, strict
from tensorflowlite.debug.rules import registry
from tensorflowlite.errors import OutOfRangeError, ShapeError
from tensorflowlite.nn import functional as F

HERE = Path(__file__).name
STEPS = 3


@pytest.fixture(autouse=True)
def seeded() -> None:
    tfl.manual_seed(0)


def batch(size: int = 6, device: str = "cpu") -> tuple[tfl.Tensor, tfl.Tensor]:
    x = tfl.randn(size, 4, device=device)
    return x, tfl.asarray(np.arange(size) % 3, device=device)


def train(
    model: Any,
    loss: Callable[..., Any] = F.cross_entropy,
    steps: int = STEPS,
    optimizer: Any = None,
    x: Any = None,
    y: Any = None,
) -> None:
    """A loop as it should be."""
    given = batch()
    x, y = given[0] if x is None else x, given[1] if y is None else y
    optimizer = optimizer or optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()


def network(*last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3), *last)


# -- the table: what a rule must find, and a twin that is as it should be --------------------------
def softmax_in_the_model() -> None:
    train(network(nn.Softmax(1)))


def softmax_at_prediction() -> None:
    model = network()
    train(model)
    train(network(nn.LogSoftmax(1)), F.nll_loss)
    assert model(batch()[0]).softmax(1).shape == (6, 3)


def labels_from_one() -> None:
    x, y = batch()
    with pytest.raises(OutOfRangeError):
        F.cross_entropy(network()(x), y + 1)


def labels_with_some_ignored() -> None:
    x, y = batch()
    F.cross_entropy(network()(x), tfl.where(y == 2, -100, y))
    F.binary_cross_entropy_with_logits(x, x > 0)


def zeroed_before_the_step() -> None:
    model = network()
    optimizer = optim.Adam(model.parameters())
    x, y = batch()
    F.cross_entropy(model(x), y).backward()
    optimizer.zero_grad()
    optimizer.step()


def one_step_per_backward() -> None:
    model = network()
    train(model, optimizer=optim.Adam(model.parameters()))
    # Gradients by other ways are new ones as well: those of `grad`, and written in place.
    p = tfl.ones(2, requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1)
    for _ in range(2):
        p.grad = tfl.ones(2)
        optimizer.step()
    p.grad *= 2
    optimizer.step()


def two_steps_per_backward() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x, y = batch()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    optimizer.step()


def a_layer_left_out() -> None:
    model = network()
    train(model, optimizer=optim.SGD(model[0].parameters(), lr=0.1))


def a_layer_frozen() -> None:
    model = network()
    model[2].requires_grad_(False)
    train(model, optimizer=optim.SGD(model[0].parameters(), lr=0.1))
    both = network()
    first = optim.SGD(both[0].parameters(), lr=0.1)
    second = optim.Adam(both[2].parameters())
    x, y = batch()
    for optimizer in (first, first, second):
        both.zero_grad()
        F.cross_entropy(both(x), y).backward()
        optimizer.step()


class Branches(nn.Module):
    def __init__(self, both: bool) -> None:
        super().__init__()
        self.first, self.second, self.both = nn.Linear(4, 3), nn.Linear(4, 3), both

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return self.first(x) + self.second(x) if self.both else self.first(x)


class Masked(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.first, self.second, self.factor = nn.Linear(4, 3), nn.Linear(4, 3), factor

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return self.first(x) + self.second(x) * self.factor


def evaluated_before() -> None:
    model = network(nn.Dropout(0.5))
    model.eval()
    train(model)


def trained_again() -> None:
    model = network(nn.Dropout(0.5))
    model.eval()
    with tfl.no_grad():
        model(batch()[0])
    (x := batch()[0]).requires_grad_()
    model(x).sum().backward()  # a saliency map: nothing is trained
    model.train()
    train(model)
    frozen = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4).eval(), nn.Linear(4, 3))
    train(frozen)  # the layer alone: that is meant


def a_batch_of_one() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    model(tfl.randn(1, 1, 6, 6))
    with pytest.raises(ShapeError):
        nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))(tfl.ones((1, 2)))


def a_batch_of_two() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    model(tfl.randn(2, 1, 6, 6))
    model.eval()(tfl.randn(1, 1, 6, 6))


def numpy_features() -> None:
    train(network(), x=tfl.asarray(np.random.default_rng(0).normal(size=(6, 4))))


def cast_features() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4))
    train(network(), x=tfl.asarray(x.astype(np.float32)))
    train(network().double(), x=tfl.asarray(x))
    train(network(), lambda output, y: F.cross_entropy(output.double(), y))


def below_zero(bias: float) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(model[0].bias, bias)
    # Of another layer's the zeros don't count, nor those of a loss.
    train(model, lambda output, y: F.cross_entropy(output, y) + F.relu(output - 1e3).sum())


def diverging() -> None:
    model = nn.Linear(4, 1)
    train(model, lambda output, y: output.square().sum(), 7, optim.SGD(model.parameters(), lr=2.0))


def converging() -> None:
    model = nn.Linear(4, 1)
    train(model, lambda output, y: output.square().sum(), 12)


def deep(activation: Callable[[], nn.Module]) -> None:
    layers = [layer for _ in range(14) for layer in (nn.Linear(4, 4), activation())]
    model = nn.Sequential(*layers, nn.Linear(4, 3))
    for p in model.parameters():
        if p.ndim > 1:
            nn.init.orthogonal_(p)
    train(model)


def go_through(loader: Any, epochs: int = 1) -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    for _ in range(epochs):
        for x, y in loader:
            train(model, steps=1, optimizer=optimizer, x=x, y=y)


def data(in_order: bool = False) -> TensorDataset:
    labels = np.array([2, 0, 1, 0, 2, 1, 0, 1])
    features = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    return TensorDataset(features, np.sort(labels) if in_order else labels)


def in_the_order_of_classes() -> None:
    go_through(DataLoader(data(in_order=True), batch_size=2))


def shuffled() -> None:
    go_through(DataLoader(data(in_order=True), batch_size=2, shuffle=True), epochs=2)
    go_through(DataLoader(data(), batch_size=2), epochs=1)
    go_through(DataLoader(data(in_order=True), batch_size=8), epochs=3)  # one batch is all
    loader = DataLoader(data(in_order=True), batch_size=2)
    for _ in range(3):
        assert sum(len(y) for _, y in loader) == 8  # without training on it


class Row(NamedTuple):
    bad: Callable[[], Any]
    good: Callable[[], Any]
    says: str


ROWS = {
    "TFL101": Row(
        softmax_in_the_model, softmax_at_prediction,
        "cross_entropy applies softmax itself, got the output of softmax; give it the logits",
    ),
    "TFL102": Row(
        labels_from_one, labels_with_some_ignored,
        "cross_entropy takes labels from 0 to 2, got some from 1 to 3; count the classes from 0",
    ),
    "TFL201": Row(
        zeroed_before_the_step, one_step_per_backward,
        "Adam.step() was called, got no gradient for any of its 4 parameters; call backward()",
    ),
    "TFL202": Row(
        two_steps_per_backward, one_step_per_backward,
        "SGD.step() was called again, got the gradients that it has used already; call backward()",
    ),
    "TFL203": Row(
        a_layer_left_out, a_layer_frozen,
        "backward() gives parameter '2.weight' a gradient, got no optimizer that holds it; add",
    ),
    "TFL204": Row(
        lambda: train(Branches(False)), lambda: train(Branches(True)),
        "SGD holds parameter 'second.weight', got no gradient for it in 2 steps; use it",
    ),
    "TFL205": Row(
        lambda: train(Masked(0.0)), lambda: train(Masked(0.5)),
        "the gradient of parameter 'second.weight' was zero in all of 3 steps; look",
    ),
    "TFL301": Row(
        evaluated_before, trained_again,
        "Sequential is trained in evaluation mode, got Dropout '3' switched off by it; call train",
    ),
    "TFL302": Row(
        a_batch_of_one, a_batch_of_two,
        "BatchNorm2d takes its statistics of the batch, got one sample: an input (1, 2, 4, 4); use",
    ),
    "TFL303": Row(
        numpy_features, cast_features,
        "linear gives float64 of float64 and float32 and float32: from here on all is computed in",
    ),
    "TFL304": Row(
        lambda: below_zero(-100.0), lambda: below_zero(0.0),
        "relu gave nothing but zeros in 3 calls in a row; lower the learning rate",
    ),
    "TFL401": Row(
        diverging, converging,
        "the greatest gradient, of parameter 'weight', is ",
    ),
    "TFL402": Row(
        lambda: deep(nn.Sigmoid), lambda: deep(nn.Identity),
        "the gradient of '0.weight' is ",
    ),
    "TFL501": Row(
        in_the_order_of_classes, shuffled,
        "training goes through a DataLoader with shuffle=False, got labels in the order of the",
    ),
}  # fmt: skip
# What else is wrong with a bad example, rightly told of by another rule.
ALSO = {"TFL304": {"TFL204", "TFL205"}}


def test_every_rule_has_its_row() -> None:
    assert list(ROWS) == sorted(registry)
    assert all(rule.id == key and rule.name and rule.mend for key, rule in registry.items())


@pytest.mark.parametrize("key", ROWS)
def test_fires(key: str) -> None:
    with pytest.warns(StrictWarning) as told, strict(steps=STEPS) as report:
        ROWS[key].bad()
    assert len(report) == len(report.findings)
    ours = [str(one.message) for one in told if one.category is StrictWarning]
    assert ours == [str(one) for one in report.findings] == str(report).split("\n")
    mine = [one for one in report.findings if one.rule == key]
    assert mine and mine[0].sentence.startswith(ROWS[key].says)
    assert mine[0].name == registry[key].name and str(mine[0]).startswith(f"{key} {mine[0].name}: ")
    assert Path(mine[0].file).name == HERE and mine[0].line > 0
    assert {one.rule for one in report.findings} <= {key} | ALSO.get(key, set())


@pytest.mark.parametrize("key", ROWS)
def test_stays_quiet_on_the_twin(key: str) -> None:
    with strict(steps=STEPS, error=True) as report:
        ROWS[key].good()
    assert str(report) == "nothing was found"


@pytest.mark.parametrize("key", ROWS)
def test_is_silenced_by_id_and_by_name(key: str) -> None:
    for word in (key, registry[key].name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StrictWarning)
            with strict(silence=(word,), steps=STEPS) as report:
                ROWS[key].bad()
        assert not [one for one in report.findings if one.rule == key]

