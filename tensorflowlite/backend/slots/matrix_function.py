"""Slots of functions of matrices: the exponential, and what a determinant's slope is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from .portable import cumulative

# The diagonal Padé approximants of exp, and the norms up to which they are exact to rounding:
# Higham, "The scaling and squaring method for the matrix exponential revisited" (2005), tables
# 2.3 (double precision, degree 13) and 2.1 (single precision, degree 7).
_PADE_13 = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
    40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_PADE_7 = (17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0)
_REACH_13, _REACH_7 = 5.371920351148152, 3.925724783138660


def matrix_function_slots(
    xp: Any, svd: Any, solve: Any, raising: Any
) -> dict[str, Callable[..., Any]]:
    """Return the slots for the library ``xp``, given those of the SVD and of linear systems."""

    def expm(x: Any) -> Any:
        """Scaling and squaring with a Padé approximant, each matrix scaled by its own norm."""
        if x.size == 0:
            return xp.zeros(x.shape, x.dtype)
        single = dtypes.real_of(x.dtype) == dtypes.float32
        reach = _REACH_7 if single else _REACH_13
        norm = _norm(x)
        finite = xp.isfinite(norm)[..., None, None]
        over = xp.isfinite(norm) & (norm > reach)
        ratio = xp.where(over, norm, xp.full_like(norm, reach)) / reach
        halvings = xp.ceil(xp.log2(ratio))[..., None, None]
        scaled = x * xp.exp2(-halvings)
        one = xp.eye(x.shape[-1], dtype=x.dtype)
        odd, even = _pade_7(scaled, one) if single else _pade_13(scaled, one)
        if not finite.all().item():  # the solver would refuse them
            odd, even = xp.where(finite, odd, 0 * one), xp.where(finite, even, one)
        out = solve(even - odd, even + odd)
        for step in range(int(halvings.max().item())):
            out = xp.where(halvings > step, xp.matmul(out, out), out)
        return _unless(finite, out)

    def _pade_13(x: Any, one: Any) -> tuple[Any, Any]:
        b, matmul = _PADE_13, xp.matmul
        x2 = matmul(x, x)
        x4 = matmul(x2, x2)
        x6 = matmul(x2, x4)
        odd = matmul(x6, b[13] * x6 + b[11] * x4 + b[9] * x2)
        odd = matmul(x, odd + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * one)
        even = matmul(x6, b[12] * x6 + b[10] * x4 + b[8] * x2)
        return odd, even + b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * one

    def _pade_7(x: Any, one: Any) -> tuple[Any, Any]:
        b, matmul = _PADE_7, xp.matmul
        x2 = matmul(x, x)
        x4 = matmul(x2, x2)
        x6 = matmul(x2, x4)
        odd = matmul(x, b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * one)
        return odd, b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * one

    def expm_along(x: Any, y: Any) -> Any:
        """The derivative of expm at x along y: a block of expm of [[x, y], [0, x]]."""
        if y.size == 0:
            return xp.zeros(y.shape, y.dtype)
        # It is linear in y, whose size must not decide how often is halved.
        norm = _norm(y)[..., None, None]
        norm = xp.where(norm > 0, norm, xp.ones_like(norm))
        y = y / norm
        n = x.shape[-1]
        left = xp.concatenate((x, xp.zeros_like(x)), -2)
        both = xp.concatenate((left, xp.concatenate((y, x), -2)), -1)
        return expm(both)[..., :n, n:] * norm

    def adjugate(x: Any) -> Any:
        """The transposed cofactors, by the SVD: also of singular matrices, without a division."""
        regular = _inverse_times_determinant(x)
        if regular is not None:
            return regular
        x, finite = _finite(x)
        u, s, vh = svd(x, False)
        phase = _phase(u, vh)
        others = _products_of_others(s)
        out = xp.matmul(_adjoint(xp, vh) * others[..., None, :], _adjoint(xp, u)) * phase
        return _unless(finite, out)

    def adjugate_along(x: Any, y: Any) -> Any:
        """The derivative of the adjugate at x along y."""
        x, finite = _finite(x)
        u, s, vh = svd(x, False)
        v, uh = _adjoint(xp, vh), _adjoint(xp, u)
        inner = xp.matmul(xp.matmul(uh, y), v)
        pairs = _products_of_other_pairs(s)
        one = xp.eye(x.shape[-1], dtype=x.dtype)
        slopes = xp.sum(xp.where(one != 0, inner, xp.zeros_like(inner)), -2)  # the diagonal
        on_diagonal = xp.matmul(pairs.astype(x.dtype, copy=False), slopes[..., None])
        change = one * on_diagonal - pairs * inner
        return _unless(finite, xp.matmul(xp.matmul(v, change), uh) * _phase(u, vh))

    def _inverse_times_determinant(x: Any) -> Any:
        """What the adjugate is, far quicker, where every matrix is well conditioned; else None."""
        if x.size == 0:
            return None
        try:
            with raising():
                inverse = xp.linalg.inv(x)
        except numpy.linalg.LinAlgError:
            return None
        determinant = xp.linalg.det(x)
        limits = dtypes.float_limits(dtypes.real_of(x.dtype))
        size = xp.abs(determinant)
        condition = _norm(x) * _norm(inverse)
        trusted = (condition < float(limits.eps) ** -0.5) & (size > float(limits.tiny))
        if not (trusted & xp.isfinite(size)).all().item():
            return None
        return inverse * determinant[..., None, None]

    def _finite(x: Any) -> tuple[Any, Any]:
        """Return the matrices with zeros for those that hold NaN, which the SVD refuses."""
        finite = xp.isfinite(xp.sum(xp.abs(x), (-2, -1)))[..., None, None]
        return xp.where(finite, x, xp.zeros_like(x)), finite

    def _unless(finite: Any, x: Any) -> Any:
        return xp.where(finite, x, xp.full_like(x, math.nan))

    def _norm(x: Any) -> Any:
        return xp.max(xp.sum(xp.abs(x), -2), -1)

    def _phase(u: Any, vh: Any) -> Any:
        return (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None]

    def _products_of_others(s: Any) -> Any:
        ones = xp.ones_like(s[..., :1])
        before = cumulative(xp, "prod", xp.concatenate((ones, s[..., :-1]), -1), -1)
        after = cumulative(xp, "prod", xp.concatenate((ones, s[..., :0:-1]), -1), -1)[..., ::-1]
        return before * after

    def _products_of_other_pairs(s: Any) -> Any:
        """P[i, j], the product of all but s[i] and s[j]; zeros on the diagonal."""
        n = s.shape[-1]
        one = xp.eye(n, dtype=s.dtype)
        rows = xp.where(one != 0, xp.ones_like(one), s[..., None, :])  # s without s[i], 1 for it
        pairs = _products_of_others(rows)
        return pairs * (1 - one)

    return {
        "expm": expm, "expm_along": expm_along, "adjugate": adjugate,
        "adjugate_along": adjugate_along,
    }  # fmt: skip


def _adjoint(xp: Any, x: Any) -> Any:
    x = x.swapaxes(-1, -2)
    return xp.conj(x) if x.dtype.kind == "c" else x
