"""Rows of averages, covariances, running extremes, slopes, integrals and convolutions."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, ShapeError
from tests.op_table import Constant, Row, Sample

exact = ("float64", "float32", "bfloat16", "int64")
both = ("float64", "float32", "complex128")


def averages(draw):
    yield Sample(draw(3, 4))
    yield Sample(draw(3, 4), 0)
    yield Sample(draw(3, 4), -1, np.abs(draw(4)) + 1)
    yield Sample(draw(3, 4), None, np.abs(draw(3, 4)) + 1)
    yield Sample(draw(3, 4), axis=0, weights=np.abs(draw(3)) + 1, returned=True)
    yield Sample(draw(3, 4), axis=1, returned=True, keepdims=True)
    yield Sample(draw(2, 3, 4), axis=(2, 0), weights=np.abs(draw(4, 2)) + 1)
    yield Sample(draw(3, 0), axis=0, weights=np.ones(3))
    yield Sample(draw.strided(3, 4), 1)


def extremes(draw):
    yield Sample(draw.distinct(3, 4))
    yield Sample(draw.distinct(3, 4), 0)
    yield Sample(draw.distinct(2, 3, 4), (0, -1), keepdims=True)
    yield Sample(draw())
    yield Sample(draw(3, 0), 0)
    yield Sample(draw.distinct(4, 3).T, 1)


def covariances(draw):
    yield Sample(draw(3, 5))
    yield Sample(draw(5))
    yield Sample(draw(3, 5), draw(2, 5))
    yield Sample(draw(5, 3), rowvar=False, bias=True)
    yield Sample(draw(3, 5), ddof=2)
    counts, shares = np.array([1, 2, 0, 1, 3]), np.array([0.5, 1.0, 2.0, 1.0, 0.25])
    yield Sample(draw(3, 5), fweights=counts)
    yield Sample(draw(3, 5), aweights=Constant(shares))
    yield Sample(draw(3, 5), None, True, False, 0, counts, Constant(shares))
    yield Sample(draw(0, 5))
    yield Sample(draw.strided(3, 4))


def correlations(draw):
    yield Sample(draw(3, 5))
    yield Sample(draw(3, 5), draw(2, 5))
    yield Sample(draw(5, 3), rowvar=False)
    yield Sample(draw(0, 5))
    yield Sample(draw.strided(3, 4))


def running(draw):
    yield Sample(draw.distinct(3, 4), 0)
    yield Sample(draw.distinct(3, 7), -1)
    yield Sample(draw.distinct(4, 3).T, 1)
    yield Sample(draw(0, 3), 0)
    yield Sample(draw(0, 3), 1)
    if draw.dtype.kind == "f" and draw.dtype.itemsize < 8:
        yield Sample(Constant(np.array([1, 3, np.nan, 2, np.nan], draw.dtype)), 0)


def ties(draw):
    yield Sample(Constant(np.array([1, 3, 3, 2, 3], draw.dtype)), 0)
    yield Sample(draw(0, 3), 1)
    yield Sample(draw.strided(3, 2), 0)


def running_extreme(accumulate, beats):
    def reference(x, axis):
        x = np.asarray(x)
        values = accumulate.accumulate(x, axis) if x.size else x.copy()
        places = np.zeros(x.shape, np.int64)
        for column in np.ndindex(*x.shape[:axis % x.ndim], *x.shape[axis % x.ndim + 1:]):
            key = list(column)
            best = 0
            for i in range(x.shape[axis]):
                at = (*key[: axis % x.ndim], i, *key[axis % x.ndim :])
                top = (*key[: axis % x.ndim], best, *key[axis % x.ndim :])
                if np.isnan(x[at]) or (not np.isnan(x[top]) and beats(x[at], x[top])):
                    best = i
                places[at] = best
        return values, places

    return reference


def differences(draw):
    yield Sample(draw(3, 4))
    yield Sample(draw(5), to_begin=1, to_end=np.array([2, 3]))
    yield Sample(draw(0))
    yield Sample(draw.strided(5))


def grids(draw):
    yield Sample(draw(3, 4))
    yield Sample(draw(5), 0.5)
    yield Sample(draw(3, 4), 0.5, 2.0)
    yield Sample(draw(3, 4), axis=-1, edge_order=2)
    places = np.array([0.0, 0.5, 2.0, 2.5])
    yield Sample(draw(3, 4), Constant(places), axis=1)
    yield Sample(draw(4, 3), Constant(places), axis=0, edge_order=2)
    yield Sample(draw(0, 3), axis=1)
    yield Sample(draw.strided(3, 3))


def integrals(draw):
    yield Sample(draw(3, 4))
    yield Sample(draw(3, 4), dx=0.5, axis=0)
    yield Sample(draw(3, 4), draw(4))
    yield Sample(draw(3, 4), draw(3), axis=0)
    yield Sample(draw(3, 4), draw(3, 4), axis=-2)
    yield Sample(draw(0, 3))
    yield Sample(draw.strided(3, 4), axis=0)


def cumulative_trapezoid(y, x=None, dx=1.0, axis=-1):
    y = np.moveaxis(y, axis, -1)
    if x is None:
        gaps = dx
    else:
        gaps = np.diff(x if x.ndim == 1 else np.moveaxis(x, axis, -1))
    out = np.cumsum((y[..., 1:] + y[..., :-1]) / 2 * gaps, -1)
    return np.moveaxis(out, -1, axis).astype(y.dtype)


def interpolations(draw):
    points = np.array([-1.5, -0.5, 0.0, 1.0], draw.dtype)
    inside = np.array([[-1.2, -0.7, 0.3], [0.9, -0.1, -2.0]], draw.dtype)
    yield Sample(inside, points, draw(4))
    yield Sample(inside[:, ::2], points, draw(4), -7, 9)
    yield Sample(inside * 3.5, points + 0.1, draw(4), period=3.0)
    yield Sample(np.asarray(inside[0, 0]), points, draw(4))
    yield Sample(draw(0, 3), points, draw(4))
    yield Sample(Constant(points), Constant(points), draw(4))


def of_each(function):
    """A function of two sequences as one of a stack of first ones: that may be empty."""

    def run(xs, y, *mode):
        return [function(x, y, *mode) for x in xs]

    run.__name__ = function.__name__
    return run


def sequences(draw):
    for mode in ("full", "same", "valid"):
        yield Sample(draw(1, 5), draw(3), mode)
        yield Sample(draw(2, 2), draw(5), mode)
        yield Sample(draw.strided(1, 4), draw(4), mode)
        yield Sample(draw(1, 6), draw(4), mode)
        yield Sample(draw(1, 3), draw(6), mode)
    yield Sample(draw(1, 3), draw(1))
    yield Sample(draw(0, 3), draw(1))


def sums_of_exponentials(x, axis):
    return np.logaddexp.accumulate(x, axis) if x.size else x.copy()


line = np.zeros(3)
rows = [
    Row(
        tfl.average, np.average, samples=averages, dtypes=("float64", "float32", "int64"),
        covers=(),
        errors=[((line, None, np.ones(2)), ShapeError, "average: weights must have the shape")],
    ),
    Row(tfl.ptp, np.ptp, samples=extremes, dtypes=("float64", "float32", "int64"), covers=()),
    Row(
        tfl.cov, np.cov, samples=covariances, dtypes=both, covers=(),
        dtype_of=lambda dtype, kind: dtype,  # NumPy works in float64
        errors=[
            ((np.zeros((1, 1, 1)),), ShapeError, "cov: at most two axes are expected"),
            ((line, None, True, False, 1, np.ones(2)), ShapeError,
             "cov: a weight for each observation is needed, got (2,)"),
        ],
    ),
    Row(tfl.corrcoef, np.corrcoef, samples=correlations, dtypes=("float64",), covers=()),
    Row(
        tfl.cummax, running_extreme(np.maximum, lambda a, b: a >= b), samples=running,
        dtypes=exact, covers=("running_places",),
        errors=[((line,), ArgumentError, "cummax: an axis is needed, got none")],
    ),
    Row(tfl.cummin, running_extreme(np.minimum, lambda a, b: a <= b), samples=running,
        dtypes=("float64", "float32", "int64"), covers=()),
    Row(tfl.cummax, running_extreme(np.maximum, lambda a, b: a >= b), samples=ties,
        dtypes=("float64",), name="cummax with ties", covers=()),
    Row(tfl.logcumsumexp, sums_of_exponentials, samples=running, dtypes=("float64", "bfloat16"),
        covers=()),
    Row(tfl.ediff1d, np.ediff1d, samples=differences, dtypes=("float64", "float32", "int64"),
        covers=()),
    Row(
        tfl.gradient, np.gradient, samples=grids, dtypes=("float64", "int64"), covers=(),
        errors=[
            ((np.zeros(1),), ShapeError, "gradient: at least 2 places along axis 0 are needed"),
            ((line, 1.0, 2.0), ShapeError, "gradient: a distance for each axis is needed, got 2"),
        ],
    ),
    Row(tfl.trapezoid, np.trapezoid, samples=integrals, dtypes=("float64", "float32", "int64"),
        covers=()),
    Row(tfl.cumulative_trapezoid, cumulative_trapezoid, samples=integrals, dtypes=("float64",),
        covers=()),
    Row(
        tfl.interp, np.interp, samples=interpolations, dtypes=("float64",), covers=(),
        errors=[((line, line, np.zeros(2)), ShapeError,
                 "interp: as many values as points are needed, got (3,) and (2,)")],
    ),
    Row(
        of_each(tfl.convolve), of_each(np.convolve), samples=sequences,
        dtypes=(*both, "bfloat16", "int64"), covers=("convolve",),
        errors=[
            ((line[None], np.zeros(0)), ShapeError,
             "convolve: the inputs must not be empty, got (3,) and (0,)"),
            ((line[None], np.zeros((1, 1))), ShapeError, "convolve: one axis is needed"),
            ((line[None], line, "most"), ArgumentError, "convolve: mode must be 'full', 'same' or"),
        ],
    ),
    Row(of_each(tfl.correlate), of_each(np.correlate), samples=sequences,
        dtypes=("float64", "complex128"), covers=()),
]  # fmt: skip
