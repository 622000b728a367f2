"""Rows of reading, writing and counting by an index for each place."""

from __future__ import annotations

from itertools import product

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.core.primitive import traced
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tests.op_table import Constant, Row, Sample, booleans, floats, numbers

common = ("float64", "float32", "bfloat16", "complex128", "int64")


# -- references: PyTorch's definitions, element by element -----------------------------------------
def places(index, dim):
    """Each place of an index, and what it names."""
    for place in product(*[range(n) for n in index.shape]):
        named = list(place)
        if named:
            named[dim] = int(index[place])
        yield place, tuple(named)


def gather(x, dim, index):
    out = np.empty(index.shape, x.dtype)
    for place, named in places(index, dim):
        out[place] = x[named]
    return out


def written(combine):
    def reference(x, dim, index, src, *reduce, include_self=True):
        out = np.array(x, order="C")
        source = np.broadcast_to(src, index.shape) if np.ndim(src) == 0 else src
        for place, named in places(index, dim):
            out[named] = combine(out[named], source[place])
        return out

    return reference


def reduced(x, dim, index, src, reduce, include_self=True):
    brought = {}
    for place, named in places(index, dim):
        brought.setdefault(named, []).append(src[place] if np.ndim(src) else src)
    out = np.array(x, order="C")
    for named, values in brought.items():
        values = np.array([x[named], *values] if include_self else values, x.dtype)
        out[named] = {"sum": np.sum, "mean": np.mean, "amax": np.max, "amin": np.min}[reduce](
            values
        )
    return out


def slices(x, dim, index):
    for i, named in enumerate(index):
        lead = (slice(None),) * (dim % x.ndim)
        yield (*lead, int(named)), (*lead, i)


def index_add(x, dim, index, source, alpha=1):
    out = np.array(x, order="C")
    for named, place in slices(x, dim, index):
        out[named] += alpha * source[place]
    return out


def index_copy(x, dim, index, source):
    out = np.array(x, order="C")
    for named, place in slices(x, dim, index):
        out[named] = source[place]
    return out


def index_fill(x, dim, index, value):
    out = np.array(x, order="C")
    for named, _ in slices(x, dim, index):
        out[named] = value
    return out


def changed(function):
    """A function that changes its argument, as one that returns a changed copy."""

    def run(x, *args, **options):
        out = np.array(x, order="C") if isinstance(x, np.ndarray) else tfl.clone(x)
        found = function(out, *args, **options)
        return out if found is None else found

    run.__name__ = getattr(function, "__name__", "changed")
    return run


# -- samples ---------------------------------------------------------------------------------------
def gathers(draw):
    yield Sample(draw(3, 4), 0, np.array([[2, 0, 0, 1]]))
    yield Sample(draw(3, 4), 1, np.array([[3, 3, 0, -1, 2], [0, 1, 2, 3, 0]]))
    yield Sample(draw(2, 3, 2), -1, np.array([[[1], [0]]]))
    yield Sample(draw(), 0, np.array(0))
    yield Sample(draw(0, 3), 1, np.zeros((0, 2), np.int64))
    yield Sample(draw(3), 0, np.zeros(0, np.int64))
    yield Sample(draw.strided(3, 4), 0, np.array([[2, 0], [1, 1]]))


def scatters(draw):
    yield Sample(draw(3, 4), 0, np.array([[2, 0, 0, 1]]), draw(1, 4))
    yield Sample(draw(3, 4), 1, np.array([[3, 2, 0], [0, 1, -1]]), draw(3, 5))
    yield Sample(draw(2, 3, 2), -1, np.array([[[1], [0]]]), draw(1, 2, 1))
    yield Sample(draw(3), 0, np.array([1, 1, 1]), draw(3))
    yield Sample(draw(0, 3), 1, np.zeros((0, 2), np.int64), draw(0, 2))
    yield Sample(draw.strided(3, 4), 0, np.array([[2, 0], [1, 1]]), draw.strided(2, 2))


def with_number(draw):
    yield from scatters(draw)
    yield Sample(draw(3), 0, np.array([1, 1]), 2)


