"""Slots of random numbers by kernels: the bits of `philox`, made and counted on the device.

A draw takes the generator's next stream by a kernel of one thread, into two numbers that it reads:
nothing waits for the device, and a recorded draw takes another stream each time it is replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtypes, philox
from ..base import guarded
from .kernels import TYPE_NAMES, Kernels

_FILE = "random.cu"
_THREADS, _MOST_BLOCKS = 256, 4096


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of random numbers that kernels implement."""

    def fill(entry: str, stream: Any, out: Any, *rest: Any) -> Any:
        """Fill an array, 16 bytes per thread, and return it."""
        runs = -(-out.size * out.itemsize // 16)
        blocks = min(-(-runs // _THREADS), _MOST_BLOCKS)
        variant = _variant(out.dtype if out.dtype in TYPE_NAMES else dtypes.float32)
        kernels.launch(_FILE, entry, variant, blocks, _THREADS, stream, out, out.size, *rest)
        return out

    def random_stream(state: Any) -> Any:
        stream = xp.empty(2, dtypes.uint64)
        kernels.launch(_FILE, "take_stream", _variant(dtypes.float32), 1, 1, state, stream)
        return stream

    def random_uniform(state: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        return fill("random_uniform", random_stream(state), xp.empty(shape, dtype))

    def random_normal(state: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        return fill("random_normal", random_stream(state), xp.empty(shape, dtype))

    def random_integers(state: Any, shape: tuple[int, ...], low: int, high: int) -> Any:
        philox.randint(0, 0, 0, low, high)  # raises where the bounds are wrong
        span = (high - low) % 2**64  # as int64, which launches take
        span -= 2**64 * (span >= 2**63)
        out = xp.empty(shape, dtypes.int64)
        return fill("random_integers", random_stream(state), out, low, span)

    def random_permutation(state: Any, count: int) -> Any:
        bits = fill("random_bits64", random_stream(state), xp.empty(count, dtypes.uint64))
        return xp.argsort(bits, kind="stable").astype(dtypes.int64, copy=False)

    def random_keep(stream: Any, shape: tuple[int, ...], probability: float) -> Any:
        return fill("random_keep", stream, xp.empty(shape, dtypes.bool_), _bound(probability))

    def dropout(x: Any, state: Any, probability: float) -> tuple[Any, Any]:
        stream = random_stream(state)
        x = xp.ascontiguousarray(x).reshape(x.shape)  # which makes 0-d arrays 1-d
        out, keep = xp.empty(x.shape, x.dtype), xp.empty(x.shape, dtypes.bool_)
        runs = -(-x.size // max(16 // x.itemsize, 4))
        blocks = min(-(-runs // _THREADS), _MOST_BLOCKS)
        kernels.launch(
            _FILE, "dropout", _variant(x.dtype), blocks, _THREADS, stream, x, out, keep, x.size,
            _bound(probability), 1 / (1 - probability),
        )  # fmt: skip
        return out, keep

    def ready(dtype: Any) -> bool:
        return dtype in TYPE_NAMES and kernels.ready(_FILE, **_variant(dtype))

    def drawn(state: Any, shape: Any, dtype: Any) -> bool:
        return ready(dtype)

    def whole(*args: Any) -> bool:
        return ready(dtypes.float32)

    def dropped(x: Any, state: Any, probability: float) -> bool:
        return ready(x.dtype)

    return {
        name: guarded(name, implementation, accepts, library(name))
        for name, implementation, accepts in (
            ("random_stream", random_stream, whole),
            ("random_uniform", random_uniform, drawn),
            ("random_normal", random_normal, drawn),
            ("random_integers", random_integers, whole),
            ("random_permutation", random_permutation, whole),
            ("random_keep", random_keep, whole),
            ("dropout", dropout, dropped),
        )
    }


def _variant(dtype: Any) -> dict[str, str]:
    return {"TFL_TYPE": TYPE_NAMES[dtype]}


def _bound(probability: float) -> int:
    """Return below which bits an element is dropped."""
    return round(probability * 2**32)
