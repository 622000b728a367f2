"""Slots of the activations; half precision is computed in float32 and rounded once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from .. import dtypes
from . import special

_SQRT_HALF = math.sqrt(0.5)
_TANH_SCALE, _TANH_CUBE = math.sqrt(2 / math.pi), 0.044715


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots of the activations."""
    erf = special.slots(xp)["erf"]

    def widened(function: Callable[..., Any]) -> Callable[..., Any]:
        """Compute in float where ``x`` is of half precision or no float at all."""

        @functools.wraps(function)
        def run(x: Any, *attributes: Any) -> Any:
            dtype = x.dtype
            if dtype in dtypes.half:
                return function(x.astype(dtypes.float32), *attributes).astype(dtype)
            if dtype.kind in "biu":
                x = x.astype(dtypes.default["f"])
            return function(x, *attributes)

        return run

    def relu(x: Any) -> Any:
        return xp.maximum(x, x.dtype.type(0))  # NaN stays NaN

    def leaky_relu(x: Any, slope: float) -> Any:
        zero = x.dtype.type(0)
        return xp.maximum(x, zero) + xp.minimum(x, zero) * x.dtype.type(slope)

    @widened
    def elu(x: Any, alpha: float) -> Any:
        return xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0)))

    def _sigmoid(x: Any) -> Any:
        # The exponential never overflows, and keeps the far tail's digits.
        if x.dtype.kind == "c":
            negative = x.real < 0
            small = xp.exp(xp.where(negative, x, -x))
        else:
            negative, small = x < 0, xp.exp(-xp.abs(x))
        return xp.where(negative, small, 1) / (1 + small)

    sigmoid = widened(_sigmoid)

    @widened
    def silu(x: Any) -> Any:
        return x * _sigmoid(x)

    @widened
    def gelu(x: Any, approximate: str) -> Any:
        if approximate == "tanh":
            return 0.5 * x * (1 + xp.tanh(_TANH_SCALE * (x + _TANH_CUBE * x * x * x)))
        return 0.5 * x * (1 + erf(x * _SQRT_HALF))

    @widened
    def softplus(x: Any, beta: float, threshold: float) -> Any:
        scaled = x * beta
        smooth = (xp.maximum(scaled, 0) + xp.log1p(xp.exp(-xp.abs(scaled)))) / beta
        return xp.where(scaled > threshold, x, smooth)

    def hardtanh(x: Any, low: float, high: float) -> Any:
        return xp.minimum(xp.maximum(x, x.dtype.type(low)), x.dtype.type(high))

    @widened
    def softmax(x: Any, axis: int) -> Any:
        if x.size == 0:
            return x.copy()
        out = xp.exp(x - x.max(axis, keepdims=True))
        out /= out.sum(axis, keepdims=True)
        return out

    @widened
    def log_softmax(x: Any, axis: int) -> Any:
        if x.size == 0:
            return x.copy()
        out = x - x.max(axis, keepdims=True)
        out -= xp.log(xp.exp(out).sum(axis, keepdims=True))
        return out

    return {
        "relu": relu,
        "leaky_relu": leaky_relu,
        "elu": elu,
        "sigmoid": sigmoid,
        "silu": silu,
        "gelu": gelu,
        "softplus": softplus,
        "hardtanh": hardtanh,
        "softmax": softmax,
        "log_softmax": log_softmax,
    }
