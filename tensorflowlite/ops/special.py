"""Special functions, and elementwise ones that are rarer than those of the standard."""

from __future__ import annotations

import math
from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError
from . import elementwise as e
from .activation import sigmoid
from .arguments import as_tensor
from .casting import astype, clone
from .creation import zeros_like
from .declare import attr1, binary, general, unary
from .docs import binary_doc, unary_doc
from .elementwise import abs as _abs

_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


def _zero(k, g):
    return k.zeros_like(g)


# -- gamma, error and Bessel functions -------------------------------------------------------------
lgamma = unary(
    "lgamma",
    lambda k, g, x: g * k.digamma(x),
    unary_doc("Logarithm of the gamma function's absolute value", [1.0], [0.0]),
)
digamma = unary(
    "digamma",
    lambda k, g, x: g * k.polygamma(x, 1),
    unary_doc("Derivative of the gamma function's logarithm", [1.0], "[-0.5772157]"),
)
_polygamma = attr1("polygamma", "order", lambda k, g, x, order: g * k.polygamma(x, order + 1))
erfc = unary(
    "erfc",
    lambda k, g, x: g * (-_TWO_OVER_SQRT_PI * k.exp(-x * x)),
    unary_doc("1 - erf(x), exact also where that is small", [0.0], [1.0]),
)
erfinv = unary(
    "erfinv",
    lambda k, g, out: g * (k.exp(out * out) / _TWO_OVER_SQRT_PI),
    unary_doc("Inverse of the error function", [0.0], [0.0]),
)
i0 = unary(
    "i0",
    lambda k, g, x: g * k.i1(x),
    unary_doc("Modified Bessel function of order 0", [0.0], [1.0]),
)


def _i1_rule(k, g, x, out):
    zero = x == 0
    share = k.where(zero, k.ones_like(x) * 0.5, out / k.where(zero, k.ones_like(x), x))
    return g * (k.i0(x) - share)


i1 = unary("i1", _i1_rule, unary_doc("Modified Bessel function of order 1", [0.0], [0.0]))


def _sinc_rule(k, g, x, out):
    zero = x == 0
    slope = (k.cos(math.pi * x) - out) / k.where(zero, k.ones_like(x), x)
    return g * k.where(zero, k.zeros_like(slope), slope)


sinc = unary("sinc", _sinc_rule, unary_doc("sin(pi x) / (pi x), 1 at zero", [0.0], [1.0]))


def polygamma(n: int, x: Any, /) -> Tensor:
    """The ``n``-th derivative of `digamma`, elementwise.

    Parameters
    ----------
    n : int
        Which derivative; 0 is `digamma` itself.
    x : Tensor or array
        Any shape.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        ``n`` is negative.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.polygamma(1, tfl.tensor([1.0]))
    tensor([1.644934])
    """
    if not hasattr(n, "__index__"):
        raise DtypeError(f"polygamma: n must be an integer, got {n!r}")
    if n.__index__() < 0:
        raise ArgumentError(f"polygamma: n must not be negative, got {n}")
    return _polygamma(as_tensor(x), n.__index__())


# -- logarithms ------------------------------------------------------------------------------------
def _by_factor(k, log, g, x, y, low):
    """Return the gradient of ``x * log(y)`` by x, 0 where x is 0 and the logarithm isn't finite."""
    return k.where(k.logical_and(x == 0, y <= low), k.zeros_like(g), log(g, y))


xlogy = binary(
    "xlogy",
    (
        lambda k, g, x, y: _by_factor(k, k.xlogy, g, x, y, 0),
        lambda g, x, y: g * x / y,
    ),
    binary_doc("Product with a logarithm, 0 where x is 0", "x * log(y)", 1.0, [0.0, 0.0]),
)
xlog1py = binary(
    "xlog1py",
    (
        lambda k, g, x, y: _by_factor(k, k.xlog1py, g, x, y, -1),
        lambda g, x, y: g * x / (1 + y),
    ),
    binary_doc("Product with a logarithm, 0 where x is 0", "x * log1p(y)", 0.0, [0.0, 0.0]),
)
logaddexp2 = binary(
    "logaddexp2",
    (lambda k, g, x, out: g * k.exp2(x - out), lambda k, g, y, out: g * k.exp2(y - out)),
    binary_doc("log2(2**x + 2**y) without overflow", "log2(2**x + 2**y)", None, None),
)
expit = sigmoid


