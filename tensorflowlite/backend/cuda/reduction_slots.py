"""Sums over leading axes on the GPU (``kernels/reduction.cu``), in one read and a fixed order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..base import guarded
from ..slots.reduction import Kept
from .kernels import TYPE_NAMES, Kernels
from .layout import chunks_of, pack_size, power_of_2, type_defines

_FILE = "reduction.cu"
_THREADS, _ROWS_AT_ONCE = 256, 4


def slots(
    xp: Any, kernels: Kernels, library: Callable[[str], Callable[..., Any]]
) -> dict[str, Callable[..., Any]]:
    """Return the slot ``sum``, for leading axes of arrays in C order."""

    def accepts(x: Any, axis: Any) -> bool:
        return (
            isinstance(axis, tuple)
            and 0 < len(axis) < x.ndim
            and axis[-1] == len(axis) - 1  # sorted, so all those before it, too
            and x.dtype in TYPE_NAMES
            and x.size > 0
            and x.flags.c_contiguous
            and kernels.ready(_FILE, **type_defines(x.dtype))
        )

    def sum(x: Any, axis: tuple[int, ...]) -> Any:
        kept = x.shape[len(axis) :]
        columns = math.prod(kept)
        rows = x.size // columns
        packs = -(-columns // pack_size(x.dtype))
        across = min(32, power_of_2(packs))
        down = _THREADS // across
        strips = -(-packs // across)
        chunk, chunks = chunks_of(rows, strips, down * _ROWS_AT_ONCE)
        defines = type_defines(x.dtype)
        partials = xp.empty((chunks, columns), dtypes.accumulator(x.dtype))
        kernels.launch(_FILE, "sum_chunks", defines, (strips, chunks), (across, down), x,
                       partials, rows, columns, chunk)  # fmt: skip
        out = xp.empty(((1,) * len(axis) if type(axis) is Kept else ()) + kept, x.dtype)
        kernels.launch(_FILE, "sum_partials", defines, -(-columns // 32), (32, 32), partials, out,
                       chunks, columns)  # fmt: skip
        return out

    return {"sum": guarded("sum", sum, accepts, library("sum"))}
