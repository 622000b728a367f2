"""Losses of numbers, of probabilities and of distributions."""

from __future__ import annotations

import math

from ...core.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops import losses as _losses
from ...ops.arguments import happens
from ...ops.creation import asarray
from ...ops.elementwise import abs as _abs
from ...ops.elementwise import exp, log, maximum, square, where
from ...ops.gradient import cast
from ...ops.losses import check_reduction, reduce_loss
from ...ops.reduction import sum as _sum
from .losses import constants_as, same_shape, weighted_loss
from .precision import in_full_precision


@in_full_precision
def smooth_l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Return squares of differences below ``beta``, over ``2 beta``, and magnitudes above.

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.
    beta : float
        Where the square turns into a line; not negative.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``; in its dtype.

    References
    ----------
    Girshick, "Fast R-CNN", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.smooth_l1_loss(tfl.tensor([1.0, 4.0]), tfl.tensor([0.0, 0.0]), reduction="none")
    tensor([0.5, 3.5])
    """
    check_reduction("smooth_l1_loss", reduction)
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    target = same_shape("smooth_l1_loss", input, target)
    size = _abs(input - target)
    if beta:
        size = where(size < beta, square(size) * (0.5 / beta), size - 0.5 * beta)
    return reduce_loss(size, reduction)


@in_full_precision
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Return half the squares of differences up to ``delta``, and lines above.

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.
    delta : float
        Where the square turns into a line of slope ``delta``; above 0.
    weight : Tensor, optional
        A factor for each element, of the shape of ``input``; the mean is that of the products.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``; in its dtype.

    References
    ----------
    Huber, "Robust estimation of a location parameter", 1964.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.huber_loss(tfl.tensor([1.0, 4.0]), tfl.tensor([0.0, 0.0]), reduction="none", delta=2.0)
    tensor([0.5, 6. ])
    """
    check_reduction("huber_loss", reduction)
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta must be above 0, got {delta}")
    target = same_shape("huber_loss", input, target)
    size = _abs(input - target)
    loss = where(size <= delta, 0.5 * square(size), delta * (size - 0.5 * delta))
    return weighted_loss("huber_loss", loss, weight, reduction, by_weight=False)


@in_full_precision
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """Return the cross-entropy of probabilities of "yes" with those of a target.

    Logarithms are held above -100. `binary_cross_entropy_with_logits` is exact for any logit.

    Parameters
    ----------
    input : Tensor
        Probabilities of any shape, in [0, 1].
    target : Tensor
        Probabilities or labels of the same shape.
    weight : Tensor, optional
        A factor for each element; broadcasts.
    reduction : {"mean", "sum", "none"}
        What to make of the elements.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``; in its dtype.

    Raises
    ------
    OutOfRangeError
        ``input`` holds what is no probability. (On a GPU the loss is NaN instead.)

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.binary_cross_entropy(tfl.tensor([0.0, 0.5]), tfl.tensor([1.0, 1.0]), reduction="none")
    tensor([100.       ,   0.6931472])
    """
    check_reduction("binary_cross_entropy", reduction)
    target = same_shape("binary_cross_entropy", input, target)
    (weight,) = constants_as(input, weight)
    loss = _losses.binary_probabilities(input, target)
    return reduce_loss(loss if weight is None else loss * weight, reduction)


@in_full_precision
def kl_div(
    input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """Return ``target * (log(target) - input)``, the terms of the Kullback-Leibler divergence.

    Parameters
    ----------
    input : Tensor
        Log-probabilities.
    target : Tensor
        Probabilities of the same shape; their logarithms with ``log_target``.
    reduction : {"mean", "batchmean", "sum", "none"}
        What to make of the terms; "batchmean", the sum over the length of the first axis, is the
        divergence as it is defined.
    log_target : bool
        Whether ``target`` holds logarithms.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``; in its dtype.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> half = tfl.tensor([[0.5, 0.5]])
    >>> F.kl_div(tfl.log(half), half, reduction="batchmean")
    tensor(0.)
    """
    if reduction != "batchmean":
        check_reduction("kl_div", reduction)
    target = same_shape("kl_div", input, target)
    if log_target:
        loss = exp(target) * (target - input)
    else:
        loss = target * log(where(target == 0, 1.0, target)) - target * input
    if reduction == "batchmean":
        return _sum(loss) / input.shape[0]
    return reduce_loss(loss, reduction)


@in_full_precision
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log-likelihood of counts under Poisson distributions.

    Parameters
    ----------
    input : Tensor
        The expected counts, or their logarithms.
    target : Tensor
        The counts, of the same shape.
    log_input : bool
        Whether ``input`` holds logarithms.
    full : bool
        Whether to add Stirling's approximation of the constant term.
    eps : float
        Added to what a logarithm is taken of.
    reduction : {"mean", "sum", "none"}
        What to make of the elements.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``; in its dtype.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.poisson_nll_loss(tfl.tensor([0.0]), tfl.tensor([5.0]))
    tensor(1.)
    """
    check_reduction("poisson_nll_loss", reduction)
    target = same_shape("poisson_nll_loss", input, target)
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        safe = where(target > 1, target, 1.0)
        stirling = safe * log(safe) - safe + 0.5 * log(2 * math.pi * safe)
        loss = loss + where(target > 1, stirling, 0.0)
    return reduce_loss(loss, reduction)


@in_full_precision
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log-likelihood of numbers under normal distributions.

    Parameters
    ----------
    input : Tensor
        The means.
    target : Tensor
        The numbers, of the same shape.
    var : Tensor or float
        The variances: of the shape of ``input``, or with a last axis of length 1 or none.
    full : bool
        Whether to add the constant term.
    eps : float
        The least variance; the gradient flows as if there were none.
    reduction : {"mean", "sum", "none"}
        What to make of the elements.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``; in its dtype.

    Raises
    ------
    ArgumentError
        A variance is negative.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.gaussian_nll_loss(tfl.tensor([0.0]), tfl.tensor([2.0]), tfl.tensor([1.0]))
    tensor(2.)
    """
    check_reduction("gaussian_nll_loss", reduction)
    target = same_shape("gaussian_nll_loss", input, target)
    var = asarray(var, device=input.device)
    var = var if var.dtype == input.dtype else cast(var, input.dtype)
    if var.ndim and var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var[..., None]
        elif var.shape != (*input.shape[:-1], 1):
            raise ShapeError(
                f"gaussian_nll_loss: var must have the shape {input.shape} of input, or a last "
                f"axis of length 1 or none, got {var.shape}"
            )
    if happens(var < 0):
        raise ArgumentError("gaussian_nll_loss: var must not be negative, got a variance below 0")
    constant = var.detach()
    var = var + (maximum(constant, eps) - constant)
    loss = 0.5 * (log(var) + square(input - target) / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduce_loss(loss, reduction)
