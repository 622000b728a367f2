"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Any

from ...backend import dtypes
from ...core.tensor import Tensor
from ...errors import ArgumentError, DtypeError, ShapeError
from ...ops.creation import asarray
from ...ops.ctc import ctc_alignments
from ...ops.cumulative import cumulative_sum
from ...ops.elementwise import maximum, minimum, where
from ...ops.gradient import cast
from ...ops.losses import check_reduction
from ...ops.reduction import as_tensor, mean
from ...ops.reduction import max as _max
from ...ops.reduction import sum as _sum
from ...ops.shaping import reshape


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return minus the log-probability of label sequences, over all their alignments.

    Parameters
    ----------
    log_probs : Tensor, shape (T, N, C) or (T, C)
        Log-probabilities of C classes in each of T frames, as `log_softmax` gives them.
    targets : Tensor of integers, shape (N, S), or all sequences one after the other
        Class indices without the blank.
    input_lengths : Tensor or sequence of int, shape (N,) or ()
        How many frames of each sample count.
    target_lengths : Tensor or sequence of int, shape (N,) or ()
        How long each sequence is.
    blank : int
        The class of the blank.
    reduction : {"mean", "sum", "none"}
        What to make of the samples; for the mean each is divided by the length of its sequence.
    zero_infinity : bool
        Whether sequences that don't fit in their frames count nothing, rather than infinity.

    Returns
    -------
    Tensor
        0-d, or one loss per sample. The gradient is that of ``log_probs`` as they are.

    Raises
    ------
    ShapeError
        The lengths don't fit the frames or the targets.

    References
    ----------
    Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data
    with recurrent neural networks", 2006.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> frames = tfl.log(tfl.full((2, 1, 2), 0.5))
    >>> F.ctc_loss(frames, tfl.tensor([[1]]), [2], [1])
    tensor(0.2876821)
    """
    check_reduction("ctc_loss", reduction)
    x, targets = as_tensor(log_probs), asarray(targets)
    if x.dtype not in dtypes.real_inexact or x.ndim not in (2, 3):
        raise ShapeError(
            f"ctc_loss: log_probs must be floats of shape (T, N, C) or (T, C), got {x.dtype} "
            f"{x.shape}"
        )
    if targets.dtype.kind not in "iu":
        raise DtypeError(f"ctc_loss: targets must be integers, got {targets.dtype}")
    alone = x.ndim == 2
    x = reshape(x, (x.shape[0], 1, x.shape[1])) if alone else x
    frames, batch, classes = x.shape
    if not 0 <= blank < classes:
        raise ArgumentError(f"ctc_loss: blank must lie in [0, {classes}), got {blank}")
    lengths = [_lengths(one, batch, x) for one in (input_lengths, target_lengths)]
    if int(_max(lengths[0])) > frames:
        raise ShapeError(
            f"ctc_loss: input_lengths must be at most {frames}, the frames of log_probs, got "
            f"{int(_max(lengths[0]))}"
        )
    labels = _padded(targets, lengths[1], batch)
    loss = ctc_alignments(x, labels, lengths[0], lengths[1], blank)
    if zero_infinity:
        loss = where(loss == float("inf"), 0.0, loss)
    if reduction == "mean":
        return mean(loss / cast(maximum(lengths[1], 1), loss.dtype))
    if reduction == "sum":
        return _sum(loss)
    return reshape(loss, ()) if alone else loss


def _lengths(given: Any, batch: int, x: Tensor) -> Tensor:
    found = asarray(given, device=x.device)
    if found.dtype.kind not in "iu" or found.shape not in ((batch,), ()):
        raise ShapeError(
            f"ctc_loss: lengths must be {batch} integers, got {found.dtype} {found.shape}"
        )
    return reshape(cast(found, dtypes.int64), (batch,))


def _padded(targets: Tensor, lengths: Tensor, batch: int) -> Tensor:
    """Return the targets as (N, S), int64, whatever stands behind their ends."""
    targets = cast(targets, dtypes.int64)
    longest = int(_max(lengths))
    if targets.ndim == 2 and targets.shape[0] == batch and targets.shape[1] >= longest:
        return targets[:, :longest]
    total = int(_sum(lengths))
    if targets.ndim != 1 or targets.shape[0] < total:
        raise ShapeError(
            f"ctc_loss: targets must be ({batch}, {longest}) or hold {total} labels in a row, as "
            f"target_lengths say, got {targets.shape}"
        )
    places = asarray(range(longest), dtype=dtypes.int64, device=targets.device)
    if not total:
        return where(places < 0, places, reshape(lengths, (batch, 1)) * 0)
    starts = reshape(cumulative_sum(lengths) - lengths, (batch, 1))
    return targets[minimum(starts + places, total - 1)]
