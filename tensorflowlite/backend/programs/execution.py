"""How a recorded program is run: as the backend of its arrays has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import by_array_type
from .program import Program, compiled


def runner(
    program: Program, inputs: Sequence[Any], static_outputs: bool = False
) -> Callable[..., tuple[Any, ...]]:
    """Return a function of the inputs that runs a program and returns its outputs.

    Parameters
    ----------
    program
        After the passes.
    inputs
        Arrays like those that it will be called with.
    static_outputs
        Whether results may lie where those of the last run lay.
    """
    for kind in dict.fromkeys(map(type, (*inputs, *program.held.values()))):
        found = by_array_type[kind].executor(program, inputs, static_outputs)
        if found is not None:
            return found
    return compiled(program)


def release_unused(program: Program) -> None:
    """Give back what recording a program has left behind: it needs more memory than a run."""
    for kind in dict.fromkeys(map(type, program.held.values())):
        by_array_type[kind].release_unused()
