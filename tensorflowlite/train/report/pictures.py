"""Samples as pictures: arrays in, PNG files as base64 out."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIDE = 96  # the most pixels of a side
_LEAST = 4


def picture_of(sample: Any) -> dict[str, Any] | None:
    """Return a sample as a picture, None where it isn't one.

    Pictures are of shape (C, H, W) or (H, W, C) with one, three or four channels, or square
    (N, N); their values are stretched from the least to the greatest.
    """
    array = _channels_last(np.asarray(sample))
    if array is None:
        return None
    array = array.astype(np.float64)
    array = _smaller(array)
    finite = array[np.isfinite(array)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    with np.errstate(all="ignore"):
        scaled = (array - low) / (high - low if high > low else 1.0)
    pixels = (np.nan_to_num(np.clip(scaled, 0, 1)) * 255).round().astype(np.uint8)
    return {
        "data": base64.b64encode(_png(pixels)).decode("ascii"),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
    }


def _channels_last(array: np.ndarray) -> np.ndarray | None:
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        return None
    if array.ndim == 2 and array.shape[0] == array.shape[1] >= 2 * _LEAST:
        return array[:, :, np.newaxis]
    if array.ndim != 3:
        return None
    if array.shape[0] in (1, 3, 4) and min(array.shape[1:]) >= _LEAST:
        return array.transpose(1, 2, 0)
    if array.shape[2] in (1, 3, 4) and min(array.shape[:2]) >= _LEAST:
        return array
    return None


def _smaller(array: np.ndarray) -> np.ndarray:
    """Return a picture with means of blocks in the place of pixels where it is large."""
    block = -(-max(array.shape[:2]) // _SIDE)
    if block == 1:
        return array
    height, width = (max(side // block, 1) for side in array.shape[:2])
    rows, columns = min(block, array.shape[0]), min(block, array.shape[1])
    cut = array[: height * rows, : width * columns]
    return cut.reshape(height, rows, width, columns, -1).mean((1, 3))


def _png(pixels: np.ndarray) -> bytes:
    height, width, channels = pixels.shape
    colour = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.ascontiguousarray(pixels).reshape(height, width * channels)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
