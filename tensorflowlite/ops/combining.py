"""Products and mixtures with PyTorch's names: ``addmm``, ``baddbmm``, ``lerp``, ``cdist`` ..."""

from __future__ import annotations

import math
from typing import Any

from ..core.entry import lift
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from . import elementwise as e
from . import reduction
from . import tensor_methods as m
from .arguments import as_tensor
from .matrix import matmul
from .shaping import expand_dims


def _product(name: str, x: Any, y: Any, x_ndim: int, y_ndim: int) -> Tensor:
    x, y = as_tensor(x), as_tensor(y)
    if x.ndim != x_ndim or y.ndim != y_ndim:
        raise ShapeError(
            f"{name}: inputs of {x_ndim} and {y_ndim} axes are needed, got {x.shape} and "
            f"{y.shape}; matmul takes any"
        )
    return matmul(x, y)


def mm(x: Any, y: Any, /) -> Tensor:
    """Product of two matrices: `matmul`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.mm(tfl.ones((1, 2)), tfl.ones((2, 1)))
    tensor([[2.]])
    """
    return _product("mm", x, y, 2, 2)


def bmm(x: Any, y: Any, /) -> Tensor:
    """Products of two stacks of matrices: `matmul`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.bmm(tfl.ones((3, 1, 2)), tfl.ones((3, 2, 1))).shape
    (3, 1, 1)
    """
    return _product("bmm", x, y, 3, 3)


def mv(x: Any, y: Any, /) -> Tensor:
    """Product of a matrix and a vector: `matmul`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.mv(tfl.ones((1, 2)), tfl.ones(2))
    tensor([2.])
    """
    return _product("mv", x, y, 2, 1)


