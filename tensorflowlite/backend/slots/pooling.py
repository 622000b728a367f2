"""Slots of pooling over any number of axes.

Each place of the window is one strided slice of the image, so a pool is as many passes over the
output as the window has places; nothing is padded.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy

from .. import dtypes
from .windows import Lengths, Tap, out_lengths, taps


def _windows(size: Any, kernel: Lengths, stride: Lengths, padding: Any, dilation: Lengths,
             ceil: bool) -> tuple[Lengths, list[Tap]]:  # fmt: skip
    """Return how many windows there are along each axis, and the taps of one."""
    count = out_lengths(size, kernel, stride, padding, dilation, ceil)
    return count, taps(size, count, kernel, stride, padding, dilation)


def covered(size: int, count: int, kernel: int, stride: int, padding: tuple[int, int],
            padded: bool) -> list[int]:  # fmt: skip
    """Return how many places each window along an axis averages over."""
    low, high = (-padding[0], size + padding[1]) if padded else (0, size)
    starts = [i * stride - padding[0] for i in range(count)]
    return [min(start + kernel, high) - max(start, low) for start in starts]


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots of pooling."""

    def lowest(dtype: Any) -> Any:
        if dtype.kind in "iu":
            return xp.iinfo(dtype).min
        return False if dtype.kind == "b" else -float("inf")

    def max_pool(x: Any, *args: Any) -> tuple[Any, Any]:
        """Return the maxima, and where they are kept their places, else None."""
        *geometry, keep = args
        count, places = _windows(x.shape[2:], *geometry)
        out = xp.full((*x.shape[:2], *count), lowest(x.dtype), x.dtype)
        for tap in places:
            into = out[tap.out]
            xp.maximum(into, x[tap.image], out=into)
        return out, max_pool_places(x, out, *geometry) if keep else None

    def max_pool_places(x: Any, out: Any, *geometry: Any) -> Any:
        """Return which place of each window holds its maximum: the first where several do."""
        _, places = _windows(x.shape[2:], *geometry)
        found = xp.zeros(out.shape, dtypes.uint8 if len(places) < 256 else dtypes.int32)
        for index in reversed(range(len(places))):
            tap = places[index]
            there = x[tap.image] == out[tap.out]
            into = found[tap.out]
            into *= ~there
            into += there * found.dtype.type(index)
        return found

    def only(value: Any, chosen: Any) -> Any:
        """Return ``value`` where it is chosen, and zero elsewhere."""
        if xp is not numpy or value.dtype.kind == "c":
            return xp.where(chosen, value, value.dtype.type(0))
        # Its bits times 0 or 1: four times as fast, and infinities give no NaN.
        return (value.view(f"u{value.itemsize}") * chosen).view(value.dtype)

    def max_pool_scatter(y: Any, where: Any, shape: Any, *geometry: Any) -> Any:
        """Return images of zeros with ``y`` added at each window's place."""
        _, places = _windows(shape[2:], *geometry)
        wide = dtypes.accumulator(y.dtype)
        kernel, stride, _, dilation, _ = geometry
        apart = all(s > (n - 1) * d for n, s, d in zip(kernel, stride, dilation, strict=True))
        out = xp.zeros(shape, y.dtype if apart else wide)
        for index, tap in enumerate(places):
            chosen = where[tap.out] == index
            value = y[tap.out]
            target = out[tap.image]
            if apart:  # no two windows share a place
                target[...] = only(value, chosen)
            else:
                target += only(value, chosen)
        return out.astype(y.dtype, copy=False)

    def max_pool_gather(x: Any, where: Any, *geometry: Any) -> Any:
        """Return the value of ``x`` at each window's place."""
        _, places = _windows(x.shape[2:], *geometry)
        out = xp.zeros(where.shape, x.dtype)
        for index, tap in enumerate(places):
            chosen = where[tap.out] == index
            out[tap.out] += only(x[tap.image], chosen)
        return out

    def divisor(size: Any, count: Any, kernel: Lengths, stride: Lengths, padding: Any,
                padded: bool, given: int | None, dtype: Any) -> Any:  # fmt: skip
        """Return what each window's sum is divided by; one number where all are the same."""
        if given is not None:
            return given
        along = zip(size, count, kernel, stride, padding, strict=True)
        axes = [covered(*axis, padded) for axis in along]
        if all(len({*lengths}) == 1 for lengths in axes):
            return functools.reduce(operator.mul, [lengths[0] for lengths in axes])
        spread = numpy.ix_(*[numpy.asarray(lengths) for lengths in axes])
        return xp.asarray(functools.reduce(operator.mul, spread)).astype(dtype)

    def is_whole(size: Any, kernel: Lengths, padding: Any) -> bool:
        """Whether there is one window, which holds the whole image."""
        return tuple(kernel) == tuple(size) and not any(map(any, padding))

    def avg_pool(x: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, padded: bool,
                 given: int | None) -> Any:  # fmt: skip
        wide, ones = dtypes.accumulator(x.dtype), (1,) * len(kernel)
        count, places = _windows(x.shape[2:], kernel, stride, padding, ones, ceil)
        if is_whole(x.shape[2:], kernel, padding):
            out = xp.sum(x, tuple(range(2, x.ndim)), dtype=wide, keepdims=True)
        else:
            out = xp.zeros((*x.shape[:2], *count), wide)
            for tap in places:
                out[tap.out] += x[tap.image]
        real = dtypes.real_of(wide)
        out /= divisor(x.shape[2:], count, kernel, stride, padding, padded, given, real)
        return out.astype(x.dtype, copy=False)

    def avg_pool_gradient(y: Any, shape: Any, kernel: Any, stride: Any, padding: Any, ceil: bool,
                          padded: bool, given: int | None) -> Any:  # fmt: skip
        wide, ones = dtypes.accumulator(y.dtype), (1,) * len(kernel)
        count, places = _windows(shape[2:], kernel, stride, padding, ones, ceil)
        share = y.astype(wide, copy=False) / divisor(
            shape[2:], count, kernel, stride, padding, padded, given, dtypes.real_of(wide)
        )
        if is_whole(shape[2:], kernel, padding):
            return xp.broadcast_to(share, shape).astype(y.dtype)
        out = xp.zeros(shape, wide)
        for tap in places:
            out[tap.image] += share[tap.out]
        return out.astype(y.dtype, copy=False)

    return {
        "max_pool": max_pool,
        "max_pool_places": max_pool_places,
        "max_pool_scatter": max_pool_scatter,
        "max_pool_gather": max_pool_gather,
        "avg_pool": avg_pool,
        "avg_pool_gradient": avg_pool_gradient,
    }
