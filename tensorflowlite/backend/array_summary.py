"""What a page can show of an array: all of it where it is small, else its shape in numbers."""

from __future__ import annotations

import base64
from typing import Any

import numpy

from .base import backend_of

SMALL = 64  # elements that are written out
BINS = 16
CELLS = 16  # along each side of a heat map
_NAN = 255


def number(value: Any) -> float | int | str | None:
    """Return a number as JSON has it: the shortest that reads back the same, in its dtype."""
    kind = value.dtype.kind
    if kind in "biu":
        return int(value)
    if kind == "c":
        return str(value)
    plain = float(value)
    if plain != plain:
        return "nan"
    if plain in (numpy.inf, -numpy.inf):
        return "inf" if plain > 0 else "-inf"
    return float(str(numpy.float32(plain))) if value.dtype.itemsize <= 4 else plain


def summarize(array: Any, pictures: bool = True) -> dict[str, Any]:
    """Return what an array holds, as plain values for JSON.

    Parameters
    ----------
    array : array
        Of any device; it is read once.
    pictures : bool
        Whether a large one has its histogram and its heat map.
    """
    host = numpy.asarray(backend_of(array).to_host(array))
    found: dict[str, Any] = {"shape": list(host.shape), "dtype": host.dtype.name}
    if host.dtype.kind not in "biufc":  # bfloat16 has no kind of its own
        host = host.astype(numpy.float32)
    if not host.size:
        return found
    plain = numpy.abs(host) if host.dtype.kind == "c" else host
    finite = plain if plain.dtype.kind in "biu" else plain[numpy.isfinite(plain)]
    with numpy.errstate(all="ignore"):
        found |= _measures(plain, finite)
        if host.size <= SMALL:
            found["values"] = [number(value) for value in host.reshape(-1)]
        elif pictures and finite.size:
            found["histogram"] = _histogram(finite)
            found["heat"] = _heat(plain)
    return found


def _measures(host: Any, finite: Any) -> dict[str, Any]:
    nan = int(numpy.isnan(host).sum()) if host.dtype.kind == "f" else 0
    wide = finite.astype(numpy.float64)
    there = bool(wide.size)
    return {
        "min": number(finite.min()) if there else None,
        "max": number(finite.max()) if there else None,
        "mean": float(wide.mean()) if there else None,
        "std": float(wide.std()) if there else None,
        "norm": _norm(wide) if there else None,
        "zeros": float((host == 0).mean()),
        "nan": nan,
        "inf": int(host.size - finite.size - nan),
    }


def _norm(wide: Any) -> float:
    """Return the root of the sum of squares, which neither over- nor underflows."""
    greatest = float(numpy.abs(wide).max())
    if not greatest or greatest == numpy.inf:
        return greatest
    scaled = wide.reshape(-1) / greatest
    return min(greatest * float(numpy.sqrt(scaled @ scaled)), float(numpy.finfo(float).max))


def _histogram(finite: Any) -> dict[str, Any]:
    low, high = float(finite.min()), float(finite.max())
    if not high - low < numpy.inf:
        return {"low": low, "high": high, "counts": [int(finite.size)]}
    if not high > low:
        low, high = low - 0.5, high + 0.5
        if not high > low:  # so large that a half is nothing
            return {"low": low, "high": high, "counts": [int(finite.size)]}
    width = (high - low) / BINS
    if not width > 0 or low + width == low:
        return {"low": low, "high": high, "counts": [int(finite.size)]}
    places = numpy.minimum(((finite - low) / width).astype(numpy.int64), BINS - 1)
    counts = numpy.bincount(places.reshape(-1), minlength=BINS)
    return {"low": low, "high": high, "counts": counts.tolist()}


def _heat(host: Any) -> dict[str, Any]:
    """Return a picture of means of cells, a byte each; the scale's ends are in it."""
    matrix = host.reshape(-1, host.shape[-1]) if host.ndim > 1 else host.reshape(1, -1)
    if host.ndim == 1 and host.size > CELLS:  # a long vector as rows that follow each other
        columns = -(-host.size // CELLS)
        padded = numpy.full(columns * CELLS, numpy.nan)
        padded[: host.size] = host
        matrix = padded.reshape(CELLS, columns)
    rows, columns = min(CELLS, matrix.shape[0]), min(CELLS, matrix.shape[1])
    down = numpy.linspace(0, matrix.shape[0], rows + 1).astype(int)[:-1]
    across = numpy.linspace(0, matrix.shape[1], columns + 1).astype(int)[:-1]
    known = numpy.isfinite(matrix)
    total = numpy.where(known, matrix, 0).astype(numpy.float64)
    sums = numpy.add.reduceat(numpy.add.reduceat(total, down, 0), across, 1)
    counts = numpy.add.reduceat(numpy.add.reduceat(known.astype(int), down, 0), across, 1)
    cells = numpy.where(counts > 0, sums / numpy.maximum(counts, 1), numpy.nan)
    there = cells[numpy.isfinite(cells)]
    low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 0.0)
    span = high - low
    levels = numpy.zeros(cells.shape) if not 0 < span < numpy.inf else (cells - low) / span * 254
    levels = numpy.where(numpy.isfinite(cells), numpy.round(levels), _NAN)
    text = base64.b64encode(levels.astype(numpy.uint8).tobytes()).decode()
    return {"rows": rows, "columns": columns, "low": low, "high": high, "cells": text}
