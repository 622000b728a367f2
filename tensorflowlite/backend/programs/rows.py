"""Which values of a program hold a row per sample, so that more samples change none of the others.

A function was recorded for two sizes of a batch. Where both programs are the same but for the
sizes, each value is *free*, the same for any batch; or it has *rows*: the part of the larger value
that belongs to the first samples is the smaller value; or it is *mixed*, and nothing is known of
it. What a call makes of these is in `row_rules`, slot by slot; a slot that isn't there mixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..base import backend_of
from .program import Call, Program, Ref, refs_in, root_of
from .row_rules import rule_of
from .row_states import Mixed, MixesError, Operand, Rows, Seen, State, differing


class DiffersError(Exception):
    """Two programs aren't the same but for the sizes."""


class Verdict(NamedTuple):
    """What a comparison has found.

    ``outputs`` says of each output where its rows lie, None where it is free. Without it ``reason``
    says why not, and ``mixes`` whether that is a call's nature: else another size may do.
    """

    outputs: tuple[Rows | None, ...] | None
    reason: str = ""
    mixes: bool = False


def compare(small: Program, large: Program, sizes: tuple[int, int], batched: Sequence[int]
            ) -> Verdict:  # fmt: skip
    """Compare recordings of one function for two sizes of a batch.

    Parameters
    ----------
    small, large
        The programs.
    sizes
        How many samples each was recorded for, at least two.
    batched
        The places among the inputs that have the samples along their first axis.
    """
    try:
        return Verdict(_Walk(small, large, sizes, batched).run())
    except MixesError as error:
        return Verdict(None, str(error), True)
    except DiffersError as error:
        return Verdict(None, str(error))


