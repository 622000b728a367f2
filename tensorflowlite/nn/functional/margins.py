"""Losses that ask for a margin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...backend import dtypes
from ...core.tensor import Tensor
from ...errors import ArgumentError, DtypeError, ShapeError
from ...ops.activation import logsigmoid, softplus
from ...ops.creation import asarray
from ...ops.cumulative import cumulative_prod
from ...ops.elementwise import logical_and, logical_or, minimum, sqrt, where
from ...ops.embedding import one_hot
from ...ops.gradient import cast
from ...ops.indexing import take_along_axis
from ...ops.losses import check_reduction, reduce_loss
from ...ops.reduction import any as _any
from ...ops.reduction import as_tensor, mean
from ...ops.reduction import sum as _sum
from ...ops.shaping import reshape
from .distance import pairwise_distance
from .losses import constants_as, same_shape
from .precision import in_float32, in_full_precision


def _above(x: Tensor) -> Tensor:
    """Return what is above 0; the derivative at 0 is 1, as PyTorch has it in these losses."""
    return where(x < 0, 0.0, x)


def _labels(name: str, input: Tensor, target: Any) -> Tensor:
    """Return labels 1 and -1 in the input's dtype; they broadcast with it."""
    target = asarray(target)
    if input.dtype not in dtypes.real_inexact:
        raise DtypeError(f"{name}: input must be of a float dtype, got {input.dtype}")
    return target if target.dtype == input.dtype else cast(target, input.dtype)


@in_full_precision
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """Return ``max(0, margin - target * (input1 - input2))``.

    Parameters
    ----------
    input1, input2 : Tensor
        Scores of one shape.
    target : Tensor
        1 where the first should rank higher, -1 where the second should.
    margin : float
        By how much.
    reduction : {"mean", "sum", "none"}
        What to make of the pairs.

    Returns
    -------
    Tensor
        0-d, or of the shape of the inputs.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> one, two = tfl.tensor([1.0]), tfl.tensor([2.0])
    >>> F.margin_ranking_loss(one, two, tfl.tensor([1.0]), margin=0.5)
    tensor(1.5)
    """
    check_reduction("margin_ranking_loss", reduction)
    input1, input2 = as_tensor(input1), as_tensor(input2)
    target = _labels("margin_ranking_loss", input1, target)
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(
            "margin_ranking_loss: inputs and target must have as many axes, got "
            f"{input1.shape}, {input2.shape} and {target.shape}"
        )
    return reduce_loss(_above(margin - target * (input1 - input2)), reduction)


@in_full_precision
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean"
) -> Tensor:
    """Return ``input`` where ``target`` is 1, and ``max(0, margin - input)`` where it is -1.

    Parameters
    ----------
    input : Tensor
        Distances.
    target : Tensor
        1 for pairs that belong together, -1 for others.
    margin : float
        How far apart the others should be.
    reduction : {"mean", "sum", "none"}
        What to make of the elements.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.hinge_embedding_loss(tfl.tensor([0.5, 0.25]), tfl.tensor([1, -1]), reduction="none")
    tensor([0.5 , 0.75])
    """
    check_reduction("hinge_embedding_loss", reduction)
    target = same_shape("hinge_embedding_loss", input, target)
    loss = where(target != 1, _above(margin - input), 0.0) + where(target != -1, input, 0.0)
    return reduce_loss(loss, reduction)


