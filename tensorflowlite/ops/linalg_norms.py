"""Norms of vectors and matrices, and what follows from singular values."""

from __future__ import annotations

import math
from typing import Any

from ..backend import dtypes
from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from .arguments import as_tensor, several_axes
from .declare import attr1
from .linalg_arguments import conjugate, matrix
from .linalg_decompositions import svdvals
from .linalg_solving import inv, rank_of, relative_tolerance
from .reducing import kept_shape, normalize_axes
from .shaping import _permute, _reshape


def _vector_norm_rule(k, g, x, out, spec):
    """Zero at the origin: of the slopes that fit there, the smallest."""
    order = spec[0]
    if order == 2:
        return conjugate(k, x) * k.where(out == 0, k.zeros_like(g), g / _nonzero(k, out))
    size = k.abs(x)
    if order == 1:
        return conjugate(k, x) / _nonzero(k, size) * g
    none = size == 0
    slope = _nonzero(k, size) ** (order - 2)
    slope = k.where(none, k.zeros_like(slope), slope)
    share = k.where(out == 0, k.zeros_like(g), g / _nonzero(k, out) ** (order - 1))
    return conjugate(k, x) * slope * share


def _nonzero(k: Any, x: Any) -> Any:
    return k.where(x == 0, k.ones_like(x), x)


_vector_norm = attr1("vector_norm", "spec", _vector_norm_rule)


def _number(name: str, x: Any) -> Tensor:
    """Return a tensor of a float or complex dtype; integers become float64."""
    x = as_tensor(x)
    return traced.cast(x, dtypes.float64) if x.array.dtype.kind in "biu" else x


def _order(name: str, order: Any) -> float:
    try:
        return float(order)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: ord must be a number, got {order!r}") from None


