"""All slots that are written once for every library with NumPy's interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import array_slots, network_slots, optimizer_slots, random_slots, special

_FAMILIES = (array_slots, special, random_slots, optimizer_slots, network_slots)


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of every family for the library ``xp``."""
    found: dict[str, Callable[..., Any]] = {}
    for family in _FAMILIES:
        found.update(family.slots(xp))
    return found
