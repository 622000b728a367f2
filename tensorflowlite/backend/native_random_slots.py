"""Native slots of random numbers: dropout in one pass (csrc/random.inl)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from . import dtypes
from .base import accepting
from .random_slots import take_stream

_FLOATS = (dtypes.float32, dtypes.float64)


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension."""

    def dropout(x: Any, state: Any, probability: float) -> tuple[Any, Any]:
        seed, stream = take_stream(state)
        scale, threshold = 1 / (1 - probability), round(probability * 2**32)
        out, keep = numpy.empty(x.shape, x.dtype), numpy.empty(x.shape, dtypes.bool_)
        flat = numpy.ascontiguousarray(x).reshape(-1)
        module.dropout(seed, stream, threshold, scale, flat, out.reshape(-1), keep.reshape(-1))
        return out, keep

    def accepts(x: Any, state: Any, probability: float) -> bool:
        # A probability that rounds to 1 needs a threshold of 33 bits.
        return x.dtype in _FLOATS and round(probability * 2**32) < 2**32

    return {"dropout": accepting(dropout, accepts)}
