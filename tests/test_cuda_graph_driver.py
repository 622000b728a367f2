"""What records and launches CUDA graphs, on a CuPy and a driver that write down what they hear."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tensorflowlite.backend.base import by_array_type
from tensorflowlite.backend.cuda import graph_driver as cuda_graph_driver
from tensorflowlite.backend.cuda.graph import GraphExecutor, RefusedError
from tensorflowlite.backend.cuda.graph_driver import CupyGraphs, Nodes
from tensorflowlite.backend.numpy_backend import numpy_backend
from tensorflowlite.backend.programs.program import Program, Value


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class OutOfMemoryError(MemoryError):
    pass


class FakeStream:
    def __init__(self, cupy: FakeCupy, ptr: int) -> None:
        self.cupy, self.ptr, self.capturing, self.broken = cupy, ptr, False, ""

    def note(self, text: str) -> None:
        self.cupy.log.append(f"{text} {self.ptr}")

    def wait_event(self, event: FakeEvent) -> None:
        self.note(f"wait for {event.number} on")

    def begin_capture(self) -> None:
        self.note("begin")
        self.capturing = True

    def end_capture(self) -> Any:
        self.note("end")
        if self.broken == "for good":
            raise CUDARuntimeError(999)
        self.capturing = False
        if self.broken:
            raise CUDARuntimeError(901)
        return SimpleNamespace(upload=lambda: self.cupy.log.append("upload"),
                               launch=lambda: self.cupy.log.append("launch"))  # fmt: skip

    def is_capturing(self) -> bool:
        return self.capturing

    def __enter__(self) -> None:
        self.cupy.streams.append(self)

    def __exit__(self, *exception: object) -> None:
        assert self.cupy.streams.pop() is self


class FakeEvent:
    def __init__(self, cupy: FakeCupy, number: int) -> None:
        self.cupy, self.number = cupy, number

    def record(self, stream: FakeStream) -> None:
        stream.note(f"event {self.number} on")

    def synchronize(self) -> None:
        self.cupy.log.append(f"host waits for {self.number}")


class FakePool:
    """CuPy's: it asks its allocator, and takes CUDA's error as a lack of memory."""

    def __init__(self, cupy: FakeCupy, allocate: Any) -> None:
        self.cupy, self.allocate = cupy, allocate

    def malloc(self, size: int) -> Any:
        try:
            return self.allocate(size)
        except CUDARuntimeError:
            self.cupy.log.append("the graphs' memory is given back")
            raise


class FakeCupy:
    """The module: what it is asked for is in ``log``; ``room`` says what allocating gives."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.streams = [FakeStream(self, 0)]
        self.room: list[int] = []  # statuses of the next allocations
        self.events = self.made = 0
        self.device = 0
        common = SimpleNamespace(total_bytes=lambda: 7,
                                 free_all_blocks=lambda: self.log.append("free"))  # fmt: skip
        self.get_default_memory_pool = lambda: common
        self.cuda = SimpleNamespace(
            Stream=self.stream, Event=self.event, get_current_stream=lambda: self.streams[-1],
            using_allocator=self.using_allocator, Memory=self.memory,
            MemoryPointer=lambda memory, offset: memory,
            MemoryPool=lambda allocate: FakePool(self, allocate),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError, getDevice=lambda: self.device
            ),
        )  # fmt: skip

    def stream(self, non_blocking: bool) -> FakeStream:
        assert non_blocking  # else work on the default stream would end a recording
        self.made += 1
        return FakeStream(self, 100 + self.made)

    def event(self, disable_timing: bool) -> FakeEvent:
        self.events += 1
        return FakeEvent(self, self.events)

    @contextmanager
    def using_allocator(self, allocate: Any) -> Iterator[None]:
        self.log.append("pool")
        yield
        self.log.append("pool no more")

    def memory(self, size: int) -> str:
        status = self.room.pop(0) if self.room else 0
        if status:
            raise CUDARuntimeError(status)
        return f"{size} bytes"


class FakeNodes:
    def __init__(self, cupy: FakeCupy) -> None:
        self.cupy = cupy

    def check(self, stream: int, seen: set[int]) -> None:
        self.cupy.log.append(f"look at {stream}")


@pytest.fixture
def cupy() -> FakeCupy:
    return FakeCupy()


@pytest.fixture
def graphs(cupy: FakeCupy) -> CupyGraphs:
    return CupyGraphs(cupy, 0, FakeNodes(cupy))


