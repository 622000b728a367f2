"""Looking at what runs: which implementations were chosen, and what a training gets wrong."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import StrictError as StrictError
from ..errors import StrictWarning as StrictWarning
from .dispatch import log as log

if TYPE_CHECKING:
    from .linting import strict as strict
    from .profiling import profile as profile
    from .side_by_side import lockstep as lockstep

# What needs networks, optimizers and loaders comes in at first use; the rest here doesn't.
_LATER = {"strict": "linting", "lockstep": "side_by_side", "profile": "profiling"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        found = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
