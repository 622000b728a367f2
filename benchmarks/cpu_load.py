"""How much of the machine's time went to others, while the contenders were at work (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# Fields of /proc/stat that are work: user, nice, system, interrupts, and what a hypervisor took.
_WORK = (0, 1, 2, 5, 6, 7)


def _all_ticks() -> tuple[int, int]:
    """Return the ticks of work and all ticks, over every core."""
    fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields[place] for place in _WORK), sum(fields)


def _ticks_of(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Elsewhere:
    """Measures the share of all cores' time that went to other processes.

    Parameters
    ----------
    processes
        The processes whose work isn't counted; this one isn't either.
    """

    def __init__(self, processes: Iterable[int]) -> None:
        self._ours = [os.getpid(), *processes]
        self._last = self._now()

    def _now(self) -> tuple[int, int, int] | None:
        try:
            return (*_all_ticks(), sum(_ticks_of(process) for process in self._ours))
        except (OSError, ValueError, IndexError):
            return None  # no such files on this system: nothing is told

    def share(self) -> float | None:
        """Return the share since the last call; None where it can't be told."""
        before, self._last = self._last, self._now()
        if before is None or self._last is None or self._last[1] <= before[1]:
            return None
        work, time, own = (now - then for now, then in zip(self._last, before, strict=True))
        return max(0.0, (work - own) / time)
