"""Slots of activations by kernels: elementwise, after a layer, and their gradients with the bias's.

The bias gradient is summed in float (double for double) from unrounded products, in the same order
every time: partial sums go to a workspace, which a second kernel adds up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..base import accepting
from .kernels import TYPE_NAMES, Kernels
from .layout import (  # fmt: skip
    chunks_of,
    in_c_order,
    of_one_float,
    pack_size,
    power_of_2,
    type_defines,
)

_FILE = "bias_activation.cu"
_THREADS, _PACKS_AT_ONCE = 256, 2  # as in the kernel
_MOST_BLOCKS = 1 << 16

# Name: the kernels' name, and whether its gradient reads the output.
ACTIVATIONS = {
    "relu": ("tfl::Relu", True),
    "leaky_relu": ("tfl::LeakyRelu", True),
    "sigmoid": ("tfl::Sigmoid", True),
    "tanh": ("tfl::Tanh", True),
    "silu": ("tfl::Silu", False),
    "gelu": ("tfl::Gelu", False),
    "gelu_tanh": ("tfl::GeluTanh", False),
}
SLOPE = 0.01  # of leaky_relu after a layer


def type_of(activation: str | None) -> str:
    """Return the struct of ``activations.cuh`` that is an activation.

    Examples
    --------
    >>> type_of("gelu_tanh"), type_of(None)
    ('tfl::GeluTanh', 'tfl::Identity')
    """
    return "tfl::Identity" if activation is None else ACTIVATIONS[activation][0]


def defines_of(dtype: Any, activation: str | None) -> dict[str, Any]:
    """Return the macros of a kernel that applies an activation; None is the identity.

    Examples
    --------
    >>> defines_of(dtypes.float32, "relu")
    {'TFL_TYPE': 'float', 'TFL_ACTIVATION': 'tfl::Relu'}
    """
    return {**type_defines(dtype), "TFL_ACTIVATION": type_of(activation)}


class BiasActivation:
    """Launches the kernels of bias and activation.

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

    def _elementwise(self, entry: str, defines: dict[str, Any], count: int, *args: Any) -> None:
        tile = _THREADS * _PACKS_AT_ONCE * pack_size(args[0].dtype)
        blocks = min(-(-count // tile), _MOST_BLOCKS)
        self._kernels.launch(_FILE, entry, defines, blocks, _THREADS, *args)

    def forward(self, z: Any, bias: Any, out: Any, saved: Any, activation: str | None,
                channels: bool = False, slope: float = SLOPE) -> None:  # fmt: skip
        """Write act(z + bias) to ``out`` and, unless None, z + bias to ``saved``."""
        period, length = 1, 1
        if bias is not None:
            period = bias.shape[0]
            length = math.prod(z.shape[2:]) if channels else 1
        defines = defines_of(z.dtype, activation)
        self._elementwise("bias_activation_forward", defines, z.size, z, bias, out, saved, z.size,
                          period, length, float(slope))  # fmt: skip

    def after_layer(self, z: Any, bias: Any, activation: str | None,
                    channels: bool) -> tuple[Any, Any]:  # fmt: skip
        """Apply bias and activation to what a layer made, which may be overwritten.

        Parameters
        ----------
        z
            A layer's product; its last axis is the bias's, or axis 1 where ``channels``.
        bias
            One-dimensional, or None.
        activation
            A name of `ACTIVATIONS`, or None.
        channels
            Whether the bias lies along axis 1.

        Returns
        -------
        out, saved
            The output, and what the gradient reads (None with no activation).
        """
        if bias is None and activation is None:
            return z, None
        z = in_c_order(self._xp, z)
        bias = None if bias is None else in_c_order(self._xp, bias)
        if activation is None or ACTIVATIONS[activation][1]:
            self.forward(z, bias, z, None, activation, channels)
            return z, None if activation is None else z
        out = self._xp.empty_like(z)
        # Without a bias z is what is saved, as it is.
        self.forward(z, bias, out, None if bias is None else z, activation, channels)
        return out, z

    def gradient(self, g: Any, saved: Any, activation: str) -> Any:
        """Return g * act'."""
        g, saved = in_c_order(self._xp, g), in_c_order(self._xp, saved)
        dz = self._xp.empty_like(g)
        self._elementwise("activation_gradient", defines_of(g.dtype, activation), g.size, g, saved,
                          dz, g.size, SLOPE)  # fmt: skip
        return dz

    def gradient_with_bias(self, g: Any, saved: Any, activation: str, axis: int) -> Any:
        """Return g * act', and its sums over all axes but one: the last, or axis 1."""
        xp = self._xp
        g, saved = in_c_order(xp, g), in_c_order(xp, saved)
        dz = xp.empty_like(g)
        sweep = self._sweep_rows if axis % g.ndim == g.ndim - 1 else self._sweep_channels
        partials = sweep(g, saved, dz, defines_of(g.dtype, activation))
        return dz, self.total(partials, g.dtype, activation)

    def total(self, partials: Any, dtype: Any, activation: str) -> Any:
        """Return the sums along the columns of partial sums, rounded once."""
        db = self._xp.empty(partials.shape[1], dtype)
        self._kernels.launch(
            _FILE, "sum_partials", defines_of(dtype, activation), -(-db.size // 32), (32, 32),
            partials, db, *partials.shape,
        )  # fmt: skip
        return db

    def _sweep_rows(self, g: Any, saved: Any, dz: Any, defines: dict[str, Any]) -> Any:
        columns = g.shape[-1]
        rows = g.size // columns
        packs = -(-columns // pack_size(g.dtype))
        across = min(32, power_of_2(packs))
        down = _THREADS // across
        strips = -(-packs // across)
        chunk, chunks = chunks_of(rows, strips, down * _PACKS_AT_ONCE)
        partials = self._xp.empty((chunks, columns), dtypes.accumulator(g.dtype))
        self._kernels.launch(
            _FILE, "bias_activation_backward", defines, (strips, chunks), (across, down), g, saved,
            dz, partials, rows, columns, chunk, SLOPE,
        )  # fmt: skip
        return partials

    def _sweep_channels(self, g: Any, saved: Any, dz: Any, defines: dict[str, Any]) -> Any:
        images, channels = g.shape[:2]
        length = g.size // (images * channels)
        size = pack_size(g.dtype)
        packed = length % size == 0
        across = min(_THREADS, power_of_2(length // size if packed else length))
        down = _THREADS // across
        chunk, chunks = chunks_of(images, channels, down * _PACKS_AT_ONCE)
        # Few images of many numbers are divided along the numbers too.
        piece, pieces = chunks_of(length, channels * chunks, 8 * across * size)
        partials = self._xp.empty((chunks * pieces, channels), dtypes.accumulator(g.dtype))
        self._kernels.launch(
            _FILE, "bias_activation_backward_channels", defines, (channels, chunks, pieces),
            (across, down), g, saved, dz, partials, images, channels, length, chunk, piece, SLOPE,
        )  # fmt: skip
        return partials


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of activations that kernels implement."""
    run = BiasActivation(xp, kernels)

    def accepts_gradient(g: Any, saved: Any, activation: str) -> bool:
        return (
            activation in ACTIVATIONS
            and of_one_float(g, saved)
            and g.shape == saved.shape
            and g.size > 0
            and run.ready(g.dtype, activation)
        )

    def accepts_bias_gradient(g: Any, saved: Any, activation: str, axis: int) -> bool:
        return (
            g.ndim >= 2
            and axis % g.ndim in (1, g.ndim - 1)
            and accepts_gradient(g, saved, activation)
        )

    def activation_gradient(g: Any, saved: Any, activation: str) -> Any:
        return run.gradient(g, saved, activation)

    def bias_activation_gradient(g: Any, saved: Any, activation: str, axis: int) -> Any:
        return run.gradient_with_bias(g, saved, activation, axis)

    accepting(activation_gradient, accepts_gradient)
    accepting(bias_activation_gradient, accepts_bias_gradient)
    return {
        "activation_gradient": activation_gradient,
        "bias_activation_gradient": bias_activation_gradient,
        **_elementwise_slots(xp, run, library),
    }


def _elementwise_slots(xp: Any, run: BiasActivation, library: Any) -> dict[str, Any]:
    """Return the slots of activations alone that take the library several passes."""

    def applied(slot: str, name_of: Callable[..., str], slope_of: Callable[..., float]) -> Any:
        def choose(x: Any, *attributes: Any) -> Any:
            name = name_of(*attributes)
            if x.dtype not in TYPE_NAMES or not x.size or not run.ready(x.dtype, name):
                return library(slot)(x, *attributes)
            x = in_c_order(xp, x)
            out = xp.empty_like(x)
            run.forward(x, None, out, None, name, slope=slope_of(*attributes))
            return out

        return choose

    def no_slope(*attributes: Any) -> float:
        return 0.0

    def gelu_name(approximate: str) -> str:
        return "gelu_tanh" if approximate == "tanh" else "gelu"

    return {
        "sigmoid": applied("sigmoid", lambda: "sigmoid", no_slope),
        "silu": applied("silu", lambda: "silu", no_slope),
        "gelu": applied("gelu", gelu_name, no_slope),
        "leaky_relu": applied("leaky_relu", lambda slope: "leaky_relu", float),
    }
