"""Running a recorded program on a CPU in memory that is planned once (``csrc/memory_plan.hpp``).

A replay asks for the same arrays in the same order every time. The first one is written down; from
then on each small array has its place in one stretch of memory, over arrays that are gone by then.
Large ones get blocks of the cache that wait for them, so that a replay holds about the memory that
the function did; with static outputs all have places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import cpu
from .program import Program, compiled


def executor(program: Program, static_outputs: bool) -> Callable[..., tuple[Any, ...]] | None:
    """Return what runs a program in planned memory; None without the native extension."""
    return None if cpu.module is None else Planned(program, static_outputs, cpu.module)


class Planned:
    """Runs a program: called as what `compiled` returns.

    Parameters
    ----------
    program
        What to run.
    static_outputs
        Whether each run writes its results where the last one wrote them.
    module
        The native extension.
    """

    def __init__(self, program: Program, static_outputs: bool, module: Any) -> None:
        self._run = compiled(program, settling=True)
        self._plan = module.MemoryPlan(static_outputs)
        self._on_plan = self._plan.run

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        made: tuple[Any, ...] = self._on_plan(self._run, arrays)
        return made

    @property
    def parts(self) -> tuple[Callable[..., Any], ...]:
        """The functions that run calls: an error has passed one of them."""
        return (self._run,)

    def memory_stats(self) -> dict[str, int]:
        """Return what the plan holds, in bytes, and how many arrays the last run asked for."""
        return dict(self._plan.figures())

    @property
    def notes(self) -> str:
        """What is planned, as text."""
        found = self.memory_stats()
        if not found["requests"]:
            return ""
        return (
            f"memory: {found['arena_bytes']} bytes planned, {found['lasting_bytes']} of results; "
            f"{found['requests']} arrays in the last run, {found['allocations']} of them allocated"
        )
