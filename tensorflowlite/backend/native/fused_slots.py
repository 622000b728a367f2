"""The slot that runs fused calls: by the native extension, or one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from ..elements.fused import FusedElements, raising
from . import extension as native
from .elements import prepared


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots ``fused_elements``, and ``exact_powers`` for what those give."""
    if xp is not numpy:
        return {"fused_elements": _one_by_one, "exact_powers": lambda: False}
    return {"fused_elements": _native, "exact_powers": lambda: True}


def _one_by_one(fused: FusedElements, arrays: tuple[Any, ...]) -> Any:
    return fused.plain(*arrays)


def _native(fused: FusedElements, arrays: tuple[Any, ...]) -> Any:
    if native.module is None:
        return fused.plain(*arrays)
    if "native" not in fused.kept:
        fused.kept["native"] = prepared(fused.program)
    program = fused.kept["native"]
    if program is None or fused.meets(arrays, numpy.may_share_memory):
        return fused.plain(*arrays)
    if not fused.quiet and raising():
        return fused.plain(*arrays)
    inputs, written, made = fused.parted(arrays, numpy.empty)
    try:
        native.module.run_elements(program, inputs, written)
    except ValueError:  # unaligned or overlapping memory, more axes than it joins
        return fused.plain(*arrays)
    return made
