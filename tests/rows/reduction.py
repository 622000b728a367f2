"""Rows of the reductions, cumulative operations and sorting."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError, UnsupportedArgumentError
from tests.op_table import Row, Sample, booleans, complexes, floats, integers, numbers

every = (*numbers, *booleans)
ordered = (*floats, *integers, *booleans)
# A sum of n elements rounds n times in float32; a half is rounded once.
tolerance = {"float64": 1e-12, "float32": 1e-5, "complex64": 1e-5}


def axes(draw):
    """Every form of axis, with and without keepdims."""
    yield Sample(draw(3, 4))
    yield Sample(draw(3, 4), 0)
    yield Sample(draw(3, 4), axis=-1)
    yield Sample(draw(2, 3, 4), (0, -1))
    yield Sample(draw(2, 3, 4), axis=[2, 1], keepdims=True)
    yield Sample(draw(2, 3), keepdims=True)
    yield Sample(draw(2, 3), ())
    yield Sample(draw())
    yield Sample(draw(4, 3).T, 1)
    yield Sample(draw.strided(2, 3, 4), (0, 2))
    yield Sample(draw.strided(3), 0, keepdims=True)


def with_empty(draw):
    yield from axes(draw)
    yield Sample(draw(0, 3), 0)
    yield Sample(draw(0, 3), 1)
    yield Sample(draw(0, 3))


def with_nothing(draw):
    yield from axes(draw)
    yield Sample(draw(0, 3), 1)


def spreads(draw):
    yield from axes(draw)
    yield Sample(draw(0, 3), 1)
    yield Sample(draw(5), correction=1)
    yield Sample(draw(3, 4), 0, correction=1, keepdims=True)
    yield Sample(draw(3, 4), correction=2.5)


def deviations(draw):
    """The same but for single elements, whose deviation has no gradient."""
    for sample in spreads(draw):
        array, *rest = sample.args
        if array.ndim and not (rest and rest[0] == ()):
            yield sample


def distinct(draw):
    """No two elements that tie: differences don't see what ties share."""
    yield Sample(draw.distinct(3, 4))
    yield Sample(draw.distinct(3, 4), 0)
    yield Sample(draw.distinct(2, 3, 4), axis=(0, -1), keepdims=True)
    yield Sample(draw.distinct(4, 3).T, -1)
    yield Sample(draw.distinct(2, 6)[::-1, ::2], (0, 1))
    yield Sample(draw.distinct(2), ())
    yield Sample(draw.distinct())
    yield Sample(draw(0, 3), 1)


def places(draw):
    yield Sample(draw.distinct(3, 4))
    yield Sample(draw.distinct(3, 4), 0)
    yield Sample(draw.distinct(2, 3, 4), axis=-2, keepdims=True)
    yield Sample(draw.distinct(3, 4), keepdims=True)
    yield Sample(draw.distinct(2, 6)[::-1, ::2], -1)
    yield Sample(draw.distinct())
    yield Sample(draw(0, 3), 1)


def along(draw):
    yield Sample(draw(5))
    yield Sample(draw(3, 4), 0)
    yield Sample(draw(3, 4), axis=-1)
    yield Sample(draw(2, 3, 5), 1)
    yield Sample(draw(4, 3).T, 1)
    yield Sample(draw.strided(2, 5), 1)
    yield Sample(draw(1), 0)
    yield Sample(draw(0, 3), 0)
    yield Sample(draw(3, 0), 0)
    yield Sample(draw(2, 3), 1, include_initial=True)
    yield Sample(draw(0), include_initial=True)


def with_zeros(samples):
    """The samples, and some with one zero and with several in a row."""

    def found(draw):
        yield from samples(draw)
        for count in (1, 2):
            array = draw(2, 5)
            array[0, 1 : 1 + count] = 0
            yield Sample(array, 1)

    return found


def orders(draw):
    yield Sample(draw.distinct(5))
    yield Sample(draw.distinct(3, 4), 0)
    yield Sample(draw.distinct(3, 4), axis=-1, descending=True)
    yield Sample(draw.distinct(2, 3, 4), 1, descending=True)
    yield Sample(draw.distinct(4, 3).T, stable=False)
    yield Sample(draw.distinct(2, 6)[::-1, ::2], -1)
    yield Sample(draw(0, 3), 0)
    yield Sample(draw(3, 0), 1, descending=True)


def extremes(draw):
    yield Sample(draw.distinct(5), 2)
    yield Sample(draw.distinct(3, 4), 1, 0)
    yield Sample(draw.distinct(3, 4), 3, axis=-1, largest=False)
    yield Sample(draw.distinct(2, 6)[::-1, ::2], 3)
    yield Sample(draw.distinct(3), 0)
    yield Sample(draw(0, 3), 2)


def tuple_of(axis):
    return tuple(axis) if isinstance(axis, list) else axis


def by_numpy(function):
    """NumPy's function, for axes in a list too."""

    def reference(x, axis=None, **options):
        return function(x, tuple_of(axis), **options)

    return reference


def spread_by_numpy(function):
    def reference(x, axis=None, *, correction=0, keepdims=False):
        return function(x, tuple_of(axis), ddof=correction, keepdims=keepdims)

    return reference


def logsumexp(x, axis=None, *, keepdims=False):
    if x.dtype.kind in "biu":
        x = x.astype(np.float64)
    return np.log(np.sum(np.exp(x), tuple_of(axis), keepdims=keepdims))


def cumulated(function, neutral):
    def reference(x, axis=None, *, include_initial=False):
        axis = 0 if axis is None else axis
        out = function(x, axis)
        if not include_initial:
            return out
        shape = (*out.shape[:axis], 1, *out.shape[axis + 1 :])
        first = np.full(shape, neutral, out.dtype)
        return np.concatenate([first, out], axis)

    return reference


