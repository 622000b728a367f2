"""Slots of choosing by indices and of counting, which come in at first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from ...errors import OutOfRangeError
from .. import dtypes
from ..base import backend_of
from .portable import extreme_at, running


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of choosing and counting."""

    def index_within(indices: Any, bounds: tuple[str, int]) -> Any:
        """Return indices as int64 from 0 on; on the CPU those out of range raise."""
        name, length = bounds
        indices = indices.astype(dtypes.int64)
        if xp is numpy:
            wrong = (indices < -length) | (indices >= length)
            if wrong.any():
                raise OutOfRangeError(
                    f"{name}: an index must lie in [{-length}, {length}), got "
                    f"{numpy.asarray(indices)[wrong].flat[0]}"
                )
        return indices % length if length else indices

    def scatter_extreme(x: Any, source: Any, indices: Any, axis: int, largest: bool) -> Any:
        key = []
        for i, length in enumerate(indices.shape):
            shape = (1,) * i + (length,) + (1,) * (indices.ndim - i - 1)
            key.append(indices if i == axis else xp.arange(length).reshape(shape))
        return extreme_at(xp, x, tuple(key), source, largest)

    def bin_counts(x: Any, length: int) -> Any:
        out = xp.bincount(x.reshape(-1), minlength=length)
        return out.astype(dtypes.int64, copy=False)

    def bin_edges(x: Any, bins: Any, limits: Any) -> Any:
        """Return the edges of bins that a number, or the name of a rule, stands for."""
        backend = backend_of(x)
        if limits is None and not isinstance(bins, str) and x.size:
            limits = (float(x.min().item()), float(x.max().item()))
        data = backend.to_host(x) if isinstance(bins, str) else numpy.zeros(0, x.dtype)
        edges = numpy.histogram_bin_edges(data, bins, limits)
        return backend.from_host(edges, backend.device_of(x))

    def digitize(x: Any, edges: Any, right: bool) -> Any:
        if dtypes.bfloat16 in (x.dtype, edges.dtype):
            x, edges = x.astype(dtypes.float64), edges.astype(dtypes.float64)
        return xp.asarray(xp.digitize(x, edges, right)).astype(dtypes.int64, copy=False)

    def running_places(x: Any, along: tuple[int, bool]) -> Any:
        """Return where the extreme up to each place stands: the last one, or the last NaN."""
        axis, largest = along
        if x.dtype == dtypes.bfloat16:
            x = x.astype(dtypes.float32)
        shape = (-1,) + (1,) * (x.ndim - axis - 1)
        count = xp.arange(x.shape[axis]).reshape(shape)
        top = running(xp, x, axis, xp.maximum if largest else xp.minimum)
        holds = x == top
        if x.dtype.kind in "fc":
            holds = xp.where(xp.isnan(top), xp.isnan(x), holds)
        places = running(xp, xp.where(holds, count, 0), axis, xp.maximum)
        return places.astype(dtypes.int64, copy=False)

    def convolve(x: Any, y: Any, mode: str) -> Any:
        if x.dtype in dtypes.half and x.dtype == y.dtype:
            wide = xp.convolve(x.astype(dtypes.float32), y.astype(dtypes.float32), mode)
            return wide.astype(x.dtype)
        return xp.convolve(x, y, mode)

    found = locals()
    del found["xp"]
    return found
