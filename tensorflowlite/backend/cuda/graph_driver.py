"""CUDA graphs by CuPy's streams: recording, launching, and a look at what was recorded.

Graphs of one device are recorded on one stream of its own, which has a workspace for products, and
run one after the other, whatever streams they are launched on.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..programs.program import Program
from . import probe
from .graph import GraphExecutor, RefusedError

_STREAM_OF_EACH_THREAD = 2  # cudaStreamPerThread: one address, another stream in each thread
_NO_MEMORY = 2  # cudaErrorMemoryAllocation
_ACTIVE = 1  # CU_STREAM_CAPTURE_STATUS_ACTIVE
# CUgraphNodeType: kernels, copies, fills, nothing.
_KERNEL, _COPY, _FILL, _EMPTY = 0, 1, 2, 5
_ON_DEVICE, _UNIFIED = 2, 4  # CUmemorytype
_MEMORY_TYPE = 2  # CU_POINTER_ATTRIBUTE_MEMORY_TYPE


def executor(
    backend: Any, program: Program, inputs: Sequence[Any], static_outputs: bool
) -> Callable[..., tuple[Any, ...]] | None:
    """Return what runs a program as graphs; None where its arrays lie on several devices.

    ``TENSORFLOWLITE_CUDA_GRAPHS=0`` in the environment leaves graphs aside.
    """
    if os.environ.get("TENSORFLOWLITE_CUDA_GRAPHS") == "0":
        return None
    cupy = backend.namespace
    here = cupy.cuda.runtime.getDevice()
    for array in (*inputs, *program.held.values(), *program.fresh.values()):
        if type(array) is backend.array_type and array.device.id != here:
            return None
    return GraphExecutor(program, backend, _graphs_of(cupy, here), inputs, static_outputs)


@functools.cache
def _graphs_of(cupy: Any, device: int) -> CupyGraphs:
    return CupyGraphs(cupy, device)


probe.in_forked_child.append(_graphs_of.cache_clear)


class _Side:
    """What `CupyGraphs` records: the stream's work, and then the graph."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.graph: Any = None
        self.check = check


