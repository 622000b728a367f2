"""Programs of elementwise operations that run in one pass over memory, as values.

A program says what a chain of slots computes: inputs, steps, outputs, and at the end perhaps a
reduction. It names dtypes and which axes each input spans, but no sizes, so that one program serves
every shape with the same broadcasts; it is hashable, the key under which what was made of it is
kept. ``run_by_numpy`` is its meaning; ``native.elements`` runs it on a CPU, ``cuda.elements`` on a
GPU.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

from ...errors import ArgumentError
from .. import dtypes
from ..slots.reduction import Kept
from .table import ATTRIBUTES, FOLDS, SUPPORTED, folded_dtype
from .table import supported_attributes as supported_attributes


class Input(NamedTuple):
    """An input: its dtype, and for each axis of the common shape whether it spans it."""

    dtype: numpy.dtype[Any]
    spans: tuple[bool, ...]


class Step(NamedTuple):
    """An operation: a slot's name, the numbers of its operands, attributes, the result's dtype.

    Values have numbers: the inputs first, then the steps. The step ``constant`` has no operands,
    and the bytes of its number as its attribute: ``constant`` here makes it.
    """

    op: str
    operands: tuple[int, ...]
    attributes: tuple[Any, ...]
    dtype: numpy.dtype[Any]


class Reduction(NamedTuple):
    """What ends a program: ``sum``, ``mean``, ``max`` or ``min`` of a value over sorted axes."""

    op: str
    value: int
    axes: tuple[int, ...]
    keepdims: bool


class ElementProgram(NamedTuple):
    """Inputs, steps, the numbers of the values that are written, and a reduction.

    A call gives an array for each input and one to write to for each output, of the common shape;
    after those one for the reduction's result.

    Examples
    --------
    >>> import numpy
    >>> f4 = numpy.dtype("float32")
    >>> x, row = Input(f4, (True, True)), Input(f4, (False, True))
    >>> steps = (Step("add", (0, 1), (), f4), Step("tanh", (2,), (), f4))
    >>> program = ElementProgram((x, row), steps, (3,), Reduction("sum", 3, (0,), False))
    >>> print(readable(program))
    v0: float32[**]
    v1: float32[.*]
    v2: float32 = add(v0, v1)
    v3: float32 = tanh(v2)
    write v3
    write float32 = sum(v3) over axes (0,)
    """

    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    reduction: Reduction | None = None

    def dtype_of(self, value: int) -> numpy.dtype[Any]:
        """Return the dtype of a value."""
        count = len(self.inputs)
        return self.inputs[value].dtype if value < count else self.steps[value - count].dtype

    def result_dtype(self) -> numpy.dtype[Any]:
        """Return the dtype of the reduction's result."""
        assert self.reduction is not None
        dtype = folded_dtype(self.reduction.op, self.dtype_of(self.reduction.value))
        assert dtype is not None
        return dtype


def constant(number: complex, dtype: Any) -> Step:
    """Return the step that gives a number everywhere.

    Its attribute is the number's bytes, for 0.0 equals -0.0 and a key must tell them apart.

    Examples
    --------
    >>> constant(1, "f4") == constant(1.0, "f4"), constant(0.0, "f4") == constant(-0.0, "f4")
    (True, False)
    """
    dtype = numpy.dtype(dtype)
    return Step("constant", (), (numpy.asarray(number).astype(dtype).tobytes(),), dtype)


def number_of(step: Step) -> Any:
    """Return the number of a constant, as a 0-d array.

    Examples
    --------
    >>> number_of(constant(2.5, "float16"))
    array(2.5, dtype=float16)
    """
    return numpy.frombuffer(step.attributes[0], step.dtype).reshape(())


def supports(op: str, operands: Sequence[Any], attributes: tuple[Any, ...] = ()) -> Any:
    """Return the dtype that an operation gives of dtypes; None where it can't be a step.

    Examples
    --------
    >>> import numpy
    >>> supports("less", [numpy.dtype("float32")] * 2), supports("sort", [numpy.dtype("float32")])
    (dtype('bool'), None)
    """
    if not supported_attributes(op, attributes):
        return None
    if op == "cast":
        dtype = attributes[0]
        return dtype if ("cast", operands[0], dtype) in SUPPORTED else None
    return SUPPORTED.get((op, *operands))


def _refuse(requirement: str, got: Any) -> ArgumentError:
    return ArgumentError(f"element program: {requirement}, got {got}")


