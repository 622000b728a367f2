"""The op table: a row per operation, from which `test_op_table` generates its properties.

How to add rows
---------------
A file of ``tests/rows/`` holds a list ``rows``; every file there is found by itself::

    from tests.op_table import Row, Sample, elementwise, floats

    rows = [
        Row(tfl.tanh, np.tanh, samples=elementwise, domain=(-4, 4)),
        Row(tfl.concat, lambda xs, axis=0: np.concatenate(xs, axis), samples=concat_samples),
        Row(assigned, assigned_reference, name="setitem", covers=("setitem", "clear")),
    ]

``samples`` is a function of a `Draw`; it yields a `Sample` per call of the operation. Arrays in it
are NumPy's; the properties make tensors of them, wherever they stand (also in lists, tuples and
keyword arguments), and float and complex ones are differentiated by. An array of another dtype
stays constant, and so does one wrapped in `Constant`::

    def concat_samples(draw):
        yield Sample([draw(2, 3), draw(1, 3)], axis=-2)
        yield Sample([draw(0, 3), draw.strided(2, 3)])      # empty, not contiguous
        yield Sample([draw(2, 3), draw(2, 3).T.copy().T])   # Fortran order

Draw at least: broadcast, 0-d, empty, non-contiguous, negative axes, as far as the operation has
them. The reference takes the same arguments as NumPy arrays and returns what the operation should;
where NumPy has no such function, write it from the definition. What a row promises is then held
for every sample and backend: value, dtype, no aliasing of inputs (unless ``view=True``), untouched
inputs, gradients of order 1 and 2 against differences of the *reference*, raw rules against traced
ones in every float dtype, and the texts of ``errors``.

A primitive that no row names in ``covers`` fails a test, and so does a row whose ``covers`` names
one that its samples never run (forward, backward or twice backward).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tensorflowlite.backend import dtypes

floats = ("float64", "float32", "float16", "bfloat16")
complexes = ("complex128", "complex64")
integers = ("int64", "int32", "uint8")
booleans = ("bool",)
numbers = (*floats, *complexes, *integers)

# How far values may be from the float64 reference, relative to the larger of 1 and the value.
TOLERANCE = {
    "float64": 1e-12, "float32": 2e-6, "float16": 2e-3, "bfloat16": 1.6e-2,
    "complex128": 1e-12, "complex64": 5e-6,
}  # fmt: skip


class Sample:
    """The arguments of one call; arrays are NumPy's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # NumPy makes scalars of results without axes; here they are 0-d arrays.
        self.args = tuple([np.asarray(a) if isinstance(a, np.generic) else a for a in args])
        self.kwargs = kwargs

    def __repr__(self) -> str:
        return f"Sample{_described(self.args)} {_described(self.kwargs)}"


class Constant:
    """An array that is not differentiated by."""

    def __init__(self, array: Any) -> None:
        self.array = array


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name}{value.shape}"
    if isinstance(value, Constant):
        return f"Constant({_described(value.array)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={_described(v)}" for k, v in value.items()) + "}"
    if type(value) in (tuple, list):
        return f"({', '.join(map(_described, value))})"
    return repr(value)


class Draw:
    """Draws arrays of a dtype from a domain; the same for the same row and dtype."""

    def __init__(self, seed: str, dtype: str, domain: tuple[float, float]) -> None:
        self._rng = np.random.default_rng(list(seed.encode()))
        self.dtype, self.domain = dtypes.as_dtype(dtype), domain
        self.inexact = self.dtype in dtypes.inexact

    def __call__(self, *shape: int) -> Any:
        """Return an array of the dtype under test with values in the row's domain."""
        low, high = self.domain
        kind = self.dtype.kind
        if kind == "b":
            return np.asarray(self._rng.integers(0, 2, shape)).astype(np.bool_)
        if kind in "iu":
            low = max(low, 0) if kind == "u" else low
            return np.asarray(self._rng.integers(round(low), round(high) + 1, shape)).astype(
                self.dtype
            )
        values = np.asarray(self._rng.uniform(low, high, shape))
        if kind == "c":
            values = values + 1j * np.asarray(self._rng.uniform(low, high, shape))
        return values.astype(self.dtype)

    def strided(self, *shape: int) -> Any:
        """Return an array whose last axis steps over elements; backwards along the first one."""
        return (
            self(*shape[:-1], 2 * shape[-1])[::-1, ..., ::2]
            if len(shape) > 1
            else self(2 * shape[0])[::-2]
        )

    def distinct(self, *shape: int) -> Any:
        """Return an array without ties: well apart, in random order."""
        count = int(np.prod(shape))
        low, high = self.domain
        values = np.linspace(low, high, count) if self.inexact else np.arange(count)
        return np.asarray(self._rng.permutation(values)).astype(self.dtype).reshape(shape)

    def integers(self, low: int, high: int, *shape: int) -> Any:
        """Return int64 numbers in [low, high), for indices."""
        return np.asarray(self._rng.integers(low, high, shape))

    def booleans(self, *shape: int) -> Any:
        return np.asarray(self._rng.integers(0, 2, shape)).astype(np.bool_)