class _Walk:
    def __init__(self, small: Program, large: Program, sizes: tuple[int, int],
                 batched: Sequence[int]) -> None:  # fmt: skip
        self.small, self.large, self.sizes = small, large, sizes
        self.twins: dict[int, int] = {}
        self.states: dict[int, State] = {}
        for place, (one, other) in enumerate(zip(small.inputs, large.inputs, strict=True)):
            self.twins[one] = other
            self.states[one] = Rows(0) if place in batched else None
            self._check(one, "an argument")

    def run(self) -> tuple[Rows | None, ...]:
        for one, other in zip(self.small.calls, self.large.calls, strict=False):
            if one.slot != other.slot:
                raise DiffersError(f"{one.slot} for one size, {other.slot} for another")
            if one.unless is not None or other.unless is not None:
                raise MixesError(f"{one.slot} depends on a value")
            self._follow(one, other, rule_of(one.slot))
        if len(self.small.calls) != len(self.large.calls):
            raise DiffersError("one size takes more calls than another")
        outputs = zip(self.small.outputs, self.large.outputs, strict=True)
        found = [self._output(Ref(one), Ref(other)) for one, other in outputs]
        if len(set(self.twins.values())) < len(self.twins):
            raise DiffersError("which arrays are the same depends on the batch size")
        self._check_apart(found)
        return tuple(found)

    # -- values ------------------------------------------------------------------------------------
    def _state(self, one: Ref, other: Ref) -> State:
        """Return what is known of a value that a call reads; those from outside are met here."""
        index, twin = one.index, other.index
        if index in self.twins:
            if self.twins[index] != twin:
                raise DiffersError("a call takes another value for one size than for another")
            return self.states[index]
        value, peer = self.small.values[index], self.large.values[twin]
        if value.kind != peer.kind or value.dtype != peer.dtype:
            raise DiffersError(f"a value is {value.kind} for one size, {peer.kind} for another")
        self.twins[index] = twin
        if value.kind == "constant":
            self.states[index] = self._constant(index, twin)
        elif value.kind == "outside" and self.small.held[index] is self.large.held[twin]:
            self.states[index] = None
        else:
            raise DiffersError(f"a tensor from outside, {value.dtype.name} {tuple(value.shape)}")
        return self.states[index]

    def _constant(self, index: int, twin: int) -> State:
        mine = self.small.fresh.get(index, self.small.held[index])
        yours = self.large.fresh.get(twin, self.large.held[twin])
        what = f"a constant, {mine.dtype.name} {tuple(mine.shape)}, depends on the batch size"
        try:
            axis = differing(mine.shape, yours.shape)
        except MixesError:
            return Mixed(what)
        rows = None
        if axis is not None:
            after, rest = divmod(mine.shape[axis], self.sizes[0])
            if rest or yours.shape[axis] != after * self.sizes[1]:
                return Mixed(what)
            rows = Rows(axis, 1, after)
            yours = yours[(*(slice(None),) * axis, slice(mine.shape[axis]))]
        library = backend_of(mine)
        same = library.to_host(mine).tobytes() == library.to_host(yours).tobytes()
        return rows if same else Mixed(what)

    def _check(self, index: int, what: str) -> None:
        """Raise where the shapes of a value aren't those that its state means."""
        state, twin = self.states[index], self.twins[index]
        one, other = self.small.values[index], self.large.values[twin]
        if one.dtype != other.dtype or (one.root is None) != (other.root is None):
            raise DiffersError(f"{what} is of another kind for one size than for another")
        if one.root is not None and self.twins.get(one.root) != other.root:
            raise DiffersError(f"{what} is a view of another value for one size than for another")
        if isinstance(state, Mixed):
            return
        for shape, size in zip((one.shape, other.shape), self.sizes, strict=True):
            if state is not None and shape[state.axis] != state.before * size * state.after:
                raise MixesError(f"{what}: its shape depends on the batch size")
        places = range(max(len(one.shape), len(other.shape)))
        apart = [i for i in places if one.shape[i : i + 1] != other.shape[i : i + 1]]
        if apart != ([] if state is None else [state.axis]):
            raise MixesError(f"{what}: its shape depends on the batch size")

    # -- calls -------------------------------------------------------------------------------------
    def _follow(self, one: Call, other: Call, rule: Any) -> None:
        args, others = self._arguments(one.args, other.args, one.slot)
        made = list(zip(refs_in(one.outs), refs_in(other.outs), strict=False))
        if _form(one.outs) != _form(other.outs):
            raise DiffersError(f"{one.slot} gives results of another form")
        values, peers = self.small.values, self.large.values
        outs = [(values[i].shape, peers[j].shape) for i, j in made]
        seen = Seen(one.slot, args, others, outs, self.sizes)
        states = self._states_of(seen, rule, bool(one.writes or other.writes))
        if one.writes or other.writes:
            self._check_writes(one, other, states)
        for (index, twin), state in zip(made, states, strict=True):
            self.twins[index], self.states[index] = twin, state
            self._check(index, one.slot)

    def _states_of(self, seen: Seen, rule: Any, writes: bool) -> list[State]:
        """Return what is known of the results; mixed ones do no harm that nobody reads."""
        count = len(seen.outs)
        states = [one.state for one in seen.operands]
        mixed = next((one for one in states if isinstance(one, Mixed)), None)
        if mixed is not None and not getattr(rule, "shapes_only", False):
            if writes:
                raise MixesError(mixed.reason)
            return [mixed] * count
        alike = _alike(seen.args, seen.others)
        if not any(states) and alike and all(one == other for one, other in seen.outs):
            return [None] * count
        try:
            found = _applied(rule, seen, alike)
        except MixesError as error:
            reason = f"{seen.slot} mixes rows: {error}"
            if writes:
                raise MixesError(reason) from None
            return [Mixed(reason)] * count
        return found if type(found) is list else [found] * count

    def _arguments(self, one: Any, other: Any, slot: str) -> tuple[Any, Any]:
        if type(one) is not type(other):
            raise DiffersError(f"the arguments of {slot}")
        if type(one) is Ref:
            state = self._state(one, other)
            shapes = self.small.values[one.index].shape, self.large.values[other.index].shape
            operand = Operand(state, *shapes)
            return operand, operand
        if type(one) in (tuple, list) and (_has_refs(one) or _has_refs(other)):
            if len(one) != len(other):
                raise DiffersError(f"the arguments of {slot}")
            pairs = [
                self._arguments(mine, yours, slot) for mine, yours in zip(one, other, strict=True)
            ]
            return tuple([a for a, _ in pairs]), tuple([b for _, b in pairs])
        return one, other

    def _check_writes(self, one: Call, other: Call, states: list[State]) -> None:
        """Raise where a change reaches outside, or brings rows of several samples together."""
        if len(one.writes) != len(other.writes):
            raise DiffersError(f"{one.slot} changes other values")
        for index, twin in zip(one.writes, other.writes, strict=True):
            state, root = self._state(Ref(index), Ref(twin)), root_of(self.small.values, index)
            if self.small.values[root].kind not in ("made", "constant"):
                raise MixesError(f"{one.slot} changes a tensor from outside")
            whole = self.states.get(root)
            if isinstance(state, Mixed) or isinstance(whole, Mixed) or bool(state) != bool(whole):
                raise MixesError(f"{one.slot} changes what samples share")
            sources = [self.states[i] for i in refs_in(one.args) if i != index]
            if (state is None and any(sources)) or any(found != state for found in states):
                raise MixesError(f"{one.slot} changes what samples share")

    # -- results -----------------------------------------------------------------------------------
    def _output(self, one: Ref, other: Ref) -> Rows | None:
        state = self._state(one, other)
        if isinstance(state, Mixed):
            raise MixesError(state.reason)
        if state is None:
            return None
        if state.before != 1:
            raise MixesError("the rows of a sample don't lie together in a result")
        kind = self.small.values[root_of(self.small.values, one.index)].kind
        if kind not in ("made", "constant"):
            what = "an argument" if kind == "input" else "a tensor from outside"
            raise MixesError(f"a result is a view of {what}")
        return state

    def _check_apart(self, found: list[Rows | None]) -> None:
        """Raise where results share memory: the parts of them that are returned wouldn't."""
        roots = [root_of(self.small.values, i) for i in self.small.outputs]
        if any(rows and roots.count(root) > 1 for root, rows in zip(roots, found, strict=True)):
            raise MixesError("results share their memory")


def _has_refs(tree: Any) -> bool:
    return any(True for _ in refs_in(tree))


def _applied(rule: Any, seen: Seen, alike: bool) -> Any:
    if rule is None:
        raise MixesError("it isn't known to keep the samples apart")
    if not alike and not getattr(rule, "sized", False):
        raise MixesError("an argument depends on the batch size")
    try:
        return rule(seen)
    except (LookupError, TypeError, ValueError):  # arguments of another form than the rule knows
        raise MixesError("it isn't known to keep the samples apart") from None


def _form(outs: Any) -> Any:
    if type(outs) in (tuple, list):
        return tuple([_form(one) for one in outs])
    return outs is None


def _alike(one: Any, other: Any) -> bool:
    """Whether arguments are the same but for the arrays among them."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float | complex):  # 0.0 equals -0.0, and NaN not itself
        return repr(one) == repr(other)
    try:
        return one is other or bool(one == other)
    except Exception:
        return False


def blocked(program: Program) -> str:
    """Return why a program can't be for other sizes whatever its values are; "" where it may."""
    values = program.values
    for call in program.calls:
        if call.unless is not None:
            return f"{call.slot} depends on a value"
        for index in call.writes:
            if values[root_of(values, index)].kind not in ("made", "constant"):
                return f"{call.slot} changes a tensor from outside, or draws random numbers"
    return ""
