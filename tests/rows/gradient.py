"""Rows of the operations that the tape itself applies to gradients."""

from __future__ import annotations

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.core.primitive import registry, traced
from tests.op_table import Row, Sample, complexes, floats, numbers

both = (*floats, *complexes)
# How a view is reached from its root, as the tape writes it down.
PATHS = [
    ((("getitem", 1),), (3, 4)),
    ((("getitem", (slice(None), slice(None, None, -2))),), (3, 4)),
    ((("permute_dims", (1, 0)), ("getitem", slice(1, 3)), ("reshape", (3, 2))), (3, 4)),
    ((("getitem", (1, 2)),), (3, 4)),
    ((("permute_dims", (1, 0)), ("reshape", (12,)), ("getitem", slice(2, 9))), (3, 4)),
    ((("getitem", slice(0, 2)),), (0, 3)),
    ((("reshape", ()),), (1,)),
]


def with_paths(path):
    """Return a path with primitives in place of their names."""
    return tuple((registry[name], attribute) for name, attribute in path)


def viewed(x, path):
    for name, attribute in path:
        if name == "getitem":
            x = np.asarray(x[attribute])
        else:
            x = x.transpose(attribute) if name == "permute_dims" else x.reshape(attribute)
    return x


def places(shape, path):
    return viewed(np.arange(int(np.prod(shape))).reshape(shape), path)


def read_view(x, path):
    return traced.read_view(x, with_paths(path))


def place_view(x, path, shape):
    return traced.place_view(x, with_paths(path), shape)


def place_view_reference(x, path, shape):
    out = np.zeros(shape, x.dtype)
    out.reshape(-1)[places(shape, path)] = x
    return out


def clear_view(x, path):
    return traced.clear_view(x, with_paths(path))


def clear_view_reference(x, path):
    out = np.array(x, order="C")
    out.reshape(-1)[places(x.shape, path)] = 0
    return out


def write_view(x, value, path):
    """Assign to a view of a tensor that isn't a leaf, and that lies as ``x`` does."""
    root = traced.cast(x, x.dtype)
    view = root
    for name, attribute in path:
        view = {"getitem": tfl.Tensor.__getitem__, "reshape": tfl.reshape,
                "permute_dims": tfl.permute_dims}[name](view, attribute)  # fmt: skip
    view[...] = value
    return root


def write_view_reference(x, value, path):
    out = np.array(x, order="C")
    out.reshape(-1)[places(x.shape, path)] = value
    return out


def sums(draw):
    yield Sample(draw(3, 4), (4,))
    yield Sample(draw(3, 4), (3, 1))
    yield Sample(draw(2, 3, 4), (1, 4))
    yield Sample(draw(3, 4), ())
    yield Sample(draw(3, 4), (3, 4))
    yield Sample(draw(4, 3).T, (1, 4))
    yield Sample(draw.strided(3, 4), (4,))
    yield Sample(draw(0, 3), (1, 3))
    yield Sample(draw(2, 0), (2, 1))
    yield Sample(draw(1, 1), ())


def sum_to(x, shape):
    lead = x.ndim - len(shape)
    axes = tuple(i for i in range(x.ndim) if i < lead or shape[i - lead] == 1)
    return np.sum(x, axes, keepdims=True).reshape(shape)


def casts(draw):
    narrow = dtypes.real_of(draw.dtype)  # differences would see the rounding of a narrower one
    for dtype in (narrow, dtypes.complex_of(narrow)):
        yield Sample(draw(3, 4), dtype)
        yield Sample(draw.strided(2, 3), dtype)
        yield Sample(draw(0, 3), dtype)
        yield Sample(draw(), dtype)


def cast(x, dtype):
    return (x.real if x.dtype.kind == "c" and dtype.kind != "c" else x).astype(dtype)


def along_paths(draw):
    for path, shape in PATHS:
        yield Sample(draw(*shape), path)
    yield Sample(draw(4, 3).T, PATHS[2][0])


def placed(draw):
    for path, shape in PATHS:
        yield Sample(draw(*viewed(np.zeros(shape), path).shape), path, shape)
    yield Sample(draw(4, 2).T, ((("getitem", slice(0, 2)),)), (3, 4))


def written(draw):
    for path, shape in PATHS:
        root = draw(*shape)
        if not np.shares_memory(root, viewed(root, path)) and root.size:
            root = draw(*shape[::-1]).T  # the path leads to a view of another layout
        if np.shares_memory(root, viewed(root, path)) or not root.size:
            yield Sample(root, draw(*viewed(root, path).shape), path)
    yield Sample(draw(4, 3).T, draw(), PATHS[0][0])


def zeros(draw):
    yield Sample(draw(3, 4), (2, 5), dtypes.float32)
    yield Sample(draw(), (), dtypes.complex128)
    yield Sample(draw(0, 2), (0,), dtypes.int64)
    yield Sample(draw(4, 3).T, (1,), dtypes.bfloat16)


rows = [
    Row(traced.sum_to, sum_to, samples=sums, dtypes=both, view=True),
    Row(traced.cast, cast, samples=casts, dtypes=("float64", "float32", "complex128"),
        dtype_of=lambda dtype, kind: kind, tolerance={"float32": 1e-6}),
    Row(traced.identity, lambda x: x, dtypes=numbers, view=True),
    Row(traced.zeros_for, lambda x, shape, dtype: np.zeros(shape, dtype), samples=zeros, orders=0,
        dtypes=("float64",), dtype_of=lambda dtype, kind: kind),
    Row(read_view, lambda x, path: viewed(x, path).copy(), samples=along_paths, dtypes=both,
        covers=("read_view",), view=True),
    Row(place_view, place_view_reference, samples=placed, dtypes=both, covers=("place_view",)),
    Row(clear_view, clear_view_reference, samples=along_paths, dtypes=both, covers=("clear_view",)),
    Row(write_view, write_view_reference, samples=written, dtypes=both,
        covers=("write_view", "clear_view", "read_view")),
]  # fmt: skip
