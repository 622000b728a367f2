"""Layers with their bias and activation in one operation, forward and backward.

``linear_act`` is activation(x wᵀ + b) and ``conv_act`` its convolution. Their backward passes do
the activation's derivative and the bias gradient in one sweep; where a ``linear_act`` feeds
another, the second hands over its gradient unevaluated, and the first does the product, the
derivative and the bias gradient together. A separate activation after a layer without one defers
to the layer in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.entry import primitive
from ..core.fused import fused
from ..core.primitive import Primitive
from ..core.tape import DEFER, Deferred, defer
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from . import activation as _activation
from . import conv as _conv
from . import elementwise as _elementwise
from .activation_gradients import ACTIVATIONS, GELUS
from .arguments import as_tensor, public
from .shaping import _reshape


# -- the parts of a backward pass ------------------------------------------------------------------
def _other_axes(ndim: int, axis: int) -> tuple[int, ...]:
    return tuple([i for i in range(ndim) if i != axis % ndim])


def _bias_activation_gradient(k: Any, x: Any, saved: Any, activation: str, axis: int) -> Any:
    dz = k.activation_gradient(x, saved, activation)
    return dz, k.sum(dz, _other_axes(dz.ndim, axis))


bias_activation_gradient = fused(
    "bias_activation_gradient",
    ("x", "saved"),
    _bias_activation_gradient,
    attributes=("activation", "axis"),
    outputs=2,
    doc="The gradient of an activation's input, and of the bias along ``axis``, in one sweep.",
)


def _product_activation_gradient(k: Any, x: Any, w: Any, saved: Any, activation: str) -> Any:
    return k.bias_activation_gradient(k.matmul(x, w), saved, activation, -1)


product_activation_gradient = fused(
    "product_activation_gradient",
    ("x", "w", "saved"),
    _product_activation_gradient,
    attributes=("activation",),
    outputs=2,
    doc="`bias_activation_gradient` of ``x @ w``: the backward of two layers that follow.",
)


# -- what is handed over ---------------------------------------------------------------------------
class LayerGradient(Deferred):
    """Stands for a gradient whose making may go on through an activation and a bias.

    ``axis`` is the one along which that bias must lie: a layer whose bias lies otherwise gets the
    gradient itself.
    """

    __slots__ = ()
    axis: int

    def activated(self, k: Any, saved: Any, activation: str) -> Any:
        """Return what `bias_activation_gradient` makes of it."""
        raise NotImplementedError


class ProductGradient(LayerGradient):
    """Stands for ``g @ w``: the gradient that a linear layer gives its input."""

    __slots__ = ("g", "w")
    axis = -1

    def __init__(self, g: Any, w: Any) -> None:
        self.g, self.w = g, w

    def evaluate(self, k: Any) -> Any:
        return k.matmul(self.g, self.w)

    def activated(self, k: Any, saved: Any, activation: str) -> Any:
        return k.product_activation_gradient(self.g, self.w, saved, activation)


class ActivationGradient(Deferred):
    """Stands for the gradient that an activation gives its input; ``g`` may itself be deferred."""

    __slots__ = ("g", "saved", "activation")

    def __init__(self, g: Any, saved: Any, activation: str) -> None:
        self.g, self.saved, self.activation = g, saved, activation

    def evaluate(self, k: Any) -> Any:
        g = self.g.evaluate(k) if isinstance(self.g, Deferred) else self.g
        return k.activation_gradient(g, self.saved, self.activation)


def _layer_gradients(
    k: Any, g: Any, saved: Any, activation: str | None, axis: int, wants_bias: bool
) -> tuple[Any, Any]:
    """Return the gradients of a layer's pre-activation and bias, whatever form ``g`` comes in."""
    if isinstance(g, ActivationGradient):
        g, saved, activation = g.g, g.saved, g.activation
    if isinstance(g, LayerGradient):
        if activation is not None and wants_bias and g.axis == axis:
            return g.activated(k, saved, activation)
        g = g.evaluate(k)
    if activation is not None:
        if wants_bias:
            return k.bias_activation_gradient(g, saved, activation, axis)
        g = k.activation_gradient(g, saved, activation)
    return g, k.sum(g, _other_axes(g.ndim, axis)) if wants_bias else None


# -- linear ----------------------------------------------------------------------------------------
def _activate(k: Any, z: Any, activation: str | None) -> tuple[Any, Any]:
    """Return an activation's output and what its gradient needs saved."""
    if activation is None:
        return z, None
    chosen = ACTIVATIONS[activation]
    out = chosen.apply(k, z)
    return out, out if chosen.saves_output else z


