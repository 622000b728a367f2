"""PyTorch's names for operations that mean the same here; ``dim`` is their word for the axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.tensor import Tensor
from . import elementwise, joining, shaping


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors joined along an axis: `concat`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cat([tfl.zeros(1), tfl.ones(2)])
    tensor([0., 1., 1.])
    """
    return joining.concat(tensors, dim)


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """Return a view with a new axis of length 1: `expand_dims`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.unsqueeze(tfl.zeros(3), 0).shape
    (1, 3)
    """
    return shaping.expand_dims(x, dim)


def permute(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return a view with the axes in another order: `permute_dims`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.permute(tfl.zeros((2, 3)), (1, 0)).shape
    (3, 2)
    """
    return shaping.permute_dims(x, dims)


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the slices along an axis, as views: `unstack`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.unbind(tfl.eye(2))
    (tensor([1., 0.]), tensor([0., 1.]))
    """
    return joining.unstack(x, dim)


def clamp(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Limit the elements to a range: `clip`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.clamp(tfl.tensor([-2.0, 2.0]), min=0)
    tensor([0., 2.])
    """
    return elementwise.clip(x, min, max)


def masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Return ``x`` with a value where ``mask`` is true: ``where(mask, value, x)``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    mask : Tensor
        Booleans; broadcasts with ``x``.
    value : Tensor or number
        What stands where the mask is true.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([1.0, 2.0])
    >>> tfl.masked_fill(x, x > 1, 0.0)
    tensor([1., 0.])
    """
    return elementwise.where(mask, value, x)
