"""Networks as functions, with PyTorch's names and signatures: axes are called ``dim`` here."""

from __future__ import annotations

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from ..ops import activation as _activation
from ..ops import elementwise as _elementwise
from ..ops import losses as _losses
from ..ops import normalization as _normalization
from ..ops import random as _random
from ..ops import shaping as _shaping
from ..ops.activation import elu as elu
from ..ops.activation import gelu as gelu
from ..ops.activation import hardtanh as hardtanh
from ..ops.activation import leaky_relu as leaky_relu
from ..ops.activation import logsigmoid as logsigmoid
from ..ops.activation import mish as mish
from ..ops.activation import relu as relu
from ..ops.activation import relu6 as relu6
from ..ops.activation import selu as selu
from ..ops.activation import sigmoid as sigmoid
from ..ops.activation import silu as silu
from ..ops.activation import softplus as softplus
from ..ops.creation import asarray
from ..ops.elementwise import tanh as tanh
from ..ops.embedding import embedding as embedding
from ..ops.fused import check_activation as check_activation
from ..ops.fused import conv2d as conv2d
from ..ops.fused import linear as linear
from ..ops.gradient import cast
from ..ops.losses import check_reduction as check_reduction
from ..ops.normalization import layer_norm as layer_norm
from ..ops.normalization import rms_norm as rms_norm
from ..ops.pooling import avg_pool2d as avg_pool2d
from ..ops.pooling import max_pool2d as max_pool2d
from ..runtime import set_mode


