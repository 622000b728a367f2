"""Shape operations. Those that can be views are views, registered with their root."""

from __future__ import annotations

import math
from typing import Any

from ..core.tensor import Tensor
from ..errors import DtypeError, ShapeError
from .arguments import as_tensor, one_axis, several_axes
from .arguments import shape_argument as shape_argument
from .casting import clone
from .declare import attr1, general
from .indexing import _getitem


def _explain_reshape(shapes: list[tuple[int, ...]], shape: tuple[int, ...]) -> str | None:
    (before,) = shapes
    unknown = shape.count(-1)
    if unknown > 1:
        return f"one length may be -1, got {before} -> {shape}"
    have, want = math.prod(before), math.prod([n for n in shape if n != -1])
    if unknown:
        return f"the known lengths must divide the size, got {before} ({have} elements) -> {shape}"
    if have != want:
        return (
            f"the sizes must match, got {before} ({have} elements) -> {shape} ({want}); "
            "one length may be -1 and is worked out"
        )
    return None


def _explain_broadcast(shapes: list[tuple[int, ...]], shape: tuple[int, ...]) -> str | None:
    return f"each length must be 1 or the wanted one, got {shapes[0]} -> {shape}"


def _explain_permute(shapes: list[tuple[int, ...]], axes: tuple[int, ...]) -> str | None:
    return f"axes must name each of {len(shapes[0])} axes once, got {axes} for shape {shapes[0]}"


_reshape = attr1(
    "reshape", "shape", lambda k, g, x_shape: k.reshape(g, x_shape), view=True,
    explain=_explain_reshape,
)  # fmt: skip
_permute = attr1(
    "permute_dims", "axes", lambda k, g, axes: k.permute_dims(g, inverse_permutation(axes)),
    view=True, explain=_explain_permute,
)  # fmt: skip
_broadcast_to = attr1(
    "broadcast_to", "shape", lambda k, g, x_shape: k.sum_to(g, x_shape), view=True,
    explain=_explain_broadcast,
)  # fmt: skip
_diagonal = attr1(
    "diagonal", "place", lambda k, g, x_shape, place: k.place_diagonal(g, place, x_shape),
    view=True,
)  # fmt: skip
_place_diagonal = general(
    "place_diagonal",
    ("x",),
    (lambda k, g, place: k.diagonal(g, place),),
    "Zeros of ``shape`` with ``x`` on a diagonal.",
    attributes=("place", "shape"),
)
_roll = attr1("roll", "by", lambda k, g, by: k.roll(g, (_opposite(by[0]), by[1])))
_tril = attr1("tril", "offset", lambda k, g, offset: k.tril(g, offset))
_triu = attr1("triu", "offset", lambda k, g, offset: k.triu(g, offset))
_ALL = slice(None)


def _opposite(shift: Any) -> Any:
    return tuple([-one for one in shift]) if type(shift) is tuple else -shift


