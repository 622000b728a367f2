"""The pages for those who come from JAX, Chainer, autograd or NumPy: what they say of us holds.

What they say of the others isn't run; `tests/test_docs.py` looks up the names of the tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import (
    ArgumentError,
    CaptureError,
    DtypeError,
    GradientError,
    OutOfRangeError,
    ShapeError,
    UnsupportedArgumentError,
)
from tensorflowlite.nn import functional as F

DOCS = Path(__file__).resolve().parents[1] / "docs"


def rows(page: str) -> list[str]:
    """The first cells of a page's table of differences."""
    text = (
        (DOCS / f"coming-from-{page}.md")
        .read_text("utf-8")
        .split("\n## Differences that bite\n")[1]
    )
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ")[0] for line in lines[1:]]


def raises(kind: type[Exception], call: Callable[[], Any], match: str | None = None) -> bool:
    with pytest.raises(kind, match=match):
        call()
    return True


def assign(x: Any) -> Any:
    y = x.clone()
    y[0] = 3 * x[1]
    return y.sum()


def changed(x: Any, value: float = 5.0) -> tfl.Tensor:
    x[0] = value
    return x


def branching(x: tfl.Tensor) -> tfl.Tensor:
    return x if x.sum() > 0 else -x


def branch_raises_when_recorded() -> bool:
    step = tfl.jit(branching)
    step(tfl.ones(2))
    return raises(CaptureError, lambda: step(tfl.ones(2)))


def side_effects_happen_three_times() -> bool:
    seen = []

    def noted(x: tfl.Tensor) -> tfl.Tensor:
        seen.append(1)
        return x + 1

    step = tfl.jit(noted)
    for _ in range(6):
        step(tfl.ones(2))
    return len(seen) == 3


def another_shape_is_recorded() -> bool:
    step = tfl.jit(tfl.tanh)
    for size in (2, 3):
        for _ in range(3):
            step(tfl.ones(size))
    return step.cache_info().programs == 2


def complex_slope() -> bool:
    """Of |z|² the slope is 2z, not its conjugate."""
    z = tfl.tensor(1 + 2j)
    return tfl.grad(lambda z: z.real**2 + z.imag**2)(z).item() == 2 + 4j


def drops(function: Callable[[tfl.Tensor], tfl.Tensor]) -> bool:
    return (function(tfl.ones(1000)) == 0).any().item()


def evaluation_is_of_a_module() -> bool:
    layer, other = nn.Dropout(0.5), nn.Dropout(0.5)
    layer.eval()
    return not drops(layer) and drops(other)


def only_leaves_keep_gradients() -> bool:
    x = tfl.ones(2, requires_grad=True)
    y = x * 2
    for _ in range(2):
        (y * 1).sum().backward(retain_graph=True)
    return x.grad.tolist() == [4, 4] and y.grad is None


def closed_over() -> bool:
    w = tfl.ones(2, requires_grad=True)
    out = tfl.vjp(lambda x: (x * w).sum(), tfl.ones(2))[0]
    return (
        out.requires_grad
        and not tfl.vjp(lambda x: (x * w.detach()).sum(), tfl.ones(2))[0].requires_grad
    )


def needs_grad(value: float = 1.0) -> tfl.Tensor:
    return tfl.full(2, value, requires_grad=True)


def in_place_add() -> tfl.Tensor:
    x = tfl.ones(2, dtype=tfl.int64)
    x += 0.5
    return x


def same_memory() -> bool:
    x = tfl.zeros(3)
    return np.shares_memory(x.numpy(), x.numpy())


def states_differ() -> bool:
    first = tfl.randn(3).tolist()
    return first != tfl.randn(3).tolist()


def one_seed() -> bool:
    tfl.manual_seed(7)
    first = (tfl.randn(2).tolist(), tfl.random.uniform(shape=(2,)).tolist())
    tfl.manual_seed(7)
    return first == (tfl.randn(2).tolist(), tfl.random.uniform(shape=(2,)).tolist())


def lstm_state() -> bool:
    output, (h, c) = nn.LSTM(3, 4)(tfl.ones((5, 1, 3)))
    return output.shape == (5, 1, 4) and h.shape == c.shape == (1, 1, 4)


x = tfl.tensor([[1.0, 5.0], [4.0, 2.0]])
three = tfl.ones((2, 3))

