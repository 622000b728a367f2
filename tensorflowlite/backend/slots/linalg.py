"""Slots of linear algebra, written once for every library with NumPy's interface.

Arrays are stacks of matrices of float32, float64, complex64 or complex128.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy

from ...errors import DeviceError, LinalgError
from .. import dtypes
from .matrix_function import matrix_function_slots


class MatrixError(LinalgError, numpy.linalg.LinAlgError):
    """What is raised: `LinalgError` that a handler of NumPy's ``LinAlgError`` catches too."""


MatrixError.__name__ = MatrixError.__qualname__ = "LinalgError"
MatrixError.__module__ = "tensorflowlite.errors"

# What each operation needs, and what it got when it failed.
_NEEDS = {
    "inv": "the matrix must be invertible, got a singular one",
    "solve": "the matrix must be invertible, got a singular one",
    "solve_triangular": "the diagonal must have no zeros, got a singular matrix",
    "cholesky": "the matrix must be positive definite, got one that isn't",
}
_CONVERGES = "the algorithm must converge, got a matrix for which it doesn't (NaN or infinite?)"
# A diagonal block of this size is solved at once; what is below and above it by products.
_BLOCK = 64


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of linear algebra for the library ``xp``."""
    raising = _raising(xp)

    def attempt(name: str, run: Callable[[Any], Any], x: Any) -> Any:
        """Return ``run(x)``; where it fails, say what was needed and which matrix lacks it."""
        try:
            with raising():
                return run(x)
        except numpy.linalg.LinAlgError:
            raise MatrixError(f"{name}: {_NEEDS.get(name, _CONVERGES)}{where(run, x)}") from None

    def where(run: Callable[[Any], Any], x: Any) -> str:
        for index in numpy.ndindex(x.shape[:-2] if x.ndim > 2 else (0,)):
            try:
                with raising():
                    run(x[index])
            except numpy.linalg.LinAlgError:
                return f" in batch {index}"
        return ""

    def checked(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Refuse what isn't finite, of which no algorithm converges; NumPy's tell by themselves."""
        if xp is numpy:
            return run

        def run_finite(x: Any) -> Any:
            if not xp.isfinite(x).all().item():
                raise numpy.linalg.LinAlgError
            return run(x)

        return run_finite

    def inv(x: Any) -> Any:
        return attempt("inv", xp.linalg.inv, x)

    def solve(x: Any, y: Any) -> Any:
        common = dtypes.promote(x.dtype, y.dtype)
        x, y = x.astype(common, copy=False), y.astype(common, copy=False)
        x, y = _aligned(xp, x, y)
        if y.size == 0:
            return xp.zeros(y.shape, common)
        try:
            with raising():
                return xp.linalg.solve(x, y)
        except numpy.linalg.LinAlgError:
            text = f"solve: {_NEEDS['solve']}{where(xp.linalg.inv, x)}"
            raise MatrixError(text) from None

    def solve_triangular(x: Any, y: Any, upper: bool, unit: bool) -> Any:
        """Substitute block by block.

        A diagonal block goes to the library's solver as an upper triangle (a lower one with both
        axes reversed): its factors are then the identity and the block itself, exactly, and what
        is left is back substitution.
        """
        common = dtypes.promote(x.dtype, y.dtype)
        x, y = x.astype(common, copy=False), y.astype(common, copy=False)
        x, y = _aligned(xp, x, y)
        n = x.shape[-1]
        out = xp.zeros(y.shape, common)
        if out.size == 0:
            return out
        if not upper:
            x, y = x[..., ::-1, ::-1], y[..., ::-1, :]
        for stop in range(n, 0, -_BLOCK):
            start = max(0, stop - _BLOCK)
            block = xp.triu(x[..., start:stop, start:stop], 1 if unit else 0)
            if unit:
                block = block + xp.eye(stop - start, dtype=common)
            right = y[..., start:stop, :]
            if stop < n:
                right = right - xp.matmul(x[..., start:stop, stop:], out[..., stop:, :])
            out[..., start:stop, :] = attempt(
                "solve_triangular", _solver(xp, right), block
            )  # fmt: skip
        return out if upper else xp.ascontiguousarray(out[..., ::-1, :])

    def det(x: Any) -> Any:
        return xp.linalg.det(x)

    def slogdet(x: Any) -> Any:
        sign, logarithm = xp.linalg.slogdet(x)
        return xp.asarray(sign), xp.asarray(logarithm)

    def cholesky(x: Any, upper: bool) -> Any:
        out = attempt("cholesky", xp.linalg.cholesky, _adjoint(xp, x) if upper else x)
        return xp.ascontiguousarray(_adjoint(xp, out)) if upper else out

    def qr(x: Any, mode: str) -> Any:
        return tuple(attempt("qr", lambda a: xp.linalg.qr(a, mode), x))

    def eigh(x: Any, uplo: str) -> Any:
        return tuple(attempt("eigh", checked(lambda a: xp.linalg.eigh(a, uplo)), x))

    def eigvalsh(x: Any, uplo: str) -> Any:
        return attempt("eigvalsh", checked(lambda a: xp.linalg.eigvalsh(a, uplo)), x)

    def eig(x: Any) -> Any:
        values, vectors = attempt("eig", checked(general("eig")), x)
        kind = dtypes.complex_of(x.dtype)
        return values.astype(kind, copy=False), vectors.astype(kind, copy=False)

    def eigvals(x: Any) -> Any:
        values = attempt("eigvals", checked(general("eigvals")), x)
        return values.astype(dtypes.complex_of(x.dtype), copy=False)

    def general(name: str) -> Callable[[Any], Any]:
        found = getattr(xp.linalg, name, None)
        if found is None:
            raise DeviceError(
                f"{name}: this device's library must have it, got none of that name; move the "
                "matrix with to('cpu')"
            )
        return found

    def svd(x: Any, full: bool) -> Any:
        return tuple(attempt("svd", checked(lambda a: xp.linalg.svd(a, full)), x))

    def svdvals(x: Any) -> Any:
        return attempt("svdvals", checked(lambda a: xp.linalg.svd(a, compute_uv=False)), x)

    def pinv(x: Any, rtol: Any) -> Any:
        left, right = _inverted(x, rtol)
        return xp.matmul(right, left)

    def lstsq(x: Any, y: Any, rtol: Any) -> Any:
        left, right = _inverted(x, rtol)
        return xp.matmul(right, xp.matmul(left, y))

    def _inverted(x: Any, rtol: Any) -> tuple[Any, Any]:
        """Return the adjoint of U, and V over the singular values that count."""
        u, s, vh = attempt("pinv", checked(lambda a: xp.linalg.svd(a, False)), x)
        if s.shape[-1]:
            counts = s > rtol[..., None] * xp.max(s, -1, keepdims=True)
            s = xp.where(counts, 1 / xp.where(counts, s, xp.ones_like(s)), xp.zeros_like(s))
        return _adjoint(xp, u), _adjoint(xp, vh) * s[..., None, :]

    def vector_norm(x: Any, spec: tuple[float, tuple[int, ...]]) -> Any:
        order, axes = spec
        dtype = dtypes.real_of(x.dtype)
        x = x.astype(dtypes.accumulator(x.dtype), copy=False)
        if order == 2:
            squares = x * x if x.dtype.kind != "c" else x.real * x.real + x.imag * x.imag
            return xp.sqrt(xp.sum(squares, axes, keepdims=True)).astype(dtype, copy=False)
        size = xp.abs(x)
        if order == 1:
            return xp.sum(size, axes, keepdims=True).astype(dtype, copy=False)
        return (xp.sum(size**order, axes, keepdims=True) ** (1 / order)).astype(dtype, copy=False)

    found: dict[str, Callable[..., Any]] = {
        "inv": inv, "solve": solve, "solve_triangular": solve_triangular, "det": det,
        "slogdet": slogdet, "cholesky": cholesky, "qr": qr, "eigh": eigh, "eigvalsh": eigvalsh,
        "eig": eig, "eigvals": eigvals, "svd": svd, "svdvals": svdvals, "pinv": pinv,
        "lstsq": lstsq, "vector_norm": vector_norm,
    }  # fmt: skip
    return {**found, **matrix_function_slots(xp, svd, solve, raising)}


def _raising(xp: Any) -> Callable[[], Any]:
    """Return the context in which a library raises for what can't be factored; CuPy gives NaN."""
    if getattr(xp, "__name__", "") != "cupy":
        return nullcontext
    from cupyx import errstate

    return lambda: errstate(linalg="raise")


def _solver(xp: Any, right: Any) -> Callable[[Any], Any]:
    """Return the solver of blocks; of one matrix of a stack only whether it can be solved."""

    def run(block: Any) -> Any:
        if block.ndim == right.ndim:
            return xp.linalg.solve(block, right)
        return xp.linalg.inv(block)

    return run


def _adjoint(xp: Any, x: Any) -> Any:
    x = x.swapaxes(-1, -2)
    return xp.conj(x) if x.dtype.kind == "c" else x


def _aligned(xp: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Return two stacks of matrices with the same leading axes."""
    if x.shape[:-2] == y.shape[:-2]:
        return x, y
    lead = numpy.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return xp.broadcast_to(x, lead + x.shape[-2:]), xp.broadcast_to(y, lead + y.shape[-2:])