@in_full_precision
def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return ``log(1 + exp(-target * input))`` for labels 1 and -1.

    Parameters
    ----------
    input, target, reduction
        As in `hinge_embedding_loss`, with scores in place of distances.

    Returns
    -------
    Tensor
        0-d, or of the shape of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.soft_margin_loss(tfl.tensor([0.0]), tfl.tensor([1.0]))
    tensor(0.6931472)
    """
    check_reduction("soft_margin_loss", reduction)
    target = same_shape("soft_margin_loss", input, target)
    return reduce_loss(softplus(-target * input, 1.0, math.inf), reduction)


def _rows(name: str, input: Any) -> tuple[Tensor, bool]:
    """Return scores with a batch axis, and whether they had none."""
    input = as_tensor(input)
    if input.dtype not in dtypes.real_inexact or input.ndim not in (1, 2):
        raise ShapeError(
            f"{name}: input must be floats of shape (N, C) or (C,), got {input.dtype} {input.shape}"
        )
    return (reshape(input, (1, -1)), True) if input.ndim == 1 else (input, False)


def _indices(name: str, target: Any, shape: tuple[int, ...], rows: tuple[int, ...]) -> Tensor:
    """Return class indices, int64, with a batch axis."""
    target = asarray(target)
    if target.dtype.kind not in "iu":
        raise DtypeError(f"{name}: target must hold class indices (integers), got {target.dtype}")
    if target.shape != shape:
        raise ShapeError(f"{name}: target must have shape {shape}, got {target.shape}")
    return reshape(cast(target, dtypes.int64), rows)


@in_full_precision
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Return how far the scores of other classes come within a margin of the target's.

    The sum over the other classes ``i`` of ``max(0, margin - input[target] + input[i]) ** p``,
    divided by the number of classes.

    Parameters
    ----------
    input : Tensor, shape (N, C) or (C,)
        Scores.
    target : Tensor of integers, shape (N,) or ()
        Class indices.
    p : int
        1 or 2.
    margin : float
        By how much the target's score should exceed the others.
    weight : Tensor, shape (C,), optional
        A factor for each class.
    reduction : {"mean", "sum", "none"}
        What to make of the samples.

    Returns
    -------
    Tensor
        0-d, or one loss per sample.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.multi_margin_loss(tfl.tensor([[2.0, 1.5]]), tfl.tensor([0]))
    tensor(0.25)
    """
    check_reduction("multi_margin_loss", reduction)
    if p not in (1, 2):
        raise ArgumentError(f"multi_margin_loss: p must be 1 or 2, got {p}")
    x, alone = _rows("multi_margin_loss", input)
    rows, classes = x.shape
    index = _indices("multi_margin_loss", target, () if alone else (rows,), (rows, 1))
    hot = reshape(one_hot(index, classes), (rows, classes)) == 1
    gap = margin - take_along_axis(x, index, 1) + x
    gap = where(logical_or(hot, gap <= 0), 0.0, gap)
    terms = gap * gap if p == 2 else gap
    (weight,) = constants_as(x, weight)
    if weight is not None:
        if weight.shape != (classes,):
            raise ShapeError(
                f"multi_margin_loss: weight must have shape ({classes},), a number per class, "
                f"got {weight.shape}"
            )
        terms = terms * reshape(weight[reshape(index, (rows,))], (rows, 1))
    loss = mean(terms, axis=1)
    return reduce_loss(reshape(loss, ()) if alone else loss, reduction)


