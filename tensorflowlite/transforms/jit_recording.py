"""One recording of a function: the program, its way in and out, and what it leaves behind."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..backend import backend_of
from ..backend.programs.captured_array import CapturedArray
from ..backend.programs.execution import release_unused, runner
from ..backend.programs.passes import optimized
from ..backend.programs.program import Program, Ref, call_at, listing, root_of, same
from ..core.capture import Session
from ..core.messages import explain
from ..core.nodes import Leaf, Output
from ..core.primitive import registry
from ..core.tensor import Tensor, operation_of, wrap
from ..errors import CaptureError
from ..ops import random
from ..runtime import Changes, note_changes, owner_of
from .jit_guards import Guards
from .tree import LEAF, Structure, flatten, unflatten


class EscapeError(CaptureError):
    """A tensor made while recording lives on: as a state does that is made at its first use."""


def _frame_of(runs: Sequence[Any], trace: Any) -> tuple[Any, Any]:
    """Return which of some functions a traceback has passed, and where; None if it has none."""
    parts = {id(one.__code__): one for one in runs}
    while trace is not None and id(trace.tb_frame.f_code) not in parts:
        trace = trace.tb_next
    return (None, None) if trace is None else (parts[id(trace.tb_frame.f_code)], trace)


def parts_of(run: Any) -> tuple[Any, ...]:
    """Return the compiled programs that what runs a program consists of."""
    parts: tuple[Any, ...] = getattr(run, "parts", (run,))
    return parts


def explained(run: Any, error: Exception) -> Exception:
    """Return what to raise for an error in a replay: what the operation itself would have."""
    run, trace = _frame_of(parts_of(run), error.__traceback__)
    if run is None:
        return error
    call = call_at(run, trace.tb_lineno)
    fused: Any = None if call is None else call.run
    if hasattr(fused, "plain") and _frame_of((fused.plain,), trace)[0] is not None:
        return explained(fused.plain, error)  # it ran call by call
    op = None if call is None else registry.get(getattr(fused, "slot", call.slot))
    if call is None or op is None:
        return error
    places = trace.tb_frame.f_locals
    names = run.__globals__
    arrays = [
        places.get(f"v{arg.index}", names.get(f"v{arg.index}"))
        for arg in call.args if type(arg) is Ref
    ]  # fmt: skip
    attributes = tuple([arg for arg in call.args if type(arg) is not Ref])
    return explain(op, error, arrays, attributes)


def bring_in_passes() -> Callable[[str], tuple[Any, ...]]:
    """Import what makes passes. When a function is given to jit: neither before nor in a step."""
    from ..backend.programs.fusion import passes

    return passes


class Options(NamedTuple):
    """What `jit` was told: see there."""

    fusion: str = "exact"
    static_outputs: bool = False


class Recording:
    """A program and what surrounds it.

    Parameters
    ----------
    program
        What was recorded. Its outputs are those of the function, then the gradients.
    guards
        When it fits.
    places
        Which leaves of the arguments are tensors.
    structure, results
        How the function's result is built: for each leaf of it a pair of ``"value"`` and a place
        among the program's outputs, ``"argument"`` and a place, ``"tensor"`` and a weak reference,
        or ``"constant"`` and the object.
    gradients
        For leaves a weak reference, the place of the new gradient (None: it is dropped), and
        whether the old one may go before the program runs.
    changed
        The arrays from outside that the program changes.
    """

    def __init__(
        self, program: Program, guards: Guards, places: tuple[int, ...], structure: Structure,
        results: list[tuple[str, Any]], gradients: list[tuple[Any, int | None, bool]],
        changed: list[Any],
    ) -> None:  # fmt: skip
        self.program, self.guards, self.places = program, guards, places
        self.structure, self.results, self.gradients = structure, results, gradients
        self.changed = changed
        # Where results are static: which of the outputs are the program's own, and the arrays that
        # have held such and are alive.
        values = program.values
        self._own = [
            place for place, index in enumerate(program.outputs)
            if values[root_of(values, index)].kind == "made"
        ]  # fmt: skip
        self._static: dict[int, Any] = {}
        self._changes = Changes(changed, "jit") if changed else None
        self.options = Options()
        self._run: Callable[..., tuple[Any, ...]] | None = None

    def replay(self, leaves: list[Any]) -> Any:
        """Run the program on other arguments of the same form, and return the function's result."""
        arrays = [leaves[i].array for i in self.places]
        run = self._run
        if run is None:
            run = self._run = runner(self._optimized(), arrays, self.options.static_outputs)
            release_unused(self.program)
        if self.options.static_outputs:
            self._overwrite(arrays)
        leaves_after = []
        for reference, place, first in self.gradients:
            leaf = reference().node
            if first:  # its memory is free for the program
                leaf.grad = None
            if place is not None or not first:
                leaves_after.append((leaf, place))
        try:
            values = run(*arrays)
        except Exception as error:
            raise explained(run, error) from error
        if self.options.static_outputs:
            for place in self._own:
                if values[place] is not None:
                    owner = owner_of(values[place])
                    self._static[id(owner)] = weakref.ref(owner)
        for leaf, place in leaves_after:
            found = None if place is None else values[place]
            leaf.grad = None if found is None else wrap(found, None)
        if self._changes is not None:
            self._changes.note()
        made: list[Any] = []
        for kind, what in self.results:
            if kind == "value":
                made.append(wrap(values[what], None))
            elif kind == "argument":
                made.append(leaves[what])
            else:
                made.append(what() if kind == "tensor" else what)
        return made[0] if self.structure is LEAF else unflatten(self.structure, made)

    def _overwrite(self, arrays: list[Any]) -> None:
        """Say that the last results are written over, and copy inputs that lie there."""
        alive = {}
        for key, reference in list(self._static.items()):
            found = reference()
            if found is not None:
                alive[key] = found
            elif self._static.get(key) is reference:  # no other thread has put one there
                self._static.pop(key, None)
        for place, array in enumerate(arrays):
            library = backend_of(array)
            if _shares_memory(library, array, alive):
                arrays[place] = library.copy(array)
        note_changes(alive.values(), "a replay of jit, whose results are static")

    def difference(self, other: Recording) -> str:
        """Return how another recording of the same call differs; "" where it doesn't."""
        if self.structure != other.structure:
            return "the form of the result"
        for (kind, what), (other_kind, other_what) in zip(self.results, other.results, strict=True):
            if kind != other_kind:
                return "the result"
            if kind == "constant" and what is not other_what and not _equal(what, other_what):
                raise CaptureError(
                    f"jit: a result that is no tensor must stay the same, got {what!r:.60} and "
                    f"then {other_what!r:.60}; return a tensor"
                )
        return same(self.program, other.program)

    @property
    def parts(self) -> tuple[Any, ...]:
        """The functions that run its calls; none before the first replay."""
        run = self._run
        return () if run is None else parts_of(run)

    def memory_stats(self) -> dict[str, int]:
        """Return what its last replay took of memory; empty where that isn't known."""
        known = getattr(self._run, "memory_stats", None)
        return {} if known is None else known()

    def listing(self) -> str:
        """Return the program as text, and what is known of how it runs."""
        notes = getattr(self._run, "notes", "")
        return listing(self._optimized()) + (f"\n{notes}" if notes else "")

    def _optimized(self) -> Program:
        return optimized(self.program, bring_in_passes()(self.options.fusion))


