"""Slots of the shaping operations, of joining and of choosing between arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy

from .. import dtypes
from ..base import backend_for, backend_of
from .portable import chooser


def alike(*arrays: Any) -> tuple[Any, ...]:
    """Return the arrays in one dtype where NumPy has no common one: bfloat16 beside others."""
    first = arrays[0].dtype
    for array in arrays:
        if array.dtype is not first:
            break
    else:
        return arrays
    if dtypes.bfloat16 not in [array.dtype for array in arrays]:
        return arrays
    common = dtypes.promote(*[array.dtype for array in arrays])
    return tuple([array.astype(common) for array in arrays])


def transfer(array: Any, device: Any) -> Any:
    """Return an array on another device; the array itself where it is there already."""
    here, there = backend_of(array), backend_for(device)
    if here is there and device in (there.device_of(array), there.device_type):
        return array
    return there.from_host(here.to_host(array), device)


def shaping_slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of the shaping operations that differ from ``xp``'s functions."""

    choose = chooser(xp)

    reshape: Any
    permute_dims: Any
    mT: Any
    if xp is numpy:
        # The methods themselves: a Python function around them costs as much as they do.
        reshape, permute_dims = numpy.ndarray.reshape, numpy.ndarray.transpose
        mT = operator.attrgetter("mT")
    else:
        reshape, permute_dims, mT = _reshape, _permute_dims, _mT

    def diagonal(x: Any, place: tuple[int, int, int]) -> Any:
        out = x.diagonal(*place)
        if xp is numpy and x.flags.writeable:
            out.flags.writeable = True  # NumPy's is read-only, though changes through it are sound
        return out

    def place_diagonal(x: Any, place: tuple[int, int, int], shape: tuple[int, ...]) -> Any:
        out = xp.zeros(shape, x.dtype)
        diagonal(out, place)[...] = x
        return out

    def roll(x: Any, by: tuple[Any, Any]) -> Any:
        return xp.roll(x, *by)

    def tril(x: Any, offset: int) -> Any:
        return xp.tril(x, offset).astype(x.dtype, copy=False)  # of bfloat16 CuPy makes float32

    def triu(x: Any, offset: int) -> Any:
        return xp.triu(x, offset).astype(x.dtype, copy=False)

    def concat(*rest: Any) -> Any:
        *arrays, axis = rest
        return xp.concatenate(alike(*arrays), axis)

    def stack(*rest: Any) -> Any:
        *arrays, axis = rest
        return xp.stack(alike(*arrays), axis)

    def split(x: Any, bounds: tuple[int, ...], axis: int) -> Any:
        lead = (slice(None),) * axis
        return tuple([
            x[(*lead, slice(start, stop))]
            for start, stop in pairwise(bounds)
        ])  # fmt: skip

    def unstack(x: Any, axis: int) -> Any:
        lead = (slice(None),) * axis
        return tuple([x[(*lead, i, ...)] for i in range(x.shape[axis])])

    def where(condition: Any, x: Any, y: Any) -> Any:
        if x.dtype is not y.dtype:
            x, y = alike(x, y)
        return choose(condition, x, y)

    def clone(x: Any) -> Any:
        return xp.array(x, order="C")

    def to_device(x: Any, move: tuple[Any, Any]) -> Any:
        return transfer(x, move[1])

    found = locals()
    del found["xp"], found["choose"]
    if xp is numpy:
        found["broadcast_to"] = _broadcast_to
    return found


def _reshape(x: Any, shape: tuple[int, ...]) -> Any:
    return x.reshape(shape)


def _permute_dims(x: Any, axes: tuple[int, ...]) -> Any:
    return x.transpose(axes)


def _mT(x: Any) -> Any:
    return x.swapaxes(-1, -2)


def _broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    # np.broadcast_to costs 2.4 µs; a stride-0 ndarray is the same view in 0.35.
    if x.size == 1 and x.ndim <= len(shape):  # a gradient of a sum, most often
        strides = [0] * len(shape)
    else:
        lead = len(shape) - x.ndim
        if lead < 0:
            return numpy.broadcast_to(x, shape)  # raises
        strides = [0] * lead
        for have, want, stride in zip(x.shape, shape[lead:], x.strides, strict=True):
            if have == want:
                strides.append(stride)
            elif have == 1:
                strides.append(0)
            else:
                return numpy.broadcast_to(x, shape)  # raises
    try:
        out: Any = numpy.ndarray(shape, x.dtype, x, 0, tuple(strides))
    except (TypeError, ValueError, BufferError):  # x isn't contiguous
        return numpy.broadcast_to(x, shape)
    out.flags.writeable = False
    return out
