"""Slots of sorting. NaN counts as greater than any number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import dtypes


def sorting_slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of sorting: ``order`` is the axis, and whether the greatest comes first."""

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

    return {"sort": sort, "argsort": argsort}


def _backwards(axis: int) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(None, None, -1))
