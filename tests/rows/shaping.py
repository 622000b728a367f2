"""Rows of shaping, joining, casting and creation from other tensors."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.core.primitive import traced
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tests.op_table import Row, Sample, booleans, elementwise, numbers

every = (*numbers, *booleans)
common = ("float64", "float32", "bfloat16", "complex128", "int64", "bool")


def arrays(draw):
    """Arrays of two axes and more: plain, empty, Fortran order, strided."""
    yield draw(3, 4)
    yield draw(0, 3)
    yield draw(4, 3).T
    yield draw.strided(2, 3, 4)
    yield draw(1, 2, 1)


def with_arguments(*arguments, shapes=arrays, **options):
    def samples(draw):
        for array in shapes(draw):
            for argument in arguments:
                yield Sample(array, *argument, **options)

    return samples


def reshapes(draw):
    yield Sample(draw(2, 6), (3, 4))
    yield Sample(draw(2, 6), -1)
    yield Sample(draw(2, 6), (4, -1))
    yield Sample(draw(6, 2).T, (3, 4))
    yield Sample(draw(), (1, 1))
    yield Sample(draw(1), ())
    yield Sample(draw(0, 3), (3, 0, 2))
    yield Sample(draw.strided(2, 6), (2, 2, 3))


def squeezes(draw):
    yield Sample(draw(1, 3, 1))
    yield Sample(draw(1, 3, 1), 0)
    yield Sample(draw(1, 3, 1), axis=(-1, 0))
    yield Sample(draw())
    yield Sample(draw(1, 1), 1)
    yield Sample(draw(1, 0), 0)
    yield Sample(draw.strided(3, 1, 2), -2)


def expansions(draw):
    for array in (draw(), draw(3), draw(0, 2), draw.strided(2, 3)):
        yield Sample(array, 0)
        yield Sample(array, -1)
        yield Sample(array, (0, -1))


def permutations(draw):
    yield Sample(draw(2, 3, 4), (2, 0, 1))
    yield Sample(draw(2, 3, 4), (-1, 0, -2))
    yield Sample(draw(3), (0,))
    yield Sample(draw(), ())
    yield Sample(draw(0, 2), (1, 0))
    yield Sample(draw.strided(2, 3), (1, 0))


def moves(draw):
    yield Sample(draw(2, 3, 4), 0, -1)
    yield Sample(draw(2, 3, 4), (0, 1), (-1, 0))
    yield Sample(draw.strided(2, 3, 2), -1, 0)
    yield Sample(draw(0, 3), 1, 0)


def swaps(draw):
    yield Sample(draw(2, 3, 4), 0, -1)
    yield Sample(draw(2, 3), 1, 1)
    yield Sample(draw(0, 3), 0, 1)
    yield Sample(draw.strided(2, 3, 2), -1, -2)


def flips(draw):
    for array in (draw(3), draw(2, 3), draw(0, 2), draw.strided(2, 3)):
        yield Sample(array)
        yield Sample(array, -1)
        yield Sample(array, axis=(0,))
    yield Sample(draw())


def rolls(draw):
    yield Sample(draw(2, 3), 1)
    yield Sample(draw(2, 3), -4, 1)
    yield Sample(draw(2, 3), (1, -1), (0, -1))
    yield Sample(draw.strided(2, 3), 2, axis=(0, 1))
    yield Sample(draw(0, 2), 1, axis=0)


def broadcasts(draw):
    yield Sample(draw(3, 1), (2, 3, 4))
    yield Sample(draw(), (2, 3))
    yield Sample(draw(2, 3), (2, 3))
    yield Sample(draw(1, 3), (0, 3))
    yield Sample(draw(0, 1), (2, 0, 3))
    yield Sample(draw.strided(3, 1), (3, 2))
    yield Sample(draw(3), 3)


def diagonals(draw):
    yield Sample(draw(3, 4))
    yield Sample(draw(3, 4), 1)
    yield Sample(draw(3, 4), -5)
    yield Sample(draw(2, 3, 4), -1, 1, 2)
    yield Sample(draw(2, 3, 2), offset=0, axis1=-1, axis2=0)
    yield Sample(draw(0, 3))
    yield Sample(draw.strided(3, 4), 1)


def diags(draw):
    yield Sample(draw(3))
    yield Sample(draw(3), -1)
    yield Sample(draw(0), 1)
    yield Sample(draw(2, 3), 1)
    yield Sample(draw.strided(2, 3))


def concats(draw):
    yield Sample([draw(2, 3), draw(1, 3)])
    yield Sample([draw(2, 3), draw(2, 1), draw(2, 0)], axis=-1)
    yield Sample((draw(0, 3), draw.strided(2, 3)), 0)
    yield Sample([draw(3, 2).T, draw(2, 2)], 1)
    yield Sample([draw(2, 3), np.asarray(draw())], axis=None)
    yield Sample([draw(2)])


def stacks(draw):
    yield Sample([draw(2, 3), draw(2, 3)])
    yield Sample([draw(2, 3), draw.strided(2, 3), draw(3, 2).T], axis=-1)
    yield Sample([np.asarray(draw()), np.asarray(draw())], 0)
    yield Sample([draw(0, 2)], axis=1)


def splits(draw):
    yield Sample(draw(4, 3), 2)
    yield Sample(draw(4, 3), 3, axis=-1)
    yield Sample(draw(5, 2), [1, 3])
    yield Sample(draw(5, 2), [-2, 9], 0)
    yield Sample(draw(2, 3), [])
    yield Sample(draw.strided(4, 2), 4)
    yield Sample(draw(0, 3), 2)


def unstacks(draw):
    yield Sample(draw(3, 2))
    yield Sample(draw(3, 2), -1)
    yield Sample(draw(3))
    yield Sample(draw.strided(2, 3), 1)
    yield Sample(draw(2, 0))


def tiles(draw):
    yield Sample(draw(2, 3), 2)
    yield Sample(draw(2, 3), (2, 1, 2))
    yield Sample(draw(1), (1,))
    yield Sample(draw(1), 3)
    yield Sample(draw(), (2, 2))
    yield Sample(draw.strided(2, 2), (2, 1))
    yield Sample(draw(2), 0)
    yield Sample(draw(0, 2), 2)


def repeats(draw):
    yield Sample(draw(2, 3), 2)
    yield Sample(draw(2, 3), 2, axis=-1)
    yield Sample(draw(2, 3), [0, 2, 1], 1)
    yield Sample(draw(2), [3])
    yield Sample(draw(), 2)
    yield Sample(draw(1), 3)
    yield Sample(draw.strided(2, 3), 1, axis=0)
    yield Sample(draw(0, 2), 2, axis=0)


def casts(draw):
    for array in elementwise(draw):  # to a dtype that rounds nothing: differences are checked
        yield Sample(*array.args, np.dtype("float64"))
    yield Sample(draw.strided(2, 3), np.dtype("complex128"))
    yield Sample(draw(), np.dtype("float64"), copy=True)


def chunked(x, chunks, axis=0):
    if not x.shape[axis]:
        return np.split(x, [0] * (chunks - 1), axis)
    size = -(-x.shape[axis] // chunks)
    return np.split(x, range(size, x.shape[axis], size), axis)


def flattened(x, start=0, end=-1):
    if x.ndim == 0:
        return x.reshape(1)
    start, end = start % x.ndim, end % x.ndim
    return x.reshape(*x.shape[:start], int(np.prod(x.shape[start : end + 1])), *x.shape[end + 1 :])


def grids(draw):
    yield Sample(draw(2), draw(3))
    yield Sample(draw(2), draw(3), draw(1), indexing="ij")
    yield Sample(draw(2), draw(3), draw(1), indexing="xy")
    yield Sample(draw(0), draw(2))
    yield Sample(draw.strided(3))


def spread(draw):
    yield Sample(draw(3, 1), draw(1, 4))
    yield Sample(draw(), draw.strided(2), draw(2, 2))
    yield Sample(draw(0, 1), draw(3))


def there_and_back(x):
    """Move to the host and back."""
    host = tfl.tensor(0).device
    return traced.to_device(traced.to_device(x, (x.device, host)), (host, x.device))


matrix = np.zeros((2, 2))
cube = np.zeros((2, 3, 4))
rows = [
    Row(
        tfl.reshape,
        np.reshape,
        samples=reshapes,
        dtypes=every,
        view=True,
        covers=("reshape",),
        errors=[
            (
                (matrix, (3, 3)),
                ShapeError,
                "reshape: the sizes must match, got (2, 2) (4 elements) -> (3, 3) (9); one "
                "length may be -1",
            ),
            (
                (matrix, (3, -1)),
                ShapeError,
                "reshape: the known lengths must divide the size, got (2, 2) (4 elements) -> "
                "(3, -1)",
            ),
            (
                (matrix, (-1, -1)),
                ShapeError,
                "reshape: one length may be -1, got (2, 2) -> (-1, -1)",
            ),
            ((matrix, (-2, 2)), ShapeError, "reshape: lengths must not be negative"),
            (
                (matrix, "4"),
                DtypeError,
                "reshape: shape must be an integer or a sequence of integers, got '4'",
            ),
        ],
    ),
    Row(
        tfl.flatten,
        flattened,
        samples=with_arguments((), (1,), (0, -2), (-2, -1)),
        dtypes=common,
        view=True,
        errors=[
            (
                (cube, 2, 1),
                ShapeError,
                "flatten: start_axis must not come after end_axis, got 2 and 1",
            ),
        ],
    ),
    Row(tfl.ravel, np.ravel, samples=elementwise, dtypes=common, view=True),
    Row(
        tfl.squeeze,
        np.squeeze,
        samples=squeezes,
        dtypes=common,
        view=True,
        errors=[
            (
                (cube, 1),
                ShapeError,
                "squeeze: the axis must have length 1, got (2, 3, 4) with length 3 along axis 1",
            ),
            ((cube, 3), ShapeError, "squeeze: axis must lie in [-3, 3), got 3"),
        ],
    ),
    Row(
        tfl.expand_dims,
        np.expand_dims,
        samples=expansions,
        dtypes=common,
        view=True,
        errors=[
            ((matrix, 4), ShapeError, "expand_dims: axis must lie in [-3, 3), got 4"),
            ((matrix, (0, 0)), ShapeError, "expand_dims: axis must not repeat, got (0, 0)"),
        ],
    ),
    Row(
        tfl.permute_dims,
        np.transpose,
        samples=permutations,
        dtypes=every,
        view=True,
        covers=("permute_dims",),
        errors=[
            (
                (matrix, (0, 0)),
                ShapeError,
                "permute_dims: axes must name each of 2 axes once, got (0, 0) for shape (2, 2)",
            ),
            (
                (matrix, (0,)),
                ShapeError,
                "permute_dims: axes must name each of 2 axes once, got (0,)",
            ),
            ((matrix, 1), DtypeError, "permute_dims: axes must be a tuple of integers, got 1"),
        ],
    ),
    Row(
        tfl.swapaxes,
        np.swapaxes,
        samples=swaps,
        dtypes=common,
        view=True,
        errors=[
            ((matrix, 0, 2), ShapeError, "swapaxes: axis must lie in [-2, 2), got 2"),
        ],
    ),
    Row(
        tfl.moveaxis,
        np.moveaxis,
        samples=moves,
        dtypes=common,
        view=True,
        errors=[
            (
                (cube, (0, 1), 2),
                ShapeError,
                "moveaxis: source and destination must be as many, got (0, 1) and 2",
            ),
        ],
    ),
    Row(
        tfl.matrix_transpose,
        lambda x: np.swapaxes(x, -1, -2),
        samples=with_arguments(()),
        dtypes=common,
        view=True,
        errors=[
            (
                (np.zeros(3),),
                ShapeError,
                "matrix_transpose: at least two axes are needed, got shape (3,)",
            ),
        ],
    ),
    Row(
        tfl.flip,
        np.flip,
        samples=flips,
        dtypes=common,
        view=True,
        errors=[
            ((matrix, 2), ShapeError, "flip: axis must lie in [-2, 2), got 2"),
        ],
    ),
    Row(
        tfl.roll,
        np.roll,
        samples=rolls,
        dtypes=common,
        covers=("roll",),
        errors=[
            (
                (matrix, (1, 2), 0),
                ShapeError,
                "roll: a shift for each axis is needed, got (1, 2) for axis 0",
            ),
        ],
    ),
    Row(
        tfl.broadcast_to,
        np.broadcast_to,
        samples=broadcasts,
        dtypes=common,
        view=True,
        covers=("broadcast_to",),
        errors=[
            (
                (cube, (2, 3, 5)),
                ShapeError,
                "broadcast_to: each length must be 1 or the wanted one, got (2, 3, 4) -> (2, 3, 5)",
            ),
            (
                (cube, (4,)),
                ShapeError,
                "broadcast_to: each length must be 1 or the wanted one, got (2, 3, 4) -> (4,)",
            ),
        ],
    ),
    Row(
        tfl.broadcast_arrays,
        np.broadcast_arrays,
        samples=spread,
        view=True,
        errors=[
            (
                (matrix, np.zeros(3)),
                ShapeError,
                "broadcast_shapes: shapes must broadcast, got (2, 2) and (3,): axis -1 has 2 and 3",
            ),
        ],
    ),
    Row(
        tfl.meshgrid,
        np.meshgrid,
        samples=grids,
        view=True,
        errors=[
            ((matrix,), ShapeError, "meshgrid: each tensor must have one axis, got shape (2, 2)"),
        ],
    ),
    Row(
        tfl.diagonal,
        np.diagonal,
        samples=diagonals,
        dtypes=common,
        view=True,
        covers=("diagonal", "place_diagonal"),
        errors=[
            ((np.zeros(3),), ShapeError, "diagonal: at least two axes are needed, got shape (3,)"),
            ((matrix, 0, 1, -1), ShapeError, "diagonal: axis1 and axis2 must differ, got 1 and -1"),
        ],
    ),
    Row(
        tfl.diag,
        np.diag,
        samples=diags,
        dtypes=common,
        view=True,
        errors=[
            ((cube,), ShapeError, "diag: one or two axes are needed, got shape (2, 3, 4)"),
        ],
    ),
    *[
        Row(
            function,
            reference,
            samples=with_arguments((), (1,), (-1,)),
            dtypes=common,
            covers=(function.__name__,),
            errors=[
                (
                    (np.zeros(3),),
                    ShapeError,
                    f"{function.__name__}: at least two axes are needed, got shape (3,)",
                ),
            ],
        )
        for function, reference in ((tfl.tril, np.tril), (tfl.triu, np.triu))
    ],
    Row(
        tfl.concat,
        np.concatenate,
        samples=concats,
        dtypes=every,
        covers=("concat",),
        errors=[
            (
                ([matrix, np.zeros((2, 3))],),
                ShapeError,
                "concat: shapes must agree but along axis 0, got (2, 2) and (2, 3): axis 1 has "
                "2 and 3",
            ),
            (
                ([matrix, np.zeros(2)],),
                ShapeError,
                "concat: all must have as many axes, got (2, 2) and (2,); stack adds an axis",
            ),
            (([],), ShapeError, "concat: at least one tensor is needed, got none"),
            (
                ([np.zeros(())],),
                ShapeError,
                "concat: each tensor needs an axis, got shape (); stack adds one",
            ),
            (
                ([matrix, "b"],),
                DtypeError,
                "an operand must be a Tensor, an array or a number, got str",
            ),
        ],
    ),
    Row(
        tfl.stack,
        np.stack,
        samples=stacks,
        dtypes=every,
        covers=("stack",),
        errors=[
            (
                ([matrix, np.zeros(2)],),
                ShapeError,
                "stack: shapes must be equal, got (2, 2) and (2,); concat joins along an axis",
            ),
        ],
    ),
    Row(
        tfl.split,
        np.split,
        samples=splits,
        dtypes=every,
        view=True,
        covers=("split",),
        errors=[
            (
                (np.zeros(5), 2),
                ShapeError,
                "split: the pieces must be equal, got 2 of axis 0 with length 5; chunk makes a "
                "shorter last one",
            ),
            (
                (np.zeros(5), [3, 1]),
                ArgumentError,
                "split: the indices must be in order, got [3, 1]",
            ),
        ],
    ),
    Row(tfl.chunk, chunked, samples=with_arguments((2,), (3, -1), (7,)), dtypes=common, view=True),
    Row(
        tfl.unstack,
        lambda x, axis=0: list(np.moveaxis(x, axis, 0)),
        samples=unstacks,
        dtypes=common,
        view=True,
        covers=("unstack",),
        errors=[
            ((np.zeros(()),), ShapeError, "unstack: at least one axis is needed, got shape ()"),
        ],
    ),
    Row(
        tfl.tile,
        np.tile,
        samples=tiles,
        dtypes=common,
        errors=[
            ((matrix, -1), ArgumentError, "tile: repetitions must not be negative, got (-1,)"),
        ],
    ),
    Row(
        tfl.repeat,
        np.repeat,
        samples=repeats,
        dtypes=common,
        errors=[
            (
                (matrix, [1, 2, 3], 0),
                ShapeError,
                "repeat: a number for each of 2 places along axis 0 is needed, got 3",
            ),
        ],
    ),
    Row(tfl.clone, np.copy, samples=elementwise, dtypes=every),
    Row(
        tfl.astype,
        lambda x, dtype, copy=True: x.astype(dtype),
        samples=casts,
        name="astype",
        dtypes=("float64", "float32", "float16", "bfloat16"),
        errors=[
            (
                (np.zeros(2, complex), np.float64),
                DtypeError,
                "astype: a complex tensor can't become a real one, got complex128 -> float64; "
                "use real(), imag() or abs()",
            ),
            ((matrix, "float128"), DtypeError, "dtype: must be one of bool, int8"),
        ],
    ),
    Row(
        there_and_back,
        lambda x: x,
        samples=elementwise,
        name="to_device",
        dtypes=common,
        view=True,
        covers=("to_device",),
    ),
]
