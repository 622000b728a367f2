"""A recorded call as a step of an element program: which operation, of which operands.

The dtypes are those of the slots: what a step would give in another dtype than was recorded is no
step. ``EXACT`` are the operations whose results have the slots' bits on every device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from .. import dtypes
from ..elements.programs import constant, dtypes_of_values, number_of, supports
from ..elements.table import (
    ATTRIBUTES,
    BITS,
    CHOICES,
    COMPARISONS,
    LOGIC,
    NUMBER_FUNCTIONS,
    SUPPORTED,
    TESTS,
)
from .program import Call, Ref, Value

EXACT = frozenset((
    "add", "subtract", "multiply", "divide", "sqrt", "rsqrt", "reciprocal", "floor", "ceil",
    "trunc", "round", "relu", "leaky_relu", "hardtanh", "where", "cast", "logical_not",
    "bitwise_invert", *CHOICES, *COMPARISONS, *LOGIC, *BITS, *TESTS, *NUMBER_FUNCTIONS,
)) - {"signbit"}  # fmt: skip  # nor copysign: the sign of NaN isn't kept
_OPERANDS = {key[0]: len(key) - 1 for key in SUPPORTED} | {"cast": 1}
_COPIES = ("copy", "clone", "positive")
_NUMBERS = (bool, int, float)


class Element(NamedTuple):
    """A call as a step: its operands are values of the recorded program, or constant steps.

    ``into`` is the value that it changes in place, ``array`` whether it only moves a value there.
    """

    op: str
    operands: tuple[Any, ...]
    attributes: tuple[Any, ...]
    dtype: Any
    into: int | None = None


def element_of(
    call: Call, values: Sequence[Value], numbers: Mapping[int, Any]
) -> Element | None:
    """Return a call as a step; None where it is none.

    Parameters
    ----------
    call
        A call of a recorded program.
    values, numbers
        The program's values, and those of them that hold one number, as 0-d arrays.
    """
    if call.slot == "assign" or (call.slot == "setitem" and call.args[2:] == (...,)):
        return _assigned(call, values)
    into = _changed(call, values)
    if type(call.outs) is not Ref or bool(call.writes) != (into is not None):
        return None
    out = values[call.outs.index]
    if out.kind != "made" or out.dtype not in dtypes_of_values:
        return None
    if into is None and out.root is not None:
        return None
    op, args = call.slot, call.args[:2] if into is not None else call.args
    if op in _COPIES and len(args) == 1:
        op, args = "cast", (*args, out.dtype)
    count = _OPERANDS.get(op)
    if count is None or len(args) != count + ATTRIBUTES.get(op, 0):
        return None
    operands = _operands(op, args[:count], values, numbers)
    if operands is None:
        return None
    attributes = args[count:]
    kinds = [one.dtype if type(one) is not int else values[one].dtype for one in operands]
    try:
        found = supports(op, kinds, attributes)
    except TypeError:  # an attribute that is no key
        return None
    if found is None or found != out.dtype:
        return None
    return Element(op, operands, attributes, found, into)


def _assigned(call: Call, values: Sequence[Value]) -> Element | None:
    """Return a copy into an array that lies there, of a whole other one of its form."""
    target, source = call.args[:2]
    if type(target) is not Ref or type(source) is not Ref:
        return None
    form, own = values[target.index], values[source.index]
    if (form.dtype, form.shape) != (own.dtype, own.shape) or form.dtype not in dtypes_of_values:
        return None
    return Element("cast", (source.index,), (form.dtype,), form.dtype, target.index)


def _changed(call: Call, values: Sequence[Value]) -> int | None:
    """Return what an addition as the tape has it changes, its third argument."""
    if call.slot != "add" or len(call.args) != 3 or type(call.args[2]) is not Ref:
        return None
    index = int(call.args[2].index)
    out = call.outs
    same = type(out) is Ref and values[out.index][1:4] == values[index][1:4]
    return index if same and call.writes == (index,) else None


def _operands(op: str, args: Sequence[Any], values: Sequence[Value],
              numbers: Mapping[int, Any]) -> tuple[Any, ...] | None:  # fmt: skip
    """Return the operands; numbers as constants of the dtype that the slot gives them."""
    known = [values[arg.index].dtype for arg in args if type(arg) is Ref]
    if not known or any(dtype not in dtypes_of_values for dtype in known):
        return None
    beside = known[1:] if op == "where" else known
    found: list[Any] = []
    for arg in args:
        if type(arg) is Ref:
            number = numbers.get(arg.index)
            found.append(arg.index if number is None else constant(number, number.dtype))
            continue
        weak = weak_constant(op, arg, beside)
        if weak is None:
            return None
        found.append(weak)
    return tuple(found)


def weak_constant(op: str, number: Any, beside: Sequence[Any]) -> Any:
    """Return a Python number as the constant that it is beside arrays of these dtypes, or None.

    Examples
    --------
    >>> weak_constant("add", 2, [dtypes.float32]).dtype
    dtype('float32')
    >>> weak_constant("less", 2**40, [dtypes.int32]) is None  # which NumPy compares as it is
    True
    """
    if type(number) not in _NUMBERS or not beside:
        return None
    dtype = dtypes.with_scalar(dtypes.promote(*beside), number)
    if dtype not in dtypes_of_values:
        return None
    if dtype.kind == "i" and not numpy.iinfo(dtype).min <= number <= numpy.iinfo(dtype).max:
        return None
    try:
        with numpy.errstate(all="ignore"):
            step = constant(number, dtype)
    except OverflowError:
        return None
    held = number_of(step)
    if math.isfinite(number) and not math.isfinite(held):
        return None
    # Beside bfloat16 NumPy takes a number for float64, where the result doesn't show it.
    if dtype == dtypes.bfloat16 and op in COMPARISONS and held != number:
        return None
    return step


def is_exact(element: Element, powers: bool) -> bool:
    """Whether a step gives the slot's bits; ``powers``: those by some constant exponents do."""
    if element.op in EXACT:
        return True
    if element.op != "power" or not powers or type(element.operands[1]) is int:
        return False
    exponent = float(number_of(element.operands[1]))
    roots = (0.5,) if element.dtype not in dtypes.half else ()
    return exponent in (1.0, 2.0, -1.0, *roots)