def _linear(k: Any, x: Any, w: Any, *rest: Any) -> tuple[Any, Any]:
    *bias, activation = rest
    z = k.matmul(x, k.mT(w))
    return _activate(k, z + bias[0] if bias else z, activation)


def _linear_residual(k: Any, x: Any, w: Any, *rest: Any) -> Any:
    return _linear(k, x, w, *rest)[1]


def _linear_backward(
    k: Any, g: Any, need: Any, x: Any, w: Any, bias: Any, residual: Any, activation: Any
) -> Any:
    dz, db = _layer_gradients(k, g, residual, activation, -1, len(need) > 2 and need[2])
    dx = None
    if need[0]:
        dx = ProductGradient(dz, w) if need[0] is DEFER else k.matmul(dz, w)
    dw = k.matmul(k.mT(_rows(k, dz)), _rows(k, x)) if need[1] else None
    return (dx, dw, db)[: len(need)]


def _rows(k: Any, x: Any) -> Any:
    return x if x.ndim == 2 else k.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _explain_linear(shapes: list[tuple[int, ...]], activation: Any) -> str:
    x, w = shapes[:2]
    if x[-1] != w[-1]:
        return f"the last axis of x must be in_features={w[-1]}, got x {x}"
    return f"the bias must have shape ({w[0]},), got {shapes[2]}"


_linear_act = fused(
    "linear_act",
    ("x", "w", "bias"),
    _linear,
    attributes=("activation",),
    backward=_linear_backward,
    variadic=True,
    keeps_residual=True,
    rebuild_residual=_linear_residual,
    explain=_explain_linear,
    called="linear",
    doc="activation(x @ w.T + bias), with no bias or one.",
)


def check_activation(name: str, activation: str | None) -> None:
    """Raise for an activation that has no fused form.

    Examples
    --------
    >>> from tensorflowlite.nn import functional as F
    >>> F.check_activation("linear", "relu")
    """
    if activation is not None and activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ArgumentError(
            f"{name}: activation must be None or one of {known}, got {activation!r}"
        )


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None,
           activation: str | None = None) -> Tensor:  # fmt: skip
    """Return ``activation(input @ weight.T + bias)``, as one operation forward and backward.

    Parameters
    ----------
    input : Tensor, shape (..., in_features)
    weight : Tensor, shape (out_features, in_features)
    bias : Tensor, shape (out_features,), optional
    activation : str, optional
        relu, leaky_relu, sigmoid, tanh, silu, gelu or gelu_tanh.

    Returns
    -------
    Tensor, shape (..., out_features)

    Raises
    ------
    ShapeError
        The last axis of ``input`` isn't in_features.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.linear(tfl.ones((2, 3)), tfl.ones((1, 3)), tfl.tensor([-5.0]), activation="relu")
    tensor([[0.],
            [0.]])
    """
    check_activation("linear", activation)
    x, weight = as_tensor(input), as_tensor(weight)
    shape = x.array.shape
    if not shape or weight.ndim != 2 or shape[-1] != weight.array.shape[1]:
        wanted = weight.shape[1] if weight.ndim == 2 else "2-D weight's second axis"
        raise ShapeError(
            f"linear: the last axis of x must be in_features={wanted}, got x {shape} and weight "
            f"{weight.shape}"
        )
    biases = () if bias is None else (bias,)
    if bias is not None and bias.shape != (weight.shape[0],):
        raise ShapeError(
            f"linear: the bias must have shape ({weight.shape[0]},), got {bias.shape}"
        )
    if len(shape) > 1:
        return _linear_act(x, weight, *biases, activation)
    row = _linear_act(_reshape(x, (1, shape[0])), weight, *biases, activation)
    return _reshape(row, (weight.array.shape[0],))


# -- convolution -----------------------------------------------------------------------------------
_GEOMETRY = ("stride", "padding", "dilation", "groups")


def _convolution(k: Any, x: Any, w: Any, *rest: Any) -> tuple[Any, Any]:
    *bias, stride, padding, dilation, groups, activation = rest
    z = k.convolution(x, w, stride, padding, dilation, groups)
    if bias:
        z = z + k.reshape(bias[0], (1, w.shape[0]) + (1,) * (x.ndim - 2))
    return _activate(k, z, activation)


def _convolution_residual(k: Any, x: Any, w: Any, *rest: Any) -> Any:
    return _convolution(k, x, w, *rest)[1]


