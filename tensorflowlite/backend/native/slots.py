"""Slots of the CPU backend that the native extension implements, a file per family.

Each stands in for the library's slot of its name or for a decomposition. Its ``accepts`` says for
which arguments; for others, and where the extension isn't built, that one runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from . import extension as native

# The modules here that have a function ``slots(module, library)``.
_FAMILIES = (
    "attention_slots",
    "convolution_slots",
    "function_slots",
    "layer_slots",
    "loss_slots",
    "normalization_slots",
    "optimizer_slots",
    "pooling_slots",
    "row_slots",
)


def slots(library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the native slots; none where the extension isn't loaded.

    ``library`` finds NumPy's slots by name, for what a native one builds on.
    """
    module = native.module
    if module is None:
        return {}
    bfloat16 = dtypes.bfloat16.num
    found: dict[str, Any] = {
        name: module.mended_ufunc(getattr(numpy, name), bfloat16)
        for name in ("floor_divide", "tanh", "expm1")
    }
    for family in _FAMILIES:
        slots_of = importlib.import_module(f".{family}", __package__).slots
        found.update(slots_of(module, library))
    return found