def logit(x: Any, /, eps: float | None = None) -> Tensor:
    """Logarithm of the odds, elementwise: ``log(x / (1 - x))``, the inverse of `sigmoid`.

    Parameters
    ----------
    x : Tensor
        Probabilities, of any shape.
    eps : float, optional
        Limit ``x`` to [eps, 1 - eps] first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.logit(tfl.tensor([0.5]))
    tensor([0.])
    """
    if eps is not None:
        x = e.clip(x, eps, 1 - eps)
    x = as_tensor(x)
    return e.log(x) - e.log1p(-x)


# -- roots, powers, remainders ---------------------------------------------------------------------
cbrt = unary("cbrt", lambda g, out: g / (3 * out * out), unary_doc("Cube root", [8.0], [2.0]))
fmod = binary(
    "fmod",
    (lambda g: g, lambda k, g, x, y: -g * k.trunc(x / y)),
    binary_doc("Remainder with the dividend's sign", "x - y * trunc(x / y)", 2.0, [1.0, 0.0]),
)
ldexp = binary(
    "ldexp",
    (lambda k, g, y: k.ldexp(g, y), None),
    binary_doc("Product with a power of two; y holds integers", "x * 2**y", 1, [2.0, 4.0]),
)
_frexp = general(
    "frexp", ("x",), (lambda k, g, out: k.ldexp(g[0], -out[1]),), "Mantissa, exponent.", outputs=2
)
gcd = binary("gcd", None, binary_doc("Greatest common divisor of integers", "gcd", None, None))
lcm = binary("lcm", None, binary_doc("Least common multiple of integers", "lcm", None, None))


def frexp(x: Any, /) -> tuple[Tensor, Tensor]:
    """Mantissas in [0.5, 1) and int32 exponents, elementwise: ``x = mantissa * 2**exponent``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.frexp(tfl.tensor([8.0]))
    (tensor([0.5]), tensor([4], dtype=int32))
    """
    return _frexp(as_tensor(x))


def modf(x: Any, /) -> tuple[Tensor, Tensor]:
    """The fractional and the integer part, elementwise, each with the sign of ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.modf(tfl.tensor([1.5, -2.25]))
    (tensor([ 0.5 , -0.25]), tensor([ 1., -2.]))
    """
    x = _floating(x)
    whole = e.trunc(x)
    return e.copysign(e.where(e.isinf(x), 0.0, x - whole), x), whole


def divmod(x: Any, y: Any, /) -> tuple[Tensor, Tensor]:
    """Quotient rounded towards minus infinity, and remainder, elementwise.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.divmod(tfl.tensor([7.0]), 2)
    (tensor([3.]), tensor([1.]))
    """
    return e.floor_divide(x, y), e.remainder(x, y)


def float_power(x: Any, y: Any, /) -> Tensor:
    """Power in float64 or complex128, elementwise: ``x ** y``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.float_power(tfl.tensor([2]), -1)
    tensor([0.5], dtype=float64)
    """
    return e.power(_widest(x), _widest(y))


def _widest(x: Any) -> Any:
    x = as_tensor(x)
    return astype(x, dtypes.complex128 if x.dtype.kind == "c" else dtypes.float64, copy=False)


def _floating(x: Any) -> Tensor:
    """Return real input as a float tensor: integers as float64."""
    x = as_tensor(x)
    if x.dtype.kind in "biu":
        return astype(x, dtypes.float64)
    if x.dtype.kind == "c":
        raise DtypeError(f"tensor: real input is needed, got {x.dtype}")
    return x


# -- signs, angles, steps --------------------------------------------------------------------------
def fabs(x: Any, /) -> Tensor:
    """Absolute value of real input, elementwise; integers become float64.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fabs(tfl.tensor([-2.0]))
    tensor([2.])
    """
    return _abs(_floating(x))