def _check_step(program: ElementProgram, number: int, step: Step) -> None:
    if any(not 0 <= operand < number for operand in step.operands):
        raise _refuse(f"the operands of v{number} must be values before it", step.operands)
    if step.op == "constant":
        bytes_ = step.attributes[0] if len(step.attributes) == 1 else None
        if step.operands or type(bytes_) is not bytes or len(bytes_) != step.dtype.itemsize:
            raise _refuse(f"v{number} must be a constant as constant() makes it", step)
        if step.dtype not in dtypes_of_values:
            raise _refuse(f"v{number} must have a dtype of programs", step.dtype)
        return
    operands = [program.dtype_of(operand) for operand in step.operands]
    found = supports(step.op, operands, step.attributes)
    if found is None:
        names = ", ".join(map(str, operands))
        raise _refuse(f"v{number} must be an operation of programs", f"{step.op}({names})")
    if found != step.dtype:
        raise _refuse(f"v{number}, {step.op}, must be {found}", step.dtype)


# What values may be.
dtypes_of_values = frozenset((
    dtypes.bool_, dtypes.int32, dtypes.int64, dtypes.float16, dtypes.bfloat16, dtypes.float32,
    dtypes.float64,
))  # fmt: skip


def validate(program: ElementProgram) -> None:
    """Raise where a program isn't well formed.

    Raises
    ------
    ArgumentError
        An operand that comes later, an operation or dtype that programs don't have, outputs that
        are no steps or named twice, axes that the inputs don't have.

    Examples
    --------
    >>> f4 = numpy.dtype("float32")
    >>> validate(ElementProgram((Input(f4, (True,)),), (Step("exp", (0,), (), f4),), (1,)))
    """
    if not program.inputs:
        raise _refuse("there must be an input", program)
    ndim = len(program.inputs[0].spans)
    for one in program.inputs:
        if one.dtype not in dtypes_of_values or len(one.spans) != ndim:
            raise _refuse("inputs must have dtypes of programs and the same axes", one)
    first = len(program.inputs)
    for i, step in enumerate(program.steps):
        _check_step(program, first + i, step)
    values = first + len(program.steps)
    if len(set(program.outputs)) != len(program.outputs) or any(
        not first <= value < values for value in program.outputs
    ):
        raise _refuse("outputs must be steps, each once", program.outputs)
    reduction = program.reduction
    if reduction is None:
        if not program.outputs:
            raise _refuse("there must be an output or a reduction", program)
        return
    axes = reduction.axes
    if reduction.op not in FOLDS or not 0 <= reduction.value < values:
        raise _refuse(f"the reduction must be one of {FOLDS} of a value", reduction)
    if sorted(set(axes)) != list(axes) or any(not 0 <= axis < ndim for axis in axes):
        raise _refuse(f"the reduction's axes must be sorted and among {ndim}", axes)
    if folded_dtype(reduction.op, program.dtype_of(reduction.value)) is None:
        raise _refuse("the reduction must be of a dtype that it is for", reduction)


def readable(program: ElementProgram) -> str:
    """Return a listing: a line per input (with ``*`` for each axis it spans), step and output."""
    lines = []
    for i, one in enumerate(program.inputs):
        lines.append(f"v{i}: {one.dtype}[{''.join('*' if spans else '.' for spans in one.spans)}]")
    for i, step in enumerate(program.steps, len(program.inputs)):
        operands = [f"v{operand}" for operand in step.operands]
        attributes = [number_of(step)] if step.op == "constant" else step.attributes
        inside = ", ".join([*operands, *map(str, attributes)])
        lines.append(f"v{i}: {step.dtype} = {step.op}({inside})")
    lines += [f"write v{value}" for value in program.outputs]
    if program.reduction is not None:
        op, value, axes, keepdims = program.reduction
        kept = ", kept" if keepdims else ""
        lines.append(f"write {program.result_dtype()} = {op}(v{value}) over axes {axes}{kept}")
    return "\n".join(lines)


def inputs_of(arrays: Sequence[Any]) -> tuple[Input, ...]:
    """Return the inputs that describe arrays which broadcast to a common shape.

    Examples
    --------
    >>> inputs_of([numpy.zeros((2, 3), "float32"), numpy.zeros((3,), "float32")])[1].spans
    (False, True)
    """
    common = numpy.broadcast_shapes(*[array.shape for array in arrays])
    found = []
    for array in arrays:
        shape = (1,) * (len(common) - array.ndim) + array.shape
        spans = tuple([own == size for own, size in zip(shape, common, strict=True)])
        found.append(Input(array.dtype, spans))
    return tuple(found)


