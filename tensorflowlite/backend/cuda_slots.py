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


def guarded(implementation: Callable[..., Any], accepts: Callable[..., Any],
            otherwise: Callable[..., Any]) -> Callable[..., Any]:  # fmt: skip
    """Return an implementation that leaves arguments it doesn't accept to another one."""

    def choose(*args: Any) -> Any:
        return implementation(*args) if accepts(*args) else otherwise(*args)

    return choose


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
    "cuda_activation_slots",
    "cuda_attention_slots",
    "cuda_embedding_slots",
    "cuda_gated_slots",
    "cuda_normalization_slots",
    "cuda_optimizer_slots",
    "cuda_product_slots",
    "cuda_random_slots",
    "cuda_reduction_slots",
    "cuda_softmax_slots",
)
