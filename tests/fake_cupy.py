"""A CuPy of which every part is recorded: streams whose work waits, events, memory that is reused.

Its arrays are the shadow device's. Work that was given to a stream is done when somebody waits for
it, as late as can be and in the order in which the device would be allowed to do it; memory that an
array leaves goes to the next one of its size on the same stream, at once, as in CuPy's pool. So a
copy out of a buffer that is written to too early, and a copy into memory that is still in use, give
wrong values.
"""

from __future__ import annotations

import itertools
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from tensorflowlite.backend import base
from tensorflowlite.backend.cuda import memory as cuda_memory
from tensorflowlite.backend.cuda import probe as cuda_probe
from tensorflowlite.backend.cupy_backend import CupyBackend
from tensorflowlite.backend.slots import library as library_slots
from tensorflowlite.core.primitive import look_up_again

from . import shadow


class OutOfMemoryError(MemoryError):
    """CuPy's error: it knows the size that was asked for, and says it."""

    def __init__(self, size: int, total: int) -> None:
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes)."
        )


class Mark:
    """A place in a stream: what an event stands for once it is recorded."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.reached = stream, False

    def reach(self) -> None:
        self.reached = True


class Stream:
    """Work that waits."""

    numbers = itertools.count(0x10)

    def __init__(self, null: bool = False, non_blocking: bool = False, priority: Any = None):
        self.ptr = 0 if null else next(self.numbers)
        self.non_blocking, self.priority = non_blocking, priority
        self.work: deque[Any] = deque()

    def enqueue(self, work: Callable[[], Any]) -> None:
        self.work.append(work)

    def step(self) -> bool:
        """Do one piece of work; whether there was one that could be done."""
        if not self.work or (isinstance(self.work[0], Mark) and not self.work[0].reached):
            return False
        work = self.work.popleft()
        if not isinstance(work, Mark):
            work()
        return True

    def run_to(self, done: Callable[[], bool]) -> None:
        while not done():
            if not self.step():
                assert self.work, "waits for what nobody does"
                mark = self.work[0]
                mark.stream.run_to(lambda mark=mark: mark.reached)

    def synchronize(self) -> None:
        self.run_to(lambda: not self.work)

    @property
    def done(self) -> bool:
        return not self.work

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        if event.mark is not None:
            self.work.append(event.mark)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.ptr == self.ptr

    def __hash__(self) -> int:
        return self.ptr

    def __enter__(self) -> Stream:
        current.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        assert current.pop() is self


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.block, self.disable_timing = block, disable_timing
        self.mark: Mark | None = None

    def record(self, stream: Stream | None = None) -> None:
        stream = current[-1] if stream is None else stream
        self.mark = Mark(stream)
        stream.enqueue(self.mark.reach)

    def synchronize(self) -> None:
        mark = self.mark
        if mark is not None:
            mark.stream.run_to(lambda: mark.reached)

    @property
    def done(self) -> bool:
        return self.mark is None or self.mark.reached


current: list[Stream] = [Stream(null=True)]


class Device:
    number = 0

    def __init__(self, index: int) -> None:
        self.id = index

    def __enter__(self) -> Device:
        self.before, Device.number = Device.number, self.id
        return self

    def __exit__(self, *exception: object) -> None:
        Device.number = self.before


class Pointer:
    """Memory of the pool, until nobody has it any more."""

    def __init__(self, pool: Pool, size: int, device_id: int) -> None:
        self.pool, self.size, self.device_id = pool, size, device_id

    def __del__(self) -> None:
        self.pool.used[self.device_id] -= self.size


class Pool:
    def __init__(self, limit: int = 1 << 30) -> None:
        self.limit = limit
        self.used: dict[int, int] = defaultdict(int)
        self.held: dict[int, int] = defaultdict(int)
        self.asked = 0  # how often it was asked what is in use

    def malloc(self, size: int) -> Pointer:
        device, rounded = Device.number, -(-size // 512) * 512
        if self.used[device] + rounded > self.limit:
            raise OutOfMemoryError(rounded, self.held[device])
        self.used[device] += rounded
        self.held[device] = max(self.held[device], self.used[device])
        return Pointer(self, rounded, device)

    def used_bytes(self) -> int:
        self.asked += 1
        return self.used[Device.number]

    def total_bytes(self) -> int:
        return self.held[Device.number]

    def free_all_blocks(self) -> None:
        self.held[Device.number] = self.used[Device.number]


class Arenas:
    """Device memory that arrays have left, by stream and size."""

    def __init__(self) -> None:
        self.free: dict[Any, list[Any]] = defaultdict(list)

    def take(self, size: int) -> Any:
        waiting = self.free[current[-1].ptr, size]
        return waiting.pop() if waiting else np.full(size, 0xCD, np.uint8)

    def empty(self, shape: Any, dtype: Any = np.float32) -> shadow.ShadowArray:
        count = int(np.prod(shape, dtype=np.int64))
        memory = self.take(count * np.dtype(dtype).itemsize)
        array = shadow.ShadowArray(memory.view(dtype).reshape(shape))
        left = self.free[current[-1].ptr, memory.size]
        weakref.finalize(array, left.append, memory)
        return array


class FakeCupy(shadow.Namespace):
    """The module."""

    def __init__(self) -> None:
        super().__init__(np)
        self.pool, self.arenas = Pool(), Arenas()
        self.allocator: Any = self.pool.malloc
        self.pinned: list[int] = []
        self.ranges: list[str] = []
        self.cuda = SimpleNamespace(
            Device=Device, Stream=Stream, Event=Event,
            get_current_stream=lambda: current[-1],
            get_elapsed_time=lambda start, end: 1.5,
            get_allocator=lambda: self.allocator, set_allocator=self.set_allocator,
            alloc=lambda size: self.allocator(size),
            alloc_pinned_memory=self.alloc_pinned_memory,
            runtime=SimpleNamespace(
                getDevice=lambda: Device.number, memGetInfo=lambda: (3 << 30, 4 << 30)
            ),
            nvtx=SimpleNamespace(
                RangePush=lambda name: self.ranges.append(name),
                RangePop=lambda: self.ranges.append("end"),
            ),
        )  # fmt: skip
        self.empty = self.arenas.empty

    def set_allocator(self, allocator: Any) -> None:
        self.allocator = allocator

    def get_default_memory_pool(self) -> Pool:
        return self.pool

    def alloc_pinned_memory(self, size: int) -> bytearray:
        self.pinned.append(size)
        return bytearray(size)


class FakeBackend(CupyBackend):
    """CuPy's backend; the shadow's arrays don't know where they are."""

    def device_of(self, array: Any) -> base.Device:
        return base.Device("cuda:0")


@contextmanager
def installed(devices: int = 2) -> Iterator[FakeCupy]:
    """Let the fake be the GPU: its arrays, the shadow device's, are CUDA's meanwhile."""
    shadow.install()
    cupy = FakeCupy()
    before = dict(base.by_array_type), dict(base.by_device_type)
    driver, peaks = cuda_probe.driver, cuda_memory._peaks
    found = cuda_probe.Found(devices, 13000, (9, 0), "")
    cuda_probe.driver = lambda: found  # type: ignore[assignment]
    cuda_memory._peaks = cuda_memory._Peaks()
    slots = library_slots.slots(cupy)
    slots["filled"] = lambda shape, value, dtype, device: cupy.full(shape, value, dtype)
    base.register(FakeBackend("cuda", cupy, shadow.ShadowArray, slots))
    look_up_again()
    try:
        yield cupy
    finally:
        cuda_probe.driver, cuda_memory._peaks = driver, peaks
        for known, kept in zip((base.by_array_type, base.by_device_type), before, strict=True):
            known.clear()
            known.update(kept)  # type: ignore[arg-type]
        look_up_again()
        Device.number = 0
        del current[1:]
        current[0] = Stream(null=True)
