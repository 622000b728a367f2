"""When a training's gradients are verified; how, stands in `verification`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError


def make_verifier(
    model: Any, loss: Callable[[Any, Any], Any], every: int
) -> Callable[[tuple[Any, ...], Any], None]:
    """Return what a `Trainer` calls with each batch before its step: nothing for ``every=0``."""
    if isinstance(every, bool) or not isinstance(every, int) or every < 0:
        raise ArgumentError(
            f"Trainer: verify_gradients must be an integer of at least 0, got {every!r}"
        )
    if not every:
        return lambda inputs, target: None
    from .verification import Verifier

    return Verifier(model, loss, every)
