"""Joining tensors, taking them apart, and repeating them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ..core.tensor import Tensor
from ..core.views import register_view
from ..errors import ArgumentError, ShapeError, UnsupportedArgumentError
from ..runtime import owner_of
from .arguments import as_tensor, one_axis, shape_argument, tensor_list
from .casting import clone
from .declare import general
from .indexing import _getitem, take
from .shaping import _broadcast_to, _reshape, expand_dims, flatten

_ALL = slice(None)


def _piece(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (*(_ALL,) * axis, slice(start, stop))


def _concat_rule(k, g, need, xs_shape, axis):
    pieces, start = [], 0
    for shape, wanted in zip(xs_shape, need, strict=True):
        stop = start + shape[axis]
        pieces.append(k.getitem(g, _piece(axis, start, stop)) if wanted else None)
        start = stop
    return pieces


def _stack_rule(k, g, need, axis):
    lead = (_ALL,) * axis
    return [k.getitem(g, (*lead, i, ...)) if wanted else None for i, wanted in enumerate(need)]


def _explain_concat(shapes: list[tuple[int, ...]], axis: int) -> str | None:
    first = shapes[0]
    for shape in shapes[1:]:
        if len(shape) != len(first):
            return f"all must have as many axes, got {first} and {shape}; stack adds an axis"
        for i, (a, b) in enumerate(zip(first, shape, strict=True)):
            if i != axis and a != b:
                return (
                    f"shapes must agree but along axis {axis}, got {first} and {shape}: "
                    f"axis {i} has {a} and {b}"
                )
    return None


def _explain_stack(shapes: list[tuple[int, ...]], axis: int) -> str | None:
    for shape in shapes[1:]:
        if shape != shapes[0]:
            return f"shapes must be equal, got {shapes[0]} and {shape}; concat joins along an axis"
    return None


_concat = general(
    "concat", ("xs",), _concat_rule, "The inputs one after the other, along ``axis``.",
    attributes=("axis",), variadic=True, explain=_explain_concat,
)  # fmt: skip
_stack = general(
    "stack", ("xs",), _stack_rule, "The inputs side by side, along a new ``axis``.",
    attributes=("axis",), variadic=True, explain=_explain_stack,
)  # fmt: skip
# Taking apart is one node, whose gradient joins the pieces': a node for each piece would fill a
# gradient of the whole for every one of them.
_split = general(
    "split", ("x",), (lambda k, g, axis: k.concat(*g, axis),), "Pieces of ``x``, as views.",
    attributes=("bounds", "axis"), outputs=0, view=True,
)  # fmt: skip
_unstack = general(
    "unstack", ("x",), (lambda k, g, axis: k.stack(*g, axis),), "Slices of ``x``, as views.",
    attributes=("axis",), outputs=0, view=True,
)  # fmt: skip


def concat(xs: Sequence[Tensor], /, axis: int | None = 0) -> Tensor:
    """Return the tensors joined along an axis.

    Parameters
    ----------
    xs : sequence of Tensor
        Shapes that agree but along ``axis``.
    axis : int or None
        None joins the flattened tensors.

    Returns
    -------
    Tensor
        Of the promoted dtype.

    Raises
    ------
    ShapeError
        The shapes don't agree, or there is no tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.concat([tfl.zeros((1, 2)), tfl.ones((1, 2))])
    tensor([[0., 0.],
            [1., 1.]])
    """
    tensors = tensor_list("concat", xs)
    if axis is None:
        tensors, axis = [_reshape(x, (x.size,)) for x in tensors], 0
    ndim = tensors[0].array.ndim
    if ndim == 0:
        raise ShapeError("concat: each tensor needs an axis, got shape (); stack adds one")
    return _concat(*tensors, one_axis("concat", axis, ndim))


def stack(xs: Sequence[Tensor], /, axis: int = 0) -> Tensor:
    """Return the tensors joined along a new axis.

    Parameters
    ----------
    xs : sequence of Tensor
        Equal shapes.
    axis : int
        Where the new axis stands in the result.

    Returns
    -------
    Tensor
        Of the promoted dtype.

    Raises
    ------
    ShapeError
        The shapes differ, or there is no tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.stack([tfl.zeros(2), tfl.ones(2)], axis=1)
    tensor([[0., 1.],
            [0., 1.]])
    """
    tensors = tensor_list("stack", xs)
    return _stack(*tensors, one_axis("stack", axis, tensors[0].array.ndim + 1))


def _pieces(x: Tensor, bounds: tuple[int, ...], axis: int) -> tuple[Tensor, ...]:
    """Return the pieces of ``x`` between the bounds: views, registered with their root."""
    pieces = _split(x, bounds, axis)
    getitem = _getitem.primitive
    for piece, (start, stop) in zip(pieces, pairwise(bounds), strict=True):
        register_view(x, piece, getitem, _piece(axis, start, stop))
    return pieces


def split(
    x: Tensor, /, indices_or_sections: Any, axis: int = 0, **other: Any
) -> tuple[Tensor, ...]:
    """Return pieces of the tensor along an axis, as views.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    indices_or_sections : int or sequence of int
        The number of equal pieces; or the places at which a new piece begins.
    axis : int
        The axis to take apart.

    Returns
    -------
    tuple of Tensor

    Raises
    ------
    ShapeError
        The axis can't be divided into that many equal pieces.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.split(tfl.arange(4), 2)
    (tensor([0, 1]), tensor([2, 3]))
    >>> tfl.split(tfl.arange(4), [1])
    (tensor([0]), tensor([1, 2, 3]))
    """
    if other:
        raise UnsupportedArgumentError(
            f"split: axis= is needed, got {next(iter(other))}=; split(x, n, axis=...) makes n "
            "pieces, and chunk or split at indices replaces pieces of a given size"
        )
    x = as_tensor(x)
    axis = one_axis("split", axis, x.array.ndim)
    length = x.array.shape[axis]
    if isinstance(indices_or_sections, list | tuple):
        return _pieces(x, _bounds(length, indices_or_sections), axis)
    if hasattr(indices_or_sections, "__index__"):
        count = indices_or_sections.__index__()
        if count < 1 or length % count:
            raise ShapeError(
                f"split: the pieces must be equal, got {count} of axis {axis} with length "
                f"{length}; chunk makes a shorter last one"
            )
        size = length // count
        return _pieces(x, tuple([i * size for i in range(count + 1)]), axis)
    return split(x, as_tensor(indices_or_sections).tolist(), axis)


def _bounds(length: int, indices: Any) -> tuple[int, ...]:
    """Return where the pieces begin and end, as NumPy's slices between the indices do."""
    places = [index.__index__() for index in indices]
    places = [max(0, min(length, p + length if p < 0 else p)) for p in places]
    for before, after in pairwise(places):
        if after < before:
            raise ArgumentError(f"split: the indices must be in order, got {list(indices)}")
    return (0, *places, length)


