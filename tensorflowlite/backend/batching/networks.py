"""Batching rules of the operations of networks: convolution, pooling, normalisation, losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .batched_array import Level, loop
from .rules import move_axis, whole, wholes

Flags = Sequence[bool]


def _folded(k: Any, x: Any) -> Any:
    """Return an array with the batch and the images as one axis."""
    return k.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _unfolded(k: Any, level: Level, out: Any) -> Any:
    if isinstance(out, tuple):
        return tuple([_unfolded(k, level, one) for one in out])
    if out is None:
        return None
    count = out.shape[0] // level.size if level.size else 0
    return k.reshape(out, (level.size, count, *out.shape[1:]))


def folding(arrays: int, shape_at: int | None = None) -> Callable[..., Any]:
    """Return a rule that makes the batch part of the first axis of the first ``arrays`` inputs.

    ``shape_at`` is the place of an argument that is the result's shape. What else depends on the
    sample makes it run sample after sample.
    """

    def rule(k: Any, name: str, level: Level, flags: Flags, *values: Any) -> Any:
        if True in flags[arrays:] or not level.size or values[0].ndim - flags[0] == 0:
            return loop(k, name, level, flags, *values)
        given = [_folded(k, x) for x in wholes(k, level, flags[:arrays], values[:arrays])]
        rest = list(values[arrays:])
        if shape_at is not None:
            shape = rest[shape_at - arrays]
            rest[shape_at - arrays] = (shape[0] * level.size, *shape[1:])
        return _unfolded(k, level, getattr(k, name)(*given, *rest))

    return rule


# -- convolution: kernels of each sample's own are groups ------------------------------------------
def _as_channels(k: Any, x: Any) -> Any:
    """Return (batch, images, channels, ...) as (images, batch * channels, ...)."""
    x = move_axis(k, x, 0, 1)
    return k.reshape(x, (x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:]))


def _from_channels(k: Any, level: Level, x: Any) -> Any:
    x = k.reshape(x, (x.shape[0], level.size, x.shape[1] // level.size, *x.shape[2:]))
    return move_axis(k, x, 1, 0)


def _convolution(k: Any, name: str, level: Level, flags: Flags, x: Any, weight: Any, *rest: Any
                 ) -> Any:  # fmt: skip
    if not level.size:
        return loop(k, name, level, flags, x, weight, *rest)
    *geometry, groups = rest
    if not flags[1]:
        return _unfolded(k, level, k.convolution(_folded(k, x), weight, *rest))
    if not flags[0] and groups == 1:
        out = k.convolution(x, _folded(k, weight), *geometry, 1)
    else:
        x = _as_channels(k, whole(k, level, flags[0], x))
        out = k.convolution(x, _folded(k, weight), *geometry, groups * level.size)
    return _from_channels(k, level, out)


def _input_gradient(k: Any, name: str, level: Level, flags: Flags, y: Any, weight: Any, shape: Any,
                    *rest: Any) -> Any:  # fmt: skip
    if not level.size:
        return loop(k, name, level, flags, y, weight, shape, *rest)
    images, channels, *size = shape
    if not flags[1]:
        images *= level.size
        out = k.convolution_input_gradient(_folded(k, y), weight, (images, channels, *size), *rest)
        return _unfolded(k, level, out)
    *geometry, groups = rest
    y = _as_channels(k, whole(k, level, flags[0], y))
    shape = (images, channels * level.size, *size)
    weight = _folded(k, weight)
    out = k.convolution_input_gradient(y, weight, shape, *geometry, groups * level.size)
    return _from_channels(k, level, out)


def _weight_gradient(k: Any, name: str, level: Level, flags: Flags, y: Any, x: Any, shape: Any,
                     *rest: Any) -> Any:  # fmt: skip
    if not level.size:
        return loop(k, name, level, flags, y, x, shape, *rest)
    *geometry, groups = rest
    y, x = [_as_channels(k, one) for one in wholes(k, level, flags[:2], (y, x))]
    whole_shape = (shape[0] * level.size, *shape[1:])
    return _unfolded(
        k, level, k.convolution_weight_gradient(y, x, whole_shape, *geometry, groups * level.size)
    )


# -- normalisation ---------------------------------------------------------------------------------
def _statistics(k: Any, name: str, level: Level, flags: Flags, x: Any, axes: Any, *rest: Any
                ) -> Any:  # fmt: skip
    out = k.norm_statistics(x, tuple([axis + 1 for axis in axes]), *rest)
    return move_axis(k, out, 1, 0)


def _over_last(k: Any, name: str, level: Level, flags: Flags, x: Any, *rest: Any) -> Any:
    """Layer and RMS norm; parameters of each sample's own are applied after it."""
    *parameters, count, eps = rest
    marks = flags[1 : 1 + len(parameters)]
    apart = True in marks
    out, residual = getattr(k, name)(
        whole(k, level, flags[0], x), *(() if apart else parameters), count, eps
    )
    if apart:
        lead = (1,) * (out.ndim - 1 - count)
        for slot, one, mark in zip(("multiply", "add"), parameters, marks, strict=False):
            if mark:
                one = k.reshape(one, (one.shape[0], *lead, *one.shape[1:]))
            out = getattr(k, slot)(out, one)
    return out, move_axis(k, residual, 1, 0)


def _batch_norm(k: Any, name: str, level: Level, flags: Flags, x: Any, *rest: Any) -> Any:
    """Normalise the channels of all samples as channels of one."""
    *parameters, eps = rest
    marks = flags[1 : 1 + len(parameters)]
    outs, residual = k.batch_norm(_as_channels(k, whole(k, level, flags[0], x)), eps)
    out, *moments = outs
    out = _from_channels(k, level, out)
    tail = (1,) * (out.ndim - 3)
    for slot, one, mark in zip(("multiply", "add"), parameters, marks, strict=False):
        shape = (one.shape[0], 1, one.shape[1], *tail) if mark else (1, *one.shape, *tail)
        out = getattr(k, slot)(out, k.reshape(one, shape))
    moments = [k.reshape(one, (level.size, one.size // (level.size or 1))) for one in moments]
    two, one, channels, *rest_of = residual.shape
    residual = k.reshape(
        residual, (two, one, level.size, channels // (level.size or 1), *rest_of)
    )
    return (out, *moments), move_axis(k, residual, 2, 0)


def _embedding(k: Any, name: str, level: Level, flags: Flags, weight: Any, *rest: Any) -> Any:
    if flags[0]:
        return loop(k, name, level, flags, weight, *rest)
    return k.embedding(weight, *rest)


RULES: dict[str, Callable[..., Any]] = {
    "convolution": _convolution,
    "convolution_input_gradient": _input_gradient,
    "convolution_weight_gradient": _weight_gradient,
    "window_columns": folding(1),
    "window_images": folding(1, 1),
    "max_pool": folding(1),
    "max_pool_places": folding(2),
    "max_pool_scatter": folding(2, 2),
    "max_pool_gather": folding(2),
    "avg_pool": folding(1),
    "avg_pool_gradient": folding(1, 1),
    "norm_statistics": _statistics,
    "layer_norm": _over_last,
    "rms_norm": _over_last,
    "batch_norm": _batch_norm,
    "softmax_cross_entropy": folding(2),
    "nll_loss": folding(2),
    "target_distribution": folding(1),
    "target_weights": folding(1),
    "embedding": _embedding,
}