def _mixed(x: Any, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """Return ``beta * x + alpha * product``; where ``beta`` is 0, NaN in ``x`` is ignored."""
    x = lift(x, product)
    scaled = product if alpha == 1 and type(alpha) is int else product * alpha
    if type(beta) in (int, float) and beta == 0:
        return scaled
    return (x if type(beta) is int and beta == 1 else x * beta) + scaled


def addmm(x: Any, mat1: Any, mat2: Any, /, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Sum with a product of matrices: ``beta * x + alpha * (mat1 @ mat2)``.

    Parameters
    ----------
    x : Tensor
        Broadcasts to the product.
    mat1, mat2 : Tensor, shape (n, k) and (k, m)
    beta, alpha : number
        The factors; where ``beta`` is 0, ``x`` is ignored.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.addmm(tfl.ones(1), tfl.ones((1, 2)), tfl.ones((2, 1)))
    tensor([[3.]])
    """
    return _mixed(x, _product("addmm", mat1, mat2, 2, 2), beta, alpha)


def baddbmm(x: Any, batch1: Any, batch2: Any, /, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Sum with products of stacks of matrices: ``beta * x + alpha * (batch1 @ batch2)``.

    Parameters
    ----------
    x : Tensor
        Broadcasts to the products.
    batch1, batch2 : Tensor, shape (b, n, k) and (b, k, m)
    beta, alpha : number
        The factors; where ``beta`` is 0, ``x`` is ignored.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.baddbmm(tfl.ones(1), tfl.ones((1, 1, 2)), tfl.ones((1, 2, 1)))
    tensor([[[3.]]])
    """
    return _mixed(x, _product("baddbmm", batch1, batch2, 3, 3), beta, alpha)


def addmv(x: Any, mat: Any, vec: Any, /, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """Sum with a matrix times a vector: ``beta * x + alpha * (mat @ vec)``.

    Parameters
    ----------
    x : Tensor
        Broadcasts to the product.
    mat, vec : Tensor, shape (n, k) and (k,)
    beta, alpha : number
        The factors; where ``beta`` is 0, ``x`` is ignored.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.addmv(tfl.ones(1), tfl.ones((1, 2)), tfl.ones(2))
    tensor([3.])
    """
    return _mixed(x, _product("addmv", mat, vec, 2, 1), beta, alpha)


# -- elementwise -----------------------------------------------------------------------------------
def addcmul(x: Any, y: Any, z: Any, /, *, value: Any = 1) -> Tensor:
    """Sum with a product, elementwise: ``x + value * y * z``.

    Parameters
    ----------
    x, y, z : Tensor
        They broadcast.
    value : number
        A factor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.addcmul(tfl.ones(1), tfl.tensor([2.0]), tfl.tensor([3.0]))
    tensor([7.])
    """
    return m.addcmul(as_tensor(x), y, z, value=value)


def addcdiv(x: Any, y: Any, z: Any, /, *, value: Any = 1) -> Tensor:
    """Sum with a quotient, elementwise: ``x + value * y / z``.

    Parameters
    ----------
    x, y, z : Tensor
        They broadcast.
    value : number
        A factor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.addcdiv(tfl.ones(1), tfl.tensor([6.0]), tfl.tensor([3.0]))
    tensor([3.])
    """
    return m.addcdiv(as_tensor(x), y, z, value=value)


def lerp(x: Any, end: Any, weight: Any, /) -> Tensor:
    """Go part of the way to ``end``, elementwise: ``x + weight * (end - x)``.

    Parameters
    ----------
    x, end : Tensor
        They broadcast.
    weight : Tensor or number
        How far.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.lerp(tfl.tensor([1.0, 2.0]), tfl.tensor([3.0, 6.0]), 0.5)
    tensor([2., 4.])
    """
    return m.lerp(as_tensor(x), end, weight)


def clamp_min(x: Any, min: Any, /) -> Tensor:
    """Limit the elements from below: `clip`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.clamp_min(tfl.tensor([-1.0, 2.0]), 0)
    tensor([0., 2.])
    """
    return e.clip(x, min, None)


def clamp_max(x: Any, max: Any, /) -> Tensor:
    """Limit the elements from above: `clip`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.clamp_max(tfl.tensor([-1.0, 2.0]), 0)
    tensor([-1.,  0.])
    """
    return e.clip(x, None, max)


# -- distances -------------------------------------------------------------------------------------
def _length(apart: Tensor, p: float, axis: Any) -> Tensor:
    """Return the p-norm over axes; where it is 0 it has no slope."""
    size = e.abs(apart)
    if p == math.inf:
        return reduction.max(size, axis)
    if p == 1:
        return reduction.sum(size, axis)
    if p == 0:
        return reduction.sum(e.not_equal(size, 0).astype(apart.dtype), axis)
    total = reduction.sum(e.square(size) if p == 2 else e.power(size, p), axis)
    zero = e.equal(total, 0)
    held = e.where(zero, 1.0, total)
    root = e.sqrt(held) if p == 2 else e.power(held, 1 / p)
    return e.where(zero, 0.0, root)


def _order(name: str, p: Any) -> float:
    if not p >= 0:
        raise ArgumentError(f"{name}: p must not be negative, got {p}")
    return float(p)


def dist(x: Any, y: Any, /, p: float = 2) -> Tensor:
    """The p-norm of a difference.

    Parameters
    ----------
    x, y : Tensor
        They broadcast.
    p : float
        Which norm; infinity for the greatest element.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.dist(tfl.tensor([3.0, 0.0]), tfl.tensor([0.0, 4.0]))
    tensor(5.)
    """
    return _length(e.subtract(as_tensor(x), y), _order("dist", p), None)


def cdist(x: Any, y: Any, /, p: float = 2.0) -> Tensor:
    """The distances from each of some points to each of others.

    Parameters
    ----------
    x, y : Tensor, shape (..., n, k) and (..., m, k)
        Points as rows; leading axes broadcast.
    p : float
        Which norm; infinity for the greatest element.

    Returns
    -------
    Tensor, shape (..., n, m)

    Raises
    ------
    ShapeError
        The points have different numbers of coordinates.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cdist(tfl.tensor([[0.0, 0.0]]), tfl.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    x, y = as_tensor(x), as_tensor(y)
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise ShapeError(
            f"cdist: points with as many coordinates are needed, got {x.shape} and {y.shape}"
        )
    return _length(expand_dims(x, -2) - expand_dims(y, -3), _order("cdist", p), -1)
