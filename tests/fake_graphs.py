"""CUDA graphs of the shadow device: work that is recorded, not done, and done at each launch.

As on a GPU, a graph reads and writes the memory that it was recorded with. What it makes holds
nothing before the first launch; memory that nobody holds any more is overwritten at once, for a
pool would hand it on; a value that is read while a graph is recorded ends the recording, and one
that is copied from the host makes a graph that `Recording.check` refuses.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tensorflowlite.backend import base
from tensorflowlite.backend.cuda import optimizer_slots as cuda_optimizer_slots
from tensorflowlite.backend.cuda import random_slots as cuda_random_slots
from tensorflowlite.backend.cuda.graph import GraphExecutor, RefusedError
from tensorflowlite.backend.slots import library as library_slots
from tensorflowlite.core.primitive import look_up_again

from . import host_kernels, shadow


def spoil(memory: Any, before: bool = False) -> None:
    """Write what nobody wants to read; before the first launch what can be an index."""
    memory[...] = 0 if before and memory.dtype.kind in "iub" else 77


def _owner(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _arrays(result: Any) -> list[Any]:
    if isinstance(result, tuple | list):
        return [array for one in result for array in _arrays(one)]
    return [result] if isinstance(result, shadow.ShadowArray | np.ndarray | np.generic) else []


def _do(function: Any, places: Any) -> None:
    """Do work once more, into the memory that it made when it was recorded."""
    found = _arrays(function())
    for place, memory in places:
        memory[...] = found[place]


class Recording:
    """Work that was recorded, in its order."""

    def __init__(self) -> None:
        self.work: list[Callable[[], Any]] = []
        self.ended = ""  # what has ended it
        self.uploaded = False
        self.roots: dict[int, Any] = {}  # what it reads of others: weak references
        self._made: set[int] = set()

    # -- what the shadow device hands over ---------------------------------------------------------
    def take(self, function: Any, sources: Any, wrap: Any) -> Any:
        """Find out what work would make, and leave everything as it was."""
        for source in sources:
            root = source if source.base is None else source.base
            if id(root) not in self._made:
                self.roots[id(root)] = weakref.ref(root)
        memories = {id(one): one for one in (_owner(source._array) for source in sources)}
        saved = [(memory, memory.copy()) for memory in memories.values()]
        with np.errstate(all="ignore"):
            result = function()
        changed = any(memory.tobytes() != before.tobytes() for memory, before in saved)
        for memory, before in saved:
            memory[...] = before
        wrapped = wrap(result)
        places = []
        for place, one in enumerate(_arrays(wrapped)):
            if one.base is None and not any(one is source for source in sources):
                places.append((place, one._array))
                spoil(one._array, before=True)
                self._made.add(id(one))
                weakref.finalize(one, self._free, one._array)
        is_view = bool(_arrays(wrapped)) and all(
            one.base is not None and not any(one is source for source in sources)
            for one in _arrays(wrapped)
        )
        if places or changed or not is_view:
            self.work.append(functools.partial(_do, function, places))
        return wrapped

    def launch_kernel(self, run: Callable[[], None]) -> None:
        self.work.append(run)

    def refuse(self, reason: str) -> None:
        self.ended = reason
        raise RuntimeError(reason)

    def upload(self) -> None:
        self.uploaded = True

    # -- what an executor sees ---------------------------------------------------------------------
    @property
    def graph(self) -> Recording:
        return self

    def check(self) -> None:
        if self.ended:
            raise RefusedError("it has ended the recording")
        if self.uploaded:
            raise RefusedError("it copies from the host")

    # -- at a launch -------------------------------------------------------------------------------
    def _free(self, memory: Any) -> None:
        self.work.append(lambda: spoil(memory))

    def launch(self) -> None:
        gone = [one for one in self.roots.values() if one() is None]
        assert not gone, "a graph reads memory that was given back"
        with np.errstate(all="ignore"):
            for work in list(self.work):
                work()


class Pool:
    """Memory of an executor, of which the tests ask whether it is still there."""


class FakeGraphs:
    """A driver of the shadow device."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.pools: weakref.WeakSet[Pool] = weakref.WeakSet()
        self.graphs: weakref.WeakSet[Recording] = weakref.WeakSet()
        self.busy = False  # whether somebody else records
        self.instantiates = True
        self._lock = threading.RLock()

    def usable(self) -> bool:
        return not self.busy

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._lock:
            yield

    def address(self, array: Any) -> int:
        return array._array.ctypes.data

    def pool(self) -> Pool:
        pool = Pool()
        self.pools.add(pool)
        return pool

    @contextmanager
    def aside(self, pool: Pool) -> Iterator[None]:
        assert pool in self.pools and shadow.taking.by is None
        self.log.append("aside")
        yield

    @contextmanager
    def record(self, pool: Pool) -> Iterator[Recording]:
        assert pool in self.pools and shadow.taking.by is None
        made = shadow.taking.by = Recording()
        try:
            yield made
        except BaseException:
            self.log.append("abandon")
            raise
        finally:
            shadow.taking.by = None
        if made.ended:
            raise RuntimeError(f"cudaErrorStreamCaptureInvalidated: {made.ended}")
        if not self.instantiates:
            raise RuntimeError("cudaErrorInvalidValue: instantiation")
        self.graphs.add(made)
        self.log.append("record")

    def launch(self, graph: Recording) -> None:
        assert shadow.taking.by is None
        self.log.append("launch")
        graph.launch()

    def let_go(self, clear: Callable[[], None]) -> None:
        assert shadow.taking.by is None
        self.log.append("wait")
        clear()


class GraphBackend(shadow.ShadowBackend):
    """The shadow device, which runs programs as graphs."""

    graphs: FakeGraphs

    def executor(self, program: Any, inputs: Any, static_outputs: bool) -> Any:
        return GraphExecutor(program, self, self.graphs, inputs, static_outputs)


class _Driver(host_kernels.HostDriver):
    """Launches kernels on the arrays of the shadow device, or records that."""

    def device_of(self, array: Any) -> int | None:
        return 0 if type(array) is shadow.ShadowArray else None

    def address(self, array: Any) -> int:
        return array._array.ctypes.data

    def _launcher(self, function: Any, entry: str) -> Any:
        launch = super()._launcher(function, entry)

        def launched(*arguments: Any) -> None:
            if shadow.taking.by is None:
                launch(*arguments)
            else:
                shadow.taking.by.launch_kernel(lambda: launch(*arguments))

        return launched


@contextmanager
def installed(kernels: bool = False) -> Iterator[FakeGraphs]:
    """Let the shadow device run programs as graphs; with kernels, as the CUDA backend has them.

    Those are of random numbers and of optimizers, which else read on the host.
    """
    before = shadow.install()
    slots = dict(before.slots)
    if kernels:
        found = host_kernels.HostKernels()
        found.driver = _Driver()
        library = library_slots.finder(before.namespace, slots)
        for family in (cuda_random_slots, cuda_optimizer_slots):
            slots.update(family.slots(before.namespace, found, library))
    backend = GraphBackend("shadow", before.namespace, shadow.ShadowArray, slots)
    backend.graphs = FakeGraphs()
    base.register(backend)
    look_up_again()
    try:
        yield backend.graphs
    finally:
        base.register(before)
        look_up_again()
