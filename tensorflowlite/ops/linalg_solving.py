"""Inverses, determinants and systems of linear equations."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..backend import dtypes
from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from .arguments import as_tensor, happens, several_axes
from .creation import full, zeros
from .declare import general, unary
from .linalg_arguments import adjoint, conjugate, in_one_dtype, matrix
from .shaping import _permute, _reshape


# -- inverse and determinant -----------------------------------------------------------------------
def _adjugate_along_rule(k, g, need, x, y):
    """The adjugate is d X with d = det x and X its inverse; so is its derivative along y."""
    by_x = None
    if need[0]:
        d, inverse, h = k.det(x), k.inv(x), k.mT(g)
        d = k.getitem(d, (..., None, None))
        xy, xh = k.matmul(inverse, y), k.matmul(inverse, h)
        trace_y, trace_h = _trace(k, xy), _trace(k, xh)
        both = _trace(k, k.matmul(xh, xy))
        yh = k.matmul(xy, xh) + k.matmul(xh, xy)
        inner = (trace_y * trace_h - both) * inverse - k.matmul(
            trace_h * xy + trace_y * xh - yh, inverse
        )
        by_x = k.mT(d * inner)
    return by_x, k.mT(k.adjugate_along(x, k.mT(g))) if need[1] else None


def _trace(k: Any, x: Any) -> Any:
    place = (0, len(x.shape) - 2, len(x.shape) - 1)
    return k.getitem(k.sum(k.diagonal(x, place), (len(x.shape) - 2,)), (..., None, None))


def _slogdet_rule(k, g, x, out):
    """log |det x| changes by the real part of the trace of x^-1 dx, the phase by the imaginary."""
    factor = g[1]
    if x.dtype.kind == "c":
        turn = g[0] * out[0]
        factor = factor + (turn - k.conj(turn)) / 2
    return (k.getitem(factor, (..., None, None)) * k.mT(k.inv(x)),)


_inv = unary("inv", lambda k, g, out: -k.matmul(k.mT(out), k.matmul(g, k.mT(out))), "The inverse.")
_det = unary(
    "det",
    lambda k, g, x: k.getitem(g, (..., None, None)) * k.mT(k.adjugate(x)),
    "The determinant; its gradient is the matrix of cofactors, also of a singular matrix.",
)
unary("adjugate", lambda k, g, x: k.mT(k.adjugate_along(x, k.mT(g))), "Transposed cofactors.")
general("adjugate_along", ("x", "y"), _adjugate_along_rule, joint=True)
_slogdet = general("slogdet", ("x",), _slogdet_rule, joint=True, outputs=2)


def inv(x: Tensor, /) -> Tensor:
    """Return the inverse of square matrices.

    Parameters
    ----------
    x : Tensor, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    LinalgError
        A matrix is singular.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.inv(tfl.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    return _inv(matrix("inv", x, square=True))


def det(x: Tensor, /) -> Tensor:
    """Return the determinant of square matrices.

    Parameters
    ----------
    x : Tensor, shape (..., n, n)
        The gradient is the matrix of cofactors, of singular matrices too. Derivatives from the
        third order on need an inverse.

    Returns
    -------
    Tensor, shape (...)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.det(tfl.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor(3.)
    """
    return _det(matrix("det", x, square=True))


class SlogdetResult(NamedTuple):
    """The sign (the phase of a complex one) and the logarithm of a determinant's size."""

    sign: Tensor
    logabsdet: Tensor


def slogdet(x: Tensor, /) -> SlogdetResult:
    """Return the sign and the logarithm of the absolute value of the determinant.

    Parameters
    ----------
    x : Tensor, shape (..., n, n)

    Returns
    -------
    (sign, logabsdet), each of shape (...)
        The sign of a complex matrix's determinant is a number of size 1; of a singular matrix it
        is 0, and the logarithm minus infinity.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.slogdet(tfl.tensor([[2.0, 0.0], [0.0, -2.0]]))
    SlogdetResult(sign=tensor(-1.), logabsdet=tensor(1.3862944))
    """
    return SlogdetResult(*_slogdet(matrix("slogdet", x, square=True)))


def logdet(x: Tensor, /) -> Tensor:
    """Return the logarithm of the determinant: NaN where that is negative.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.logdet(tfl.tensor([[2.0, 0.0], [0.0, 2.0]]))
    tensor(1.3862944)
    """
    sign, logarithm = _slogdet(matrix("logdet", x, square=True))
    return traced.add(traced.log(sign), logarithm)


# -- systems of equations --------------------------------------------------------------------------
def _solve_rule(k, g, need, x, out):
    by_y = k.solve(k.mT(x), g)
    return -k.matmul(by_y, k.mT(out)) if need[0] else None, by_y


def _solve_triangular_rule(k, g, need, x, out, upper, unit):
    by_y = k.solve_triangular(k.mT(x), g, not upper, unit)
    if not need[0]:
        return None, by_y
    full_one = -k.matmul(by_y, k.mT(out))
    keep = k.triu(full_one, int(unit)) if upper else k.tril(full_one, -int(unit))
    return keep, by_y


_solve = general("solve", ("x", "y"), _solve_rule, joint=True)
_solve_triangular = general(
    "solve_triangular",
    ("x", "y"),
    _solve_triangular_rule,
    attributes=("upper", "unit"),
    joint=True,
)


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Solve ``x1 @ x = x2`` for ``x``.

    Parameters
    ----------
    x1 : Tensor, shape (..., n, n)
        The matrices of the coefficients; leading axes broadcast.
    x2 : Tensor, shape (..., n, k) or (n,)
        The right sides; a vector only where it has one axis.

    Returns
    -------
    Tensor, shape (..., n, k) or (..., n)

    Raises
    ------
    LinalgError
        A matrix is singular.
    ShapeError
        The shapes don't fit.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.solve(tfl.tensor([[2.0, 0.0], [0.0, 4.0]]), tfl.tensor([2.0, 2.0]))
    tensor([1. , 0.5])
    """
    x1 = matrix("solve", x1, square=True)
    x1, x2, vector = _with_right_side("solve", x1, x2)
    return _as_given(_solve(x1, x2), vector)


def _with_right_side(name: str, x: Tensor, y: Any) -> tuple[Tensor, Tensor, bool]:
    """Return the matrix and the right side in one dtype, a vector as a column, and whether."""
    given = as_tensor(y).array.shape
    vector = len(given) == 1
    y = as_tensor(y)
    y = matrix(name, _reshape(y, (*given, 1)) if vector else y)
    rows, lead = x.array.shape[-2], (x.array.shape[:-2], y.array.shape[:-2])
    if y.array.shape[-2] != rows:
        raise ShapeError(
            f"{name}: both must have as many rows, got {x.shape} and {given}: "
            f"{rows} != {y.array.shape[-2]}"
        )
    if any(a != b and 1 not in (a, b)
           for a, b in zip(lead[0][::-1], lead[1][::-1], strict=False)):  # fmt: skip
        raise ShapeError(f"{name}: leading axes must broadcast, got {x.shape} and {given}")
    x, y = in_one_dtype(x, y)
    return x, y, vector


def _as_given(out: Tensor, vector: bool) -> Tensor:
    return _reshape(out, out.array.shape[:-1]) if vector else out


def solve_triangular(
    x1: Tensor,
    x2: Tensor,
    /,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Tensor:
    """Solve ``x1 @ x = x2`` for ``x``, where ``x1`` is triangular.

    Parameters
    ----------
    x1 : Tensor, shape (..., n, n)
        Only one triangle is read, and has a gradient.
    x2 : Tensor, shape (..., n, k) or (n,)
        The right sides, with ``left=False`` of shape (..., k, n). Leading axes broadcast.
    upper : bool
        Which triangle: the upper or the lower one.
    left : bool
        False solves ``x @ x1 = x2`` instead.
    unitriangular : bool
        Whether the diagonal is taken to be all ones, and not read.

    Returns
    -------
    Tensor
        Of the shape of ``x2``, but for leading axes.

    Raises
    ------
    LinalgError
        There is a zero on a diagonal.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([[2.0, 1.0], [0.0, 4.0]])
    >>> tfl.linalg.solve_triangular(x, tfl.tensor([4.0, 8.0]), upper=True)
    tensor([1., 2.])
    """
    name = "solve_triangular"
    x1 = matrix(name, x1, square=True)
    if left:
        x1, x2, vector = _with_right_side(name, x1, x2)
        return _as_given(_solve_triangular(x1, x2, bool(upper), bool(unitriangular)), vector)
    x1, x2, vector = _with_right_side(name, traced.mT(x1), traced.mT(matrix(name, x2)))
    return traced.mT(_solve_triangular(x1, x2, not upper, bool(unitriangular)))


# -- pseudo-inverse and least squares --------------------------------------------------------------
def _pinv_gradient(k: Any, x: Any, out: Any, g: Any) -> Any:
    """Golub and Pereyra, "The differentiation of pseudo-inverses" (1973), eq. 4.12.

    ``g`` and what is returned are conjugated gradients; ``out`` is the pseudo-inverse.
    """
    gh, oh = adjoint(k, g), adjoint(k, out)
    if x.shape[-2] <= x.shape[-1]:
        left = k.matmul(gh, out)
        right = k.matmul(left, oh)
        first = right - adjoint(k, k.matmul(out, left)) - k.matmul(k.matmul(x, out), right)
        return first + k.matmul(k.matmul(oh, out), gh - k.matmul(left, x))
    left = k.matmul(out, gh)
    right = k.matmul(oh, left)
    first = right - adjoint(k, k.matmul(left, out)) - k.matmul(k.matmul(right, out), x)
    return first + k.matmul(k.matmul(gh - k.matmul(x, left), out), oh)


def _pinv_rule(k, g, x, out):
    return conjugate(k, _pinv_gradient(k, x, out, conjugate(k, g)))


def _lstsq_rule(k, g, need, x, y, rtol):
    inverse = k.pinv(x, rtol)
    by_x = None
    if need[0]:
        by_inverse = conjugate(k, k.matmul(g, k.mT(y)))
        by_x = conjugate(k, _pinv_gradient(k, x, inverse, by_inverse))
    return by_x, k.matmul(k.mT(inverse), g), None


_pinv = general("pinv", ("x", "rtol"), (_pinv_rule, None))
_lstsq = general("lstsq", ("x", "y", "rtol"), _lstsq_rule, joint=True)


def relative_tolerance(name: str, x: Tensor, rtol: Any) -> Tensor:
    """Return the tolerance as a tensor beside ``x``: by default eps times the greater length."""
    shape, dtype = x.array.shape, dtypes.real_of(x.array.dtype)
    if rtol is None:
        rtol = max(shape[-2:]) * float(dtypes.float_limits(dtype).eps)
    if not isinstance(rtol, bool | int | float):
        rtol = as_tensor(rtol).detach()
        if rtol.array.ndim > len(shape) - 2:
            raise ShapeError(
                f"{name}: rtol must have at most the leading axes of {shape}, got {rtol.shape}"
            )
        return traced.cast(rtol, dtype)
    return full((), float(rtol), dtype=dtype, device=x.device)


def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """Return the Moore-Penrose pseudo-inverse, by the singular value decomposition.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
        The gradient holds where the rank doesn't change.
    rtol : float or Tensor, optional
        Singular values up to this part of the greatest count as zero; by default the rounding
        unit times the greater of m and n.

    Returns
    -------
    Tensor, shape (..., n, m)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.pinv(tfl.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. ],
            [0. , 0. ]])
    """
    x = matrix("pinv", x)
    return _pinv(x, relative_tolerance("pinv", x, rtol))


class LstsqResult(NamedTuple):
    """What `lstsq` returns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def lstsq(x1: Tensor, x2: Tensor, /, rcond: Any = None) -> LstsqResult:
    """Solve ``x1 @ x = x2`` in the sense of least squares; of several solutions the smallest.

    Parameters
    ----------
    x1 : Tensor, shape (..., m, n)
        Any rank.
    x2 : Tensor, shape (..., m, k) or (m,)
        The right sides; leading axes broadcast.
    rcond : float or Tensor, optional
        Singular values up to this part of the greatest count as zero; by default the rounding
        unit times the greater of m and n.

    Returns
    -------
    (solution, residuals, rank, singular_values)
        The residuals are the sums of squares that are left, of shape (..., k); empty where m is
        not greater than n or a matrix lacks full rank.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    >>> found = tfl.linalg.lstsq(x, tfl.tensor([1.0, 2.0, 3.0]))
    >>> found.solution.shape, found.rank
    ((2,), tensor(2))
    """
    from .linalg_decompositions import svdvals

    x1 = matrix("lstsq", x1)
    x1, x2, vector = _with_right_side("lstsq", x1, x2)
    rtol = relative_tolerance("lstsq", x1, rcond)
    solution = _lstsq(x1, x2, rtol)
    values = svdvals(x1)
    rank = rank_of(values.detach(), rtol)
    m, n = x1.array.shape[-2:]
    if m > n and not happens(traced.not_equal(rank, n)):
        left = traced.abs(traced.subtract(x2, traced.matmul(x1, solution)))
        residuals = traced.sum(traced.square(left), (left.array.ndim - 2,))
    else:
        residuals = zeros((0,), dtype=values.dtype, device=x1.device)
    return LstsqResult(_as_given(solution, vector), residuals, rank, values)


