"""Slots of gated activations by kernels, forward and backward in one sweep each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base import accepting
from .activation_slots import ACTIVATIONS, SLOPE, defines_of
from .kernels import Kernels
from .layout import in_c_order, of_one_float, pack_size

_FILE = "gated_activation.cu"
_THREADS, _PACKS_AT_ONCE = 256, 2  # as in the kernel
_MOST_BLOCKS = 1 << 16


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of gated activations."""

    def launch(entry: str, activation: str, *arrays: Any) -> None:
        dtype, count = arrays[0].dtype, arrays[0].size
        tile = _THREADS * _PACKS_AT_ONCE * pack_size(dtype)
        blocks = min(-(-count // tile), _MOST_BLOCKS)
        defines = defines_of(dtype, activation)
        kernels.launch(_FILE, entry, defines, blocks, _THREADS, *arrays, count, SLOPE)

    def accepts(*args: Any) -> bool:
        *arrays, activation = args
        first = arrays[0]
        return (
            activation in ACTIVATIONS
            and of_one_float(*arrays)
            and all(array.shape == first.shape for array in arrays)
            and first.size > 0
            and kernels.ready(_FILE, **defines_of(first.dtype, activation))
        )

    def gated_activation(x: Any, y: Any, activation: str) -> Any:
        x, y = in_c_order(xp, x), in_c_order(xp, y)
        out = xp.empty_like(x)
        launch("gated_activation_forward", activation, x, y, out)
        return out

    def gated_activation_gradient(g: Any, x: Any, y: Any, activation: str) -> tuple[Any, Any]:
        g, x, y = [in_c_order(xp, array) for array in (g, x, y)]
        dx, dy = xp.empty_like(g), xp.empty_like(g)
        launch("gated_activation_backward", activation, g, x, y, dx, dy)
        return dx, dy

    return {
        "gated_activation": accepting(gated_activation, accepts),
        "gated_activation_gradient": accepting(gated_activation_gradient, accepts),
    }
