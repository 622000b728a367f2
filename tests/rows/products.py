"""Rows of products."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tests.op_table import Row, Sample, numbers

every = (*numbers, "bool")
# A product of k terms rounds k times where it isn't accumulated exactly.
tolerance = {"float64": 1e-12, "float32": 1e-5, "complex64": 2e-5}


def pairs(draw):
    yield Sample(draw(2, 3), draw(3, 4))
    yield Sample(draw(3), draw(3))
    yield Sample(draw(2, 3), draw(3))
    yield Sample(draw(3), draw(3, 4))
    yield Sample(draw(5, 2, 3), draw(3, 2))
    yield Sample(draw(2, 3), draw(5, 3, 2))
    yield Sample(draw(2, 1, 2, 3), draw(4, 3, 2))
    yield Sample(draw(4, 2, 3), draw(3))
    yield Sample(draw(3), draw(4, 3, 2))
    yield Sample(draw(0, 3), draw(3, 2))
    yield Sample(draw(2, 0), draw(0, 3))
    yield Sample(draw(3, 2).T, draw.strided(3, 2))


def equations(draw):
    yield Sample("ij,jk->ik", draw(2, 3), draw(3, 4))
    yield Sample("ij,jk", draw(2, 3), draw.strided(3, 2))
    yield Sample("ii", draw(3, 3))
    yield Sample("ii->i", draw(3, 3))
    yield Sample("ij->ji", draw(2, 3))
    yield Sample("ij->", draw(2, 3))
    yield Sample("ij->j", draw.strided(2, 3))
    yield Sample("i,j->ij", draw(2), draw(3))
    yield Sample("i,i", draw(3), draw(3))
    yield Sample("bij,bjk->bik", draw(2, 2, 3), draw(2, 3, 2))
    yield Sample("...ij,...jk->...ik", draw(2, 1, 2, 3), draw(4, 3, 2))
    yield Sample("...i,...i", draw(2, 3), draw(3))
    yield Sample("i...->...", draw(2, 3))
    yield Sample("ij,jk,kl->il", draw(2, 3), draw(3, 2), draw(2, 4))
    yield Sample("a,ab,abc->abc", draw(2), draw(2, 3), draw(2, 3, 2))
    yield Sample("iij,jk->ik", draw(2, 2, 3), draw(3, 2))
    yield Sample("ij,ik->", draw(2, 3), draw(2, 4))
    yield Sample("ij,j->i", draw(2, 1), draw(3))
    yield Sample("ij,kj->ik", draw(0, 3), draw(2, 3))
    yield Sample("ij,jk->ik", draw(2, 0), draw(0, 3))
    yield Sample("ijkl,kmln->imjn", draw(2, 3, 2, 2), draw(2, 2, 2, 3))
    yield Sample(",i->i", np.asarray(draw()), draw(3))
    yield Sample("ba,cb->ca", draw(2, 3), draw(4, 2))


def contracted(draw):
    yield Sample(draw(2, 3, 4), draw(3, 4, 2))
    yield Sample(draw(2, 3), draw(3, 4), 1)
    yield Sample(draw(2), draw(3), 0)
    yield Sample(draw(2, 3, 4), draw(4, 2), ([0, 2], [1, 0]))
    yield Sample(draw(2, 3), draw(4, 3), axes=(-1, -1))
    yield Sample(draw(0, 3), draw(3, 2), axes=1)
    yield Sample(draw.strided(2, 3), draw(3), axes=1)


def vectors(draw):
    yield Sample(draw(3), draw(4))
    yield Sample(draw(2, 2), draw(3))
    yield Sample(draw(0), draw(2))
    yield Sample(draw.strided(3), draw(2))


def inner(draw):
    yield Sample(draw(3), draw(3))
    yield Sample(draw(2, 3), draw(3))
    yield Sample(draw(4, 1, 3), draw(2, 3))
    yield Sample(draw(3, 2), draw(3, 2), axis=-2)
    yield Sample(draw(0, 3), draw(1, 3))
    yield Sample(draw(2, 0), draw(2, 0))
    yield Sample(draw.strided(2, 3), draw(2, 3))


def vecdot_reference(x, y, axis=-1):
    product = (np.conj(x) * y).sum(axis)
    return product.astype(x.dtype) if x.dtype.kind != "b" else (x & y).any(axis)


matrix, tall = np.zeros((2, 3)), np.zeros((4, 5))
rows = [
    Row(
        tfl.matmul,
        np.matmul,
        samples=pairs,
        dtypes=every,
        tolerance=tolerance,
        covers=("matmul",),
        errors=[
            (
                (matrix, tall),
                ShapeError,
                "matmul: inner sizes must match, got (2, 3) @ (4, 5): 3 != 4",
            ),
            (
                (matrix, np.zeros(2)),
                ShapeError,
                "matmul: inner sizes must match, got (2, 3) @ (2,): 3 != 2",
            ),
            (
                (np.zeros((2, 2, 3)), np.zeros((3, 3, 4))),
                ShapeError,
                "matmul: leading axes must broadcast, got (2, 2, 3) @ (3, 3, 4)",
            ),
            (
                (matrix, np.zeros(())),
                ShapeError,
                "matmul: each input needs at least one axis, got (2, 3) @ (); use x * y",
            ),
        ],
    ),
    Row(
        tfl.einsum,
        np.einsum,
        samples=equations,
        dtypes=every,
        tolerance=tolerance,
        view=True,
        covers=("einsum",),
        errors=[
            (
                ("ij,jk->ik", matrix, tall),
                ShapeError,
                "einsum: the axes 'j' must have one length, got 3 and 4 in 'ij,jk->ik' with "
                "(2, 3) and (4, 5)",
            ),
            (
                ("ij->ik", matrix),
                ArgumentError,
                "einsum: each letter of the result must stand in a term, got 'k' in 'ij->ik'",
            ),
            (
                ("ij,jk", matrix),
                ArgumentError,
                "einsum: the equation must have a term for each operand, got 2 terms in "
                "'ij,jk' and 1 operands",
            ),
            (
                ("ijk", matrix),
                ArgumentError,
                "einsum: a term must name each axis, got 'ijk' in 'ijk' for 2 axes",
            ),
            (
                ("ij->ii", matrix),
                ArgumentError,
                "einsum: the result must not repeat a letter, got 'ij->ii'",
            ),
            (
                ("i1", matrix),
                ArgumentError,
                "einsum: an equation holds letters, commas, '...' and one '->', got 'i1' in 'i1'",
            ),
        ],
    ),
    Row(
        tfl.tensordot,
        np.tensordot,
        samples=contracted,
        dtypes=numbers,
        tolerance=tolerance,
        covers=("einsum",),
        errors=[
            (
                (matrix, tall, 1),
                ShapeError,
                "tensordot: paired axes must have equal lengths, got (2, 3) along 1 and (4, 5) "
                "along 0: 3 != 4",
            ),
            (
                (matrix, tall, 3),
                ShapeError,
                "tensordot: axes must lie in [0, 2], got 3 for 2 and 2 axes",
            ),
        ],
    ),
    Row(
        tfl.outer,
        np.outer,
        samples=vectors,
        dtypes=numbers,
        errors=[
            (
                (matrix, "b"),
                DtypeError,
                "an operand must be a Tensor, an array or a number, got str",
            ),
        ],
    ),
    Row(
        tfl.vecdot,
        vecdot_reference,
        samples=inner,
        dtypes=numbers,
        tolerance=tolerance,
        covers=("einsum",),
        errors=[
            (
                (matrix, np.zeros(2)),
                ShapeError,
                "vecdot: the lengths along axis -1 must match, got (2, 3) and (2,)",
            ),
        ],
    ),
]
