"""The processor's name."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def information() -> dict[str, str]:
    """Return what Linux says about the first core; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def processor() -> str:
    """Return the processor's name, and how many cores this process may use."""
    name = information().get("model name") or platform.processor() or platform.machine()
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{name}, {cores} cores"


def gpu(index: int) -> str:
    """Return the name of a GPU, which must be usable."""
    import cupy

    return str(cupy.cuda.runtime.getDeviceProperties(index)["name"].decode())
