"""Losses."""

from __future__ import annotations

from ...backend import dtypes
from ...core.tensor import Tensor
from ...errors import DtypeError, ShapeError
from ...ops import elementwise as _elementwise
from ...ops import losses as _losses
from ...ops.creation import asarray
from ...ops.gradient import cast
from ...ops.losses import check_reduction
from ...ops.reduction import as_tensor
from ...ops.reduction import sum as _sum
from .precision import in_full_precision


def same_shape(name: str, input: Tensor, target: Tensor) -> Tensor:
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


def weighted_loss(
    name: str, loss: Tensor, weight: Tensor | None, reduction: str, by_weight: bool = True
) -> Tensor:
    """Return losses times their weights, reduced.

    The mean divides by the sum of the weights, or by the number of losses without ``by_weight``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.functional.losses import weighted_loss
    >>> weighted_loss("loss", tfl.tensor([1.0, 2.0]), tfl.tensor([3.0, 1.0]), "mean")
    tensor(1.25)
    """
    if weight is None:
        return _losses.reduce_loss(loss, reduction)
    weight = as_tensor(weight)
    if weight.shape != loss.shape:
        raise ShapeError(
            f"{name}: weight must have the shape {loss.shape} of input, got {weight.shape}"
        )
    weight = weight if weight.dtype == loss.dtype else cast(weight, loss.dtype)
    loss = loss * weight
    if reduction == "mean" and by_weight:
        return _sum(loss) / _sum(weight)
    return _losses.reduce_loss(loss, reduction)


@in_full_precision
def mse_loss(
    input: Tensor,
    target: Tensor,
    *,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the squared differences: their mean, their sum, or each.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    target : Tensor
        Of the same shape; cast to the dtype of ``input``.
    reduction : {"mean", "sum", "none"}
        What to make of the elements.
    weight : Tensor, optional
        A factor for each element, of the shape of ``input``; the mean divides by their sum.

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
    target = same_shape("mse_loss", input, target)
    return weighted_loss("mse_loss", _elementwise.square(input - target), weight, reduction)


@in_full_precision
def l1_loss(
    input: Tensor,
    target: Tensor,
    *,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the absolute differences: their mean, their sum, or each.

    Parameters
    ----------
    input, target, reduction, weight
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
    target = same_shape("l1_loss", input, target)
    return weighted_loss("l1_loss", _elementwise.abs(input - target), weight, reduction)


def constants_as(input: Tensor, *constants: Tensor | None) -> list[Tensor | None]:
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
        target, weight = constants_as(input, target, weight)  # type: ignore[assignment]
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


@in_full_precision
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
    target = same_shape("binary_cross_entropy_with_logits", input, target)
    weight, pos_weight = constants_as(input, weight, pos_weight)
    return _losses.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)
