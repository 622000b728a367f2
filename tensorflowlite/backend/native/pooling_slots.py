"""Native slots of pooling over one or two axes.

They work on contiguous images; others are copied, for one copy costs less than a pass per place of
the window.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from ..base import accepting
from ..slots.pooling import covered
from ..slots.windows import Lengths, Padding, out_lengths
from .extension import in_c_order

_FLOATS = (dtypes.float32, dtypes.float64)
# As csrc/pooling.hpp has them.
_MOST_PLACES, _MOST_EXTENT = 256, 1024


@functools.lru_cache(maxsize=256)
def _two_axes(kernel: Lengths, stride: Lengths, padding: Padding, dilation: Lengths,
              numbered: bool = True) -> Any:  # fmt: skip
    """Return the window over rows and columns, as the extension takes it; None where it doesn't.

    ``numbered`` is whether the window's places get numbers, which are bytes.
    """
    if (numbered and math.prod(kernel) >= _MOST_PLACES) or len(kernel) > 2:
        return None
    extents = [(n - 1) * d + 1 for n, d in zip(kernel, dilation, strict=True)]
    before = tuple([first for first, _ in padding])
    if max(*extents, *before, 1) > _MOST_EXTENT or min(before) < 0 or max(stride) > 1 << 30:
        return None
    one = (1,) * (2 - len(kernel))
    return one + kernel, one + stride, (0,) * len(one) + before, one + dilation


@functools.lru_cache(maxsize=256)
def _divisors(size: Lengths, count: Lengths, kernel: Lengths, stride: Lengths, padding: Padding,
              padded: bool, given: int | None) -> Any:  # fmt: skip
    """Return what sums are divided by: a factor per row and per column of windows."""
    if given is not None:
        axes = [[1.0] * n for n in count]
        axes[0] = [float(given)] * count[0]
    else:
        along = zip(size, count, kernel, stride, padding, strict=True)
        axes = [[float(n) for n in covered(*axis, padded)] for axis in along]
    return axes if len(axes) == 2 else ([1.0], axes[0])


def _averaged(kernel: Lengths, stride: Lengths, padding: Padding) -> Any:
    return _two_axes(kernel, stride, padding, (1,) * len(kernel), numbered=False)


def _planes(x: Any) -> Any:
    """Return images as (planes, rows, columns), contiguous."""
    rows = x.shape[2] if x.ndim == 4 else 1
    return in_c_order(x).reshape(x.shape[0] * x.shape[1], rows, x.shape[-1])


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension, ``library`` finds NumPy's slots by name."""
    activations = frozenset(module.activations())

    def max_pool(x: Any, *args: Any) -> tuple[Any, Any]:
        window, (ceil, keep) = args[:4], args[4:]
        kernel, stride, padding, dilation = window
        count = out_lengths(x.shape[2:], kernel, stride, padding, dilation, ceil)
        shape = (*x.shape[:2], *count)
        out = numpy.empty(shape, x.dtype)
        places = numpy.empty(shape, dtypes.uint8) if keep else None
        flat = None if places is None else _planes(places)
        module.max_pool(_planes(x), _planes(out), flat, *_two_axes(*window))
        return out, places

    def accepts_max(x: Any, *geometry: Any) -> bool:
        return _is_image(x) and _two_axes(*geometry[:4]) is not None

    def max_pool_scatter(y: Any, where: Any, shape: Any, *geometry: Any) -> Any:
        out = numpy.empty(shape, y.dtype)
        module.max_pool_scatter(_planes(y), _planes(where), _planes(out), *_two_axes(*geometry[:4]))
        return out

    def accepts_scatter(y: Any, where: Any, shape: Any, *geometry: Any) -> bool:
        return (
            _is_image(y)
            and where.dtype == dtypes.uint8
            and where.shape == y.shape
            and _two_axes(*geometry[:4]) is not None
        )

    def pool_activation_gradient(
        y: Any, where: Any, saved: Any, activation: str, *geometry: Any
    ) -> tuple[Any, Any]:
        dz, db = numpy.empty(saved.shape, y.dtype), numpy.empty(saved.shape[1], y.dtype)
        module.pool_activation_gradient(
            _planes(y), _planes(where), _planes(saved), activation, _planes(dz), db,
            *_two_axes(*geometry[:4]),
        )  # fmt: skip
        return dz, db

    def accepts_pooled(y: Any, where: Any, saved: Any, activation: str, *geometry: Any) -> bool:
        return (
            accepts_scatter(y, where, saved.shape, *geometry)
            and activation in activations
            and y.size > 0
            and saved.dtype == y.dtype
        )

    def max_pool_gather(x: Any, where: Any, *geometry: Any) -> Any:
        out = numpy.empty(where.shape, x.dtype)
        module.max_pool_gather(_planes(x), _planes(where), _planes(out), *_two_axes(*geometry[:4]))
        return out

    def accepts_gather(x: Any, where: Any, *geometry: Any) -> bool:
        return (
            _is_image(x)
            and where.dtype == dtypes.uint8
            and where.size > 0
            and _two_axes(*geometry[:4]) is not None
        )

    def avg_pool(x: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, padded: bool,
                 given: int | None) -> Any:  # fmt: skip
        ones = (1,) * len(kernel)
        count = out_lengths(x.shape[2:], kernel, stride, padding, ones, ceil)
        out = numpy.empty((*x.shape[:2], *count), x.dtype)
        window = _averaged(kernel, stride, padding)[:3]
        divisors = _divisors(x.shape[2:], count, kernel, stride, padding, padded, given)
        module.avg_pool(_planes(x), _planes(out), *window, *divisors)
        return out

    def accepts_average(x: Any, kernel: Any, stride: Any, padding: Any, *rest: Any) -> bool:
        return _is_image(x) and _averaged(kernel, stride, padding) is not None

    def avg_pool_gradient(y: Any, shape: Any, kernel: Any, stride: Any, padding: Any, ceil: bool,
                          padded: bool, given: int | None) -> Any:  # fmt: skip
        out = numpy.empty(shape, y.dtype)
        window = _averaged(kernel, stride, padding)[:3]
        size, count = tuple(shape[2:]), y.shape[2:]
        divisors = _divisors(size, count, kernel, stride, padding, padded, given)
        module.avg_pool_gradient(_planes(y), _planes(out), *window, *divisors)
        return out

    def accepts_spread(y: Any, shape: Any, *rest: Any) -> bool:
        return accepts_average(y, *rest)

    accepting(max_pool, accepts_max, by_form=True)
    accepting(max_pool_scatter, accepts_scatter, by_form=True)
    accepting(pool_activation_gradient, accepts_pooled, by_form=True)
    accepting(max_pool_gather, accepts_gather, by_form=True)
    accepting(avg_pool, accepts_average, by_form=True)
    accepting(avg_pool_gradient, accepts_spread, by_form=True)
    return {
        "max_pool": max_pool,
        "max_pool_scatter": max_pool_scatter,
        "pool_activation_gradient": pool_activation_gradient,
        "max_pool_gather": max_pool_gather,
        "avg_pool": avg_pool,
        "avg_pool_gradient": avg_pool_gradient,
    }


def _is_image(x: Any) -> bool:
    return x.dtype in _FLOATS and 3 <= x.ndim <= 4 and x.size > 0
