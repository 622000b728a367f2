"""What a contender is inside its own process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .cpu_data import Spec

Outcome = dict[str, np.ndarray]
STEPS = 4  # of an optimizer, before its parameters are compared


class LeftOut(Exception):
    """What a contender has no implementation of, or what isn't installed; the text says why."""


@dataclass(frozen=True)
class Case:
    """One row in one contender's hands."""

    call: Callable[[], Any]  # what is timed; it returns once the work is done
    outcome: Callable[[], Outcome]  # what is compared, asked for once and before any call
    digest: str  # of the data it started from
    # Goes back to the start before each turn. A step that is repeated on one batch for long enough
    # has moments so small that the processor's arithmetic slows down.
    # A step has its optimizer only then.
    renew: Callable[[], Any] = lambda: None


class Contender(Protocol):
    """A library in a worker process."""

    def versions(self) -> dict[str, str]:
        """Return the versions in use."""

    def release(self) -> None:
        """Give back memory that is kept for later."""

    def build(self, spec: Spec) -> Case:
        """Return a row's case; raise `LeftOut` where there is none."""
