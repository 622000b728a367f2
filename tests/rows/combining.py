"""Rows of PyTorch's products and mixtures, and of sets and orders with NumPy's names."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, OutOfRangeError, ShapeError
from tests.op_table import Row, Sample

common = ("float64", "float32", "bfloat16", "complex128")


def products(first, second, out):
    """Products of these shapes beside something that broadcasts to the result."""

    def samples(draw):
        yield Sample(draw(*out), draw(*first), draw(*second))
        yield Sample(draw(out[-1]), draw(*first), draw(*second), beta=0.5, alpha=2.0)
        yield Sample(draw(*out), draw(*first[::-1]).T, draw.strided(*second), beta=0, alpha=3)
        empty = (*first[:-1], 0)
        yield Sample(draw(*out), draw(*empty), draw(*second[:-2], 0, *second[-1:])
                     if len(second) > 1 else draw(0))  # fmt: skip

    return samples


def mixed(x, one, two, beta=1, alpha=1):
    return np.asarray(x * beta + np.matmul(one, two) * alpha, one.dtype)


def pairs(first, second):
    def samples(draw):
        yield Sample(draw(*first), draw(*second))
        yield Sample(draw(*first[::-1]).T, draw.strided(*second))
        yield Sample(draw(*first[:-2], 0, first[-1]), draw(*second))

    return samples


def triples(draw):
    yield Sample(draw(3, 4), draw(4), draw(3, 1))
    yield Sample(draw(), draw(2), draw(), value=0.5)
    yield Sample(draw(0, 3), draw(3), draw(1))
    yield Sample(draw.strided(2, 3), draw(2, 3), draw(2, 3), value=2)


def steps(draw):
    yield Sample(draw(3, 4), draw(4), 0.25)
    yield Sample(draw(3, 4), draw(3, 4), draw(3, 1))
    yield Sample(draw(0, 3), draw(3), 0.5)
    yield Sample(draw.strided(2, 3), draw(), draw(3))


def limits(draw):
    yield Sample(draw(3, 4), 0.25)
    yield Sample(draw(3, 4), draw(4))
    yield Sample(draw(0, 3), 0)
    yield Sample(draw.strided(2, 3), 0.5)


def points(draw):
    for p in (2.0, 1, 3, np.inf, 0):
        yield Sample(draw(4, 3), draw(2, 3), p)
    yield Sample(draw(2, 1, 4, 3), draw(3, 2, 3))
    yield Sample(draw(0, 3), draw(2, 3))
    yield Sample(draw.strided(2, 3), draw(2, 3))


def cdist(x, y, p=2.0):
    apart = np.abs(x[..., :, None, :] - y[..., None, :, :])
    return np.asarray(np.linalg.norm(apart, p, -1), x.dtype)


def vectors(draw):
    for p in (2, 1, 3, np.inf):
        yield Sample(draw(4, 3), draw(3), p)
    yield Sample(draw(0, 3), draw(3))
    yield Sample(draw.strided(2, 3), draw(2, 3))


def with_ties(draw):
    yield Sample(np.array([3, 1, 3, 2, 1], draw.dtype))
    yield Sample(np.array([[3, 1], [2, 1]], draw.dtype).T)
    yield Sample(np.zeros((0, 2), draw.dtype))
    yield Sample(np.asarray(draw.dtype.type(2)))
    if draw.dtype.kind == "f":
        yield Sample(np.array([np.nan, 1, np.nan, np.inf], draw.dtype))


def tied_rows(draw):
    rows = np.array([[1, 2, 1], [0, 5, 2], [1, 2, 1], [0, 4, 2]], draw.dtype)
    yield Sample(rows, axis=0)
    yield Sample(rows, axis=1)
    yield Sample(rows.T, axis=-1)
    yield Sample(rows.reshape(2, 2, 3), axis=0)
    yield Sample(rows[:, :0].T, axis=0)


def everything(function):
    def run(x, axis=None):
        return function(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)

    run.__name__ = "unique"
    return run


def pairs_of_sets(draw):
    x, y = np.array([3, 1, 3, 2], draw.dtype), np.array([[2, 5], [3, 3]], draw.dtype)
    yield Sample(x, y)
    yield Sample(y.T, x[::-1])
    yield Sample(x[:0], x)


def orders(draw):
    yield Sample(draw.distinct(3, 5), 2)
    yield Sample(draw.distinct(3, 5), (0, -1), axis=0)
    yield Sample(draw.distinct(3, 5), 7, None)
    yield Sample(draw(0, 3), 1)
    yield Sample(draw.distinct(5, 3).T, 1)


def kths(draw):
    yield Sample(draw.distinct(3, 5), 2)
    yield Sample(draw.distinct(3, 5), 1, 0)
    yield Sample(draw.distinct(3, 5), 5, -1, True)
    yield Sample(draw(0, 3), 1)
    yield Sample(draw.distinct(5, 3).T, 1, axis=1)


def kthvalue(x, k, dim=-1, keepdim=False, axis=None):
    dim = dim if axis is None else axis
    places = np.take(np.argsort(x, dim), [k - 1], dim)
    values = np.take_along_axis(x, places, dim)
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


def keys(draw):
    yield Sample([np.array([1, 1, 0, 2], draw.dtype), np.array([1, 0, 1, 0], draw.dtype)])
    yield Sample([draw(2, 3), np.array([[1, 1, 0], [0, 0, 0]], draw.dtype)], axis=0)
    yield Sample([draw(0, 3), draw(0, 3)])
    yield Sample([draw.strided(2, 3)])


line = np.zeros(3)
rows = [
    Row(tfl.mm, np.matmul, samples=pairs((2, 3), (3, 4)), dtypes=common,
        errors=[((line, line), ShapeError, "mm: inputs of 2 and 2 axes are needed, got (3,)")]),
    Row(tfl.bmm, np.matmul, samples=pairs((2, 2, 3), (2, 3, 4)), dtypes=common),
    Row(tfl.mv, np.matmul, samples=pairs((2, 3), (3,)), dtypes=common),
    Row(tfl.addmm, mixed, samples=products((2, 3), (3, 4), (2, 4)), dtypes=common,
        errors=[((line, line, line), ShapeError, "addmm: inputs of 2 and 2 axes are needed")]),
    Row(tfl.baddbmm, mixed, samples=products((2, 2, 3), (2, 3, 4), (2, 2, 4)), dtypes=common),
    Row(tfl.addmv, mixed, samples=products((4, 3), (3,), (4,)), dtypes=common),
    Row(tfl.addcmul, lambda x, y, z, value=1: x + value * y * z, samples=triples, dtypes=common),
    Row(tfl.addcdiv, lambda x, y, z, value=1: x + value * y / z, samples=triples,
        domain=(0.5, 2.0)),
    Row(tfl.lerp, lambda x, end, weight: x + weight * (end - x), samples=steps, dtypes=common),
    Row(tfl.clamp_min, np.maximum, samples=limits),
    Row(tfl.clamp_max, np.minimum, samples=limits),
    Row(tfl.dist, lambda x, y, p=2: np.asarray(np.linalg.norm((x - y).ravel(), p), x.dtype),
        samples=vectors, dtypes=("float64", "float32"),
        errors=[((line, line, -1), ArgumentError, "dist: p must not be negative, got -1")]),
    Row(tfl.cdist, cdist, samples=points, dtypes=("float64", "float32"),
        errors=[((line, line), ShapeError,
                 "cdist: points with as many coordinates are needed, got (3,) and (3,)")]),
    Row(everything(tfl.unique), everything(np.unique), samples=with_ties, orders=0,
        dtypes=("int64", "float32")),
    Row(everything(tfl.unique), everything(np.unique), samples=tied_rows, name="unique slices",
        orders=0, dtypes=("int64", "int32")),
    *[Row(getattr(tfl, name), getattr(np, name), samples=pairs_of_sets, orders=0,
          dtypes=("int64", "int32")) for name in ("union1d", "intersect1d", "setdiff1d",
                                                  "setxor1d")],
    Row(tfl.partition, lambda x, kth, axis=-1: np.sort(x, axis), samples=orders,
        dtypes=("float64", "float32", "int64"),
        errors=[((line, 3), OutOfRangeError, "partition: kth must lie in [-3, 3), got 3")]),
    Row(tfl.argpartition, lambda x, kth, axis=-1: np.argsort(x, axis), samples=orders, orders=0,
        dtypes=("int64", "float32")),
    Row(tfl.kthvalue, kthvalue, samples=kths, dtypes=("float64", "float32", "int64"),
        errors=[((line, 4), OutOfRangeError, "kthvalue: k must lie in [1, 3], got 4")]),
    Row(tfl.lexsort, np.lexsort, samples=keys, orders=0, dtypes=("int64", "float32"),
        errors=[(([line, np.zeros(2)],), ShapeError, "lexsort: keys of one shape are needed")]),
]  # fmt: skip
