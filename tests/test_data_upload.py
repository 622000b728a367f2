"""Copies of batches to a GPU, on a recorded CuPy whose work is done as late as can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import Device, backend_for
from tensorflowlite.backend.upload import PinnedUploader
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.errors import DeviceError

from . import fake_cupy
from .fake_cupy import FakeCupy


@pytest.fixture
def cupy() -> Iterator[FakeCupy]:
    with fake_cupy.installed() as module:
        yield module


class Consumer:
    """A program whose kernels read a batch some time after they were called."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def use(self, *arrays: Any) -> None:
        # A kernel knows addresses; it doesn't keep arrays alive.
        memory = [array._array for array in arrays]
        stream = fake_cupy.current[-1]
        stream.enqueue(lambda: self.seen.append([one.copy() for one in memory]))


def test_every_batch_arrives(cupy: FakeCupy) -> None:
    """Buffers and device memory are reused, and every kernel reads its own batch."""
    rng, consumer = np.random.default_rng(0), Consumer()
    x, y = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 9, 50)
    loader = DataLoader(TensorDataset(x, y), batch_size=6, device="cuda")
    for _ in range(2):
        for a, b in loader:
            assert (a.device, a.dtype, b.dtype) == ("cuda:0", tfl.float32, tfl.int64)
            consumer.use(a.array, b.array)
            del a, b
        fake_cupy.current[0].synchronize()
    expected = [(x[i : i + 6], y[i : i + 6]) for i in range(0, 50, 6)] * 2
    assert len(consumer.seen) == len(expected)
    for found, wanted in zip(consumer.seen, expected, strict=True):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    # Two pinned buffers serve both epochs, and few pieces of device memory.
    assert len(cupy.pinned) == 2
    assert sum(map(len, cupy.arenas.free.values())) <= 10


def test_the_next_copy_begins_before_the_batch_is_used(cupy: FakeCupy) -> None:
    loader = DataLoader(np.arange(12, dtype=np.float32), batch_size=3, device="cuda:0")
    iterator = iter(loader)
    first = next(iterator)
    assert len(loader._moves[1]._uploader._side.work) >= 4  # type: ignore[index]
    assert loader.state_dict()["position"] == 1
    # What the program waits for is its own copy, and not the next one.
    fake_cupy.current[0].synchronize()
    np.testing.assert_array_equal(first.array._array, [0, 1, 2])
    assert loader._moves[1]._uploader._side.work  # type: ignore[index]
    iterator.close()  # type: ignore[attr-defined]


def test_a_copy_waits_for_who_used_its_memory_before(cupy: FakeCupy) -> None:
    """Freed memory is handed out at once, while the kernels that read it still wait."""
    uploader = PinnedUploader(backend_for("cuda"), Device("cuda:0"))
    consumer = Consumer()
    for value in range(8):
        (array,) = uploader.finish(uploader.begin([np.full(4, value, np.float32)]))
        consumer.use(array)
        del array
    assert len(cupy.arenas.free[0, 16]) == 1
    fake_cupy.current[0].synchronize()
    assert [int(one[0][0]) for one in consumer.seen] == list(range(8))


def test_host_arrays_may_be_changed_at_once(cupy: FakeCupy) -> None:
    uploader = PinnedUploader(backend_for("cuda"), Device("cuda:0"))
    host = np.arange(6.0).reshape(2, 3).T  # not in C order either
    wanted = host.copy()
    ticket = uploader.begin([host, np.array(-0.0), np.empty((0, 2)), np.array([True, False])])
    host[...] = -1
    found = uploader.finish(ticket)
    fake_cupy.current[0].synchronize()
    np.testing.assert_array_equal(found[0]._array, wanted)
    assert np.signbit(found[1]._array) and found[1].shape == () and found[2].shape == (0, 2)
    assert found[3]._array.tolist() == [True, False]


def test_a_batch_that_nobody_takes_leaves_its_memory_in_order(cupy: FakeCupy) -> None:
    """Its copy may still go on: who gets the memory next waits for it."""
    loader = DataLoader(np.arange(8, dtype=np.float32), batch_size=2, device="cuda")
    for _ in loader:
        break
    (memory,) = cupy.arenas.free[0, 8]  # of the second batch; the program still has the first
    after = memory.view(np.float32)
    fake_cupy.current[0].enqueue(lambda: after.fill(7))  # a kernel of the next array
    fake_cupy.current[0].synchronize()
    loader._moves[1]._uploader._side.synchronize()  # type: ignore[index]
    assert after.tolist() == [7, 7]


def test_another_stream_takes_the_batch(cupy: FakeCupy) -> None:
    uploader = PinnedUploader(backend_for("cuda"), Device("cuda:0"))
    ticket = uploader.begin([np.arange(3.0)])
    side = fake_cupy.Stream()
    consumer = Consumer()
    with side:
        consumer.use(*uploader.finish(ticket))
    side.synchronize()
    assert consumer.seen[0][0].tolist() == [0, 1, 2]
    # The memory belongs to the stream that was current at first: it waits, too.
    assert list(fake_cupy.current[0].work) == [ticket.copied.mark]


def test_buffers_grow(cupy: FakeCupy) -> None:
    uploader = PinnedUploader(backend_for("cuda"), Device("cuda:0"))
    consumer = Consumer()
    for size in (2, 3, 200, 1, 300):
        consumer.use(*uploader.finish(uploader.begin([np.arange(size)])))
    fake_cupy.current[0].synchronize()
    assert [one[0].size for one in consumer.seen] == [2, 3, 200, 1, 300]
    assert all((one[0] == np.arange(one[0].size)).all() for one in consumer.seen)
    assert len(cupy.pinned) == 4


def test_structures_and_what_is_no_array(cupy: FakeCupy) -> None:
    def collate(samples: list[Any]) -> Any:
        ready = tfl.ones(2, device="cuda")
        return {"x": np.stack(samples), "names": ["a", "b"], "ready": ready,
                "host": tfl.zeros(2), "text": np.array(["u", "v"])}  # fmt: skip

    loader = DataLoader(np.arange(4.0), batch_size=2, collate_fn=collate, device="cuda")
    batch = next(iter(loader))
    fake_cupy.current[0].synchronize()
    assert batch["names"] == ["a", "b"] and batch["text"].tolist() == ["u", "v"]
    assert {batch[name].device for name in ("x", "ready", "host")} == {"cuda:0"}
    assert batch["host"].array._array.tolist() == [0, 0]


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_an_error_comes_after_the_batches_before_it(cupy: FakeCupy, device: str) -> None:
    class Ending:
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> float:
            if index == 4:
                raise ValueError("the fifth")
            return float(index)

    seen = []
    with pytest.raises(ValueError, match="the fifth"):
        for batch in DataLoader(Ending(), batch_size=2, device=device):
            seen.append(batch)
    assert len(seen) == 2


def test_a_device_that_is_not_there(cupy: FakeCupy) -> None:
    with pytest.raises(DeviceError, match=r"index must lie in \[0, 2\), got 'cuda:2'"):
        next(iter(DataLoader(np.arange(4), device="cuda:2")))


def test_the_cpu_copies_nothing_ahead() -> None:
    taken: list[int] = []

    class Counted:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> float:
            taken.append(index)
            return 0.0

    iterator = iter(DataLoader(Counted(), device="cpu"))
    next(iterator)
    assert taken == [0]
