"""Activations, elementwise.

``inplace`` is accepted for the sake of code written for PyTorch: a new tensor with the same values
is made all the same, so use what is returned.
"""

from __future__ import annotations

from typing import Any

from ...backend import dtypes
from ...core.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops import activation as _activation
from ...ops import random as _random
from ...ops.elementwise import abs as _abs
from ...ops.elementwise import expm1, minimum, where
from ...ops.elementwise import tanh as _tanh
from ...ops.gradient import cast
from ...ops.reduction import as_tensor
from ...ops.shaping import reshape
from .precision import in_float32


def relu(input: Any, inplace: bool = False) -> Tensor:
    """Return the greater of ``input`` and 0; the derivative at 0 is 0.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.relu(tfl.tensor([-2.0, 3.0]))
    tensor([0., 3.])
    """
    return _activation.relu(input)


def relu6(input: Any, inplace: bool = False) -> Tensor:
    """Return ``input`` held between 0 and 6.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.relu6(tfl.tensor([-3.0, 7.0]))
    tensor([0., 6.])
    """
    return _activation.relu6(input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return ``input`` where it is positive and ``negative_slope * input`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    negative_slope : float
        The slope of the negative side.
    inplace : bool
        Accepted; a new tensor is made all the same.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.leaky_relu(tfl.tensor([-2.0, 3.0]), 0.5)
    tensor([-1.,  3.])
    """
    return _activation.leaky_relu(input, negative_slope)


def prelu(input: Any, weight: Any) -> Tensor:
    """Return ``input`` where it is positive and ``weight * input`` elsewhere.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        A float dtype.
    weight : Tensor, shape (C,) or (1,) or ()
        The slope of the negative side, of each channel or of all.

    References
    ----------
    He et al., "Delving deep into rectifiers", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.prelu(tfl.tensor([[-2.0, -2.0]]), tfl.tensor([0.5, 0.25]))
    tensor([[-1. , -0.5]])
    """
    input, weight = as_tensor(input), as_tensor(weight)
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.size not in (1, channels):
        raise ShapeError(
            f"prelu: weight must hold 1 number, or {channels}, one per channel of input "
            f"{input.shape}, got {weight.shape}"
        )
    if weight.size > 1:
        weight = reshape(weight, (channels, *[1] * (input.ndim - 2)))
    elif weight.ndim and not input.ndim:
        weight = reshape(weight, ())
    return where(input > 0, input, input * weight)


def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Return ``input`` where it is positive, elsewhere a random share of it.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    lower, upper : float
        The bounds of the share; in evaluation it is their mean.
    training : bool
        Whether to draw a share for each element.
    inplace : bool
        Accepted; a new tensor is made all the same.

    References
    ----------
    Xu et al., "Empirical evaluation of rectified activations in convolutional network", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.rrelu(tfl.tensor([-2.0, 3.0]), 0.25, 0.75)
    tensor([-1.,  3.])
    """
    if lower > upper:
        raise ArgumentError(f"rrelu: lower must not exceed upper, got {lower} and {upper}")
    if not training:
        return _activation.leaky_relu(input, (lower + upper) / 2)
    wide = input.dtype if input.dtype == dtypes.float64 else dtypes.float32
    share = _random.uniform(lower, upper, input.shape, dtype=wide, device=input.device)
    return where(input > 0, input, input * cast(share, input.dtype))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return ``input`` where it is positive and ``alpha * (exp(input) - 1)`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    alpha : float
        Minus the limit of the negative side.
    inplace : bool
        Accepted; a new tensor is made all the same.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.elu(tfl.tensor([0.0, 3.0]))
    tensor([0., 3.])
    """
    return _activation.elu(input, alpha)


@in_float32
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return ``input`` where positive and ``alpha * (exp(input / alpha) - 1)`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    alpha : float
        Minus the limit of the negative side; not 0.
    inplace : bool
        Accepted; a new tensor is made all the same.

    References
    ----------
    Barron, "Continuously differentiable exponential linear units", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.celu(tfl.tensor([0.0, 3.0]), 2.0)
    tensor([0., 3.])
    """
    if alpha == 0:
        raise ArgumentError("celu: alpha must not be 0, got 0")
    return where(input > 0, input, expm1(minimum(input, 0) / alpha) * alpha)


def selu(input: Any, inplace: bool = False) -> Tensor:
    """Return the self-normalising `elu` of Klambauer et al., 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.selu(tfl.tensor([0.0, 1.0]))
    tensor([0.      , 1.050701])
    """
    return _activation.selu(input)


def sigmoid(input: Any) -> Tensor:
    """Return ``1 / (1 + exp(-input))``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.sigmoid(tfl.tensor([0.0]))
    tensor([0.5])
    """
    return _activation.sigmoid(input)


def tanh(input: Any) -> Tensor:
    """Return the hyperbolic tangent.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.tanh(tfl.tensor([0.0]))
    tensor([0.])
    """
    return _tanh(input)


def silu(input: Any, inplace: bool = False) -> Tensor:
    """Return ``input * sigmoid(input)``, also called swish.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.silu(tfl.tensor([0.0]))
    tensor([0.])
    """
    return _activation.silu(input)


@in_float32
def mish(input: Any, inplace: bool = False) -> Tensor:
    """Return ``input * tanh(softplus(input))`` (Misra, 2019).

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.mish(tfl.tensor([0.0]))
    tensor([0.])
    """
    return _activation.mish(input)


@in_float32
def softsign(input: Any) -> Tensor:
    """Return ``input / (1 + abs(input))``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.softsign(tfl.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """
    return input / (1 + _abs(input))


def hardtanh(
    input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Return ``input`` held between two bounds; at the bounds the derivative is 0.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    min_val, max_val : float
        The bounds.
    inplace : bool
        Accepted; a new tensor is made all the same.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.hardtanh(tfl.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    return _activation.hardtanh(input, min_val, max_val)


@in_float32
def hardsigmoid(input: Any, inplace: bool = False) -> Tensor:
    """Return ``relu6(input + 3) / 6``, a sigmoid of straight lines.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.hardsigmoid(tfl.tensor([-4.0, 0.0, 4.0]))
    tensor([0. , 0.5, 1. ])
    """
    return _activation.relu6(input + 3) / 6


@in_float32
def hardswish(input: Any, inplace: bool = False) -> Tensor:
    """Return ``input * relu6(input + 3) / 6`` (Howard et al., 2019).

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.hardswish(tfl.tensor([-4.0, 0.0, 4.0]))
    tensor([-0.,  0.,  4.])
    """
    return input * (_activation.relu6(input + 3) / 6)


@in_float32
def tanhshrink(input: Any) -> Tensor:
    """Return ``input - tanh(input)``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.tanhshrink(tfl.tensor([0.0]))
    tensor([0.])
    """
    return input - _tanh(input)


def softshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """Return ``input`` brought nearer to 0 by ``lambd``; 0 where it is within that.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.softshrink(tfl.tensor([-2.0, 0.25, 2.0]))
    tensor([-1.5,  0. ,  1.5])
    """
    if not lambd >= 0:
        raise ArgumentError(f"softshrink: lambd must not be negative, got {lambd}")
    input = as_tensor(input)
    inner = where(input < -lambd, input + lambd, input * 0)  # times 0: NaN stays NaN
    return where(input > lambd, input - lambd, inner)


def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """Return ``input``; 0 where its magnitude is at most ``lambd``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.hardshrink(tfl.tensor([-2.0, 0.25, 2.0]))
    tensor([-2.,  0.,  2.])
    """
    input = as_tensor(input)
    return where(_abs(input) <= lambd, 0.0, input)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return ``input`` where it exceeds ``threshold``, and ``value`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    threshold : float
        What must be exceeded.
    value : float
        What is put in place of the others.
    inplace : bool
        Accepted; a new tensor is made all the same.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.threshold(tfl.tensor([0.1, 2.0]), 1.0, -5.0)
    tensor([-5.,  2.])
    """
    input = as_tensor(input)
    return where(input <= threshold, float(value), input)