def vector_norm(x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """Return the norm of vectors, ``sum(abs(x) ** ord) ** (1 / ord)``.

    Parameters
    ----------
    x : Tensor
        Any shape; float16 and bfloat16 are accumulated in float32. The gradient at 0 is 0.
    axis : int or tuple of int, optional
        The axes that a vector lies along; by default all.
    keepdims : bool
        Whether the axes stay, with length 1.
    ord : float
        2 is Euclid's; infinity and minus infinity give the greatest and least size, 0 the number
        of elements that aren't 0 (without a gradient).

    Returns
    -------
    Tensor
        Real.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.vector_norm(tfl.tensor([[3.0, 4.0], [0.0, 1.0]]), axis=1)
    tensor([5., 1.])
    """
    x = _number("vector_norm", x)
    axes = normalize_axes("vector_norm", axis, x.array.ndim)
    return _norm_of_vectors("vector_norm", x, axes, keepdims, ord)


def _norm_of_vectors(name: str, x: Tensor, axes: tuple[int, ...], keepdims: bool, ord: Any
                     ) -> Tensor:  # fmt: skip
    order, shape = _order(name, ord), x.array.shape
    if math.isinf(order):
        size = traced.abs(x)
        if order > 0 and any(shape[axis] == 0 for axis in axes):
            out = traced.sum(size, axes)  # the greatest of no sizes is 0
        else:
            out = (traced.max if order > 0 else traced.min)(size, axes) if axes else size
    elif order == 0:
        out = traced.cast(
            traced.sum(traced.not_equal(x, 0), axes), dtypes.real_of(x.array.dtype)
        )  # fmt: skip
    else:
        out = _vector_norm(x, (order, axes))
    rest = tuple([n for i, n in enumerate(shape) if i not in axes])
    return _reshape(out, kept_shape(shape, axes) if keepdims else rest)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """Return the norm of matrices.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
    keepdims : bool
        Whether the last two axes stay, with length 1.
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}
        Frobenius's norm; the sum of the singular values; the greatest (least) sum of sizes of a
        column (1, -1) or a row (inf, -inf); the greatest (least) singular value (2, -2).

    Returns
    -------
    Tensor, shape (...)
        Real.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([[3.0, 0.0], [4.0, 0.0]])
    >>> tfl.linalg.matrix_norm(x), tfl.linalg.matrix_norm(x, ord=1)
    (tensor(5.), tensor(7.))
    """
    x = _number("matrix_norm", x)
    if x.array.ndim < 2:
        raise ShapeError(
            f"matrix_norm: a matrix, or a stack of them, is needed, got shape {x.shape}"
        )
    return _norm_of_matrices("matrix_norm", x, keepdims, ord)


def _norm_of_matrices(name: str, x: Tensor, keepdims: bool, ord: Any) -> Tensor:
    """Return the norm over the last two axes."""
    ndim = x.array.ndim
    lead = x.array.shape[:-2]
    if ord is None or ord == "fro":
        out = _vector_norm(x, (2.0, (ndim - 2, ndim - 1)))
    elif ord == "nuc":
        out = traced.sum(svdvals(x), (ndim - 2,))
    elif ord in (2, -2):
        out = _outermost(name, svdvals(x), ndim - 2, ord > 0, x)
    elif ord in (1, -1, math.inf, -math.inf):
        rows = abs(ord) != 1
        sums = traced.sum(traced.abs(x), (ndim - 1 if rows else ndim - 2,))
        out = _outermost(name, sums, ndim - 2, ord > 0, x)
    else:
        raise ArgumentError(
            f"{name}: ord of matrices must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}"
        )
    return _reshape(out, (*lead, 1, 1) if keepdims else lead)


def _outermost(name: str, values: Tensor, axis: int, greatest: bool, x: Tensor) -> Tensor:
    if values.array.shape[axis]:
        return (traced.max if greatest else traced.min)(values, (axis,))
    if not greatest:
        raise ShapeError(f"{name}: the least of no values isn't there, got shape {x.shape}")
    return traced.sum(values, (axis,))


def norm(x: Tensor, /, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the norm of vectors or matrices, as NumPy's ``linalg.norm`` does.

    Parameters
    ----------
    x : Tensor
        Any shape where neither ``ord`` nor ``axis`` is given: all its elements are one vector.
    ord : float or str, optional
        As in `vector_norm` and `matrix_norm`; by default Euclid's and Frobenius's.
    axis : int or pair of int, optional
        The axis of the vectors, or the two axes of the matrices.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Real.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.norm(tfl.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    x = _number("norm", x)
    ndim = x.array.ndim
    if axis is None:
        if ord is None:
            return _norm_of_vectors("norm", x, tuple(range(ndim)), keepdims, 2)
        if ndim not in (1, 2):
            raise ShapeError(f"norm: axis is needed for other than 1 or 2 axes, got {x.shape}")
        axis = tuple(range(ndim))
    axes = several_axes("norm", axis, ndim)
    if len(axes) == 1:
        return _norm_of_vectors("norm", x, axes, keepdims, 2 if ord is None else ord)
    if len(axes) != 2:
        raise ShapeError(f"norm: axis must be one axis or two, got {axis!r}")
    order = (*[i for i in range(ndim) if i not in axes], *axes)
    out = _norm_of_matrices("norm", _permute(x, order), False, ord)
    return _reshape(out, kept_shape(x.array.shape, axes)) if keepdims else out


def cond(x: Tensor, /, p: Any = None) -> Tensor:
    """Return the condition number: the norm of matrices times that of their inverses.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
        Square, unless the norm is by singular values.
    p : {None, 2, -2, 1, -1, inf, -inf, "fro", "nuc"}
        The norm, as in `matrix_norm`; by default 2: the greatest singular value over the least.

    Returns
    -------
    Tensor, shape (...)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.cond(tfl.tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    x = matrix("cond", x, square=p not in (None, 2, -2))
    if p not in (None, 2, -2):
        return traced.multiply(matrix_norm(x, ord=p), matrix_norm(inv(x), ord=p))
    values = svdvals(x)
    if not values.array.shape[-1]:
        raise ShapeError(f"cond: the matrix must not be empty, got {x.shape}")
    first, last = traced.getitem(values, (..., 0)), traced.getitem(values, (..., -1))
    return traced.divide(last, first) if p == -2 else traced.divide(first, last)


def matrix_rank(x: Tensor, /, tol: Any = None, *, rtol: Any = None) -> Tensor:
    """Return the rank of matrices: how many singular values count.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
    tol : float or Tensor, optional
        Values up to this count as zero.
    rtol : float or Tensor, optional
        Values up to this part of the greatest count as zero; by default the rounding unit times
        the greater of m and n.

    Returns
    -------
    Tensor of int64, shape (...)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.matrix_rank(tfl.ones((3, 3)))
    tensor(1)
    """
    x = matrix("matrix_rank", x)
    values = svdvals(x.detach())
    if tol is None:
        return rank_of(values, relative_tolerance("matrix_rank", x, rtol))
    least = traced.getitem(relative_tolerance("matrix_rank", x, tol), (..., None))
    return traced.sum(traced.greater(values, least), (values.array.ndim - 1,))
