"""Running a recorded program as CUDA graphs: one launch in place of many.

A program runs as it is at first; then once aside, on the stream and in the memory that its graphs
will have, so that nothing is chosen, compiled or allocated while they are recorded; then its graphs
are recorded and launched; from then on launched alone. A graph reads and writes fixed addresses:
what comes from elsewhere is copied there before, outputs are copied out after. What a stream can't
record runs between the graphs.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple, Protocol

from ...runtime import users_level
from ..base import Backend, Watcher, as_array, choices
from ..programs.program import Call, Program, Ref, compiled, root_of
from .graph_plan import NEVER, Part, Plan, is_dense, last_uses, plan, prepared

MOST_REFUSED = 3  # slots that a recording may fail for; then the program runs as it is


class RefusedError(Exception):
    """A call can't be recorded: an exception of our own making, for a graph of wrong contents."""


class Recorder(Protocol):
    """A graph while it is recorded."""

    graph: Any  # when it is done

    def check(self) -> None:
        """Raise RefusedError where what was recorded last would mean something else later."""


class Graphs(Protocol):
    """What knows how one device records and launches graphs. Tests have stand-ins."""

    def usable(self) -> bool:
        """Return whether work of this thread goes to the device, and isn't recorded by others."""

    def turn(self) -> AbstractContextManager[None]:
        """Return a context of one thread at a time, whose work comes after that of the last one."""

    def address(self, array: Any) -> int:
        """Return where an array's elements begin."""

    def pool(self) -> Any:
        """Return memory that nobody else gets."""

    def aside(self, pool: Any) -> AbstractContextManager[None]:
        """Return a context of work as `record`'s, that is done: on its stream, in a pool."""

    def record(self, pool: Any) -> AbstractContextManager[Recorder]:
        """Return a context whose work is recorded, not done; an exception ends it safely."""

    def launch(self, graph: Any) -> None:
        """Hand a graph to the current stream."""

    def let_go(self, clear: Callable[[], None]) -> None:
        """Call ``clear`` when all that was launched is done, and nothing is recorded."""


class _Kept:
    """What graphs need while they can still run: themselves, and the memory of all arrays."""

    def __init__(self) -> None:
        self.graphs: list[Any] = []
        self.pool: Any = None

    def clear(self) -> None:
        """Forget it, the pool last."""
        self.graphs.clear()
        self.pool = None


def _retire(driver: Graphs, kept: _Kept) -> None:
    """Let go of graphs, of which one may still run, and of their memory."""
    if kept.graphs or kept.pool is not None:
        with suppress(Exception):  # a process that has forked, a device that is lost
            driver.let_go(kept.clear)


class _Graph:
    """A part that is launched: its graph, the copies before it, and what it makes."""

    def __init__(self, graph: Any, feeds: list[tuple[int, Any, int]], made: dict[int, Any]) -> None:
        self.graph, self.feeds, self.made = graph, feeds, made


class _Failure(NamedTuple):
    """A part that can't be recorded: the slot, where it is known, and why."""

    slot: str
    reason: str


