"""Slots of the losses over classes, and of the embedding.

On the CPU an index out of range raises. On a device, where a look would wait for it, what depends
on that index becomes NaN.
"""

from __future__ import annotations

from typing import Any

import numpy

from ...errors import OutOfRangeError
from .. import dtypes
from .portable import chooser


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots of the losses."""
    choose = chooser(xp)

    def class_weights(name: str, target: Any, weight: Any, classes: int, ignored: int,
                      dtype: Any) -> tuple[Any, Any, Any]:  # fmt: skip
        """Return targets inside the classes, each one's weight, and where one is ignored.

        The weight of an ignored target is zero.
        """
        kept = target != ignored
        inside = (target >= 0) & (target < classes)
        if xp is numpy and not (inside | ~kept).all():
            found = target[~inside & kept].flat[0]
            raise OutOfRangeError(
                f"{name}: class indices must lie in [0, {classes}), got {found}; only "
                f"ignore_index={ignored} may lie outside"
            )
        safe = xp.where(inside, target, 0)
        chosen = weight[safe].astype(dtype) if weight is not None else xp.ones(target.shape, dtype)
        chosen = choose(kept, chosen, dtype.type(0))
        if xp is not numpy:
            chosen = choose(inside | ~kept, chosen, dtype.type("nan"))
        return safe, chosen, kept

    def pick(x: Any, index: Any) -> Any:
        """Return ``x[i, index[i, ...], ...]``."""
        return xp.take_along_axis(x, xp.expand_dims(index, 1), 1)[:, 0]

    def weight_total(weight: Any, classes: int) -> Any:
        return weight.sum() if weight is not None else classes

    def along_classes(weight: Any, ndim: int) -> Any:
        return weight.reshape(1, -1, *[1] * (ndim - 2))

    def softmax_cross_entropy(x: Any, target: Any, *rest: Any) -> Any:
        *weights, ignored, smoothing = rest
        wide = x.astype(dtypes.accumulator(x.dtype), copy=False)
        weight = weights[0].astype(wide.dtype, copy=False) if weights else None
        classes = x.shape[1]
        safe, chosen, kept = class_weights(
            "cross_entropy", target, weight, classes, ignored, wide.dtype
        )
        shifted = wide - wide.max(1, keepdims=True)
        probabilities = xp.exp(shifted)
        norm = probabilities.sum(1, keepdims=True)
        probabilities /= norm
        norm = xp.log(norm)
        loss = norm[:, 0] - pick(shifted, safe)
        loss *= chosen * (1 - smoothing)
        if smoothing:
            logs = shifted - norm
            if weight is not None:
                logs *= along_classes(weight, x.ndim)
            spread = logs.sum(1) * (-smoothing / classes)
            loss += xp.where(kept, spread, spread.dtype.type(0))
        loss = xp.where(kept, loss, loss.dtype.type(0))  # also where the logits aren't finite
        return loss.astype(x.dtype, copy=False), probabilities.astype(x.dtype, copy=False)

    def softmax_cross_entropy_gradient(y: Any, probabilities: Any, target: Any, *rest: Any) -> Any:
        *weights, ignored, smoothing = rest
        wide = dtypes.accumulator(probabilities.dtype)
        weight = weights[0].astype(wide, copy=False) if weights else None
        classes = probabilities.shape[1]
        safe, chosen, kept = class_weights("cross_entropy", target, weight, classes, ignored, wide)
        g = y.astype(wide, copy=False)
        hit = g * chosen * (1 - smoothing)
        scale = hit
        if smoothing:
            spread = xp.where(kept, g, wide.type(0)) * (smoothing / classes)
            scale = hit + spread * weight_total(weight, classes)
        out = probabilities.astype(wide, copy=False) * xp.expand_dims(scale, 1)
        if smoothing:
            every = xp.expand_dims(spread, 1)
            out -= every if weight is None else every * along_classes(weight, out.ndim)
        place = xp.expand_dims(safe, 1)
        there = xp.take_along_axis(out, place, 1) - xp.expand_dims(hit, 1)
        xp.put_along_axis(out, place, there, 1)
        if not kept.all() if xp is numpy else True:
            out = xp.where(xp.expand_dims(kept, 1), out, out.dtype.type(0))
        return out.astype(y.dtype, copy=False)

    def target_distribution(target: Any, *rest: Any) -> Any:
        *weights, classes, ignored, smoothing, dtype = rest
        weight = weights[0].astype(dtype) if weights else None
        safe, chosen, kept = class_weights("cross_entropy", target, weight, classes, ignored, dtype)
        shape = (target.shape[0], classes, *target.shape[1:])
        out = xp.zeros(shape, dtype)
        if smoothing:
            out += xp.expand_dims(kept, 1) * dtype.type(smoothing / classes)
            if weight is not None:
                out *= along_classes(weight, len(shape))
        place = xp.expand_dims(safe, 1)
        there = xp.take_along_axis(out, place, 1) + xp.expand_dims(chosen * (1 - smoothing), 1)
        xp.put_along_axis(out, place, there.astype(dtype, copy=False), 1)
        return out

    def nll_loss(x: Any, target: Any, *rest: Any) -> Any:
        *weights, ignored = rest
        wide = dtypes.accumulator(x.dtype)
        weight = weights[0] if weights else None
        safe, chosen, kept = class_weights("nll_loss", target, weight, x.shape[1], ignored, wide)
        loss = pick(x, safe) * -chosen
        return xp.where(kept, loss, loss.dtype.type(0)).astype(x.dtype, copy=False)

    def target_weights(target: Any, *rest: Any) -> Any:
        *weights, classes, ignored, dtype = rest
        weight = weights[0] if weights else None
        return class_weights("cross_entropy", target, weight, classes, ignored, dtype)[1]

    def binary_cross_entropy_with_logits(x: Any, y: Any) -> Any:
        dtype = dtypes.promote(x.dtype, y.dtype)
        x = x.astype(dtypes.accumulator(dtype), copy=False)
        loss = xp.maximum(x, 0) - x * y.astype(x.dtype, copy=False) + xp.log1p(xp.exp(-xp.abs(x)))
        return loss.astype(dtype, copy=False)

    def embedding(weight: Any, indices: Any, padding_index: int | None) -> Any:
        rows = weight.shape[0]
        inside = (indices >= 0) & (indices < rows)
        if xp is numpy:
            if not inside.all():
                raise OutOfRangeError(
                    f"embedding: indices must lie in [0, {rows}), got {indices[~inside].flat[0]}; "
                    f"weight has {rows} rows"
                )
            return weight[indices]
        out = weight[xp.where(inside, indices, 0)]
        return choose(xp.expand_dims(inside, -1), out, out.dtype.type("nan"))

    def one_hot(x: Any, classes: int) -> Any:
        inside = (x >= 0) & (x < classes)
        if xp is numpy and not inside.all():
            raise OutOfRangeError(
                f"one_hot: class indices must lie in [0, {classes}), got {x[~inside].flat[0]}"
            )
        return (xp.expand_dims(x, -1) == xp.arange(classes)).astype(dtypes.int64)

    def binary_cross_entropy(x: Any, y: Any) -> Any:
        dtype = dtypes.promote(x.dtype, y.dtype)
        x = x.astype(dtypes.accumulator(dtype), copy=False)
        y = y.astype(x.dtype, copy=False)
        if xp is numpy and not ((x >= 0) & (x <= 1) | xp.isnan(x)).all():
            found = x[(x < 0) | (x > 1)].flat[0]
            raise OutOfRangeError(
                f"binary_cross_entropy: input must hold probabilities in [0, 1], got {found}; "
                "for logits use binary_cross_entropy_with_logits"
            )
        with numpy.errstate(divide="ignore", invalid="ignore"):
            # Held at -100, as PyTorch does: one certain mistake doesn't make the mean infinite.
            yes, no = xp.maximum(xp.log(x), -100), xp.maximum(xp.log1p(-x), -100)
        return (-(y * yes + (1 - y) * no)).astype(dtype, copy=False)

    return {
        "one_hot": one_hot,
        "binary_cross_entropy": binary_cross_entropy,
        "softmax_cross_entropy": softmax_cross_entropy,
        "softmax_cross_entropy_gradient": softmax_cross_entropy_gradient,
        "target_distribution": target_distribution,
        "target_weights": target_weights,
        "nll_loss": nll_loss,
        "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
        "embedding": embedding,
    }