class CupyGraphs:
    """Graphs of one device.

    Parameters
    ----------
    cupy
        The array library.
    device
        The current device.
    nodes
        What looks at recorded work; a stand-in, for tests.
    """

    def __init__(self, cupy: Any, device: int, nodes: Any = None) -> None:
        self._cupy, self._cuda, self._device = cupy, cupy.cuda, device
        self._nodes = Nodes() if nodes is None else nodes
        # One that doesn't wait for the default stream: work there would end a recording.
        self._side = self._cuda.Stream(non_blocking=True)
        self._done, self._before, self._after = [
            self._cuda.Event(disable_timing=True) for _ in range(3)
        ]
        self._last: int | None = None  # the stream that was current at the last turn
        self._lock = threading.RLock()  # a graph may be let go of at any time, also in a turn
        self._recording = False
        self._later: list[Callable[[], None]] = []  # what was let go of meanwhile

    def usable(self) -> bool:
        return bool(
            self._cuda.runtime.getDevice() == self._device
            and not self._cuda.get_current_stream().is_capturing()
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._lock:
            stream = self._cuda.get_current_stream()
            if self._last is not None and (
                stream.ptr != self._last or stream.ptr == _STREAM_OF_EACH_THREAD
            ):
                stream.wait_event(self._done)
            try:
                yield
            finally:
                self._done.record(stream)
                self._last = stream.ptr

    def address(self, array: Any) -> int:
        return array.data.ptr

    def pool(self) -> Any:
        return self._cuda.MemoryPool(self._allocate)

    def _allocate(self, size: int) -> Any:
        """Allocate for a pool. A lack must not reach the pool as an error of CUDA.

        It would give back memory that is free now, but that graphs of its own use.
        """
        cuda, common = self._cuda, self._cupy.get_default_memory_pool()
        try:
            return cuda.MemoryPointer(cuda.Memory(size), 0)
        except cuda.runtime.CUDARuntimeError as error:
            if error.status != _NO_MEMORY:
                raise
        if not self._recording:  # while that may wait for the device
            common.free_all_blocks()
        try:
            return cuda.MemoryPointer(cuda.Memory(size), 0)
        except cuda.runtime.CUDARuntimeError as error:
            raise cuda.memory.OutOfMemoryError(size, common.total_bytes()) from error

    @contextmanager
    def aside(self, pool: Any) -> Iterator[None]:
        stream, side = self._cuda.get_current_stream(), self._side
        self._before.record(stream)
        side.wait_event(self._before)
        try:
            with self._cuda.using_allocator(pool.malloc), side:
                yield
        finally:
            self._after.record(side)
            stream.wait_event(self._after)

    @contextmanager
    def record(self, pool: Any) -> Iterator[_Side]:
        side = self._side
        seen: set[int] = set()
        made = _Side(lambda: self._nodes.check(side.ptr, seen))
        with self._cuda.using_allocator(pool.malloc), side:
            side.begin_capture()
            self._recording = True
            try:
                yield made
            except BaseException:
                self._abandon()
                raise
            else:
                made.graph = side.end_capture()
            finally:
                self._recording = False
                while self._later:
                    self.let_go(self._later.pop())
        made.graph.upload()

    def _abandon(self) -> None:
        """End a recording that failed; a stream that goes on recording is given up."""
        try:
            self._side.end_capture()
        except Exception:
            # What failed may have ended it, and a graph of refused work may be none.
            if self._side.is_capturing():
                self._side = self._cuda.Stream(non_blocking=True)

    def launch(self, graph: Any) -> None:
        graph.launch()

    def let_go(self, clear: Callable[[], None]) -> None:
        with self._lock:
            if self._recording:  # of this thread: a finalizer that came in between
                self._later.append(clear)
                return
            if self._last is not None:
                self._done.synchronize()
            clear()


class _Copy(ctypes.Structure):
    """``CUDA_MEMCPY3D``."""

    _fields_ = tuple(
        (f"{side}_{name}", kind)
        for side in ("source", "target")
        for name, kind in (
            ("x", ctypes.c_size_t), ("y", ctypes.c_size_t), ("z", ctypes.c_size_t),
            ("level", ctypes.c_size_t), ("type", ctypes.c_int), ("host", ctypes.c_void_p),
            ("device", ctypes.c_uint64), ("array", ctypes.c_void_p),
            ("reserved", ctypes.c_void_p), ("pitch", ctypes.c_size_t),
            ("height", ctypes.c_size_t),
        )
    ) + tuple((name, ctypes.c_size_t) for name in ("width", "height", "depth"))  # fmt: skip


class Nodes:
    """The driver's view of a recording: what CuPy doesn't tell.

    A copy from the host is recorded as the address of a buffer that is gone at the next launch:
    the graph would go on, with whatever lies there.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = ctypes.CDLL("libcuda.so.1") if library is None else library

    def check(self, stream: int, seen: set[int]) -> None:
        """Look at the nodes that aren't in ``seen``, and add them.

        Raises
        ------
        RefusedError
            The recording has broken off, or has a node that isn't work of the device alone.
        """
        for node in self._recorded(stream):
            if node not in seen:
                seen.add(node)
                self._check_node(node)

    def _recorded(self, stream: int) -> list[int]:
        status, identity, graph = ctypes.c_int(), ctypes.c_uint64(), ctypes.c_void_p()
        before, count = ctypes.c_void_p(), ctypes.c_size_t()
        self._call(
            "cuStreamGetCaptureInfo_v2", ctypes.c_void_p(stream), ctypes.byref(status),
            ctypes.byref(identity), ctypes.byref(graph), ctypes.byref(before), ctypes.byref(count),
        )  # fmt: skip
        if status.value != _ACTIVE:
            raise RefusedError("it has ended the recording")
        self._call("cuGraphGetNodes", graph, None, ctypes.byref(count))
        if not count.value:
            return []
        nodes = (ctypes.c_void_p * count.value)()
        self._call("cuGraphGetNodes", graph, nodes, ctypes.byref(count))
        return [node or 0 for node in nodes]

    def _check_node(self, node: int) -> None:
        kind = ctypes.c_int()
        self._call("cuGraphNodeGetType", ctypes.c_void_p(node), ctypes.byref(kind))
        if kind.value in (_KERNEL, _FILL, _EMPTY):
            return
        if kind.value != _COPY:
            raise RefusedError(f"it does more than to run kernels (a node of type {kind.value})")
        copy = _Copy()
        self._call("cuGraphMemcpyNodeGetParams", ctypes.c_void_p(node), ctypes.byref(copy))
        for kind_of_memory, place in (
            (copy.source_type, copy.source_device), (copy.target_type, copy.target_device)
        ):  # fmt: skip
            if not self._on_device(kind_of_memory, place):
                raise RefusedError("it copies from or to the host")

    def _on_device(self, kind: int, place: int) -> bool:
        if kind != _UNIFIED:
            return kind == _ON_DEVICE
        found = ctypes.c_int()
        status = self._library.cuPointerGetAttribute(
            ctypes.byref(found), _MEMORY_TYPE, ctypes.c_uint64(place)
        )
        return status == 0 and found.value == _ON_DEVICE  # the driver doesn't know other memory

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RefusedError(f"the driver doesn't say what was recorded ({name}: {status})")