def test_recording(cupy: FakeCupy, graphs: CupyGraphs) -> None:
    with graphs.record(graphs.pool()) as recorder:
        assert cupy.streams[-1].ptr == 101
        assert not graphs.usable()
        recorder.check()
    assert graphs.usable() and len(cupy.streams) == 1
    graphs.launch(recorder.graph)
    assert cupy.log == [
        "pool", "begin 101", "look at 101", "end 101", "pool no more", "upload", "launch"
    ]  # fmt: skip


@pytest.mark.parametrize("broken", ["", "by what has failed"])
def test_a_recording_that_fails_is_ended(cupy: FakeCupy, graphs: CupyGraphs, broken: str) -> None:
    with pytest.raises(ZeroDivisionError), graphs.record(graphs.pool()):
        cupy.streams[-1].broken = broken
        raise ZeroDivisionError
    assert cupy.log[:3] == ["pool", "begin 101", "end 101"] and "upload" not in cupy.log
    assert cupy.made == 1 and len(cupy.streams) == 1


def test_a_stream_that_doesn_t_end_is_given_up(cupy: FakeCupy, graphs: CupyGraphs) -> None:
    with pytest.raises(KeyboardInterrupt), graphs.record(graphs.pool()):
        cupy.streams[-1].broken = "for good"
        raise KeyboardInterrupt
    with graphs.record(graphs.pool()):
        assert cupy.streams[-1].ptr == 102


def test_work_aside_is_in_order(cupy: FakeCupy, graphs: CupyGraphs) -> None:
    with graphs.aside(graphs.pool()):
        cupy.log.append("work")
    assert cupy.log == [
        "event 2 on 0", "wait for 2 on 101", "pool", "work", "pool no more", "event 3 on 101",
        "wait for 3 on 0",
    ]  # fmt: skip


def test_another_stream_waits_for_the_last_turn(cupy: FakeCupy, graphs: CupyGraphs) -> None:
    for _ in range(2):
        with graphs.turn():
            pass
    assert cupy.log == ["event 1 on 0"] * 2
    cupy.log.clear()
    for stream in (FakeStream(cupy, 5), FakeStream(cupy, 2), FakeStream(cupy, 2)):
        with stream, graphs.turn():
            pass
    assert cupy.log == [
        "wait for 1 on 5", "event 1 on 5", "wait for 1 on 2", "event 1 on 2",
        "wait for 1 on 2", "event 1 on 2",  # each thread's own
    ]  # fmt: skip


def test_what_was_launched_is_done_before_it_goes(cupy: FakeCupy, graphs: CupyGraphs) -> None:
    def clear() -> None:
        cupy.log.append("clear")

    graphs.let_go(clear)
    assert cupy.log == ["clear"]
    with graphs.turn():
        pass
    graphs.let_go(clear)
    assert cupy.log[2:] == ["host waits for 1", "clear"]
    cupy.log.clear()
    with graphs.record(graphs.pool()):
        graphs.let_go(clear)  # a recording can't wait
        assert "clear" not in cupy.log
    assert cupy.log[2:] == ["end 101", "host waits for 1", "clear", "pool no more", "upload"]


def test_another_device_is_not_this_ones(cupy: FakeCupy, graphs: CupyGraphs) -> None:
    cupy.device = 1
    assert not graphs.usable()


def test_a_lack_of_memory_gives_no_graphs_memory_back(cupy: FakeCupy, graphs: CupyGraphs) -> None:
    pool = graphs.pool()
    assert pool.malloc(8) == "8 bytes"
    cupy.room = [2]
    assert pool.malloc(9) == "9 bytes"
    assert cupy.log == ["free"]  # of what waits for other arrays
    cupy.room = [2, 2]
    with pytest.raises(OutOfMemoryError):
        pool.malloc(9)
    cupy.log.clear()
    cupy.room = [2, 2]
    with pytest.raises(OutOfMemoryError), graphs.record(pool):
        pool.malloc(9)
    assert "free" not in cupy.log
    cupy.room = [700]
    with pytest.raises(CUDARuntimeError, match="700"):  # no lack of memory
        pool.malloc(9)


# ---- the nodes of a recording