def result_shape(program: ElementProgram, common: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the reduction's result."""
    assert program.reduction is not None
    axes, keepdims = program.reduction.axes, program.reduction.keepdims
    if keepdims:
        return tuple([1 if i in axes else size for i, size in enumerate(common)])
    return tuple([size for i, size in enumerate(common) if i not in axes])


def shape_of(
    program: ElementProgram, arrays: Sequence[Any], outs: Sequence[Any]
) -> tuple[int, ...]:
    """Return the common shape of a call, and raise where its arrays aren't the program's."""
    if len(arrays) != len(program.inputs):
        raise _refuse(f"there must be {len(program.inputs)} arrays", len(arrays))
    try:
        common = numpy.broadcast_shapes(*[array.shape for array in arrays])
    except ValueError:
        shapes = [array.shape for array in arrays]
        raise _refuse("the arrays' shapes must broadcast", shapes) from None
    for i, (one, array) in enumerate(zip(program.inputs, arrays, strict=True)):
        if array.dtype != one.dtype or len(one.spans) != len(common):
            raise _refuse(
                f"array {i} must be {one.dtype}, and together they must have {len(one.spans)} axes",
                f"{array.dtype} of shape {array.shape}",
            )
        shape = (1,) * (len(common) - array.ndim) + array.shape
        if any(own != (size if spans else 1)
               for own, size, spans in zip(shape, common, one.spans, strict=True)):  # fmt: skip
            raise _refuse(f"array {i} must span the axes {one.spans} of {common}", array.shape)
    wanted = [(program.dtype_of(value), common) for value in program.outputs]
    if program.reduction is not None:
        wanted.append((program.result_dtype(), result_shape(program, common)))
        if program.reduction.op in ("max", "min") and not math.prod(
            [common[axis] for axis in program.reduction.axes]
        ):
            raise _refuse("max and min must be of an element or more", common)
    if [(out.dtype, out.shape) for out in outs] != wanted:
        raise _refuse(f"outs must be {wanted}", [(out.dtype, out.shape) for out in outs])
    return common


@functools.cache
def _slots() -> Any:
    from ..numpy_backend import numpy_backend

    return numpy_backend


def values_by_numpy(program: ElementProgram, arrays: Sequence[Any]) -> list[Any]:
    """Return all values of a program, computed by the slots one after another."""
    slots = _slots()
    values = list(arrays)
    with numpy.errstate(all="ignore"):
        for step in program.steps:
            if step.op == "constant":
                values.append(number_of(step))
            else:
                operands = [values[operand] for operand in step.operands]
                made = getattr(slots, step.op)(*operands, *step.attributes)
                values.append(numpy.asarray(made))
    return values


def run_by_numpy(program: ElementProgram, arrays: Sequence[Any], outs: Sequence[Any]) -> None:
    """Run a program by the CPU's slots one after another: what it means, for arrays of NumPy.

    Raises
    ------
    ArgumentError
        The arrays aren't what the program says.

    Examples
    --------
    >>> x, out = numpy.array([1.0, 4.0]), numpy.empty(2)
    >>> program = ElementProgram(inputs_of([x]), (Step("sqrt", (0,), (), x.dtype),), (1,))
    >>> run_by_numpy(program, [x], [out])
    >>> out
    array([1., 2.])
    """
    common = shape_of(program, arrays, outs)
    values = values_by_numpy(program, arrays)
    results = [numpy.broadcast_to(values[value], common) for value in program.outputs]
    if program.reduction is not None:
        op, value, axes, keepdims = program.reduction
        whole = numpy.broadcast_to(values[value], common)
        with numpy.errstate(all="ignore"):
            results.append(getattr(_slots(), op)(whole, Kept(axes) if keepdims else axes))
    # An output may be the memory of another's value: that was computed before.
    for out, result in zip(outs, results, strict=True):
        out[...] = result


__all__ = [
    "ATTRIBUTES", "FOLDS", "SUPPORTED", "ElementProgram", "Input", "Reduction", "Step", "constant",
    "dtypes_of_values", "folded_dtype", "inputs_of", "number_of", "readable", "result_shape",
    "run_by_numpy", "shape_of", "supports", "validate", "values_by_numpy",
]  # fmt: skip
