"""Rows of putting arrays together, taking them apart and turning them."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tests.op_table import Constant, Row, Sample

common = ("float64", "float32", "bfloat16", "int64")


def copied(function):
    """NumPy's function with arrays of their own as results; ours may be views."""

    def run(*args, **options):
        found = function(*args, **options)
        return [np.array(one) for one in found] if type(found) in (tuple, list) else found

    return run


def any_rank(draw):
    yield Sample(draw())
    yield Sample(draw(3))
    yield Sample(draw(2, 3))
    yield Sample(draw(2, 3, 1, 2))
    yield Sample(draw(), draw(2))
    yield Sample(draw(0))
    yield Sample(draw.strided(2, 3))


def alike(draw):
    yield Sample([draw(3), draw(3)])
    yield Sample([draw(2, 3), draw(2, 3)])
    yield Sample([draw(2, 3, 2), draw(2, 3, 2)])
    yield Sample([draw(0, 3), draw.strided(2, 3)[:0]])
    yield Sample([draw.strided(2, 3), draw(2, 3)])


def columns(draw):
    yield Sample([draw(3), draw(3, 2)])
    yield Sample([draw(3), draw(3)])
    yield Sample([draw(0, 3), draw(0, 1)])
    yield Sample([draw.strided(2, 3), draw(2)])


def blocks(draw):
    yield Sample([[draw(2, 2), draw(2, 1)], [draw(1, 3)]])
    yield Sample([draw(2), draw(), draw(3)])
    yield Sample([draw(0, 3), draw(0, 2)])
    yield Sample([[draw.strided(2, 3)]])
    yield Sample(draw(2, 2))


def appended(draw):
    yield Sample(draw(2, 3), draw(2))
    yield Sample(draw(2, 3), draw(1, 3), axis=0)
    yield Sample(draw(0, 3), draw(2, 3), 0)
    yield Sample(draw.strided(2, 3), draw(2, 1), axis=-1)


def deleted(draw):
    yield Sample(draw(3, 4), 1)
    yield Sample(draw(3, 4), 1, axis=0)
    yield Sample(draw(3, 4), [0, -1, 0], 1)
    yield Sample(draw(3, 4), slice(None, None, 2), axis=-1)
    yield Sample(draw(3), [True, False, True])
    yield Sample(draw(0, 3), 0, 1)
    yield Sample(draw.strided(3, 4), [], 0)


def inserted(draw):
    yield Sample(draw(3, 4), 1, draw())
    yield Sample(draw(3, 4), 1, draw(4), axis=0)
    yield Sample(draw(3, 4), 1, draw(3), 1)
    yield Sample(draw(3, 4), [3, 0, 3], draw(3, 4), 0)
    yield Sample(draw(3, 4), [1], draw(3, 1), axis=1)
    yield Sample(draw(3), slice(0, 3, 2), draw(2))
    yield Sample(draw(3), -1, draw(2))
    yield Sample(draw(0, 3), 1, draw(0), 1)
    yield Sample(draw.strided(2, 3), [0, -1], 2, 1)


def resized(draw):
    yield Sample(draw(2, 3), (4, 2))
    yield Sample(draw(2, 3), (2,))
    yield Sample(draw(0), (2, 2))
    yield Sample(draw.strided(2, 2), (5,))


def pieces(draw):
    yield Sample(draw(5, 2), 3)
    yield Sample(draw(2, 5), 2, axis=-1)
    yield Sample(draw(5), [1, 3])
    yield Sample(draw(5), [3, 1, 9])
    yield Sample(draw(0, 3), 2)
    yield Sample(draw.strided(4), 3)


def cut(*shape):
    def samples(draw):
        yield Sample(draw(*shape), 2)
        yield Sample(draw(*shape), [1])
        yield Sample(draw(*shape, 0), 2)
        yield Sample(draw(*shape[::-1]).T, 2)

    return samples


def flipped(draw):
    yield Sample(draw(2, 3))
    yield Sample(draw(2, 0))
    yield Sample(draw.strided(2, 3))


def turned(draw):
    for turns in (-1, 0, 1, 2, 7):
        yield Sample(draw(2, 3), turns)
        yield Sample(draw(2, 3, 4), turns, (2, 0))
    yield Sample(draw(0, 3), 1)
    yield Sample(draw.strided(2, 3))


def rolled(draw):
    for axis, start in ((2, 0), (0, 3), (1, -1), (-1, 1), (0, 0)):
        yield Sample(draw(2, 3, 4), axis, start)
    yield Sample(draw(0, 3), 1)
    yield Sample(draw.strided(2, 3), 1)


def unflattened(draw):
    yield Sample(draw(2, 6), 1, (3, -1))
    yield Sample(draw(6, 2), -2, (2, 3))
    yield Sample(draw(0, 4), 1, (2, 2))
    yield Sample(draw.strided(2, 4), 1, (2, 2))


