"""The likelihood of label sequences over all their alignments with frames.

A recursion over the frames in logarithms, written with other operations: its gradient, to any
order, is theirs.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import dtypes
from ..core.fused import fused
from ..core.tensor import Tensor
from .creation import asarray, full
from .elementwise import logical_and, not_equal, where
from .gradient import cast
from .indexing import take_along_axis
from .joining import concat, stack
from .shaping import broadcast_to, reshape

_ALL = slice(None)


def _recursion(k: Any, frames: Any, before: Any, start: Any, skip: Any, ends: Any,
               counts: Any) -> Any:  # fmt: skip
    alpha = None
    for frame, count in zip(k.unstack(frames, 0), k.unstack(counts, 0), strict=True):
        if alpha is None:
            alpha = frame + start
            continue
        padded = k.concat(before, alpha, 1)
        stay, step = alpha, k.getitem(padded, (_ALL, slice(1, -1)))
        leap = k.getitem(padded, (_ALL, slice(0, -2))) + skip
        moved = k.logsumexp(k.stack(stay, step, leap, 0), (0,)) + frame
        alpha = k.where(count, moved, alpha)
    return -k.logsumexp(alpha + ends, (1,))


_ctc = fused(
    "ctc",
    ("frames", "before", "start", "skip", "ends", "counts"),
    _recursion,
    doc="Minus the log-probability of each sample's labels, summed over their alignments.",
    called="ctc_loss",
)


def ctc_alignments(
    x: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int
) -> Tensor:
    """Return minus the log-probability of each label sequence.

    Parameters
    ----------
    x : Tensor, shape (frames, batch, classes)
        Log-probabilities. Half precision is computed in float32 and rounded once.
    targets : Tensor of int64, shape (batch, labels)
        What stands behind a sequence's end doesn't matter.
    input_lengths, target_lengths : Tensor of int64, shape (batch,)
        How many frames and labels count; at least one frame.
    blank : int
        The class of the blank.

    Returns
    -------
    Tensor, shape (batch,)
        Infinite where the labels don't fit in the frames; the gradient is 0 there.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.ctc import ctc_alignments
    >>> x = tfl.log(tfl.full((2, 1, 2), 0.5))
    >>> one = tfl.tensor([1])
    >>> ctc_alignments(x, tfl.tensor([[1]]), one * 2, one, 0)
    tensor([0.2876821])
    """
    dtype, device = x.dtype, x.device
    if dtype in dtypes.half:
        x = cast(x, dtypes.float32)
    (frames, batch, _), labels = x.shape, targets.shape[1]
    like = {"dtype": x.dtype, "device": device}
    column = reshape(target_lengths, (batch, 1))
    places = asarray(range(labels), dtype=dtypes.int64, device=device)
    targets = where(places < column, targets, blank)
    # The states: a blank, then each label followed by a blank.
    blanks = full((batch, labels), blank, dtype=dtypes.int64, device=device)
    states = reshape(stack([targets, blanks], axis=2), (batch, 2 * labels))
    first = full((batch, 1), blank, dtype=dtypes.int64, device=device)
    states = concat([first, states], axis=1)
    width = 2 * labels + 1
    number = asarray(range(width), dtype=dtypes.int64, device=device)

    def barred(allowed: Tensor) -> Tensor:
        """Return the logarithm of what is allowed: 0 or minus infinity."""
        nothing = full((), 0.0, **like)
        return where(allowed, nothing, -math.inf)

    # A blank may be left out between two different labels.
    earlier = concat([states[:, :2], states], axis=1)[:, :width]
    skip = logical_and(not_equal(states, blank), not_equal(states, earlier))
    skip = logical_and(skip, number > 1)
    last = column * 2
    ends = (number == last) | logical_and(number == last - 1, column > 0)
    start = logical_and(number < 2, number <= last)
    chosen = take_along_axis(x, broadcast_to(states, (frames, batch, width)), 2)
    time = reshape(asarray(range(frames), dtype=dtypes.int64, device=device), (frames, 1, 1))
    loss = _ctc(
        chosen, full((batch, 2), -math.inf, **like), barred(start), barred(skip), barred(ends),
        time < reshape(input_lengths, (1, batch, 1)),
    )  # fmt: skip
    return loss if loss.dtype == dtype else cast(loss, dtype)


ctc_alignments.primitive = _ctc.primitive  # type: ignore[attr-defined]
