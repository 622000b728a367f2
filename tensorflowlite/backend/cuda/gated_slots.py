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


class GatedActivation:
    """Launches the kernels of gated activations.

    Parameters
    ----------
    xp
        The array library.
    kernels
        Compiles and launches.
    """

    def __init__(self, xp: Any, kernels: Kernels) -> None:
        self._xp, self._kernels = xp, kernels

    def ready(self, dtype: Any, activation: str | None) -> bool:
        """Return whether the kernels of an activation run here."""
        return self._kernels.ready(_FILE, **defines_of(dtype, activation))

    def _launch(self, entry: str, activation: str, *arrays: Any) -> None:
        dtype, count = arrays[0].dtype, arrays[0].size
        tile = _THREADS * _PACKS_AT_ONCE * pack_size(dtype)
        blocks = min(-(-count // tile), _MOST_BLOCKS)
        defines = defines_of(dtype, activation)
        self._kernels.launch(_FILE, entry, defines, blocks, _THREADS, *arrays, count, SLOPE)

    def forward(self, x: Any, y: Any, activation: str) -> Any:
        """Return act(x) y."""
        x, y = in_c_order(self._xp, x), in_c_order(self._xp, y)
        out = self._xp.empty_like(x)
        self._launch("gated_activation_forward", activation, x, y, out)
        return out

    def gradient(self, g: Any, x: Any, y: Any, activation: str, into: Any = None) -> Any:
        """Return the gradients of x, written to ``into`` (which may be g), and of y."""
        g, x, y = [in_c_order(self._xp, array) for array in (g, x, y)]
        dx = self._xp.empty_like(g) if into is None else into
        dy = self._xp.empty_like(g)
        self._launch("gated_activation_backward", activation, g, x, y, dx, dy)
        return dx, dy


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of gated activations; a product before one is `product_slots`'s."""
    run = GatedActivation(xp, kernels)

    def accepts(*args: Any) -> bool:
        *arrays, activation = args
        first = arrays[0]
        return (
            activation in ACTIVATIONS
            and of_one_float(*arrays)
            and all(array.shape == first.shape for array in arrays)
            and first.size > 0
            and run.ready(first.dtype, activation)
        )

    def gated_activation(x: Any, y: Any, activation: str) -> Any:
        return run.forward(x, y, activation)

    def gated_activation_gradient(g: Any, x: Any, y: Any, activation: str) -> Any:
        return run.gradient(g, x, y, activation)

    return {
        "gated_activation": accepting(gated_activation, accepts),
        "gated_activation_gradient": accepting(gated_activation_gradient, accepts),
    }
