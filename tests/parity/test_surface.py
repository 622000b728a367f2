"""Operations that PyTorch has under the same name: values and gradients on the op table's samples.

The functions are those of the op table's rows that PyTorch has too, found by name; the samples are
those of the rows (0-d, empty, broadcast, negative axes, not contiguous). One that no sample
compares must stand in `APART` or `UNCOMPARED`, with the reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tests.op_table import Constant, Row, Sample, all_rows

importlib.import_module("tests.test_op_table")  # what rows name comes in with it
PLACES = {
    "": (tfl, (torch, torch.special)),
    "linalg": (tfl.linalg, (torch.linalg,)),
    "fft": (tfl.fft, (torch.fft,)),
    "nn.functional": (tfl.nn.functional, (torch.nn.functional,)),
}
RENAMED = {
    "axis": "dim", "axes": "dim", "keepdims": "keepdim", "indices": "index", "a_min": "min",
}  # fmt: skip
# Where the same name is called otherwise there, or gives more: NumPy's meaning, by PyTorch's means.
ADAPTED: dict[str, Any] = {
    "equal": torch.eq,
    "max": torch.amax,
    "min": torch.amin,
    "var": lambda x, dim=None, correction=0, **o: torch.var(x, dim, correction=correction, **o),
    "std": lambda x, dim=None, correction=0, **o: torch.std(x, dim, correction=correction, **o),
    "sort": lambda x, dim=-1, **o: torch.sort(x, dim=dim, **o)[0],
    "flip": lambda x, dim=None: torch.flip(x, tuple(range(x.ndim)) if dim is None else (
        dim if isinstance(dim, tuple) else (dim,))),
    "meshgrid": lambda *xs, indexing="xy": torch.meshgrid(*xs, indexing=indexing),
    "nonzero": lambda x: torch.nonzero(x, as_tuple=True),
}
# Relative to the larger of 1 and the value: sums of a few dozen products in another order.
CLOSE = {"float64": 1e-9, "float32": 2e-4}


def torch_function(function: Any) -> tuple[str, Any] | None:
    """The public name of one of our functions, and PyTorch's function of that name."""
    name = function.__name__
    for place, (ours, theirs) in PLACES.items():
        if getattr(ours, name, None) is not function:
            continue
        for module in theirs:
            found = getattr(module, name, None)
            if callable(found) and not isinstance(found, type):
                return f"{place}.{name}".lstrip("."), found
    return None


def translated(value: Any, leaves: list[Any], make: Any) -> Any:
    if isinstance(value, Constant):
        return make(value.array, False)
    if isinstance(value, np.ndarray):
        leaves.append(make(value, value.dtype.kind in "fc"))
        return leaves[-1]
    if isinstance(value, list | tuple):
        return type(value)(translated(one, leaves, make) for one in value)
    return value


def ours_of(array: Any, requires_grad: bool) -> tfl.Tensor:
    return tfl.Tensor(array.copy(order="K"), requires_grad=requires_grad)


def theirs_of(array: Any, requires_grad: bool) -> Any:
    made = torch.from_numpy(np.array(array, order="C"))  # negative strides it doesn't take
    return made.requires_grad_(requires_grad)


def flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [one for part in value for one in flat(part)]
    return [value]


class NotComparable(Exception):
    """PyTorch doesn't take the arguments of a sample."""


