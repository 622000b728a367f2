"""Decompositions of matrices.

Gradients hold for functions that don't depend on what a decomposition leaves open: the signs (of
complex matrices the phases) of vectors, and where values repeat, the choice of their vectors. A
loss that does depend on the choice gets infinities or NaN, and so does one that takes vectors of
repeated values where it needn't. What comes from values alone is finite.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.tensor import Tensor
from ..errors import ArgumentError, GradientError
from .declare import attr1, general, unary
from .linalg_arguments import (
    LAST,
    ROW,
    adjoint,
    conjugate,
    divisor,
    matrix,
    off_diagonal,
    place_diagonal,
)


# -- rules: Giles, "Collected matrix derivative results for forward and reverse mode" (2008) -------
def _cholesky_rule(k, g, out, upper):
    """Of L: L^-H S L^-1, where S is the Hermitian part of L^H G with half the diagonal."""
    g = conjugate(k, g)
    if upper:
        out, g = adjoint(k, out), adjoint(k, g)
    outer = adjoint(k, out)
    inner = k.matmul(outer, g)
    inner = (k.tril(inner, 0) + k.tril(inner, -1)) / 4
    inner = inner + adjoint(k, inner)
    half = k.solve_triangular(outer, inner, True, False)
    return conjugate(k, adjoint(k, k.solve_triangular(outer, adjoint(k, half), True, False)))


def _qr_rule(k, g, x, out, mode):
    """Of a tall matrix (G_Q + Q S) R^-H, where S is made of triu(G_R R^H - Q^H G_Q).

    A wide one is a square one X beside Y = Q R_Y, whose gradient goes through Q and R_Y.
    Walter and Lehmann, "Algorithmic differentiation of linear algebra functions" (2010).
    """
    q, r = out
    by_q, by_r = conjugate(k, g[0]), conjugate(k, g[1])
    m, n = x.shape[-2:]
    if mode == "complete" and m > n:
        raise GradientError(
            f"qr: a tall matrix has no gradient with mode='complete', got shape {x.shape}; use "
            "mode='reduced'"
        )
    if m >= n:
        return (conjugate(k, _tall_qr(k, q, r, by_q, by_r)),)
    left, right = (..., slice(None), slice(0, m)), (..., slice(None), slice(m, None))
    by_rest = k.matmul(q, k.getitem(by_r, right))
    by_q = by_q + k.matmul(k.getitem(x, right), adjoint(k, k.getitem(by_r, right)))
    by_square = _tall_qr(k, q, k.getitem(r, left), by_q, k.getitem(by_r, left))
    return (conjugate(k, k.concat(by_square, by_rest, len(x.shape) - 1)),)


def _tall_qr(k: Any, q: Any, r: Any, by_q: Any, by_r: Any) -> Any:
    inner = k.matmul(by_r, adjoint(k, r)) - k.matmul(adjoint(k, q), by_q)
    upper = (k.triu(inner, 0) + k.triu(inner, 1)) / 2  # half the diagonal
    total = by_q + k.matmul(q, upper + adjoint(k, upper))
    return adjoint(k, k.solve_triangular(r, adjoint(k, total), True, False))


def _eigh_rule(k, g, out):
    """Hermitian, as the matrix is: of V^H G the part that turns vectors into one another."""
    values, vectors = out
    by_values, by_vectors = conjugate(k, g[0]), conjugate(k, g[1])
    outer = adjoint(k, vectors)
    gaps = k.getitem(values, LAST) - k.getitem(values, ROW)
    inner = k.matmul(outer, by_vectors)
    inner = off_diagonal(k, inner - adjoint(k, inner)) / 2
    inner = inner / _gaps(k, gaps, by_vectors) + place_diagonal(k, by_values, values.shape[-1])
    return (conjugate(k, k.matmul(k.matmul(vectors, inner), outer)),)


def _gaps(k: Any, gaps: Any, *gradients: Any) -> Any:
    """Return the differences to divide by; ones on the diagonal, where there are none."""
    return divisor(k, off_diagonal(k, gaps) + k.tril(k.triu(k.ones_like(gaps), 0), 0), *gradients)


def _eigvalsh_rule(k, g, x, uplo):
    vectors = k.eigh(x, uplo)[1]
    return (conjugate(k, k.matmul(vectors * k.getitem(g, LAST), adjoint(k, vectors))),)


def _eig_rule(k, g, out):
    """Of V and L with A V = V L, where the columns of V have length 1."""
    values, vectors = out
    by_values, by_vectors = k.conj(g[0]), k.conj(g[1])
    outer = adjoint(k, vectors)
    inner = k.matmul(outer, by_vectors)
    last = len(inner.shape) - 1
    along = k.real(k.diagonal(inner, (0, last - 1, last)))
    inner = off_diagonal(k, inner - k.matmul(outer, vectors * k.getitem(along, LAST)))
    gaps = k.conj(k.getitem(values, LAST) - k.getitem(values, ROW))
    inner = inner / _gaps(k, gaps, by_vectors) + place_diagonal(k, by_values, values.shape[-1])
    return (k.conj(k.solve(outer, k.matmul(inner, outer))),)


def _eigvals_rule(k, g, x):
    vectors = k.eig(x)[1]
    outer = adjoint(k, vectors)
    return k.conj(k.solve(outer, k.conj(k.getitem(g, ROW)) * outer))


def _svd_rule(k, g, x, out, full):
    """Townsend, "Differentiating the singular value decomposition" (2016)."""
    u, s, vh = out
    by_u, by_s, by_vh = conjugate(k, g[0]), g[1], conjugate(k, g[2])
    m, n = x.shape[-2:]
    count = min(m, n)
    if full:  # what completes a basis isn't determined: nothing may depend on it
        u, by_u = (k.getitem(one, (..., slice(0, count))) for one in (u, by_u))
        vh, by_vh = (k.getitem(one, (..., slice(0, count), slice(None))) for one in (vh, by_vh))
    uh, v = adjoint(k, u), adjoint(k, vh)
    column, row = k.getitem(s, ROW), k.getitem(s, LAST)
    uu = k.matmul(uh, by_u)
    vv = k.matmul(vh, adjoint(k, by_vh))
    skew_u, skew_v = uu - adjoint(k, uu), vv - adjoint(k, vv)
    gaps = _gaps(k, (row - column) * (row + column), by_u, by_vh)
    inner = off_diagonal(k, skew_u * row + column * skew_v) / gaps
    inner = inner + place_diagonal(k, by_s, count)
    row, column = divisor(k, row, by_u, by_vh), divisor(k, column, by_u, by_vh)
    if skew_u.dtype.kind == "c":
        inner = inner + (skew_u - off_diagonal(k, skew_u)) / (2 * row)
    if m > count:
        outside = by_u / row
        outside = outside - k.matmul(u, k.matmul(uh, outside))
        inner = k.matmul(k.matmul(u, inner) + outside, vh)
    elif n > count:
        outside = by_vh / column
        outside = outside - k.matmul(k.matmul(outside, v), vh)
        inner = k.matmul(u, k.matmul(inner, vh) + outside)
    else:
        inner = k.matmul(k.matmul(u, inner), vh)
    return (conjugate(k, inner),)


def _svdvals_rule(k, g, x):
    u, _, vh = k.svd(x, False)
    return conjugate(k, k.matmul(u * k.getitem(g, LAST), vh))


_cholesky = attr1("cholesky", "upper", _cholesky_rule, "The Cholesky factor.")
_qr = general("qr", ("x",), _qr_rule, attributes=("mode",), joint=True, outputs=2)
_eigh = general("eigh", ("x",), _eigh_rule, attributes=("uplo",), joint=True, outputs=2)
_eigvalsh = general("eigvalsh", ("x",), _eigvalsh_rule, attributes=("uplo",), joint=True)
_eig = general("eig", ("x",), _eig_rule, joint=True, outputs=2)
_eigvals = unary("eigvals", _eigvals_rule, "Eigenvalues.")
_svd = general("svd", ("x",), _svd_rule, attributes=("full",), joint=True, outputs=3)
_svdvals = unary("svdvals", _svdvals_rule, "Singular values.")


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Tensor
    R: Tensor


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """What `eig` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """Return the triangular factor L of positive definite matrices, ``x = L @ L.mH``.

    Parameters
    ----------
    x : Tensor, shape (..., n, n)
        Symmetric or Hermitian; only one triangle is read. The gradient is Hermitian too.
    upper : bool
        Whether to return the upper factor, ``x = U.mH @ U``, of the upper triangle.

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    LinalgError
        A matrix isn't positive definite.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.cholesky(tfl.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return _cholesky(matrix("cholesky", x, square=True), bool(upper))


def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """Return the factors of ``x = Q @ R``: orthonormal columns, and an upper triangle.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
        The gradient needs full rank in the first min(m, n) columns.
    mode : "reduced" or "complete"
        Whether Q has min(m, n) columns, or m; a tall matrix has no gradient with m.

    Returns
    -------
    (Q, R)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> q, r = tfl.linalg.qr(tfl.ones((3, 2)))
    >>> q.shape, r.shape
    ((3, 2), (2, 2))
    """
    if mode not in ("reduced", "complete"):
        raise ArgumentError(f"qr: mode must be 'reduced' or 'complete', got {mode!r}")
    return QRResult(*_qr(matrix("qr", x), mode))


def _triangle(name: str, uplo: Any) -> str:
    if uplo not in ("L", "U"):
        raise ArgumentError(f"{name}: UPLO must be 'L' or 'U', got {uplo!r}")
    return str(uplo)


def eigh(x: Tensor, /, UPLO: str = "L") -> EighResult:
    """Return the eigenvalues and eigenvectors of symmetric or Hermitian matrices.

    Parameters
    ----------
    x : Tensor, shape (..., n, n)
        Only one triangle is read.
    UPLO : "L" or "U"
        Which: the lower or the upper one.

    Returns
    -------
    (eigenvalues, eigenvectors), of shapes (..., n) and (..., n, n)
        The values ascend and are real; the vectors are columns of length 1. Their gradient is
        infinite where values repeat.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.eigh(tfl.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    return EighResult(*_eigh(matrix("eigh", x, square=True), _triangle("eigh", UPLO)))


def eigvalsh(x: Tensor, /, UPLO: str = "L") -> Tensor:
    """Return the eigenvalues of symmetric or Hermitian matrices, ascending.

    Parameters
    ----------
    x : Tensor, shape (..., n, n)
        Only one triangle is read. The gradient is finite where values repeat.
    UPLO : "L" or "U"
        Which: the lower or the upper one.

    Returns
    -------
    Tensor, shape (..., n)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.eigvalsh(tfl.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([1., 2.])
    """
    return _eigvalsh(matrix("eigvalsh", x, square=True), _triangle("eigvalsh", UPLO))


def eig(x: Tensor, /) -> EigResult:
    """Return the eigenvalues and eigenvectors of square matrices; always complex.

    Parameters
    ----------
    x : Tensor, shape (..., n, n)

    Returns
    -------
    (eigenvalues, eigenvectors), of shapes (..., n) and (..., n, n)
        In no particular order; the vectors are columns of length 1. Their gradient is infinite
        where values repeat.

    Raises
    ------
    DeviceError
        The device's library has no such function.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.eig(tfl.tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    return EigResult(*_eig(matrix("eig", x, square=True)))


def eigvals(x: Tensor, /) -> Tensor:
    """Return the eigenvalues of square matrices, in no particular order; always complex.

    Parameters
    ----------
    x : Tensor, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.eigvals(tfl.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    tensor([0.+1.j, 0.-1.j])
    """
    return _eigvals(matrix("eigvals", x, square=True))


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """Return the singular value decomposition, ``x = U @ diag(S) @ Vh``.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
    full_matrices : bool
        Whether U is of shape (..., m, m) and Vh of (..., n, n), or (..., m, k) and (..., k, n)
        with k the smaller of m and n. What completes a basis has no gradient.

    Returns
    -------
    (U, S, Vh)
        The values descend and are real. The gradient of the vectors is infinite where values
        repeat, and at zeros of a matrix that isn't square.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> u, s, vh = tfl.linalg.svd(tfl.ones((3, 2)), full_matrices=False)
    >>> u.shape, s.shape, vh.shape
    ((3, 2), (2,), (2, 2))
    """
    return SVDResult(*_svd(matrix("svd", x), bool(full_matrices)))


def svdvals(x: Tensor, /) -> Tensor:
    """Return the singular values, descending.

    Parameters
    ----------
    x : Tensor, shape (..., m, n)
        The gradient is finite where values repeat.

    Returns
    -------
    Tensor, shape (..., k)
        k is the smaller of m and n.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linalg.svdvals(tfl.tensor([[0.0, 3.0], [2.0, 0.0]]))
    tensor([3., 2.])
    """
    return _svdvals(matrix("svdvals", x))
