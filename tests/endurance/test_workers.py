"""Workers and threads, many of them: the same bits, and nothing left of those that were killed.

With ``TENSORFLOWLITE_SOAK=1`` ten times as often (``make soak``).
"""

from __future__ import annotations

import glob
import os
import random
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tensorflowlite.data import DataLoader, TensorDataset, WorkerError

from ..streams import HASHES
from ..test_streams import digest, loaded
from ..test_training_threads import check_each_alone
from ..test_training_threads import in_turns as in_turns  # a fixture

TIMES = 10 if os.environ.get("TENSORFLOWLITE_SOAK", "0") not in ("", "0") else 1


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_order_and_augmentation(workers: int) -> None:
    assert digest(loaded(workers)) == HASHES["DataLoader"]


@pytest.mark.usefixtures("in_turns")
@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("count", [2, 4])
def test_models_trained_at_once(count: int, jit: bool) -> None:
    check_each_alone(count, jit, 5 * TIMES)


def left() -> dict[str, int]:
    """Return what this process holds of workers."""
    return {
        "segments": len(glob.glob(f"/dev/shm/tfl{os.getpid():x}_*")),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "traces": len(os.listdir(tempfile.gettempdir())),
    }


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc")
def test_workers_killed_at_random_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any moment, by any of three signals: one error, never a wait, nothing left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    draw = random.Random(0)
    data = TensorDataset(np.zeros((4000, 500), np.float32))
    with DataLoader(data, 10, num_workers=1) as loader:
        next(iter(loader))  # what Python keeps for all processes is there from now on
    before, noticed = left(), 0
    for _ in range(12 * TIMES):
        loader = DataLoader(data, 10, num_workers=2, timeout=20)
        batches = iter(loader)
        next(batches)
        workers = [process.pid for process in loader._pool._processes]  # type: ignore[union-attr]
        number = draw.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
        killer = threading.Timer(draw.uniform(0, 0.02), os.kill, (draw.choice(workers), number))
        killer.start()
        started = time.monotonic()
        try:
            for _ in range(20):
                list(batches)
                batches = iter(loader)
        except WorkerError as error:
            assert f"got an end by {signal.Signals(number).name}" in str(error)
            noticed += 1
        killer.join()
        assert time.monotonic() - started < 20
        loader.close()
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
        del loader, batches
    print(f"{noticed} of {12 * TIMES} ends of workers noticed")
    assert noticed >= 10 * TIMES
    assert left() == before
