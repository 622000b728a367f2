"""Shape operations. Those that can be views are views, registered with their root."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import DtypeError, ShapeError
from .declare import attr1

_reshape = attr1("reshape", "shape", lambda k, g, x_shape: k.reshape(g, x_shape), view=True)
_permute = attr1(
    "permute_dims", "axes", lambda k, g, axes: k.permute_dims(g, inverse_permutation(axes)),
    view=True,
)  # fmt: skip
_broadcast_to = attr1(
    "broadcast_to", "shape", lambda k, g, x_shape: k.sum_to(g, x_shape), view=True
)


def inverse_permutation(axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the permutation that undoes ``axes``."""
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return tuple(inverse)


def shape_argument(name: str, shape: Any) -> tuple[int, ...]:
    """Return a shape given as an integer, or a sequence of them, as a tuple."""
    if type(shape) is tuple:
        for n in shape:
            if type(n) is not int:
                break
        else:
            return shape
    try:
        if isinstance(shape, tuple | list):
            return tuple([n.__index__() for n in shape])
        return (shape.__index__(),)
    except AttributeError:
        raise DtypeError(
            f"{name}: shape must be an integer or a sequence of integers, got {shape!r}"
        ) from None


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
        The sizes differ.

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
    return out.clone() if type(out.base) is tuple else out


def _must_be_view(x: Tensor, out: Tensor) -> Tensor:
    if not type(out.base) is tuple:
        raise ShapeError(
            f"reshape: with copy=False the memory must allow a view, got strides {x.strides} for "
            f"{x.shape} -> {out.shape}"
        )
    return out


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

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.permute_dims(tfl.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    ndim = x.array.ndim
    axes = tuple([axis + ndim if axis < 0 else axis for axis in axes])
    if sorted(axes) != list(range(ndim)):
        raise ShapeError(f"permute_dims: axes must name each of {ndim} axes once, got {axes}")
    return _permute(x, axes)


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

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.broadcast_to(tfl.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return _broadcast_to(x, shape_argument("broadcast_to", shape))
