"""The slot that runs fused calls on an NVIDIA GPU, by kernels compiled for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..elements.fused import FusedElements
from .elements import Elements
from .kernels import Kernels


def slots(xp: Any, kernels: Kernels) -> dict[str, Callable[..., Any]]:
    """Return the slot.

    Parameters
    ----------
    xp
        The array library: CuPy, or NumPy where tests run the kernels on the host.
    kernels
        Compiles and launches.
    """
    elements = Elements(xp, kernels)

    def fused_elements(fused: FusedElements, arrays: tuple[Any, ...]) -> Any:
        if fused.meets(arrays, xp.may_share_memory):
            return fused.plain(*arrays)
        inputs, written, made = fused.parted(arrays, xp.empty)
        known = "cuda" in fused.kept
        launch = elements.bind(fused.program, inputs, written, fused.common if known else None)
        if launch is None:
            return fused.plain(*arrays)
        fused.kept["cuda"] = True
        launch()
        return made

    return {"fused_elements": fused_elements}
