"""The loss scale's work: gradients divided by it, and the scale itself, in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backend import dtypes
from ...core.entry import declare
from ...core.tensor import Tensor
from ...runtime import note_change


def _unscale(k: Any, found: Any, scale: Any, *gradients: Any) -> tuple[()]:
    with k.quiet():
        inverse = 1 / scale
        for g in gradients:
            parts = k.real_view(g)
            wide = k.widened(parts)
            finite = k.all(k.isfinite(wide), tuple(range(wide.ndim)))
            k.assign(found, k.maximum(found, 1 - finite.astype(dtypes.float32)))
            k.assign(parts, wide * k.factor(inverse, wide.dtype))
    return ()


def _update(k: Any, scale: Any, tracker: Any, found: Any, growth: float, backoff: float,
            interval: int) -> tuple[()]:  # fmt: skip
    with k.quiet():
        steps = tracker + 1
        due = steps == interval
        larger = scale * growth
        grown = k.where(k.isfinite(larger) & due, larger, scale)
        bad = found > 0
        k.assign(scale, k.where(bad, scale * backoff, grown))
        k.assign(tracker, k.where(bad | due, k.zeros_like(tracker), steps))
    return ()


_unscale_op = declare(
    "unscale_gradients",
    ("found", "scale", "gradients"),
    None,
    variadic=True,
    outputs=0,
    changes="all",
    decompose=_unscale,
    doc="Divide gradients by a scale, in place, and note whether one isn't finite.",
)
_update_op = declare(
    "update_scale",
    ("scale", "tracker", "found", "unused"),
    None,
    attributes=("growth_factor", "backoff_factor", "growth_interval"),
    variadic=True,
    outputs=0,
    changes="all",
    decompose=_update,
    doc="Let the scale fall after an infinity, and grow after enough steps without, in place.",
)


def unscale_gradients(found: Tensor, scale: Tensor, gradients: Sequence[Tensor]) -> None:
    """Divide gradients by a scale, in place; ``found`` becomes 1 where one isn't finite."""
    _unscale_op(found, scale, *gradients)
    for g in gradients:
        note_change(g.array, "unscale_gradients")


def update_scale(scale: Tensor, tracker: Tensor, found: Tensor, growth_factor: float,
                 backoff_factor: float, growth_interval: int) -> None:  # fmt: skip
    """Change a scale by whether its last gradients were finite, in place."""
    _update_op(scale, tracker, found, growth_factor, backoff_factor, growth_interval)
    note_change(scale.array, "update_scale")
