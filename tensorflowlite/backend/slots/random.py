"""Slots of random numbers: Philox streams, the same bits on every backend.

``state`` is a uint64 array of two numbers, the seed and the next stream: a slot takes the stream
and moves on to the next. The streams are those of `philox`.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy

from .. import dtypes, philox

_lock = threading.Lock()
_DIGITS = {dtypes.float16: 11, dtypes.bfloat16: 8}  # of their significands, in bits


def take_stream(state: Any) -> tuple[int, int]:
    """Return the seed and the next stream, and move on to the one after it."""
    with _lock:  # two threads must not draw the same numbers
        seed, stream = state.tolist()
        state[1] = stream + 1
    return seed, stream


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots of random numbers."""

    def made(values: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        values = values.reshape(shape).astype(dtype, copy=False)
        return values if xp is numpy else xp.asarray(values)

    def drawn_as(dtype: Any) -> Any:
        return dtypes.float64 if dtype == dtypes.float64 else dtypes.float32

    def random_uniform(state: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        seed, stream = take_stream(state)
        values = philox.uniform(seed, stream, math.prod(shape), drawn_as(dtype))
        digits = _DIGITS.get(dtype)
        if digits is not None:  # rounded to the nearest, the largest would become 1
            values = numpy.floor(values * 2.0**digits) * numpy.float32(2.0**-digits)
        return made(values, shape, dtype)

    def random_normal(state: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        seed, stream = take_stream(state)
        return made(philox.normal(seed, stream, math.prod(shape), drawn_as(dtype)), shape, dtype)

    def random_integers(state: Any, shape: tuple[int, ...], low: int, high: int) -> Any:
        seed, stream = take_stream(state)
        values = philox.randint(seed, stream, math.prod(shape), low, high)
        return made(values, shape, dtypes.int64)

    def random_permutation(state: Any, count: int) -> Any:
        seed, stream = take_stream(state)
        return made(philox.permutation(seed, stream, count), (count,), dtypes.int64)

    def dropout(x: Any, state: Any, probability: float) -> tuple[Any, Any]:
        """Return x with elements zeroed and the others scaled, and the mask of those kept."""
        seed, stream = take_stream(state)
        bits = philox.random_bits(seed, stream, x.size)
        keep = made(bits >= round(probability * 2**32), x.shape, dtypes.bool_)
        return (x * keep * (1 / (1 - probability))).astype(x.dtype, copy=False), keep

    def random_stream(state: Any) -> Any:
        return made(numpy.array(take_stream(state), numpy.uint64), (2,), dtypes.uint64)

    def random_keep(stream: Any, shape: tuple[int, ...], probability: float) -> Any:
        """Return which elements stay where each is dropped with a probability."""
        seed, number = stream.tolist()
        bits = philox.random_bits(seed, number, math.prod(shape))
        return made(bits >= round(probability * 2**32), shape, dtypes.bool_)

    return {
        "random_stream": random_stream,
        "random_keep": random_keep,
        "random_uniform": random_uniform,
        "random_normal": random_normal,
        "random_integers": random_integers,
        "random_permutation": random_permutation,
        "dropout": dropout,
    }
