"""How the slots by kernels lay out arrays and divide work among threads."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import dtypes
from .kernels import TYPE_NAMES

_BLOCKS_WANTED = 2048  # a few per multiprocessor of the largest GPU
REGISTERS = 65536  # per multiprocessor
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


class RowLayout(NamedTuple):
    """Which threads share a row (kernels/include/rows.cuh), and the macros that say so."""

    grid: int
    block: tuple[int, int]
    defines: dict[str, Any]


_WARPS_PER_BLOCK, _WARP = 8, 32
_HELD, _MOST_THREADS = 4, 512  # packs per thread, of rows up to 2048 packs
# Of longer ones: two such blocks have 72 registers per thread, half of which hold the row.
_THREADS_OF_LONG = 448


def row_layout(rows: int, columns: int, dtype: Any, long_blocks: int = 2) -> RowLayout:
    """Return the threads for kernels that hold rows in registers, where they fit.

    Parameters
    ----------
    rows, columns
        How many there are.
    dtype
        The dtype of the rows.
    long_blocks
        How many blocks with long rows of half precision a multiprocessor must have room for.

    Examples
    --------
    >>> row_layout(100, 256, dtypes.float32).block, row_layout(100, 4096, dtypes.bfloat16).block
    ((32, 8), (128, 1))
    """
    packs = -(-columns // pack_size(dtype))
    registers = 128 if dtype.itemsize == 8 else 64
    if packs <= _WARP * _HELD:
        held, block, threads = power_of_2(-(-packs // _WARP)), (_WARP, _WARPS_PER_BLOCK), 256
    elif packs <= _MOST_THREADS * _HELD:
        held, block = _HELD, (-(-packs // (_WARP * _HELD)) * _WARP, 1)
        threads = max(128, power_of_2(block[0]))
    else:
        held, threads = 9 if dtype in dtypes.half else 8, _THREADS_OF_LONG
        block = (min(-(-packs // (_WARP * held)) * _WARP, threads), 1)
    blocks = REGISTERS // (threads * registers)
    if threads == _THREADS_OF_LONG:
        blocks = long_blocks if dtype in dtypes.half else 1
    defines = {
        **type_defines(dtype),
        "TFL_PACKS": held,
        "TFL_THREADS": threads,
        "TFL_BLOCKS": blocks,
    }
    return RowLayout(-(-rows // block[1]), block, defines)