def compare(function: Any, theirs: Any, sample: Sample, dtype: str) -> None:
    """Compare values, and gradients along a random cotangent."""
    xs: list[Any] = []
    ts: list[Any] = []
    if any(type(a) is tuple and not a for a in (*sample.args, *sample.kwargs.values())):
        raise NotComparable  # no axes at all: PyTorch takes them for all of them
    args = translated(sample.args, ts, theirs_of)
    options = {RENAMED.get(k, k): translated(v, ts, theirs_of) for k, v in sample.kwargs.items()}
    try:
        wanted = flat(theirs(*args, **options))
    except (TypeError, RuntimeError, ValueError, IndexError, NotImplementedError) as error:
        raise NotComparable from error
    found = flat(function(*translated(sample.args, xs, ours_of),
                          **{k: translated(v, xs, ours_of) for k, v in sample.kwargs.items()}))
    assert len(found) == len(wanted)
    rng = np.random.default_rng(0)
    total: Any = 0.0
    expected: Any = 0.0
    for ours, other in zip(found, wanted, strict=True):
        near(ours, other, dtype, "value")
        if getattr(ours, "requires_grad", False) or getattr(other, "requires_grad", False):
            weights = rng.normal(size=ours.shape).astype(dtype)
            total = total + (ours * tfl.tensor(weights)).real.sum()
            expected = expected + (other * torch.from_numpy(np.array(weights))).real.sum()
    if not isinstance(expected, float) and expected.requires_grad:
        try:
            expected.backward()
        except RuntimeError:  # PyTorch has no derivative of it, or can't compute it
            return
        if isinstance(total, tfl.Tensor) and total.requires_grad:
            total.backward()
        for x, t in zip(xs, ts, strict=True):
            zero = np.zeros(x.shape)
            gradient = zero if x.grad is None else x.grad.numpy()
            near(gradient, zero if t.grad is None else t.grad.numpy(), dtype, "gradient")


def near(ours: Any, other: Any, dtype: str, what: str) -> None:
    a = ours.detach().numpy() if isinstance(ours, tfl.Tensor) else np.asarray(ours)
    b = other.detach().resolve_conj().numpy() if isinstance(other, torch.Tensor) else (
        np.asarray(other)
    )
    assert a.shape == b.shape, f"{what}: {a.shape} {b.shape}"
    scale = np.maximum(1, np.abs(np.nan_to_num(b.astype("c16"))))
    with np.errstate(all="ignore"):
        distance = np.abs(a.astype("c16") - b.astype("c16")) / scale
    same = (a == b) | (np.isnan(a) & np.isnan(b)) if a.dtype.kind in "fc" else a == b
    assert np.all(same | (distance <= CLOSE[dtype])), f"{what}: {a} {b}"


def pairs() -> Iterator[tuple[str, Row, Any]]:
    for row in all_rows():
        match = torch_function(row.function) if hasattr(row.function, "__name__") else None
        if match is not None:
            yield match[0], row, ADAPTED.get(match[0], match[1])


PAIRS = list(pairs())
# What means something else by design, or is right where PyTorch isn't, and is held elsewhere.
UNCOMPARED = {"nn.functional.conv2d": "its samples name an activation; see test_image_modules"}
APART = {
    "median": "the mean of the two middle values, as NumPy's",
    "nanmedian": "the mean of the two middle values, as NumPy's",
    "split": "into so many parts, as NumPy's",
    "chunk": "the parts' lengths differ by one at most",
    "select": "NumPy's choice among conditions",
    "histogram": "ten bins by default, as NumPy's; edges of another range",
    "scatter": "where places repeat, only the value that stays has a gradient",
    "ldexp": "PyTorch's derivative is zero for negative exponents",
    "linalg.det": "PyTorch's derivative is zero at singular matrices; ours are the cofactors",
    "imag": "zeros for real input, which PyTorch refuses",
    "cummax": "the place of the first of equal values, PyTorch's of the last",
    "cummin": "the place of the first of equal values, PyTorch's of the last",
    "nextafter": "no gradient; PyTorch's passes through",
}


def test_functions_are_found() -> None:
    names = {name for name, _, _ in PAIRS}
    assert len(names) > 220
    assert {*APART, *UNCOMPARED} <= names


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "row", "theirs"), PAIRS, ids=[f"{name}-{row.name}" for name, row, _ in PAIRS]
)
def test_same_as_pytorch(name: str, row: Row, theirs: Any, dtype: str) -> None:
    if name in APART:
        return
    compared = 0
    for sample in row.drawn(dtype if dtype in row.dtypes else row.dtypes[0]):
        try:
            compare(row.function, theirs, sample, dtype)
        except NotComparable:
            continue
        compared += 1
    assert compared or name in UNCOMPARED, f"{name}: no sample compared"