@in_full_precision
def multilabel_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return how far the scores of other classes come within 1 of any target's.

    Parameters
    ----------
    input : Tensor, shape (N, C) or (C,)
        Scores.
    target : Tensor of integers, of the same shape
        Each row holds class indices; what follows the first -1 doesn't count.
    reduction : {"mean", "sum", "none"}
        What to make of the samples.

    Returns
    -------
    Tensor
        0-d, or one loss per sample.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.multilabel_margin_loss(tfl.tensor([[2.0, 1.5]]), tfl.tensor([[0, -1]]))
    tensor(0.25)
    """
    check_reduction("multilabel_margin_loss", reduction)
    x, alone = _rows("multilabel_margin_loss", input)
    classes = x.shape[1]
    index = _indices("multilabel_margin_loss", target, input.shape, x.shape)
    counts = cast(cumulative_prod(cast(index >= 0, dtypes.int64), axis=1), dtypes.bool_)
    # (rows, places of the list, classes): which class each place asks for
    hot = logical_and(one_hot(where(counts, index, 0), classes) == 1, counts[:, :, None])
    others = ~_any(hot, axis=1)
    asked = take_along_axis(x, where(counts, index, 0), 1)
    gap = _above(1 - (asked[:, :, None] - x[:, None, :]))
    gap = where(logical_and(counts[:, :, None], others[:, None, :]), gap, 0.0)
    loss = _sum(gap, axis=(1, 2)) / classes
    return reduce_loss(reshape(loss, ()) if alone else loss, reduction)


@in_full_precision
def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """Return the binary cross-entropy of logits, its mean over the classes.

    Parameters
    ----------
    input : Tensor, shape (N, C) or (C,)
        Logits.
    target : Tensor, of the same shape
        Labels 0 and 1, or probabilities.
    weight : Tensor, shape (C,), optional
        A factor for each class.
    reduction : {"mean", "sum", "none"}
        What to make of the samples.

    Returns
    -------
    Tensor
        0-d, or one loss per sample.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.multilabel_soft_margin_loss(tfl.zeros((1, 3)), tfl.tensor([[1, 0, 1]]))
    tensor(0.6931472)
    """
    check_reduction("multilabel_soft_margin_loss", reduction)
    target = same_shape("multilabel_soft_margin_loss", input, target)
    (weight,) = constants_as(input, weight)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    return reduce_loss(mean(loss if weight is None else loss * weight, axis=-1), reduction)


@in_full_precision
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """Return how far the cosine of two vectors is from 1, or above a margin.

    Parameters
    ----------
    input1, input2 : Tensor, shape (N, D) or (D,)
        Vectors.
    target : Tensor, shape (N,) or ()
        1 for pairs that should be alike: ``1 - cos``; -1 for others: ``max(0, cos - margin)``.
    margin : float
        What the cosine of others may be.
    reduction : {"mean", "sum", "none"}
        What to make of the pairs.

    Returns
    -------
    Tensor
        0-d, or one loss per pair.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> x, y = tfl.tensor([[1.0, 0.0]]), tfl.tensor([[0.0, 1.0]])
    >>> F.cosine_embedding_loss(x, y, tfl.tensor([1]))
    tensor(1.)
    """
    check_reduction("cosine_embedding_loss", reduction)
    input1, input2 = as_tensor(input1), as_tensor(input2)
    target = _labels("cosine_embedding_loss", input1, target)
    if input1.shape != input2.shape or input1.ndim not in (1, 2):
        raise ShapeError(
            "cosine_embedding_loss: the inputs must both be (N, D) or (D,), got "
            f"{input1.shape} and {input2.shape}"
        )
    if target.shape != input1.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss: target must have shape {input1.shape[:-1]}, a label per "
            f"pair, got {target.shape}"
        )
    product = _sum(input1 * input2, axis=-1)
    sizes = [_sum(x * x, axis=-1) + 1e-12 for x in (input1, input2)]
    cosine = product / sqrt(sizes[0] * sizes[1])
    loss = where(target == 1, 1 - cosine, 0.0)
    return reduce_loss(loss + where(target == -1, _above(cosine - margin), 0.0), reduction)


@in_full_precision
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Return ``max(0, distance to positive - distance to negative + margin)``.

    Parameters
    ----------
    anchor, positive, negative : Tensor, shape (N, D) or (D,)
        Vectors.
    margin : float
        By how much the negative should be farther away.
    p, eps
        As in `pairwise_distance`.
    swap : bool
        Take the distance from positive to negative where that is less.
    reduction : {"mean", "sum", "none"}
        What to make of the triplets.

    Returns
    -------
    Tensor
        0-d, or one loss per triplet.

    References
    ----------
    Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional
    neural networks", 2016.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> x = tfl.tensor([[0.0, 0.0]])
    >>> F.triplet_margin_loss(x, x + 3.0, x + 3.0)
    tensor(1.)
    """
    return triplet_margin_with_distance_loss(
        anchor, positive, negative, margin=margin, swap=swap, reduction=reduction,
        distance_function=lambda x, y: pairwise_distance(x, y, p, eps),
    )  # fmt: skip


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return `triplet_margin_loss` with any distance.

    Parameters
    ----------
    anchor, positive, negative : Tensor, shape (N, ...)
        What the distance takes, all of one shape.
    distance_function : callable, optional
        Two tensors to their distances; `pairwise_distance` by default.
    margin, swap, reduction
        As in `triplet_margin_loss`.

    Returns
    -------
    Tensor
        0-d, or one loss per triplet.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> x = tfl.tensor([[0.0, 0.0]])
    >>> F.triplet_margin_with_distance_loss(
    ...     x, x + 1.0, x + 1.0, distance_function=lambda a, b: abs(a - b).max(axis=-1)
    ... )
    tensor(1.)
    """
    name = "triplet_margin_loss"
    check_reduction(name, reduction)
    if not margin > 0:
        raise ArgumentError(f"{name}: margin must be above 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(
            f"{name}: anchor, positive and negative must have as many axes, got "
            f"{anchor.shape}, {positive.shape} and {negative.shape}"
        )
    if distance_function is None and anchor.dtype in dtypes.half:
        return in_float32(triplet_margin_with_distance_loss)(
            anchor, positive, negative, margin=margin, swap=swap, reduction=reduction
        )
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduce_loss(_above(margin + near - far), reduction)