def softmax(input: Tensor, dim: int) -> Tensor:
    """Return ``exp(input)`` divided by its sum along ``dim``.

    Parameters
    ----------
    input : Tensor
        Any shape with at least one axis.
    dim : int
        The axis along which the result sums to 1.

    Returns
    -------
    Tensor
        Of the shape of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.softmax(tfl.tensor([1.0, 1.0]), dim=-1)
    tensor([0.5, 0.5])
    """
    return _activation.softmax(input, dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """Return the logarithm of `softmax`, computed without overflow.

    Parameters
    ----------
    input : Tensor
        Any shape with at least one axis.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        Of the shape of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.log_softmax(tfl.tensor([[7.0]]), dim=1)
    tensor([[0.]])
    """
    return _activation.log_softmax(input, dim)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the tensor with the axes from ``start_dim`` to ``end_dim`` taken together.

    Parameters
    ----------
    input : Tensor
        Any shape.
    start_dim, end_dim : int
        The first and the last axis to take together.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.flatten(tfl.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    return _shaping.flatten(input, start_dim, end_dim)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero elements at random and scale the others up, in training.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    p : float
        The probability that an element is zeroed, in [0, 1].
    training : bool
        False returns the input as it is.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Raises
    ------
    ArgumentError
        ``p`` isn't a probability.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> sorted(set(F.dropout(tfl.ones(100), 0.75).tolist()))
    [0.0, 4.0]
    """
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p must lie in [0, 1], got {p}")
    if not training or p == 0:
        return input
    return input * 0.0 if p == 1 else _random.dropout(input, p)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel, with the batch's mean and variance or with running ones.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        A float dtype.
    running_mean, running_var : Tensor, shape (C,), or None
        In training they are changed in place; the variance is the unbiased one.
    weight, bias : Tensor, shape (C,), optional
        Scale and shift.
    training : bool
        Whether to use, and to take in, the figures of the batch.
    momentum : float
        The share of the batch in the running figures.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Raises
    ------
    ShapeError
        A parameter doesn't have one number per channel, or in training a channel one value only.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.batch_norm(tfl.tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm: running_mean and running_var are needed without training, got None"
            )
        return _normalization.batch_norm_inference(
            input, running_mean, running_var, weight, bias, eps
        )
    shape = input.shape[1:2]
    for name, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is not None and running.shape != shape:
            raise ShapeError(
                f"batch_norm: {name} must have shape {shape}, a number per channel of x "
                f"{input.shape}, got {running.shape}"
            )
    out, mean, variance = _normalization.batch_norm(input, weight, bias, eps)
    count = input.size // input.shape[1]
    with set_mode(grad=False):
        _move_towards(running_mean, mean, momentum)
        _move_towards(running_var, variance * (count / (count - 1)), momentum)
    return out


def _move_towards(running: Tensor | None, value: Tensor, share: float) -> None:
    if running is not None:
        running *= 1 - share
        running += cast(value, running.dtype) * share


# -- losses ----------------------------------------------------------------------------------------
def _same_shape(name: str, input: Tensor, target: Tensor) -> Tensor:
    """Return a target in the input's dtype; raise where the shapes differ."""
    target = asarray(target)
    if input.shape != target.shape:
        raise ShapeError(
            f"{name}: input and target must have one shape, got {input.shape} and "
            f"{target.shape}; reshape one of them, or they would broadcast"
        )
    if input.dtype not in dtypes.real_inexact:
        raise DtypeError(f"{name}: input must be of a float dtype, got {input.dtype}")
    return target if target.dtype == input.dtype else cast(target, input.dtype)


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the squared differences: their mean, their sum, or each.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    target : Tensor
        Of the same shape; cast to the dtype of ``input``.
    reduction : {"mean", "sum", "none"}
        What to make of the elements.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``; in its dtype.

    Raises
    ------
    ShapeError
        The shapes differ, and would broadcast silently.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.mse_loss(tfl.tensor([1.0, 3.0]), tfl.tensor([1.0, 1.0]))
    tensor(2.)
    """
    check_reduction("mse_loss", reduction)
    target = _same_shape("mse_loss", input, target)
    return _losses.reduce_loss(_elementwise.square(input - target), reduction)


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the absolute differences: their mean, their sum, or each.

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``; in its dtype.

    Raises
    ------
    ShapeError
        The shapes differ, and would broadcast silently.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.l1_loss(tfl.tensor([1.0, 4.0]), tfl.tensor([1.0, 1.0]), reduction="sum")
    tensor(3.)
    """
    check_reduction("l1_loss", reduction)
    target = _same_shape("l1_loss", input, target)
    return _losses.reduce_loss(_elementwise.abs(input - target), reduction)


def _constants_as(input: Tensor, *constants: Tensor | None) -> list[Tensor | None]:
    """Return float tensors beside the input in its dtype, so that it decides the result's."""
    return [
        cast(one, input.dtype)
        if one is not None and one.dtype != input.dtype and input.dtype in dtypes.real_inexact
        else one
        for one in constants
    ]


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross-entropy of logits with the classes, or the probabilities, of a target.

    Parameters
    ----------
    input : Tensor, shape (N, C), (N, C, ...) or (C,)
        The logits of C classes.
    target : Tensor, shape (N,), (N, ...) or ()
        Class indices, integers in [0, C); or probabilities, floats of the shape of ``input``.
    weight : Tensor, shape (C,), optional
        A factor for each class.
    ignore_index : int
        Samples of this class don't count.
    reduction : {"mean", "sum", "none"}
        What to make of the samples' losses. The mean is weighted where there are weights.
    label_smoothing : float
        The share of the target that is spread evenly over the classes, in [0, 1].

    Returns
    -------
    Tensor
        0-d, or one loss per sample.

    Raises
    ------
    OutOfRangeError
        A class index is outside the classes. (On a GPU the loss is NaN instead.)
    ShapeError
        The shapes don't fit.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> loss = F.cross_entropy(tfl.zeros((1, 4)), tfl.tensor([2]))
    >>> round(loss.item(), 4)
    1.3863
    """
    target = asarray(target)
    if target.dtype in dtypes.real_inexact:
        target, weight = _constants_as(input, target, weight)  # type: ignore[assignment]
    return _losses.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log-probability of the target's class.

    Parameters
    ----------
    input : Tensor, shape (N, C), (N, C, ...) or (C,)
        Log-probabilities, as `log_softmax` gives them.
    target : Tensor, shape (N,), (N, ...) or ()
        Class indices, integers in [0, C).
    weight, ignore_index, reduction
        As in `cross_entropy`.

    Returns
    -------
    Tensor
        0-d, or one loss per sample.

    Raises
    ------
    OutOfRangeError
        A class index is outside the classes. (On a GPU the loss is NaN instead.)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.nll_loss(tfl.tensor([[-0.5, -1.5]]), tfl.tensor([1]))
    tensor(1.5)
    """
    return _losses.nll_loss(input, target, weight, ignore_index, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of the sigmoid of logits with probabilities of "yes".

    Parameters
    ----------
    input : Tensor
        Logits of any shape.
    target : Tensor
        Probabilities or labels of the same shape, in [0, 1].
    weight : Tensor, optional
        A factor for each element; broadcasts.
    reduction : {"mean", "sum", "none"}
        What to make of the elements.
    pos_weight : Tensor, optional
        A factor for the part of "yes"; broadcasts.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``; in its dtype.

    Raises
    ------
    ShapeError
        The shapes differ, and would broadcast silently.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> loss = F.binary_cross_entropy_with_logits(tfl.zeros(2), tfl.tensor([0, 1]))
    >>> round(loss.item(), 4)
    0.6931
    """
    check_reduction("binary_cross_entropy_with_logits", reduction)
    target = _same_shape("binary_cross_entropy_with_logits", input, target)
    weight, pos_weight = _constants_as(input, weight, pos_weight)
    return _losses.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)