def reductions(draw):
    for reduce, include_self in product(("sum", "mean", "amax", "amin"), (True, False)):
        if draw.dtype.kind in "iu" and reduce == "mean":
            continue
        values = draw.distinct(40)
        x, src = values[:12].reshape(3, 4), values[12:27].reshape(3, 5)
        options = {"include_self": include_self}
        yield Sample(x, 1, np.array([[3, 3, 0], [0, 1, -1]]), src, reduce, **options)
        yield Sample(x, 0, np.array([[2, 2, 2, 1]] * 3), src[:, :4], reduce, **options)
        yield Sample(draw(0, 3), 1, np.zeros((0, 2), np.int64), draw(0, 2), reduce, **options)
        yield Sample(x.T, 0, np.array([[1, 1], [1, 2]]), src[:2, :2], reduce, **options)


def lines(draw):
    yield Sample(draw(3, 4), 0, np.array([2, 0, 2]), draw(3, 4))
    yield Sample(draw(3, 4), -1, np.array([1, -1]), draw(3, 2))
    yield Sample(draw(3), 0, np.zeros(0, np.int64), draw(0))
    yield Sample(draw(0, 3), 1, np.array([2]), draw(0, 1))
    yield Sample(draw.strided(3, 4), 1, np.array([1, 1]), draw.strided(3, 2))


def scaled_lines(draw):
    yield from lines(draw)
    yield Sample(draw(3), 0, np.array([1, 1]), draw(2), alpha=3)


def different_lines(draw):
    for sample in lines(draw):
        x, dim, index, source = sample.args
        yield Sample(x, dim, (np.arange(index.size) * 2 + 1) % max(x.shape[dim], 1), source)


def fills(draw):
    for sample in lines(draw):
        yield Sample(*sample.args[:3], 2)


def selections(draw):
    for sample in lines(draw):
        yield Sample(*sample.args[:3])


def puts(draw):
    yield Sample(draw(3, 4), np.array([[2, 0, 0, 1]]), draw(1, 4), 0)
    yield Sample(draw(3, 4), np.array([[1]]), draw(3, 1), axis=1)
    yield Sample(draw(3, 4), np.array([[1], [3], [-1]]), draw(), axis=-1)
    yield Sample(draw(3, 4), np.array([7, -1]), draw(2), axis=None)
    yield Sample(draw(0, 3), np.zeros((0, 2), np.int64), draw(0, 2), axis=1)
    yield Sample(draw.strided(3, 4), np.array([[2, 0]] * 3), draw(3, 2), axis=1)


def put_along_axis(x, indices, values, axis=-1):
    np.put_along_axis(x, indices, values, axis)


def diagonals(draw):
    yield Sample(draw(3, 4), draw())
    yield Sample(draw(4, 2), 1)
    yield Sample(draw(2, 2, 2), draw(2))
    yield Sample(draw(0, 3), 1)
    yield Sample(draw.strided(3, 3), draw(3))


def compressions(draw):
    mask = np.array([True, False, True])
    yield Sample(mask, draw(3, 4), axis=0)
    yield Sample(mask, draw(3, 4), axis=-1)
    yield Sample(mask, draw(2, 2))
    yield Sample([True, False], draw(3), 0)
    yield Sample(mask, draw(0, 3), 1)
    yield Sample(mask, draw.strided(2, 3), axis=1)


def extractions(draw):
    yield Sample(draw.booleans(3, 4), draw(3, 4))
    yield Sample(draw.booleans(0), draw(0))
    yield Sample(draw.booleans(2, 3), draw.strided(2, 3))


def with_holes(draw):
    yield Sample(np.asarray(np.round(draw(3, 4)) if draw.dtype.kind != "b" else draw(3, 4)))
    yield Sample(draw())
    yield Sample(draw(0, 3))
    yield Sample(draw.strided(2, 3))


def choices(draw):
    yield Sample(np.array([[0, 1, 1]]), [draw(2, 3), draw(3)])
    yield Sample(np.array([5, -3, 1]), [draw(3), draw(3)], mode="clip")
    yield Sample(np.array([5, -3, 1]), [draw(3), draw(3)], mode="wrap")
    yield Sample(np.zeros((0, 3), np.int64), [draw(0, 3)])
    yield Sample(np.array([0, 1]), [draw.strided(2), draw(2)])


def selects(draw):
    yield Sample([draw.booleans(2, 3), draw.booleans(3)], [draw(2, 3), draw(2, 1)])
    yield Sample([draw.booleans(3)], [draw(3)], 2)
    yield Sample([draw.booleans(0, 3)], [draw(0, 3)], draw())
    yield Sample([draw.booleans(2, 3)], [draw.strided(2, 3)])


