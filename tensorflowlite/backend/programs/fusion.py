"""A pass over a recorded program that lets runs of elementwise calls be one call.

A group is gathered while the calls are gone through in order, and runs where its last member
stood. Until then nothing else may read what it makes or changes, or change what it reads: such a
call closes the group. What it makes and only its members read never reaches memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..base import backend_of
from ..elements.fused import form_of
from ..elements.table import FOLDS, folded_dtype
from ..slots.reduction import Kept
from .folding import Folding, size_of
from .fused_program import FUNCTION_WEIGHT, Member, built
from .fusion_steps import Element, element_of, is_exact
from .passes import PASSES, renamed, without_dead_calls
from .program import Call, Program, Ref, refs_in, root_of

# Of how many elements a group must be. A fused call costs 5 µs, one of NumPy's 0.5; while arrays
# stay in the second cache a step on numbers costs the same either way (0.1 ns each in float32): six
# steps took 28 µs fused and 26 by NumPy at 16384 elements, 56 and 64 at 65536. Functions are worth
# it sooner: a power of 2048 numbers alone takes NumPy 70 µs.
LEAST = 32768
_MOST_MEMBERS = 64
_MOST_OPEN = 8  # groups at a time
_FOLDS = (*FOLDS, "sum_to")
Form = tuple[Any, ...]  # the common shape, and the flag that leaves a call out


class Reducing(NamedTuple):
    """A call as the reduction that ends a group."""

    op: str
    value: int
    axes: tuple[int, ...]
    keepdims: bool


class _Group:
    """Calls that will be one: what they make, read and change, by the roots."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.members: list[int] = []
        self.made: set[int] = set()
        self.inputs: set[int] = set()  # values
        self.reads: set[int] = set() if form[1] is None else {form[1]}
        self.targets: dict[int, int] = {}  # root -> the value that is written to
        self.result: int | None = None  # of the reduction

    def take(self, other: _Group) -> None:
        self.members = sorted([*self.members, *other.members])
        for name in ("made", "inputs", "reads", "targets"):
            getattr(self, name).update(getattr(other, name))
        self.result = other.result if self.result is None else self.result


def with_fused_elements(
    program: Program, fusion: str = "all", least: int | None = None
) -> Program:
    """Make one call of elementwise calls that belong together, and of a reduction after them.

    Parameters
    ----------
    program
        What was recorded.
    fusion
        ``"exact"``: only of steps that give the bits of the calls themselves; ``"all"``.
    least
        Of how many elements a group must be; with functions that NumPy takes long for, of a
        sixteenth of that. None: `LEAST`.
    """
    folding = Folding(_canonical(program))
    program = without_dead_calls(folding.folded())
    least = LEAST if least is None else least
    return _Fusion(program, folding.numbers, fusion == "exact", least).fused()


def _canonical(program: Program) -> Program:
    """Let an array that was added or assigned to in place go by one number."""
    names: dict[int, int] = {}
    calls: list[Call] = []
    for call in program.calls:
        call = call._replace(
            args=renamed(call.args, names),
            writes=tuple([names.get(i, i) for i in call.writes]),
            unless=None if call.unless is None else names.get(call.unless, call.unless),
        )
        calls.append(call)
        gives = call.slot == "setitem" or (call.slot == "add" and len(call.args) == 3)
        if gives and type(call.outs) is Ref and len(call.writes) == 1:
            names[call.outs.index] = call.writes[0]
    outputs = tuple([names.get(i, i) for i in program.outputs])
    return program._replace(calls=tuple(calls), outputs=outputs)