def inverse_permutation(axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the permutation that undoes ``axes``."""
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return tuple(inverse)


# -- other shapes of the same elements -------------------------------------------------------------
def reshape(x: Tensor, /, shape: Any, *, copy: bool | None = None) -> Tensor:
    """Return the elements in another shape; a view where the memory allows it.

    Parameters
    ----------
    x : Tensor
        Any shape.
    shape : int or tuple of int
        The new shape; one length may be -1 and is worked out.
    copy : bool or None
        True always copies, False raises where a view isn't possible, None copies where it must.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        The sizes differ, or ``copy=False`` and the memory doesn't allow a view.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.reshape(tfl.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    out = _reshape(x, shape_argument("reshape", shape))
    if copy is None:
        return out
    return _copied(x, out) if copy else _must_be_view(x, out)


def _copied(x: Tensor, out: Tensor) -> Tensor:
    return clone(out) if type(out.base) is tuple else out


def _must_be_view(x: Tensor, out: Tensor) -> Tensor:
    if type(out.base) is not tuple:
        raise ShapeError(
            f"reshape: with copy=False the memory must allow a view, got strides {x.strides} for "
            f"{x.shape} -> {out.shape}"
        )
    return out


def flatten(x: Tensor, /, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """Return the tensor with the axes from ``start_axis`` to ``end_axis`` made one.

    Parameters
    ----------
    x : Tensor
        Any shape; 0-d becomes one axis of length 1.
    start_axis, end_axis : int
        The first and the last axis to join.

    Returns
    -------
    Tensor
        A view where the memory allows it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.flatten(tfl.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    shape = x.array.shape
    if not shape:
        return _reshape(x, (1,))
    first = one_axis("flatten", start_axis, len(shape))
    last = one_axis("flatten", end_axis, len(shape))
    if first > last:
        raise ShapeError(
            f"flatten: start_axis must not come after end_axis, got {start_axis} and {end_axis}"
        )
    joined = math.prod(shape[first : last + 1])
    return _reshape(x, (*shape[:first], joined, *shape[last + 1 :]))


def ravel(x: Tensor, /) -> Tensor:
    """Return the elements along one axis; a view where the memory allows it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ravel(tfl.eye(2))
    tensor([1., 0., 0., 1.])
    """
    return _reshape(x, (-1,)) if type(x) is Tensor and x.array.size else flatten(x)


def squeeze(x: Tensor, /, axis: Any = None) -> Tensor:
    """Return a view without axes of length 1.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int, tuple of int or None
        The axes to drop; None drops all of length 1.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        An axis that is named has another length than 1.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.squeeze(tfl.zeros((1, 3, 1)), axis=0).shape
    (3, 1)
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    shape = x.array.shape
    if axis is None:
        return _reshape(x, tuple([n for n in shape if n != 1]))
    axes = several_axes("squeeze", axis, len(shape))
    for one in axes:
        if shape[one] != 1:
            raise ShapeError(
                f"squeeze: the axis must have length 1, got {shape} with length {shape[one]} "
                f"along axis {one}; leave axis out to drop those of length 1"
            )
    return _reshape(x, tuple([n for i, n in enumerate(shape) if i not in axes]))


def expand_dims(x: Tensor, /, axis: Any = 0) -> Tensor:
    """Return a view with new axes of length 1.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int
        Where the new axes stand in the result; negative ones count from its end.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.expand_dims(tfl.zeros((2, 3)), axis=-1).shape
    (2, 3, 1)
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    shape = x.array.shape
    count = len(axis) if isinstance(axis, tuple | list) else 1
    axes = several_axes("expand_dims", axis, len(shape) + count)
    lengths = iter(shape)
    new = [1 if i in axes else next(lengths) for i in range(len(shape) + count)]
    return _reshape(x, tuple(new))


# -- other orders of the axes ----------------------------------------------------------------------
def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """Return a view with the axes in another order.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axes : tuple of int
        The axes of ``x`` in their new order; negative ones count from the end.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        ``axes`` isn't a permutation.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.permute_dims(tfl.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    if type(axes) is not tuple:
        if not isinstance(axes, list):
            raise DtypeError(f"permute_dims: axes must be a tuple of integers, got {axes!r}")
        axes = tuple(axes)
    return _permute(x, axes)


def swapaxes(x: Tensor, axis1: int, axis2: int, /) -> Tensor:
    """Return a view with two axes exchanged.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis1, axis2 : int
        The axes to exchange; negative ones count from the end.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.swapaxes(tfl.zeros((2, 3, 4)), 0, -1).shape
    (4, 3, 2)
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    ndim = x.array.ndim
    axes = list(range(ndim))
    first, second = one_axis("swapaxes", axis1, ndim), one_axis("swapaxes", axis2, ndim)
    axes[first], axes[second] = second, first
    return _permute(x, tuple(axes))


def moveaxis(x: Tensor, source: Any, destination: Any, /) -> Tensor:
    """Return a view with some axes moved to other places; the others keep their order.

    Parameters
    ----------
    x : Tensor
        Any shape.
    source, destination : int or tuple of int
        The axes to move, and where they stand in the result.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.moveaxis(tfl.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    ndim = x.array.ndim
    moved = several_axes("moveaxis", source, ndim)
    places = several_axes("moveaxis", destination, ndim)
    if len(moved) != len(places):
        raise ShapeError(
            f"moveaxis: source and destination must be as many, got {source} and {destination}"
        )
    rest = iter([axis for axis in range(ndim) if axis not in moved])
    to = dict(zip(places, moved, strict=True))
    return _permute(x, tuple([to[i] if i in to else next(rest) for i in range(ndim)]))


def matrix_transpose(x: Tensor, /) -> Tensor:
    """Return a view with the last two axes exchanged.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.matrix_transpose(tfl.zeros((5, 2, 3))).shape
    (5, 3, 2)
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    ndim = x.array.ndim
    if ndim < 2:
        raise ShapeError(f"matrix_transpose: at least two axes are needed, got shape {x.shape}")
    return _permute(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def flip(x: Tensor, /, axis: Any = None) -> Tensor:
    """Return a view with the elements in reverse order along ``axis``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int, tuple of int or None
        None reverses along every axis.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.flip(tfl.arange(3))
    tensor([2, 1, 0])
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    ndim = x.array.ndim
    axes = range(ndim) if axis is None else several_axes("flip", axis, ndim)
    back = slice(None, None, -1)
    return _getitem(x, tuple([back if i in axes else _ALL for i in range(ndim)]))


def roll(x: Tensor, /, shift: Any, axis: Any = None) -> Tensor:
    """Return the elements shifted along ``axis``; those that fall off come in at the other end.

    Parameters
    ----------
    x : Tensor
        Any shape.
    shift : int or tuple of int
        By how many places; one for each axis.
    axis : int, tuple of int or None
        None shifts the flattened elements and keeps the shape.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.roll(tfl.arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    shifts = tuple(shift) if isinstance(shift, tuple | list) else shift
    if axis is None:
        if type(shifts) is tuple:
            raise ShapeError(f"roll: without axis one shift is needed, got {shift}")
        return _roll(x, (shifts, None))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    axes = tuple([one_axis("roll", one, x.array.ndim) for one in axes])
    if type(shifts) is not tuple:
        shifts = (shifts,) * len(axes)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll: a shift for each axis is needed, got {shift} for axis {axis}")
    return _roll(x, (shifts, axes))


# -- repeated by strides ---------------------------------------------------------------------------
def broadcast_to(x: Tensor, /, shape: Any) -> Tensor:
    """Return a read-only view of ``x`` repeated to ``shape``.

    Parameters
    ----------
    x : Tensor
        A shape that broadcasts to ``shape``.
    shape : tuple of int
        The wanted shape.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        A length is neither 1 nor the wanted one.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.broadcast_to(tfl.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return _broadcast_to(x, shape_argument("broadcast_to", shape))


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """Return the shape that tensors of these shapes broadcast to.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.broadcast_shapes((3, 1), (1, 4), 4)
    (3, 4)
    """
    found: list[int] = []
    given = [shape_argument("broadcast_shapes", shape) for shape in shapes]
    for axis in range(-1, -1 - max(map(len, given), default=0), -1):
        lengths = [shape[axis] for shape in given if len(shape) >= -axis]
        other = [n for n in lengths if n != 1]
        if any(n != other[0] for n in other):
            raise ShapeError(
                f"broadcast_shapes: shapes must broadcast, got {' and '.join(map(str, given))}: "
                f"axis {axis} has {' and '.join(map(str, lengths))}"
            )
        found.append(other[0] if other else 1)
    return tuple(found[::-1])


def broadcast_arrays(*xs: Tensor) -> list[Tensor]:
    """Return read-only views of the tensors, repeated to their common shape.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> [x.shape for x in tfl.broadcast_arrays(tfl.zeros((3, 1)), tfl.zeros(4))]
    [(3, 4), (3, 4)]
    """
    tensors = [as_tensor(x) for x in xs]
    shape = broadcast_shapes(*[x.shape for x in tensors])
    return [x if x.shape == shape else _broadcast_to(x, shape) for x in tensors]


# -- diagonals and triangles -----------------------------------------------------------------------
def diagonal(x: Tensor, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return a view of a diagonal; it becomes the last axis.

    Parameters
    ----------
    x : Tensor
        At least two axes.
    offset : int
        Above (positive) or below the main diagonal.
    axis1, axis2 : int
        The rows and the columns.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.diagonal(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.])
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    ndim = x.array.ndim
    if ndim < 2:
        raise ShapeError(f"diagonal: at least two axes are needed, got shape {x.shape}")
    first, second = one_axis("diagonal", axis1, ndim), one_axis("diagonal", axis2, ndim)
    if first == second:
        raise ShapeError(f"diagonal: axis1 and axis2 must differ, got {axis1} and {axis2}")
    return _diagonal(x, (offset, first, second))


def diag(x: Tensor, /, offset: int = 0) -> Tensor:
    """Return a matrix with ``x`` on a diagonal; of a matrix, its diagonal.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.diag(tfl.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    if type(x) is not Tensor:
        x = as_tensor(x)
    if x.array.ndim == 2:
        return _diagonal(x, (offset, 0, 1))
    if x.array.ndim != 1:
        raise ShapeError(f"diag: one or two axes are needed, got shape {x.shape}")
    n = x.array.shape[0] + abs(offset)
    return _place_diagonal(x, (offset, 0, 1), (n, n))


def _triangle(name: str, run: Any, x: Any, offset: int) -> Tensor:
    if type(x) is not Tensor:
        x = as_tensor(x)
    if x.array.ndim < 2:
        raise ShapeError(f"{name}: at least two axes are needed, got shape {x.shape}")
    return run(x, offset)


def tril(x: Tensor, /, k: int = 0) -> Tensor:
    """Return ``x`` with zeros above a diagonal of its last two axes.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
    k : int
        The last diagonal that stays: 0 is the main one, 1 the one above it.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tril(tfl.ones((2, 2)))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return _triangle("tril", _tril, x, k)


def triu(x: Tensor, /, k: int = 0) -> Tensor:
    """Return ``x`` with zeros below a diagonal of its last two axes.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
    k : int
        The first diagonal that stays: 0 is the main one, 1 the one above it.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.triu(tfl.ones((2, 2)), 1)
    tensor([[0., 1.],
            [0., 0.]])
    """
    return _triangle("triu", _triu, x, k)
