"""A process's resident memory, as the kernel counts it (Linux)."""

from __future__ import annotations

import ctypes
from pathlib import Path


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def resident_of() -> int:
    """Return the bytes that this process holds in memory."""
    return _status("VmRSS")


def peak_of() -> int:
    """Return the most bytes that it held since `reset_peak`."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Count the peak from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def give_back() -> None:
    """Hand what the C library keeps of freed memory back to the system: steps would hide in it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
