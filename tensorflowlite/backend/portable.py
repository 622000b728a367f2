"""What the libraries with NumPy's interface do differently, each made once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from . import dtypes

# CuPy adds to places of these dtypes only; sums of others go through a wider one.
_ATOMIC = frozenset((
    dtypes.int32, dtypes.int64, dtypes.uint32, dtypes.uint64, dtypes.float32, dtypes.float64,
))  # fmt: skip


def chooser(xp: Any) -> Callable[[Any, Any, Any], Any]:
    """Return ``where``; CuPy's makes float32 of bfloat16."""
    if xp is numpy:
        return numpy.where

    def where(condition: Any, x: Any, y: Any) -> Any:
        kinds = [getattr(value, "dtype", None) for value in (x, y)]
        if dtypes.bfloat16 not in kinds:
            return xp.where(condition, x, y)
        if kinds[0] == kinds[1] and type(x) is xp.ndarray is type(y):
            bits = xp.where(condition, x.view(dtypes.uint16), y.view(dtypes.uint16))
            return bits.view(dtypes.bfloat16)
        return xp.where(condition, x, y).astype(dtypes.promote(*filter(None, kinds)), copy=False)

    return where


def adder(xp: Any) -> Callable[[tuple[int, ...], Any, Any], Any]:
    """Return the function that adds ``x`` to zeros of a shape at a key: ``(shape, key, x)``.

    Places named twice receive both. Halves are added up in float32 and rounded once.
    """

    def add_at(shape: tuple[int, ...], key: Any, x: Any) -> Any:
        out = xp.zeros(shape, dtypes.accumulator(x.dtype))
        xp.add.at(out, key, x.astype(out.dtype, copy=False))
        return out.astype(x.dtype, copy=False)

    if xp is numpy:
        return add_at

    def add_at_in_parts(shape: tuple[int, ...], key: Any, x: Any) -> Any:
        if x.dtype.kind == "c":
            out = xp.empty(shape, x.dtype)
            out.real[...] = add_at(shape, key, x.real)
            out.imag[...] = add_at(shape, key, x.imag)
            return out
        if x.dtype in _ATOMIC or x.dtype in dtypes.half:
            return add_at(shape, key, x)
        wide = dtypes.int32 if x.dtype.kind in "bi" else dtypes.uint32
        return add_at(shape, key, x.astype(wide)).astype(x.dtype)  # small integers wrap

    return add_at_in_parts


def extreme_at(xp: Any, x: Any, key: Any, source: Any, largest: bool) -> Any:
    """Return a copy of ``x`` with the extremes of it and of ``source`` at a key; NaN wins."""
    source = source.astype(x.dtype, copy=False)
    if xp is numpy:
        out = x.astype(dtypes.accumulator(x.dtype), order="C")
        with numpy.errstate(invalid="ignore"):  # of NaN
            (numpy.maximum if largest else numpy.minimum).at(out, key, source.astype(out.dtype))
        return out.astype(x.dtype, copy=False)
    # CuPy compares also float64 as float32, and numbers win over NaN: so it compares integers.
    write = xp.maximum if largest else xp.minimum
    kind = x.dtype.kind
    if kind in "biu" and x.dtype not in _ATOMIC:
        out = x.astype(dtypes.int32, order="C")
        write.at(out, key, source.astype(dtypes.int32))
        return out.astype(x.dtype)
    if kind in "iu":
        out = xp.array(x, order="C")
        write.at(out, key, source)
        return out
    wide = dtypes.accumulator(x.dtype)
    out = _ordered(xp, x.astype(wide, order="C"), largest)
    write.at(out, key, _ordered(xp, source.astype(wide), largest))
    return _unordered(xp, out, wide).astype(x.dtype, copy=False)


def _integers_of(dtype: Any) -> Any:
    return dtypes.int64 if dtype == dtypes.float64 else dtypes.int32


def _ordered(xp: Any, x: Any, nan_is_largest: bool) -> Any:
    """Return integers in the order of the floats; NaN counts as the largest or the smallest."""
    kind = _integers_of(x.dtype)
    limits = numpy.iinfo(kind)
    bits = xp.ascontiguousarray(x).view(kind)
    bits = xp.where(bits < 0, bits ^ kind.type(limits.max), bits)
    return xp.where(xp.isnan(x), kind.type(limits.max if nan_is_largest else limits.min), bits)


def _unordered(xp: Any, bits: Any, dtype: Any) -> Any:
    """Return the floats of ``_ordered`` integers: both of its NaN are NaN's bits again."""
    kind = bits.dtype
    return xp.where(bits < 0, bits ^ kind.type(numpy.iinfo(kind).max), bits).view(dtype)


def last_writer(xp: Any, key: Any, count: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """Return, for each place of a key into ``shape``, the last place of it that names the same.

    ``count`` is the shape of what lies at the key; places are numbered in its order. Of values
    written to one place CuPy keeps any.
    """
    order = xp.arange(numpy.prod(count, dtype=int)).reshape(count)
    written = xp.zeros(shape, order.dtype)
    if xp is numpy:
        written[key] = order
    else:
        xp.maximum.at(written, key, order)
    return written[key]
