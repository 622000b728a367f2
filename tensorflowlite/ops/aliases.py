"""PyTorch's names for operations that mean the same here; ``dim`` is their word for the axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.tensor import Tensor
from . import activation, elementwise, joining, random, shaping


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


def softmax(x: Tensor, dim: int) -> Tensor:
    """Return ``exp(x)`` divided by its sum along an axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.softmax(tfl.tensor([1000.0, 1000.0]), dim=0)
    tensor([0.5, 0.5])
    """
    return activation.softmax(x, dim)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """Return the logarithm of `softmax`, computed without its overflow.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.log_softmax(tfl.tensor([1000.0]), dim=0)
    tensor([0.])
    """
    return activation.log_softmax(x, dim)


def randperm(n: int, *, device: Any = None) -> Tensor:
    """Return the numbers 0 to ``n - 1`` in a random order: `random.permutation`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> sorted(tfl.randperm(3).tolist())
    [0, 1, 2]
    """
    return random.permutation(n, device=device)


def rand_like(x: Tensor, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return numbers drawn evenly from [0, 1), of the shape, dtype and on the device of ``x``.

    Parameters
    ----------
    x : Tensor
        What gives shape, dtype and device.
    dtype, device
        As in `random.uniform`; by default as ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.rand_like(tfl.zeros((2, 3))).shape
    (2, 3)
    """
    return random.rand(x.shape, **_as(x, dtype, device))


def randn_like(x: Tensor, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return standard normal numbers, of the shape, dtype and on the device of ``x``.

    Parameters
    ----------
    x : Tensor
        What gives shape, dtype and device.
    dtype, device
        As in `random.uniform`; by default as ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.randn_like(tfl.zeros((2, 3))).shape
    (2, 3)
    """
    return random.randn(x.shape, **_as(x, dtype, device))


def _as(x: Tensor, dtype: Any, device: Any) -> dict[str, Any]:
    return {
        "dtype": x.dtype if dtype is None else dtype,
        "device": x.device if device is None else device,
    }
