"""A recorded program: raw calls in a row, as Python source that runs them.

`jit` records what a function computes as calls of slots on arrays (`capture`). Values are numbered:
what goes in, what lies outside (parameters, states), constants, and what the calls make.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from ..base import as_array, backend_of

_PLAIN = (bool, int, str, type(None))


class Ref:
    """An argument that is a value of the program."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __repr__(self) -> str:
        return f"%{self.index}"


class Value(NamedTuple):
    """What is known of a value when it was recorded.

    ``kind`` is ``"input"``, ``"outside"``, ``"constant"``, ``"made"`` or ``"object"`` (no array);
    ``root`` is the value whose memory a view shares, ``origin`` the slot that made it.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: Any
    strides: tuple[int, ...]
    root: int | None
    origin: str


class Call(NamedTuple):
    """One raw call.

    ``outs`` has the form of the result: a `Ref`, None, or a tuple of such; ``writes`` are the
    values that it changes, and ``scalars`` those results that the library gives as scalars. It is
    left out where the value ``unless`` is true.
    """

    slot: str
    run: Callable[..., Any]
    args: tuple[Any, ...]
    outs: Any
    writes: tuple[int, ...] = ()
    scalars: tuple[int, ...] = ()
    unless: int | None = None
    quiet: bool = False  # whether the library's warnings of infinities and NaN are off

    @property
    def uses(self) -> tuple[int, ...]:
        """The values that it reads or changes."""
        found = tuple(refs_in(self.args))
        return found if self.unless is None else (*found, self.unless)


class Program(NamedTuple):
    """Calls in order, the values, and what of them is constant, goes in, and comes out.

    ``held`` are the arrays of constants and of what lies outside; each run starts from copies of
    ``fresh``, constants that the program changes.
    """

    calls: tuple[Call, ...]
    values: tuple[Value, ...]
    held: dict[int, Any]
    fresh: dict[int, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def root_of(values: Sequence[Value], index: int) -> int:
    """Return the value whose memory a value shares: itself, where it is no view."""
    root = values[index].root
    return index if root is None else root


def refs_in(tree: Any) -> list[int]:
    """Return the values that arguments or results name, nested as they may be."""
    if type(tree) is Ref:
        return [tree.index]
    found: list[int] = []
    if isinstance(tree, tuple | list):
        for one in tree:
            kind = type(one)
            if kind is Ref:
                found.append(one.index)
            elif kind not in _PLAIN:
                found += refs_in(one)
    return found


def compiled(program: Program, settling: bool = False) -> Callable[..., tuple[Any, ...]]:
    """Return a function of the inputs that makes the calls and returns the outputs.

    It is straight-line code with a local name for every value, which is dropped after its last
    use: memory is held no longer than by the function that was recorded. Where ``settling``, a slot
    that chooses an implementation by the form of its arguments does so in the first run alone.
    """
    library = backend_of(next(iter(program.held.values()), as_array(0)))
    names: dict[str, Any] = {
        "as_array": as_array, "is_true": _is_true, "quiet": library.quiet
    }  # fmt: skip
    for index, array in program.held.items():
        names[f"v{index}"] = array
    lines = [f"def replay({', '.join(f'v{i}' for i in program.inputs)}):"]
    for index, array in program.fresh.items():
        names[f"o{index}"] = array
        lines.append(f"    v{index} = o{index}.copy()")
    calls_by_line: list[Call | None] = []
    absent = _maybe_absent(program)
    if absent:
        lines.append(f"    {' = '.join(f'v{i}' for i in absent)} = None")
    last = _last_uses(program)
    held = program.held.keys() | set(program.inputs) | set(program.outputs)
    for number, call in enumerate(program.calls):
        chooses = settling and hasattr(call.run, "chosen")
        names[f"f{number}"] = _Settling(names, f"f{number}", call.run) if chooses else call.run
        args = ", ".join(_text(arg, names) for arg in call.args)
        made = refs_in(call.outs)
        target = f"{_target(call.outs)} = " if made else ""
        if call.quiet and not (number and program.calls[number - 1].quiet):
            lines.append("    with quiet():")
        indent = "        " if call.quiet else "    "
        condition = "" if call.unless is None else f"if not is_true(v{call.unless}): "
        lines.append(f"{indent}{condition}{target}f{number}({args})")
        calls_by_line += [None] * (len(lines) - 1 - len(calls_by_line))
        calls_by_line.append(call)
        lines += [f"{indent}{condition}v{i} = as_array(v{i})" for i in call.scalars]
        gone = [i for i in last.get(number, ()) if i not in held]
        if gone:
            lines.append(f"{indent}{' = '.join(f'v{i}' for i in gone)} = None")
    lines.append(f"    return ({''.join(f'v{i}, ' for i in program.outputs)})")
    exec(compile("\n".join(lines), "<recorded program>", "exec"), names)
    replay: Callable[..., tuple[Any, ...]] = names["replay"]
    replay.calls = tuple(calls_by_line)  # type: ignore[attr-defined]
    return replay


class _Settling:
    """A function that puts the implementation which ``choose`` takes in its own place."""

    __slots__ = ("_names", "_name", "_choose", "settled")

    def __init__(self, names: dict[str, Any], name: str, choose: Any) -> None:
        self._names, self._name, self._choose = names, name, choose
        self.settled: Any = None

    def __call__(self, *args: Any) -> Any:
        found = self.settled = self._choose.chosen(args)
        if self._names[self._name] is self:  # else what stands in for it puts it in its own place
            self._names[self._name] = found
        return found(*args)


def call_at(replay: Any, line: int) -> Call | None:
    """Return the call that stands at a line of what `compiled` returned."""
    found: Call | None = replay.calls[line - 1] if line <= len(replay.calls) else None
    return found


def exchange_calls(
    replay: Any, watched: Callable[[Call, Callable[..., Any]], Callable[..., Any]]
) -> Callable[[], None]:
    """Let ``watched(call, run)`` stand in for what each call of a compiled program runs.

    ``replay`` is what `compiled` returned. Returns what ends that.
    """
    exchanged = [
        _Exchanged(replay.__globals__, f"f{number}", call, watched)
        for number, call in enumerate(filter(None, replay.calls))
    ]

    def restore() -> None:
        for one in exchanged:
            one.restore()

    return restore


class _Exchanged:
    """What one call of a program runs, exchanged."""

    def __init__(self, names: dict[str, Any], name: str, call: Call, watched: Any) -> None:
        self._names, self._name, self._call, self._watched = names, name, call, watched
        self._put(names[name])
        names[name] = self

    def _put(self, run: Any) -> None:
        self._original, self._run = run, self._watched(self._call, run)
        self._settles = hasattr(run, "settled")

    def __call__(self, *args: Any) -> Any:
        result = self._run(*args)
        if self._settles and self._original.settled is not None:
            self._put(self._original.settled)
        return result

    def restore(self) -> None:
        """Put what it stands for back, as it would be by now."""
        if self._names[self._name] is self:
            self._names[self._name] = self._original


def _is_true(flag: Any) -> bool:
    return bool(backend_of(flag).to_host(flag))


def _maybe_absent(program: Program) -> list[int]:
    """Return the results that aren't made where their calls are left out."""
    made = {i for call in program.calls if call.unless is not None for i in refs_in(call.outs)}
    return [i for i in dict.fromkeys(program.outputs) if i in made]


