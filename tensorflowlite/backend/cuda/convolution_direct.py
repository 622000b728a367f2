"""Convolutions whose groups have few channels, by a sum for each element."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from . import convolution
from .activation_slots import SLOPE, defines_of
from .convolution import FORWARD, Geometry
from .kernels import Kernels
from .layout import chunks_of, in_c_order

FILE = "convolution_direct.cu"
_THREADS, _WINDOWS_OF_THREAD, _COLUMNS = 256, 8, 32  # the first and the last as in the kernels
_FEW = 4


def few_channels(geometry: Geometry) -> bool:
    """Return whether a group's product would leave most of a tile empty."""
    return geometry.groups > 1 and max(geometry.channels, geometry.outputs) <= _FEW


class DirectConvolutions:
    """Launches the kernels; they take what `Convolutions` take.

    Parameters
    ----------
    xp
        The array library.
    kernels
        Compiles and launches.
    """

    def __init__(self, xp: Any, kernels: Kernels) -> None:
        self._xp, self._kernels = xp, kernels

    def accepts(self, file: str, geometry: Geometry, activation: str | None, *images: Any) -> bool:
        """Return whether a kernel does a convolution, or the gradient that is in ``file``."""
        g, dtype = geometry, images[0].dtype
        after = activation if file == FORWARD else None
        return (
            convolution.accepts(g, dtype, self._kernels.driver.capability())
            and max(g.x_shape[1] * g.places, g.w_shape[0] * g.windows) * g.x_shape[0] < 2**38
            and g.w_shape[0] * g.channels * g.taps < 2**31
            and self._kernels.ready(FILE, **defines_of(dtype, after))
        )

    def _elementwise(self, entry: str, geometry: Geometry, activation: str | None, out: Any,
                     *arguments: Any) -> None:  # fmt: skip
        self._kernels.launch(
            FILE, entry, defines_of(out.dtype, activation), -(-out.size // _THREADS), _THREADS,
            convolution.argument(geometry, False, False), *arguments,
        )  # fmt: skip

    def forward(self, x: Any, w: Any, geometry: Geometry, bias: Any = None,
                activation: str | None = None, keep: bool = False) -> tuple[Any, Any]:  # fmt: skip
        """Return activation(convolution + bias), and what comes before the activation if kept."""
        xp = self._xp
        out = xp.empty(geometry.out_shape, x.dtype)
        saved = xp.empty(geometry.out_shape, x.dtype) if keep else None
        x, w = in_c_order(xp, x), in_c_order(xp, w)
        bias = None if bias is None else in_c_order(xp, bias)
        self._elementwise("direct_forward", geometry, activation, out, x, w, bias, out, saved,
                          SLOPE)  # fmt: skip
        return out, saved

    def input_gradient(self, y: Any, w: Any, geometry: Geometry) -> Any:
        """Return the gradient by the images."""
        xp = self._xp
        out = xp.empty(geometry.x_shape, y.dtype)
        y, w = in_c_order(xp, y), in_c_order(xp, w)
        self._elementwise("direct_input_gradient", geometry, None, out, y, w, out)
        return out

    def weight_gradient(self, y: Any, x: Any, geometry: Geometry) -> Any:
        """Return the gradient by the weights."""
        xp, g = self._xp, geometry
        out = xp.empty(g.w_shape, y.dtype)
        windows = g.x_shape[0] * g.windows
        chunk, chunks = chunks_of(windows, out.size, _THREADS * _WINDOWS_OF_THREAD)
        partials = xp.empty((chunks, out.size), dtypes.accumulator(y.dtype))
        y, x = in_c_order(xp, y), in_c_order(xp, x)
        variant = defines_of(y.dtype, None)
        self._kernels.launch(
            FILE, "direct_weight_gradient", variant, (out.size, chunks), _THREADS,
            convolution.argument(g, False, False), y, x, partials, chunk,
        )  # fmt: skip
        self._kernels.launch(
            FILE, "direct_weight_sum", variant, -(-out.size // _COLUMNS), (32, 32), partials, out,
            chunks, out.size,
        )  # fmt: skip
        return out
