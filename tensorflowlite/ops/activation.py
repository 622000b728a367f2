"""Activations of networks, elementwise, and the two forms of softmax."""

from __future__ import annotations

import math
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError
from .activation_gradients import GELUS
from .declare import attr1, general, unary
from .docs import unary_doc
from .elementwise import tanh
from .reduction import as_tensor, normalize_axes


def _doc(what: str, given: list[float], result: list[float]) -> str:
    text = unary_doc(what, given, result)
    return text.replace(
        "as tfl\n", "as tfl\n    >>> from tensorflowlite.ops.activation import {name}\n"
    ).replace("tfl.{name}(", "{name}(")


relu = unary(
    "relu",
    lambda k, g, out: k.activation_gradient(g, out, "relu"),
    _doc("The greater of x and 0; its derivative at 0 is 0", [-2.0, 3.0], [0.0, 3.0]),
)
sigmoid = unary(
    "sigmoid",
    lambda k, g, out: k.activation_gradient(g, out, "sigmoid"),
    _doc("1 / (1 + exp(-x))", [0.0], [0.5]),
)
silu = unary(
    "silu",
    lambda k, g, x: k.activation_gradient(g, x, "silu"),
    _doc("x * sigmoid(x), also called swish", [0.0], [0.0]),
)
_leaky_relu = attr1("leaky_relu", "slope", lambda k, g, x, slope: k.where(x > 0, g, g * slope))
_elu = attr1("elu", "alpha", lambda k, g, x, out, alpha: k.where(x > 0, g, g * (out + alpha)))
_gelu = attr1(
    "gelu",
    "approximate",
    lambda k, g, x, approximate: k.activation_gradient(g, x, GELUS[approximate]),
)
_softplus = general(
    "softplus",
    ("x",),
    (
        lambda k, g, x, beta, threshold: (
            g * k.where(x * beta > threshold, k.ones_like(x), k.sigmoid(x * beta))
        ),
    ),
    attributes=("beta", "threshold"),
)
_hardtanh = general(
    "hardtanh",
    ("x",),
    (lambda k, g, x, low, high: g * k.logical_and(x > low, x < high),),
    attributes=("low", "high"),
)
_softmax = attr1(
    "softmax",
    "axis",
    lambda k, g, out, axis: k.softmax_gradient(g, out, axis, False),
)
_log_softmax = attr1(
    "log_softmax",
    "axis",
    lambda k, g, out, axis: k.softmax_gradient(g, out, axis, True),
)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """Return ``x`` where it is positive and ``negative_slope * x`` elsewhere.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import leaky_relu
    >>> leaky_relu(tfl.tensor([-2.0, 3.0]), 0.5)
    tensor([-1.,  3.])
    """
    return _leaky_relu(as_tensor(x), float(negative_slope))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """Return ``x`` where it is positive and ``alpha * (exp(x) - 1)`` elsewhere.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import elu
    >>> elu(tfl.tensor([0.0, 3.0]))
    tensor([0., 3.])
    """
    return _elu(as_tensor(x), float(alpha))


def selu(x: Any) -> Tensor:
    """Return the self-normalising `elu` of Klambauer et al., 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import selu
    >>> selu(tfl.tensor([0.0, 1.0]))
    tensor([0.      , 1.050701])
    """
    return _elu(as_tensor(x), 1.6732632423543772) * 1.0507009873554805


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """Return ``input`` times its normal distribution function (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    input : Tensor
        Any shape.
    approximate : str
        'none' for the error function, 'tanh' for the approximation by tanh.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import gelu
    >>> gelu(tfl.tensor([0.0, 10.0]))
    tensor([ 0., 10.])
    """
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return _gelu(as_tensor(input), approximate)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ``log(1 + exp(beta * input)) / beta``, and ``input`` above a threshold.

    Parameters
    ----------
    input : Tensor
        Any shape.
    beta : float
        How sharply it bends; not 0.
    threshold : float
        Above this ``beta * input`` the result is ``input`` itself.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import softplus
    >>> softplus(tfl.tensor([0.0, 100.0]))
    tensor([  0.6931472, 100.       ])
    """
    if beta == 0:
        raise ArgumentError("softplus: beta must not be 0, got 0")
    return _softplus(as_tensor(input), float(beta), float(threshold))


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Return ``x`` held between two bounds; at the bounds the derivative is 0.

    Parameters
    ----------
    x : Tensor
        Any shape.
    min_val, max_val : float
        The bounds.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import hardtanh
    >>> hardtanh(tfl.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    if min_val > max_val:
        raise ArgumentError(
            f"hardtanh: min_val must not exceed max_val, got {min_val} and {max_val}"
        )
    return _hardtanh(as_tensor(x), float(min_val), float(max_val))


def relu6(x: Any) -> Tensor:
    """Return ``x`` held between 0 and 6.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import relu6
    >>> relu6(tfl.tensor([-3.0, 7.0]))
    tensor([0., 6.])
    """
    return _hardtanh(as_tensor(x), 0.0, 6.0)


def mish(x: Any) -> Tensor:
    """Return ``x * tanh(softplus(x))`` (Misra, 2019).

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import mish
    >>> mish(tfl.tensor([0.0]))
    tensor([0.])
    """
    x = as_tensor(x)
    return x * tanh(_softplus(x, 1.0, math.inf))


def logsigmoid(input: Any) -> Tensor:
    """Return ``log(sigmoid(input))``, exact also where the sigmoid underflows.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import logsigmoid
    >>> logsigmoid(tfl.tensor([-1000.0]))
    tensor([-1000.])
    """
    return -_softplus(-as_tensor(input), 1.0, math.inf)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """Return ``exp(x)`` divided by its sum over ``axis``.

    Parameters
    ----------
    x : Tensor
        At least one axis. Half precision is computed in float32 and rounded once.
    axis : int
        The axis that sums to one.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import softmax
    >>> softmax(tfl.tensor([1000.0, 1000.0]))
    tensor([0.5, 0.5])
    """
    x = as_tensor(x)
    return _softmax(x, normalize_axes("softmax", axis, x.ndim)[0])


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """Return the logarithm of `softmax`, without overflow.

    Parameters
    ----------
    x : Tensor
        At least one axis. Half precision is computed in float32 and rounded once.
    axis : int
        The axis over which the exponentials sum to one.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.activation import log_softmax
    >>> log_softmax(tfl.tensor([0.0, 1000.0]))
    tensor([-1000.,     0.])
    """
    x = as_tensor(x)
    return _log_softmax(x, normalize_axes("log_softmax", axis, x.ndim)[0])


_PUBLIC: tuple[tuple[Any, Any], ...] = (
    (leaky_relu, _leaky_relu), (elu, _elu), (gelu, _gelu), (softplus, _softplus),
    (hardtanh, _hardtanh), (softmax, _softmax), (log_softmax, _log_softmax),
)  # fmt: skip
for _public, _op in _PUBLIC:
    _public.primitive = _op.primitive
