"""What the libraries with NumPy's interface do differently, each made once for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes, threads

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

    Places named twice receive both. Halves are added up in float32 and rounded once. CuPy adds
    atomically, in any order; with `use_deterministic_algorithms` floats are added in theirs.
    """

    def add_at(shape: tuple[int, ...], key: Any, x: Any) -> Any:
        out = xp.zeros(shape, dtypes.accumulator(x.dtype))
        xp.add.at(out, key, x.astype(out.dtype, copy=False))
        return out.astype(x.dtype, copy=False)

    if xp is numpy:
        return add_at

    def add_at_in_parts(shape: tuple[int, ...], key: Any, x: Any) -> Any:
        if x.dtype in dtypes.inexact and threads.are_deterministic_algorithms_enabled():
            return _added_in_order(xp, shape, key, x)
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


def _added_in_order(xp: Any, shape: tuple[int, ...], key: Any, x: Any) -> Any:
    """Return zeros with ``x`` added at a key: sorted by place, each place's summed as a tree."""
    if type(key) is xp.ndarray and key.ndim == 1 and key.dtype.kind in "iu":
        places, rows, count = key, x, shape[0]
    else:
        places = xp.arange(math.prod(shape)).reshape(shape)[key]
        rows, count = xp.broadcast_to(x, places.shape).reshape(-1), math.prod(shape)
        places = places.reshape(-1)
    if not rows.size:
        return xp.zeros(shape, x.dtype)
    order = xp.argsort(places, kind="stable")
    places, rows = places[order], rows[order].astype(dtypes.accumulator(x.dtype))
    zero, reach = rows.dtype.type(0), 1
    while reach < len(places):  # each takes in the sum that ends `reach` places before it
        same = (places[reach:] == places[:-reach]).reshape((-1,) + (1,) * (rows.ndim - 1))
        late = rows[reach:] + xp.where(same, rows[:-reach], zero)
        rows = xp.concatenate([rows[:reach], late])
        reach *= 2
    last = xp.concatenate([places[1:] != places[:-1], xp.ones(1, dtypes.bool_)])
    # The surplus row takes what isn't the last of its place.
    out = xp.zeros((count + 1, *rows.shape[1:]), rows.dtype)
    out[xp.where(last, places, count)] = rows
    return out[:count].astype(x.dtype).reshape(shape)


def running(xp: Any, x: Any, axis: int, combine: Any) -> Any:
    """Return what ``combine`` makes of the elements up to each place."""
    if xp is numpy:
        return combine.accumulate(x, axis)
    lead, reach, length = (slice(None),) * axis, 1, x.shape[axis]
    while reach < length:  # each place takes in what ends `reach` places before it
        before, after = slice(0, length - reach), slice(reach, None)
        late = combine(x[(*lead, after)], x[(*lead, before)])
        x = xp.concatenate([x[(*lead, slice(0, reach))], late], axis)
        reach *= 2
    return x


def cumulative(xp: Any, name: str, x: Any, axis: int) -> Any:
    """Return the cumulative "sum" or "prod"; those of floats from CUB have other bits each time."""
    in_order = xp is numpy or x.dtype not in dtypes.inexact
    if in_order or not threads.are_deterministic_algorithms_enabled():
        return (xp.cumsum if name == "sum" else xp.cumprod)(x, axis)
    out = running(xp, x, axis % x.ndim, xp.add if name == "sum" else xp.multiply)
    return out.copy() if out is x else out


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
