"""Putting arrays together, with NumPy's rarer names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.tensor import Tensor
from ..errors import DtypeError, ShapeError
from .arguments import as_tensor, one_axis
from .arguments import shape_argument as _shape
from .casting import clone
from .creation import arange, asarray
from .indexing import _getitem, take
from .joining import concat
from .shaping import _reshape, flatten, moveaxis


def _tensor(x: Any) -> Tensor:
    return asarray(x) if isinstance(x, list | tuple) else as_tensor(x)


def _tensors(name: str, xs: Any) -> list[Tensor]:
    if type(xs) is Tensor:
        xs = list(xs)
    found = [_tensor(x) for x in xs]
    if not found:
        raise ShapeError(f"{name}: at least one tensor is needed, got none")
    return found


# -- at least so many axes -------------------------------------------------------------------------
def _at_least(xs: tuple[Any, ...], change: Callable[[Tensor], Tensor]) -> Any:
    found = [change(_tensor(x)) for x in xs]
    return found[0] if len(found) == 1 else tuple(found)


def _one(x: Tensor) -> Tensor:
    return x if x.ndim else _reshape(x, (1,))


def _two(x: Tensor) -> Tensor:
    return x if x.ndim > 1 else _reshape(x, (1, x.size))


def _three(x: Tensor) -> Tensor:
    if x.ndim > 2:
        return x
    return _reshape(x, (*x.shape, 1) if x.ndim == 2 else (1, x.size, 1))


def atleast_1d(*xs: Any) -> Any:
    """Return tensors with at least one axis, as views.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.atleast_1d(tfl.tensor(2.0))
    tensor([2.])
    """
    return _at_least(xs, _one)


def atleast_2d(*xs: Any) -> Any:
    """Return tensors with at least two axes, as views: new ones come first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.atleast_2d(tfl.tensor([1.0, 2.0])).shape
    (1, 2)
    """
    return _at_least(xs, _two)


def atleast_3d(*xs: Any) -> Any:
    """Return tensors with at least three axes, as views: a vector lies along the second.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.atleast_3d(tfl.tensor([1.0, 2.0])).shape
    (1, 2, 1)
    """
    return _at_least(xs, _three)


# -- together --------------------------------------------------------------------------------------
def hstack(xs: Any, /) -> Tensor:
    """Join tensors along the second axis; vectors along the first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.hstack([tfl.zeros((2, 1)), tfl.ones((2, 2))])
    tensor([[0., 1., 1.],
            [0., 1., 1.]])
    """
    found = [_one(x) for x in _tensors("hstack", xs)]
    return concat(found, 0 if found[0].ndim == 1 else 1)


def vstack(xs: Any, /) -> Tensor:
    """Join tensors along the first axis; vectors as rows.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.vstack([tfl.zeros(2), tfl.ones(2)])
    tensor([[0., 0.],
            [1., 1.]])
    """
    return concat([_two(x) for x in _tensors("vstack", xs)], 0)


row_stack = vstack


def dstack(xs: Any, /) -> Tensor:
    """Join tensors along the third axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.dstack([tfl.zeros(2), tfl.ones(2)]).shape
    (1, 2, 2)
    """
    return concat([_three(x) for x in _tensors("dstack", xs)], 2)


def column_stack(xs: Any, /) -> Tensor:
    """Join vectors as columns, and matrices side by side.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.column_stack([tfl.zeros(2), tfl.ones(2)])
    tensor([[0., 1.],
            [0., 1.]])
    """
    found = _tensors("column_stack", xs)
    return concat([x if x.ndim > 1 else _reshape(x, (x.size, 1)) for x in found], 1)


def block(arrays: Any, /) -> Tensor:
    """Join nested lists of blocks: the innermost along the last axis, the next along that before.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.block([[tfl.ones((1, 1)), tfl.zeros((1, 2))]])
    tensor([[1., 0., 0.]])
    """
    depth = _depth(arrays)
    most = max(depth, _most_axes(arrays))
    out = _blocks(arrays, most, depth)
    return clone(out) if depth == 0 else out


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    if not arrays:
        raise ShapeError("block: lists must not be empty, got one that is")
    depths = {_depth(one) for one in arrays}
    if len(depths) > 1:
        raise ShapeError(f"block: lists must be nested alike, got depths {sorted(depths)}")
    return 1 + depths.pop()


def _most_axes(arrays: Any) -> int:
    if isinstance(arrays, list):
        return max([_most_axes(one) for one in arrays])
    return as_tensor(arrays).ndim


def _blocks(arrays: Any, most: int, depth: int) -> Tensor:
    if not isinstance(arrays, list):
        x = as_tensor(arrays)
        return _reshape(x, (1,) * (most - x.ndim) + x.shape)
    return concat([_blocks(one, most, depth - 1) for one in arrays], most - depth)


def append(x: Any, values: Any, /, axis: int | None = None) -> Tensor:
    """Return ``x`` with values put after it.

    Parameters
    ----------
    x, values : Tensor
        Of one shape but for the axis.
    axis : int, optional
        None takes all elements of both in a row.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.append(tfl.tensor([1.0]), tfl.tensor([2.0, 3.0]))
    tensor([1., 2., 3.])
    """
    x, values = _tensor(x), _tensor(values)
    if axis is None:
        return concat([flatten(x), flatten(values)], 0)
    return concat([x, values], axis)


def _places(name: str, obj: Any, length: int) -> list[int]:
    """Return places along an axis, given as an integer, a slice, integers or booleans."""
    if isinstance(obj, slice):
        return list(range(*obj.indices(length)))
    listed = obj.tolist() if hasattr(obj, "tolist") else obj
    items = listed if isinstance(listed, list | tuple) else [listed]
    if items and all(isinstance(item, bool) for item in items):
        if len(items) != length:
            raise ShapeError(f"{name}: {length} booleans are needed, got {len(items)}")
        return [i for i, item in enumerate(items) if item]
    if any(not hasattr(item, "__index__") for item in items):
        raise DtypeError(f"{name}: places must be integers, got {obj!r}")
    return [item.__index__() for item in items]


def _within(name: str, place: int, length: int, last: int) -> int:
    if not -length <= place <= last:
        raise ShapeError(f"{name}: a place must lie in [{-length}, {last}], got {place}")
    return place + length if place < 0 else place


def delete(x: Any, obj: Any, /, axis: int | None = None) -> Tensor:
    """Return ``x`` without some slices along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape.
    obj : int, slice, sequence of int or of bool
        Which to leave out.
    axis : int, optional
        None takes all elements in a row.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.delete(tfl.arange(4), [0, -1])
    tensor([1, 2])
    """
    x = _tensor(x)
    if axis is None:
        x, axis = flatten(x), 0
    axis = one_axis("delete", axis, x.ndim)
    length = x.shape[axis]
    gone = {_within("delete", p, length, length - 1) for p in _places("delete", obj, length)}
    return take(x, [i for i in range(length) if i not in gone], axis=axis)


def insert(x: Any, obj: Any, values: Any, /, axis: int | None = None) -> Tensor:
    """Return ``x`` with values put before some places along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape.
    obj : int, slice, sequence of int or of bool
        Before which places of ``x``; its length is the end.
    values : Tensor or number
        What to put there: broadcasts to a slice for each place.
    axis : int, optional
        None takes all elements in a row.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.insert(tfl.tensor([1.0, 2.0]), 1, 5.0)
    tensor([1., 5., 2.])
    """
    x = _tensor(x)
    if axis is None:
        x, axis = flatten(x), 0
    axis = one_axis("insert", axis, x.ndim)
    length = x.shape[axis]
    places = [_within("insert", p, length, length) for p in _places("insert", obj, length)]
    single = hasattr(obj, "__index__") and not (hasattr(obj, "ndim") and obj.ndim)
    values = asarray(values, device=x.device) if not isinstance(values, Tensor) else values
    values = values.astype(x.dtype, copy=False)
    if single:  # an integer takes a whole block: its first axis is the one that grows
        if values.ndim == x.ndim:
            count = values.shape[0] if axis else values.shape[axis]
            values = moveaxis(values, 0, axis)
        elif values.ndim and x.ndim == 1:
            count = values.shape[0]
        else:
            count = 1
        if values.ndim and values.ndim < x.ndim:
            values = _getitem(values, (None, ...))
            values = moveaxis(values, 0, axis) if values.ndim == x.ndim else values
        places = places * count
    shape = (*x.shape[:axis], len(places), *x.shape[axis + 1 :])
    values = values.broadcast_to(shape)
    order = sorted(range(len(places)), key=lambda i: places[i])
    picked: list[int] = []
    given = iter(order)
    waiting = next(given, None)
    for i in range(length + 1):
        while waiting is not None and places[waiting] == i:
            picked.append(length + waiting)
            waiting = next(given, None)
        if i < length:
            picked.append(i)
    return take(concat([x, values], axis), picked, axis=axis)


def resize(x: Any, new_shape: Any, /) -> Tensor:
    """Return the elements in another shape, over again where there are too few.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.resize(tfl.tensor([1.0, 2.0]), (3,))
    tensor([1., 2., 1.])
    """
    x, shape = flatten(_tensor(x)), _shape("resize", new_shape)
    count = math.prod(shape)
    if not x.size:
        return asarray(0, dtype=x.dtype, device=x.device).broadcast_to(shape).clone()
    return _reshape(take(x, arange(count, device=x.device) % x.size), shape)