def _last_uses(program: Program) -> dict[int, list[int]]:
    """Return by call the values that nothing needs after it."""
    last: dict[int, int] = {}
    for number, call in enumerate(program.calls):
        for index in (*call.uses, *refs_in(call.outs)):
            last[index] = number
    found: dict[int, list[int]] = {}
    for index, number in last.items():
        found.setdefault(number, []).append(index)
    return found


def _text(arg: Any, names: dict[str, Any]) -> str:
    """Return the source of an argument; what has none gets a name."""
    if type(arg) is Ref:
        return f"v{arg.index}"
    if type(arg) in _PLAIN:
        return repr(arg)
    if type(arg) is tuple and refs_in(arg):
        return f"({''.join(_text(one, names) + ', ' for one in arg)})"
    if type(arg) is list and refs_in(arg):
        return f"[{', '.join(_text(one, names) for one in arg)}]"
    name = f"c{len(names)}"
    names[name] = arg
    return name


def _target(outs: Any) -> str:
    if type(outs) is Ref:
        return f"v{outs.index}"
    if isinstance(outs, tuple | list):
        return f"({''.join(_target(one) + ', ' for one in outs)})"
    return "_"


def same(first: Program, second: Program) -> str:
    """Return how two recordings of one function differ, numbers aside; "" where they don't."""
    twins = dict(zip(first.inputs, second.inputs, strict=True))
    for one, other in zip(first.calls, second.calls, strict=False):
        if one.slot != other.slot:
            return f"{one.slot} the first time, {other.slot} the second"
        if not _alike(_values_of(one), _values_of(other), twins):
            return f"the arguments of {one.slot}"
    if len(first.calls) != len(second.calls):
        return f"{len(first.calls)} calls the first time, {len(second.calls)} the second"
    if not _alike([Ref(i) for i in first.outputs], [Ref(i) for i in second.outputs], twins):
        return "the results"
    if len(set(twins.values())) < len(twins):
        return "which arrays are the same"
    for index, twin in twins.items():
        value = first.values[index]
        if value.kind != second.values[twin].kind:
            return f"the {value.kind} value %{index}"
        if value.kind == "outside" and first.held[index] is not second.held[twin]:
            return f"a tensor from outside, {value.dtype.name} {tuple(value.shape)}"
        if value.kind == "constant" and not _equal(
            first.fresh.get(index, first.held[index]), second.fresh.get(twin, second.held[twin])
        ):
            return (
                f"a constant, {value.dtype.name} {tuple(value.shape)}, made anew at each call; "
                "pass it as an argument, or draw it with tfl.random"
            )
    return ""


