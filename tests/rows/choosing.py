"""Rows of limiting to a range."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import DtypeError, ShapeError
from tests.op_table import Row, Sample


def limits(draw):
    one = draw.dtype.type(1)
    yield Sample(draw(3, 4), -1, 1)
    yield Sample(draw(3, 4), 0)
    yield Sample(draw(3, 4), max=1)
    yield Sample(draw(3, 4), draw(4), draw(3, 1))
    yield Sample(draw(3, 4), draw(3, 4) + one, draw(3, 4) - one)
    yield Sample(np.asarray(draw()), draw(2), 2)
    yield Sample(draw(0, 3), -1, draw(3))
    yield Sample(draw.strided(2, 3), -1, 1)
    yield Sample(draw(2, 3))


def clipped(x, min=None, max=None):
    x = x if min is None else np.maximum(x, min)
    return np.array(x if max is None else np.minimum(x, max))


rows = [
    Row(
        tfl.clip,
        clipped,
        samples=limits,
        dtypes=("float64", "float32", "float16", "bfloat16", "int64", "int32"),
        covers=("clip_low", "clip_high"),
        errors=[
            (
                (np.zeros(3), np.zeros(2)),
                ShapeError,
                "clip: shapes must broadcast, got (3,) and (2,)",
            ),
            (
                (np.zeros(3), None, "1"),
                DtypeError,
                "an operand must be a Tensor, an array or a number, got str",
            ),
        ],
    ),
]