class GraphExecutor:
    """Runs a program: called as what `compiled` returns.

    Parameters
    ----------
    program
        What to run.
    backend
        Of the arrays; other arrays stay outside of graphs.
    driver
        Records and launches.
    inputs
        Arrays like those that it will be called with.
    static_outputs
        Whether outputs stay where the graphs make them, which the next run writes over.
    """

    def __init__(
        self, program: Program, backend: Backend, driver: Graphs, inputs: Sequence[Any],
        static_outputs: bool = False,
    ) -> None:  # fmt: skip
        self._backend, self._driver = backend, driver
        self._static_outputs = static_outputs
        self._plain = compiled(program)
        self._program = prepared(program)
        self._copies = len(program.fresh)
        given = dict(zip(program.inputs, inputs, strict=True)) | self._program.held
        kind = backend.array_type
        self._foreign = {i for i, array in given.items() if type(array) is not kind}
        self._held = [array for array in self._program.held.values() if type(array) is kind]
        self._refused: dict[str, str] = {}  # slots that recording has failed for, and why
        self._copied: set[int] = set()  # inputs that came from several addresses
        self._watcher: Watcher | None = None
        self._kept = _Kept()
        self._end_of_life = weakref.finalize(self, _retire, driver, self._kept)
        self._end_of_life.atexit = False
        self._seen: list[Any] | None = None  # the inputs of the first run, whose memory they hold
        # What the next call does: no bound method, which would be a cycle.
        self._run: Callable[[Any, Sequence[Any]], tuple[Any, ...]] = GraphExecutor._first
        self._divide()
        choices.add(self)

    def watched_by(self, watcher: Watcher | None) -> None:
        """Tell a watcher of what is recorded from now on; None ends that."""
        self._watcher = watcher

    def _divide(self) -> None:
        """Divide the program, anew where a call was refused."""
        never = NEVER | self._refused.keys()
        self._plan: Plan = plan(self._program, lambda call: call.slot in never, self._foreign)
        self._graphs: dict[int, _Graph] = {}
        self._buffers: dict[int, Any] = {}  # by the value that is copied there
        # Inputs that graphs read where they lie: the place, the array, which keeps it, the address.
        self._direct: list[tuple[int, Any, int]] = []
        self._calls = [self._compiled(part) for part in self._plan.parts]
        self._end = compiled(self._plan.end)
        if not self._plan.graphs:
            self._run = GraphExecutor._as_it_is

    def _compiled(self, part: Part) -> Callable[..., tuple[Any, ...]]:
        return compiled(
            self._program._replace(calls=part.calls, inputs=part.ins, outputs=part.outs)
        )

    @property
    def parts(self) -> tuple[Callable[..., Any], ...]:
        """The functions that run calls: an error has passed one of them."""
        return (self._plain, *self._calls, self._end)

    @property
    def notes(self) -> str:
        """What is a graph, and what isn't, as text."""
        if self._run is GraphExecutor._as_it_is:
            reason = "".join([f": {slot}: {why}" for slot, why in self._refused.items()])
            return f"no CUDA graphs{reason}"
        lines, first = [], 1 - self._copies
        for part in self._plan.parts:
            last = first + len(part.calls) - 1
            names = ", ".join(dict.fromkeys([call.slot for call in part.calls]))
            how = "a CUDA graph" if part.recorded else f"as they are ({names})"
            lines.append(f"calls {max(first, 1)} to {last}: {how}")
            first = last + 1
        return "\n".join(lines)

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        if self._run is GraphExecutor._as_it_is or not self._driver.usable():
            return self._plain(*arrays)
        with self._driver.turn():
            return self._run(self, arrays)

    # -- the runs in their order -------------------------------------------------------------------
    def _as_it_is(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        return self._plain(*arrays)

    def _first(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """Run as it is: kernels are compiled and chosen, caches filled."""
        self._run = GraphExecutor._rehearse
        return self._plain(*arrays)

    def _rehearse(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """Run where the graphs will be recorded, so that their memory is there."""
        self._run = GraphExecutor._as_it_is  # where this fails
        kept, driver = self._kept, self._driver
        kept.pool = driver.pool()
        found = dict(zip(self._program.inputs, arrays, strict=True))
        try:
            for part, run in zip(self._plan.parts, self._calls, strict=True):
                if not part.recorded:
                    self._keep(part, found, run(*[found[i] for i in part.ins]))
                    continue
                with driver.aside(kept.pool):
                    for index in self._moving(part):
                        self._fill(index, found[index])
                    made = run(*[self._buffers.get(i, found[i]) for i in part.ins])
                self._keep(part, found, made)
        except BaseException:
            self._start_over()
            kept.clear()
            raise
        self._seen = list(arrays)
        self._run = GraphExecutor._record
        return self._outputs(found)

    def _record(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """Record the graphs and launch each; a part that can't be recorded runs as it is."""
        address = self._driver.address
        self._places = [address(array) for array in self._held]
        self._note_copied(arrays)
        found = dict(zip(self._program.inputs, arrays, strict=True))
        failures: list[_Failure] = []
        for number, part in enumerate(self._plan.parts):
            made = self._recorded(part, found) if part.recorded else None
            if isinstance(made, _Failure):
                failures.append(made)
            elif made is not None:
                self._graphs[number] = made
                self._launch(made, found)
                self._forget(part, found)
                continue
            self._keep(part, found, self._calls[number](*[found[i] for i in part.ins]))
        outputs = self._outputs(found)
        if failures:
            self._give_up_on(failures)
        else:
            self._run = GraphExecutor._replay
            self._tell()
        return outputs

    def _note_copied(self, arrays: Sequence[Any]) -> None:
        """Find the inputs that don't come twice from one address; the others are read there."""
        seen, self._seen, self._direct = self._seen, None, []
        address = self._driver.address
        for place, index in enumerate(self._program.inputs):
            if index in self._foreign:
                continue
            if seen is None or address(seen[place]) != address(arrays[place]):
                self._copied.add(index)

    def _replay(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """Launch the graphs."""
        address = self._driver.address
        moved = [i for i, _, place in self._direct if address(arrays[i]) != place]
        if moved or [address(array) for array in self._held] != self._places:
            self._copied |= {self._program.inputs[i] for i in moved}
            self._start_over()
            return self._record(arrays)
        found = dict(zip(self._program.inputs, arrays, strict=True))
        for number, part in enumerate(self._plan.parts):
            graph = self._graphs.get(number)
            if graph is not None:
                self._launch(graph, found)
                self._forget(part, found)
            else:
                self._keep(part, found, self._calls[number](*[found[i] for i in part.ins]))
        return self._outputs(found)

    # -- graphs ------------------------------------------------------------------------------------
    def _moving(self, part: Part) -> list[int]:
        """Return what must be copied before a graph, for it comes from other addresses."""
        values, moving = self._program.values, self._plan.moving
        return [i for i in part.ins if root_of(values, i) in moving]

    def _fill(self, index: int, array: Any) -> None:
        """Copy a value to where graphs read it, which is made at first."""
        buffer = self._buffers.get(index)
        if buffer is None:
            buffer = self._buffers[index] = self._like(array)
        buffer[...] = array

    def _like(self, array: Any) -> Any:
        """Return a new array that lies in memory as another one does."""
        dense = is_dense(array.shape, array.strides, array.itemsize)
        return self._backend.empty_strided(array, array.shape, array.dtype, array.strides, dense)

    def _copy(self, array: Any) -> Any:
        if array.flags.c_contiguous:
            return array.copy()
        copy = self._like(array)
        copy[...] = array
        return copy

    def _recorded(self, part: Part, found: dict[int, Any]) -> _Graph | _Failure:
        """Record a part on what it will be launched with."""
        driver, kept = self._driver, self._kept
        feeds, given = [], {i: found[i] for i in part.ins}
        for index in self._moving(part):
            array = found[index]
            if index in self._program.inputs and index not in self._copied:
                place = self._program.inputs.index(index)
                self._direct.append((place, array, driver.address(array)))
                continue
            if index not in self._buffers:
                with driver.aside(kept.pool):
                    self._fill(index, array)
            given[index] = buffer = self._buffers[index]
            feeds.append((index, buffer, driver.address(buffer)))
        slot = ""
        last = last_uses(part)
        try:
            with driver.record(kept.pool) as recorder:
                for number, call in enumerate(part.calls):
                    slot = call.slot
                    _run_call(call, given, self._program.held)
                    for index in last.get(number, ()):
                        given.pop(index, None)
                    recorder.check()
                slot = ""
        except Exception as error:
            return _Failure(slot, f"{type(error).__name__}: {error}".splitlines()[0])
        made = {i: given[i] for i in part.outs}
        kept.graphs.append(recorder.graph)
        return _Graph(recorder.graph, feeds, made)

    def _launch(self, graph: _Graph, found: dict[int, Any]) -> None:
        address = self._driver.address
        for index, buffer, place in graph.feeds:
            array = found[index]
            if address(array) != place:
                buffer[...] = array
        self._driver.launch(graph.graph)
        found.update(graph.made)

    @staticmethod
    def _keep(part: Part, found: dict[int, Any], made: Sequence[Any]) -> None:
        found.update(zip(part.outs, made, strict=True))
        GraphExecutor._forget(part, found)

    @staticmethod
    def _forget(part: Part, found: dict[int, Any]) -> None:
        for index in part.gone:
            found.pop(index, None)

    def _outputs(self, found: dict[int, Any]) -> tuple[Any, ...]:
        plan = self._plan
        given = [found[i] for i in plan.end.inputs]
        for place, index in enumerate(plan.end.inputs):
            made = index in plan.copied and given[place] is not None
            if made and not self._static_outputs:
                given[place] = self._copy(given[place])
        return self._end(*given)

    # -- what becomes of them ----------------------------------------------------------------------
    def _start_over(self) -> None:
        """Let go of the graphs, to record others."""
        pool = self._kept.pool
        _retire(self._driver, self._kept)
        self._kept.pool = pool
        self._graphs, self._buffers, self._direct = {}, {}, []

    def _give_up_on(self, failures: Sequence[_Failure]) -> None:
        """Record without some slots from now on; where that was tried often enough, not at all."""
        self._start_over()
        self._refused |= {one.slot: one.reason for one in failures}
        worst = failures[-1]
        if all(one.slot for one in failures) and len(self._refused) <= MOST_REFUSED:
            self._divide()
            if not self._plan.graphs:
                self._kept.clear()
            return
        self._run = GraphExecutor._as_it_is
        self._kept.clear()
        warnings.warn(
            f"jit: {worst.slot or 'a program'} can't be recorded as a CUDA graph, got "
            f"{worst.reason}; the program's calls run one by one",
            RuntimeWarning,
            stacklevel=users_level(),
        )

    def _tell(self) -> None:
        if self._watcher is not None:
            count = len(self._program.calls)
            graphs = [part for part in self._plan.parts if part.recorded]
            inside = sum(len(part.calls) for part in graphs)
            self._watcher.chose(
                f"a jit program of {count} calls", f"CUDA graphs ({len(graphs)}) of {inside} calls"
            )


def _run_call(call: Call, found: dict[int, Any], held: dict[int, Any]) -> None:
    """Make a call on values, and add its results to them."""
    result = call.run(*[_given(arg, found, held) for arg in call.args])
    _add(call.outs, result, call.scalars, found)


def _given(arg: Any, found: dict[int, Any], held: dict[int, Any]) -> Any:
    if type(arg) is Ref:
        return found[arg.index] if arg.index in found else held[arg.index]
    if type(arg) is tuple or type(arg) is list:
        return type(arg)([_given(one, found, held) for one in arg])
    return arg


def _add(outs: Any, result: Any, scalars: Sequence[int], found: dict[int, Any]) -> None:
    if type(outs) is Ref:
        found[outs.index] = as_array(result) if outs.index in scalars else result
    elif isinstance(outs, tuple | list):
        for one, made in zip(outs, result, strict=True):
            _add(one, made, scalars, found)
