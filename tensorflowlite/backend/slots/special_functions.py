"""Special functions that come in at first use, from Chebyshev series fitted at 60 digits.

float32, float16 and bfloat16 are computed in float64 and rounded once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from ..dtypes import half
from .portable import chooser
from .special import slots as error_function

_LOG_GAMMA = (
    0.41418612492156676, 0.16322170068760064, -0.008658972394126285, 0.0006727515726001485,
    -6.139556963628233e-05, 6.110065797003576e-06, -6.410003033826223e-07,
    6.962242692768951e-08, -7.747248733788217e-09, 8.774075140687239e-10,
    -1.0070266869830198e-10, 1.1678602130652374e-11, -1.3656871334744932e-12,
    1.6079351149711552e-13, -1.9039501088488732e-14, 2.2653768767833064e-15,
    -2.706656814831896e-16, 3.245660731626191e-17, -3.904483378457447e-18,
)  # fmt: skip

_DIGAMMA = (
    0.983570260441567, -0.2270640863346444, 0.03336889902393011, -0.005320077271596548,
    0.0008788656937820505, -0.00014773492650606044, 2.5060543468359146e-05,
    -4.2721034029993324e-06, 7.302769272465923e-07, -1.2502886813559594e-07,
    2.1425009322359472e-08, -3.673295918565179e-09, 6.299717236108931e-10,
    -1.080593028883266e-10, 1.853735192053638e-11, -3.18023536582553e-12, 5.456147570322795e-13,
    -9.360993131036438e-14, 1.606064636295075e-14, -2.7555431377438815e-15,
    4.727736178601912e-16, -8.11148420346509e-17, 1.391707769474154e-17,
)  # fmt: skip

_ERFC = (
    1.0669580421392333, -0.6202500452595417, 0.1369762148917103, -0.021291659899086168,
    0.0017371853691808517, 9.96868298912262e-05, -4.2004835132075046e-05,
    1.3645527119992318e-06, 8.926157059063146e-07, -7.307856068468331e-08,
    -2.282365808778525e-08, 2.4052659166615254e-09, 7.330462324136272e-10,
    -6.751873639359263e-11, -2.7923236225431868e-11, 1.3106837475529107e-12,
    1.1484130261460301e-12, 2.129959389647899e-14, -4.6291785062024004e-14,
    -4.815967267078593e-15, 1.6137705464382306e-15, 3.86211252945877e-16,
    -3.358645805789803e-17, -2.2751749899174205e-17,
)  # fmt: skip

_I0_NEAR = (
    0.33839763720473803, -0.3046826723431984, 0.17162090152220877, -0.09490109704804764,
    0.04930528423967071, -0.02373741480589947, 0.010546460394594998, -0.004324309995050576,
    0.0016394756169413357, -0.0005763755745385824, 0.00018850288509584165,
    -5.754195010082104e-05, 1.6448448070728896e-05, -4.4167383584587505e-06,
    1.1173875391201037e-06, -2.670793853940612e-07, 6.046995022541919e-08,
    -1.300025009986248e-08, 2.6598237246823866e-09, -5.189795601635263e-10,
    9.675809035373237e-11, -1.726826291441556e-11, 2.95505266312964e-12, -4.856446783111929e-13,
    7.676185498604936e-14, -1.1685332877993451e-14, 1.715391285555133e-15,
    -2.431279846547955e-16, 3.3307945188222384e-17, -4.4153416464793395e-18,
)  # fmt: skip

_I1_NEAR = (
    0.12629359322181682, -0.17641651835783406, 0.1026436586898471, -0.05294598120809499,
    0.024726449030626516, -0.010564084894626197, 0.004156422944312888, -0.0015135724506312532,
    0.0005122859561685758, -0.00016176081582589674, 4.781565107550054e-05,
    -1.3273163656039436e-05, 3.4702513081376785e-06, -8.568720264695455e-07,
    2.0032947535521353e-07, -4.445059128796328e-08, 9.381537386495773e-09,
    -1.8872497517228294e-09, 3.625590281552117e-10, -6.663489723502027e-11,
    1.1736186298890901e-11, -1.9839743977649436e-12, 3.223793365945575e-13,
    -5.042185504727912e-14, 7.600684294735408e-15, -1.1055969477353862e-15,
    1.5536319577362005e-16, -2.111421214358166e-17, 2.7779141127610464e-18,
)  # fmt: skip

_I0_FAR = (
    0.4022452055070544, 0.0033691164782556943, 6.889758346916825e-05, 2.8913705208347567e-06,
    2.0489185894690638e-07, 2.266668990498178e-08, 3.3962320257083865e-09, 4.94060238822497e-10,
    1.1889147107846439e-11, -3.1499165279632416e-11, -1.3215811840447713e-11,
    -1.7941785315068062e-12, 7.180124451383666e-13, 3.8527783827421426e-13,
    1.54008621752141e-14, -4.150569347287222e-14, -9.554846698828307e-15,
    3.8116806693526224e-15, 1.7725601330565263e-15, -3.425485619677219e-16,
    -2.8276239805165836e-16, 3.461222867697461e-17, 4.46562142029676e-17,
    -4.830504485944182e-18, -7.233180487874754e-18,
)  # fmt: skip

_I1_FAR = (
    0.38928811750914005, -0.009761097491361469, -0.00011058893876262371, -3.882564808877691e-06,
    -2.512236237870209e-07, -2.6314688468895196e-08, -3.835380385964237e-09,
    -5.589743462196584e-10, -1.8974958123505413e-11, 3.2526035830154884e-11,
    1.4125807436613782e-11, 2.0356285441470896e-12, -7.198551776245908e-13,
    -4.0835511110921974e-13, -2.1015418427726643e-14, 4.272440016711951e-14,
    1.0420276984128802e-14, -3.8144030724370075e-15, -1.8803547755107825e-15,
    3.3082023109209285e-16, 2.96262899764595e-16, -3.209525921993424e-17,
    -4.6503053684893586e-17, 4.414348323071708e-18, 7.517296310842105e-18,
)  # fmt: skip
_ROOT, _ROOT_REST = 1.4616321449683622, 9.549995429965697e-17  # of digamma, in two parts
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
# B_2j / (2j (2j - 1)) of log gamma's asymptotic series, B_2j / 2j of digamma's, B_2j / (2j)! of
# the Euler-Maclaurin sum of the zeta function.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510,
              43867 / 798, -174611 / 330, 854513 / 138, -236364091 / 2730)  # fmt: skip
_LOG_GAMMA_TAIL = [b / (2 * j * (2 * j - 1)) for j, b in enumerate(_BERNOULLI[:9], 1)]
_DIGAMMA_TAIL = [b / (2 * j) for j, b in enumerate(_BERNOULLI[:9], 1)]
_ZETA_TAIL = [b / math.factorial(2 * j) for j, b in enumerate(_BERNOULLI, 1)]


def _series(coefficients: tuple[float, ...], s: Any) -> Any:
    """Return the sum of a Chebyshev series at ``s`` in [-1, 1], by Clenshaw's recurrence."""
    twice = 2 * s
    one: Any = 0.0
    two: Any = 0.0
    for coefficient in coefficients[:0:-1]:
        one, two = coefficient + twice * one - two, one
    return coefficients[0] + s * one - two


