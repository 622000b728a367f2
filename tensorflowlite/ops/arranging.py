"""Taking arrays apart and turning them, with the rarer names of NumPy and PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from . import elementwise as e
from . import reduction
from .arguments import one_axis, several_axes
from .arguments import shape_argument as _shape
from .assembling import _places, _tensor
from .creation import arange
from .indexing import _getitem, take
from .joining import _pieces, split, stack
from .shaping import _permute, _reshape, broadcast_arrays, flip, moveaxis, swapaxes

_ALL = slice(None)
swapdims, movedim, broadcast_tensors = swapaxes, moveaxis, broadcast_arrays


# -- apart -----------------------------------------------------------------------------------------
def array_split(x: Any, indices_or_sections: Any, /, axis: int = 0) -> tuple[Tensor, ...]:
    """Return pieces along an axis, as views; the first ones are longer where it can't be equal.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    indices_or_sections : int or sequence of int
        How many pieces, or the places at which a new one begins.
    axis : int
        The axis to take apart.

    Returns
    -------
    tuple of Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.array_split(tfl.arange(3), 2)
    (tensor([0, 1]), tensor([2]))
    """
    x = _tensor(x)
    axis = one_axis("array_split", axis, x.ndim)
    length = x.shape[axis]
    if hasattr(indices_or_sections, "__index__"):
        count = indices_or_sections.__index__()
        if count < 1:
            raise ArgumentError(f"array_split: at least one piece is needed, got {count}")
        bounds = [0]
        for i in range(count):
            bounds.append(bounds[-1] + length // count + (i < length % count))
        return _pieces(x, tuple(bounds), axis)
    places = _places("array_split", indices_or_sections, length)
    starts = [0, *[slice(p, None).indices(length)[0] for p in places]]
    ends = [*starts[1:], length]
    lead = (_ALL,) * axis
    return tuple([
        _getitem(x, (*lead, slice(a, max(a, b)))) for a, b in zip(starts, ends, strict=True)
    ])  # fmt: skip


def tensor_split(x: Any, indices_or_sections: Any, /, dim: int = 0) -> tuple[Tensor, ...]:
    """Return pieces along an axis, as views: PyTorch's name of `array_split`.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    indices_or_sections : int or sequence of int
        How many pieces, or the places at which a new one begins.
    dim : int
        The axis to take apart.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor_split(tfl.arange(3), 2)
    (tensor([0, 1]), tensor([2]))
    """
    return array_split(x, indices_or_sections, dim)


def _split_along(name: str, x: Any, parts: Any, axis: int, least: int) -> tuple[Tensor, ...]:
    x = _tensor(x)
    if x.ndim < least:
        raise ShapeError(f"{name}: at least {least} axes are needed, got shape {x.shape}")
    return split(x, parts, axis)


def hsplit(x: Any, indices_or_sections: Any, /) -> tuple[Tensor, ...]:
    """Return pieces along the second axis, of a vector along the first: `split`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> [piece.shape for piece in tfl.hsplit(tfl.zeros((2, 4)), 2)]
    [(2, 2), (2, 2)]
    """
    x = _tensor(x)
    return _split_along("hsplit", x, indices_or_sections, 0 if x.ndim == 1 else 1, 1)


def vsplit(x: Any, indices_or_sections: Any, /) -> tuple[Tensor, ...]:
    """Return pieces along the first axis of at least two: `split`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> [piece.shape for piece in tfl.vsplit(tfl.zeros((2, 4)), 2)]
    [(1, 4), (1, 4)]
    """
    return _split_along("vsplit", x, indices_or_sections, 0, 2)


def dsplit(x: Any, indices_or_sections: Any, /) -> tuple[Tensor, ...]:
    """Return pieces along the third axis: `split`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> [piece.shape for piece in tfl.dsplit(tfl.zeros((1, 2, 4)), 2)]
    [(1, 2, 2), (1, 2, 2)]
    """
    return _split_along("dsplit", x, indices_or_sections, 2, 3)


# -- turned ----------------------------------------------------------------------------------------
def fliplr(x: Any, /) -> Tensor:
    """Return a view with the second axis reversed.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fliplr(tfl.tensor([[1, 2]]))
    tensor([[2, 1]])
    """
    return flip(_tensor(x), 1)


def flipud(x: Any, /) -> Tensor:
    """Return a view with the first axis reversed.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.flipud(tfl.tensor([1, 2]))
    tensor([2, 1])
    """
    return flip(_tensor(x), 0)


def rot90(x: Any, /, k: int = 1, axes: Any = (0, 1), *, dims: Any = None) -> Tensor:
    """Return a view turned by right angles in a plane, from the first axis towards the second.

    Parameters
    ----------
    x : Tensor
        At least two axes.
    k : int
        By how many right angles.
    axes : pair of int
        The plane.
    dims : pair of int, optional
        PyTorch's name of ``axes``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.rot90(tfl.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    x = _tensor(x)
    plane = several_axes("rot90", tuple(axes if dims is None else dims), x.ndim)
    if len(plane) != 2:
        raise ShapeError(f"rot90: two axes are needed, got {axes if dims is None else dims}")
    first, second = plane
    k %= 4
    if k == 0:
        return x[...]
    if k == 2:
        return flip(x, (first, second))
    return swapaxes(flip(x, second), first, second) if k == 1 else flip(
        swapaxes(x, first, second), second
    )  # fmt: skip


