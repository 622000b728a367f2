"""Calls of a recorded program that run as one element program: what a fused call holds and does.

The slot ``fused_elements`` runs it on arrays (`native.fused_slots`, `cuda.fused_slots`).
Where a backend has no way, or doesn't take the arrays, the calls run one by one as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from ..base import backend_of
from ..programs.program import Program, compiled
from .lowering import Lowered
from .programs import ElementProgram, readable

MOST_REGISTERS, MOST_VALUES = 32, 256  # of csrc/elements.hpp


class Form(NamedTuple):
    """What an output is made as; ``order`` has the axes as they lie in memory, None: as they are.

    ``shape`` is along those axes in memory.
    """

    shape: tuple[int, ...]
    dtype: Any
    order: tuple[int, ...] | None

    def made(self, empty: Callable[..., Any]) -> Any:
        """Return an array of this form."""
        array = empty(self.shape, self.dtype)
        return array if self.order is None else array.transpose(self.order)


def form_of(shape: Sequence[int], dtype: Any, strides: Sequence[int]) -> Form | None:
    """Return the form of an array with these strides; None where its elements leave gaps.

    Examples
    --------
    >>> form_of((2, 3), numpy.dtype("f4"), (4, 8)).order
    (1, 0)
    """
    order = sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis))
    step = dtype.itemsize
    for axis in order[::-1]:
        if shape[axis] != 1 and strides[axis] != step:
            return None
        step *= shape[axis]
    if order == sorted(order):
        return Form(tuple(shape), dtype, None)
    lying = tuple([shape[axis] for axis in order])
    return Form(lying, dtype, tuple([order.index(axis) for axis in range(len(shape))]))


class FusedElements:
    """A run of calls as one call: gives the arrays that something outside of the run reads.

    Parameters
    ----------
    program
        What is computed. Its outputs are those of ``forms``, then the targets.
    common
        The shape over which it is computed.
    forms
        Of the outputs that are made; with a reduction the last one is its result's.
    targets
        Which arguments are written to, by place.
    folded
        The shape in which the reduction writes its result.
    doubtful
        Pairs of an input and a target, by place, that must not share memory; where they do, the
        calls run one by one.
    quiet
        Whether the library's warnings and errors of infinities and NaN are off.
    calls
        The calls as they were recorded, of the same arguments and results.
    """

    def __init__(
        self, program: ElementProgram, common: tuple[int, ...], forms: tuple[Form, ...],
        targets: tuple[int, ...], folded: tuple[int, ...] | None,
        doubtful: tuple[tuple[int, int], ...], quiet: bool, calls: Program,
    ) -> None:  # fmt: skip
        self.program, self.common, self.forms, self.targets = program, common, forms, targets
        self.folded, self.doubtful, self.quiet, self.calls = folded, doubtful, quiet, calls
        self.kept: dict[str, Any] = {}  # what a backend has made of it
        self._plain: Callable[..., Any] | None = None

    def __call__(self, *arrays: Any) -> Any:
        return backend_of(arrays[0]).fused_elements(self, arrays)

    @property
    def slot(self) -> str:
        """The slot of the last call: what it is called where it can't allocate."""
        return self.calls.calls[-1].slot

    @property
    def lines(self) -> list[str]:
        """What it computes, for people to read."""
        return readable(self.program).splitlines()

    @property
    def plain(self) -> Callable[..., Any]:
        """What makes the calls one by one, as they were recorded."""
        if self._plain is None:
            self._plain = compiled(self.calls)
        return self._plain

    def meets(self, arrays: Sequence[Any], share: Callable[[Any, Any], bool]) -> bool:
        """Whether an input shares memory with a target that must be apart from it."""
        return any(share(arrays[i], arrays[k]) for i, k in self.doubtful)

    def parted(self, arrays: Sequence[Any], empty: Callable[..., Any]) -> tuple[Any, Any, Any]:
        """Return the inputs, what an executor writes to, and the results, of fresh memory."""
        made = [form.made(empty) for form in self.forms]
        inputs = arrays[: len(self.program.inputs)]
        targets = [arrays[i] for i in self.targets]
        if self.folded is None:
            return inputs, [*made, *targets], made
        result = made[-1] if made[-1].shape == self.folded else made[-1].reshape(self.folded)
        return inputs, [*made[:-1], *targets, result], made


def registers(lowered: Lowered) -> int:
    """Return how many values the native executor holds at a time, as ``csrc`` counts them."""
    count = len(lowered.inputs)
    steps = lowered.instructions
    last = {operand: i for i, one in enumerate(steps) for operand in one.operands}
    for value, _ in lowered.outputs:
        last[value] = len(steps)
    if lowered.reduction is not None:
        last[lowered.reduction[1]] = len(steps)
    free = 0
    for i, one in enumerate(steps):
        if one.operation == "constant" or not free:
            count += 1
        else:
            free -= 1
        for operand in set(one.operands):
            stays = operand < len(lowered.inputs) or (
                steps[operand - len(lowered.inputs)].operation == "constant"
            )
            free += last[operand] == i and not stays
    return count


def fits(lowered: Lowered) -> bool:
    """Whether a program isn't too large for the native executor."""
    values = len(lowered.inputs) + len(lowered.instructions)
    return values <= MOST_VALUES and registers(lowered) <= MOST_REGISTERS


def raising() -> bool:
    """Whether NumPy raises for infinities or NaN on this thread, as no executor does."""
    return "raise" in numpy.geterr().values()
