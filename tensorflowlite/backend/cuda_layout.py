"""How the slots by kernels lay out arrays and divide work among threads."""

from __future__ import annotations

import functools
from typing import Any

from . import dtypes
from .kernels import TYPE_NAMES

_BLOCKS_WANTED = 2048  # a few per multiprocessor of the largest GPU
_MOST_CHUNKS = 65535


def type_defines(dtype: Any) -> dict[str, Any]:
    """Return the macros of a kernel for arrays of a dtype.

    Examples
    --------
    >>> type_defines(dtypes.bfloat16)
    {'TFL_TYPE': 'tfl::bfloat16', 'TFL_QUICK': 1}
    """
    found: dict[str, Any] = {"TFL_TYPE": TYPE_NAMES[dtype]}
    if dtype in dtypes.half:
        found["TFL_QUICK"] = 1
    return found


def in_c_order(xp: Any, array: Any) -> Any:
    """Return an array whose elements lie side by side: itself, or a copy.

    Examples
    --------
    >>> import numpy
    >>> in_c_order(numpy, numpy.zeros((2, 3)).T).strides
    (16, 8)
    """
    return array if array.flags.c_contiguous else xp.ascontiguousarray(array)


@functools.cache
def _processors(device: Any) -> int:
    return int(device.attributes["MultiProcessorCount"])


def processors(xp: Any) -> int:
    """Return how many multiprocessors the current device has; 2 where none is there.

    Examples
    --------
    >>> import numpy
    >>> processors(numpy)
    2
    """
    cuda = getattr(xp, "cuda", None)
    return 2 if cuda is None else _processors(cuda.Device())


def pack_size(dtype: Any) -> int:
    """Return how many numbers are read at once.

    Examples
    --------
    >>> pack_size(dtypes.bfloat16)
    8
    """
    return 16 // int(dtype.itemsize)


def power_of_2(number: int) -> int:
    """Return the least power of 2 that isn't less.

    Examples
    --------
    >>> power_of_2(5), power_of_2(0)
    (8, 1)
    """
    return 1 << max(0, number - 1).bit_length()


def of_one_float(*arrays: Any) -> bool:
    """Return whether arrays have one dtype, and kernels for it."""
    dtype = arrays[0].dtype
    return dtype in TYPE_NAMES and all(array.dtype == dtype for array in arrays)


def chunks_of(rows: int, strips: int, least: int) -> tuple[int, int]:
    """Return in how many rows at a time blocks share the rows of each strip, and how often.

    Parameters
    ----------
    rows, strips
        How many there are.
    least
        So many rows are worth a block; chunks are a multiple of it.

    Examples
    --------
    >>> chunks_of(8192, 56, 32)
    (224, 37)
    """
    wanted = max(-(-rows * strips // _BLOCKS_WANTED), -(-rows // _MOST_CHUNKS), 1)
    chunk = -(-wanted // least) * least
    return chunk, -(-rows // chunk)
