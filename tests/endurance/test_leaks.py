"""A thousand training steps hold no more than a hundred did: memory, objects, threads, files.

With ``TENSORFLOWLITE_SOAK=1`` ten thousand (``make soak``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tensorflowlite as tfl

SCRIPT = Path(__file__).with_name("wear.py")
LONG = os.environ.get("TENSORFLOWLITE_SOAK", "0") not in ("", "0")
STEPS = 10_000 if LONG else 1000
# An array of 4 KiB kept in each of a thousand steps is twice this.
RESIDENT = 2048
# Caches of Python's own fill up; one object kept per step is a thousand.
OBJECTS = 60

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc")


def worn(name: str, steps: int) -> dict[str, tuple[int, int]]:
    """Return what a training held after its warm-up, and what it held at its end."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), name, str(steps), "100"],
        env=os.environ | {"PYTHONPATH": str(Path(tfl.__file__).parents[1])},
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = map(json.loads, done.stdout.splitlines())
    return {key: (before[key], after[key]) for key in before}


def leaks(held: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Return what there is more of than there may be."""
    spare = {"objects": OBJECTS, "resident KiB": RESIDENT}
    return {key: (a, b) for key, (a, b) in held.items() if b > a + spare.get(key, 0)}


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("perceptron", 1), ("perceptron, jit", 1), ("convolutions", 1), ("convolutions, jit", 1),
        ("epochs", 1), ("epochs, 2 workers", 1), ("abandoned loaders", 10),
    ],
)  # fmt: skip
def test_steps_leave_nothing(name: str, share: int) -> None:
    held = worn(name, STEPS // share)
    resident = held["resident KiB"]
    print(f"{name}: {STEPS // share} steps, resident {resident[0]} -> {resident[1]} KiB")
    assert leaks(held) == {}


def test_what_is_kept_is_found() -> None:
    assert {"objects", "tensors", "nodes"} <= set(leaks(worn("kept losses", 1000)))