def _convolution_backward(k: Any, g: Any, need: Any, x: Any, w: Any, bias: Any, residual: Any,
                          stride: Any, padding: Any, dilation: Any, groups: Any,
                          activation: Any) -> Any:  # fmt: skip
    dz, db = _layer_gradients(k, g, residual, activation, 1, len(need) > 2 and need[2])
    geometry = (stride, padding, dilation, groups)
    dx = k.convolution_input_gradient(dz, w, x.shape, *geometry) if need[0] else None
    dw = k.convolution_weight_gradient(dz, x, w.shape, *geometry) if need[1] else None
    return (dx, dw, db)[: len(need)]


_conv_act = fused(
    "conv_act",
    ("x", "w", "bias"),
    _convolution,
    attributes=(*_GEOMETRY, "activation"),
    backward=_convolution_backward,
    variadic=True,
    keeps_residual=True,
    rebuild_residual=_convolution_residual,
    called="convolution",
    doc="activation(convolution(x, w) + bias), with no bias or one.",
)


def _convolving(axes: int) -> Any:
    """Return the convolution over so many axes, with bias and activation."""
    name = f"conv{axes}d"

    def run(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
            padding: Any = 0, dilation: Any = 1, groups: int = 1, activation: str | None = None
            ) -> Tensor:  # fmt: skip
        check_activation(name, activation)
        x, weight = as_tensor(input), as_tensor(weight)
        alone = x.ndim == axes + 1
        if alone:
            x = x[None]
        bias_shape = None if bias is None else bias.shape
        geometry = _conv.convolution_geometry(
            name, axes, x.shape, weight.shape, bias_shape, stride, padding, dilation, groups
        )
        out = _conv_act(x, weight, *(() if bias is None else (bias,)), *geometry, activation)
        return out[0] if alone else out

    size, ones = _conv.AXES[axes], ", 2" * axes
    run.__doc__ = f"""Return ``activation({name}(input, weight) + bias)`` as one operation.

    Parameters
    ----------
    input : Tensor, shape (images, channels, {size})
        Or one image alone, without the first axis.
    weight : Tensor, shape (out_channels, channels / groups, {size} of the kernel)
    bias : Tensor, shape (out_channels,), optional
    stride, dilation : int or one per axis
        Steps between windows, and between the places inside a window.
    padding : int, one per axis, 'same' or 'valid'
        Zeros on both sides of each axis; 'same' keeps the size (stride 1 only).
    groups : int
        Into how many groups the channels fall that don't see each other.
    activation : str, optional
        As of `linear`.

    Returns
    -------
    Tensor, shape (images, out_channels, {size})

    Raises
    ------
    ShapeError
        The channels don't match, or the kernel is larger than the padded image.
    ArgumentError
        A stride, padding, dilation or number of groups that has no meaning.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.{name}(tfl.ones((1, 1{ones})), tfl.ones((1, 1{ones})), tfl.tensor([0.5])).item()
    {2.0**axes + 0.5}
    """
    return public(name, run)


conv1d, conv2d, conv3d = map(_convolving, (1, 2, 3))


# -- who defers to whom ----------------------------------------------------------------------------
def _payload(activation: str, saves_output: bool) -> Callable[..., Any]:
    if saves_output:
        return lambda g, out: ActivationGradient(g, out, activation)
    return lambda g, x: ActivationGradient(g, x, activation)


def _gelu_payload(g: Any, x: Any, approximate: str) -> ActivationGradient:
    return ActivationGradient(g, x, GELUS[approximate])


_ACTIVATIONS: dict[str, Any] = {
    "relu": _activation.relu,
    "sigmoid": _activation.sigmoid,
    "tanh": _elementwise.tanh,
    "silu": _activation.silu,
}


def _declare_deferrals() -> None:
    layers: list[Primitive] = [_linear_act.primitive, _conv_act.primitive]
    for name, function in _ACTIVATIONS.items():
        payload = _payload(name, ACTIVATIONS[name].saves_output)
        for layer in layers:
            defer(function.primitive, layer, payload)
    for layer in layers:
        defer(primitive("gelu"), layer, _gelu_payload)
    defer_to_activations(_linear_act.primitive)
    defer(_linear_act.primitive, _linear_act.primitive)


def defer_to_activations(consumer: Primitive) -> None:
    """Let an operation that makes a `LayerGradient` hand it to the activations of layers."""
    for function in _ACTIVATIONS.values():
        defer(consumer, function.primitive)
    defer(consumer, primitive("gelu"))


_declare_deferrals()
