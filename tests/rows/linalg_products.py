"""Rows of products and diagonals that are made of other operations."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ShapeError
from tests.op_table import Row, Sample, numbers

tolerance = {"float64": 1e-12, "float32": 1e-5, "complex64": 2e-5}


def threes(draw):
    yield Sample(draw(3), draw(3))
    yield Sample(draw(2, 3), draw(3))
    yield Sample(draw(2, 1, 3), draw(4, 3))
    yield Sample(draw(3, 2), draw(3, 2), axis=0)
    yield Sample(draw(0, 3), draw(3))
    yield Sample(draw.strided(2, 3), draw(3, 2).T)


def of_any_shape(draw):
    yield Sample(draw(2), draw(3))
    yield Sample(draw(2, 2), draw(3))
    yield Sample(draw(2), draw(2, 1, 2))
    yield Sample(draw(), draw(2, 2))
    yield Sample(draw(0, 2), draw(2, 2))
    yield Sample(draw.strided(2, 2), draw(3, 2).T)


def inner_pairs(draw):
    yield Sample(draw(3), draw(3))
    yield Sample(draw(2, 3), draw(4, 3))
    yield Sample(draw(), draw(2))
    yield Sample(draw(0, 3), draw(2, 3))
    yield Sample(draw.strided(2, 3), draw(2, 2, 3))


def flat_pairs(draw):
    yield Sample(draw(3), draw(3))
    yield Sample(draw(2, 3), draw(3, 2))
    yield Sample(draw(0), draw(0))
    yield Sample(draw.strided(2, 3), draw(6))


def dot_pairs(draw):
    yield Sample(draw(3), draw(3))
    yield Sample(draw(2, 3), draw(3, 4))
    yield Sample(draw(), draw(2, 2))
    yield Sample(draw(2, 2, 3), draw(3))
    yield Sample(draw(2, 3), draw(2, 3, 2))
    yield Sample(draw(0, 3), draw(2, 3, 2))
    yield Sample(draw.strided(2, 3), draw(3))


def chains(draw):
    yield Sample([draw(2, 5), draw(5, 3)])
    yield Sample([draw(2, 5), draw(5, 3), draw(3, 2), draw(2, 6)])
    yield Sample([draw(3), draw(3, 4), draw(4, 2)])
    yield Sample([draw(3), draw(3, 4), draw(4)])
    yield Sample([draw(2, 3), draw.strided(3, 4), draw(4)])
    yield Sample([draw(0, 3), draw(3, 4), draw(4, 1)])


def diagonals(draw):
    yield Sample(draw(3, 3))
    yield Sample(draw(2, 3, 4), 1, -2, -1)
    yield Sample(draw(3, 4, 2), -1, axis1=0, axis2=1)
    yield Sample(draw(0, 3))
    yield Sample(draw.strided(3, 3), 2)


def diagonals_of_stacks(draw):
    yield Sample(draw(3, 3))
    yield Sample(draw(2, 3, 4), offset=1)
    yield Sample(draw(0, 3, 2), offset=-1)
    yield Sample(draw.strided(3, 3))


rows = [
    Row(
        tfl.cross,
        np.cross,
        samples=threes,
        dtypes=numbers,
        covers=(),
        errors=[
            (
                (np.zeros(3), np.zeros(2)),
                ShapeError,
                "cross: axis -1 must have length 3, got (3,) and (2,)",
            )
        ],
    ),
    Row(tfl.kron, np.kron, samples=of_any_shape, dtypes=numbers, covers=()),
    Row(
        tfl.inner,
        np.inner,
        samples=inner_pairs,
        dtypes=numbers,
        tolerance=tolerance,
        covers=(),
        errors=[
            (
                (np.zeros(3), np.zeros((2, 2))),
                ShapeError,
                "inner: the last lengths must match, got (3,) and (2, 2): 3 != 2",
            )
        ],
    ),
    Row(
        tfl.vdot,
        np.vdot,
        samples=flat_pairs,
        dtypes=numbers,
        tolerance=tolerance,
        covers=(),
        errors=[
            (
                (np.zeros(3), np.zeros((2, 2))),
                ShapeError,
                "vdot: both must have as many elements, got (3,) and (2, 2)",
            )
        ],
    ),
    Row(
        tfl.dot,
        np.dot,
        samples=dot_pairs,
        dtypes=numbers,
        tolerance=tolerance,
        covers=(),
        errors=[
            (
                (np.zeros((2, 2, 3)), np.zeros((2, 2))),
                ShapeError,
                "dot: inner sizes must match, got (2, 2, 3) and (2, 2): 3 != 2",
            )
        ],
    ),
    Row(
        tfl.linalg.multi_dot,
        np.linalg.multi_dot,
        samples=chains,
        dtypes=numbers,
        tolerance={
            "float64": 1e-11,
            "float32": 1e-4,
            "float16": 2e-2,
            "bfloat16": 0.2,
            "complex128": 1e-11,
            "complex64": 2e-4,
        },  # sums of sums
        covers=(),
        errors=[
            (
                ([np.zeros((2, 3)), np.zeros((2, 3))],),
                ShapeError,
                "multi_dot: inner sizes must match, got (2, 3) @ (2, 3): 3 != 2",
            ),
            (([np.eye(2)],), ShapeError, "multi_dot: two matrices or more are needed, got 1"),
        ],
    ),
    Row(
        tfl.trace,
        np.trace,
        samples=diagonals,
        dtypes=numbers,
        covers=(),
    ),
    Row(
        tfl.linalg.trace,
        np.linalg.trace,
        samples=diagonals_of_stacks,
        name="trace_of_stacks",
        dtypes=numbers,
        covers=(),
        errors=[
            (
                (np.zeros(3),),
                ShapeError,
                "trace: a matrix, or a stack of them, is needed, got shape (3,)",
            )
        ],
    ),
    Row(
        tfl.linalg.diagonal,
        np.linalg.diagonal,
        samples=diagonals_of_stacks,
        name="diagonal_of_stacks",
        view=True,
        covers=(),
    ),
]
