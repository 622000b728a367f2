"""Gated activations: one half of a layer's features, activated, times the other half.

Forward and backward are one operation each, of which only the two inputs are saved: the activation
is computed anew in the backward pass, which costs less than to keep and read it. Where a linear
layer takes the gated features, it hands over its gradient as a product that isn't evaluated yet,
and the product and the gates' gradient are done together.
"""

from __future__ import annotations

from typing import Any

from ..core.fused import fused
from ..core.tape import defer
from ..core.tensor import Tensor
from ..errors import ArgumentError
from .activation_gradients import ACTIVATIONS, GELUS
from .arguments import as_tensor
from .fused import ProductGradient, _linear_act


# -- the parts of a backward pass ------------------------------------------------------------------
def _gate_gradient(k: Any, x: Any, gate: Any, y: Any, activation: str) -> Any:
    """Return the gradient of the gate alone, and the activation's output."""
    chosen = ACTIVATIONS[activation]
    out = chosen.apply(k, gate)
    return k.activation_gradient(x * y, out if chosen.saves_output else gate, activation), out


def _gated_gradient(k: Any, x: Any, gate: Any, y: Any, activation: str) -> Any:
    of_gate, out = _gate_gradient(k, x, gate, y, activation)
    pair = of_gate, x * out
    # A product of arrays without axes is a number of NumPy's, which clone() makes an array.
    return pair if pair[0].ndim else tuple([k.clone(one) for one in pair])


gated_activation_gradient = fused(
    "gated_activation_gradient",
    ("x", "gate", "y"),
    _gated_gradient,
    attributes=("activation",),
    outputs=2,
    doc="The gradient ``x`` of gated features, taken to the gate and to what it is applied to.",
)


def _product_gated_gradient(k: Any, x: Any, w: Any, gate: Any, y: Any, activation: str) -> Any:
    return k.gated_activation_gradient(k.matmul(x, w), gate, y, activation)


product_gated_gradient = fused(
    "product_gated_gradient",
    ("x", "w", "gate", "y"),
    _product_gated_gradient,
    attributes=("activation",),
    outputs=2,
    doc="`gated_activation_gradient` of ``x @ w``: the backward of gated features and a layer.",
)


# -- the operation ---------------------------------------------------------------------------------
def _gated(k: Any, x: Any, y: Any, activation: str) -> Any:
    return ACTIVATIONS[activation].apply(k, x) * y


def _gated_backward(k: Any, g: Any, need: Any, x: Any, y: Any, activation: str) -> Any:
    if need[0] and need[1]:
        if isinstance(g, ProductGradient):
            return k.product_gated_gradient(g.g, g.w, x, y, activation)
        return k.gated_activation_gradient(g, x, y, activation)
    if isinstance(g, ProductGradient):
        g = g.evaluate(k)
    if need[0]:
        return _gate_gradient(k, g, x, y, activation)[0], None
    return None, k.gated_activation(x, g, activation)


gated_activation = fused(
    "gated_activation",
    ("x", "y"),
    _gated,
    attributes=("activation",),
    backward=_gated_backward,
    called="gated",
    doc="activation(x) * y.",
)
defer(_linear_act.primitive, gated_activation.primitive)


def gated(gate: Any, x: Any, activation: str) -> Tensor:
    """Return ``activation(gate) * x``, as one operation forward and backward.

    Parameters
    ----------
    gate : Tensor
        A float dtype.
    x : Tensor
        What the gate is applied to; the shapes broadcast.
    activation : str
        relu, leaky_relu, sigmoid, tanh, silu, gelu or gelu_tanh.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        The activation isn't one of these.

    References
    ----------
    Shazeer, "GLU variants improve transformer", 2020.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.gated(tfl.tensor([-1.0, 2.0]), tfl.tensor([3.0, 3.0]), "relu")
    tensor([0., 6.])
    """
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ArgumentError(f"gated: activation must be one of {known}, got {activation!r}")
    return gated_activation(as_tensor(gate), as_tensor(x), activation)


def swiglu(gate: Any, x: Any) -> Tensor:
    """Return ``silu(gate) * x``, as one operation forward and backward.

    Parameters
    ----------
    gate : Tensor
        A float dtype.
    x : Tensor
        What the gate is applied to; the shapes broadcast.

    Returns
    -------
    Tensor

    References
    ----------
    Shazeer, "GLU variants improve transformer", 2020.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.swiglu(tfl.tensor([0.0, 100.0]), tfl.tensor([3.0, 3.0]))
    tensor([  0., 300.])
    """
    return gated_activation(as_tensor(gate), as_tensor(x), "silu")


def geglu(gate: Any, x: Any, approximate: str = "none") -> Tensor:
    """Return ``gelu(gate) * x``, as one operation forward and backward.

    Parameters
    ----------
    gate : Tensor
        A float dtype.
    x : Tensor
        What the gate is applied to; the shapes broadcast.
    approximate : str
        'none' for the error function, 'tanh' for the approximation by tanh.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        Another form of gelu is asked for.

    References
    ----------
    Shazeer, "GLU variants improve transformer", 2020.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.geglu(tfl.tensor([0.0, 100.0]), tfl.tensor([3.0, 3.0]))
    tensor([  0., 300.])
    """
    if approximate not in GELUS:
        raise ArgumentError(f"geglu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return gated_activation(as_tensor(gate), as_tensor(x), GELUS[approximate])