def rollaxis(x: Any, axis: int, /, start: int = 0) -> Tensor:
    """Return a view with an axis moved before another: `moveaxis` is clearer.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int
        The axis to move.
    start : int
        The axis before which it goes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.rollaxis(tfl.zeros((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    x = _tensor(x)
    axis = one_axis("rollaxis", axis, x.ndim)
    start = start + x.ndim if start < 0 else start
    if not 0 <= start <= x.ndim:
        raise ShapeError(f"rollaxis: start must lie in [{-x.ndim}, {x.ndim}], got {start}")
    order = [i for i in range(x.ndim) if i != axis]
    order.insert(start - 1 if axis < start else start, axis)
    return _permute(x, tuple(order))


def unflatten(x: Any, dim: int, sizes: Any, /) -> Tensor:
    """Return a view with one axis taken apart into several.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    dim : int
        The axis to take apart.
    sizes : tuple of int
        The lengths of the new axes; one may be -1.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.unflatten(tfl.zeros((2, 6)), 1, (3, -1)).shape
    (2, 3, 2)
    """
    x = _tensor(x)
    axis, sizes = one_axis("unflatten", dim, x.ndim), _shape("unflatten", sizes)
    known = math.prod([n for n in sizes if n != -1])
    if -1 in sizes and known:
        sizes = tuple([x.shape[axis] // known if n == -1 else n for n in sizes])
    if math.prod(sizes) != x.shape[axis]:
        raise ShapeError(f"unflatten: the sizes must make {x.shape[axis]}, got {sizes}")
    return _reshape(x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))


def sliding_window_view(x: Any, window_shape: Any, /, axis: Any = None) -> Tensor:
    """Return every window of a shape, along new axes at the end; a copy.

    Parameters
    ----------
    x : Tensor
        Any shape.
    window_shape : int or tuple of int
        The lengths of the window along the axes.
    axis : int or tuple of int, optional
        The axes that it slides along; None means all.

    Raises
    ------
    ShapeError
        The window is longer than an axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.sliding_window_view(tfl.arange(4), 3)
    tensor([[0, 1, 2],
            [1, 2, 3]])
    """
    x, lengths = _tensor(x), _shape("sliding_window_view", window_shape)
    every = tuple(range(x.ndim))
    axes = every if axis is None else several_axes("sliding_window_view", axis, x.ndim)
    if len(axes) != len(lengths):
        raise ShapeError(f"sliding_window_view: a length for each axis is needed, got {lengths}")
    for at, length in zip(axes, lengths, strict=True):
        count = x.shape[at] - length + 1
        if count < 1:
            raise ShapeError(
                f"sliding_window_view: the window must fit, got {length} of {x.shape[at]} along "
                f"axis {at}"
            )
        starts = _reshape(arange(count, device=x.device), (count, 1))
        places = starts + arange(length, device=x.device)
        x = moveaxis(take(x, places, axis=at), at + 1, -1)
    return x


def trim_zeros(x: Any, /, trim: str = "fb") -> Tensor:
    """Return a view of a vector without the zeros at its ends.

    Parameters
    ----------
    x : Tensor, shape (n,)
    trim : str
        ``"f"`` for the front, ``"b"`` for the back, ``"fb"`` for both.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.trim_zeros(tfl.tensor([0, 1, 0, 2, 0]))
    tensor([1, 0, 2])
    """
    x = _tensor(x)
    if x.ndim != 1:
        raise ShapeError(f"trim_zeros: one axis is needed, got shape {x.shape}")
    if set(trim.lower()) - {"f", "b"}:
        raise ArgumentError(f"trim_zeros: trim must be 'f', 'b' or 'fb', got {trim!r}")
    held = e.not_equal(x, 0)
    if not bool(reduction.any(held)):
        return x[:0]
    first = int(reduction.argmax(held)) if "f" in trim.lower() else 0
    last = x.size - int(reduction.argmax(flip(held))) if "b" in trim.lower() else x.size
    return x[first:last]


# -- functions over axes ---------------------------------------------------------------------------
def apply_along_axis(
    func: Callable[..., Any], axis: int, x: Any, *args: Any, **options: Any
) -> Tensor:
    """Apply a function to each vector along an axis, and join what it gives there.

    Parameters
    ----------
    func : callable
        Takes a tensor of one axis.
    axis : int
        The axis.
    x : Tensor
        At least one axis.
    *args
        Handed to the function, as are keyword arguments.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.apply_along_axis(tfl.sum, 0, tfl.ones((2, 3)))
    tensor([2., 2., 2.])
    """
    x = _tensor(x)
    axis = one_axis("apply_along_axis", axis, x.ndim)
    lines = moveaxis(x, axis, -1)
    lead = lines.shape[:-1]
    if not math.prod(lead):
        raise ShapeError(f"apply_along_axis: no axis must be empty, got shape {x.shape}")
    flat = _reshape(lines, (-1, x.shape[axis]))
    found = [_tensor(func(flat[i], *args, **options)) for i in range(flat.shape[0])]
    out = stack(found, 0)
    out = _reshape(out, (*lead, *out.shape[1:]))
    order = list(range(len(lead)))
    order[axis:axis] = range(len(lead), out.ndim)
    return _permute(out, tuple(order))


def apply_over_axes(func: Callable[..., Any], x: Any, axes: Any) -> Tensor:
    """Apply a reduction ``func(x, axis)`` over one axis after the other; they keep length 1.

    Parameters
    ----------
    func : callable
        Takes a tensor and an axis.
    x : Tensor
        Any shape.
    axes : int or sequence of int
        Over which axes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.apply_over_axes(tfl.sum, tfl.ones((2, 3)), [0, 1])
    tensor([[6.]])
    """
    x = _tensor(x)
    for axis in axes if isinstance(axes, tuple | list) else (axes,):
        at = one_axis("apply_over_axes", axis, x.ndim)
        out = func(x, at)
        if out.ndim == x.ndim - 1:
            out = _reshape(out, (*x.shape[:at], 1, *x.shape[at + 1 :]))
        x = out
    return x
