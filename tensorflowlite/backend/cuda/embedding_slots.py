"""The slot that sums rows by where they go, by kernels: the gradient of an embedding.

The places are sorted, and each one's rows are summed in their order: the same sums every time,
which the library's atomic additions don't give.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..base import guarded
from ..slots.indexing import rows_from
from .kernels import TYPE_NAMES, Kernels

_FILE = "embedding.cu"
_CHUNK, _THREADS, _MOST_TILES = 32, 128, 65535  # the first as in the kernels


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of embeddings that kernels implement."""

    def place_of(indices: list[Any], named: tuple[int, ...]) -> Any:
        """Return the number of the row that each element of the indices names."""
        indices = [one.astype(dtypes.int64, copy=False) for one in indices]
        place = indices[0] % named[0]
        for one, length in zip(indices[1:], named[1:], strict=True):
            place = place * length + one % length
        return place.reshape(-1)

    def scatter_add(x: Any, *rest: Any) -> Any:
        *indices, _, shape = rest
        named = shape[: len(indices)]
        place = place_of(indices, named)
        rows = xp.ascontiguousarray(x).reshape(place.size, -1)
        order = xp.argsort(place, kind="stable").astype(dtypes.int64, copy=False)
        place = place[order]
        count, width = rows.shape
        out = xp.zeros((math.prod(named), width), x.dtype)
        chunks = -(-count // _CHUNK)
        partial = xp.empty((2 * chunks, width), dtypes.accumulator(x.dtype))
        size = 16 // x.itemsize
        packed = width % size == 0 and kernels.driver.address(rows) % 16 == 0
        threads = -(-width // size) if packed else width
        columns = min(_THREADS, 1 << (threads - 1).bit_length())
        several = _THREADS // columns
        grid, block = (-(-chunks // several), -(-threads // columns)), (columns, several)
        variant, sizes = {"TFL_TYPE": TYPE_NAMES[x.dtype]}, (count, width, packed)
        arrays = (rows, order, place, out, partial)
        kernels.launch(_FILE, "sum_runs", variant, grid, block, *arrays, *sizes)
        kernels.launch(_FILE, "join_runs", variant, grid, block, place, out, partial, *sizes)
        return out.reshape(shape)

    def accepts(x: Any, *rest: Any) -> bool:
        *indices, template, shape = rest
        return bool(
            x.size
            and x.dtype in TYPE_NAMES
            and all(index.dtype.kind in "iu" for index in indices)
            and rows_from(template) == 0
            and math.prod(shape[len(indices) :]) <= _THREADS * _MOST_TILES
            and kernels.ready(_FILE, TFL_TYPE=TYPE_NAMES[x.dtype])
        )

    return {"scatter_add": guarded("scatter_add", scatter_add, accepts, library("scatter_add"))}
