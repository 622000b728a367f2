"""Rows of reading and assigning by keys, and of taking by index."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.core.primitive import traced
from tensorflowlite.errors import DtypeError, OutOfRangeError, ShapeError
from tests.op_table import Row, Sample, booleans, numbers

every = (*numbers, *booleans)
common = ("float64", "float32", "bfloat16", "complex128", "int64", "bool")
every_key = slice(None)


class Key:
    """A key that the properties leave as it is: index arrays in it go to the tensor's device."""

    def __init__(self, *parts):
        self.parts = parts

    def __repr__(self):
        return f"Key{self.parts}"

    def for_tensor(self, x):
        parts = [
            tfl.to_device(tfl.tensor(part), x.device) if isinstance(part, np.ndarray) else part
            for part in self.parts
        ]
        return tuple(parts) if len(parts) != 1 else parts[0]

    def for_array(self):
        return self.parts if len(self.parts) != 1 else self.parts[0]


def read(x, key):
    return x[key.for_tensor(x)]


def read_reference(x, key):
    return np.asarray(x[key.for_array()])


def assign(x, value, key):
    changed = tfl.clone(x)
    changed[key.for_tensor(x)] = value
    return changed


def assign_reference(x, value, key):
    changed = np.array(x, order="C")
    changed[key.for_array()] = value
    return changed


def basic_keys(draw):
    yield Sample(draw(3, 4), Key(1))
    yield Sample(draw(3, 4), Key(-1, -2))
    yield Sample(draw(3, 4), Key(slice(None, None, -2), None, slice(1, 3)))
    yield Sample(draw(2, 3, 4), Key(..., 0))
    yield Sample(draw(2, 3, 4), Key(slice(5, 2), ...))
    yield Sample(draw(3), Key(None))
    yield Sample(draw(), Key(...))
    yield Sample(draw(), Key(None, ...))
    yield Sample(draw(0, 3), Key(every_key, 1))
    yield Sample(draw.strided(3, 4), Key(slice(0, 3, 2), slice(None, None, -1)))


def array_keys(draw):
    twice = np.array([2, 0, 2, -1])
    yield Sample(draw(3, 4), Key(twice))
    yield Sample(draw(3, 4), Key(every_key, np.array([[0, 1], [1, -1]])))
    yield Sample(draw(3, 4), Key(twice, np.array([1, 1, 1, 0])))
    yield Sample(draw(3, 4), Key(np.array([[0], [2]]), np.array([1, 3, 3])))
    yield Sample(draw(2, 3, 4), Key(every_key, np.array([0, 0]), np.array([1, 1])))
    yield Sample(draw(2, 3, 4), Key(np.array([0, 1]), every_key, np.array([1, 1])))
    yield Sample(draw(2, 3, 4), Key(0, ..., np.array([3, 0, 3])))
    yield Sample(draw(2, 3, 4), Key(None, np.array([1]), slice(0, 2)))
    yield Sample(draw(3), Key(np.array(1)))
    yield Sample(draw(3), Key(np.array([], dtype=np.int64)))
    yield Sample(draw(0, 3), Key(every_key, np.array([0, 2])))
    yield Sample(draw.strided(3, 4), Key(np.array([2, 2]), slice(None, None, 2)))
    yield Sample(draw(3, 4), Key(np.array([2, 0], dtype=np.uint8)))


def mask_keys(draw):
    mask = np.array([True, False, True])
    yield Sample(draw(3, 4), Key(mask))
    yield Sample(draw(4, 3), Key(every_key, mask))
    yield Sample(draw(3, 3), Key(mask, np.array([0, 2])))
    yield Sample(draw(3, 3), Key(np.eye(3, dtype=bool)))
    yield Sample(draw(3, 3), Key(np.zeros((3, 3), bool)))
    yield Sample(draw(2), Key(np.array(True)))
    yield Sample(draw(2), Key(True, None))
    yield Sample(draw.strided(3, 4), Key(mask, 1))
    yield Sample(draw(0), Key(np.zeros(0, bool)))


def assignments(keys, leading=True):
    """Values of the shape of what is written, a broadcast one, and one with leading axes."""

    def samples(draw):
        for sample in keys(draw):
            x, key = sample.args
            shape = read_reference(x, key).shape
            yield Sample(x, np.asarray(draw(*shape)), key)
            yield Sample(x, np.asarray(draw()), key)
            if shape and leading:  # NumPy allows them, but not with a mask
                yield Sample(x, np.asarray(draw(1, *shape)), key)
            if shape and shape[-1] > 1:
                yield Sample(x, np.asarray(draw(1)), key)

    return samples


def basic_assignments(draw):
    yield from assignments(basic_keys)(draw)


def last_writes(x, indices, shape):
    return traced.last_writes(x, indices, ("index",), shape)


def last_writes_reference(x, indices, shape):
    places = [int(i) % shape[0] for i in indices]
    last = {place: position for position, place in enumerate(places)}
    rows = np.array([last[place] == position for position, place in enumerate(places)], bool)
    return np.broadcast_to(rows.reshape(-1, *[1] * (x.ndim - 1)), x.shape)


def writes(draw):
    yield Sample(draw(4), np.array([1, 0, 1, 2]), (3,))
    yield Sample(draw(2, 2), np.array([0, -3]), (3, 2))
    yield Sample(draw.strided(2, 2), np.array([1, 1]), (2, 2))
    yield Sample(draw(0), np.array([], np.int64), (2,))


def takes(draw):
    yield Sample(draw(3, 4), np.array([3, 11, -1]))
    yield Sample(draw(3, 4), np.array([[1, 1], [0, 2]]), 0)
    yield Sample(draw(3, 4), np.array([3, 3]), axis=-1)
    yield Sample(draw(2, 3, 2), np.array(1), 1)
    yield Sample(draw(0, 3), np.array([2]), axis=1)
    yield Sample(draw.strided(3, 4), np.array([0, 0]), 0)


