"""Element programs as executors take them: steps on five kinds of number, conversions written out.

Half precision is computed in float32 and rounded after every step that needs it; operands of other
dtypes are converted first. The operations' names are those of ``kernels/include/elements.cuh``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

from .. import dtypes
from .programs import ElementProgram, Step, number_of
from .table import CHOICES, COMPARISONS, LOGIC, TESTS, computing_dtype, folded_dtype

Dtype = numpy.dtype[Any]

# Operations on half precision whose results it holds.
_EXACT = frozenset((
    "negative", "abs", "sign", "relu", "maximum", "minimum", "where", "floor", "ceil", "trunc",
    "round", "copysign",
))  # fmt: skip
_BOOLEAN = {
    "add": "logical_or", "multiply": "logical_and", "maximum": "logical_or",
    "minimum": "logical_and", "bitwise_and": "logical_and", "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor", "bitwise_invert": "logical_not",
}  # fmt: skip
_POWERS = {2.0: "square", 3.0: "cube", -1.0: "reciprocal", 0.5: "sqrt"}
_FROM_ANY = {"bool": "to_bool", "int32": "to_int32", "int64": "to_int64",
             "float32": "to_float32", "float64": "to_float64"}  # fmt: skip
_TRUTHS = frozenset((*COMPARISONS, *LOGIC, *TESTS, "logical_not"))


class Instruction(NamedTuple):
    """An operation on values of a kind; of ``where`` the first is a bool, of ``constant`` none."""

    operation: str
    kind: str
    operands: tuple[int, ...]
    parameters: tuple[Any, ...]


class Lowered(NamedTuple):
    """A program for executors. Values: inputs first, then instructions.

    ``kinds`` has each value's kind, ``outputs`` pairs of a value and the dtype it is stored as, and
    ``reduction`` is ``(op, value, dtype, axes, keepdims)``.
    """

    inputs: tuple[Dtype, ...]
    instructions: tuple[Instruction, ...]
    kinds: tuple[str, ...]
    outputs: tuple[tuple[int, Dtype], ...]
    reduction: tuple[str, int, Dtype, tuple[int, ...], bool] | None


def kind_of(dtype: Dtype) -> str:
    """Return the kind of number that values of a dtype are computed as.

    Examples
    --------
    >>> kind_of(dtypes.bfloat16), kind_of(dtypes.int64)
    ('float32', 'int64')
    """
    return "float32" if dtype in dtypes.half else dtype.name


class _Lowering:
    def __init__(self, program: ElementProgram) -> None:
        self.program = program
        self.kinds = [kind_of(one.dtype) for one in program.inputs]
        self.instructions: list[Instruction] = []
        # The program's values as numbers here; and what was emitted, by what it is.
        self.places = list(range(len(program.inputs)))
        self.known: dict[Instruction, int] = {}

    def emit(
        self, operation: str, kind: str, operands: Sequence[int], parameters: Sequence[Any] = ()
    ) -> int:
        made = Instruction(operation, kind, tuple(operands), tuple(parameters))
        # Constants compare by value, in which 0.0 and -0.0 are one.
        if operation not in ("constant", "copy") and made in self.known:
            return self.known[made]
        if operation in _FROM_ANY.values():
            kind = operation.removeprefix("to_")
        elif operation == "to_float32_odd":
            kind = "float32"
        elif operation in _TRUTHS:
            kind = "bool"
        self.kinds.append(kind)
        self.instructions.append(made)
        self.known[made] = len(self.kinds) - 1
        return len(self.kinds) - 1

    def rounded(self, value: int, dtype: Dtype) -> int:
        return self.emit(f"round_{dtype.name}", "float32", [value])

    def converted(self, value: int, old: Dtype, new: Dtype) -> int:
        """Return a value as another dtype."""
        have, wanted = kind_of(old), kind_of(new)
        if old == dtypes.float64 and new == dtypes.float16:
            value = self.emit("to_float32_odd", have, [value])
        elif have != wanted:
            value = self.emit(_FROM_ANY[wanted], have, [value])
        return value if new not in dtypes.half or old == new else self.rounded(value, new)

    def operands(self, step: Step, dtype: Dtype) -> list[int]:
        return [
            self.converted(self.places[operand], self.program.dtype_of(operand), dtype)
            for operand in step.operands
        ]

    def step(self, step: Step) -> int:
        """Emit what a step is, and return its value."""
        op, own = step.op, [self.program.dtype_of(operand) for operand in step.operands]
        if op == "constant":
            number = number_of(step).item()
            return self.emit("constant", kind_of(step.dtype), (), (number,))
        if op == "cast":
            return self.converted(self.places[step.operands[0]], own[0], step.dtype)
        if op in LOGIC or op == "logical_not":
            return self.emit(op, "bool", self.operands(step, dtypes.bool_))
        if op == "where":
            condition = self.places[step.operands[0]]
            chosen = self.operands(step._replace(operands=step.operands[1:]), step.dtype)
            return self.emit("where", kind_of(step.dtype), [condition, *chosen])
        if op in COMPARISONS:
            joint = computing_dtype(*own)
            return self.emit(op, kind_of(joint), self.operands(step, joint))
        if op in TESTS:
            return self.emit(op, kind_of(own[0]), self.operands(step, own[0]))
        return self.numeric(step)

    def numeric(self, step: Step) -> int:
        op, dtype, parameters = CHOICES.get(step.op, step.op), step.dtype, step.attributes
        operands = self.operands(step, dtype)
        kind = kind_of(dtype)
        if dtype == dtypes.bool_:
            return self.emit(_BOOLEAN[op], "bool", operands)
        if op in ("maximum", "minimum"):
            return self.extreme(op, operands[0], operands[1], dtype)
        if op in ("leaky_relu", "hardtanh") or (op == "relu" and dtype == dtypes.float16):
            return self.bent(op, operands[0], parameters, dtype)
        if op == "sign" and dtype == dtypes.bfloat16:  # that of -0 is -0
            zero = self.emit("equal", kind, [operands[0], self.constant(0.0, dtype)])
            return self.emit("where", kind, [zero, operands[0], self.emit(op, kind, operands)])
        if op == "gelu":
            op, parameters = ("gelu" if parameters[0] == "none" else "gelu_tanh"), ()
        elif op in ("sigmoid", "silu") and dtype in dtypes.half:
            op = f"{op}_with_tail"
        elif op == "rsqrt":
            op, operands = "reciprocal", [self.settled("sqrt", kind, operands, (), dtype)]
        elif op == "power":
            op, operands = self.power(step, operands)
        return self.settled(op, kind, operands, tuple(map(float, parameters)), dtype)

    def constant(self, number: float, dtype: Dtype) -> int:
        return self.emit("constant", kind_of(dtype), (), (dtype.type(number).item(),))

    def extreme(self, op: str, x: int, y: int, dtype: Dtype) -> int:
        # Of equal numbers NumPy takes the second; of float16 the first.
        return self.emit(op, kind_of(dtype), [y, x] if dtype == dtypes.float16 else [x, y])

    def bent(self, op: str, x: int, parameters: tuple[Any, ...], dtype: Dtype) -> int:
        """Emit an activation of straight pieces as its slot has it."""
        if op == "hardtanh":
            low, high = [self.constant(one, dtype) for one in parameters]
            return self.extreme("minimum", self.extreme("maximum", x, low, dtype), high, dtype)
        zero = self.constant(0.0, dtype)
        above = self.extreme("maximum", x, zero, dtype)
        if op == "relu":
            return above
        below = self.extreme("minimum", x, zero, dtype)
        slope, kind = self.constant(parameters[0], dtype), kind_of(dtype)
        return self.settled(
            "add",
            kind,
            [above, self.settled("multiply", kind, [below, slope], (), dtype)],
            (),
            dtype,
        )

    def settled(self, op: str, kind: str, operands: Sequence[int], parameters: Any,
                dtype: Dtype) -> int:  # fmt: skip
        """Emit an operation, and the rounding that half precision needs."""
        value = self.emit(op, kind, operands, parameters)
        return value if dtype not in dtypes.half or op in _EXACT else self.rounded(value, dtype)

    def power(self, step: Step, operands: list[int]) -> tuple[str, list[int]]:
        place = step.operands[1] - len(self.program.inputs)
        exponent = self.program.steps[place] if place >= 0 else None
        if exponent is not None and exponent.op == "constant":
            special = _POWERS.get(float(number_of(exponent)))
            if special == "sqrt" and step.dtype in dtypes.half:
                special = (
                    "power_half"  # for which NumPy has no short cut: of -infinity it isn't NaN
                )
            if special is not None:
                return special, operands[:1]
        return "power", operands

    def outputs(self) -> tuple[tuple[int, Dtype], ...]:
        found: dict[int, Dtype] = {}
        for output in self.program.outputs:
            value = self.places[output]
            if value < len(self.program.inputs) or value in found:
                value = self.emit("copy", self.kinds[value], [value])
            found[value] = self.program.dtype_of(output)
        return tuple(found.items())

    def reduction(self) -> tuple[str, int, Dtype, tuple[int, ...], bool] | None:
        if self.program.reduction is None:
            return None
        op, value, axes, keepdims = self.program.reduction
        dtype = self.program.dtype_of(value)
        result = folded_dtype(op, dtype)
        assert result is not None
        place = self.places[value]
        if op == "mean":
            place = self.converted(place, dtype, result)
        return op, place, result, axes, keepdims


@functools.lru_cache(maxsize=4096)
def lowered(program: ElementProgram) -> Lowered:
    """Return a valid program as executors take it.

    Examples
    --------
    >>> from tensorflowlite.backend.elements.programs import Input
    >>> half = dtypes.float16
    >>> program = ElementProgram((Input(half, (True,)),), (Step("exp", (0,), (), half),), (1,))
    >>> [one.operation for one in lowered(program).instructions]
    ['exp', 'round_float16']
    """
    lowering = _Lowering(program)
    for step in program.steps:
        lowering.places.append(lowering.step(step))
    outputs, reduction = lowering.outputs(), lowering.reduction()
    return Lowered(
        tuple([one.dtype for one in program.inputs]),
        tuple(lowering.instructions),
        tuple(lowering.kinds),
        outputs,
        reduction,
    )