heaviside = binary(
    "heaviside",
    (_zero, lambda k, g, x: k.where(x == 0, g, k.zeros_like(g))),
    binary_doc("Step from 0 to 1 at 0, where it is y", "(x > 0) + y * (x == 0)", 0.5, [1.0, 1.0]),
)


def deg2rad(x: Any, /) -> Tensor:
    """Degrees as radians, elementwise.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.deg2rad(tfl.tensor([180.0]))
    tensor([3.1415927])
    """
    return _floating(x) * (math.pi / 180)


def rad2deg(x: Any, /) -> Tensor:
    """Radians as degrees, elementwise.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.rad2deg(tfl.tensor([0.0]))
    tensor([0.])
    """
    return _floating(x) * (180 / math.pi)


radians = deg2rad
degrees = rad2deg


def angle(x: Any, /, deg: bool = False) -> Tensor:
    """Angle of complex numbers with the positive real axis, elementwise.

    Parameters
    ----------
    x : Tensor
        Any shape; of real input it is 0 or pi.
    deg : bool
        In degrees rather than radians.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.angle(tfl.tensor([1.0 + 0.0j]))
    tensor([0.])
    """
    x = as_tensor(x)
    if x.dtype.kind == "c":
        out = e.atan2(e.imag(x), e.real(x))
    else:
        x = _floating(x)
        out = e.where(e.isnan(x), x, e.where(x < 0, zeros_like(x) + math.pi, 0.0))
    return rad2deg(out) if deg else out


# -- choosing --------------------------------------------------------------------------------------
def _chosen(k, g, wins, ties, other_is_nan):
    """Give the gradient to the winner; two that tie share it, and NaN never gets it."""
    shared = k.where(ties, g * 0.5, k.zeros_like(g))
    return k.where(k.logical_or(wins, other_is_nan), g, shared)


fmax = binary(
    "fmax",
    (
        lambda k, g, x, y: _chosen(k, g, x > y, x == y, k.isnan(y)),
        lambda k, g, x, y: _chosen(k, g, y > x, x == y, k.isnan(x)),
    ),
    binary_doc("The greater of two, a number rather than NaN", "max(x, y)", 1.5, [1.5, 2.0]),
)
fmin = binary(
    "fmin",
    (
        lambda k, g, x, y: _chosen(k, g, x < y, x == y, k.isnan(y)),
        lambda k, g, x, y: _chosen(k, g, y < x, x == y, k.isnan(x)),
    ),
    binary_doc("The lesser of two, a number rather than NaN", "min(x, y)", 1.5, [1.0, 1.5]),
)


def fix(x: Any, /) -> Tensor:
    """The integer part, elementwise: `trunc`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.fix(tfl.tensor([-1.5]))
    tensor([-1.])
    """
    return e.trunc(x)


def nan_to_num(
    x: Any,
    /,
    copy: bool = True,
    nan: float | None = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """Replace NaN and infinities by numbers, elementwise.

    Parameters
    ----------
    x : Tensor
        Any shape; real and imaginary parts are replaced apart.
    copy : bool
        False is refused: the tensor itself stays as it is.
    nan : float
        What stands for NaN.
    posinf, neginf : float, optional
        What stands for infinities; by default the dtype's largest and smallest numbers.

    Returns
    -------
    Tensor
        What is replaced has no gradient.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.nan_to_num(tfl.tensor([float("nan"), 1.0]))
    tensor([0., 1.])
    """
    if not copy:
        raise ArgumentError("nan_to_num: copy must be True, got False; assign the result")
    x = as_tensor(x)
    if x.dtype.kind == "c":
        parts = [nan_to_num(p, True, nan, posinf, neginf) for p in (e.real(x), e.imag(x))]
        return parts[0] + parts[1] * 1j
    if x.dtype not in dtypes.real_inexact:
        return clone(x)
    limits = dtypes.float_limits(x.dtype)
    out = e.where(e.isnan(x), 0.0 if nan is None else nan, x)
    out = e.where(x == math.inf, float(limits.max) if posinf is None else posinf, out)
    return e.where(x == -math.inf, float(limits.min) if neginf is None else neginf, out)
