"""Operations that PyTorch has under the same name: values and gradients on the op table's samples.

The functions are those of the op table's rows that PyTorch has too, found by name; the samples are
those of the rows (0-d, empty, broadcast, negative axes, not contiguous). One that no sample
compares must stand in `APART` or `UNCOMPARED`, with the reason.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import tensorflowlite as tfl
from tests.op_table import Row, Sample, all_rows

from .surface import (
    CLOSE,
    NoDerivative,
    found,
    near,
    ours_of,
    place_of,
    same_gradients,
    shared_names,
    their_place,
    theirs_of,
    translated,
)

importlib.import_module("tests.test_op_table")  # what rows name comes in with it
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
    "flip": lambda x, dim=None: torch.flip(
        x, tuple(range(x.ndim)) if dim is None else (dim if isinstance(dim, tuple) else (dim,))
    ),
    "meshgrid": lambda *xs, indexing="xy": torch.meshgrid(*xs, indexing=indexing),
    "nonzero": lambda x: torch.nonzero(x, as_tuple=True),
}
ADAPTED_METHODS: dict[str, Any] = {
    name: ADAPTED[name] for name in ("max", "min", "var", "std", "sort", "nonzero", "flip")
}


def torch_function(function: Any) -> tuple[str, Any] | None:
    """The public name of one of our functions, and PyTorch's function of that name."""
    for place in ("", "linalg", "fft", "nn.functional"):
        if getattr(place_of(tfl, place), function.__name__, None) is function:
            name = f"{place}.{function.__name__}".lstrip(".")
            return (name, found(torch, name)) if their_place(name) else None
    return None


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
    results = flat(
        function(
            *translated(sample.args, xs, ours_of),
            **{k: translated(v, xs, ours_of) for k, v in sample.kwargs.items()},
        )
    )
    assert len(results) == len(wanted)
    for ours, other in zip(results, wanted, strict=True):
        near(ours, other, CLOSE[dtype], "value")
    with contextlib.suppress(NoDerivative):
        same_gradients(xs, ts, list(zip(results, wanted, strict=True)), CLOSE[dtype])


def pairs() -> Iterator[tuple[str, Row, Any]]:
    for row in all_rows():
        match = torch_function(row.function) if hasattr(row.function, "__name__") else None
        if match is not None:
            yield match[0], row, ADAPTED.get(match[0], match[1])


PAIRS = list(pairs())
# Methods that say otherwise what an operation of the table does.
METHODS = {
    "absolute": "abs", "amax": "max", "amin": "min", "bitwise_not": "bitwise_invert",
    "clamp": "clip", "div": "divide", "eq": "equal", "ge": "greater_equal", "gt": "greater",
    "inverse": "inv", "le": "less_equal", "lt": "less", "matrix_exp": "expm", "movedim": "moveaxis",
    "mul": "multiply", "ne": "not_equal", "neg": "negative", "pinverse": "pinv", "pow": "power",
    "sub": "subtract", "swapdims": "swapaxes", "true_divide": "divide",
}  # fmt: skip
# Whose samples show where it differs by design, or where PyTorch isn't right; other lines hold it.
ROWS_APART = {
    "median": "the mean of the two middle values, as NumPy's",
    "nanmedian": "the mean of the two middle values, as NumPy's",
    "split": "into so many parts, as NumPy's",
    "select": "NumPy's choice among conditions",
    "histogram": "ten bins by default, as NumPy's; edges of another range",
    "scatter": "where places repeat, only the value that stays has a gradient",
    "ldexp": "PyTorch's derivative is zero for negative exponents",
    "linalg.det": "PyTorch's derivative is zero at singular matrices; ours are the cofactors",
    "imag": "zeros for real input, which PyTorch refuses",
    "nextafter": "no gradient; PyTorch's passes through",
    "nn.functional.conv2d": "its samples name an activation",
}


COMPARED = [pair for pair in PAIRS if pair[0] not in ROWS_APART]


def methods() -> Iterator[tuple[str, Row, Any]]:
    """The methods that do what a row's function does, under its name or one of `METHODS`."""
    rows: dict[str, list[Row]] = {}
    for row in all_rows():
        rows.setdefault(getattr(row.function, "__name__", ""), []).append(row)
    for name in shared_names():
        last = name.removeprefix("Tensor.")
        if last == name or not callable(getattr(tfl.Tensor, last)):
            continue
        base = last.rstrip("_")
        for row in rows.get(METHODS.get(base, base), []):
            yield name, row, last


def method(last: str) -> Any:
    """Return a method as a function; one that changes its tensor, of a copy."""

    def run(x: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(x, tfl.Tensor | torch.Tensor):
            raise NotComparable
        if last == "transpose" or not last.endswith("_"):
            return getattr(x, last)(*args, **options)
        x = x.clone()
        assert getattr(x, last)(*args, **options) is x
        return x

    return run


# Of these too, what differs; and where arguments stand in another order, or NaN counts once.
METHODS_APART = {*[name.rpartition(".")[2] for name in ROWS_APART], "repeat", "unique", "where"}
METHOD_PAIRS = [pair for pair in methods() if pair[2].rstrip("_") not in METHODS_APART]


def test_functions_are_found() -> None:
    names = {name for name, _, _ in PAIRS}
    assert len(names) > 220
    assert set(ROWS_APART) <= names


def compared(name: str, row: Row, ours: Any, theirs: Any, dtype: str) -> None:
    count = 0
    for sample in row.drawn(dtype if dtype in row.dtypes else row.dtypes[0]):
        with contextlib.suppress(NotComparable):
            compare(ours, theirs, sample, dtype)
            count += 1
    assert count, f"{name}: no sample compared"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "row", "theirs"),
    COMPARED,
    ids=lambda value: str(value) if isinstance(value, str | Row) else "",
)
def test_same_as_pytorch(name: str, row: Row, theirs: Any, dtype: str) -> None:
    compared(name, row, row.function, theirs, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "row", "last"),
    METHOD_PAIRS,
    ids=lambda value: str(value) if isinstance(value, str | Row) else "",
)
def test_same_methods_as_pytorch(name: str, row: Row, last: str, dtype: str) -> None:
    compared(name, row, method(last), ADAPTED_METHODS.get(last, method(last)), dtype)
