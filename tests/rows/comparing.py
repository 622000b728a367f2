"""Rows of the comparisons beyond the standard."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tests.op_table import Row, Sample, broadcasting, elementwise


def near(draw):
    yield from broadcasting(draw)
    for x in (draw(3, 4), draw.strided(2, 3)):
        yield Sample(x, x + x.dtype.type(1e-3), 1e-2)
        yield Sample(x, x + x.dtype.type(1), 0, 2)
    if draw.inexact:
        special = np.array([np.nan, np.inf, -np.inf, 1.0], draw.dtype)
        yield Sample(special, special)
        yield Sample(special, special[::-1].copy(), equal_nan=True)
        yield Sample(special, special, equal_nan=True)
    yield Sample(draw(2), 1)


def special(draw):
    yield from elementwise(draw)
    if draw.dtype.kind == "f":
        yield Sample(np.array([np.nan, np.inf, -np.inf, -0.0, 1.0], draw.dtype))
    if draw.dtype.kind == "c":
        yield Sample(np.array([1j, 0, 2.0], draw.dtype))


def asked(name, dtypes):
    return Row(getattr(tfl, name), getattr(np, name), samples=special, dtypes=dtypes, orders=0)


rows = [
    Row(tfl.isclose, np.isclose, samples=near, dtypes=("float64", "float32", "complex128", "int64"),
        orders=0, covers=()),
    asked("isneginf", ("float64", "float32", "int64")),
    asked("isposinf", ("float64", "float32", "int64")),
    asked("isreal", ("complex128", "float64", "int64")),
    asked("iscomplex", ("complex128", "float64", "int64")),
]  # fmt: skip
