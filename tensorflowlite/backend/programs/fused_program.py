"""The element program of a group of recorded calls, and the call that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from ..elements.fused import FusedElements, fits, form_of
from ..elements.lowering import lowered
from ..elements.programs import ElementProgram, Input, Reduction, Step, number_of
from .folding import size_of
from .fusion_steps import EXACT, Element
from .passes import without_dead_calls
from .program import Call, Program, Ref, refs_in, root_of

FUNCTION_WEIGHT = 16  # of a step such as exp beside one such as add


class Member(NamedTuple):
    """A call of a group, and what it is: an `Element`, or what reduces one."""

    what: Any
    call: Call


Found = tuple[list[Call], bool]


def built(
    program: Program, numbers: Sequence[int], members: Mapping[int, Member],
    makers: Mapping[int, Call], users: Mapping[int, set[int]],
    apart: Callable[[int, int], bool], least: int,
) -> Found | None:  # fmt: skip
    """Return the call that runs members of a group, and whether it is worth it.

    None where they are too much for an executor. Where nobody needs them there is no call.

    Parameters
    ----------
    program, numbers, members
        The recorded program, which of its calls, and what these are.
    makers
        The calls that made broadcast views and constants, by these.
    users
        By roots the calls that use them; -1 stands for what comes out.
    apart
        Whether two roots surely have memory of their own.
    least
        Of how many elements cheap steps must be.
    """
    group = _Builder(program, makers)
    for number in numbers:
        group.add(members[number])
    own = set(numbers)
    needed = [i for i in group.made if users.get(i, set()) - own]
    for root in list(group.targets):
        later = any(one < 0 or one > numbers[-1] for one in users.get(root, ()))
        if program.values[root].kind == "made" and not later:
            del group.targets[root]
    return group.finished([program.calls[i] for i in numbers], needed, apart, least)


class _Builder:
    """Numbers: of an input -1, -2 ...; of a step 0, 1 ..."""

    def __init__(self, program: Program, makers: Mapping[int, Call]) -> None:
        self.program, self.values, self.makers = program, program.values, makers
        self.shape: tuple[int, ...] = ()
        self.inputs: dict[int, int] = {}
        self.steps: list[Step] = []
        self.constants: dict[Step, int] = {}
        self.now: dict[int, int] = {}  # by root: what an array holds by then
        self.made: list[int] = []
        self.targets: dict[int, int] = {}  # by root: the value that is written to
        self.reduction: Any = None
        self.result: int | None = None
        self.copies = 0  # that become nothing

    # -- steps -------------------------------------------------------------------------------------
    def add(self, member: Member) -> None:
        what, call = member
        if not isinstance(what, Element):
            self.shape = self.values[what.value].shape
            self.reduction = (what.op, self.read(what.value), what.axes, what.keepdims)
            self.result = call.outs.index
            return
        number = self.step(what, [self.operand(one) for one in what.operands])
        if what.into is None:
            self.made.append(call.outs.index)
            self.now[call.outs.index] = number
            self.shape = self.values[call.outs.index].shape
            return
        root = root_of(self.values, what.into)
        self.shape = self.values[what.into].shape
        self.now[root] = number
        if root not in self.made:
            self.targets[root] = what.into

    def operand(self, one: Any) -> int:
        return self.read(one) if type(one) is int else self.constant(one)

    def constant(self, step: Step) -> int:
        if step not in self.constants:
            self.constants[step] = self.emit(step)
        return self.constants[step]

    def read(self, index: int) -> int:
        root = root_of(self.values, index)
        if root in self.now:
            return self.now[root]
        return self.inputs.setdefault(index, -1 - len(self.inputs))

    def emit(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def step(self, what: Any, operands: list[int]) -> int:
        """Return what a call gives: a step, or an operand itself."""
        chosen = None
        if what.op == "cast":
            chosen = operands[0]
            self.copies += what.into is None and self.dtype_of(chosen) == what.dtype
        elif what.op == "where" and operands[0] in self.constants.values():
            chosen = operands[1 if number_of(self.steps[operands[0]]) else 2]
        elif what.op == "power" and self.is_one(operands[1]):
            chosen = operands[0]
        elif what.op == "multiply" and (self.is_one(operands[0]) or self.is_one(operands[1])):
            chosen = operands[1 if self.is_one(operands[0]) else 0]
        if chosen is None:
            return self.emit(Step(what.op, tuple(operands), what.attributes, what.dtype))
        if self.dtype_of(chosen) == what.dtype:
            return chosen
        return self.emit(Step("cast", (chosen,), (what.dtype,), what.dtype))

    def is_one(self, number: int) -> bool:
        return number in self.constants.values() and bool(number_of(self.steps[number]) == 1)

    def dtype_of(self, number: int) -> Any:
        if number >= 0:
            return self.steps[number].dtype
        return self.values[list(self.inputs)[-1 - number]].dtype

    # -- the call ----------------------------------------------------------------------------------
    def finished(
        self, calls: list[Call], needed: list[int], apart: Callable[[int, int], bool], least: int
    ) -> Found | None:
        written = [self.now[i] for i in (*needed, *self.targets)]
        outputs = self.outputs(written)
        ends = [] if self.reduction is None else [self.reduction[1]]
        live = self.live([*outputs, *ends])
        steps = [i for i, step in enumerate(self.steps) if i in live and step.op != "constant"]
        inputs = self.read_inputs(live)
        if not inputs or not (outputs or ends):
            return [], False
        made = self.program_of(live, inputs, outputs)
        low = lowered(made)
        if not fits(low):
            return None
        if low.reduction and self.targets and low.reduction[1] < len(low.inputs):
            return [], False  # executors write before they fold, perhaps over this input
        cheap = all(self.steps[i].op in EXACT for i in steps)
        size = size_of(self.shape) * (1 if cheap else FUNCTION_WEIGHT)
        saved = len(steps) + self.copies + len(self.targets) + len(ends)
        worth = saved >= 2 and size >= least
        return [self.call(calls, made, inputs, needed, apart)], worth

    def outputs(self, written: list[int]) -> list[int]:
        """Return the steps that are written: each once, and no input."""
        found: list[int] = []
        for number in written:
            if number < 0 or number in found or self.steps[number].op == "constant":
                dtype = self.dtype_of(number)
                number = self.emit(Step("cast", (number,), (dtype,), dtype))
            found.append(number)
        return found

    def live(self, ends: list[int]) -> set[int]:
        """Return what the ends depend on."""
        found: set[int] = set()
        due = list(ends)
        while due:
            number = due.pop()
            if number not in found:
                found.add(number)
                due += self.steps[number].operands if number >= 0 else ()
        return found

    def read_inputs(self, live: set[int]) -> list[int]:
        """Return the values that are read: of broadcast views what they show, where that does."""
        own = [index for index, number in self.inputs.items() if number in live]
        shown = [self.shown(index) for index in own]
        shapes = [self.values[index].shape for index in shown]
        if own and numpy.broadcast_shapes(*shapes) != self.shape:
            return own
        return shown

    def shown(self, index: int) -> int:
        """Return what a broadcast view shows."""
        while index in self.makers and self.makers[index].slot == "broadcast_to":
            index = self.makers[index].args[0].index
        return index

    def program_of(self, live: set[int], inputs: list[int], outputs: list[int]) -> ElementProgram:
        own = [number for number in self.inputs.values() if number in live]
        unique = list(dict.fromkeys(inputs))
        places = {number: unique.index(i) for number, i in zip(own, inputs, strict=True)}
        steps: list[Step] = []
        for i, step in enumerate(self.steps):
            if i in live:
                operands = tuple([places[operand] for operand in step.operands])
                places[i] = len(unique) + len(steps)
                steps.append(step._replace(operands=operands))
        reduction = None
        if self.reduction is not None:
            op, value, axes, keepdims = self.reduction
            reduction = Reduction(op, places[value], axes, keepdims)
        return ElementProgram(
            tuple([self.spanning(i) for i in unique]), tuple(steps),
            tuple([places[i] for i in outputs]), reduction,
        )  # fmt: skip

    def spanning(self, index: int) -> Input:
        value = self.values[index]
        shape = (1,) * (len(self.shape) - len(value.shape)) + value.shape
        spans = tuple([own == size for own, size in zip(shape, self.shape, strict=True)])
        return Input(value.dtype, spans)

    def call(
        self, calls: list[Call], made: ElementProgram, inputs: list[int], needed: list[int],
        apart: Callable[[int, int], bool],
    ) -> Call:  # fmt: skip
        inputs, targets = list(dict.fromkeys(inputs)), list(self.targets.values())
        results = [*needed, *([] if self.result is None else [self.result])]
        alone = self.alone(calls, list(dict.fromkeys([*inputs, *targets])), results, targets)
        args = list(alone.inputs)
        forms = [form_of(*self.values[i][1:4]) for i in results]
        folded = None
        if self.reduction is not None:
            _, _, axes, keepdims = self.reduction
            folded = tuple([
                1 if i in axes else size
                for i, size in enumerate(self.shape) if keepdims or i not in axes
            ])  # fmt: skip
        doubtful = [
            (args.index(one), args.index(other))
            for one in inputs for other in targets
            if one != other
            and not apart(root_of(self.values, one), root_of(self.values, other))
        ]  # fmt: skip
        quiet = all(call.quiet for call in calls)
        run = FusedElements(
            made, self.shape, tuple([form for form in forms if form is not None]),
            tuple([args.index(i) for i in targets]), folded, tuple(doubtful), quiet,
            alone,
        )  # fmt: skip
        return Call(
            "fused_elements", run, tuple(map(Ref, args)), tuple(map(Ref, results)), tuple(targets),
            (), calls[0].unless, quiet,
        )  # fmt: skip

    def alone(
        self, calls: list[Call], args: list[int], results: list[int], targets: list[int]
    ) -> Program:
        """Return the calls as a program of the fused call's arguments and results.

        Views and constants that the fused call does without are made in it; what else it needs
        becomes an argument more.
        """
        own = tuple([call._replace(unless=None) for call in calls])
        whole = Program(own, self.values, {}, {}, tuple(args), (*results, *targets))
        own = without_dead_calls(whole).calls
        fixed = self.program.held.keys() - self.program.fresh.keys()
        known = {*args, *[i for call in own for i in refs_in(call.outs)]}
        due = [i for call in own for i in refs_in(call.args)]
        made: set[int] = set()
        held: dict[int, Any] = {}
        while due:
            index = due.pop()
            if index in known:
                continue
            known.add(index)
            if index in self.makers:
                made.add(index)
                due += refs_in(self.makers[index].args)
            elif index in fixed and self.values[index].kind == "constant":
                held[index] = self.program.held[index]
            else:
                args = [*args, index]
        before = [call for index, call in self.makers.items() if index in made]
        return Program((*before, *own), self.values, held, {}, tuple(args), tuple(results))
