"""A run killed by SIGKILL at random moments ends with the bytes of one that never was.

Ten kills for each number of workers; with ``TENSORFLOWLITE_SOAK=1`` fifty (``make soak``).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite.train.checkpoint import read_checkpoint

SCRIPT = Path(__file__).with_name("training.py")
KILLS = 50 if os.environ.get("TENSORFLOWLITE_SOAK", "0") not in ("", "0") else 10
EPOCHS = 2 * KILLS
WAYS = pytest.mark.parametrize(("workers", "amp"), [(0, "bfloat16"), (2, "float16")])
AT_START = 0.15  # the share of kills before the first step: while it imports, reads, starts workers


class Process:
    """A process that trains in a folder."""

    def __init__(self, folder: Path, workers: int, amp: str, *point: str, epochs: int) -> None:
        root = Path(tfl.__file__).parents[1]
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), str(workers), amp, str(epochs), *point],
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait_for_steps(self) -> None:
        """Return when the first step is done, or the process is over."""
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def kill_after(self, seconds: float) -> bool:
        """Kill it, and tell whether it was still under way."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
        return self.end() == -signal.SIGKILL

    def end(self) -> int:
        """Return the exit code, where the process was killed or went well."""
        _, errors = self._process.communicate(timeout=300)
        code = self._process.returncode
        assert code in (0, -signal.SIGKILL), errors
        return code


def undated(tree: Any) -> Any:
    """Return a state without how long things took, its tensors as bytes."""
    if isinstance(tree, dict):
        return {key: undated(value) for key, value in tree.items() if key != "seconds"}
    if isinstance(tree, (list, tuple)):
        return [undated(value) for value in tree]
    if isinstance(tree, tfl.Tensor):
        return (str(tree.dtype), tree.shape, tree.numpy().tobytes())
    return tree


def results(folder: Path) -> dict[str, Any]:
    """Return all that a finished run left: the same bytes, where the runs are the same."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return {
        "checkpoint": undated(read_checkpoint(folder / "checkpoint.safetensors")),
        "best": (folder / "best.safetensors").read_bytes(),
        "metrics": undated([json.loads(line) for line in lines]),
        "files": sorted(os.listdir(folder)),
    }


def reference(folder: Path, workers: int, amp: str, epochs: int) -> tuple[dict[str, Any], float]:
    """Return what a run that is never killed leaves, and how many seconds its steps took."""
    folder.mkdir()
    process = Process(folder, workers, amp, epochs=epochs)
    process.wait_for_steps()
    started = time.perf_counter()
    assert process.end() == 0
    found = results(folder)
    assert len(found["metrics"]) == epochs and len(found["checkpoint"]["history"]) == epochs
    return found, time.perf_counter() - started


@WAYS
def test_kills_at_random_moments(
    tmp_path: Path, workers: int, amp: str, record_property: Any
) -> None:
    expected, seconds = reference(tmp_path / "whole", workers, amp, EPOCHS)
    draw = random.Random(workers)
    folder = tmp_path / "killed"
    kills = while_writing = finished = 0
    while kills < KILLS or not finished:
        folder.mkdir(exist_ok=True)
        process = Process(folder, workers, amp, epochs=EPOCHS)
        if kills >= KILLS:
            killed = process.end() != 0
        elif draw.random() < AT_START:
            killed = process.kill_after(draw.uniform(0, 1.5))
        else:
            process.wait_for_steps()
            # On average the kills leave a third of the run to its last process.
            killed = process.kill_after(draw.uniform(0, 1.3 * seconds / KILLS))
        kills += killed
        while_writing += killed and any(folder.glob(".*.tmp"))
        if not killed:
            assert results(folder) == expected
            finished += 1
            shutil.rmtree(folder)
    print(
        f"workers {workers}, {amp}: {kills} kills, {while_writing} of them while a file was "
        f"written; {finished} runs finished, with the same bytes"
    )


POINTS = [
    ("write", 2), ("fsync", 9), ("write", 11), ("link", 3), ("replace", 17), ("replace", 18),
    ("fsync", 20), ("replace", 19), ("write", 30),
]  # fmt: skip


def test_kills_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """Within the content, and before each sync, link and rename of a write."""
    expected, _ = reference(tmp_path / "whole", 0, "bfloat16", 20)
    folder = tmp_path / "killed"
    folder.mkdir()
    for point, count in POINTS:
        process = Process(folder, 0, "bfloat16", point, str(count), epochs=20)
        assert process.end() == -signal.SIGKILL, f"{point} {count} never came"
        # The name stands for a whole file at any time, from its first one on.
        if os.path.lexists(folder / "checkpoint.safetensors"):
            read_checkpoint(folder / "checkpoint.safetensors")
    assert Process(folder, 0, "bfloat16", epochs=20).end() == 0
    assert results(folder) == expected