def counts(draw):
    whole = np.abs(np.round(draw(7))).astype(np.int64)
    yield Sample(whole)
    yield Sample(whole[::-2], minlength=9)
    yield Sample(np.zeros(0, np.int64), minlength=2)


def weighed_counts(draw):
    yield Sample(np.array([3, 0, 3, 1]), draw(4))
    yield Sample(np.array([2, 2])[::-1], draw.strided(2), minlength=5)
    yield Sample(np.zeros(0, np.int64), draw(0), minlength=2)


def histograms(draw):
    yield Sample(draw(20))
    yield Sample(draw(3, 4), 4, (-1.0, 1.5))
    yield Sample(draw(3, 4), [-1.0, 0.0, 0.25, 2.0])
    yield Sample(draw(3, 4), [-1.0, 0.0, 0.25, 2.0], density=True)
    yield Sample(draw(0), 3)
    yield Sample(draw(1), 3)
    yield Sample(draw(30), "sturges")
    yield Sample(draw.strided(3, 4), 5)


def weighed_histograms(draw):
    data = Constant(np.linspace(-1, 1, 12).reshape(3, 4))
    yield Sample(data, 5, None, False, draw(3, 4))
    yield Sample(data, [-1.0, 0.0, 0.25], None, True, (np.abs(draw(4, 3)) + 1).T)
    yield Sample(Constant(np.zeros(0)), 2, None, False, draw(0))


def bins(draw):
    edges = np.sort(draw(5))
    yield Sample(draw(3, 4), edges)
    yield Sample(draw(3, 4), edges, right=True)
    yield Sample(edges, edges[::-1])
    yield Sample(edges, edges[::-1], True)
    yield Sample(draw(), edges)
    yield Sample(draw(0, 3), edges)
    yield Sample(draw.strided(2, 3), edges)


def rising_bins(draw):
    edges = np.sort(draw(5))
    yield Sample(edges, edges)
    yield Sample(draw(3, 4), edges, right=True)
    yield Sample(draw(0, 3), edges)
    yield Sample(draw.strided(2, 3), edges)


def wraps(draw):
    yield Sample(np.array([0, 2, -1, -3]), ("x", 3))
    yield Sample(np.array([[0, 2]], np.uint8)[:, ::-1], ("x", 3))
    yield Sample(np.zeros((0, 2), np.int64), ("x", 0))


