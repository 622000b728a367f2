"""Products of vectors and arrays that are made of others."""

from __future__ import annotations

from typing import Any

from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ShapeError
from .arguments import one_axis, tensor_list
from .einsum import tensordot, vecdot
from .matrix import matmul
from .reduction import sum as sum_of
from .shaping import _reshape, diagonal


def cross(x: Tensor, y: Tensor, /, axis: int = -1) -> Tensor:
    """Return the cross products of vectors of three elements.

    Parameters
    ----------
    x, y : Tensor
        The other axes broadcast.
    axis : int
        The axis of length 3.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        The axis hasn't length 3.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cross(tfl.tensor([1.0, 0.0, 0.0]), tfl.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x, y = tensor_list("cross", (x, y))
    ndim = max(x.array.ndim, y.array.ndim)
    place = one_axis("cross", axis, ndim) - ndim
    for one in (x, y):
        if one.array.ndim < -place or one.array.shape[place] != 3:
            raise ShapeError(f"cross: axis {axis} must have length 3, got {x.shape} and {y.shape}")

    def turned(one: Any, by: int) -> Any:
        return traced.roll(one, ((by,), (one.array.ndim + place,)))

    # The next element times the one after it, less the other way round.
    left = traced.multiply(turned(x, -1), turned(y, -2))
    return traced.subtract(left, traced.multiply(turned(x, -2), turned(y, -1)))


def kron(x: Tensor, y: Tensor, /) -> Tensor:
    """Return the Kronecker product: ``y`` once for each element of ``x``, times it, side by side.

    Parameters
    ----------
    x, y : Tensor
        Any shapes; the one with fewer axes gets axes of length 1 in front.

    Returns
    -------
    Tensor
        The lengths are products of those of ``x`` and ``y``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.kron(tfl.tensor([1.0, 10.0]), tfl.tensor([1.0, 2.0]))
    tensor([ 1.,  2., 10., 20.])
    """
    x, y = tensor_list("kron", (x, y))
    ndim = max(x.array.ndim, y.array.ndim)
    a = (1,) * (ndim - x.array.ndim) + x.array.shape
    b = (1,) * (ndim - y.array.ndim) + y.array.shape
    left = _reshape(x, tuple([n for length in a for n in (length, 1)]))
    right = _reshape(y, tuple([n for length in b for n in (1, length)]))
    out = traced.multiply(left, right)
    return _reshape(out, tuple([n * m for n, m in zip(a, b, strict=True)]))


def trace(
    x: Tensor, /, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None
) -> Tensor:
    """Return the sum of a diagonal.

    Parameters
    ----------
    x : Tensor
        Of two axes or more.
    offset : int
        Above (positive) or below (negative) the main one.
    axis1, axis2 : int
        The axes of the matrices; those of stacks in front are -2 and -1.
    dtype : dtype, optional
        The dtype to sum in; by default that of ``x``, int64 for bool and small integers.

    Returns
    -------
    Tensor
        Without the two axes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.trace(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return sum_of(diagonal(x, offset, axis1, axis2), -1, dtype=dtype)


def inner(x: Tensor, y: Tensor, /) -> Tensor:
    """Return the products summed over the last axis of both, of every pair of vectors.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.inner(tfl.tensor([1.0, 2.0]), tfl.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x, y = tensor_list("inner", (x, y))
    if x.array.ndim == 0 or y.array.ndim == 0:
        return traced.multiply(x, y)
    if x.array.shape[-1] != y.array.shape[-1]:
        raise ShapeError(
            f"inner: the last lengths must match, got {x.shape} and {y.shape}: "
            f"{x.array.shape[-1]} != {y.array.shape[-1]}"
        )
    return tensordot(x, y, ((-1,), (-1,)))


def vdot(x: Tensor, y: Tensor, /) -> Tensor:
    """Return the inner product of all elements; of complex tensors ``x`` is conjugated.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.vdot(tfl.tensor([1.0, 2.0]), tfl.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x, y = tensor_list("vdot", (x, y))
    if x.array.size != y.array.size:
        raise ShapeError(f"vdot: both must have as many elements, got {x.shape} and {y.shape}")
    return vecdot(_reshape(x, (x.array.size,)), _reshape(y, (y.array.size,)))


def dot(x: Tensor, y: Tensor, /) -> Tensor:
    """Return NumPy's ``dot``: inner products, of the last axis with the last but one.

    Vectors give a number and matrices their product; a number multiplies. For stacks of matrices
    `matmul` is what is usually meant: here every matrix of one meets every matrix of the other.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.dot(tfl.ones((2, 3)), tfl.ones(3))
    tensor([3., 3.])
    """
    x, y = tensor_list("dot", (x, y))
    if x.array.ndim == 0 or y.array.ndim == 0:
        return traced.multiply(x, y)
    if x.array.ndim <= 2 and y.array.ndim <= 2:
        return matmul(x, y)
    axis = -2 if y.array.ndim > 1 else -1
    if x.array.shape[-1] != y.array.shape[axis]:
        raise ShapeError(
            f"dot: inner sizes must match, got {x.shape} and {y.shape}: "
            f"{x.array.shape[-1]} != {y.array.shape[axis]}"
        )
    return tensordot(x, y, ((-1,), (axis,)))
