"""Slots of the CUDA backend that kernels of our own implement, a file per family.

Each stands in for the library's slot of its name (or for a decomposition), and says for which
arguments; for others, and where the kernel can't be compiled, that one runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .kernels import Kernels

Library = Callable[[str], Callable[..., Any]]


def slots(xp: Any, kernels: Kernels, library: Library) -> dict[str, Callable[..., Any]]:
    """Return the slots that kernels implement.

    Parameters
    ----------
    xp
        The array library: CuPy, or NumPy where tests run the kernels on the host.
    kernels
        Compiles and launches.
    library
        Finds the library's slots by name, for what a kernel doesn't take.
    """
    found: dict[str, Callable[..., Any]] = {}
    for family in _FAMILIES:
        module = importlib.import_module(f".{family}", __package__)
        found.update(module.slots(xp, kernels, library))
    return found


# The modules here that have a function ``slots`` like the one above.
_FAMILIES = (
    "activation_slots",
    "attention_slots",
    "convolution_slots",
    "embedding_slots",
    "gated_slots",
    "normalization_slots",
    "optimizer_slots",
    "pooling_slots",
    "product_slots",
    "random_slots",
    "reduction_slots",
    "softmax_slots",
)
