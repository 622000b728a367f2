"""Slots of the reductions and of the cumulative operations.

A reduction takes its axes as a sorted tuple; a `Kept` one leaves them in place with length 1.
float16 and bfloat16 are accumulated in float32 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from ..dtypes import half
from .portable import cumulative


class Kept(tuple[int, ...]):
    """Axes to reduce that stay in the result, with length 1."""

    __slots__ = ()


def reducers(xp: Any) -> tuple[Callable[..., Any], ...]:
    """Return sum, product, maximum, minimum, any and all: ``(x, axes, dtype, out, keepdims)``."""
    if xp is numpy:  # np.sum costs 3.9 µs, this 1.1
        ufuncs = ("add", "multiply", "maximum", "minimum", "logical_or", "logical_and")
        return tuple([getattr(numpy, name).reduce for name in ufuncs])

    def with_dtype(function: Callable[..., Any]) -> Callable[..., Any]:
        def reduce(
            x: Any, axes: Any, dtype: Any = None, out: Any = None, keepdims: bool = False
        ) -> Any:
            return function(x, axis=axes, dtype=dtype, keepdims=keepdims)

        return reduce

    def without_dtype(function: Callable[..., Any]) -> Callable[..., Any]:
        def reduce(x: Any, axes: Any, dtype: Any, out: Any, keepdims: bool) -> Any:
            if not axes:  # an empty tuple reduces nothing
                return function(x[None], axis=0)
            return function(x, axis=axes, keepdims=keepdims)

        return reduce

    plain = [without_dtype(f) for f in (xp.max, xp.min, xp.any, xp.all)]
    return (with_dtype(xp.sum), with_dtype(xp.prod), *plain)


def count_of(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """Return how many elements a reduction takes together."""
    if len(axes) == 1:
        return shape[axes[0]]
    return math.prod(shape if len(axes) == len(shape) else [shape[axis] for axis in axes])


def reduction_slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of the reductions that differ from ``xp``'s functions."""
    add, multiply, greatest, least, logical_or, logical_and = reducers(xp)
    float32 = dtypes.float32

    def sum(x: Any, axis: tuple[int, ...]) -> Any:
        dtype = x.dtype
        if dtype is float32 and type(axis) is tuple:  # for speed: the most common call
            return add(x, axis)
        if dtype in half:
            return add(x, axis, float32, None, type(axis) is Kept).astype(dtype)
        return add(x, axis, None, None, type(axis) is Kept)

    def prod(x: Any, axis: tuple[int, ...]) -> Any:
        if x.dtype in half:
            return multiply(x, axis, float32, None, type(axis) is Kept).astype(x.dtype)
        return multiply(x, axis, None, None, type(axis) is Kept)

    def mean(x: Any, axis: tuple[int, ...]) -> Any:
        dtype = x.dtype
        count = count_of(x.shape, axis)
        if not count:
            return _undefined(sum(x if dtype.kind not in "biu" else x.astype(dtypes.float64), axis))
        if dtype is float32:
            return add(x, axis, None, None, type(axis) is Kept) / count
        if dtype in half:
            return (add(x, axis, float32, None, type(axis) is Kept) / count).astype(dtype)
        wide = dtypes.float64 if dtype.kind in "biu" else None
        return add(x, axis, wide, None, type(axis) is Kept) / count

    def wide_variance(x: Any, axis: tuple[int, ...], correction: float) -> Any:
        """Return the variance in the accumulator's dtype, by two passes."""
        wide = dtypes.float64 if x.dtype.kind in "biu" else dtypes.accumulator(x.dtype)
        x = x.astype(wide, copy=False)
        count = count_of(x.shape, axis)
        apart = x - add(x, axis, None, None, True) / (count or 1)
        if wide.kind == "c":
            squares = apart.real**2 + apart.imag**2
        else:
            squares = apart * apart
        total = add(squares, axis, None, None, type(axis) is Kept)
        if count - correction > 0:
            return total / (count - correction)
        return _undefined(total)

    def var(x: Any, spread: tuple[tuple[int, ...], float]) -> Any:
        out = wide_variance(x, *spread)
        return out.astype(x.dtype) if x.dtype in half else out

    def std(x: Any, spread: tuple[tuple[int, ...], float]) -> Any:
        out = xp.sqrt(wide_variance(x, *spread))
        return out.astype(x.dtype) if x.dtype in half else out

    def max(x: Any, axis: tuple[int, ...]) -> Any:
        return greatest(x, axis, None, None, type(axis) is Kept)

    def min(x: Any, axis: tuple[int, ...]) -> Any:
        return least(x, axis, None, None, type(axis) is Kept)

    def any(x: Any, axis: tuple[int, ...]) -> Any:
        return logical_or(x, axis, None, None, type(axis) is Kept)

    def all(x: Any, axis: tuple[int, ...]) -> Any:
        return logical_and(x, axis, None, None, type(axis) is Kept)

    def count_nonzero(x: Any, axis: tuple[int, ...]) -> Any:
        return add(x != 0, axis, dtypes.int64, None, type(axis) is Kept)

    def logsumexp(x: Any, axis: tuple[int, ...]) -> Any:
        wide = x.astype(dtypes.accumulator(x.dtype), copy=False)
        if not x.size:
            shape = add(wide, axis, None, None, type(axis) is Kept).shape
            return xp.full(shape, -math.inf, x.dtype)
        top = greatest(wide.real if wide.dtype.kind == "c" else wide, axis, None, None, True)
        top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
        total = add(xp.exp(wide - top), axis, None, None, type(axis) is Kept)
        with numpy.errstate(divide="ignore"):  # of nothing but -inf it is -inf
            out = xp.log(total) + top.reshape(total.shape)
        return out.astype(x.dtype, copy=False)

    def argmax(x: Any, along: tuple[int | None, bool]) -> Any:
        return _place_of(xp.argmax, x, along)

    def argmin(x: Any, along: tuple[int | None, bool]) -> Any:
        return _place_of(xp.argmin, x, along)

    def cumulative_sum(x: Any, axis: int) -> Any:
        if x.dtype in half:
            return cumulative(xp, "sum", x.astype(float32), axis).astype(x.dtype)
        return cumulative(xp, "sum", x, axis)

    def cumulative_prod(x: Any, axis: int) -> Any:
        if x.dtype in half:
            return cumulative(xp, "prod", x.astype(float32), axis).astype(x.dtype)
        return cumulative(xp, "prod", x, axis)

    named = (
        sum, prod, mean, var, std, max, min, any, all, count_nonzero, logsumexp, argmax, argmin,
        cumulative_sum, cumulative_prod,
    )  # fmt: skip
    return {function.__name__: function for function in named}


def _undefined(total: Any) -> Any:
    """Return a sum divided by zero, as NumPy has it: NaN, infinity where it is positive."""
    with numpy.errstate(all="ignore"):
        return total / 0


def _place_of(find: Callable[..., Any], x: Any, along: tuple[int | None, bool]) -> Any:
    """Return where along an axis (None: among all elements) the first extreme lies."""
    axis, keepdims = along
    if axis is None and keepdims:
        return find(x).reshape((1,) * x.ndim)
    return find(x, axis, None, keepdims=keepdims) if keepdims else find(x, axis)
