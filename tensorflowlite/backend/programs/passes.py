"""Passes over a recorded program, each from a program to one that gives the same bits.

A pass knows slots by their names and what `Program` says of values. `optimized` runs them in order;
any may be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .program import Call, Program, Ref, Value, refs_in, root_of

# Activations that a layer takes as its last argument: slot and its attributes -> the layer's name,
# and whether what the layer saves is the value before the activation. Not tanh, which NumPy rounds
# otherwise than a layer's kernel does.
_ACTIVATIONS: dict[tuple[Any, ...], tuple[str, bool]] = {
    ("relu",): ("relu", False),
    ("sigmoid",): ("sigmoid", False),
    ("leaky_relu", 0.01): ("leaky_relu", False),
    ("silu",): ("silu", True),
    ("gelu", "none"): ("gelu", True),
    ("gelu", "tanh"): ("gelu_tanh", True),
}
_LAYERS = ("linear_act", "conv_act")


def optimized(program: Program, passes: Iterable[Callable[[Program], Program]] = ()) -> Program:
    """Return a program after passes; all of them by default."""
    for one in passes or PASSES:
        program = one(program)
    return program


# -- what passes ask -------------------------------------------------------------------------------
def _written(program: Program) -> set[int]:
    """Return the roots that calls change."""
    return {root_of(program.values, i) for call in program.calls for i in call.writes}


def _kept(program: Program) -> set[int]:
    """Return the roots of what comes out."""
    return {root_of(program.values, i) for i in program.outputs}


def renamed(tree: Any, names: dict[int, int]) -> Any:
    """Return arguments or results with other numbers."""
    if type(tree) is Ref:
        return Ref(names[tree.index]) if tree.index in names else tree
    if type(tree) in (tuple, list):
        if not any(i in names for i in refs_in(tree)):
            return tree
        return type(tree)([renamed(one, names) for one in tree])
    return tree


def _renamed(call: Call, names: dict[int, int]) -> Call:
    """Return a call of values that go by other numbers: the call itself where it has none."""
    args = renamed(call.args, names)
    writes = tuple([names.get(i, i) for i in call.writes]) if call.writes else ()
    unless = call.unless if call.unless is None else names.get(call.unless, call.unless)
    if args is call.args and writes == call.writes and unless == call.unless:
        return call
    return call._replace(args=args, writes=writes, unless=unless)


def _with_names(program: Program, calls: list[Call], names: dict[int, int]) -> Program:
    """Return a program of other calls, in which values go by other numbers."""
    if names:
        calls = [_renamed(call, names) for call in calls]
    outputs = tuple([names.get(i, i) for i in program.outputs])
    return program._replace(calls=tuple(calls), outputs=outputs)


# -- dead code -------------------------------------------------------------------------------------
def without_dead_calls(program: Program) -> Program:
    """Drop calls whose results nobody reads and that change nothing that anybody reads."""
    values = program.values
    lives = set(program.outputs) | _kept(program)
    lasting = {i for i, value in enumerate(values) if value.kind in ("outside", "input")}
    lasting -= program.fresh.keys()
    calls: list[Call] = []
    for call in reversed(program.calls):
        made = set(refs_in(call.outs))
        changes = {root_of(values, i) for i in call.writes}
        if not made & lives and not changes & (lives | lasting):
            continue
        calls.append(call)
        for index in call.uses:
            lives |= {index, root_of(values, index)}
    return program._replace(calls=tuple(calls[::-1]))


# -- common subexpressions -------------------------------------------------------------------------
def with_shared_values(program: Program) -> Program:
    """Compute once what is computed twice of the same values: views above all."""
    values, written, kept = program.values, _written(program), _kept(program)
    names: dict[int, int] = {}
    known: dict[Any, Call] = {}
    versions: dict[int, int] = {}
    outside = 0  # how often memory from outside was changed: any of it may be the same
    calls: list[Call] = []
    for call in program.calls:
        call = _renamed(call, names)
        made = refs_in(call.outs)
        roots = {root_of(values, i) for i in made}
        key = None
        if made and not call.writes and not roots & (written | kept):
            state = tuple([versions.get(root_of(values, i), 0) for i in refs_in(call.args)])
            key = _key(call, state, outside)
        if key is not None and key in known:
            others = refs_in(known[key].outs)
            names.update(zip(made, others, strict=True))
            continue
        if key is not None:
            known[key] = call
        calls.append(call)
        for index in call.writes:
            root = root_of(values, index)
            versions[root] = versions.get(root, 0) + 1
            outside += values[root].kind != "made"
    return _with_names(program, calls, names)


def _key(call: Call, state: tuple[int, ...], outside: int) -> Any:
    key = (call.slot, call.run, _hashable(call.args), state, outside, call.unless)
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _hashable(tree: Any) -> Any:
    if type(tree) is Ref:
        return ("%", tree.index)
    if type(tree) in (tuple, list):
        return (type(tree), *map(_hashable, tree))
    return (type(tree), repr(tree)) if type(tree) is float else (type(tree), tree)


# -- layers and their activations ------------------------------------------------------------------
def with_fused_layers(program: Program) -> Program:
    """Let a layer apply the activation that follows it: one pass over its output instead of two."""
    values, written = program.values, _written(program)
    users: dict[int, list[int]] = {}
    for number, call in enumerate(program.calls):
        for index in {root_of(values, i) for i in call.uses}:
            users.setdefault(index, []).append(number)
    calls: list[Call | None] = list(program.calls)
    kept = _kept(program)
    for number, call in enumerate(program.calls):
        found = _layer_output(call)
        if found is None or values[found].root is not None or found in written:
            continue
        for later in users.get(found, ()):
            activation = _activation_of(program.calls[later], found)
            if activation is None:
                continue
            name, saves_input = activation
            if not saves_input and (len(users[found]) > 1 or found in kept):
                continue
            saved = Ref(found) if saves_input else None
            outs = (program.calls[later].outs, saved)
            calls[number] = call._replace(args=(*call.args[:-1], name), outs=outs)
            calls[later] = None
            break
    return program._replace(calls=tuple([call for call in calls if call is not None]))


def _layer_output(call: Call) -> int | None:
    """Return the number of what a layer without an activation makes."""
    if call.slot not in _LAYERS or call.args[-1] is not None:
        return None
    return call.outs[0].index


def _activation_of(call: Call, index: int) -> tuple[str, bool] | None:
    first, *attributes = call.args or (None,)
    if type(first) is not Ref or first.index != index or type(call.outs) is not Ref:
        return None
    if call.unless is not None:
        return None
    try:
        return _ACTIVATIONS.get((call.slot, *attributes))
    except TypeError:  # another argument is a value
        return None


# -- copies ----------------------------------------------------------------------------------------
def without_copies(program: Program) -> Program:
    """Hand a value on instead of copying it, where nobody else has it.

    The tape copies a gradient that it can't be sure to own before a leaf keeps it.
    """
    values, kept = program.values, _kept(program)
    last: dict[int, int] = {}
    for number, call in enumerate(program.calls):
        for index in call.uses:
            last[root_of(values, index)] = number
    names: dict[int, int] = {}
    calls: list[Call] = []
    taken: set[int] = set()
    for number, call in enumerate(program.calls):
        before = calls[-1] if calls else None
        source = _copied(before, call)
        if source is not None and before is not None:
            target, root = call.writes[0], root_of(values, source)
            if (
                values[root].kind == "made"
                and root not in kept | taken
                and last[root] == number
                and _same_form(values[source], values[target])
                and values[source].shape == values[target].shape
                and _elements(values[root]) == _elements(values[source])
            ):
                calls.pop()
                names[target] = source
                taken.add(root)
                continue
        calls.append(call)
    return _with_names(program, calls, names)


def _copied(before: Call | None, call: Call) -> int | None:
    """Return the source of a copy into an array that the call before has made for it."""
    if before is None or before.slot != "empty_strided" or call.slot != "assign":
        return None
    target, source = call.args
    if type(target) is not Ref or type(source) is not Ref or refs_in(before.outs) != [
        target.index
    ]:  # fmt: skip
        return None
    return source.index


def _same_form(one: Value, other: Value) -> bool:
    return one.dtype == other.dtype and one.strides == other.strides and 0 not in one.strides


def _elements(value: Value) -> int:
    count = 1
    for length in value.shape:
        count *= length
    return count


PASSES = (with_shared_values, with_fused_layers, without_copies, without_dead_calls)