def ordered_by(function):
    def reference(x, axis=-1, *, descending=False, stable=True):
        if not descending:
            return function(x, axis, kind="stable")
        kind = np.int64 if x.dtype.kind in "ub" else x.dtype  # in reverse order as negative numbers
        places = np.argsort(-x.astype(kind), axis, kind="stable")
        return places if function is np.argsort else np.take_along_axis(x, places, axis)

    return reference


def topk(x, k, axis=-1, *, largest=True):
    places = np.take(ordered_by(np.argsort)(x, axis, descending=largest), range(k), axis)
    return [np.take_along_axis(x, places, axis), places]


def near_int(dtype, kind):
    return "int64" if kind == np.intp else kind


empty = np.zeros((0, 3))
matrix = np.zeros((2, 3))
nothing = "the axes must not be empty, got shape (0, 3) with axis"
several = "axis is needed for more than one axis, got shape"


def refused(name):
    return (
        ((matrix, 2), ShapeError, f"{name}: axis must lie in [-2, 2), got 2"),
        ((matrix, (1, -1)), ShapeError, f"{name}: axis must not repeat, got (1, -1)"),
        ((matrix, 0.5), DtypeError, f"{name}: axis must be an integer, a tuple of them or"),
    )


def extreme(name):
    return Row(
        getattr(tfl, name),
        getattr(np, name),
        samples=distinct,
        dtypes=ordered,
        errors=(
            *refused(name),
            ((empty,), ShapeError, f"{name}: {nothing} (0, 1)"),
            ((empty, 0), ShapeError, f"{name}: {nothing} (0,)"),
            (
                (matrix, matrix),
                UnsupportedArgumentError,
                f"got a Tensor; {name}imum(x, y) compares",
            ),
        ),
    )


rows = [
    Row(
        tfl.sum,
        by_numpy(np.sum),
        samples=with_empty,
        dtypes=every,
        tolerance=tolerance,
        errors=refused("sum"),
    ),
    Row(
        tfl.mean,
        by_numpy(np.mean),
        samples=with_nothing,
        dtypes=every,
        tolerance=tolerance,
        errors=refused("mean"),
    ),
    Row(
        tfl.prod,
        by_numpy(np.prod),
        samples=with_zeros(with_empty),
        dtypes=every,
        domain=(0.5, 1.5),
        tolerance=tolerance,
        errors=refused("prod"),
    ),
    Row(
        tfl.var,
        spread_by_numpy(np.var),
        samples=spreads,
        dtypes=every,
        tolerance=tolerance,
        errors=refused("var"),
    ),
    Row(
        tfl.std,
        spread_by_numpy(np.std),
        samples=deviations,
        dtypes=every,
        tolerance=tolerance,
        errors=refused("std"),
    ),
    extreme("max"),
    extreme("min"),
    *[
        Row(
            getattr(tfl, name),
            getattr(np, name),
            samples=places,
            dtypes=(*floats, *integers),
            orders=0,
            errors=(
                ((matrix, 2), ShapeError, f"{name}: axis must lie in [-2, 2), got 2"),
                ((empty,), ShapeError, f"{name}: {nothing} (0, 1)"),
                ((empty, 0), ShapeError, f"{name}: {nothing} (0,)"),
            ),
        )
        for name in ("argmax", "argmin")
    ],
    *[
        Row(
            getattr(tfl, name),
            by_numpy(getattr(np, name)),
            samples=with_empty,
            dtypes=every,
            orders=0,
            errors=refused(name),
        )
        for name in ("any", "all", "count_nonzero")
    ],
    Row(
        tfl.logsumexp,
        logsumexp,
        samples=with_nothing,
        dtypes=(*floats, *complexes, *integers),
        errors=refused("logsumexp"),
    ),
    Row(
        tfl.cumulative_sum,
        cumulated(np.cumsum, 0),
        samples=along,
        dtypes=every,
        tolerance=tolerance,
        covers=("cumulative_sum",),
        errors=(
            ((matrix,), ShapeError, f"cumulative_sum: {several} (2, 3)"),
            ((matrix, -3), ShapeError, "cumulative_sum: axis must lie in [-2, 2), got -3"),
        ),
    ),
    Row(
        tfl.cumulative_prod,
        cumulated(np.cumprod, 1),
        samples=with_zeros(along),
        dtypes=every,
        domain=(0.5, 1.5),
        tolerance=tolerance,
        covers=("cumulative_prod",),
        errors=(((matrix,), ShapeError, f"cumulative_prod: {several} (2, 3)"),),
    ),
    Row(
        tfl.sort,
        ordered_by(np.sort),
        samples=orders,
        dtypes=ordered,
        errors=(
            ((matrix, 2), ShapeError, "sort: axis must lie in [-2, 2), got 2"),
            ((matrix, "last"), DtypeError, "sort: axis must be an integer, got 'last'"),
        ),
    ),
    Row(
        tfl.argsort,
        ordered_by(np.argsort),
        samples=orders,
        dtypes=(*floats, *integers),
        orders=0,
        dtype_of=near_int,
    ),
    Row(
        tfl.topk,
        topk,
        samples=extremes,
        dtypes=(*floats, *integers),
        errors=(
            ((matrix, 4), ShapeError, "the axis, got k=4 of shape (2, 3) along axis 1"),
            ((matrix, -1), ArgumentError, "topk: k must not be negative, got -1"),
            ((matrix, 1.5), DtypeError, "topk: k must be an integer, got 1.5"),
        ),
    ),
]
