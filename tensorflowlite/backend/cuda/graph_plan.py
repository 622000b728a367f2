"""Which calls of a program become CUDA graphs, and what goes into each and comes out.

A program falls into parts, in order: calls that a stream can record, and calls that run as they
are. What a recorded call makes lies at one address in all replays; what the others make doesn't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..programs.program import Call, Program, Ref, Value, refs_in, root_of

# Slots that run as they are, for CuPy's ways: a library that it doesn't call while a stream is
# recorded, a wait for the device, a value read on the host, memory in a cache of CuPy's own.
SOLVERS = """
    adjugate adjugate_along cholesky det eig eigh eigvals eigvalsh expm expm_along inv lstsq pinv
    qr slogdet solve solve_triangular svd svdvals
"""
WAITING = """
    argsort argwhere bin_counts bin_edges digitize index_within isin last_writes nonzero
    random_permutation searchsorted sort unique
"""
READ_ON_THE_HOST = "to_device"
CACHED = "fourier fourier_of_real fourier_to_real"
NEVER = frozenset(f"{SOLVERS} {WAITING} {READ_ON_THE_HOST} {CACHED}".split())

LEAST = 3  # calls that a graph is worth while for


class Part(NamedTuple):
    """Calls in a row.

    ``ins`` are the values from before that they use, ``outs`` what is needed later, ``gone`` what
    isn't needed after them.
    """

    recorded: bool
    calls: tuple[Call, ...]
    ins: tuple[int, ...]
    outs: tuple[int, ...]
    gone: tuple[int, ...]


class Plan(NamedTuple):
    """A program in parts.

    ``moving`` are the roots whose address differs from replay to replay. The outputs come of
    ``end``: its inputs are values at the end of the parts, those in ``copied`` copies of them.
    """

    program: Program
    parts: tuple[Part, ...]
    moving: frozenset[int]
    end: Program
    copied: frozenset[int]

    @property
    def graphs(self) -> int:
        """How many parts are recorded."""
        return sum(part.recorded for part in self.parts)


def _copied(x: Any) -> Any:
    return x.copy()


def _same(x: Any) -> Any:
    return x


def prepared(program: Program) -> Program:
    """Return a program that makes its copies of fresh constants by calls, and whose roots are made.

    A pass that lets one value stand for another leaves the views of the other as they were.
    """
    values, held, calls = list(program.values), dict(program.held), []
    for index, array in program.fresh.items():
        held.pop(index, None)
        held[len(values)] = array
        calls.append(Call("copy", _copied, (Ref(len(values)),), Ref(index)))
        values.append(values[index])
    calls += program.calls
    known = held.keys() | set(program.inputs)
    for call in calls:
        for index in refs_in(call.outs):
            root = values[index].root
            if root is not None and (root not in known or values[root].root is not None):
                # It shares memory with what the call writes, or else with its first argument.
                source = next(iter((*call.writes, *refs_in(call.args))))
                values[index] = values[index]._replace(root=root_of(values, source))
            known.add(index)
    return program._replace(calls=tuple(calls), values=tuple(values), held=held, fresh={})


def plan(program: Program, refused: Callable[[Call], bool], foreign: Iterable[int] = ()) -> Plan:
    """Divide a program.

    Parameters
    ----------
    program
        As `prepared` returns it.
    refused
        Whether a call must run as it is; so do those that are left out where a value says so, and
        those that make or take what is no array.
    foreign
        Values, held or given, that don't lie on the device: what uses them runs as it is.
    """
    apart = _apart(program, refused, set(foreign))
    while True:
        apart = _with_loose(program, apart)
        runs = _runs(len(program.calls), apart)
        small = [
            number for recorded, numbers in runs if recorded
            and sum(_works(program.values, program.calls[n]) for n in numbers) < LEAST
            for number in numbers
        ]  # fmt: skip
        if not small:
            return _divided(program, apart, runs)
        apart = apart | set(small)


def _apart(program: Program, refused: Callable[[Call], bool], foreign: set[int]) -> set[int]:
    """Return the calls that run as they are for what they are."""
    values, found = program.values, set()
    for number, call in enumerate(program.calls):
        touched = (*call.uses, *refs_in(call.outs))
        elsewhere = not foreign.isdisjoint(call.uses)
        if elsewhere:
            foreign.update(refs_in(call.outs))
        if (
            elsewhere
            or call.unless is not None
            or any(values[i].kind == "object" for i in touched)
            or refused(call)
        ):
            found.add(number)
    return found


def _with_loose(program: Program, apart: set[int]) -> set[int]:
    """Add the calls that can't work on a copy of what comes from elsewhere.

    They touch what is made apart and changed somewhere, or an array with gaps: its copy would lie
    otherwise, and what was a copy of it be a view.
    """
    values, given = program.values, set(program.inputs)
    changed = {root_of(values, i) for call in program.calls for i in call.writes}

    def is_loose(index: int, made: set[int]) -> bool:
        root = root_of(values, index)
        if root not in made and root not in given:
            return False
        value = values[index]
        comes_in = index in made or index in given
        return root in changed or (
            comes_in and not is_dense(value.shape, value.strides, value.dtype.itemsize)
        )

    while True:
        made = {i for n in apart for i in refs_in(program.calls[n].outs)}
        more = {
            number
            for number, call in enumerate(program.calls)
            if number not in apart and any(
                values[i].kind != "object" and is_loose(i, made)
                for i in (*call.uses, *refs_in(call.outs))
            )
        }  # fmt: skip
        if not more:
            return apart
        apart = apart | more


def is_dense(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    """Whether an array's elements leave no gaps and share no memory, in whatever order.

    Examples
    --------
    >>> is_dense((2, 3), (4, 8), 4), is_dense((2, 3), (24, 8), 4), is_dense((2, 3), (0, 4), 4)
    (True, False, False)
    """
    expected = itemsize
    for stride, length in sorted(zip(strides, shape, strict=True)):
        if length == 0:
            return True
        if length > 1 and stride != expected:
            return False
        expected *= length
    return True


def last_uses(part: Part) -> dict[int, list[int]]:
    """Return by call, as counted in the part, the values that nothing needs after it."""
    last = {
        index: number
        for number, call in enumerate(part.calls)
        for index in (*call.uses, *refs_in(call.outs))
    }
    found: dict[int, list[int]] = {}
    for index in last.keys() - set(part.outs):
        found.setdefault(last[index], []).append(index)
    return found


def _works(values: Sequence[Value], call: Call) -> bool:
    """Whether a call does more than to make a view."""
    return bool(call.writes) or any(values[i].root is None for i in refs_in(call.outs))


def _runs(count: int, apart: set[int]) -> list[tuple[bool, list[int]]]:
    """Return the numbers of calls in runs of one kind."""
    found: list[tuple[bool, list[int]]] = []
    for number in range(count):
        recorded = number not in apart
        if not found or found[-1][0] != recorded:
            found.append((recorded, []))
        found[-1][1].append(number)
    return found


def _divided(program: Program, apart: set[int], runs: Sequence[tuple[bool, list[int]]]) -> Plan:
    calls, values = program.calls, program.values
    made_apart = {i for n in apart for i in refs_in(calls[n].outs)}
    moving = {root_of(values, i) for i in made_apart if root_of(values, i) == i}
    moving |= set(program.inputs)
    end, copied = _end(program, moving, made_apart)
    needed = set(end.inputs)
    parts: list[Part] = []
    for recorded, numbers in reversed(runs):
        chosen = tuple([calls[n] for n in numbers])
        made = {i for call in chosen for i in refs_in(call.outs)}
        used = {i for call in chosen for i in call.uses}
        ins = {i for i in used - made if i not in program.held}
        outs = made & needed
        gone = (ins | made) - needed
        parts.append(Part(recorded, chosen, *[tuple(sorted(x)) for x in (ins, outs, gone)]))
        needed = (needed - made) | ins
    return Plan(program, tuple(parts[::-1]), frozenset(moving), end, frozenset(copied))


def _end(program: Program, moving: set[int], made_apart: set[int]) -> tuple[Program, set[int]]:
    """Return how the outputs are made in the end, and which of what that takes is copied.

    What a graph makes is copied, whole, and views of it are made of the copy: outputs that share
    memory go on doing so.
    """
    values, held = program.values, program.held
    makers = {i: call for call in program.calls for i in refs_in(call.outs)}
    steps: dict[int, Call] = {}  # by the value that they are there for
    taken: dict[int, None] = {}
    copied: set[int] = set()

    def follow(index: int, root: int) -> None:
        if index == root or index in steps:
            return
        call = makers[index]
        if call.writes:  # it has changed the array that it returns
            source = next(i for i in call.writes if root_of(values, i) == root)
            call = Call("identity", _same, (Ref(source),), Ref(index))
        for i in refs_in(call.args):
            if root_of(values, i) == root:
                follow(i, root)
            elif i not in held:
                taken[i] = None
        steps[index] = call

    for index in program.outputs:
        root = root_of(values, index)
        if index in held:
            continue
        if root in held or index == root in moving or (index in made_apart and root in moving):
            taken[index] = None  # as it is
            continue
        taken[root] = None
        if root not in moving:
            copied.add(root)
        follow(index, root)
    calls = tuple({id(call): call for call in steps.values()}.values())
    return program._replace(calls=calls, inputs=tuple(taken), outputs=program.outputs), copied
