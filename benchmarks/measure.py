"""Timing shared by the benchmarks: contenders interleaved in one run, medians of many rounds."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def interleaved(
    contenders: dict[str, Callable[[], Any]], number: int, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds per call of each contender in every round, measured in turn."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        for _ in range(max(1, number // 10)):
            call()
    for _ in range(rounds):
        for name, call in contenders.items():
            start = time.perf_counter()
            for _ in range(number):
                call()
            times[name].append((time.perf_counter() - start) / number)
    return times


def difference(times: dict[str, list[float]], ours: str, theirs: str) -> float:
    """Return the median over the rounds of ours minus theirs, in seconds."""
    return statistics.median(a - b for a, b in zip(times[ours], times[theirs], strict=True))


def ratio(times: dict[str, list[float]], ours: str, theirs: str) -> float:
    """Return the median over the rounds of ours divided by theirs."""
    return statistics.median(a / b for a, b in zip(times[ours], times[theirs], strict=True))


def machine() -> dict[str, Any]:
    """Describe the machine and the versions in use."""
    import numpy

    import tensorflowlite

    cpu = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "tensorflowlite": tensorflowlite.__version__,
    }


def save(path: str, result: dict[str, Any]) -> None:
    """Write a result as JSON, with the machine's description."""
    text = json.dumps({"machine": machine(), **result}, indent=2)
    Path(path).write_text(text + "\n")
