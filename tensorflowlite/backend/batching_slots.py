"""Slots of the way into a batch and out of it: the same for every kind of array."""

from __future__ import annotations

from typing import Any


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots; what they do stands in `batching`, imported at first use."""

    def bind_batch(x: Any, place: Any) -> Any:
        from .batching import bind

        return bind(x, place)

    def leave_batch(x: Any, place: Any) -> Any:
        from .batching import leave

        return leave(x, place)

    def enter_batch(x: Any, levels: Any) -> Any:
        from .batching import enter

        return enter(x, levels)

    def total_batch(x: Any, levels: Any) -> Any:
        from .batching import total

        return total(x, levels)

    return {
        "bind_batch": bind_batch,
        "leave_batch": leave_batch,
        "enter_batch": enter_batch,
        "total_batch": total_batch,
    }
