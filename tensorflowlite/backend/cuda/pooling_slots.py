"""Slots of pooling over one to three axes by kernels: maximum and mean, forward and backward.

Images are read as they lie: channels before the axes, or behind them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from .. import dtypes
from ..base import guarded
from ..slots.windows import Lengths, out_lengths
from . import windows as cuda_windows
from .kernels import TYPE_NAMES, ByValue, Kernels
from .layout import in_c_order

_FILE = "pooling.cu"
_THREADS, _WARP = 256, 32  # as in the kernels
_SHARED_FROM = 32  # taps that a warp's threads share; they lie side by side
_MOST_UNROLLED = 4  # taps along an axis


class Plan(NamedTuple):
    """How one pooling is launched."""

    lengths: Lengths  # how many windows there are along each axis
    variant: dict[str, Any]
    argument: ByValue
    windows: int
    places: int
    place_dtype: numpy.dtype[Any]

    @property
    def lanes(self) -> int:
        """How many threads share a window."""
        return int(self.variant["TFL_LANES"])


@functools.lru_cache(maxsize=1024)
def plan_of(shape: tuple[int, ...], last: bool, dtype: Any, window: Any, ceil: bool,
            padded: bool = True, given: int | None = None) -> Plan:  # fmt: skip
    """Return how images of a shape are pooled.

    Parameters
    ----------
    shape
        Images, channels and the axes.
    last
        Whether the channels lie behind the axes.
    dtype
        Of the images.
    window
        Kernel, stride, padding and dilation.
    ceil, padded, given
        As of the slots.
    """
    size = tuple(shape[2:])
    kernel, stride, padding, dilation = window
    count = out_lengths(size, kernel, stride, padding, dilation, ceil)
    missing = (1,) * (3 - len(size))
    kernel, stride, padding, dilation = cuda_windows.over_three(*window)
    sizes, counts = missing + size, missing + count
    inner = shape[1] if last else 1
    taps = math.prod(kernel)
    shared = inner == 1 and taps >= _SHARED_FROM
    lanes = _WARP if shared else 1
    unrolled = not shared and max(kernel[1:]) <= _MOST_UNROLLED
    outside = shape[0] * shape[1]
    windows, places = outside * math.prod(count), outside * math.prod(size)
    farthest = cuda_windows.farthest(sizes, counts, kernel, stride, padding, dilation)
    variant = {
        "TFL_TYPE": TYPE_NAMES[dtype],
        "TFL_INDEX": cuda_windows.index_type(windows * lanes, places, farthest, taps),
        "TFL_LANES": lanes,
        "TFL_ROWS": kernel[1] if unrolled else 0,
        "TFL_COLUMNS": kernel[2] if unrolled else 0,
    }
    place_dtype = dtypes.uint8 if taps < 256 else dtypes.int32
    along = zip(sizes, counts, kernel, stride, padding, dilation, strict=True)
    words = [
        *[word for one in along for word in cuda_windows.axis(*one)],
        *cuda_windows.divisor(inner),
        *[word for n in (*sizes, *counts, *kernel) for word in cuda_windows.divisor(n)],
        windows, places, int(place_dtype == dtypes.int32), int(padded), given or 0,
    ]  # fmt: skip
    argument = ByValue(numpy.array(words, numpy.int64).tobytes())
    return Plan(count, variant, argument, windows, places, place_dtype)


def _last(*arrays: Any) -> bool:
    """Return whether the channels of all arrays lie behind the axes, and of one not before them."""
    if all(array.flags.c_contiguous for array in arrays):
        return False
    return all(_behind(array).flags.c_contiguous for array in arrays)


def _behind(array: Any) -> Any:
    return array.transpose(0, *range(2, array.ndim), 1)


class Pooling:
    """Launches the kernels of pooling.

    Parameters
    ----------
    xp
        The array library.
    kernels
        Compiles and launches.
    """

    def __init__(self, xp: Any, kernels: Kernels) -> None:
        self._xp, self._kernels = xp, kernels

    def accepts(self, last: bool, x: Any, shape: Any, window: Any, ceil: bool,
                *of_windows: Any) -> bool:  # fmt: skip
        """Whether the kernels pool images of such a shape, of the dtype of ``x``.

        Other arrays must have an element for each window.
        """
        kernel, stride, padding, dilation = window
        if not (
            x.dtype in TYPE_NAMES
            and 3 <= len(shape) <= 5
            and math.prod(shape) > 0
            and x.size > 0
            and cuda_windows.usable(stride, padding)
            and min(out_lengths(shape[2:], kernel, stride, padding, dilation, ceil)) > 0
        ):
            return False
        plan = plan_of(tuple(shape), last, x.dtype, window, ceil)
        windows = (*shape[:2], *plan.lengths)
        return (
            all(array.shape == windows for array in of_windows)
            and all(array.dtype in (x.dtype, plan.place_dtype) for array in of_windows)
            and self._kernels.ready(_FILE, **plan.variant)
        )

    def laid(self, last: bool, array: Any) -> Any:
        """Return an array as kernels read it, copied if it doesn't lie so."""
        return _behind(array) if last else in_c_order(self._xp, array)

    def new(self, last: bool, shape: Any, dtype: Any) -> Any:
        """Return an array of images that lies as the input does."""
        if not last:
            return self._xp.empty(shape, dtype)
        axes = len(shape)
        made = self._xp.empty((shape[0], *shape[2:], shape[1]), dtype)
        return made.transpose(0, axes - 1, *range(1, axes - 1))

    def run(self, entry: str, plan: Plan, last: bool, *arrays: Any, by_windows: bool = True,
            shared: bool = False) -> None:  # fmt: skip
        """Launch a kernel with a thread for each window, or for each place of the images.

        ``shared``: several threads take a window where the plan says so.
        """
        count = plan.windows * (plan.lanes if shared else 1) if by_windows else plan.places
        given = [None if array is None else self.laid(last, array) for array in arrays]
        self._kernels.launch(
            _FILE, entry, plan.variant, -(-count // _THREADS), _THREADS, plan.argument, *given
        )


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of pooling that kernels implement."""
    pool = Pooling(xp, kernels)

    def max_pool(x: Any, *args: Any) -> tuple[Any, Any]:
        last, keep = _last(x), args[5]
        plan = plan_of(x.shape, last, x.dtype, args[:4], args[4])
        shape = (*x.shape[:2], *plan.lengths)
        out = pool.new(last, shape, x.dtype)
        places = pool.new(last, shape, plan.place_dtype) if keep else None
        pool.run("max_pool", plan, last, x, out, places, shared=True)
        return out, places

    def accepts_max(x: Any, *args: Any) -> bool:
        return pool.accepts(_last(x), x, x.shape, args[:4], args[4])

    def max_pool_places(x: Any, out: Any, *args: Any) -> Any:
        last = _last(x, out)
        plan = plan_of(x.shape, last, x.dtype, args[:4], args[4])
        places = pool.new(last, out.shape, plan.place_dtype)
        pool.run("max_pool_places", plan, last, x, out, places, shared=True)
        return places

    def accepts_places(x: Any, out: Any, *args: Any) -> bool:
        of_one = x.dtype == out.dtype
        return of_one and pool.accepts(_last(x, out), x, x.shape, args[:4], args[4], out)

    def max_pool_gather(x: Any, where: Any, *args: Any) -> Any:
        last = _last(x, where)
        plan = plan_of(x.shape, last, x.dtype, args[:4], args[4])
        out = pool.new(last, where.shape, x.dtype)
        pool.run("max_pool_gather", plan, last, x, where, out)
        return out

    def accepts_gather(x: Any, where: Any, *args: Any) -> bool:
        return pool.accepts(_last(x, where), x, x.shape, args[:4], args[4], where)

    def max_pool_scatter(y: Any, where: Any, shape: Any, *args: Any) -> Any:
        last = _last(y, where)
        plan = plan_of(tuple(shape), last, y.dtype, args[:4], args[4])
        out = pool.new(last, shape, y.dtype)
        pool.run("max_pool_scatter", plan, last, y, where, out, by_windows=False)
        return out

    def accepts_scatter(y: Any, where: Any, shape: Any, *args: Any) -> bool:
        return pool.accepts(_last(y, where), y, shape, args[:4], args[4], y, where)

    def means(kernel: Any, stride: Any, padding: Any, *rest: Any) -> tuple[Any, ...]:
        return (kernel, stride, padding, (1,) * len(kernel)), *rest

    def avg_pool(x: Any, *args: Any) -> Any:
        last = _last(x)
        plan = plan_of(x.shape, last, x.dtype, *means(*args))
        out = pool.new(last, (*x.shape[:2], *plan.lengths), x.dtype)
        pool.run("avg_pool", plan, last, x, out, shared=True)
        return out

    def accepts_average(x: Any, *args: Any) -> bool:
        return pool.accepts(_last(x), x, x.shape, *means(*args)[:2])

    def avg_pool_gradient(y: Any, shape: Any, *args: Any) -> Any:
        last = _last(y)
        plan = plan_of(tuple(shape), last, y.dtype, *means(*args))
        out = pool.new(last, shape, y.dtype)
        pool.run("avg_pool_gradient", plan, last, y, out, by_windows=False)
        return out

    def accepts_spread(y: Any, shape: Any, *args: Any) -> bool:
        return pool.accepts(_last(y), y, shape, *means(*args)[:2], y)

    def choosing(slot: str, implementation: Any, accepts: Any) -> Callable[..., Any]:
        return guarded(slot, implementation, accepts, lambda *args: library(slot)(*args))

    return {
        "max_pool": choosing("max_pool", max_pool, accepts_max),
        "max_pool_places": choosing("max_pool_places", max_pool_places, accepts_places),
        "max_pool_gather": choosing("max_pool_gather", max_pool_gather, accepts_gather),
        "max_pool_scatter": choosing("max_pool_scatter", max_pool_scatter, accepts_scatter),
        "avg_pool": choosing("avg_pool", avg_pool, accepts_average),
        "avg_pool_gradient": choosing("avg_pool_gradient", avg_pool_gradient, accepts_spread),
    }