def takes_along(draw):
    yield Sample(draw(3, 4), np.array([[1, 1], [0, 3], [-1, 2]]))
    yield Sample(draw(3, 4), np.array([[2, 0, 0, 1]]), 0)
    yield Sample(draw(3, 4), np.array([[1]]), axis=1)
    yield Sample(draw(1, 4), np.array([[1], [1]]), axis=1)
    yield Sample(draw(4), np.array([0, 0, 3]), -1)
    yield Sample(draw(0, 3), np.zeros((0, 2), np.int64), 1)
    yield Sample(draw.strided(2, 3), np.array([[0, 2], [2, 2]]), axis=-1)


def found(draw):
    yield Sample(np.asarray(np.round(draw(3, 4)) if draw.dtype.kind != "b" else draw(3, 4)))
    yield Sample(draw(0, 3))
    yield Sample(draw.strided(2, 3))


line, matrix = np.zeros(3), np.zeros((2, 2))
rows = [
    Row(
        read,
        read_reference,
        samples=basic_keys,
        name="getitem",
        dtypes=every,
        view=True,
        covers=("getitem", "place"),
        errors=[
            (
                (line, Key(5)),
                OutOfRangeError,
                "getitem: index 5 is out of bounds for axis 0 with size 3, got float64 (3,), key=5",
            ),
            ((line, Key(0, 0)), OutOfRangeError, "getitem: too many indices for array"),
            (
                (line, Key("a")),
                DtypeError,
                "getitem: a key must hold integers, slices, None, ..., or arrays of integers "
                "or booleans, got str",
            ),
            (
                (line, Key(1.0)),
                DtypeError,
                "getitem: a key must hold integers, slices, None, ..., or arrays of integers "
                "or booleans, got float",
            ),
        ],
    ),
    Row(
        read,
        read_reference,
        samples=array_keys,
        name="getitem by arrays",
        dtypes=every,
        covers=("getitem_arrays", "scatter_add"),
        host_errors=[
            (
                (line, Key(np.array([0, 7]))),
                OutOfRangeError,
                "got x float64 (3,) indexed by int64 (2,)",
            ),
        ],
        errors=[
            (
                (line, Key(np.array([0.0]))),
                DtypeError,
                "getitem: index arrays must hold integers or booleans, got float64 (1,); cast "
                "with astype(int64) first",
            ),
        ],
    ),
    Row(
        read,
        read_reference,
        samples=mask_keys,
        name="getitem by masks",
        dtypes=common,
        covers=("getitem_arrays", "scatter_add"),
    ),
    Row(
        assign,
        assign_reference,
        samples=basic_assignments,
        name="setitem",
        dtypes=common,
        covers=("setitem", "clear"),
        errors=[
            (
                (matrix, np.zeros(3), Key(0)),
                ShapeError,
                "setitem: values must broadcast to the shape of x[key], got (3,) -> (2,)",
            ),
            (
                (matrix, np.zeros(2, complex), Key(0)),
                DtypeError,
                "setitem: values must be of the tensor's kind or a lower one, got complex128 "
                "into float64",
            ),
            (
                (matrix.astype(int), np.zeros(2), Key(0)),
                DtypeError,
                "setitem: values must be of the tensor's kind or a lower one, got float64 into "
                "int64",
            ),
            (
                (matrix, np.zeros(2), Key(4)),
                OutOfRangeError,
                "setitem: index 4 is out of bounds for axis 0 with size 2",
            ),
        ],
    ),
    Row(
        assign,
        assign_reference,
        samples=assignments(array_keys),
        name="setitem by arrays",
        dtypes=common,
        covers=("setitem_arrays", "clear_arrays", "last_writes"),
    ),
    Row(
        assign,
        assign_reference,
        samples=assignments(mask_keys, leading=False),
        name="setitem by masks",
        dtypes=common,
        covers=("setitem_arrays", "clear_arrays"),
    ),
    Row(
        last_writes,
        last_writes_reference,
        samples=writes,
        dtypes=("float64",),
        orders=0,
        covers=("last_writes",),
    ),
    Row(
        tfl.take,
        np.take,
        samples=takes,
        dtypes=common,
        errors=[
            (
                (line, np.array([True])),
                DtypeError,
                "take: indices must be integers, got booleans; use x[mask]",
            ),
        ],
        host_errors=[((line, np.array([3])), OutOfRangeError, "take: index 3 is out of bounds")],
    ),
    Row(
        tfl.take_along_axis,
        lambda x, indices, axis=-1: np.take_along_axis(x, indices, axis),
        samples=takes_along,
        dtypes=common,
        covers=("take_along_axis", "scatter_along_axis"),
        errors=[
            (
                (matrix, np.array([0])),
                ShapeError,
                "take_along_axis: x and indices must have as many axes, got (2, 2) and (1,)",
            ),
            (
                (matrix, np.array([[0.5]])),
                DtypeError,
                "take_along_axis: indices must be integers, got float64",
            ),
        ],
        host_errors=[
            (
                (matrix, np.array([[2]])),
                OutOfRangeError,
                "take_along_axis: index 2 is out of bounds for axis 1 with size 2",
            ),
        ],
    ),
    Row(
        tfl.nonzero,
        np.nonzero,
        samples=found,
        dtypes=common,
        orders=0,
        covers=("nonzero",),
        errors=[
            ((np.zeros(()),), ShapeError, "nonzero: at least one axis is needed, got shape ()"),
        ],
    ),
    Row(tfl.argwhere, np.argwhere, samples=found, dtypes=common, orders=0, covers=("argwhere",)),
]
