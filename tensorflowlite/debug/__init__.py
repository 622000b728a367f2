"""Looking at what runs: which implementations were chosen, and what a training gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import StrictError as StrictError
from ..errors import StrictWarning as StrictWarning
from .dispatch import log as log

if TYPE_CHECKING:
    from .linting import strict as strict


def __getattr__(name: str) -> Any:
    if name == "strict":  # it needs networks, optimizers and loaders; the rest here doesn't
        from .linting import strict

        globals()[name] = strict
        return strict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "strict"})