TRUE: dict[str, dict[str, Callable[[], Any]]] = {
    "jax": {
        "`x[0] = value`": lambda: (
            changed(tfl.zeros(2)).tolist() == [5, 0]
            and tfl.grad(assign)(tfl.tensor([1.0, 2.0])).tolist() == [0, 4]
        ),
        "an index out of bounds": lambda: raises(OutOfRangeError, lambda: tfl.ones(3)[5]),
        "`tfl.tensor` of a float64 array": lambda: tfl.tensor(np.ones(2)).dtype == tfl.float64,
        "`float32 * int64`": lambda: (tfl.ones(2) * tfl.tensor([1, 2])).dtype == tfl.float64,
        "random numbers": states_differ,
        "gradient of a real function of complex `z`": complex_slope,
        "a branch on a value under `jit`": branch_raises_when_recorded,
        "side effects under `jit`": side_effects_happen_three_times,
        "another shape under `jit`": another_shape_is_recorded,
        "a gradient by an integer": lambda: raises(
            DtypeError, lambda: tfl.grad(tfl.tanh)(tfl.tensor(1))
        ),
        "nested arguments": lambda: (
            tfl.grad(lambda tree: tree["a"][0].sum())({"a": [tfl.ones(2)]})["a"][0].tolist()
            == [1, 1]
        ),
        "`tfl.vmap` of random numbers": lambda: (
            raises(
                Exception, lambda: tfl.vmap(lambda x: x + tfl.randn(1))(tfl.ones(2)), "randomness"
            )
            and tfl.vmap(lambda x: x + tfl.randn(1), randomness="different")(tfl.ones(2)).shape
            == (2, 1)
        ),
    },
    "chainer": {
        "`nn.Linear(None, 10)`": lambda: raises(ArgumentError, lambda: nn.Linear(None, 10)),
        "the label that `cross_entropy` leaves out": lambda: (
            raises(OutOfRangeError, lambda: F.cross_entropy(three, tfl.tensor([-1, 0])))
            and F.cross_entropy(three, tfl.tensor([-100, 0])).item() == pytest.approx(np.log(3))
        ),
        "`F.dropout(x, 0.5)`": lambda: (
            drops(lambda x: F.dropout(x, 0.5)) and not drops(nn.Dropout(0.5).eval())
        ),
        "evaluation mode": evaluation_is_of_a_module,
        "`tfl.concat(xs)`": lambda: tfl.concat([x, x]).shape == (4, 2),
        "`F.max_pool2d(x, 2)` of 5×5": lambda: (
            F.max_pool2d(tfl.ones((1, 1, 5, 5)), 2).shape == (1, 1, 2, 2)
        ),
        "batch norm's share of the new statistics": lambda: nn.BatchNorm2d(3).momentum == 0.1,
        "batch norm's epsilon": lambda: nn.BatchNorm2d(3).eps == 1e-5,
        "`.grad`": lambda: isinstance(closed_grad(), tfl.Tensor),
        "`loss.backward()`": only_leaves_keep_gradients,
        "`nn.LSTM`": lstm_state,
    },
    "autograd": {
        "the result of `tfl.grad(f)(x)`": lambda: isinstance(
            tfl.grad(np.sum)(np.ones(2)).numpy(), np.ndarray
        ),
        "`tfl.grad(f)(1.0)`": lambda: tfl.grad(tfl.tanh)(1.0).dtype == tfl.float32,
        "`tfl.grad(f)` of several values": lambda: raises(
            ShapeError, lambda: tfl.grad(tfl.tanh)(tfl.ones(2)), "jacrev"
        ),
        "`x[0] = value` in `f`": lambda: tfl.grad(assign)(np.array([1.0, 2.0])).tolist() == [0, 4],
        "a NumPy function without a rule": lambda: raises(
            TypeError, lambda: np.spacing(tfl.ones(2))
        ),
        "the slope of `abs` at 0": lambda: tfl.grad(tfl.abs)(tfl.tensor(0.0)).item() == 0,
        "the slope of `max` where values tie": lambda: (
            tfl.grad(np.max)(np.ones(2)).tolist() == [0.5, 0.5]
        ),
        "a gradient by an integer": lambda: raises(
            DtypeError, lambda: tfl.grad(tfl.tanh)(1), "cast it"
        ),
        "gradient of a real function of complex `z`": complex_slope,
        "variables that a function reads": closed_over,
    },
    "numpy": {
        "Python floats": lambda: tfl.tensor([1.0]).dtype == tfl.float32,
        "`x.sort()`": lambda: (
            tfl.tensor([2.0, 1.0]).sort().tolist() == [1, 2] and x.sort() is not x
        ),
        "`x[0] = value` where `x` is a leaf that requires grad": lambda: raises(
            GradientError, lambda: changed(needs_grad())
        ),
        "`np.asarray(x)` where `x` requires grad": lambda: raises(
            GradientError, lambda: np.asarray(needs_grad()), "detach"
        ),
        "iterating over a tensor": lambda: all(isinstance(one, tfl.Tensor) for one in tfl.ones(2)),
        "`x.numpy()` on a CPU": same_memory,
        "an integer tensor `x += 0.5`": lambda: raises(DtypeError, in_place_add),
        "the names of `std`'s divisor": lambda: (
            raises(UnsupportedArgumentError, lambda: tfl.std(x, ddof=1), "correction=1")
            and tfl.std(tfl.tensor([0.0, 2.0]), correction=1).item() == pytest.approx(2**0.5)
        ),
        "random numbers": one_seed,
    },
}


def closed_grad() -> Any:
    x = tfl.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    return x.grad


@pytest.mark.parametrize("page", TRUE)
def test_the_tables_are_tested_whole(page: str) -> None:
    assert rows(page) == list(TRUE[page])


@pytest.mark.parametrize(
    ("page", "row"), [(page, row) for page, checks in TRUE.items() for row in checks]
)
def test_what_a_page_says(page: str, row: str) -> None:
    assert TRUE[page][row]()


@pytest.mark.parametrize("page", TRUE)
def test_a_row_of_names_has_a_name_of_ours(page: str) -> None:
    """Of the two columns the second says what to write here."""
    text = (DOCS / f"coming-from-{page}.md").read_text("utf-8").split("\n## Names\n")[1]
    lines = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("| ")]
    assert len(lines) > 8
    for line in lines[1:]:
        ours = line.strip("| ").split(" | ")[1]
        assert re.search(r"`[^`]+`", ours), line
