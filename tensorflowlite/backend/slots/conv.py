"""Slots of the convolution of any number of axes, of its two gradients, and of its columns.

The values under each window are gathered into columns, so that the convolution of an image is one
matrix product. Images are taken a few at a time: their columns stay in the processor's cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from .. import dtypes
from .windows import Lengths, out_lengths, taps
from .workers import Process, pieces, share

_CACHE = 1 << 20  # bytes of columns at a time: what two cores keep near
_DEVICE = 1 << 28  # elsewhere as much as is modest beside the images
_THREADS_FROM = 2e7  # multiplications below which a second thread costs more than it brings


class _Plan:
    """The numbers of one convolution, and the gathering of its columns."""

    def __init__(self, xp: Any, shape: Any, weight_shape: Any, dtype: Any, stride: Lengths,
                 padding: Any, dilation: Lengths, groups: int) -> None:  # fmt: skip
        self.xp, self.dtype, self.groups = xp, dtype, groups
        self.images, self.channels, *size = shape
        self.outputs, within, *kernel = weight_shape
        self.kernel = tuple(kernel)
        self.count = out_lengths(size, self.kernel, stride, padding, dilation)
        self.places = math.prod(self.count)
        self.depth = within * math.prod(self.kernel)  # a column's length within its group
        self.padded = any(before or behind for before, behind in padding)
        ones = (1,) * len(kernel)
        self.pointwise = not self.padded and self.kernel == stride == ones
        self.taps = taps(size, self.count, self.kernel, stride, padding, dilation)
        per_image = self.places * (groups * self.depth + self.outputs) * dtype.itemsize
        room = _CACHE if xp is numpy else _DEVICE
        self.parts = pieces(self.images, room // max(per_image, 1))
        self.most = max([b - a for a, b in self.parts], default=0)

    def grouped_weight(self, weight: Any) -> Any:
        within = self.outputs // self.groups
        return weight.reshape(self.groups, within, self.depth).astype(self.dtype, copy=False)

    def grouped(self, y: Any) -> Any:
        """Return images of outputs as (image, group, output, place), in the working dtype."""
        y = self.xp.ascontiguousarray(y.astype(self.dtype, copy=False))
        return y.reshape(y.shape[0], self.groups, self.outputs // self.groups, self.places)

    def buffer(self) -> Any:
        """Return room for the columns of one piece; what lies in the padding stays zero."""
        make = self.xp.zeros if self.padded else self.xp.empty
        return make((self.most, self.channels, *self.kernel, *self.count), self.dtype)

    def flat(self, columns: Any, images: int) -> Any:
        return columns[:images].reshape(images, self.groups, self.depth, self.places)

    def gather(self, columns: Any, x: Any) -> Any:
        """Return the columns of the images ``x``, in the buffer where they need one."""
        if self.pointwise:
            x = self.xp.ascontiguousarray(x.astype(self.dtype, copy=False))
            return x.reshape(x.shape[0], self.groups, self.depth, self.places)
        into = columns[: x.shape[0]]
        for tap in self.taps:
            into[tap.column] = x[tap.image]
        return self.flat(columns, x.shape[0])

    def run(self, begin: Any) -> None:
        if self.xp is not numpy:
            process = begin()
            for index, (first, last) in enumerate(self.parts):
                process(index, first, last)
            return
        work = self.images * self.places * self.outputs * self.depth
        share(self.parts, begin, work > _THREADS_FROM)


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots of the convolution."""

    def working(*arrays: Any) -> tuple[Any, Any]:
        """Return the dtype of the result, and the one to accumulate in."""
        dtype = dtypes.promote(*[array.dtype for array in arrays])
        return dtype, dtypes.accumulator(dtype)

    def convolution(x: Any, weight: Any, *geometry: Any) -> Any:
        dtype, wide = working(x, weight)
        plan = _Plan(xp, x.shape, weight.shape, wide, *geometry)
        kernels = plan.grouped_weight(weight)
        shape = (plan.images, plan.groups, plan.outputs // plan.groups, plan.places)
        out = xp.empty(shape, wide)

        def begin() -> Process:
            columns = None if plan.pointwise else plan.buffer()

            def process(index: int, first: int, last: int) -> None:
                xp.matmul(kernels, plan.gather(columns, x[first:last]), out=out[first:last])

            return process

        plan.run(begin)
        return out.reshape(plan.images, plan.outputs, *plan.count).astype(dtype, copy=False)

    def convolution_input_gradient(y: Any, weight: Any, shape: Any, *geometry: Any) -> Any:
        dtype, wide = working(y, weight)
        plan = _Plan(xp, shape, weight.shape, wide, *geometry)
        kernels = plan.grouped_weight(weight).swapaxes(1, 2)
        g = plan.grouped(y)
        out = (xp.empty if plan.pointwise else xp.zeros)(shape, wide)

        def begin() -> Process:
            columns = None if plan.pointwise else plan.buffer()

            def process(index: int, first: int, last: int) -> None:
                if columns is None:
                    into = out[first:last].reshape(-1, plan.groups, plan.depth, plan.places)
                    xp.matmul(kernels, g[first:last], out=into)
                    return
                xp.matmul(kernels, g[first:last], out=plan.flat(columns, last - first))
                images, gathered = out[first:last], columns[: last - first]
                for tap in plan.taps:
                    target = images[tap.image]
                    target += gathered[tap.column]

            return process

        plan.run(begin)
        return out.astype(dtype, copy=False)

    def convolution_weight_gradient(y: Any, x: Any, shape: Any, *geometry: Any) -> Any:
        dtype, wide = working(y, x)
        plan = _Plan(xp, x.shape, shape, wide, *geometry)
        g = plan.grouped(y)
        sums = [None] * len(plan.parts)

        def begin() -> Process:
            columns = None if plan.pointwise else plan.buffer()

            def process(index: int, first: int, last: int) -> None:
                gathered = plan.gather(columns, x[first:last])
                sums[index] = xp.matmul(g[first:last], gathered.swapaxes(2, 3)).sum(0)

            return process

        plan.run(begin)
        total = xp.zeros((plan.groups, plan.outputs // plan.groups, plan.depth), wide)
        for one in sums:
            total += one
        return total.reshape(shape).astype(dtype, copy=False)

    def columns_of(x: Any, kernel: Lengths, *geometry: Any) -> Any:
        """Return (images, channels * window, places): what `torch.nn.functional.unfold` gives."""
        stride, padding, dilation = geometry
        shape = (1, x.shape[1], *kernel)
        plan = _Plan(xp, x.shape, shape, x.dtype, stride, padding, dilation, 1)
        columns = xp.zeros((plan.images, plan.channels, *kernel, *plan.count), x.dtype)
        for tap in plan.taps:
            columns[tap.column] = x[tap.image]
        return plan.flat(columns, plan.images)[:, 0]

    def images_of(y: Any, shape: Any, kernel: Lengths, *geometry: Any) -> Any:
        """Return the images into which columns are added back."""
        wide = dtypes.accumulator(y.dtype)
        stride, padding, dilation = geometry
        kernels = (1, shape[1], *kernel)
        plan = _Plan(xp, shape, kernels, wide, stride, padding, dilation, 1)
        columns = y.reshape(plan.images, plan.channels, *kernel, *plan.count)
        out = xp.zeros(shape, wide)
        for tap in plan.taps:
            out[tap.image] += columns[tap.column]
        return out.astype(y.dtype, copy=False)

    return {
        "window_columns": columns_of,
        "window_images": images_of,
        "convolution": convolution,
        "convolution_input_gradient": convolution_input_gradient,
        "convolution_weight_gradient": convolution_weight_gradient,
    }
