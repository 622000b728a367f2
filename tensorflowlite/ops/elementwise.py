"""Elementwise operations: arithmetic, powers, exponentials, trigonometry, comparison, logic.

In a rule ``g`` is the incoming gradient, ``x`` and ``y`` are the inputs, ``out`` the output and
``k`` the operations. Un-broadcasting and casting to the input's dtype are the tape's work.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of, number_types
from ..core.entry import lift
from ..core.tensor import Tensor, wrap
from .arguments import as_tensor, public
from .casting import clone, result_type
from .declare import binary, general, unary
from .docs import binary_doc, unary_doc

_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)
_LOG2, _LOG10 = math.log(2), math.log(10)


def _zero(k, g):
    return k.zeros_like(g)


def _share(k, g, wins, ties):
    """Give a gradient to the winner; two that tie share it."""
    return k.where(wins, g, k.where(ties, g * 0.5, k.zeros_like(g)))


# -- arithmetic ------------------------------------------------------------------------------------
add = binary("add", (lambda g: g, lambda g: g), binary_doc("Sum", "x + y", 3.0, [4.0, 5.0]))
subtract = binary(
    "subtract", (lambda g: g, lambda g: -g), binary_doc("Difference", "x - y", 1.0, [0.0, 1.0])
)
multiply = binary(
    "multiply",
    (lambda g, y: g * y, lambda g, x: g * x),
    binary_doc("Product", "x * y", 3.0, [3.0, 6.0]),
)
divide = binary(
    "divide",
    # By the inputs, so that the quotient may be changed in place: z[mask] = 0 after x / y.
    (lambda g, y: g / y, lambda g, x, y: -g * (x / y / y)),
    binary_doc("Quotient", "x / y", 2.0, [0.5, 1.0]),
)
floor_divide = binary(
    "floor_divide",
    (_zero, _zero),
    binary_doc("Quotient rounded towards minus infinity", "x // y", 2.0, [0.0, 1.0]),
)
remainder = binary(
    "remainder",
    (lambda g: g, lambda k, g, x, y: -g * k.floor_divide(x, y)),
    binary_doc("Remainder with the divisor's sign", "x - y * (x // y)", 2.0, [1.0, 0.0]),
)
negative = unary("negative", lambda g: -g, unary_doc("Negation", [1.0], [-1.0]))
positive = unary(
    "positive", lambda g: g, unary_doc("The same value, as a new tensor", [1.0], [1.0])
)
reciprocal = unary(
    "reciprocal", lambda g, out: -g * out * out, unary_doc("One over x", [2.0], [0.5])
)
abs = unary(
    "abs",
    lambda k, g, x: g * k.conj(k.sign(x)),
    unary_doc("Absolute value; of complex input its modulus", [-2.0], [2.0]),
)


def _sign_rule(k, g, x, out):
    if x.dtype.kind != "c":
        return k.zeros_like(g)
    length = k.abs(x)
    along = k.real(g * out) * k.conj(out)
    return k.where(
        length == 0, k.zeros_like(g), (g - along) / k.where(length == 0, 1 + length, length)
    )


sign = unary(
    "sign",
    _sign_rule,
    unary_doc("The sign: -1, 0 or 1; of complex input x / abs(x)", [-2.0], [-1.0]),
)
signbit = unary("signbit", None, unary_doc("Whether the sign bit is set", [-2.0], "[ True]"))

# -- powers and roots ------------------------------------------------------------------------------
square = unary("square", lambda g, x: g * (2 * x), unary_doc("Square", [3.0], [9.0]))
sqrt = unary("sqrt", lambda g, out: g / (2 * out), unary_doc("Square root", [9.0], [3.0]))
rsqrt = unary(
    "rsqrt",
    lambda g, out: -0.5 * g * out * out * out,
    unary_doc("One over the square root", [4.0], [0.5]),
)


def _power_by_base(k, g, x, y):
    # x ** (y - 1) has a pole at zero where y is 0, but the derivative of x ** 0 has none.
    flat = y == 0
    slope = y * x ** k.where(flat, k.ones_like(y), y - 1)
    return g * k.where(flat, k.zeros_like(slope), slope)


def _power_by_exponent(k, g, x, y, out):
    zero = x == 0
    slope = out * k.log(k.where(zero, k.ones_like(x), x))
    if x.dtype.kind != "c" and y.dtype.kind != "c":  # 0 ** y has a pole where y is negative
        slope = k.where(k.logical_and(zero, y < 0), -math.inf * k.ones_like(slope), slope)
    return g * slope


power = binary(
    "power", (_power_by_base, _power_by_exponent), binary_doc("Power", "x ** y", 2.0, [1.0, 4.0])
)
hypot = binary(
    "hypot",
    (lambda g, x, out: g * x / out, lambda g, y, out: g * y / out),
    binary_doc("Length of the hypotenuse", "sqrt(x**2 + y**2)", 0.0, [1.0, 2.0]),
)

# -- exponentials and logarithms -------------------------------------------------------------------
exp = unary("exp", lambda g, out: g * out, unary_doc("Exponential", [0.0], [1.0]))
exp2 = unary("exp2", lambda g, out: g * (out * _LOG2), unary_doc("Power of two", [3.0], [8.0]))
expm1 = unary(
    "expm1",
    lambda g, out: g * (out + 1),
    unary_doc("exp(x) - 1, exact also near zero", [0.0], [0.0]),
)
log = unary("log", lambda g, x: g / x, unary_doc("Natural logarithm", [1.0], [0.0]))
log1p = unary(
    "log1p", lambda g, x: g / (1 + x), unary_doc("log(1 + x), exact also near zero", [0.0], [0.0])
)
log2 = unary("log2", lambda g, x: g / (x * _LOG2), unary_doc("Logarithm to base 2", [8.0], [3.0]))
log10 = unary(
    "log10", lambda g, x: g / (x * _LOG10), unary_doc("Logarithm to base 10", [1.0], [0.0])
)
logaddexp = binary(
    "logaddexp",
    (lambda k, g, x, out: g * k.exp(x - out), lambda k, g, y, out: g * k.exp(y - out)),
    binary_doc("log(exp(x) + exp(y)) without overflow", "log(exp(x) + exp(y))", None, None),
)

# -- trigonometric and hyperbolic ------------------------------------------------------------------
sin = unary("sin", lambda k, g, x: g * k.cos(x), unary_doc("Sine; x in radians", [0.0], [0.0]))
cos = unary("cos", lambda k, g, x: -g * k.sin(x), unary_doc("Cosine; x in radians", [0.0], [1.0]))
tan = unary(
    "tan", lambda g, out: g * (1 + out * out), unary_doc("Tangent; x in radians", [0.0], [0.0])
)
asin = unary(
    "asin", lambda k, g, x: g / k.sqrt(1 - x * x), unary_doc("Inverse sine, radians", [0.0], [0.0])
)
acos = unary(
    "acos",
    lambda k, g, x: -g / k.sqrt(1 - x * x),
    unary_doc("Inverse cosine, radians", [1.0], [0.0]),
)
atan = unary(
    "atan", lambda g, x: g / (1 + x * x), unary_doc("Inverse tangent, radians", [0.0], [0.0])
)
atan2 = binary(
    "atan2",
    (lambda g, x, y: g * y / (x * x + y * y), lambda g, x, y: -g * x / (x * x + y * y)),
    binary_doc("Angle of the point (y, x), radians", "atan(x / y)", None, None),
)
sinh = unary("sinh", lambda k, g, x: g * k.cosh(x), unary_doc("Hyperbolic sine", [0.0], [0.0]))
cosh = unary("cosh", lambda k, g, x: g * k.sinh(x), unary_doc("Hyperbolic cosine", [0.0], [1.0]))
tanh = unary(
    "tanh", lambda g, out: g - g * out * out, unary_doc("Hyperbolic tangent", [0.0], [0.0])
)
asinh = unary(
    "asinh",
    lambda k, g, x: g / k.sqrt(x * x + 1),
    unary_doc("Inverse hyperbolic sine", [0.0], [0.0]),
)
acosh = unary(
    "acosh",
    lambda k, g, x: g / (k.sqrt(x - 1) * k.sqrt(x + 1)),
    unary_doc("Inverse hyperbolic cosine", [1.0], [0.0]),
)
atanh = unary(
    "atanh", lambda g, x: g / (1 - x * x), unary_doc("Inverse hyperbolic tangent", [0.0], [0.0])
)
erf = unary(
    "erf",
    lambda k, g, x: g * (_TWO_OVER_SQRT_PI * k.exp(-x * x)),
    unary_doc("Error function", [0.0], [0.0]),
)

# -- rounding --------------------------------------------------------------------------------------
floor = unary("floor", _zero, unary_doc("Largest integer not above x", [1.5], [1.0]))
ceil = unary("ceil", _zero, unary_doc("Smallest integer not below x", [1.5], [2.0]))
trunc = unary("trunc", _zero, unary_doc("The integer part", [-1.5], [-1.0]))
round = unary("round", _zero, unary_doc("Nearest integer; halves go to the even one", [2.5], [2.0]))

# -- complex parts ---------------------------------------------------------------------------------
# Real input goes another way: a rule of complex numbers would give it complex gradients.
_real = unary("real", lambda g: g + 0j, "Real part of complex input.")
_imag = unary("imag", lambda g: g * -1j, "Imaginary part of complex input.")


def real(x: Any, /) -> Tensor:
    x = as_tensor(x)
    return _real(x) if x.array.dtype.kind == "c" else clone(x)


def imag(x: Any, /) -> Tensor:
    x = as_tensor(x)
    return _imag(x) if x.array.dtype.kind == "c" else zeros_like_slot(x)


real.__doc__ = unary_doc("Real part", "[1.0 + 2.0j]", [1.0]).replace("{name}", "real")
imag.__doc__ = unary_doc("Imaginary part", "[1.0 + 2.0j]", [2.0]).replace("{name}", "imag")
public("real", real, primitive=_real.primitive)
public("imag", imag, primitive=_imag.primitive)
conj = unary("conj", lambda k, g: k.conj(g), unary_doc("Complex conjugate", [2.0], [2.0]))

# -- comparison and logic (no gradient) ------------------------------------------------------------
equal = binary(
    "equal", None, binary_doc("Whether the elements are equal", "x == y", 2.0, "[False,  True]")
)
not_equal = binary(
    "not_equal", None, binary_doc("Whether the elements differ", "x != y", 2.0, "[ True, False]")
)
less = binary("less", None, binary_doc("Whether x is less than y", "x < y", 2.0, "[ True, False]"))
less_equal = binary(
    "less_equal", None, binary_doc("Whether x is at most y", "x <= y", 2.0, "[ True,  True]")
)
greater = binary(
    "greater", None, binary_doc("Whether x is greater than y", "x > y", 1.0, "[False,  True]")
)
greater_equal = binary(
    "greater_equal", None, binary_doc("Whether x is at least y", "x >= y", 2.0, "[False,  True]")
)
logical_and = binary(
    "logical_and", None, binary_doc("Logical and", "x and y", 0.0, "[False, False]")
)
logical_or = binary("logical_or", None, binary_doc("Logical or", "x or y", 0.0, "[ True,  True]"))
logical_xor = binary(
    "logical_xor", None, binary_doc("Logical exclusive or", "x != y", 0.0, "[ True,  True]")
)
logical_not = unary("logical_not", None, unary_doc("Logical not", [0.0], "[ True]"))
isfinite = unary(
    "isfinite", None, unary_doc("Whether x is neither infinite nor NaN", [1.0], "[ True]")
)
isinf = unary("isinf", None, unary_doc("Whether x is infinite", [1.0], "[False]"))
isnan = unary("isnan", None, unary_doc("Whether x is NaN", [1.0], "[False]"))
bitwise_and = binary(
    "bitwise_and", None, binary_doc("Bitwise and of integers", "x & y", None, None)
)
bitwise_or = binary("bitwise_or", None, binary_doc("Bitwise or of integers", "x | y", None, None))
bitwise_xor = binary(
    "bitwise_xor", None, binary_doc("Bitwise exclusive or of integers", "x ^ y", None, None)
)
bitwise_left_shift = binary(
    "bitwise_left_shift", None, binary_doc("Shift integers left", "x << y", None, None)
)
bitwise_right_shift = binary(
    "bitwise_right_shift", None, binary_doc("Shift integers right", "x >> y", None, None)
)
bitwise_invert = unary("bitwise_invert", None, unary_doc("Bitwise not of integers", "[0]", "[-1]"))
nextafter = binary(
    "nextafter", None, binary_doc("The next float after x towards y", "nextafter(x, y)", None, None)
)
copysign = binary(
    "copysign",
    (
        lambda k, g, x, y: (
            g * k.where(k.signbit(x) == k.signbit(y), k.ones_like(x), -k.ones_like(x))
        ),
        _zero,
    ),
    binary_doc("The magnitude of x with the sign of y", "abs(x) * sign(y)", -1.0, [-1.0, -2.0]),
)

# -- choosing --------------------------------------------------------------------------------------
maximum = binary(
    "maximum",
    (
        lambda k, g, x, y: _share(k, g, x > y, x == y),
        lambda k, g, x, y: _share(k, g, y > x, x == y),
    ),
    binary_doc("The greater of two; equal ones share the gradient", "max(x, y)", 1.5, [1.5, 2.0]),
)
minimum = binary(
    "minimum",
    (
        lambda k, g, x, y: _share(k, g, x < y, x == y),
        lambda k, g, x, y: _share(k, g, y < x, x == y),
    ),
    binary_doc("The lesser of two; equal ones share the gradient", "min(x, y)", 1.5, [1.0, 1.5]),
)
_where = general(
    "where",
    ("condition", "x", "y"),
    (
        None,
        lambda k, g, condition: k.where(condition, g, k.zeros_like(g)),
        lambda k, g, condition: k.where(condition, k.zeros_like(g), g),
    ),
    "Choose elementwise between two tensors.",
    explain=lambda shapes: f"shapes must broadcast, got {shapes[0]}, {shapes[1]} and {shapes[2]}",
)


def where(condition: Any, x: Any, y: Any, /) -> Tensor:
    """Choose elementwise between two tensors.

    Parameters
    ----------
    condition : Tensor
        Booleans; broadcasts with the others.
    x, y : Tensor, array or number
        Where ``condition`` is true, and where it isn't. Numbers are weak: they take the dtype of
        the other; two of them the default dtype of their kind.

    Returns
    -------
    Tensor
        Of the broadcast shape and the promoted dtype.

    Raises
    ------
    ShapeError
        The shapes don't broadcast.
    DeviceError
        The tensors are on different devices.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([-1.0, 2.0])
    >>> tfl.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if type(x) is not Tensor or type(y) is not Tensor:
        condition = as_tensor(condition)
        x, y = _pair(x, y, condition)
    return _where(condition, x, y)