def chunk(x: Tensor, chunks: int, /, axis: int = 0) -> tuple[Tensor, ...]:
    """Return at most ``chunks`` pieces along an axis, all of one length but for the last.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    chunks : int
        How many pieces at most; so many empty ones of an axis of length 0.
    axis : int
        The axis to cut.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> [piece.shape for piece in tfl.chunk(tfl.zeros(5), 2)]
    [(3,), (2,)]
    """
    x = as_tensor(x)
    axis = one_axis("chunk", axis, x.array.ndim)
    if chunks < 1:
        raise ArgumentError(f"chunk: at least one piece is needed, got chunks={chunks}")
    length = x.array.shape[axis]
    size = max(1, math.ceil(length / chunks))
    bounds = (0, *range(size, length, size), length) if length else (0,) * (chunks + 1)
    return _pieces(x, bounds, axis)


def unstack(x: Tensor, /, axis: int = 0) -> tuple[Tensor, ...]:
    """Return the slices along an axis, without it, as views.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.unstack(tfl.eye(2))
    (tensor([1., 0.]), tensor([0., 1.]))
    """
    x = as_tensor(x)
    if x.array.ndim == 0:
        raise ShapeError("unstack: at least one axis is needed, got shape ()")
    axis = one_axis("unstack", axis, x.array.ndim)
    slices = _unstack(x, axis)
    lead, getitem = (_ALL,) * axis, _getitem.primitive
    for i, one in enumerate(slices):
        register_view(x, one, getitem, (*lead, i, ...))
    return slices


def tile(x: Tensor, repetitions: Any, /) -> Tensor:
    """Return the tensor laid side by side along each axis.

    Parameters
    ----------
    x : Tensor
        Any shape.
    repetitions : int or tuple of int
        How often along each axis; where there are more than axes, new ones come first.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tile(tfl.arange(2), (2, 2))
    tensor([[0, 1, 0, 1],
            [0, 1, 0, 1]])
    """
    x = as_tensor(x)
    times = shape_argument("tile", repetitions)
    if any(n < 0 for n in times):
        raise ArgumentError(f"tile: repetitions must not be negative, got {times}")
    ndim = max(len(times), x.array.ndim)
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - x.array.ndim) + x.array.shape
    spread = _reshape(x, tuple([n for length in shape for n in (1, length)]))
    wanted = tuple([n for pair in zip(times, shape, strict=True) for n in pair])
    repeated = _broadcast_to(spread, wanted)
    out = _reshape(repeated, tuple([t * n for t, n in zip(times, shape, strict=True)]))
    return _own(out, x)


def repeat(x: Tensor, repeats: Any, /, axis: int | None = None) -> Tensor:
    """Return the tensor with each element repeated along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape.
    repeats : int or sequence of int
        How often; a sequence holds a number for each place along ``axis``.
    axis : int or None
        None repeats the flattened elements.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.repeat(tfl.arange(2), 2)
    tensor([0, 0, 1, 1])
    >>> tfl.repeat(tfl.arange(2), [1, 3])
    tensor([0, 1, 1, 1])
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = flatten(x), 0
    axis = one_axis("repeat", axis, x.array.ndim)
    shape = x.array.shape
    if type(repeats) is not int and not hasattr(repeats, "__len__"):
        repeats = repeats.__index__()
    counts = [repeats] if type(repeats) is int else _integers(repeats)
    if any(n < 0 for n in counts):
        raise ArgumentError(f"repeat: repeats must not be negative, got {repeats}")
    if type(repeats) is not int and len(counts) != 1:
        if len(counts) != shape[axis]:
            raise ShapeError(
                f"repeat: a number for each of {shape[axis]} places along axis {axis} is needed, "
                f"got {len(counts)}"
            )
        places = [i for i, count in enumerate(counts) for _ in range(count)]
        return take(x, places, axis=axis)
    times = counts[0]
    spread = expand_dims(x, axis + 1)
    repeated = _broadcast_to(spread, (*shape[: axis + 1], times, *shape[axis + 1 :]))
    out = _reshape(repeated, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]))
    return _own(out, x)


def _integers(values: Any) -> list[int]:
    """Return a sequence, array or tensor of integers as a list."""
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    return [value.__index__() for value in listed]


def _own(out: Tensor, x: Tensor) -> Tensor:
    """Return ``out``, copied where it is still a view of ``x``: nothing was repeated."""
    return clone(out) if owner_of(out.array) is owner_of(x.array) else out
