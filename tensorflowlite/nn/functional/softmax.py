"""Softmax in its forms, and gates."""

from __future__ import annotations

import warnings
from typing import Any

from ...backend import dtypes
from ...core.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops import activation as _activation
from ...ops import embedding as _embedding
from ...ops import random as _random
from ...ops.casting import astype
from ...ops.creation import asarray
from ...ops.elementwise import log, maximum
from ...ops.gradient import cast
from ...ops.joining import split
from ...ops.reduction import argmax, as_tensor
from ...ops.shaping import reshape
from .precision import in_float32


def _dim(name: str, dim: int | None, ndim: int) -> int:
    """Return the axis that PyTorch takes where none is named."""
    if dim is not None:
        return dim
    found = 0 if ndim in (0, 1, 3) else 1
    warnings.warn(f"{name}: dim should be named; it is {found} here", stacklevel=3)
    return found


def _along(function: Any, name: str, input: Any, dim: int | None, dtype: Any) -> Tensor:
    input = as_tensor(input)
    if dtype is not None:
        input = astype(input, dtype)
    dim = _dim(name, dim, input.ndim)
    if input.ndim:
        return function(input, dim)
    return reshape(function(reshape(input, (1,)), dim), ())


def softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """Return ``exp(input)`` divided by its sum along ``dim``.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    dim : int, optional
        The axis along which the result sums to 1. Without it 0 where there are 0, 1 or 3 axes,
        else 1, with a warning.
    dtype : dtype, optional
        What ``input`` is cast to first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.softmax(tfl.tensor([1.0, 1.0]), dim=-1)
    tensor([0.5, 0.5])
    """
    return _along(_activation.softmax, "softmax", input, dim, dtype)


def log_softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """Return the logarithm of `softmax`, computed without overflow.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    dim : int, optional
        The axis, as in `softmax`.
    dtype : dtype, optional
        What ``input`` is cast to first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.log_softmax(tfl.tensor([[7.0]]), dim=1)
    tensor([[0.]])
    """
    return _along(_activation.log_softmax, "log_softmax", input, dim, dtype)


def softmin(input: Any, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """Return the `softmax` of ``-input``.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    dim : int, optional
        The axis, as in `softmax`.
    dtype : dtype, optional
        What ``input`` is cast to first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.softmin(tfl.tensor([1.0, 1.0]), dim=0)
    tensor([0.5, 0.5])
    """
    return _along(_activation.softmax, "softmin", -as_tensor(input), dim, dtype)


def gumbel_softmax(
    logits: Any, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Return a random, differentiable choice among classes: the softmax of disturbed logits.

    Parameters
    ----------
    logits : Tensor, shape (..., classes)
        Logarithms of probabilities, up to a constant.
    tau : float
        The temperature: the lower, the nearer to one class.
    hard : bool
        Return exactly one class, with the gradient of the soft choice.
    eps : float
        Accepted, as PyTorch does; nothing depends on it.
    dim : int
        The axis of the classes.

    References
    ----------
    Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.gumbel_softmax(tfl.zeros((2, 3)), hard=True).sum(-1)
    tensor([1., 1.])
    """
    if not tau > 0:
        raise ArgumentError(f"gumbel_softmax: tau must be above 0, got {tau}")
    wide = logits.dtype if logits.dtype == dtypes.float64 else dtypes.float32
    even = _random.uniform(shape=logits.shape, dtype=wide, device=logits.device)
    # The least number above 0 keeps the logarithms finite.
    noise = -log(-log(maximum(even, float(dtypes.float_limits(wide).smallest_normal))))
    soft = _along(
        _activation.softmax, "gumbel_softmax", (logits + cast(noise, logits.dtype)) / tau, dim, None
    )
    if not hard:
        return soft
    chosen = argmax(soft, axis=dim, keepdims=True)
    places = asarray(range(soft.shape[dim]), device=soft.device)
    axis = dim % soft.ndim
    places = reshape(places, (-1, *[1] * (soft.ndim - axis - 1)))
    one = cast(chosen == places, soft.dtype)
    return one - soft.detach() + soft


@in_float32
def glu(input: Any, dim: int = -1) -> Tensor:
    """Return the first half of ``input`` along ``dim``, times the sigmoid of the second half.

    References
    ----------
    Dauphin et al., "Language modeling with gated convolutional networks", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.glu(tfl.tensor([2.0, 0.0]))
    tensor([1.])
    """
    if not input.ndim or input.shape[dim] % 2:
        raise ShapeError(f"glu: axis {dim} must be of even length, got input {input.shape}")
    first, second = split(input, 2, axis=dim)
    return first * _activation.sigmoid(second)


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """Return integers as rows with a one at that place and zeros elsewhere.

    Parameters
    ----------
    tensor : Tensor of integers
        Any shape; class indices.
    num_classes : int
        The length of the rows; by default one more than the greatest index.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.one_hot(tfl.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    return _embedding.one_hot(tensor, num_classes)