def unflatten(x, dim, sizes):
    dim %= x.ndim
    known = np.prod([n for n in sizes if n != -1], dtype=int)
    sizes = [x.shape[dim] // known if n == -1 else n for n in sizes]
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def windows(draw):
    yield Sample(draw(5), 3)
    yield Sample(draw(3, 4), (2, 2))
    yield Sample(draw(3, 4), 2, axis=-1)
    yield Sample(draw(5), 1)
    yield Sample(draw(0, 3), 2, 1)
    yield Sample(draw.strided(3, 4), (2, 3))


def with_zeros(draw):
    values = np.array([0, 0, 1, 0, 2, 0], draw.dtype)
    for trim in ("f", "b", "fb"):
        yield Sample(Constant(values), trim)
    yield Sample(draw.strided(3))
    yield Sample(Constant(np.zeros(3, draw.dtype)))
    yield Sample(np.zeros(0, draw.dtype))


def along(draw):
    yield Sample(0, draw(2, 3))
    yield Sample(-1, draw(2, 3))
    yield Sample(1, draw.strided(2, 3, 2))
    yield Sample(0, draw(0, 3))


def along_axis(namespace):
    """A function that gives a matrix for each vector, and one that gives a number."""

    def run(axis, x):
        if not x.shape[axis]:
            return x
        outer = namespace.apply_along_axis(lambda v: v[:, None] * v[None, :2], axis, x)
        return outer, namespace.apply_along_axis(lambda v: (v * v).sum(), axis, x)

    return run


def over(draw):
    yield Sample(draw(2, 3, 4), [0, 2])
    yield Sample(draw(2, 3, 4), -1)
    yield Sample(draw(0, 3), [0])
    yield Sample(draw.strided(2, 3), [1, 0])


line = np.zeros(3)
rows = [
    *[Row(getattr(tfl, f"atleast_{n}d"), copied(getattr(np, f"atleast_{n}d")), samples=any_rank,
          dtypes=common, view=True) for n in (1, 2, 3)],
    Row(tfl.hstack, np.hstack, samples=alike, dtypes=common,
        errors=[(([],), ShapeError, "hstack: at least one tensor is needed, got none")]),
    Row(tfl.vstack, np.vstack, samples=alike, dtypes=common),
    Row(tfl.dstack, np.dstack, samples=alike, dtypes=common),
    Row(tfl.column_stack, np.column_stack, samples=columns, dtypes=common),
    Row(tfl.block, np.block, samples=blocks, dtypes=common,
        errors=[(([line, [line]],), ShapeError, "block: lists must be nested alike")]),
    Row(tfl.append, np.append, samples=appended, dtypes=common),
    Row(tfl.delete, np.delete, samples=deleted, dtypes=common, errors=[
        ((line, 3), ShapeError, "delete: a place must lie in [-3, 2], got 3"),
        ((line, 0.5), DtypeError, "delete: places must be integers, got 0.5"),
    ]),
    Row(tfl.insert, np.insert, samples=inserted, dtypes=common, errors=[
        ((line, 4, 1), ShapeError, "insert: a place must lie in [-3, 3], got 4"),
    ]),
    Row(tfl.resize, np.resize, samples=resized, dtypes=common),
    Row(tfl.array_split, copied(np.array_split), samples=pieces, dtypes=common, view=True, errors=[
        ((line, 0), ArgumentError, "array_split: at least one piece is needed, got 0"),
    ]),
    Row(tfl.tensor_split, copied(lambda x, parts, axis=0: np.array_split(x, parts, axis)),
        samples=lambda draw: (Sample(*s.args, *s.kwargs.values()) for s in pieces(draw)),
        dtypes=("float64",), view=True),
    Row(tfl.hsplit, copied(np.hsplit), samples=cut(2, 4), dtypes=("float64",), view=True),
    Row(tfl.vsplit, copied(np.vsplit), samples=cut(4, 3), dtypes=("float64",), view=True,
        errors=[((line, 3), ShapeError, "vsplit: at least 2 axes are needed, got shape (3,)")]),
    Row(tfl.dsplit, copied(np.dsplit), samples=cut(1, 3, 2), dtypes=("float64",), view=True),
    Row(tfl.fliplr, np.fliplr, samples=flipped, dtypes=common, view=True,
        errors=[((line,), ShapeError, "flip: axis must lie in [-1, 1), got 1")]),
    Row(tfl.flipud, np.flipud, samples=flipped, dtypes=common, view=True),
    Row(tfl.rot90, np.rot90, samples=turned, dtypes=common, view=True,
        errors=[((line,), ShapeError, "rot90: axis must lie in [-1, 1), got 1")]),
    Row(tfl.rollaxis, np.rollaxis, samples=rolled, dtypes=common, view=True,
        errors=[((line, 0, 4), ShapeError, "rollaxis: start must lie in [-1, 1], got 4")]),
    Row(tfl.unflatten, unflatten, samples=unflattened, dtypes=common, view=True,
        errors=[((line, 0, (2, 2)), ShapeError, "unflatten: the sizes must make 3, got (2, 2)")]),
    Row(tfl.sliding_window_view, np.lib.stride_tricks.sliding_window_view, samples=windows,
        dtypes=common, errors=[
            ((line, 4), ShapeError, "sliding_window_view: the window must fit, got 4 of 3 along"),
        ]),
    Row(tfl.trim_zeros, np.trim_zeros, samples=with_zeros, dtypes=common, view=True),
    Row(along_axis(tfl), along_axis(np), samples=along, name="apply_along_axis",
        dtypes=("float64", "float32"), view=True),
    Row(lambda x, axes: tfl.apply_over_axes(tfl.sum, x, axes),
        lambda x, axes: np.apply_over_axes(np.sum, x, axes), samples=over, name="apply_over_axes",
        dtypes=("float64", "float32")),
]  # fmt: skip