def _powers(coefficients: list[float], s: Any) -> Any:
    total = 0.0 * s + coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * s + coefficient
    return total


def _wide(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of float64 arrays as one that takes any real dtype and keeps it."""

    @functools.wraps(function)
    def compute(x: Any, *rest: Any) -> Any:
        out = x.dtype if x.dtype in dtypes.real_inexact else dtypes.float64
        with numpy.errstate(all="ignore"):  # branches that aren't taken
            return function(x.astype(dtypes.float64, copy=False), *rest).astype(out, copy=False)

    return compute


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of the special functions."""
    erf = error_function(xp)["erf"]
    choose = chooser(xp)

    def sine_of_pi(x: Any) -> Any:
        """Return sin(pi x) up to its sign, exact also for large ``x``."""
        return xp.sin(math.pi * (x - xp.rint(x)))

    def log_gamma(x: Any) -> Any:
        """Return log gamma of ``x > 0``."""
        low = x < 1.5  # gamma(x) = gamma(x + 1) / x
        z = xp.where(low, x - 1, x - 2)
        near_zero = x < 0.5
        z = xp.where(near_zero, x, z)
        steps = xp.clip(xp.rint(x) - 2, 0, 7)
        z = xp.where(low, z, x - 2 - steps)
        product = xp.ones_like(x)
        for i in range(1, 8):
            product = product * xp.where(i <= steps, x - i, 1.0)
        z = xp.clip(z, -0.5, 0.5)
        out = z * _series(_LOG_GAMMA, 2 * z) + xp.log(product)
        out = xp.where(low, out - xp.log1p(z), out)
        out = xp.where(near_zero, out - xp.log(x), out)
        far = xp.maximum(x, 9.0)
        tail = _powers(_LOG_GAMMA_TAIL, 1 / (far * far)) / far
        stirling = (far - 0.5) * (xp.log(far) - 1) + (_HALF_LOG_2PI - 0.5 + tail)
        return xp.where(x < 9.0, out, xp.where(xp.isinf(x), x, stirling))

    @_wide
    def lgamma(x: Any) -> Any:
        below = x < 0
        out = log_gamma(xp.where(below, 1 - x, x))
        mirrored = -xp.log(abs(sine_of_pi(x)) / math.pi) - out
        out = xp.where(below, mirrored, out)
        pole = (x <= 0) & (x == xp.floor(x)) | xp.isinf(x)
        return xp.where(pole, math.inf, xp.where(xp.isnan(x), x, out))

    def log_gamma_slope(x: Any) -> Any:
        """Return digamma of ``x > 0``."""
        low = x < 1
        steps = xp.clip(xp.floor(x) - 1, 0, 8)
        y = xp.where(low, x + 1, x - steps)
        y = xp.clip(y, 1.0, 2.0)
        out = ((y - _ROOT) - _ROOT_REST) * _series(_DIGAMMA, 2 * y - 3)
        for i in range(1, 9):
            out = out + xp.where(i <= steps, 1 / (x - i), 0.0)
        out = xp.where(low, out - 1 / x, out)
        far = xp.maximum(x, 9.0)
        inverse = 1 / (far * far)
        tail = xp.log(far) - 0.5 / far - inverse * _powers(_DIGAMMA_TAIL, inverse)
        return xp.where(x < 9.0, out, tail)

    @_wide
    def digamma(x: Any) -> Any:
        below = x < 0
        out = log_gamma_slope(xp.where(below, 1 - x, x))
        turn = math.pi * (x - xp.rint(x))
        mirrored = out - math.pi / xp.tan(turn)
        out = xp.where(below, mirrored, out)
        out = xp.where(below & (x == xp.floor(x)), math.nan, out)
        out = xp.where(x == 0, xp.copysign(xp.full_like(x, math.inf), -x), out)
        return xp.where(xp.isnan(x), x, out)

    def zeta(power: int, x: Any) -> Any:
        """Return the sum of ``(x + i) ** -power``, over all i from 0 on, for ``x > 0``."""
        total = xp.zeros_like(x)
        for i in range(10):
            total = total + (x + i) ** -float(power)
        far = x + 10
        last = far ** -float(power)
        total = total + last * (far / (power - 1) + 0.5)
        factor, last = float(power), last / far
        for j, coefficient in enumerate(_ZETA_TAIL, 1):
            total = total + (coefficient * factor) * last
            factor *= (power + 2 * j - 1) * (power + 2 * j)
            last = last / (far * far)
        return total

    def polygamma_of_positive(x: Any, order: int) -> Any:
        sign = 1.0 if order % 2 else -1.0
        out = sign * math.factorial(order) * zeta(order + 1, xp.minimum(x, 1e300))
        return xp.where(xp.isinf(x), 0.0, out)

    @_wide
    def polygamma(x: Any, order: int) -> Any:
        if order == 0:
            return digamma(x)
        below = x < 0
        out = polygamma_of_positive(xp.where(below, 1 - x, x), order)
        cotangent = 1 / xp.tan(math.pi * (x - xp.rint(x)))
        # Derivatives of cot(pi x) are polynomials in it.
        slope = math.pi ** (order + 1) * _powers(_cotangent_derivative(order), cotangent)
        out = xp.where(below, (-1.0) ** order * out - slope, out)
        pole = math.inf if order % 2 else math.nan
        out = xp.where((x < 0) & (x == xp.floor(x)), pole, out)
        at_zero = math.inf if order % 2 else -math.inf
        out = xp.where(x == 0, at_zero, out)
        return xp.where(xp.isnan(x), x, out)

    def erfc_of_wide(x: Any) -> Any:
        size = xp.clip(abs(x), 0.5, 30.0)
        t = (size - 2.5) / (size + 2.5)
        top = size.astype(dtypes.float32).astype(dtypes.float64)  # its square is exact
        tail = xp.exp(-top * top) * xp.exp((top - size) * (top + size))
        tail = tail * _series(_ERFC, (6 * t - 1) / 5) / (size + 2.5)
        out = xp.where(x < 0, 2 - tail, tail)
        return xp.where(abs(x) < 0.5, 1 - erf(x), xp.where(xp.isnan(x), x, out))

    @_wide
    def erfc(x: Any) -> Any:
        return erfc_of_wide(x)

    @_wide
    def erfinv(x: Any) -> Any:
        """Start from Winitzki's approximation; Halley's method does the rest."""
        size = abs(x)
        log = xp.log1p(-size) + xp.log1p(size)
        t = 2 / (math.pi * 0.147) + log / 2
        y = xp.sqrt(xp.maximum(xp.sqrt(t * t - log / 0.147) - t, 0.0))
        y = xp.where(xp.isfinite(y), y, 0.0)
        for _ in range(3):
            wrong = xp.where(size < 0.5, erf(y) - size, (1 - size) - erfc_of_wide(y))
            step = wrong * (0.5 * math.sqrt(math.pi)) * xp.exp(y * y)
            y = y - step / (1 + y * step)
        out = xp.copysign(xp.where(size == 1, math.inf, y), x)
        return xp.where(size <= 1, out, math.nan)

    def bessel(near: tuple[float, ...], far: tuple[float, ...], size: Any) -> tuple[Any, Any]:
        """Return the two series of a Bessel function, times ``exp(-size)``."""
        close = _series(near, xp.minimum(size, 8.0) / 4 - 1)
        away = xp.maximum(size, 8.0)
        return close, _series(far, 16 / away - 1) / xp.sqrt(away)

    @_wide
    def i0(x: Any) -> Any:
        size = xp.minimum(abs(x), 1000.0)
        near, far = bessel(_I0_NEAR, _I0_FAR, size)
        half = xp.exp(size / 2)  # exp(size) overflows before the function does
        return xp.where(size < 8, near, far) * half * half

    @_wide
    def i1(x: Any) -> Any:
        size = xp.minimum(abs(x), 1000.0)
        near, far = bessel(_I1_NEAR, _I1_FAR, size)
        half = xp.exp(size / 2)
        return xp.copysign(xp.where(size < 8, near * size, far) * half * half, x)

    def times_log(x: Any, y: Any, log: Callable[..., Any]) -> Any:
        if x.dtype.kind in "biu" and y.dtype.kind in "biu":
            x = x.astype(dtypes.float64)
        with numpy.errstate(all="ignore"):
            out = x * log(y)
            return choose((x == 0) & ~xp.isnan(y), xp.zeros_like(out), out)

    def xlogy(x: Any, y: Any) -> Any:
        return times_log(x, y, xp.log)

    def xlog1py(x: Any, y: Any) -> Any:
        return times_log(x, y, xp.log1p)

    def ldexp(x: Any, y: Any) -> Any:
        if y.dtype.kind not in "biu":
            return x * xp.exp2(y)
        if x.dtype == dtypes.bfloat16:
            return xp.ldexp(x.astype(dtypes.float32), y).astype(x.dtype)
        return xp.ldexp(x, y)

    def frexp(x: Any) -> Any:
        wide = x.astype(dtypes.float32) if x.dtype == dtypes.bfloat16 else x
        mantissa, exponent = map(xp.asarray, xp.frexp(wide))
        return mantissa.astype(x.dtype if x.dtype.kind == "V" else mantissa.dtype), exponent

    def sinc(x: Any) -> Any:
        return xp.sinc(x.astype(dtypes.float32)).astype(x.dtype) if x.dtype in half else xp.sinc(x)

    named = (
        lgamma, digamma, polygamma, erfc, erfinv, i0, i1, xlogy, xlog1py, ldexp, frexp, sinc,
    )  # fmt: skip
    return {function.__name__: function for function in named}


def _cotangent_derivative(order: int) -> list[float]:
    """Return the coefficients, by powers of cot(x), of its derivative of an order."""
    found = [0.0, 1.0]
    for _ in range(order):
        slope = [i * c for i, c in enumerate(found)][1:]
        found = [0.0] * (len(slope) + 2)
        for i, c in enumerate(slope):  # d cot = -(1 + cot ** 2)
            found[i] -= c
            found[i + 2] -= c
    return found
