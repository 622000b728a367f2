"""Lengths, distances and products of pairs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar
from typing import cast as typed

from ...backend import dtypes
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.casting import astype, result_type
from ...ops.einsum import einsum
from ...ops.elementwise import abs as _abs
from ...ops.elementwise import maximum, sqrt, where
from ...ops.gradient import cast
from ...ops.reduction import as_tensor
from ...ops.reduction import max as _max
from ...ops.reduction import sum as _sum
from ...ops.shaping import broadcast_arrays
from .precision import in_float32

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _of_pairs(function: _Function) -> _Function:
    """Give a function of two vectors both in the dtype that they promote to."""
    once = in_float32(function)

    @functools.wraps(function)
    def run(x1: Any, x2: Any, *args: Any, **options: Any) -> Any:
        x1, x2 = as_tensor(x1), as_tensor(x2)
        if x1.dtype != x2.dtype:
            dtype = result_type(x1, x2)
            x1, x2 = astype(x1, dtype, copy=False), astype(x2, dtype, copy=False)
        return once(x1, x2, *args, **options)

    return typed(_Function, run)


def length_along(x: Tensor, p: float, dim: Any, keepdim: bool) -> Tensor:
    """Return the p-norm along axes; its derivative at a vector of zeros is 0.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.functional.distance import length_along
    >>> length_along(tfl.tensor([3.0, 4.0]), 2.0, 0, False)
    tensor(5.)
    """
    if x.dtype in dtypes.half:
        return cast(length_along(cast(x, dtypes.float32), p, dim, keepdim), x.dtype)
    if p == math.inf:
        return _max(_abs(x), axis=dim, keepdims=keepdim)
    if p == 1:
        return _sum(_abs(x), axis=dim, keepdims=keepdim)
    if p == 0:
        return _sum(cast(x != 0, x.dtype), axis=dim, keepdims=keepdim)
    if p == 2:
        total = _sum(x * x, axis=dim, keepdims=keepdim)
        return where(total == 0, 0.0, sqrt(where(total == 0, 1.0, total)))
    size = _abs(x)
    powers = where(size == 0, 0.0, where(size == 0, 1.0, size) ** p)
    total = _sum(powers, axis=dim, keepdims=keepdim)
    return where(total == 0, 0.0, where(total == 0, 1.0, total) ** (1 / p))


@in_float32
def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Return ``input`` divided by its p-norm along ``dim``.

    Parameters
    ----------
    input : Tensor
        A float dtype.
    p : float
        The order of the norm.
    dim : int or tuple of int
        Along what to take it.
    eps : float
        The least that is divided by.

    Returns
    -------
    Tensor
        Of the shape of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.normalize(tfl.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    input = as_tensor(input)
    return input / maximum(length_along(input, p, dim, True), eps)


@_of_pairs
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along ``dim``.

    Parameters
    ----------
    x1, x2 : Tensor
        The vectors; they broadcast, along ``dim`` too.
    dim : int
        The axis along which a vector lies.
    eps : float
        The least length that is divided by.

    Returns
    -------
    Tensor
        Without the axis ``dim``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.cosine_similarity(tfl.tensor([[3.0, 0.0]]), tfl.tensor([[2.0, 0.0]]))
    tensor([1.])
    """
    x1, x2 = broadcast_arrays(as_tensor(x1), as_tensor(x2))
    return _sum(_direction(x1, dim, eps) * _direction(x2, dim, eps), axis=dim)


def _direction(x: Tensor, dim: int, eps: float) -> Tensor:
    size = length_along(x, 2.0, dim, True)
    constant = size.detach()  # the bound changes the value alone, as in PyTorch
    return x / (size + (maximum(constant, eps) - constant))


@_of_pairs
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Return the p-norm of ``x1 - x2 + eps`` along the last axis.

    Parameters
    ----------
    x1, x2 : Tensor, shape (N, D) or (D,)
        The vectors; they broadcast.
    p : float
        The order of the norm.
    eps : float
        Added to each difference: the distance of equal vectors has a derivative.
    keepdim : bool
        Whether the last axis stays, with length 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.pairwise_distance(tfl.tensor([[3.0, 4.0]]), tfl.zeros((1, 2)), eps=0.0)
    tensor([5.])
    """
    return length_along(as_tensor(x1) - as_tensor(x2) + eps, p, -1, keepdim)


@in_float32
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """Return ``input1 @ weight[o] @ input2`` for each output ``o``.

    Parameters
    ----------
    input1 : Tensor, shape (..., I)
    input2 : Tensor, shape (..., J)
        With the same leading axes.
    weight : Tensor, shape (O, I, J)
    bias : Tensor, shape (O,), optional

    Returns
    -------
    Tensor, shape (..., O)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.bilinear(tfl.ones((4, 2)), tfl.ones((4, 3)), tfl.ones((5, 2, 3))).shape
    (4, 5)
    """
    input1, input2, weight = as_tensor(input1), as_tensor(input2), as_tensor(weight)
    wanted = (input1.shape[-1:] + input2.shape[-1:]) if input1.ndim and input2.ndim else ()
    if weight.ndim != 3 or weight.shape[1:] != wanted or input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(
            "bilinear: the inputs must be (..., I) and (..., J) for weight (O, I, J), got "
            f"{input1.shape}, {input2.shape} and {weight.shape}"
        )
    out = einsum("...io,...i->...o", einsum("oij,...j->...io", weight, input2), input1)
    return out if bias is None else out + bias
