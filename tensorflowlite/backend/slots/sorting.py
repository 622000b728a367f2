"""Slots of sorting and searching. NaN counts as greater than any number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtypes
from .shaping import alike


def sorting_slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of sorting and searching.

    ``order`` is the axis, and whether the greatest comes first.
    """

    def comparable(x: Any) -> Any:
        """Return an array of a dtype that the library can sort, in the same order."""
        return x.astype(dtypes.float32) if x.dtype == dtypes.bfloat16 else x

    def sort(x: Any, order: tuple[int, bool]) -> Any:
        axis, descending = order
        out = xp.sort(comparable(x), axis)
        if descending:
            out = xp.array(out[_backwards(axis)], order="C")
        return out.astype(x.dtype, copy=False)

    def argsort(x: Any, order: tuple[int, bool]) -> Any:
        axis, descending = order
        if not descending:
            return xp.argsort(comparable(x), axis, kind="stable")
        back = _backwards(axis)  # sorted backwards twice, equal elements keep their order
        places = xp.argsort(comparable(x)[back], axis, kind="stable")[back]
        return x.shape[axis] - 1 - places

    def unique(x: Any) -> tuple[Any, Any, Any]:
        """Return where distinct elements are first, which one each is, and how often."""
        order = xp.argsort(comparable(x), 0, kind="stable")
        ordered = x[order]
        first = xp.ones(x.shape, dtypes.bool_)
        first[1:] = ordered[1:] != ordered[:-1]
        inverse = xp.empty_like(order)
        inverse[order] = xp.cumsum(first) - 1
        starts = xp.flatnonzero(first)
        ends = xp.append(starts[1:], xp.asarray(x.size, starts.dtype))[: starts.size]
        return order[first], inverse, ends - starts

    def isin(x: Any, among: Any) -> Any:
        x, among = alike(x, among)
        return xp.isin(comparable(x), comparable(among))

    def searchsorted(x: Any, values: Any, side: str) -> Any:
        x, values = alike(x, values)
        return xp.asarray(xp.searchsorted(comparable(x), comparable(values), side))

    named = (sort, argsort, unique, isin, searchsorted)
    return {function.__name__: function for function in named}


def _backwards(axis: int) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(None, None, -1))
