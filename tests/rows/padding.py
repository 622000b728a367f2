"""Rows of padding."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tests.op_table import Row, Sample


def widths(draw):
    yield draw(3, 4), 2
    yield draw(3, 4), (1, 0)
    yield draw(3, 4), ((1, 2), (7, 9))
    yield draw(1, 2), ((2, 2), (0, 3))
    yield draw.strided(2, 3), ((0, 0), (1, 1))


def repeating(draw):
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        for x, width in widths(draw):
            yield Sample(x, width, mode)
        yield Sample(draw(0, 3), ((0, 0), (1, 2)), mode=mode)
        yield Sample(draw(), 0, mode)


def constants(draw):
    for x, width in widths(draw):
        yield Sample(x, width)
        yield Sample(x, width, constant_values=2)
        yield Sample(x, width, "constant", constant_values=((1, 2), (3, 4)))
    yield Sample(draw(0, 3), 1, constant_values=(1, 2))
    yield Sample(draw(2, 3), {1: 2, 0: (0, 1)})
    yield Sample(draw(), 0)
    yield Sample(draw(2, 3), 0)


def computed(draw):
    for x, width in widths(draw):
        for mode in ("maximum", "minimum", "mean", "median"):
            yield Sample(draw.distinct(*x.shape), width, mode)
            yield Sample(draw.distinct(*x.shape), width, mode, stat_length=2)
        yield Sample(x, width, "linear_ramp", end_values=(3, -3))
    yield Sample(draw(0, 3), ((0, 0), (1, 2)), "linear_ramp")


line = np.zeros(3)
rows = [
    Row(
        tfl.pad, np.pad, samples=constants, name="pad by constants", covers=(),
        dtypes=("float64", "float32", "bfloat16", "complex128", "int64"),
        errors=[
            ((line, 1, "round"), ArgumentError, "pad: mode must be one of 'constant', 'edge', "),
            ((line, -1), ArgumentError, "pad: pad_width must not be negative, got -1"),
            ((line, 1.5), DtypeError, "pad: pad_width must hold integers, got 1.5"),
            ((line, ((1, 2), (3, 4))), ShapeError,
             "pad: pad_width must be a value, a pair or a pair for each axis, got"),
            ((np.zeros(0), 1, "edge"), ArgumentError,
             "pad: an axis must not be empty, got (0,) along axis 0"),
        ],
    ),
    Row(tfl.pad, np.pad, samples=repeating, name="pad by elements",
        dtypes=("float64", "float32", "bfloat16", "complex128", "int64"), covers=()),
    Row(tfl.pad, np.pad, samples=computed, name="pad by statistics", dtypes=("float64", "float32"),
        covers=()),
]  # fmt: skip
