"""Descriptions of tiles in a device's memory, as Hopper's copy engine (TMA) takes them."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from ...errors import DeviceError
from .. import dtypes
from .kernels import ByValue

_SIZE, _ALIGNMENT = 128, 64
# The driver's numbers for element types, and for what else is always the same here.
_TYPES = {dtypes.float16: 6, dtypes.float32: 7, dtypes.float64: 8, dtypes.bfloat16: 9}
_NO_INTERLEAVE, _SWIZZLE_128_BYTES, _PROMOTE_256_BYTES, _ZEROS_OUTSIDE = 0, 3, 3, 0


@functools.cache
def _driver() -> Any:
    return ctypes.CDLL("libcuda.so.1")


@functools.lru_cache(maxsize=4096)
def tensor_map(address: int, shape: tuple[int, int], dtype: Any, box: tuple[int, int]) -> ByValue:
    """Describe a matrix in C order, of which boxes with 128-byte rows are copied.

    Parameters
    ----------
    address
        Of the first element, a multiple of 16.
    shape
        Rows and columns; a row's bytes are a multiple of 16.
    dtype
        float16, bfloat16, float32 or float64.
    box
        Rows and columns that are copied at a time; 128 bytes of columns.

    Raises
    ------
    DeviceError
        The driver refuses it.
    """
    rows, columns = shape
    room = ctypes.create_string_buffer(_SIZE + _ALIGNMENT)
    start = -ctypes.addressof(room) % _ALIGNMENT
    place = ctypes.c_void_p(ctypes.addressof(room) + start)
    status = _driver().cuTensorMapEncodeTiled(
        place,
        _TYPES[dtype],
        2,
        ctypes.c_void_p(address),
        (ctypes.c_uint64 * 2)(columns, rows),
        (ctypes.c_uint64 * 1)(columns * dtype.itemsize),
        (ctypes.c_uint32 * 2)(box[1], box[0]),
        (ctypes.c_uint32 * 2)(1, 1),
        _NO_INTERLEAVE,
        _SWIZZLE_128_BYTES,
        _PROMOTE_256_BYTES,
        _ZEROS_OUTSIDE,
    )
    if status:
        raise DeviceError(
            f"tensor_map: address and row must be multiples of 16 bytes, got {address:#x}, "
            f"{shape} of {dtype}, box {box} (the driver gave {status})"
        )
    return ByValue(room.raw[start : start + _SIZE])
