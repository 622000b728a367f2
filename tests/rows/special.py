"""Rows of the special functions, against formulas of their own: quadrature and recurrences."""

from __future__ import annotations

import math

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DtypeError, ShapeError
from tests.op_table import (
    Constant,
    Row,
    Sample,
    broadcasting,
    elementwise,
    floats,
    integers,
    with_numbers,
)

mismatch = "shapes must broadcast, got (2, 3) and (4,)"


def unary(name, reference, **options):
    return Row(getattr(tfl, name), reference, **options)


def binary(name, reference=None, *, samples=with_numbers, kind=np.float64, **options):
    refused = (
        ((np.zeros((2, 3), kind), np.zeros(4, kind)), ShapeError, f"{name}: {mismatch}"),
        ((np.zeros(2), "text"), DtypeError, "an operand must be a Tensor, an array or a number"),
    )
    function = reference or getattr(np, name)
    return Row(getattr(tfl, name), function, samples=samples, errors=refused, **options)


def of_numbers(function):
    """A function of numbers as one of arrays."""
    each = np.vectorize(function, otypes=[np.float64])

    def over(x):
        x = np.asarray(x)
        out = x.dtype if x.dtype.kind == "f" else np.float64
        return np.asarray(each(x) if x.size else x).astype(out)

    return over


def zeta_sum(power, x):
    """The sum of (x + i) ** -power: 200 terms, and the rest by Euler and Maclaurin."""
    total = math.fsum((x + i) ** -power for i in range(200))
    far = x + 200
    rest = far ** (1 - power) / (power - 1) + far**-power / 2
    return total + rest + power / 12 * far ** (-power - 1)


def polygamma(n, x):
    sign = -1 if n % 2 == 0 else 1
    return of_numbers(lambda v: sign * math.factorial(n) * zeta_sum(n + 1, v))(x)


def digamma_of(x):
    """By raising x until the asymptotic series is exact."""
    total = 0.0
    while x < 30:
        total -= 1 / x
        x += 1
    tail = 1 / 12 - (1 / 120 - (1 / 252 - 1 / (240 * x**2)) / x**2) / x**2
    return total + math.log(x) - 0.5 / x - tail / x**2


# The trapezoidal rule of a periodic function converges exponentially.
_TURNS = (np.arange(64) + 0.5) * (math.pi / 64)


def bessel(order):
    return of_numbers(
        lambda v: float(np.mean(np.exp(v * np.cos(_TURNS)) * np.cos(order * _TURNS)))
    )


def inverse_of_erf(x):
    """By bisection."""
    low, high = -7.0, 7.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < x else (low, middle)
    return (low + high) / 2


def orders(draw):
    for n in (0, 1, 2, 4):
        yield Sample(n, draw(2, 3))
    yield Sample(1, draw())
    yield Sample(1, draw(0, 3))
    yield Sample(2, draw.strided(2, 3))


def polygamma_or_digamma(n, x):
    return of_numbers(digamma_of)(x) if n == 0 else polygamma(n, x)


def with_zeros(draw):
    yield from broadcasting(draw)
    yield Sample(Constant(np.zeros((2, 3), draw.dtype)), draw(2, 3))


def shifted(draw):
    for sample in broadcasting(draw):
        x, y = sample.args
        yield Sample(x, np.round(y).astype(np.int64))


def xlogy(x, y):
    with np.errstate(all="ignore"):
        return np.asarray(np.where(np.asarray(x) == 0, 0, x * np.log(y)), np.result_type(x, y))


def xlog1py(x, y):
    with np.errstate(all="ignore"):
        return np.asarray(np.where(np.asarray(x) == 0, 0, x * np.log1p(y)), np.result_type(x, y))


def specials(draw):
    yield from elementwise(draw)
    values = np.array([1.5, np.nan, np.inf, -np.inf, -0.0, 2.0])
    if draw.dtype.kind != "c":
        yield Sample(Constant(values.astype(draw.dtype)))


def replaced(draw):
    for sample in specials(draw):
        yield Sample(*sample.args, nan=1.0, posinf=2.0, neginf=-3.0)


exact = (*floats, *integers)
rows = [
    unary("lgamma", of_numbers(math.lgamma), domain=(0.2, 12.0)),
    Row(
        tfl.lgamma, of_numbers(math.lgamma), domain=(-2.9, -2.1), name="lgamma of negative",
        covers=("lgamma", "digamma", "polygamma"), orders=1,
    ),
    unary("digamma", of_numbers(digamma_of), domain=(0.3, 12.0)),
    Row(
        tfl.polygamma, polygamma_or_digamma, samples=orders, domain=(0.5, 4.0),
        covers=("polygamma",),
        errors=[
            ((-1, np.ones(2)), ArgumentError, "polygamma: n must not be negative, got -1"),
            ((1.5, np.ones(2)), DtypeError, "polygamma: n must be an integer, got 1.5"),
        ],
    ),
    unary("erfc", of_numbers(math.erfc), domain=(-3.0, 5.0)),
    unary("erfinv", of_numbers(inverse_of_erf), domain=(-0.9, 0.9)),
    unary("i0", bessel(0), domain=(-10.0, 10.0), tolerance={"float32": 4e-6}),  # exp(10) of float32
    unary("i1", bessel(1), domain=(-3.0, 3.0)),
    unary("sinc", np.sinc, domain=(0.2, 3.0)),
    binary("xlogy", xlogy, samples=with_zeros, domain=(0.3, 3.0)),
    binary("xlog1py", xlog1py, samples=with_zeros, domain=(0.3, 3.0)),
    binary("logaddexp2", domain=(-4.0, 4.0)),
    unary("logit", lambda x: np.log(x / (1 - x)), domain=(0.1, 0.9)),
    unary("cbrt", np.cbrt, domain=(0.3, 4.0)),
    binary("fmod", domain=(0.6, 8.0), dtypes=exact),
    Row(tfl.ldexp, lambda x, y: np.ldexp(x, y), samples=shifted),
    Row(tfl.frexp, np.frexp, domain=(0.6, 0.9), covers=("frexp",)),
    Row(tfl.modf, np.modf, domain=(0.1, 0.9), covers=()),
    binary("gcd", kind=np.int64, domain=(0, 30), dtypes=("int64", "int32"), orders=0),
    binary("lcm", kind=np.int64, domain=(0, 30), dtypes=("int64", "int32"), orders=0),
    Row(tfl.divmod, np.divmod, samples=broadcasting, domain=(0.6, 8.0),
        dtypes=("float64", "float32", "int64"), covers=()),
    Row(tfl.float_power, np.float_power, samples=broadcasting, domain=(0.5, 2.0),
        dtypes=("float64", "float32", "int64"), covers=()),
    unary("fabs", np.fabs, domain=(0.2, 2.0)),
    binary("heaviside", domain=(0.2, 2.0)),
    unary("deg2rad", np.deg2rad),
    unary("rad2deg", np.rad2deg),
    unary("angle", np.angle, dtypes=("float64", "complex128", "complex64"), covers=()),
    binary("fmax", dtypes=exact),
    binary("fmin", dtypes=exact),
    unary("fix", np.fix),
    Row(tfl.nan_to_num, np.nan_to_num, samples=replaced,
        dtypes=("float64", "float32", "int64", "complex128"), covers=()),
]  # fmt: skip
