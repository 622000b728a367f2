"""Infix on array types of our own: each operator by the slot that does the same."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

# Name of the method without underscores, slot, and what Python does.
BINARY: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("add", "add", operator.add), ("sub", "subtract", operator.sub),
    ("mul", "multiply", operator.mul), ("truediv", "divide", operator.truediv),
    ("floordiv", "floor_divide", operator.floordiv), ("mod", "remainder", operator.mod),
    ("pow", "power", operator.pow), ("matmul", "matmul", operator.matmul),
    ("and", "bitwise_and", operator.and_), ("or", "bitwise_or", operator.or_),
    ("xor", "bitwise_xor", operator.xor), ("lshift", "bitwise_left_shift", operator.lshift),
    ("rshift", "bitwise_right_shift", operator.rshift),
)  # fmt: skip
COMPARISONS: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("eq", "equal", operator.eq), ("ne", "not_equal", operator.ne), ("lt", "less", operator.lt),
    ("le", "less_equal", operator.le), ("gt", "greater", operator.gt),
    ("ge", "greater_equal", operator.ge),
)  # fmt: skip
UNARY: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("neg", "negative", operator.neg), ("abs", "abs", operator.abs),
    ("invert", "bitwise_invert", operator.invert),
)  # fmt: skip
# Ways to read a value, or to hand the memory to somebody else.
READING = (
    "bool", "float", "int", "complex", "index", "array", "len", "dlpack", "dlpack_device",
)  # fmt: skip


def attach(
    array_type: type,
    run: Callable[..., Any],
    refuse: Callable[[str, Any], Exception],
) -> None:
    """Give an array type its operators.

    Parameters
    ----------
    array_type
        The class.
    run
        ``(slot, function, *operands)``: computes; ``function`` is Python's own for the operator.
    refuse
        ``(what, array)``: the error for one that would read a value.
    """
    for name, slot, function in (*BINARY, *COMPARISONS):
        setattr(array_type, f"__{name}__", _forward(run, slot, function))
    for name, slot, function in BINARY:
        setattr(array_type, f"__r{name}__", _reflected(run, slot, function))
    for name, slot, function in UNARY:
        setattr(array_type, f"__{name}__", _unary(run, slot, function))
    for name in READING:
        setattr(array_type, f"__{name}__", _refusing(refuse, name))


def _forward(run: Any, slot: str, function: Any) -> Callable[[Any, Any], Any]:
    return lambda self, other: run(slot, function, self, other)


def _reflected(run: Any, slot: str, function: Any) -> Callable[[Any, Any], Any]:
    return lambda self, other: run(slot, function, other, self)


def _unary(run: Any, slot: str, function: Any) -> Callable[[Any], Any]:
    return lambda self: run(slot, function, self)


def _refusing(refuse: Any, name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **options: Any) -> Any:
        raise refuse(name, self)

    return method