line, matrix = np.zeros(3), np.zeros((2, 2))
beyond, wrong = np.array([3]), np.array([0.5])
rows = [
    Row(
        traced.index_within, lambda x, bounds: x.astype(np.int64) % max(bounds[1], 1),
        samples=wraps, dtypes=("int64",), orders=0, covers=("index_within",),
    ),
    Row(
        tfl.gather, gather, samples=gathers, dtypes=(*numbers, *booleans), covers=(),
        errors=[
            ((line, 0, wrong), DtypeError, "gather: indices must be integers, got float64"),
            ((matrix, 0, beyond), ShapeError,
             "gather: x and index must have as many axes, got (2, 2) and (1,)"),
            ((matrix, 0, np.zeros((1, 3), int)), ShapeError,
             "gather: index must not be longer than x but along axis 0, got (1, 3) for (2, 2)"),
        ],
    ),
    Row(
        tfl.scatter, written(lambda old, new: new), samples=with_number, dtypes=common, covers=(),
        errors=[
            ((matrix, 0, np.zeros((2, 2), int), np.zeros((1, 2))), ShapeError,
             "scatter_: src must be at least as long as index along each axis, got (1, 2) for "
             "(2, 2)"),
        ],
    ),
    Row(changed(tfl.Tensor.scatter_), written(lambda old, new: new), samples=scatters,
        dtypes=("float64", "float32"), name="scatter_", covers=()),
    Row(
        tfl.scatter_add, written(lambda old, new: old + new), samples=with_number, dtypes=common,
        covers=(),
    ),
    Row(changed(tfl.Tensor.scatter_add_), written(lambda old, new: old + new), samples=scatters,
        dtypes=("float64", "float32"), name="scatter_add_", covers=()),
    Row(
        tfl.scatter_reduce, reduced, samples=reductions,
        dtypes=("float64", "float32", "bfloat16", "int64"), covers=("scatter_extreme",),
        errors=[((line, 0, beyond, line, "prod"), ArgumentError,
                 "scatter_reduce: reduce must be 'sum', 'mean', 'amax' or 'amin', got 'prod'")],
    ),
    Row(
        tfl.index_add, index_add, samples=scaled_lines, dtypes=common, covers=(),
        errors=[
            ((line, 0, np.array([0]), line), ShapeError,
             "index_add: source must have the shape (1,), got (3,)"),
        ],
    ),
    Row(changed(tfl.Tensor.index_add_), index_add, samples=scaled_lines,
        dtypes=("float64", "float32"), name="index_add_", covers=()),
    Row(tfl.index_copy, index_copy, samples=different_lines, dtypes=common, covers=()),
    Row(tfl.index_fill, index_fill, samples=fills, dtypes=common, covers=()),
    Row(tfl.index_select, lambda x, dim, index: np.take(x, index, dim), samples=selections,
        dtypes=common, covers=()),
    Row(
        changed(tfl.put_along_axis), changed(put_along_axis), samples=puts, dtypes=common,
        name="put_along_axis", covers=(),
        errors=[
            ((matrix, np.array([0]), 1), ShapeError,
             "put_along_axis: x and indices must have as many axes, got (2, 2) and (1,)"),
        ],
    ),
    Row(
        changed(tfl.fill_diagonal), changed(np.fill_diagonal), samples=diagonals, dtypes=common,
        name="fill_diagonal", covers=(),
        errors=[
            ((line, 1), ShapeError, "fill_diagonal: two axes are needed, or more of one length"),
            ((matrix, 1, True), ArgumentError, "fill_diagonal: wrap must be False, got True"),
        ],
    ),
    Row(tfl.compress, np.compress, samples=compressions, dtypes=common, covers=()),
    Row(tfl.extract, np.extract, samples=extractions, dtypes=common, covers=()),
    Row(tfl.flatnonzero, np.flatnonzero, samples=with_holes, dtypes=common, orders=0, covers=()),
    Row(tfl.choose, np.choose, samples=choices, dtypes=("float64", "float32", "int64"), covers=()),
    Row(
        tfl.select, np.select, samples=selects, dtypes=("float64", "float32", "int64"), covers=(),
        errors=[(([], []), ShapeError, "select: as many conditions as choices are needed")],
    ),
    Row(
        tfl.bincount, np.bincount, samples=counts, dtypes=("float64",), orders=0,
        covers=("bin_counts",),
        errors=[
            ((np.array([-1]),), ArgumentError, "bincount: x must not be negative, got -1"),
            ((line,), DtypeError, "bincount: x must hold integers, got float64"),
            ((np.zeros((2, 2), int),), ShapeError, "bincount: x must have one axis"),
            ((np.array([1]), line), ShapeError,
             "bincount: x and weights must be alike, got (1,), (3,)"),
        ],
    ),
    # The weights keep their dtype.
    Row(
        tfl.bincount, lambda x, w, minlength=0: np.bincount(x, w, minlength).astype(w.dtype),
        samples=weighed_counts, name="bincount with weights", dtypes=floats, covers=(),
    ),
    Row(
        tfl.histogram, np.histogram, samples=histograms, orders=0,
        dtypes=("float64", "float32", "int64"), covers=("bin_edges", "digitize"),
        errors=[
            ((line, 0), ArgumentError, "histogram: at least one bin is needed, got bins=0"),
            ((line, np.array([1.0, 0.0])), ArgumentError, "histogram: the edges must be in order"),
            ((line, 2, (1.0, 0.0)), ArgumentError, "histogram: range must be in order"),
            ((np.array([np.inf]),), ArgumentError, "histogram: x must be finite"),
        ],
    ),
    Row(lambda *args: tfl.histogram(*args)[0], lambda *args: np.histogram(*args)[0],
        samples=weighed_histograms, name="histogram with weights", dtypes=("float64",), covers=()),
    Row(tfl.digitize, np.digitize, samples=bins, dtypes=("float64", "float32", "int64"), orders=0,
        covers=("digitize",)),
    Row(tfl.bucketize, lambda x, edges, right=False: np.digitize(x, edges, not right),
        samples=rising_bins, dtypes=("float64", "float32"), orders=0, covers=("digitize",)),
]  # fmt: skip
