"""Slots of reading and assigning by keys.

Keys are basic, or templates with `INDEX` where an index array goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from .portable import adder, last_writer

INDEX = "index"  # in the template of a key: an index array goes here
_ALL = slice(None)


def fill_key(template: tuple[Any, ...], indices: Any) -> tuple[Any, ...]:
    """Return a template with its index arrays in place."""
    given = iter(indices)
    return tuple([next(given) if part is INDEX else part for part in template])


def indexing_slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of indexing."""
    add_at = adder(xp)
    to_scalar = xp is numpy  # NumPy turns x[0] of one axis into a scalar, which is no view

    def getitem(x: Any, key: Any) -> Any:
        out = x[key]
        if to_scalar and type(out) is not numpy.ndarray:
            return x[(*key, ...) if type(key) is tuple else (key, ...)]
        return out

    def setitem(x: Any, value: Any, key: Any) -> Any:
        x[key] = value
        return x

    def place(x: Any, key: Any, shape: tuple[int, ...]) -> Any:
        out = xp.zeros(shape, x.dtype)
        out[key] = x
        return out

    def clear(x: Any, key: Any) -> Any:
        out = xp.array(x, order="C")
        out[key] = 0
        return out

    def getitem_arrays(x: Any, *rest: Any) -> Any:
        *indices, template = rest
        return x[fill_key(template, indices)]

    def setitem_arrays(x: Any, value: Any, *rest: Any) -> Any:
        *indices, template = rest
        key = fill_key(template, indices)
        if xp is not numpy:  # one value broadcasts to any shape
            one = value.size == 1
            value = value.reshape(()) if one else one_value_each(x, value, indices, template)
        x[key] = value
        return x

    def one_value_each(x: Any, value: Any, indices: Any, template: Any) -> Any:
        """Return values of which those for one place are equal: the last one; CuPy keeps any."""
        masks = [index.dtype.kind == "b" for index in indices]
        if all(masks):  # they name no element twice
            return value
        lead = rows_from(template)
        if lead is None or any(masks):
            key = fill_key(template, indices)
            region = x[key].shape
            last = last_writer(xp, key, region, x.shape)
            value = broadcast(value, region).reshape(-1)[last]
        else:
            count = numpy.broadcast_shapes(*[index.shape for index in indices])
            stop = lead + len(indices)
            region = (*x.shape[:lead], *count, *x.shape[stop:])
            if value.ndim > len(region) - lead - len(count):  # else it is the same everywhere
                last = last_writer(xp, tuple(indices), count, x.shape[lead:stop])
                flat = (*x.shape[:lead], math.prod(count), *x.shape[stop:])
                rows = broadcast(value, region).reshape(flat)
                value = rows[(*(_ALL,) * lead, last)]
        surplus = max(value.ndim - len(region), 0)
        return value.reshape(value.shape[surplus:])  # NumPy alone allows more axes of length 1

    def broadcast(value: Any, shape: tuple[int, ...]) -> Any:
        surplus = max(value.ndim - len(shape), 0)
        if value.shape[:surplus] == (1,) * surplus:
            value = value.reshape(value.shape[surplus:])
        return xp.broadcast_to(value, shape)

    def clear_arrays(x: Any, *rest: Any) -> Any:
        *indices, template = rest
        out = xp.array(x, order="C")
        out[fill_key(template, indices)] = 0
        return out

    def last_writes(x: Any, *rest: Any) -> Any:
        """Whether each element written at a key stays: none with the same place comes after it."""
        *indices, template, shape = rest
        order = xp.arange(x.size).reshape(x.shape)
        return last_writer(xp, fill_key(template, indices), x.shape, shape) == order

    def scatter_add(x: Any, *rest: Any) -> Any:
        *indices, template, shape = rest
        if x.size and all(index.dtype.kind in "iu" for index in indices):
            lead = rows_from(template)
            if lead is not None:
                return add_rows(x, indices, lead, shape)
        key = fill_key(template, indices)
        if all(index.dtype.kind == "b" for index in indices):
            out = xp.zeros(shape, x.dtype)
            out[key] = x  # a mask names no element twice
            return out
        return add_at(shape, key, x)

    def add_rows(x: Any, indices: Any, lead: int, shape: tuple[int, ...]) -> Any:
        """Sum what goes to the same row; the rows are the axes from ``lead`` that indices name."""
        stop = lead + len(indices)
        named = shape[lead:stop]
        indices = [one.astype(dtypes.int64, copy=False) for one in indices]  # uint8 can't hold 300
        index = indices[0] % named[0]
        for one, length in zip(indices[1:], named[1:], strict=True):
            index = index * length + one % length
        axes = tuple(range(lead, lead + index.ndim))
        rest = tuple([axis for axis in range(x.ndim) if axis not in axes])
        rows = x.transpose((*axes, *rest)).reshape(index.size, -1)
        index = index.reshape(-1)
        count = math.prod(named)
        width = rows.shape[1]
        if width == 1:
            out = add_at((count,), index, rows.reshape(-1))
        elif xp is not numpy:
            out = add_at((count, width), index, rows)
        else:
            wide = rows.astype(dtypes.accumulator(x.dtype), copy=False)
            out = _sum_runs(wide, index, count).astype(x.dtype, copy=False)
        out = out.reshape((*named, *shape[:lead], *shape[stop:]))
        if not lead:
            return out
        back = (*range(len(named), len(named) + lead), *range(len(named)))
        moved = out.transpose((*back, *range(len(back), out.ndim)))
        return xp.ascontiguousarray(moved)

    def along(indices: Any, axis: int, shape: tuple[int, ...]) -> Any:
        """Return the key that reads ``indices`` along an axis."""
        key = []
        for i, length in enumerate(shape):
            if i == axis:
                key.append(indices)
            else:
                count = xp.arange(length)
                key.append(count.reshape((1,) * i + (length,) + (1,) * (len(shape) - i - 1)))
        return tuple(key)

    def take_along_axis(x: Any, indices: Any, axis: int) -> Any:
        return x[along(indices, axis, x.shape)]

    def scatter_along_axis(x: Any, indices: Any, axis: int, shape: tuple[int, ...]) -> Any:
        """Return zeros with ``x`` added at ``indices`` along an axis."""
        flat = xp.zeros((1,) * len(shape), xp.arange(1).dtype)
        indices = indices.astype(dtypes.int64, copy=False)
        for one, length in zip(along(indices, axis, shape), shape, strict=True):
            flat = flat * length + one % max(length, 1)
        return add_at((math.prod(shape),), flat.reshape(-1), x.reshape(-1)).reshape(shape)

    found = locals()
    for name in ("xp", "add_at", "to_scalar", "add_rows", "along", "one_value_each", "broadcast"):
        del found[name]
    return found


def rows_from(template: tuple[Any, ...]) -> int | None:
    """Return how many whole axes come before the index arrays, where nothing else is in a key."""
    lead = 0
    while template[lead] == _ALL:
        lead += 1
    return lead if all(part is INDEX for part in template[lead:]) else None


def _sum_runs(rows: Any, index: Any, count: int) -> Any:
    """Return ``count`` rows: sorted by where they go, then summed run by run."""
    out = numpy.zeros((count, rows.shape[1]), rows.dtype)
    order = numpy.argsort(index, kind="stable")
    ordered = index[order]
    starts = numpy.flatnonzero(numpy.concatenate(([True], ordered[1:] != ordered[:-1])))
    out[ordered[starts]] = numpy.add.reduceat(rows[order], starts, axis=0)
    return out