def _values_of(call: Call) -> tuple[Any, ...]:
    return (call.args, call.outs, None if call.unless is None else Ref(call.unless))


def _alike(one: Any, other: Any, twins: dict[int, int]) -> bool:
    """Whether arguments are alike; values met for the first time become twins."""
    if type(one) is not type(other):
        return False
    if type(one) is Ref:
        return twins.setdefault(one.index, other.index) == int(other.index)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(
            _alike(mine, yours, twins) for mine, yours in zip(one, other, strict=True)
        )
    try:
        return one is other or bool(one == other) or (one != one and other != other)
    except Exception:
        return False


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other) or one.shape != other.shape or one.dtype != other.dtype:
        return False
    library = backend_of(one)
    return bool(library.to_host(one).tobytes() == library.to_host(other).tobytes())


def listing(program: Program) -> str:
    """Return the program for people to read: a line per call.

    Values from outside that it doesn't use have no numbers.
    """
    dropped = [
        i for i, value in enumerate(program.values)
        if value.kind == "outside" and i not in program.held
    ]  # fmt: skip
    text = _listed(program)
    return re.sub(r"%(\d+)", lambda m: f"%{int(m[1]) - bisect_left(dropped, int(m[1]))}", text)


def _listed(program: Program) -> str:
    lines = []
    for call in program.calls:
        outs = refs_in(call.outs)
        made = [i for i in outs if program.values[i].kind == "made"]
        size = sum(_bytes(program.values[i]) for i in made if program.values[i].root is None)
        left = ", ".join(f"%{i} {_form(program.values[i])}" for i in outs)
        args = ", ".join(_shown(arg) for arg in call.args)
        changes = f"  changes {', '.join(f'%{i}' for i in call.writes)}" if call.writes else ""
        changes += "" if call.unless is None else f"  unless %{call.unless}"
        memory = f"  [{size} bytes]" if size else ""
        lines.append(f"{left + ' = ' if left else ''}{call.slot}({args}){memory}{changes}")
        lines += [f"    {line}" for line in getattr(call.run, "lines", ())]  # of a fused call
    return "\n".join(lines)


def _form(value: Value) -> str:
    if value.kind == "object":
        return "object"
    return f"{value.dtype.name}{list(value.shape)}"


def _bytes(value: Value) -> int:
    return int(numpy.prod(value.shape, dtype=numpy.int64)) * int(value.dtype.itemsize)


def _shown(arg: Any) -> str:
    text = repr(arg)
    return text if len(text) <= 60 else text[:57] + "..."
