"""Rows of the distinct elements, of membership, and of searching sorted tensors."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tests.op_table import Constant, Row, Sample, booleans, complexes, elementwise, floats, integers

every = (*floats, *complexes, *integers, *booleans)


def repeated(draw):
    yield from elementwise(draw)
    some = draw(3)
    # What is there twice has no derivative: moved, it becomes two.
    yield Sample(Constant(np.concatenate([some, some[::-1], some[:1]])))
    if draw.dtype in (tfl.float32, tfl.complex64):  # no differences can be taken of NaN
        yield Sample(Constant(np.array([np.nan, 1, np.nan, -0.0, 0.0], draw.dtype)))


def distinct(x):
    """Return values, first places, inverse and counts; every NaN is another one."""
    return np.unique(x, True, True, True, equal_nan=False)


def among(draw):
    x = draw(3, 4)
    yield Sample(x, x[0, :2])
    yield Sample(x, draw(0))
    yield Sample(draw(), x)
    yield Sample(draw(0, 3), x)
    yield Sample(x, x[0, 0].item() if draw.dtype.kind in "biufc" else float(x[0, 0]))
    yield Sample(x[:, ::2], draw.strided(2, 3), invert=True)
    if draw.dtype.kind == "f":
        yield Sample(np.array([np.nan, 1.0], draw.dtype), np.array([np.nan, 1.0], draw.dtype))


def sorted_lines(draw):
    line = np.sort(draw(6))
    yield Sample(line, draw(2, 3))
    yield Sample(line, line, side="right")
    yield Sample(line, line, side="left")
    yield Sample(line[::2], draw())
    yield Sample(draw(0), draw(3))
    yield Sample(line, draw(0, 3))
    yield Sample(line, 1)
    shuffled = line[[3, 1, 0, 5, 4, 2]]
    yield Sample(shuffled, draw(4), sorter=Constant(np.argsort(shuffled)))


def searched(x1, x2, side="left", sorter=None):
    return np.asarray(np.searchsorted(x1, np.asarray(x2, x1.dtype), side, sorter))


def neighbours(draw):
    yield Sample(draw(3, 4))
    yield Sample(draw(3, 4), axis=0, n=2)
    yield Sample(draw(3, 4), n=0)
    yield Sample(draw(2, 3), n=5)
    yield Sample(draw(0, 3))
    yield Sample(draw(3, 1, 2), axis=-2)
    yield Sample(draw.strided(2, 3), axis=-1, prepend=draw(2, 2), append=draw(2, 1))
    yield Sample(draw(4, 3).T, axis=0, append=draw(1, 4))


def differences(x, axis=-1, n=1, prepend=None, append=None):
    parts = [part for part in (prepend, x, append) if part is not None]
    return np.array(np.diff(np.concatenate(parts, axis), n, axis))


def sides(draw):
    yield Sample(draw(1), draw(2), "left")
    yield Sample(draw(1), draw.strided(2, 3), "right")
    yield Sample(draw(0), draw(0, 2), "left")


rows = [
    Row(tfl.unique_all, distinct, samples=repeated, dtypes=every, covers=("unique",)),
    Row(
        tfl.unique_counts, lambda x: (distinct(x)[0], distinct(x)[3]), samples=repeated,
        dtypes=("float64",), covers=("unique",),
    ),
    Row(
        tfl.unique_inverse, lambda x: (distinct(x)[0], distinct(x)[2]), samples=repeated,
        dtypes=("float64",), covers=("unique",),
    ),
    Row(
        tfl.unique_values, lambda x: distinct(x)[0], samples=repeated, dtypes=("float64",),
        covers=("unique",),
    ),
    Row(
        tfl.isin, lambda x, y, invert=False: np.isin(x, y, invert=invert), samples=among,
        dtypes=every, orders=0,
    ),
    Row(
        tfl.searchsorted, searched, samples=sorted_lines, dtypes=(*floats, *integers), orders=0,
        errors=(
            (
                (np.zeros((2, 3)), np.zeros(2)), ShapeError,
                "searchsorted: x1 must have one axis, got shape (2, 3)",
            ),
            (
                (np.zeros(2, complex), np.zeros(2)), DtypeError,
                "searchsorted: complex numbers have no order, got complex128",
            ),
        ),
    ),
    Row(
        lambda x1, x2, side: tfl.searchsorted(x1, x2, side=side), searched,
        samples=sides, name="searchsorted by side",
        dtypes=("float64",), orders=0,
        errors=(
            (
                (np.zeros(2), np.zeros(2), "middle"), ArgumentError,
                "searchsorted: side must be 'left' or 'right', got 'middle'",
            ),
        ),
    ),
    Row(
        tfl.diff, differences, samples=neighbours,
        dtypes=(*floats, *complexes, *integers, *booleans),
        # Of float16 and bfloat16 each difference is rounded, and the next takes them on.
        tolerance={"float16": 8e-3, "bfloat16": 6e-2},
        errors=(
            ((np.zeros(()),), ShapeError, "diff: axis must lie in [0, 0), got -1"),
        ),
    ),
]  # fmt: skip
