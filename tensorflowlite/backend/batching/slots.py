"""Slots of the way into a batch and out of it: the same for every kind of array."""

from __future__ import annotations

from typing import Any

from ..base import as_array, by_array_type
from .batched_array import BatchedArray, Level

Place = tuple[Level, int | None]


def bind(x: Any, place: Place) -> BatchedArray:
    """Take an axis as a level's batch; None: every sample has all of ``x``."""
    level, axis = place
    x = as_array(x)
    if type(x) is BatchedArray and x.level.number > level.number:
        inner = axis if axis is None else axis + x.batched
        return BatchedArray(x.level, bind(x.value, (level, inner)), x.batched, True)
    if axis is None:
        return BatchedArray(level, x, False, True)
    order = (axis, *[i for i in range(x.ndim) if i != axis])
    return BatchedArray(level, by_array_type[type(x)].permute_dims(x, order), True, True)


def leave(x: Any, place: Place) -> Any:
    """Return a level's batch as an axis; what isn't batched is repeated. None: no axis."""
    level, axis = place
    x = as_array(x)
    if type(x) is BatchedArray and x.level.number > level.number:
        inner = axis if axis is None else axis + x.batched
        return BatchedArray(x.level, leave(x.value, (level, inner)), x.batched)
    batched, value = False, x
    if type(x) is BatchedArray and x.level is level:
        batched, value = x.batched, x.value
    k = by_array_type[type(value)]
    if axis is None:
        return k.reshape(value, value.shape)
    if batched:
        order = (*range(1, axis + 1), 0, *range(axis + 1, value.ndim))
        return k.permute_dims(value, order)
    shape = value.shape
    value = k.reshape(value, (*shape[:axis], 1, *shape[axis:]))
    return k.broadcast_to(value, (*shape[:axis], level.size, *shape[axis:]))


def enter(x: Any, levels: tuple[Level, ...]) -> Any:
    """Give an array levels that it doesn't depend on."""
    x = as_array(x)
    for level in levels:
        x = _enter(x, level)
    return x


def _enter(x: Any, level: Level) -> Any:
    if type(x) is BatchedArray:
        if x.level is level:
            return x
        if x.level.number > level.number:
            return BatchedArray(x.level, _enter(x.value, level), x.batched, True)
    return BatchedArray(level, x, False, True)


def total(x: Any, levels: tuple[Level, ...]) -> Any:
    """Sum over the batches of levels: of what doesn't depend on the sample, so many times it."""
    x = as_array(x)
    for level in levels[::-1]:
        x = _total(x, level)
    return x


def _total(x: Any, level: Level) -> Any:
    if type(x) is BatchedArray:
        if x.level.number > level.number:
            return BatchedArray(x.level, _total(x.value, level), x.batched)
        if x.level is level:
            k = by_array_type[type(x.value)]
            if x.batched:
                out = as_array(k.sum(x.value, (0,)))
                return k.reshape(out, out.shape)
            x = x.value
    k = by_array_type[type(x)]
    out = as_array(k.cast(k.multiply(x, level.size), x.dtype))
    return k.reshape(out, out.shape)  # a view: the tape adds into arrays of its own only


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots."""
    return {"bind_batch": bind, "leave_batch": leave, "enter_batch": enter, "total_batch": total}