def _shares_memory(library: Any, array: Any, others: dict[int, Any]) -> bool:
    """Whether an array may have memory of others, which are no views, by their identities."""
    owner = owner_of(array)
    if id(owner) in others:
        return True
    if library.owns_memory(owner):
        return False
    return any(
        backend_of(one) is library and library.may_share_memory(array, one)
        for one in others.values()
    )


def _equal(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:
        return False


def record(
    function: Callable[..., Any], leaves: list[Any], args: Any, kwargs: Any,
    forgiving: bool = False, check: Callable[[Session, Recording], None] | None = None,
    trial: bool = False,
) -> tuple[Any, Recording | None]:  # fmt: skip
    """Call a function while everything that it computes is written down.

    There is no recording where something was left out for what a value was this time, or where,
    ``forgiving``, a tensor that was made lives on: as a state that is made at its first use.
    ``check`` may refuse a recording with a `CaptureError`: everything is as it was before then. On
    ``trial``, it is so whatever the function raises.
    """
    random.make_states()
    with Session() as session:
        random.enter_states(session.enter)
        places = []
        inputs = []
        for place, leaf in enumerate(leaves):
            if type(leaf) is Tensor:
                if type(leaf.array) is CapturedArray:
                    raise CaptureError(
                        "jit: the same tensor was given twice, or is one that random numbers use, "
                        f"got {leaf.dtype.name} {leaf.shape}; pass a copy"
                    )
                places.append(place)
                inputs.append(session.add_input(leaf))
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            if not trial:
                raise
            raise CaptureError(f"{type(error).__name__}: {error}") from error
        if session.skipped:
            if trial:
                raise CaptureError("something was left out for what a value was")
            return result, None
        try:
            recording = _finish(session, function, leaves, tuple(places), inputs, result)
            if check is not None:
                check(session, recording)
        except EscapeError:
            if not forgiving:
                raise
            return result, None
    note_changes(recording.changed, "jit")
    return result, recording


def _finish(session: Session, function: Any, leaves: list[Any], places: tuple[int, ...],
            inputs: list[int], result: Any) -> Recording:  # fmt: skip
    outs, structure = flatten(result)
    outputs: list[int] = []
    results = [_result(session, leaves, one, outputs) for one in outs]
    session.ignore_grads()
    gradients, kept = _gradients(session, outputs)
    _check_rest(session, [x for x in outs if type(x) is Tensor] + kept)
    del outs, kept
    changed = _changed(session)
    session.settle(outputs)
    guards = Guards(session, function, leaves)
    program = session.program(inputs, outputs)
    return Recording(program, guards, places, structure, results, gradients, changed)


def _result(session: Session, leaves: list[Any], one: Any, outputs: list[int]) -> tuple[str, Any]:
    """Return how a leaf of the result is given back by a replay."""
    if type(one) is not Tensor:
        return "constant", one
    for place, leaf in enumerate(leaves):
        if leaf is one:
            return "argument", place
    if any(entry.tensor() is one for entry in session.outside):
        young = any(other is one for other in session.young())
        if not young:
            return "tensor", weakref.ref(one)
    _check_history(one)
    outputs.append(session.number_of(one))
    one.node = None  # its history was used up, or there was none
    return "value", len(outputs) - 1


def _check_history(one: Tensor) -> None:
    node = one.node
    if node is None:
        return
    if type(node) is Output:
        node = node.main
    if type(node) is Leaf or node.op is not None:
        made = "a leaf" if type(node) is Leaf else f"made by {operation_of(node)}"
        raise CaptureError(
            "jit: a result must not require grad, for a replay has no history, got "
            f"{one.dtype.name} {one.shape} {made}; call backward() inside, return "
            "x.detach(), or use no_grad()"
        )


def _gradients(session: Session, outputs: list[int]) -> tuple[list[Any], list[Tensor]]:
    """Return what becomes of the leaves' gradients, and the tensors that hold them."""
    found: list[tuple[Any, int | None, bool]] = []
    kept: list[Tensor] = []
    for one in session.outside:
        tensor = one.tensor()
        if tensor is None:
            continue
        if one.differentiated != (type(tensor.node) is Leaf):
            raise CaptureError(
                "jit: whether a tensor from outside requires grad must be after the function as it "
                f"was before, got {tensor.dtype.name} {tensor.shape}; change it outside"
            )
        if not one.differentiated or one.grad == "ignored":
            continue
        grad = tensor.node.grad
        if grad is None:
            if one.grad != "none":
                found.append((weakref.ref(tensor), None, one.grad == "set"))
            continue
        kept.append(grad)
        if grad is not one.before:
            outputs.append(session.number_of(grad))
            found.append((weakref.ref(tensor), len(outputs) - 1, one.grad == "set"))
    return found, kept


def _check_rest(session: Session, kept: list[Tensor]) -> None:
    """Raise where the function has left something behind that replays wouldn't."""
    for x in session.rebound():
        raise CaptureError(
            f"jit: a tensor from outside was given another array, {x.dtype.name} {x.shape}; change "
            "it in place instead: x[...] = value, copy_, add_"
        )
    for x in session.escaped(kept):
        index = x.array.index
        origin = session.capture.values[index].origin
        raise EscapeError(
            f"jit: a tensor made by {origin} lives on after the function, {x.dtype.name} "
            f"{x.shape}; return it, or write into a tensor that was made before"
        )


def _changed(session: Session) -> list[Any]:
    """Return the arrays from outside that the program changes."""
    values, capture = session.capture.values, session.capture
    roots = {root_of(values, i) for i in capture.changed}
    return [
        capture.held[i] for i in sorted(roots)
        if values[i].kind == "outside" and i not in capture.originals
    ]  # fmt: skip