class FakeLibrary:
    """libcuda: a recording of nodes, each of a type, a copy with its places."""

    def __init__(self, *nodes: Any) -> None:
        self.nodes, self.status, self.failing = nodes, 1, ""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cu") and name == self.failing:
            return lambda *arguments: 400
        return object.__getattribute__(self, name)

    def cuStreamGetCaptureInfo_v2(self, stream: Any, status: Any, *rest: Any) -> int:
        assert stream.value == 0x33
        status._obj.value = self.status
        rest[1]._obj.value = 0x44
        return 0

    def cuGraphGetNodes(self, graph: Any, nodes: Any, count: Any) -> int:
        assert graph.value == 0x44
        count._obj.value = len(self.nodes)
        for i in range(0 if nodes is None else len(self.nodes)):
            nodes[i] = 0x1000 + i
        return 0

    def cuGraphNodeGetType(self, node: Any, kind: Any) -> int:
        found = self.nodes[node.value - 0x1000]
        kind._obj.value = found if isinstance(found, int) else 1
        return 0

    def cuGraphMemcpyNodeGetParams(self, node: Any, copy: Any) -> int:
        source, target = self.nodes[node.value - 0x1000]
        copy._obj.source_type, copy._obj.target_type = source[0], target[0]
        copy._obj.source_device, copy._obj.target_device = source[1], target[1]
        return 0

    def cuPointerGetAttribute(self, found: Any, attribute: int, place: Any) -> int:
        assert attribute == 2
        if place.value < 100:
            return 1  # pageable memory, of which the driver knows nothing
        found._obj.value = 2 if place.value >= 1000 else 1
        return 0


DEVICE, HOST = (2, 0), (1, 0)
KERNEL, FILL, CALLBACK, ALLOCATION = 0, 2, 3, 10


def test_the_structure_of_a_copy() -> None:
    """As the driver's header has it on 64 bits."""
    assert ctypes.sizeof(cuda_graph_driver._Copy) == 200
    assert cuda_graph_driver._Copy.source_device.offset == 48
    assert cuda_graph_driver._Copy.target_type.offset == 120


@pytest.mark.parametrize("node", [
    KERNEL, FILL, 5, (DEVICE, DEVICE), ((4, 1000), (4, 2000)), (DEVICE, (4, 1000)),
])  # fmt: skip
def test_work_of_the_device(node: Any) -> None:
    seen: set[int] = set()
    nodes = Nodes(FakeLibrary(KERNEL, node))
    nodes.check(0x33, seen)
    assert seen == {0x1000, 0x1001}
    Nodes(FakeLibrary(CALLBACK, CALLBACK)).check(0x33, seen)  # looked at before


@pytest.mark.parametrize(("node", "told"), [
    ((HOST, DEVICE), "copies from or to the host"), ((DEVICE, HOST), "copies from or to the host"),
    (((4, 500), DEVICE), "the host"), (((4, 5), DEVICE), "the host"),
    ((DEVICE, (3, 1000)), "the host"), (CALLBACK, "a node of type 3"),
    (ALLOCATION, "a node of type 10"),
])  # fmt: skip
def test_work_that_would_mean_something_else_later(node: Any, told: str) -> None:
    with pytest.raises(RefusedError, match=told):
        Nodes(FakeLibrary(KERNEL, node)).check(0x33, set())


def test_a_recording_that_has_broken_off() -> None:
    library = FakeLibrary()
    Nodes(library).check(0x33, set())
    library.status = 2
    with pytest.raises(RefusedError, match="has ended the recording"):
        Nodes(library).check(0x33, set())


@pytest.mark.parametrize("name", [
    "cuStreamGetCaptureInfo_v2", "cuGraphGetNodes", "cuGraphNodeGetType",
    "cuGraphMemcpyNodeGetParams",
])  # fmt: skip
def test_what_the_driver_doesn_t_say_is_refused(name: str) -> None:
    library = FakeLibrary((DEVICE, DEVICE))
    library.failing = name
    with pytest.raises(RefusedError, match=name):
        Nodes(library).check(0x33, set())


# ---- which programs


def an_array(device: int) -> Any:
    return SimpleNamespace(device=SimpleNamespace(id=device), data=SimpleNamespace(ptr=1))


def test_which_programs(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graph_driver, "Nodes", lambda: FakeNodes(cupy))
    backend = SimpleNamespace(namespace=cupy, array_type=SimpleNamespace)
    monkeypatch.setitem(by_array_type, SimpleNamespace, numpy_backend)
    value = Value("input", (2,), np.dtype(np.float32), (4,), None, "input")

    def program(held: dict[int, Any]) -> Program:
        return Program((), (value, value), held, {}, (0,), (0,))

    def run(*args: Any) -> Any:
        return cuda_graph_driver.executor(*args, False)

    assert isinstance(run(backend, program({1: an_array(0)}), [an_array(0)]), GraphExecutor)
    assert run(backend, program({1: an_array(1)}), [an_array(0)]) is None
    assert run(backend, program({}), [an_array(1)]) is None
    monkeypatch.setenv("TENSORFLOWLITE_CUDA_GRAPHS", "0")
    assert run(backend, program({}), [an_array(0)]) is None
