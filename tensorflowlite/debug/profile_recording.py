"""What a profile writes down while it is on, and how it notices it.

A few functions are exchanged for others that take the time and call what they stand for; afterwards
they are the very ones that were there. What runs is the same: rules go on handing over gradients
unevaluated, and recorded programs are replayed.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from time import perf_counter_ns as clock
from typing import Any

from ..backend import as_array, ndarray, takes_out
from ..backend.base import by_device_type
from ..backend.programs.program import exchange_calls
from ..core import tape
from ..core.primitive import Primitive, exchange_rules, watch
from ..core.tensor import Tensor
from ..data import DataLoader
from ..nn import Module
from ..optim import Optimizer
from ..programs.loaded import LoadedProgram
from ..runtime import tick
from ..transforms import jit_recording
from ..transforms.exchanging import Exchanges
from ..transforms.function import Function
from ..transforms.jit import Jitted
from ..transforms.jit_recording import Recording, parts_of
from .profile_places import here_and_around, mark_recording, user_line

mark_recording(__file__)
_MOST_SHAPES = 8  # of one event: an optimizer's step has an array per parameter


class Record:
    """One event as it is written down; `profile_events` makes an `Event` of it."""

    __slots__ = (
        "kind", "name", "parent", "scope", "code", "line", "shapes", "forward", "start", "end",
        "thread", "marks", "number",
    )  # fmt: skip

    def __init__(
        self, kind: str, name: str, parent: Record | None, scope: Any, code: Any, line: int,
        shapes: Any, thread: int,
    ) -> None:  # fmt: skip
        self.kind, self.name, self.parent, self.scope = kind, name, parent, scope
        self.code, self.line, self.shapes, self.thread = code, line, shapes, thread
        self.forward: Record | None = None
        self.start = self.end = 0
        self.marks: Any = None
        self.number = 0  # its place, once all are there


class _Here(threading.local):
    """What a thread is inside of."""

    current: Record | None = None
    records: list[Record] | None = None
    scope: Any = None  # (the scope around it, a module or a text)
    jitted = ""  # the name of the function of `jit` that was called
    stepping: Any = None
    loading = False


class Recorder:
    """What notices and writes down, from `start` to `stop`."""

    def __init__(self) -> None:
        self.on = False
        self.began = self.ended = 0
        self.threads: list[tuple[int, str, list[Record]]] = []
        self.steps: list[int] = []
        self.timing: Any = None  # of a GPU, once one is used
        self._nvtx: Any = None
        self._exchanges = Exchanges()
        self._endings: list[Callable[[], None]] = []
        self._here = _Here()
        self._counting = threading.Lock()
        self._parts: dict[int, Any] = {}  # programs whose calls are timed, by identity
        self._made_by: dict[int, Record] = {}  # by the ticks of the nodes

    # -- on and off --------------------------------------------------------------------------------
    def start(self) -> None:
        """Exchange the functions."""
        exchange = self._exchanges.exchange
        try:
            exchange(tape, "_run", self._backward(tape._run))
            exchange(Module, "__call__", self._called(Module.__call__))
            exchange(Module, "zero_grad", self._zeroed(Module.zero_grad))
            exchange(Optimizer, "zero_grad", self._zeroed(Optimizer.zero_grad))
            exchange(DataLoader, "__iter__", self._iterated(DataLoader.__iter__))
            exchange(Optimizer, "__init__", self._made(Optimizer.__init__))
            exchange(Jitted, "__call__", self._jitted(Jitted.__call__))
            exchange(Recording, "replay", self._replayed(Recording.replay))
            exchange(jit_recording, "runner", self._runner(vars(jit_recording)["runner"]))
            exchange(LoadedProgram, "__call__", self._loaded(LoadedProgram.__call__))
            exchange(Function, "apply", classmethod(self._applied(vars(Function)["apply"])))
            self._watch_steps()
            custom = [kind._primitive for kind in _derived(Function)]
            self._endings.append(exchange_rules(self._rule, deferring=True, others=custom))
            self._endings.append(lambda: watch.stop(self.wrap))
            watch.start(self.wrap, inspects=False)
        except BaseException:
            self.stop()
            raise
        self._look_for_gpu()
        here = self._here
        self.began = clock()
        self._enter_thread("profile")
        # The code around it: modules and the line, where it is entered inside of them.
        here.scope = here_and_around()
        self.on = True

    def stop(self) -> None:
        """Put all back that was there."""
        self.ended = clock()
        self.on = False
        for end in reversed(self._endings):
            end()
        self._exchanges.restore()
        self._endings.clear()
        self._parts.clear()

    def forget(self) -> None:
        """Let go of what only recording needs: the records hold modules, and so parameters."""
        self._made_by.clear()
        self.threads = [(number, name, []) for number, name, _ in self.threads]
        self._here = _Here()

    def _look_for_gpu(self) -> None:
        if self.timing is None and by_device_type.get("cuda") is not None:
            from ..backend.cuda import nvtx as cuda_nvtx  # only where there is a GPU
            from ..backend.cuda import timing as cuda_timing

            self._nvtx, self.timing = cuda_nvtx, cuda_timing.find()

    # -- events ------------------------------------------------------------------------------------
    def _enter_thread(self, name: str) -> Record:
        here = self._here
        thread = threading.current_thread()
        here.records = []
        with self._counting:
            number = len(self.threads)
            self.threads.append((threading.get_native_id(), thread.name, here.records))
        root = Record("thread", name, None, None, None, 0, (), number)
        root.start = clock() if number else self.began
        here.records.append(root)
        here.current = root
        return root

    def begin(
        self, kind: str, name: str, args: Any = (), forward: Record | None = None
    ) -> Record:
        """Write down that something begins: where the caller was called, or ``forward``."""
        here = self._here
        parent = here.current
        if parent is None:
            parent = self._enter_thread(f"thread {threading.current_thread().name}")
        shapes = []
        for one in args:
            if type(one) is Tensor:
                one = one.array
            if type(one) is ndarray or getattr(one, "dtype", None) is not None:
                shapes.append((one.dtype, one.shape))
                if len(shapes) == _MOST_SHAPES:
                    break
        if forward is None:
            code, line = user_line(parent)
        else:
            code, line = forward.code, forward.line
        record = Record(kind, name, parent, here.scope, code, line, shapes, parent.thread)
        record.forward = forward
        here.records.append(record)  # type: ignore[union-attr]
        here.current = record
        if self.timing is not None:
            self._nvtx.range_push(name)
            record.marks = [self.timing.mark()]
        record.start = clock()
        return record

    def end(self, record: Record) -> None:
        """Write down that something has ended."""
        record.end = clock()
        self._here.current = record.parent
        if record.marks is not None:
            record.marks.append(self.timing.mark())
            self._nvtx.range_pop()

    def _ranged(
        self, kind: str, original: Callable[..., Any], name_of: Callable[[Any], str],
        scoped: bool = True,
    ) -> Callable[..., Any]:  # fmt: skip
        """Return what calls a function inside a range, which where ``scoped`` is a scope too."""
        here = self._here

        @functools.wraps(original)
        def run(this: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.on:
                return original(this, *args, **kwargs)
            name = name_of(this)
            record = self.begin(kind, name)
            around = here.scope
            if scoped:
                record.scope = here.scope = (around, name)
            try:
                return original(this, *args, **kwargs)
            finally:
                here.scope = around
                self.end(record)

        return run

    # -- operations --------------------------------------------------------------------------------
    def wrap(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return an implementation that takes its time."""
        begin, here, made_by = self.begin, self._here, self._made_by
        self._look_for_gpu()

        def watched(*args: Any, **options: Any) -> Any:
            if not self.on:
                return run(*args, **options)
            record = begin("operation", name, args)
            try:
                return run(*args, **options)
            finally:
                record.end = clock()
                here.current = record.parent
                if record.marks is not None:
                    self.end_on_gpu(record)
                made_by[tick() + 1] = record  # a node takes its tick right after this

        # What is known of an implementation holds of what stands in for it: whether it captures,
        # and whether changes in place are written where they belong.
        vars(watched).update(getattr(run, "__dict__", {}), takes_out=takes_out(run))
        return watched

    def end_on_gpu(self, record: Record) -> None:
        """Mark the end in the GPU's queue."""
        record.marks.append(self.timing.mark())
        self._nvtx.range_pop()

    def _applied(self, original: Any) -> Callable[..., Any]:
        """Return ``Function.apply`` in a range; the nodes of its results are known."""

        @functools.wraps(original.__func__)
        def apply(cls: Any, *args: Any) -> Any:
            if not self.on:
                return original.__func__(cls, *args)
            record = self.begin("operation", cls.__name__, args)
            try:
                result = original.__func__(cls, *args)
            finally:
                self.end(record)
            for one in result if isinstance(result, tuple | list) else (result,):
                main = getattr(getattr(one, "node", None), "main", None)
                if main is not None:
                    self._made_by[main.born] = record
            return result

        return apply

    # -- backward passes ---------------------------------------------------------------------------
    def _backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        return self._ranged("backward", original, lambda name: name)

    def _rule(self, op: Primitive, rule: Callable[..., Any]) -> Callable[..., Any]:
        here, made_by, name = self._here, self._made_by, op.name

        def run(node: Any, g: Any, k: Any, need: Any) -> Any:
            if not self.on:
                return rule(node, g, k, need)
            forward = made_by.get(node.born)
            if forward is not None and forward.name != name:
                forward = None  # another thread came between
            around = here.scope
            if forward is not None:
                here.scope = forward.scope
            record = self.begin("gradient", name, g if type(g) is tuple else (g,), forward)
            try:
                return rule(node, g, k, need)
            finally:
                here.scope = around
                self.end(record)

        return run

    # -- modules, steps and loaders ----------------------------------------------------------------
    def _called(self, original: Callable[..., Any]) -> Callable[..., Any]:
        here = self._here

        @functools.wraps(original)
        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.on:
                return original(module, *args, **kwargs)
            record = self.begin("module", type(module).__name__, args)
            around = here.scope
            record.scope = here.scope = (around, module)
            try:
                return original(module, *args, **kwargs)
            finally:
                here.scope = around
                self.end(record)

        return call

    def _zeroed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        return self._ranged("zero_grad", original, lambda this: "zero_grad")

    def _watch_steps(self) -> None:
        self._exchanges.exchange_in_all(Optimizer, "step", self._stepped)

    def _made(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def make(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            original(optimizer, *args, **kwargs)
            if self.on:
                self._watch_steps()  # a class that was defined since has a step of its own

        return make

    def _stepped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        here = self._here
        ranged = self._ranged("step", original, lambda this: f"{type(this).__name__}.step")

        @functools.wraps(original)
        def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if here.stepping is optimizer:  # a derived class calls the step of its base
                return original(optimizer, *args, **kwargs)
            outer, here.stepping = here.stepping, optimizer
            try:
                return ranged(optimizer, *args, **kwargs)
            finally:
                here.stepping = outer

        return step

    def _iterated(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def following(batches: Any) -> Any:
            return next(batches, _END)

        waited = self._ranged("data", following, lambda this: "DataLoader")
        begun = self._ranged("data", original, lambda this: "DataLoader")

        def looked_at(batches: Any) -> Iterator[Any]:
            try:
                while (batch := waited(batches)) is not _END:
                    yield batch
            finally:
                if hasattr(batches, "close"):
                    batches.close()

        @functools.wraps(original)
        def iterate(loader: Any) -> Iterator[Any]:
            return looked_at(begun(loader))

        return iterate

    # -- programs ----------------------------------------------------------------------------------
    def _jitted(self, original: Callable[..., Any]) -> Callable[..., Any]:
        here = self._here
        ranged = self._ranged("jit", original, lambda this: f"jit: {here.jitted}", scoped=False)

        @functools.wraps(original)
        def call(jitted: Any, *args: Any, **kwargs: Any) -> Any:
            outer, here.jitted = here.jitted, _name_of(jitted)
            try:
                return ranged(jitted, *args, **kwargs)
            finally:
                here.jitted = outer

        return call

    def _replayed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        here = self._here
        ranged = self._ranged("replay", original, lambda this: f"jit replay: {here.jitted}")

        @functools.wraps(original)
        def replay(recording: Any, leaves: Any) -> Any:
            if self.on:
                self._time_calls(recording.parts)
            return ranged(recording, leaves)

        return replay

    def _runner(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def make(*args: Any, **kwargs: Any) -> Any:
            run = original(*args, **kwargs)
            if self.on:
                self._time_calls(parts_of(run))
            return run

        return make

    def _time_calls(self, parts: Any) -> None:
        for part in parts:
            if id(part) not in self._parts and hasattr(part, "calls"):
                self._parts[id(part)] = part
                self._endings.append(exchange_calls(part, self._program_call))

    def _program_call(self, call: Any, run: Callable[..., Any]) -> Callable[..., Any]:
        begin, end, slot = self.begin, self.end, call.slot

        def watched(*args: Any) -> Any:
            if not self.on:
                return run(*args)
            record = begin("call", slot, args)
            try:
                return run(*args)
            finally:
                end(record)

        return watched

    def _loaded(self, original: Callable[..., Any]) -> Callable[..., Any]:
        return self._ranged("replay", original, lambda this: "loaded program")


_END = object()


def _derived(kind: type) -> list[Any]:
    found: list[Any] = kind.__subclasses__()
    return [*found, *[one for derived in found for one in _derived(derived)]]


def _name_of(jitted: Any) -> str:
    return str(getattr(jitted, "__name__", type(jitted).__name__))


def cost_of_an_event() -> int:
    """Return the nanoseconds that recording one event takes here, at the least."""
    recorder, count = Recorder(), 32
    recorder.on, recorder.timing = True, None
    arrays = (as_array(0.0), as_array(0.0))

    def nothing(*args: Any) -> None:
        return None

    def through(depth: int, run: Callable[..., Any]) -> None:  # as an operation in a layer is
        if depth:
            through(depth - 1, run)
        else:
            run(*arrays)

    watched = recorder.wrap("nothing", nothing)
    recorder.timing = None  # marks and ranges aren't to be seen by anybody

    def least(run: Callable[..., Any]) -> int:  # of some turns: other processes only add to it
        taken = []
        for _ in range(8):
            began = clock()
            for _ in range(count):
                through(5, run)
            taken.append(clock() - began)
        return min(taken)

    return max(0, least(watched) - least(nothing)) // count
