"""Which operations may be steps of element programs: names of slots, dtypes, attributes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy

from .. import dtypes

Dtype = numpy.dtype[Any]

_HALVES = (dtypes.float16, dtypes.bfloat16)
_WIDE = (dtypes.float32, dtypes.float64)
_FLOATS = (*_HALVES, *_WIDE)
_INTEGERS = (dtypes.int32, dtypes.int64)
_ALL = (dtypes.bool_, *_INTEGERS, *_FLOATS)

# Operations by what they are for. Those of floats make float64 of integers where NumPy does.
FUNCTIONS = (
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "tanh",
)  # fmt: skip
FLOAT_FUNCTIONS = (
    "rsqrt", "reciprocal", "floor", "ceil", "trunc", "round", "relu", "sigmoid", "silu", "gelu",
    "erf", "erfc", "softplus", "leaky_relu", "elu", "hardtanh",
)  # fmt: skip
NUMBER_FUNCTIONS = ("negative", "abs", "sign", "square")
TESTS = ("isnan", "isinf", "isfinite", "signbit")
CHOICES = {
    "maximum": "maximum", "clip_low": "maximum", "minimum": "minimum", "clip_high": "minimum",
}  # fmt: skip
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
LOGIC = ("logical_and", "logical_or", "logical_xor")
BITS = ("bitwise_and", "bitwise_or", "bitwise_xor")

# How many numbers an operation has as attributes; of `gelu` and `cast` they are no numbers.
ATTRIBUTES = {"softplus": 2, "leaky_relu": 1, "elu": 1, "hardtanh": 2, "gelu": 1, "cast": 1}

FOLDS = ("sum", "mean", "max", "min")


def supported_attributes(op: str, attributes: tuple[Any, ...]) -> bool:
    """Whether an operation's attributes are such that a program may have them.

    -0.0 and NaN may not be: -0.0 equals 0.0 and NaN not itself, so that neither is a key.

    Examples
    --------
    >>> supported_attributes("gelu", ("tanh",)), supported_attributes("elu", (-0.0,))
    (True, False)
    """
    if len(attributes) != ATTRIBUTES.get(op, 0):
        return False
    if op == "gelu":
        return attributes[0] in ("none", "tanh")
    if op == "cast":
        return attributes[0] in _ALL
    return all(
        isinstance(one, (int, float))
        and one == one
        and not (one == 0 and math.copysign(1, one) < 0)
        for one in attributes
    )


def folded_dtype(op: str, dtype: Dtype) -> Dtype | None:
    """Return the dtype of a reduction's result; None where it isn't for the dtype.

    Examples
    --------
    >>> folded_dtype("sum", dtypes.int32), folded_dtype("mean", dtypes.bool_)
    (dtype('int64'), dtype('float64'))
    """
    if dtype not in _ALL or op not in FOLDS:
        return None
    if dtype.kind in "bi" and op == "sum":
        return dtypes.int64
    return dtypes.float64 if dtype.kind in "bi" and op == "mean" else dtype


def computing_dtype(*operands: Dtype) -> Dtype:
    """Return what operands are brought to before an operation joins them.

    Examples
    --------
    >>> computing_dtype(dtypes.float32, dtypes.int64)
    dtype('float64')
    """
    return dtypes.promote(*operands)


def _pairs() -> Iterator[tuple[Dtype, Dtype]]:
    """Yield the dtypes that may meet: half precision meets only its own."""
    for x, y in itertools.product(_ALL, _ALL):
        if x == y or not {x, y} & set(_HALVES):
            yield x, y


def _supported() -> Iterator[tuple[tuple[Any, ...], Dtype]]:
    for dtype in _FLOATS:
        for op in (*FUNCTIONS, *FLOAT_FUNCTIONS):
            yield (op, dtype), dtype
        for op in TESTS:
            yield (op, dtype), dtypes.bool_
        yield ("copysign", dtype, dtype), dtype
    for dtype in _INTEGERS:
        for op in FUNCTIONS:
            yield (op, dtype), dtypes.float64
        yield ("bitwise_invert", dtype), dtype
    for dtype in (*_INTEGERS, *_FLOATS):
        for op in NUMBER_FUNCTIONS:
            yield (op, dtype), dtype
    for dtype in _ALL:
        yield ("logical_not", dtype), dtypes.bool_
        for other in _ALL:
            yield ("cast", dtype, other), other
    yield ("bitwise_invert", dtypes.bool_), dtypes.bool_
    for pair in _pairs():
        yield from _of_pair(*pair)


def _of_pair(x: Dtype, y: Dtype) -> Iterator[tuple[tuple[Any, ...], Dtype]]:
    joint = computing_dtype(x, y)
    for op in (*COMPARISONS, *LOGIC):
        yield (op, x, y), dtypes.bool_
    for op in ("add", "multiply", *CHOICES):
        yield (op, x, y), joint
    yield ("where", dtypes.bool_, x, y), joint
    if joint.kind in "bi":
        for op in BITS:
            yield (op, x, y), joint
    if joint != dtypes.bool_:
        yield ("subtract", x, y), joint
        yield ("divide", x, y), joint if joint in _FLOATS else dtypes.float64
    if joint in _FLOATS:
        yield ("power", x, y), joint


# (operation, dtypes of the operands) -> the result's; of `cast` also the dtype that is asked for.
SUPPORTED: dict[tuple[Any, ...], Dtype] = dict(_supported())
