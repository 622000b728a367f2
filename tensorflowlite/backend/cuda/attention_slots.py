"""Slots of attention by kernels, in tiles (kernels/attention.cu)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from .. import dtypes
from ..base import guarded
from ..slots import attention as attention_slots
from .kernels import TYPE_NAMES, ByValue, Kernels

_FILE = "attention.cu"
_TYPES = (dtypes.float16, dtypes.bfloat16, dtypes.float32)
_MOST_WIDTH, _WIDTH_STEP = 128, 32


class Tiles(NamedTuple):
    """The sizes that a variant's kernels have: as in the kernels, and bytes of shared memory."""

    variant: dict[str, Any]
    threads: int
    own_rows: int
    forward_bytes: int
    backward_bytes: int


def tiles_of(dtype: Any, width: int) -> Tiles:
    """Return the variant for rows of a dtype and a width, and its sizes."""
    single = dtype == dtypes.float32
    warps, forward, backward = (2, 32, 16) if single else (4, 64, 32)
    padding, scratch = (4, 16) if single else (8, 0)
    width = -(-width // _WIDTH_STEP) * _WIDTH_STEP
    rows, stride = 16 * warps, width + padding

    def elements(own: int, tile: int) -> int:
        return (own * rows + 2 * tile) * stride + warps * scratch * (tile + padding)

    return Tiles(
        {"TFL_TYPE": TYPE_NAMES[dtype], "TFL_WIDTH": width},
        32 * warps,
        rows,
        elements(1, forward) * dtype.itemsize,
        elements(2, backward) * dtype.itemsize,
    )


def _merged(sizes: tuple[int, ...], strides: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return the fewest axes that reach the same elements in the same order."""
    found: list[tuple[int, int]] = []
    for size, stride in zip(sizes, strides, strict=True):
        if size == 1:
            continue
        if found and found[-1][1] == size * stride:
            found[-1] = (found[-1][0] * size, stride)
        else:
            found.append((size, stride))
    return [size for size, _ in found], [stride for _, stride in found]


class _Call:
    """One call's shapes: leading axes of heads, then those along which keys are repeated."""

    def __init__(self, query: Any, key: Any, value: Any, mask: Any, causal: bool) -> None:
        self.query, self.key, self.value = query, key, value
        self.lead = query.shape[:-2]
        self.rows, self.width = query.shape[-2:]
        self.columns, self.depth = value.shape[-2:]
        shared = (*[1] * (len(self.lead) + 2 - key.ndim), *key.shape[:-2])
        split = len(shared)
        while split and shared[split - 1] == 1:
            split -= 1
        # Anything but repeated axes at the end would need copies, and sums of gradients.
        self.simple = shared[:split] == self.lead[:split] and key.shape[:-2] == value.shape[:-2]
        self.heads, self.groups = math.prod(self.lead[:split]), math.prod(self.lead[split:])
        self.causal = causal
        self.mask = mask
        self.tiles = tiles_of(query.dtype, max(self.width, self.depth))
        self._set_mask_strides()

    def _set_mask_strides(self) -> None:
        """Find how a mask in C order is read: by three sizes with a stride each, row, column."""
        self.mask_sizes, self.mask_strides, self.mask_steps = [1] * 3, [0] * 3, [0, 0]
        if self.mask is None:
            return
        shape = (*[1] * (len(self.lead) + 2 - self.mask.ndim), *self.mask.shape)
        strides = [0 if n == 1 else math.prod(shape[i + 1 :]) for i, n in enumerate(shape)]
        sizes, steps = _merged(self.lead, tuple(strides[:-2]))
        missing = 3 - len(sizes)
        self.simple = self.simple and missing >= 0
        self.mask_sizes, self.mask_strides = [*[1] * missing, *sizes], [*[0] * missing, *steps]
        self.mask_steps = strides[-2:]

    def shape_argument(self, packed: bool) -> ByValue:
        """Return ``Shape`` of the kernels."""
        numbers = (
            self.groups, self.rows, self.columns, self.width, self.depth, int(self.causal),
            int(packed), *self.mask_sizes, *self.mask_strides, *self.mask_steps,
        )  # fmt: skip
        return ByValue(numpy.array(numbers, numpy.int64).tobytes())


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of attention that kernels implement."""

    def in_order(*arrays: Any) -> tuple[list[Any], bool]:
        """Return arrays in C order, and whether their rows are whole packs of 16 bytes."""
        arrays = tuple([xp.ascontiguousarray(x) for x in arrays])
        address = kernels.driver.address
        packed = all(
            x.shape[-1] * x.itemsize % 16 == 0 and address(x) % 16 == 0 for x in arrays
        )
        return list(arrays), packed

    def masks(mask: Any) -> tuple[Any, Any]:
        """Return a boolean mask or None, and one of numbers or None."""
        if mask is None:
            return None, None
        if mask.dtype == dtypes.bool_:
            return xp.ascontiguousarray(mask), None
        return None, xp.ascontiguousarray(mask.astype(dtypes.float32, copy=False))

    def attention(query: Any, key: Any, value: Any, *rest: Any) -> tuple[Any, Any]:
        *given, causal, scale, _ = rest
        call = _Call(query, key, value, given[0] if given else None, causal)
        arrays, packed = in_order(query, key, value)
        out = xp.empty((*call.lead, call.rows, call.depth), query.dtype)
        sums = xp.empty((*call.lead, call.rows), dtypes.float32)
        tiles = call.tiles
        blocks = -(-call.rows // tiles.own_rows) * call.heads * call.groups
        kernels.launch(
            _FILE, "attention_forward", tiles.variant, blocks, tiles.threads,
            call.shape_argument(packed), *arrays, *masks(call.mask), out, sums, float(scale),
            shared=tiles.forward_bytes,
        )  # fmt: skip
        return out, sums

    def attention_gradient(y: Any, query: Any, key: Any, value: Any, out: Any, sums: Any,
                           *rest: Any) -> tuple[Any, ...]:  # fmt: skip
        *given, causal, scale, _, _ = rest
        call = _Call(query, key, value, given[0] if given else None, causal)
        arrays, packed = in_order(y, query, key, value)
        out, sums = xp.ascontiguousarray(out), xp.ascontiguousarray(sums)
        inner = xp.empty(sums.shape, dtypes.float32)
        tiles = call.tiles
        kernels.launch(
            _FILE, "attention_inner", tiles.variant, min(-(-inner.size // 8), 65535), 256,
            arrays[0], out, inner, inner.size, call.depth,
        )  # fmt: skip
        found = [xp.empty(x.shape, x.dtype) for x in (query, key, value)]
        common = (call.shape_argument(packed), *arrays, sums, inner, *masks(call.mask))
        for entry, count, targets in (
            ("attention_query_gradient", call.rows, found[:1]),
            ("attention_key_gradient", call.columns, found[1:]),
        ):
            heads = call.heads * (call.groups if len(targets) == 1 else 1)
            blocks = -(-count // tiles.own_rows) * heads
            kernels.launch(
                _FILE, entry, tiles.variant, blocks, tiles.threads, *common, *targets,
                float(scale), shared=tiles.backward_bytes,
            )  # fmt: skip
        return tuple(found)

    def accepts(query: Any, key: Any, value: Any, *rest: Any) -> bool:
        *given, causal, _, probability = rest
        if probability or query.dtype not in _TYPES:
            return False
        if not query.dtype == key.dtype == value.dtype:
            return False
        if query.dtype == dtypes.bfloat16 and kernels.driver.capability() < (8, 0):
            return False  # no such tensor cores
        if not (query.size and key.size and value.size):
            return False
        if max(query.shape[-1], value.shape[-1]) > _MOST_WIDTH or key.ndim > query.ndim:
            return False
        call = _Call(query, key, value, given[0] if given else None, causal)
        return call.simple and kernels.ready(_FILE, **call.tiles.variant)

    def accepts_gradient(y: Any, query: Any, key: Any, value: Any, out: Any, sums: Any,
                         *rest: Any) -> bool:  # fmt: skip
        *given, with_mask = rest
        return bool(
            not with_mask
            and y.dtype == query.dtype == out.dtype
            and y.shape == out.shape
            and sums.dtype == dtypes.float32
            and accepts(query, key, value, *given)
        )

    otherwise = attention_slots.slots(xp)
    return {
        "attention": guarded("attention", attention, accepts, otherwise["attention"]),
        "attention_gradient": guarded(
            "attention_gradient",
            attention_gradient,
            accepts_gradient,
            otherwise["attention_gradient"],
        ),
    }
