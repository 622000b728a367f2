"""Memory figures, streams, events and ranges, on a recorded CuPy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.backend import Device
from tensorflowlite.backend.base import at_first_use, by_device_type
from tensorflowlite.backend.cuda import probe as cuda_probe
from tensorflowlite.backend.cupy_backend import cupy_backend
from tensorflowlite.errors import ArgumentError, DeviceError

from . import fake_cupy
from .fake_cupy import FakeCupy

MIB = 1 << 20


@pytest.fixture
def cupy() -> Iterator[FakeCupy]:
    with fake_cupy.installed() as module:
        yield module


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(by_device_type, "cuda", raising=False)
    # Not the one that is remembered, where the machine has a GPU.
    monkeypatch.setitem(at_first_use, "cuda", cupy_backend.__wrapped__)
    monkeypatch.setattr(cuda_probe, "why_not", lambda: "the reason; run: the command")


# ---- memory


def test_figures_of_a_device(cupy: FakeCupy) -> None:
    here = cupy.cuda.alloc(3 * MIB)
    with fake_cupy.Device(1):
        there = cupy.cuda.alloc(MIB)
    assert tfl.cuda.memory_allocated() == tfl.cuda.memory_allocated(0) == 3 * MIB
    assert tfl.cuda.memory_allocated("cuda:1") == tfl.cuda.memory_allocated(Device("cuda:1")) == MIB
    del here
    assert tfl.cuda.memory_stats() == {
        "used_bytes": 0, "peak_bytes": 3 * MIB, "held_bytes": 3 * MIB
    }  # fmt: skip
    assert tfl.cuda.memory_stats(1)["held_bytes"] == there.size
    assert fake_cupy.Device.number == 0


def test_nothing_is_counted_before_somebody_asks(cupy: FakeCupy) -> None:
    assert cupy.allocator == cupy.pool.malloc
    tfl.cuda.memory_stats()
    tfl.cuda.memory_allocated()
    tfl.cuda.empty_cache()
    assert cupy.allocator == cupy.pool.malloc
    tfl.cuda.reset_peak_memory_stats()
    counted = cupy.allocator
    assert counted != cupy.pool.malloc
    tfl.cuda.reset_peak_memory_stats(1)
    tfl.cuda.max_memory_allocated()
    assert cupy.allocator is counted


def test_the_first_answer_is_what_was_held(cupy: FakeCupy) -> None:
    """The peak was no higher, also where memory was given back meanwhile."""
    block = cupy.cuda.alloc(5 * MIB)
    del block
    kept = cupy.cuda.alloc(MIB)
    tfl.cuda.empty_cache()
    assert cupy.pool.total_bytes() == MIB
    assert tfl.cuda.memory_stats()["peak_bytes"] == 5 * MIB
    assert tfl.cuda.max_memory_allocated() == 5 * MIB
    assert tfl.cuda.max_memory_allocated(1) == 0
    tfl.cuda.reset_peak_memory_stats()
    assert tfl.cuda.max_memory_allocated() == kept.size


def test_the_peak_is_exact(cupy: FakeCupy) -> None:
    rng = np.random.default_rng(3)
    tfl.cuda.reset_peak_memory_stats()
    alive: list[Any] = []
    most = 0
    for step in range(2000):
        if alive and rng.random() < 0.5:
            del alive[rng.integers(len(alive))]
        else:
            alive.append(cupy.cuda.alloc(int(rng.integers(1, 5000))))
        most = max(most, cupy.pool.used[0])
        if step % 500 == 499:
            assert tfl.cuda.max_memory_allocated() == most
            assert tfl.cuda.memory_stats()["peak_bytes"] == most
    # A loop that goes up and down below its peak asks the pool, which adds up, now and then only.
    alive.clear()
    before = cupy.pool.asked
    for _ in range(1000):
        cupy.cuda.alloc(512)
    assert cupy.pool.asked - before <= 1000 * 512 // most + 1
    tfl.cuda.reset_peak_memory_stats()
    assert tfl.cuda.max_memory_allocated() == 0


def test_small_arrays_count_as_the_pool_counts_them(cupy: FakeCupy) -> None:
    tfl.cuda.reset_peak_memory_stats()
    cupy.cuda.alloc(MIB)
    small = [cupy.cuda.alloc(1) for _ in range(3000)]
    assert tfl.cuda.max_memory_allocated() == 512 * len(small) > MIB


def test_other_threads_and_devices_count(cupy: FakeCupy) -> None:
    tfl.cuda.reset_peak_memory_stats()
    tfl.cuda.reset_peak_memory_stats(1)
    kept: list[Any] = []
    thread = threading.Thread(target=lambda: kept.append(cupy.cuda.alloc(4 * MIB)))
    thread.start()
    thread.join()
    with fake_cupy.Device(1):
        kept.append(cupy.cuda.alloc(MIB))
    kept.clear()
    assert tfl.cuda.max_memory_allocated() == 4 * MIB
    assert tfl.cuda.max_memory_allocated("cuda:1") == MIB


def test_without_a_gpu_there_is_no_memory(no_gpu: None) -> None:
    tfl.cuda.reset_peak_memory_stats()
    tfl.cuda.empty_cache()
    assert (tfl.cuda.memory_allocated(), tfl.cuda.max_memory_allocated()) == (0, 0)
    assert tfl.cuda.memory_stats() == {}


# ---- streams and events


def test_streams_are_current_inside(cupy: FakeCupy) -> None:
    default = tfl.cuda.current_stream()
    side = tfl.cuda.Stream(priority=-1)
    assert side.cupy_stream.non_blocking and side.cupy_stream.priority == -1
    with side as entered:
        assert entered is side and tfl.cuda.current_stream() == side != default
        with tfl.cuda.stream(None), tfl.cuda.stream(default):
            assert tfl.cuda.current_stream() == default
        assert hash(tfl.cuda.current_stream()) == hash(side)
    assert tfl.cuda.current_stream() == default
    assert repr(side) == f"Stream(cuda_stream={side.cuda_stream:#x})"


def test_streams_wait_for_each_other(cupy: FakeCupy) -> None:
    done: list[str] = []
    default, side = tfl.cuda.current_stream(), tfl.cuda.Stream()
    side.cupy_stream.enqueue(lambda: done.append("side"))
    default.wait_stream(side)
    default.cupy_stream.enqueue(lambda: done.append("default"))
    assert not side.query() and not default.query()
    default.synchronize()
    assert done == ["side", "default"] and side.query() and default.query()


def test_events(cupy: FakeCupy) -> None:
    start, end = tfl.cuda.Event(enable_timing=True), tfl.cuda.Event(True, blocking=True)
    assert end.cupy_event.block and not end.cupy_event.disable_timing
    assert tfl.cuda.Event().cupy_event.disable_timing
    assert start.query()  # nothing is before it
    side = tfl.cuda.Stream()
    start.record()
    side.cupy_stream.enqueue(lambda: None)
    end.record(side)
    end.wait()
    assert not end.query() and not tfl.cuda.current_stream().query()
    end.synchronize()
    start.synchronize()
    assert end.query() and start.elapsed_time(end) == 1.5
    tfl.cuda.current_stream().synchronize()


def test_times_that_were_not_taken(cupy: FakeCupy) -> None:
    start, end = tfl.cuda.Event(enable_timing=True), tfl.cuda.Event()
    start.record()
    with pytest.raises(ArgumentError, match=r"^elapsed_time: end_event must take the time, got "):
        start.elapsed_time(end)
    with pytest.raises(ArgumentError, match=r"^elapsed_time: end_event must have been recorded"):
        start.elapsed_time(tfl.cuda.Event(enable_timing=True))


@pytest.mark.parametrize("name", ["Event", "Stream", "current_stream", "stream"])
def test_without_a_gpu_the_reason_is_told(no_gpu: None, name: str) -> None:
    args = (None,) if name == "stream" else ()
    with pytest.raises(DeviceError) as caught:
        getattr(tfl.cuda, name)(*args)
    assert str(caught.value) == (
        "cuda: a usable NVIDIA GPU is needed, got none: the reason; run: the command"
    )


# ---- ranges


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ReLU()

    def forward(self, x: Any) -> Any:
        if x.ndim > 1:
            raise ArgumentError("too many axes")
        return self.inner(x) * 2


def test_ranges(cupy: FakeCupy) -> None:
    @tfl.cuda.nvtx.range("decorated")
    def function(x: int) -> int:
        """Text."""
        return x + 1

    with tfl.cuda.nvtx.range("outer"):
        tfl.cuda.nvtx.range_push("pushed")
        assert function(1) == 2 and function.__doc__ == "Text."
        tfl.cuda.nvtx.range_pop()
    assert cupy.ranges == ["outer", "pushed", "decorated", "end", "end", "end"]


def test_ranges_of_modules(cupy: FakeCupy) -> None:
    model = Doubled()
    with tfl.cuda.nvtx.modules(model):
        model(tfl.ones(2))
        with pytest.raises(ArgumentError):
            model(tfl.ones((2, 2)))
    assert cupy.ranges == ["Doubled", "inner", "end", "end", "Doubled", "end"]
    model(tfl.ones(2))
    assert len(cupy.ranges) == 6
    shown = tfl.cuda.nvtx.modules(model)
    model.inner(tfl.ones(2))
    shown.remove()
    assert cupy.ranges[6:] == ["inner", "end"]


def test_without_a_gpu_ranges_do_nothing(no_gpu: None) -> None:
    with tfl.cuda.nvtx.range("outer"), tfl.cuda.nvtx.modules(nn.ReLU()):
        tfl.cuda.nvtx.range_push("pushed")
        tfl.cuda.nvtx.range_pop()