# -- samples of the common forms -------------------------------------------------------------------
def elementwise(draw: Draw) -> Iterator[Sample]:
    """One array: 2-d, 0-d, empty, in Fortran order, strided and reversed."""
    yield Sample(draw(3, 4))
    yield Sample(draw())
    yield Sample(draw(0, 3))
    yield Sample(draw(4, 3).T)
    yield Sample(draw.strided(2, 3, 2))
    yield Sample(draw(1, 2, 1))


def broadcasting(draw: Draw) -> Iterator[Sample]:
    """Two arrays that broadcast in every way."""
    yield Sample(draw(3, 4), draw(3, 4))
    yield Sample(draw(3, 4), draw(4))
    yield Sample(draw(3, 1), draw(1, 4))
    yield Sample(draw(), draw(2, 3))
    yield Sample(draw(2, 3), draw())
    yield Sample(draw(), draw())
    yield Sample(draw(0, 3), draw(1, 3))
    yield Sample(draw(1, 3), draw(2, 0, 3))
    yield Sample(draw(4, 3).T, draw.strided(3, 4))


def with_numbers(draw: Draw) -> Iterator[Sample]:
    """Two arrays that broadcast, and an array beside a Python number."""
    yield from broadcasting(draw)
    number = draw().item() if draw.dtype.kind in "biufc" else float(draw())
    yield Sample(draw(2, 3), number)
    yield Sample(number, draw(2, 3))


class Row:
    """What one operation promises.

    Parameters
    ----------
    function
        The public function (or any callable made of public ones).
    reference
        The same with NumPy arrays; for float16 and bfloat16 it is given float64.
    samples
        ``(draw) -> iterator of Sample``.
    name
        The row's name; by default the function's.
    domain
        Between which numbers values are drawn (the parts of complex ones, too).
    dtypes
        The dtypes of the drawn arrays. Gradients are checked in those of float64 and complex128.
    tolerance
        Overrides of `TOLERANCE` by dtype name, with the reason beside it.
    errors
        ``(arguments, exception, text)`` per refused call; NumPy arrays become tensors.
    host_errors
        The same for what only the CPU refuses: a device would have to be waited for.
    orders
        How many orders of derivatives are checked; 0 where there is no gradient.
    view
        Whether the output may share memory with an input.
    covers
        The primitives that the row stands for; by default the one of ``function``.
    dtype_of
        ``(dtype name, dtype of the reference) -> dtype`` of the result, where it isn't the
        reference's own.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        reference: Callable[..., Any],
        *,
        samples: Callable[[Draw], Iterator[Sample]] = elementwise,
        name: str | None = None,
        domain: tuple[float, float] = (-2.0, 2.0),
        dtypes: Sequence[str] = floats,
        tolerance: dict[str, float] | None = None,
        errors: Sequence[tuple[tuple[Any, ...], type[Exception], str]] = (),
        host_errors: Sequence[tuple[tuple[Any, ...], type[Exception], str]] = (),
        orders: int = 2,
        view: bool = False,
        covers: Sequence[str] | None = None,
        dtype_of: Callable[[str, Any], Any] | None = None,
    ) -> None:
        self.function, self.reference, self.samples = function, reference, samples
        self.name = name or function.__name__
        self.domain, self.dtypes = domain, tuple(dtypes)
        self.errors, self.host_errors = tuple(errors), tuple(host_errors)
        self.tolerance = {**TOLERANCE, **(tolerance or {})}
        self.orders, self.view, self.dtype_of = orders, view, dtype_of
        if covers is None:
            op = getattr(function, "primitive", None)
            covers = (op.name,) if op is not None else ()
        self.covers = tuple(covers)

    def __repr__(self) -> str:
        return self.name

    def drawn(self, dtype: str) -> list[Sample]:
        """Return the row's samples in a dtype."""
        return list(self.samples(Draw(self.name, dtype, self.domain)))


def all_rows() -> list[Row]:
    """Return the rows of every file in ``tests/rows``."""
    found: list[Row] = []
    for path in sorted((Path(__file__).parent / "rows").glob("*.py")):
        found += importlib.import_module(f"tests.rows.{path.stem}").rows
    names = [row.name for row in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise TypeError(f"rows: each name must be there once, got {sorted(twice)} twice")
    return found
