"""Slots of the normalisations. Statistics are float32 at least, the variance takes two passes.

``statistics`` is one array of two: the mean and one over the standard deviation, with the
normalised axes kept as length 1. Where nothing is subtracted (``centered`` false) the mean is zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from .. import dtypes

_DOT_FROM = 16  # elements per image and channel from which a dot product each is the quicker sum


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots of the normalisations."""

    def widen(x: Any) -> Any:
        return x.astype(dtypes.accumulator(x.dtype), copy=False)

    def total(x: Any, axes: tuple[int, ...]) -> Any:
        return x.sum(axes, keepdims=True)

    def total_product(x: Any, y: Any, axes: tuple[int, ...]) -> Any:
        """Return the sum of ``x * y`` over ``axes``, kept."""
        trailing = 0
        while trailing < len(axes) and axes[-1 - trailing] == x.ndim - 1 - trailing:
            trailing += 1
        lead = x.shape[: x.ndim - trailing]
        length = math.prod(x.shape[x.ndim - trailing :])
        if xp is not numpy or length < _DOT_FROM:
            return total(x * y, axes)
        sums = xp.vecdot(x.reshape(*lead, length), y.reshape(*lead, length))
        return total(sums.reshape(*lead, *[1] * trailing), axes)

    def moments(x: Any, axes: tuple[int, ...], centered: bool) -> tuple[Any, Any, Any]:
        """Return x less its mean, the mean, and the mean of the squares."""
        count = math.prod([x.shape[axis] for axis in axes])
        if not centered:
            return x, None, total_product(x, x, axes) / count
        mean = total(x, axes)
        mean /= count
        centred = x - mean
        return centred, mean, total_product(centred, centred, axes) / count

    def packed(mean: Any, variance: Any, eps: float) -> Any:
        statistics = xp.zeros((2, *variance.shape), variance.dtype)
        if mean is not None:
            statistics[0] = mean
        statistics[1] = 1 / xp.sqrt(variance + eps)
        return statistics

    def scaled(centred: Any, rstd: Any, parameters: Any, x: Any) -> Any:
        """Return the normalised values times the weight plus the bias, in ``x``'s dtype."""
        weight = parameters[0] if parameters else None
        if weight is not None and weight.shape == rstd.shape:
            rstd, weight = rstd * weight, None  # along the same axis: one pass instead of two
        if centred is x:
            out = centred * rstd
        else:
            out = centred
            out *= rstd
        if weight is not None:
            out *= weight
        if len(parameters) > 1:
            out += parameters[1]
        return out.astype(x.dtype, copy=False)

    def batch_norm(x: Any, *rest: Any) -> Any:
        *parameters, eps = rest
        shape = (1, x.shape[1], *[1] * (x.ndim - 2))
        parameters = [widen(p).reshape(shape) for p in parameters]
        centred, mean, variance = moments(widen(x), (0, *range(2, x.ndim)), True)
        statistics = packed(mean, variance, eps)
        out = scaled(centred, statistics[1], parameters, x)
        return (out, mean.reshape(-1), variance.reshape(-1)), statistics

    def over_last(x: Any, parameters: Any, ndim: int, eps: float, centered: bool) -> Any:
        axes = tuple(range(x.ndim - ndim, x.ndim))
        centred, mean, variance = moments(widen(x), axes, centered)
        statistics = packed(mean, variance, eps)
        return scaled(centred, statistics[1], [widen(p) for p in parameters], x), statistics

    def layer_norm(x: Any, *rest: Any) -> Any:
        *parameters, ndim, eps = rest
        return over_last(x, parameters, ndim, eps, True)

    def rms_norm(x: Any, *rest: Any) -> Any:
        *parameters, ndim, eps = rest
        return over_last(x, parameters, ndim, eps, False)

    def norm_statistics(x: Any, axes: tuple[int, ...], eps: float, centered: bool) -> Any:
        _, mean, variance = moments(widen(x), axes, centered)
        return packed(mean, variance, eps)

    def norm_gradient(y: Any, x: Any, statistics: Any, *rest: Any) -> Any:
        *weight, axes, parameter_axes, centered, parts = rest
        g, wide = widen(y), widen(x)
        rstd = statistics[1]
        centred = wide - statistics[0] if centered else wide
        count = math.prod([x.shape[axis] for axis in axes])
        sums: list[Any] = []
        if axes == parameter_axes:
            # The weight is constant along the axes: the sums of its gradient serve both.
            with_x, plain = total_product(g, centred, axes), total(g, axes)
            sums = [with_x * rstd, plain]
            slope = rstd * widen(weight[0]) if weight else rstd
            dx = centred * (with_x * rstd * rstd * slope / -count)
            dx += g * slope
            if centered:
                dx -= plain * slope / count
        else:
            normal = centred * rstd
            if parts > 1:
                sums = [total(g * normal, parameter_axes)]
            if parts > 2:
                sums.append(total(g, parameter_axes))
            inner_g = g * widen(weight[0]) if weight else g
            dx = normal
            with_normal = total_product(inner_g, normal, axes) / -count
            plain = total(inner_g, axes) / count if centered else None
            dx *= with_normal
            dx += inner_g
            if plain is not None:
                dx -= plain
            dx *= rstd
        return (dx.astype(y.dtype, copy=False), *sums[: parts - 1])

    return {
        "batch_norm": batch_norm,
        "layer_norm": layer_norm,
        "rms_norm": rms_norm,
        "norm_statistics": norm_statistics,
        "norm_gradient": norm_gradient,
    }
