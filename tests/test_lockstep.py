"""`debug.lockstep`: two devices side by side, up to the first operation that disagrees."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.backend import by_array_type
from tensorflowlite.core.primitive import look_up_again, registry, watch
from tensorflowlite.debug import lockstep
from tensorflowlite.debug.side_by_side import compare_runs
from tensorflowlite.errors import ArgumentError, StateError
from tensorflowlite.nn import functional as F

from . import backends

HERE = Path(__file__).name
SIDES = ("cpu", backends.all_backends()[-1].device)


@pytest.fixture(autouse=True)
def seeded() -> None:
    tfl.manual_seed(0)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2),
        nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3),
    )  # fmt: skip


def step(model: Any, x: tfl.Tensor, y: tfl.Tensor) -> None:
    F.cross_entropy(model(x), y).backward()


def batch() -> tuple[tfl.Tensor, tfl.Tensor]:
    return tfl.randn(5, 1, 8, 8), tfl.tensor([0, 1, 2, 1, 0])


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Lets a slot of the second side give something else."""
    backend = by_array_type[backends.all_backends()[-1].array_type]

    def spoil(slot: str, change: Callable[[Any], Any]) -> None:
        before = getattr(backend, slot)
        monkeypatch.setattr(backend, slot, lambda *args: change(before(*args)))
        look_up_again()

    yield spoil
    monkeypatch.undo()
    look_up_again()


def test_a_whole_step_agrees() -> None:
    model, state = network(), tfl.random.get_state()
    before = {name: value.tolist() for name, value in model.state_dict().items()}
    rules = [(op, op.raw, op.defers) for op in registry.values()]
    assert lockstep(step, (model, *batch()), SIDES) is None
    assert lockstep(model, batch()[:1], SIDES) is None
    assert all(op.raw is raw and op.defers is defers for op, raw, defers in rules)
    assert watch.wrap is None
    after = {name: value.tolist() for name, value in model.state_dict().items()}
    assert after == before and all(p.grad is None for p in model.parameters())
    assert tfl.random.get_state()[0] == state[0]


def test_the_first_operation_that_disagrees(broken: Callable[..., None]) -> None:
    broken("tanh", lambda out: out * 1.01)
    found = lockstep(step, (network(), *batch()), SIDES)
    assert found is not None and found.operation == "tanh" and found.first.shape == (5, 8)
    # The sides' products round otherwise, by parts of the terms and not of a sum near zero.
    np.testing.assert_allclose(found.second, found.first * 1.01, rtol=1e-5, atol=5e-7)
    assert found.difference == pytest.approx(0.01, rel=0.05)
    line = step.__code__.co_firstlineno + 1
    assert f"{HERE}:{line}, in step" in found.place and found.place.startswith("module '7'; ")
    assert str(found).startswith(f"lockstep: operation {found.number}, tanh: the results differ")


def test_the_first_gradient_that_disagrees(broken: Callable[..., None]) -> None:
    broken("convolution_weight_gradient", lambda out: out + 1e-2)
    found = lockstep(step, (network(), *batch()), SIDES)
    assert found is not None and found.operation == "gradient of convolution"
    assert found.place.startswith("module '0'; ") and found.first.shape == (4, 1, 3, 3)


def test_shapes_and_integers_and_nan(broken: Callable[..., None]) -> None:
    x = tfl.tensor([3.0, 1.0, 2.0])
    bad = tfl.tensor([1.0, np.nan, np.inf])
    assert lockstep(lambda x: tfl.exp(x) * 2, (bad,), SIDES) is None
    broken("argmax", lambda out: out + 1)
    found = lockstep(lambda x: tfl.argmax(x), (x,), SIDES)
    assert found is not None and "1 of 1 elements differ" in found.what
    broken("exp", lambda out: out[:2])
    found = lockstep(tfl.exp, (x,), SIDES)
    assert found is not None and found.what == "the shapes must be the same, got (3,) and (2,)"
    broken("sin", lambda out: out * np.nan)
    found = lockstep(tfl.sin, (x,), SIDES)
    assert found is not None and found.difference == np.inf


def test_other_ways_to_go() -> None:
    x = tfl.ones(3)

    def branching(x: tfl.Tensor) -> tfl.Tensor:
        x = x + 1
        return (x * 2) if x.device == "cpu" else x - 2

    def longer(x: tfl.Tensor) -> None:
        for _ in range(2 if x.device == "cpu" else 3):
            x = x + 1

    found = lockstep(branching, x, SIDES)
    assert found is not None and (found.number, found.operation) == (1, "multiply")
    assert found.what == "the sides must do the same, got subtract on the second"
    for sides, told in ((SIDES, "the first side has ended"), (SIDES[::-1], "the second side has")):
        found = lockstep(longer, (x,), sides)
        assert found is not None and found.number == 2 and found.what.startswith(told)


def test_two_dtypes() -> None:
    """What cancels out to roundings, such as the gradient of a bias before batch norm, agrees."""
    model = network()
    wide = copy.deepcopy(model).double()
    x, y = batch()
    state = tfl.random.get_state()

    def side(model: Any, x: tfl.Tensor) -> Callable[[], None]:
        def run() -> None:
            tfl.random.set_state(state)
            step(model, x, y)

        return run

    assert compare_runs(side(model, x), side(wide, x.double())) is None
    wide[6].weight.set_(wide[6].weight.detach() * 1.1)
    found = compare_runs(side(model, x), side(wide, x.double()))
    assert found is not None and found.operation == "linear"


def test_what_is_refused() -> None:
    with pytest.raises(ArgumentError, match="function must be callable, got Tensor"):
        lockstep(tfl.ones(2), tfl.exp)  # type: ignore[arg-type]
    for devices in ("cpu", ("cpu",)):
        with pytest.raises(ArgumentError, match="lockstep: devices must be two"):
            lockstep(tfl.exp, tfl.ones(2), devices)
    with pytest.raises(StateError, match="inside vmap or jit"):
        tfl.vmap(lambda x: lockstep(tfl.exp, x, SIDES))(tfl.ones((2, 2)))
    with pytest.raises(ZeroDivisionError):
        lockstep(lambda x: 1 // 0, tfl.ones(2), SIDES)
    assert watch.wrap is None