def rank_of(values: Tensor, rtol: Tensor) -> Tensor:
    """Return how many singular values, in descending order, are above a part of the greatest."""
    greatest = traced.getitem(values, (..., slice(0, 1)))
    least = traced.multiply(traced.getitem(rtol, (..., None)), greatest)
    return traced.sum(traced.greater(values, least), (values.array.ndim - 1,))


# -- equations of tensors --------------------------------------------------------------------------
def tensorinv(x: Tensor, /, ind: int = 2) -> Tensor:
    """Return the inverse of a tensor as a map between its first ``ind`` axes and the others.

    Parameters
    ----------
    x : Tensor
        The first ``ind`` lengths and the others have equal products.
    ind : int
        How many axes come first.

    Returns
    -------
    Tensor
        The other axes, then the first ``ind``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.tensorinv(tfl.eye(6).reshape(6, 2, 3), ind=1).shape
    (2, 3, 6)
    """
    x = as_tensor(x)
    if ind < 1:
        raise ArgumentError(f"tensorinv: ind must be positive, got {ind}")
    shape = x.array.shape
    first, rest = shape[:ind], shape[ind:]
    if math.prod(first) != math.prod(rest):
        raise ShapeError(
            f"tensorinv: the products of the lengths must be equal, got {first} and {rest}"
        )
    return _reshape(inv(_reshape(x, (math.prod(first), math.prod(rest)))), rest + first)


def tensorsolve(x1: Tensor, x2: Tensor, /, axes: Any = None) -> Tensor:
    """Solve ``tensordot(x1, x, x.ndim) = x2`` for ``x``.

    Parameters
    ----------
    x1 : Tensor
        Of the shape of ``x2`` and then that of the solution.
    x2 : Tensor
        The right side.
    axes : sequence of int, optional
        Axes of ``x1`` to move to the end first.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.tensorsolve(tfl.eye(6).reshape(2, 3, 6), tfl.ones((2, 3))).shape
    (6,)
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if axes is not None:
        last = several_axes("tensorsolve", axes, x1.array.ndim)
        order = [axis for axis in range(x1.array.ndim) if axis not in last]
        x1 = _permute(x1, (*order, *last))
    shape = x1.array.shape[x2.array.ndim :]
    count = math.prod(shape)
    if x1.array.size != count * count or x2.array.size != count:
        raise ShapeError(f"tensorsolve: x1 must be square as a map, got {x1.shape} for {x2.shape}")
    out = solve(_reshape(x1, (count, count)), _reshape(x2, (count,)))
    return _reshape(out, shape)
