"""The memory of large arrays: reused, bounded, zeroed where it must be."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

import tensorflowlite as tfl

BIG = 1 << 20  # elements of one byte: more than what the cache leaves to NumPy


@pytest.fixture(autouse=True)
def fresh(native_module: ModuleType) -> Iterator[None]:
    tfl.cpu.empty_cache()
    yield
    native_module.limit_cache(2**63)


def stats(name: str) -> int:
    return tfl.cpu.memory_stats()[name]


def test_a_freed_block_serves_the_next_array() -> None:
    x = np.empty(BIG, np.uint8)
    address = x.ctypes.data
    assert address % 64 == 0
    hits = stats("hits")
    del x
    y = np.empty(BIG - 100, np.uint8)
    assert y.ctypes.data == address and stats("hits") == hits + 1


def test_zeros_of_a_used_block_are_zeros() -> None:
    x = np.full(BIG, 255, np.uint8)
    address = x.ctypes.data
    del x
    y = np.zeros(BIG, np.uint8)
    assert y.ctypes.data == address and not y.any()
    assert not np.zeros(3 * BIG, np.uint8).any()


def test_figures_count_what_is_in_use() -> None:
    used = stats("used_bytes")
    tfl.cpu.reset_peak_memory_stats()
    x = tfl.zeros((1024, 1024))
    assert stats("used_bytes") - used == 4 << 20
    y = x + 1
    del x, y
    assert stats("used_bytes") == used
    assert stats("peak_bytes") - used == 8 << 20
    assert stats("held_bytes") - used == 8 << 20
    tfl.cpu.empty_cache()
    assert stats("held_bytes") == used


def test_small_arrays_are_left_to_numpy() -> None:
    requests = stats("hits") + stats("misses")
    kept = [np.empty(1000) for _ in range(10)]
    assert stats("hits") + stats("misses") == requests
    assert len(kept) == 10


def test_waiting_blocks_never_pass_the_peak_of_use() -> None:
    tfl.cpu.reset_peak_memory_stats()
    for size in range(1, 80):
        x = np.empty(size << 19, np.uint8)
        del x
        assert stats("held_bytes") <= stats("peak_bytes") + (1 << 23)


def test_the_limit_holds(native_module: ModuleType) -> None:
    native_module.limit_cache(0)
    used = stats("used_bytes")
    x = np.empty(BIG)
    del x
    assert stats("held_bytes") == used


@pytest.mark.parametrize("to", [10, BIG // 2, 3 * BIG])
def test_resized_arrays_keep_their_values(to: int) -> None:
    x = np.arange(BIG, dtype=np.uint8)
    x.resize(to, refcheck=False)
    shared = min(to, BIG)
    np.testing.assert_array_equal(x[:shared], np.arange(shared, dtype=np.uint8))
    assert not x[BIG:].any()
    small = np.arange(100, dtype=np.uint8)
    small.resize(to, refcheck=False)
    np.testing.assert_array_equal(small[:10], np.arange(10))


def test_other_threads_may_free() -> None:
    used = stats("used_bytes")
    kept = [np.empty(BIG) for _ in range(8)]
    threads = [threading.Thread(target=kept.pop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats("used_bytes") == used


def test_too_large_a_request() -> None:
    """It counts for nothing: neither in the figures nor in what may wait from then on."""
    used, peak = stats("used_bytes"), stats("peak_bytes")
    with pytest.raises(MemoryError):
        np.empty(1 << 60, np.uint8)
    assert (stats("used_bytes"), stats("peak_bytes")) == (used, peak)
    for size in range(1, 80):
        x = np.empty(size << 19, np.uint8)
        del x
    assert stats("held_bytes") <= max(peak, stats("peak_bytes")) + (1 << 23)


def test_a_training_step_asks_the_system_for_nothing() -> None:
    model = tfl.nn.Sequential(tfl.nn.Linear(64, 512), tfl.nn.ReLU(), tfl.nn.Linear(512, 8))
    optimizer = tfl.optim.AdamW(model.parameters())
    x = tfl.ones((256, 64))

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    for _ in range(3):
        step()
    misses, hits = stats("misses"), stats("hits")
    step()
    assert stats("misses") == misses and stats("hits") > hits


def test_left_aside_when_told_so() -> None:
    program = (
        "import numpy as np, tensorflowlite as tfl; x = np.zeros(10**6); "
        "print(tfl.cpu.memory_stats(), tfl.cpu.empty_cache())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TENSORFLOWLITE_MEMORY_CACHE": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{} None\n"
