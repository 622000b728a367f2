"""The activations that layers fuse, and gradients of activations as one operation each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..backend import Kept
from ..core.fused import fused

_SQRT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
_TANH_SCALE, _TANH_CUBE = math.sqrt(2 / math.pi), 0.044715
GELUS = {"none": "gelu", "tanh": "gelu_tanh"}  # the forms of gelu by its attribute


def _silu_gradient(k: Any, g: Any, x: Any) -> Any:
    s = k.sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


def _gelu_gradient(k: Any, g: Any, x: Any, approximate: str) -> Any:
    if approximate == "none":
        density = _DENSITY * k.exp(-0.5 * x * x)
        return g * (0.5 * (1 + k.erf(x * _SQRT_HALF)) + x * density)
    t = k.tanh(_TANH_SCALE * (x + _TANH_CUBE * x * x * x))
    slope = _TANH_SCALE * (1 + 3 * _TANH_CUBE * x * x)
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


class Activation(NamedTuple):
    """An activation, and its gradient from what is saved of it."""

    apply: Callable[..., Any]  # (k, z) -> out
    gradient: Callable[..., Any]  # (k, g, saved) -> the gradient of z
    saves_output: bool  # whether `saved` is the output, else z


def _leaky_gradient(k: Any, g: Any, out: Any) -> Any:
    return k.where(out > 0, g, g * 0.01)


def _gelu(approximate: str) -> Activation:
    return Activation(
        lambda k, z: k.gelu(z, approximate),
        lambda k, g, z: _gelu_gradient(k, g, z, approximate),
        False,
    )


ACTIVATIONS = {
    "relu": Activation(lambda k, z: k.relu(z), lambda k, g, out: g * (out > 0), True),
    "leaky_relu": Activation(lambda k, z: k.leaky_relu(z, 0.01), _leaky_gradient, True),
    "sigmoid": Activation(
        lambda k, z: k.sigmoid(z), lambda k, g, out: g * out * (1 - out), True
    ),
    "tanh": Activation(lambda k, z: k.tanh(z), lambda k, g, out: g * (1 - out * out), True),
    "silu": Activation(lambda k, z: k.silu(z), _silu_gradient, False),
    "gelu": _gelu("none"),
    "gelu_tanh": _gelu("tanh"),
}

activation_gradient = fused(
    "activation_gradient",
    ("x", "saved"),
    lambda k, x, saved, activation: ACTIVATIONS[activation].gradient(k, x, saved),
    attributes=("activation",),
    doc="The gradient ``x`` of an activation's output, taken to its input.",
)


def _softmax_gradient(k: Any, x: Any, saved: Any, axis: int, logs: bool) -> Any:
    if logs:
        return x - k.exp(saved) * k.sum(x, Kept((axis,)))
    return saved * (x - k.sum(x * saved, Kept((axis,))))


softmax_gradient = fused(
    "softmax_gradient",
    ("x", "saved"),
    _softmax_gradient,
    attributes=("axis", "logs"),
    doc="The gradient ``x`` of softmax's output, or with ``logs`` of log_softmax's, to its input.",
)