where.primitive = _where.primitive  # type: ignore[attr-defined]


def _pair(x: Any, y: Any, beside: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return two operands as tensors: a number is weak beside the other one, and lives with it."""
    if isinstance(x, number_types) and isinstance(y, number_types):
        made = as_tensor(x)
        like = wrap(lift(x, made).array.astype(result_type(x, y)), None)
        if beside is None:
            return like, lift(y, like)
        on = backend_of(beside.array).from_host(like.array, beside.device)
        return wrap(on, None), lift(y, wrap(on, None))
    if isinstance(x, number_types):
        y = as_tensor(y)
        return lift(x, y), y
    x = as_tensor(x)
    return x, lift(y, x)


# At a bound the gradient is the input's.
_clip_low = binary(
    "clip_low",
    (
        lambda k, g, x, y: k.where(x < y, k.zeros_like(g), g),
        lambda k, g, x, y: k.where(x < y, g, k.zeros_like(g)),
    ),
    "The greater of two; where they are equal the gradient is x's.",
    called="clip",
)
_clip_high = binary(
    "clip_high",
    (
        lambda k, g, x, y: k.where(x > y, k.zeros_like(g), g),
        lambda k, g, x, y: k.where(x > y, g, k.zeros_like(g)),
    ),
    "The lesser of two; where they are equal the gradient is x's.",
    called="clip",
)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor:
    """Limit the elements to the range from ``min`` to ``max``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    min, max : Tensor, array, number or None
        The bounds; they broadcast. Where ``min`` is above ``max`` the result is ``max``.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.clip(tfl.tensor([-2.0, 0.5, 2.0]), -1, 1)
    tensor([-1. ,  0.5,  1. ])
    """
    if min is None and max is None:
        return clone(as_tensor(x))
    if min is not None:
        x = _clip_low(x, min)
    return x if max is None else _clip_high(x, max)


ones_like_slot = general("ones_like", ("x",), (None,), "Ones of the shape and dtype of ``x``.")
zeros_like_slot = general("zeros_like", ("x",), (None,), "Zeros of the shape and dtype of ``x``.")
pow = power