class _Fusion:
    def __init__(
        self, program: Program, numbers: Mapping[int, Any], exact: bool, least: int
    ) -> None:
        self.program, self.values, self.numbers = program, program.values, numbers
        self.exact, self.least = exact, least
        held = [backend_of(array) for array in program.held.values()]
        self.powers = all(library.exact_powers() for library in held)
        self.open: list[_Group] = []
        self.groups: list[_Group] = []
        self.members: dict[int, Member] = {}
        self.makers: dict[int, Call] = {}  # of broadcast views, and of constants

    def fused(self) -> Program:
        """Return the program with fused calls."""
        for number, call in enumerate(self.program.calls):
            self._see(number, call)
        users: dict[int, set[int]] = {}
        for number, call in enumerate(self.program.calls):
            for index in call.uses:
                users.setdefault(root_of(self.values, index), set()).add(number)
        for index in self.program.outputs:
            users.setdefault(root_of(self.values, index), set()).add(-1)
        gone: set[int] = set()
        instead: dict[int, list[Call]] = {}
        for group in self.groups:
            self._build(group.members, users, gone, instead)
        calls: list[Call] = []
        for number, call in enumerate(self.program.calls):
            if number not in gone:
                calls.append(call)
            calls += instead.get(number, ())
        return self.program._replace(calls=tuple(calls))

    def _build(self, numbers: list[int], users: dict[int, set[int]], gone: set[int],
               instead: dict[int, list[Call]]) -> None:  # fmt: skip
        """Replace members by fused calls where the last of them stands."""
        place = numbers[-1]
        due = [numbers]
        while due:
            part = due.pop()
            if len(part) < 2:
                instead.setdefault(place, []).extend([self.program.calls[i] for i in part])
                gone.update(part)
                continue
            found = built(self.program, part, self.members, self.makers, users, self._apart,
                          self.least)  # fmt: skip
            if found is None:  # too much at a time
                due += [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            calls, worth = found
            if not worth and part is numbers:
                return  # they stay where they are
            kept = calls if worth else [self.program.calls[i] for i in part]
            instead.setdefault(place, []).extend(kept)
            gone.update(part)

    # -- gathering ---------------------------------------------------------------------------------
    def _see(self, number: int, call: Call) -> None:
        member, form = self._member(call)
        group = None if member is None else self._group_for(member, form)
        roots = self._roots_used(call, member)
        written = {root_of(self.values, i) for i in call.writes}
        for one in [one for one in self.open if one is not group]:
            if self._conflicts(one, roots, written):
                self._close(one)
        if member is None or group is None:
            self._note_maker(call)
            return
        self.members[number] = Member(member, call)
        self._add(group, number, member, call)

    def _member(self, call: Call) -> tuple[Element | Reducing | None, Form]:
        found: Any = element_of(call, self.values, self.numbers)
        shape: tuple[int, ...] = ()
        if found is not None:
            if self.exact and not is_exact(found, self.powers):
                return None, ()
            out = self.values[call.outs.index if found.into is None else found.into]
            shape = out.shape
        else:
            found = self._reducing(call)
            if found is None:
                return None, ()
            out, shape = self.values[call.outs.index], self.values[found.value].shape
        if size_of(shape) < max(1, self.least // FUNCTION_WEIGHT) or (
            not call.writes and form_of(out.shape, out.dtype, out.strides) is None
        ):
            return None, ()
        return found, (shape, call.unless)

    def _reducing(self, call: Call) -> Reducing | None:
        if call.slot not in _FOLDS or len(call.args) != 2 or type(call.outs) is not Ref:
            return None
        first, second = call.args
        if type(first) is not Ref or not isinstance(second, tuple) or any(refs_in(second)):
            return None
        value, out = self.values[first.index], self.values[call.outs.index]
        if value.kind == "object" or out.kind != "made" or out.root is not None:
            return None
        op, axes, keepdims = call.slot, tuple(second), type(second) is Kept
        if op == "sum_to":
            lead = value.shape[: len(value.shape) - len(second)]
            rest = zip(second, value.shape[len(lead) :], strict=True)
            axes = (*range(len(lead)), *[
                len(lead) + i for i, (new, old) in enumerate(rest) if new == 1 and old != 1
            ])  # fmt: skip
            op, keepdims = "sum", True
        dtype = folded_dtype(op, value.dtype)
        if not axes or dtype is None or dtype != out.dtype:
            return None
        # Sums are rounded by their order, and of zeros it decides the sign of the greatest.
        if self.exact and (value.dtype.kind not in "bi" or op == "mean"):
            return None
        return Reducing(op, first.index, axes, keepdims)

    def _operands(self, member: Element | Reducing) -> list[int]:
        if isinstance(member, Reducing):
            return [member.value]
        return [i for i in member.operands if type(i) is int]

    def _roots_used(self, call: Call, member: Any) -> set[int]:
        """Return the roots that a call reads or changes; a member doesn't read its constants."""
        indices = set(call.uses)
        if member is not None:
            indices = {*self._operands(member), *call.writes}
            if call.unless is not None:
                indices.add(call.unless)
        return {root_of(self.values, i) for i in indices}

    def _group_for(self, member: Element | Reducing, form: Form) -> _Group | None:
        """Return the open group that a call joins, a new one, or None."""
        operands = self._operands(member)
        roots = {root_of(self.values, i) for i in operands}
        ways = [one for one in self.open if one.form == form and self._takes(one, member)]
        joined = [one for one in ways if roots & (one.made | one.targets.keys())]
        if isinstance(member, Reducing):
            return joined[0] if joined else None
        moves = member.into is not None and member.op == "cast"
        if not operands or (moves and not joined):
            return None
        # What the call would close may as well have it.
        written = set() if member.into is None else {root_of(self.values, member.into)}
        joined += [
            one for one in ways
            if one not in joined and self._conflicts(one, roots | written, written)
        ]  # fmt: skip
        whole = {i for i in operands if size_of(self.values[i].shape) == size_of(form[0])}
        joined = joined or [one for one in ways if whole & one.inputs][:1] or [self._opened(form)]
        for one in joined[1:]:
            both = joined[0].result is not None and one.result is not None
            if not both and len(joined[0].members) + len(one.members) < _MOST_MEMBERS:
                joined[0].take(one)
                self.open.remove(one)
                self.groups.remove(one)
        return joined[0]

    def _opened(self, form: Form) -> _Group:
        if len(self.open) == _MOST_OPEN:
            self._close(self.open[0])
        group = _Group(form)
        self.open.append(group)
        self.groups.append(group)
        return group

    def _takes(self, group: _Group, member: Element | Reducing) -> bool:
        """Whether a call may be in a group: it reads and changes arrays as the group does."""
        if len(group.members) >= _MOST_MEMBERS:
            return False
        if isinstance(member, Reducing) and group.result is not None:
            return False
        operands = self._operands(member)
        for index in operands:
            root = root_of(self.values, index)
            if root in group.made and (index != root or index == group.result):
                return False
            if root in group.targets and index != group.targets[root]:
                return False
            if any(self._share(root, target) for target in group.targets):
                return False
        into = member.into if isinstance(member, Element) else None
        if into is None:
            return True
        root = root_of(self.values, into)
        if root in group.made:
            return into == root and into != group.result
        if group.targets.get(root, into) != into:
            return False
        if any(self._share(root, target) for target in group.targets):
            return False
        beside = {root_of(self.values, i): i for i in (*group.inputs, *operands) if i != into}
        return root not in beside and not any(self._share(root, other) for other in beside)

    def _add(self, group: _Group, number: int, member: Element | Reducing, call: Call) -> None:
        group.members.append(number)
        for index in self._operands(member):
            root = root_of(self.values, index)
            if root not in group.made and root not in group.targets:
                group.inputs.add(index)
                group.reads.add(root)
        if isinstance(member, Reducing):
            group.result = call.outs.index
            group.made.add(call.outs.index)
        elif member.into is None:
            group.made.add(call.outs.index)
        else:
            root = root_of(self.values, member.into)
            if root not in group.made:
                group.targets[root] = member.into

    def _conflicts(self, group: _Group, used: set[int], written: set[int]) -> bool:
        """Whether a call that isn't in a group has to come after it."""
        if used & group.made:
            return True
        if any(self._may_meet(one, root) for one in group.targets for root in used):
            return True
        return any(self._may_meet(one, root) for one in group.reads for root in written)

    def _may_meet(self, one: int, other: int) -> bool:
        return one == other or not self._apart(one, other)

    def _apart(self, one: int, other: int) -> bool:
        """Whether two roots surely have memory of their own."""
        program = self.program
        if one == other:
            return False
        for root in (one, other):
            if self.values[root].kind in ("made", "object") or root in program.fresh:
                return True
        if one not in program.held or other not in program.held:
            return False
        first, second = program.held[one], program.held[other]
        library = backend_of(first)
        return library is not backend_of(second) or not library.may_share_memory(first, second)

    def _share(self, one: int, other: int) -> bool:
        """Whether two roots from outside share memory, as far as can be told."""
        held = self.program.held
        return one != other and one in held and other in held and not self._apart(one, other)

    def _close(self, group: _Group) -> None:
        self.open.remove(group)

    def _note_maker(self, call: Call) -> None:
        """Remember what a broadcast view shows: as an input it spans fewer axes."""
        out = call.outs
        if type(out) is not Ref or call.unless is not None:
            return
        shows = call.slot == "broadcast_to" and self.values[out.index].root is not None
        if (shows and type(call.args[0]) is Ref) or out.index in self.numbers:
            self.makers[out.index] = call


def passes(fusion: str) -> tuple[Callable[[Program], Program], ...]:
    """Return the passes for a kind of fusion: ``"none"``, ``"exact"`` or ``"all"``."""
    if fusion == "none":
        return PASSES
    return (*PASSES, lambda program: with_fused_elements(program, fusion), without_dead_calls)
