"""Rows of the elementwise operations."""

from __future__ import annotations

import math

import numpy as np

import tensorflowlite as tfl
from tensorflowlite.core.primitive import traced
from tensorflowlite.errors import DtypeError, ShapeError
from tests.op_table import (
    Row,
    Sample,
    booleans,
    broadcasting,
    complexes,
    elementwise,
    floats,
    integers,
    numbers,
    with_numbers,
)

exact = (*floats, *integers)
mismatch = "shapes must broadcast, got (2, 3) and (4,)"


def unary(name, reference=None, **options):
    return Row(getattr(tfl, name), reference or getattr(np, name), **options)


def binary(name, reference=None, *, samples=with_numbers, **options):
    function = getattr(tfl, name)
    kind = np.float64 if options.get("orders", 2) else np.int64
    refused = (
        ((np.zeros((2, 3), kind), np.zeros(4, kind)), ShapeError, f"{name}: {mismatch}"),
        ((np.zeros(2), "text"), DtypeError, "an operand must be a Tensor, an array or a number"),
    )
    return Row(function, reference or getattr(np, name), samples=samples, errors=refused, **options)


def shifts(draw):
    for sample in broadcasting(draw):
        x, y = sample.args
        yield Sample(x, y % 4)


def exponents(draw):
    """Bases of both signs and zero with whole exponents, positive bases with any."""
    yield Sample(abs(draw(3, 4)) + draw.dtype.type(0.5), draw(3, 4))
    yield Sample(draw(3, 2).T, 3)
    yield Sample(draw(2, 3), 2.0)
    yield Sample(2.0, draw(3))
    yield Sample(draw(0, 3), 2.0)
    yield Sample(abs(draw()) + draw.dtype.type(0.5), draw(2))


def special_values(draw):
    yield Sample(np.array([1.0, -0.0, np.inf, -np.inf, np.nan]).astype(draw.dtype))
    yield from elementwise(draw)


def choices(draw):
    yield Sample(draw.booleans(3, 4), draw(3, 4), draw(3, 4))
    yield Sample(draw.booleans(4), draw(3, 1), draw(1, 4))
    yield Sample(draw.booleans(), draw(2, 3), draw())
    yield Sample(draw.booleans(3, 1), draw(3, 2), 0.0)
    yield Sample(draw.booleans(3, 1), 1.5, draw(3, 2))
    yield Sample(draw.booleans(0, 3), draw(3), draw(0, 3))
    yield Sample(draw.booleans(4, 3).T, draw(4, 3).T, draw.strided(3, 4))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf(x):
    return np.asarray(_erf(np.asarray(x, np.float64)) if x.size else x).astype(x.dtype)


def round_int(x):
    return np.rint(x) if x.dtype.kind not in "biu" else x.copy()


both = (*floats, *complexes)
rows = [
    # arithmetic
    binary("add", dtypes=(*numbers, *booleans)),
    binary("subtract", dtypes=numbers),
    binary("multiply", dtypes=(*numbers, *booleans)),
    binary("divide", domain=(0.6, 2.0), dtypes=(*both, "int64")),
    binary("floor_divide", domain=(0.6, 8.0), dtypes=exact),
    binary("remainder", domain=(0.6, 8.0), dtypes=exact),
    unary("negative", dtypes=numbers),
    unary("positive", dtypes=numbers),
    unary("reciprocal", domain=(0.5, 2.0), dtypes=both),
    unary("abs", np.abs, dtypes=numbers),
    unary("sign", dtypes=numbers),
    unary("signbit", samples=special_values, orders=0),
    unary("square", dtypes=numbers),
    # powers and roots
    unary("sqrt", domain=(0.2, 4.0), dtypes=both),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), domain=(0.2, 4.0), dtypes=both),
    binary("power", samples=exponents, domain=(-2.0, 2.0), dtypes=both),
    binary("hypot", domain=(0.3, 3.0)),
    # exponentials and logarithms
    unary("exp", dtypes=both),
    unary("exp2", dtypes=floats),
    unary("expm1", dtypes=both),
    unary("log", domain=(0.2, 5.0), dtypes=both),
    unary("log1p", domain=(-0.7, 4.0), dtypes=both),
    unary("log2", domain=(0.2, 5.0), dtypes=both),
    unary("log10", domain=(0.2, 5.0), dtypes=both),
    binary("logaddexp", domain=(-4.0, 4.0)),
    # trigonometric and hyperbolic
    unary("sin", domain=(-4.0, 4.0), dtypes=both),
    unary("cos", domain=(-4.0, 4.0), dtypes=both),
    unary("tan", domain=(-1.2, 1.2), dtypes=both),
    unary("asin", domain=(-0.9, 0.9), dtypes=both),
    unary("acos", domain=(-0.9, 0.9), dtypes=both),
    unary("atan", domain=(-0.8, 0.8), dtypes=both),
    binary("atan2", domain=(0.3, 2.0)),
    unary("sinh", dtypes=both),
    unary("cosh", dtypes=both),
    unary("tanh", domain=(-1.2, 1.2), dtypes=both),
    unary("asinh", domain=(-0.9, 0.9), dtypes=both),
    unary("acosh", domain=(1.2, 4.0), dtypes=both),
    unary("atanh", domain=(-0.8, 0.8), dtypes=both),
    unary("erf", erf, domain=(-4.0, 4.0), tolerance={"float64": 1e-15}),
    # rounding
    unary("floor", domain=(-4.0, 4.0), dtypes=exact),
    unary("ceil", domain=(-4.0, 4.0), dtypes=exact),
    unary("trunc", domain=(-4.0, 4.0), dtypes=exact),
    unary("round", round_int, domain=(-4.0, 4.0), dtypes=exact),
    # complex parts
    unary("real", lambda x: np.real(x).copy(), dtypes=both, covers=("real",)),
    unary("imag", lambda x: np.imag(x).copy(), dtypes=both, covers=("imag",)),
    unary("conj", dtypes=both),
    # comparison and logic
    *[binary(name, dtypes=(*exact, *complexes), orders=0) for name in ("equal", "not_equal")],
    *[
        binary(name, dtypes=exact, orders=0)
        for name in ("less", "less_equal", "greater", "greater_equal")
    ],
    *[
        binary(name, dtypes=(*floats, *booleans, "int64"), orders=0)
        for name in ("logical_and", "logical_or", "logical_xor")
    ],
    unary("logical_not", dtypes=(*floats, *booleans, "int64"), orders=0),
    *[
        unary(name, samples=special_values, dtypes=both, orders=0)
        for name in ("isfinite", "isinf", "isnan")
    ],
    *[
        binary(name, samples=broadcasting, domain=(0, 9), dtypes=(*integers, *booleans), orders=0)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ],
    *[
        binary(name, samples=shifts, domain=(0, 9), dtypes=integers, orders=0)
        for name in ("bitwise_left_shift", "bitwise_right_shift")
    ],
    unary("bitwise_invert", domain=(0, 9), dtypes=(*integers, *booleans), orders=0),
    binary("nextafter", orders=0),
    binary("copysign"),
    # choosing
    binary("maximum", dtypes=exact),
    binary("minimum", dtypes=exact),
    Row(tfl.where, np.where, samples=choices, dtypes=(*numbers, *booleans)),
    Row(traced.ones_like, np.ones_like, dtypes=numbers, orders=0),
    Row(traced.zeros_like, np.zeros_like, dtypes=numbers, orders=0),
]
