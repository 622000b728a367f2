"""Slots of two-dimensional pooling.

Each place of the window is one strided slice of the image, so a pool is as many passes over the
output as the window has places; nothing is padded.
"""

from __future__ import annotations

from typing import Any

import numpy

from . import dtypes
from .windows import Pair, Tap, out_length, taps


def _windows(size: Any, kernel: Pair, stride: Pair, padding: Any, dilation: Pair,
             ceil: bool) -> tuple[Pair, list[Tap]]:  # fmt: skip
    """Return how many windows there are along both axes, and the taps of one."""
    height, width = size
    count = (
        out_length(height, kernel[0], stride[0], padding[0], dilation[0], ceil),
        out_length(width, kernel[1], stride[1], padding[1], dilation[1], ceil),
    )
    return count, taps((height, width), count, kernel, stride, padding, dilation)


def _covered(size: int, count: int, kernel: int, stride: int, padding: Pair,
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

    def max_pool2d(x: Any, *geometry: Any) -> Any:
        count, places = _windows(x.shape[2:], *geometry)
        out = xp.full((*x.shape[:2], *count), lowest(x.dtype), x.dtype)
        for tap in places:
            into = out[:, :, tap.out[0], tap.out[1]]
            xp.maximum(into, x[:, :, tap.image[0], tap.image[1]], out=into)
        return out

    def max_pool2d_places(x: Any, out: Any, *geometry: Any) -> Any:
        """Return which place of each window holds its maximum: the first where several do."""
        _, places = _windows(x.shape[2:], *geometry)
        found = xp.zeros(out.shape, dtypes.uint8 if len(places) < 256 else dtypes.int32)
        for index in reversed(range(len(places))):
            tap = places[index]
            there = x[:, :, tap.image[0], tap.image[1]] == out[:, :, tap.out[0], tap.out[1]]
            into = found[:, :, tap.out[0], tap.out[1]]
            into *= ~there
            into += there * found.dtype.type(index)
        return found

    def only(value: Any, chosen: Any) -> Any:
        """Return ``value`` where it is chosen, and zero elsewhere."""
        if xp is not numpy or value.dtype.kind == "c":
            return xp.where(chosen, value, value.dtype.type(0))
        # Its bits times 0 or 1: four times as fast, and infinities give no NaN.
        return (value.view(f"u{value.itemsize}") * chosen).view(value.dtype)

    def max_pool2d_scatter(y: Any, where: Any, shape: Any, *geometry: Any) -> Any:
        """Return images of zeros with ``y`` added at each window's place."""
        _, places = _windows(shape[2:], *geometry)
        wide = dtypes.accumulator(y.dtype)
        apart = all(geometry[1][a] > (geometry[0][a] - 1) * geometry[3][a] for a in (0, 1))
        out = xp.zeros(shape, y.dtype if apart else wide)
        for index, tap in enumerate(places):
            chosen = where[:, :, tap.out[0], tap.out[1]] == index
            value = y[:, :, tap.out[0], tap.out[1]]
            target = out[:, :, tap.image[0], tap.image[1]]
            if apart:  # no two windows share a place
                target[...] = only(value, chosen)
            else:
                target += only(value, chosen)
        return out.astype(y.dtype, copy=False)

    def max_pool2d_gather(x: Any, where: Any, *geometry: Any) -> Any:
        """Return the value of ``x`` at each window's place."""
        _, places = _windows(x.shape[2:], *geometry)
        out = xp.zeros(where.shape, x.dtype)
        for index, tap in enumerate(places):
            chosen = where[:, :, tap.out[0], tap.out[1]] == index
            out[:, :, tap.out[0], tap.out[1]] += only(x[:, :, tap.image[0], tap.image[1]], chosen)
        return out

    def divisor(size: Any, count: Any, kernel: Pair, stride: Pair, padding: Any, padded: bool,
                dtype: Any) -> Any:  # fmt: skip
        """Return what each window's sum is divided by; one number where all are the same."""
        rows, columns = [
            _covered(size[a], count[a], kernel[a], stride[a], padding[a], padded) for a in (0, 1)
        ]
        if len({*rows}) == 1 == len({*columns}):
            return rows[0] * columns[0]
        return xp.asarray([[row * column for column in columns] for row in rows]).astype(dtype)

    def avg_pool2d(x: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, padded: bool) -> Any:
        wide = dtypes.accumulator(x.dtype)
        count, places = _windows(x.shape[2:], kernel, stride, padding, (1, 1), ceil)
        out = xp.zeros((*x.shape[:2], *count), wide)
        for tap in places:
            out[:, :, tap.out[0], tap.out[1]] += x[:, :, tap.image[0], tap.image[1]]
        out /= divisor(x.shape[2:], count, kernel, stride, padding, padded, dtypes.real_of(wide))
        return out.astype(x.dtype, copy=False)

    def avg_pool2d_gradient(y: Any, shape: Any, kernel: Any, stride: Any, padding: Any, ceil: bool,
                            padded: bool) -> Any:  # fmt: skip
        wide = dtypes.accumulator(y.dtype)
        count, places = _windows(shape[2:], kernel, stride, padding, (1, 1), ceil)
        share = y.astype(wide, copy=False) / divisor(
            shape[2:], count, kernel, stride, padding, padded, dtypes.real_of(wide)
        )
        out = xp.zeros(shape, wide)
        for tap in places:
            out[:, :, tap.image[0], tap.image[1]] += share[:, :, tap.out[0], tap.out[1]]
        return out.astype(y.dtype, copy=False)

    return {
        "max_pool2d": max_pool2d,
        "max_pool2d_places": max_pool2d_places,
        "max_pool2d_scatter": max_pool2d_scatter,
        "max_pool2d_gather": max_pool2d_gather,
        "avg_pool2d": avg_pool2d,
        "avg_pool2d_gradient": avg_pool2d_gradient,
    }
