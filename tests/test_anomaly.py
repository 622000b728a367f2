"""The first operation that gives NaN or infinity: what is found, what is said, what is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.autograd import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from tensorflowlite.core.primitive import registry
from tensorflowlite.errors import NumericalError

INFINITY = float("inf")
HERE = Path(__file__).name


def leaf() -> tfl.Tensor:
    return tfl.tensor([1.0, 0.0, 4.0], requires_grad=True)


def message(run: Callable[[], Any]) -> str:
    with pytest.raises(NumericalError) as error, detect_anomaly():
        run()
    return str(error.value)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with np.errstate(all="ignore"):
        yield


def test_an_operation() -> None:
    text = message(lambda: tfl.log(leaf()))
    start = (
        "log: the result must be finite, got 1 infinite in float32 (3,) of x float32 (3,) in "
        "[0, 4]; called in "
    )
    assert text.startswith(start)
    assert f"{HERE}:" in text
    assert text.endswith('text = message(lambda: tfl.log(leaf()))')  # the line above


@pytest.mark.parametrize(
    ("run", "start"),
    [
        (lambda x: x / x, "divide: the result must be finite, got 1 NaN in float32 (3,) of x"),
        (lambda x: x * 1e38 * 1e10, "multiply: the result must be finite, got 1 infinite in"),
        (lambda x: (x - INFINITY) * 0.0, "multiply: the result must be finite, got 3 NaN in"),
        (lambda x: (x - 2) ** 0.5, "power: the result must be finite, got 2 NaN in float32 (3,)"),
        (lambda x: (x * 0).mean() / 0, "divide: the result must be finite, got 1 NaN in"),
        (lambda x: tfl.logsumexp(x[:0]), "logsumexp: the result must be finite, got 1 infinite"),
        (lambda x: x.detach().div_(tfl.zeros(3)), "divide: the result must be finite, got 1 NaN"),
        (lambda x: tfl.einsum("i,i->", x * 1e30, x * 1e30), "sum: the result must be finite"),
    ],
    ids=range(8),
)  # fmt: skip
def test_operations(run: Callable[[tfl.Tensor], Any], start: str) -> None:
    text = message(lambda: run(leaf()))
    if start.startswith("sum"):  # whatever einsum is made of
        assert ": the result must be finite, got 1 infinite in float32 ()" in text
    else:
        assert text.startswith(start), text


def test_a_gradient() -> None:
    with pytest.raises(NumericalError) as error, detect_anomaly():
        y = tfl.sqrt(leaf())
        z = y * 2
        z.sum().backward()
    assert str(error.value).startswith(
        "sqrt: the gradient must be finite, got 1 infinite in float32 (3,) of the incoming "
        "gradient float32 (3,) in [2, 2], with out float32 (3,) in [0, 2]; called in "
    )
    assert str(error.value).endswith("in test_a_gradient: y = tfl.sqrt(leaf())")


def test_a_gradient_of_what_was_called_before() -> None:
    y = tfl.sqrt(leaf())
    assert message(lambda: y.sum().backward()).endswith("called before detect_anomaly was on")


class Broken(nn.Module):
    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return tfl.sqrt(tfl.relu(x) * 0)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), Broken()])

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_the_module_is_named() -> None:
    model = Network()
    text = message(lambda: model(leaf()).sum().backward())
    assert text.startswith("sqrt: the gradient must be finite, got 3 infinite")
    assert "; module 'layers.1'; called in " in text
    assert text.endswith("in forward: return tfl.sqrt(tfl.relu(x) * 0)")
    model.layers[1].forward = lambda x: tfl.log(x * 0)  # type: ignore[method-assign]
    text = message(lambda: model(leaf()))
    assert text.startswith("log: the result must be finite, got 3 infinite")
    assert text.endswith("; module 'layers.1'")


def test_a_custom_function() -> None:
    class Bad(tfl.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tfl.Tensor) -> tfl.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: tfl.Tensor) -> tfl.Tensor:
            return tfl.full((3,), INFINITY)

    text = message(lambda: Bad.apply(leaf()).sum().backward())
    assert text.startswith("Bad: the gradient must be finite, got 3 infinite in float32 (3,) of")


@pytest.mark.parametrize(
    "run",
    [
        lambda x: tfl.softmax(tfl.masked_fill(x, x < 1, -INFINITY), 0).sum().backward(),
        lambda x: tfl.where(x < 1, tfl.full((3,), -INFINITY), x) + 1,
        lambda x: tfl.tensor([1.0, float("nan")]) * 2,
        lambda x: tfl.full((2,), INFINITY).max(),
        lambda x: (x**2).sum().backward(),
        lambda x: tfl.arange(3) // 1,
    ],
    ids=range(6),
)
def test_what_is_meant_or_was_so_before_is_left_alone(run: Callable[[tfl.Tensor], Any]) -> None:
    with detect_anomaly():
        run(leaf())


def test_under_transforms() -> None:
    text = message(lambda: tfl.grad(tfl.grad(lambda x: x**1.5))(0.0))
    assert text.startswith("power: the gradient must be finite, got 1 infinite in float32 ()")
    assert f"{HERE}:" in text
    text = message(lambda: tfl.vmap(lambda x: tfl.log(x))(leaf()))
    assert text.startswith("log: the result must be finite, got 1 infinite")
    text = message(lambda: tfl.checkpoint(lambda x: tfl.sqrt(x), leaf()).sum().backward())
    assert text.startswith("sqrt: the gradient must be finite, got 1 infinite")


def test_it_leaves_nothing_behind() -> None:
    log, x = registry["log"], leaf()
    before = dict(log.implementations), log.raw, log.run_traced, log.defers
    tfl.relu(nn.Linear(3, 3)(x)).sum().backward()
    with detect_anomaly():
        assert is_anomaly_enabled()
        assert log.raw is not before[1]
        with detect_anomaly():
            pass
        assert is_anomaly_enabled()
    assert not is_anomaly_enabled()
    assert (dict(log.implementations), log.raw, log.run_traced, log.defers) == before
    assert not np.isfinite(tfl.log(x).detach().numpy()).all()


def test_turning_it_on_and_off() -> None:
    set_detect_anomaly(True)
    try:
        assert is_anomaly_enabled()
        with set_detect_anomaly(False):
            assert not is_anomaly_enabled()
        assert is_anomaly_enabled()
    finally:
        set_detect_anomaly(False)
    assert not is_anomaly_enabled()


def test_on_every_device(backend: Any) -> None:
    x = tfl.tensor([1.0, 0.0], device=backend.device, requires_grad=True)
    text = message(lambda: tfl.log(x))
    assert text.startswith("log: the result must be finite, got 1 infinite in float32 (2,) of x")
    text = message(lambda: tfl.sqrt(x).sum().backward())
    assert text.startswith("sqrt: the gradient must be finite, got 1 infinite in float32 (2,)")
