"""Slots of the array operations, written once for every library with NumPy's interface.

``slots(xp)`` returns the differences between the operations' slots and the functions of the same
name in ``xp``. Arguments are positional: the arrays, then the attributes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy

from . import dtypes
from .dtypes import half


INDEX = "index"  # in the template of a key: an index array goes here


def fill_key(template: tuple[Any, ...], indices: Any) -> tuple[Any, ...]:
    """Return a template with its index arrays in place."""
    given = iter(indices)
    return tuple([next(given) if part is INDEX else part for part in template])


class Kept(tuple[int, ...]):
    """Axes to reduce that stay in the result, with length 1."""

    __slots__ = ()


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots that differ from ``xp``'s functions."""
    found: dict[str, Callable[..., Any]] = {}
    for family in (_gradient_slots, _elementwise_slots, _shaping_slots, _indexing_slots, _reduction_slots, _matrix_slots):
        found.update(family(xp))
    return found


def _public(names: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in names.items() if name not in ("xp", "found")}


def _gradient_slots(xp: Any) -> dict[str, Any]:
    """What the tape does to gradients."""
    add_reduce = xp.add.reduce if xp is numpy else xp.sum

    def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
        lead = x.ndim - len(shape)
        axes = tuple(range(lead)) + tuple(
            [i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1]
        )
        if not axes:
            return x.reshape(shape)
        if x.dtype in half:
            return add_reduce(x, axis=axes, dtype=dtypes.float32, keepdims=True).reshape(
                shape
            ).astype(x.dtype)  # fmt: skip
        return add_reduce(x, axis=axes, keepdims=True).reshape(shape)

    def cast(x: Any, dtype: Any) -> Any:
        if x.dtype.kind == "c" and dtype.kind != "c":
            x = x.real
        return x.astype(dtype)

    def copy(x: Any) -> Any:
        return xp.array(x, order="C")

    def assign(target: Any, source: Any) -> None:
        xp.copyto(target, source, casting="same_kind")

    def filled(shape: tuple[int, ...], value: Any, dtype: Any, device: Any) -> Any:
        return xp.zeros(shape, dtype) if value == 0 else xp.full(shape, value, dtype)

    def zeros_for(like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        return xp.zeros(shape, dtype)

    def empty_strided(like: Any, shape: Any, dtype: Any, strides: Any, dense: bool) -> Any:
        """Return an array laid out by ``strides`` where they leave no gaps, else in C order."""
        if not dense or len(shape) < 2:
            return xp.empty(shape, dtype)
        order = sorted(range(len(shape)), key=lambda i: (-strides[i], i))
        array = xp.empty(tuple([shape[i] for i in order]), dtype)
        return array.transpose(tuple([order.index(i) for i in range(len(shape))]))

    def read_view(x: Any, path: Any) -> Any:
        for op, attribute in path:
            x = op.implementations[type(x)](x, attribute)
        return x

    def place_view(x: Any, path: Any, shape: tuple[int, ...]) -> Any:
        out = xp.zeros(shape, x.dtype)
        read_view(out, path)[...] = x
        return out

    def clear_view(x: Any, path: Any) -> Any:
        out = xp.array(x, order="C")
        read_view(out, path)[...] = 0
        return out

    def identity(x: Any) -> Any:
        return x

    return _public(locals())


def _elementwise_slots(xp: Any) -> dict[str, Any]:
    def rsqrt(x: Any) -> Any:
        return 1 / xp.sqrt(x)

    def round(x: Any) -> Any:
        return x.copy() if x.dtype.kind in "biu" else xp.rint(x)

    def real(x: Any) -> Any:
        return x.real.copy()  # NumPy's is a view

    def imag(x: Any) -> Any:
        return x.imag.copy()

    return _public(locals())


def _shaping_slots(xp: Any) -> dict[str, Any]:
    def reshape(x: Any, shape: tuple[int, ...]) -> Any:
        return x.reshape(shape)

    def permute_dims(x: Any, axes: tuple[int, ...]) -> Any:
        return x.transpose(axes)

    if xp is numpy:

        def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
            # np.broadcast_to costs 2.4 µs; a stride-0 ndarray is the same view in 0.35.
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
                out = numpy.ndarray(shape, x.dtype, x, 0, tuple(strides))
            except (TypeError, ValueError, BufferError):  # x isn't contiguous
                return numpy.broadcast_to(x, shape)
            out.flags.writeable = False
            return out

    if xp is numpy:
        mT = operator.attrgetter("mT")
    else:

        def mT(x: Any) -> Any:
            return x.swapaxes(-1, -2)

    return _public(locals())


def _indexing_slots(xp: Any) -> dict[str, Any]:
    """Keys are basic, or templates with `INDEX` where an index array goes."""

    def getitem(x: Any, key: Any) -> Any:
        return x[key]

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
        x[fill_key(template, indices)] = value
        return x

    def clear_arrays(x: Any, *rest: Any) -> Any:
        *indices, template = rest
        out = xp.array(x, order="C")
        out[fill_key(template, indices)] = 0
        return out

    def scatter_add(x: Any, *rest: Any) -> Any:
        *indices, template, shape = rest
        if template == (INDEX,) and indices[0].dtype.kind in "iu" and x.size:
            return add_rows(x, indices[0], shape)
        out = xp.zeros(shape, x.dtype)
        key = fill_key(template, indices)
        if all(index.dtype.kind == "b" for index in indices):
            out[key] = x  # a mask names no element twice
        else:
            xp.add.at(out, key, x)
        return out

    def add_rows(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
        """Sum the rows of ``x`` that go to the same row: sorted, then summed run by run."""
        out = xp.zeros(shape, x.dtype)
        index = index.reshape(-1) % shape[0]
        rows = x.reshape(index.size, -1)
        order = xp.argsort(index, kind="stable")
        ordered = index[order]
        starts = xp.flatnonzero(xp.concatenate((ordered[:1] >= 0, ordered[1:] != ordered[:-1])))
        wide = rows[order].astype(dtypes.accumulator(x.dtype), copy=False)
        out.reshape(shape[0], -1)[ordered[starts]] = xp.add.reduceat(wide, starts, axis=0)
        return out

    return _public(locals())


def _reduction_slots(xp: Any) -> dict[str, Any]:
    """Reductions take their axes as a sorted tuple; a `Kept` one leaves them as length 1."""
    if xp is numpy:
        add_reduce = numpy.add.reduce  # np.sum costs 3.9 µs, this 1.1
    else:

        def add_reduce(x: Any, axes: Any, dtype: Any, out: Any, keepdims: bool) -> Any:
            return xp.sum(x, axes, dtype, out, keepdims)

    def sum(x: Any, axis: tuple[int, ...]) -> Any:
        if x.dtype in half:
            return add_reduce(x, axis, dtypes.float32, None, type(axis) is Kept).astype(x.dtype)
        return add_reduce(x, axis, None, None, type(axis) is Kept)

    return _public(locals())


def _matrix_slots(xp: Any) -> dict[str, Any]:
    def matmul(x: Any, y: Any) -> Any:
        dtype = x.dtype
        if x.ndim == 2 == y.ndim and (dtype is dtypes.float32 or dtype is dtypes.float64):
            return xp.dot(x, y)
        if dtype in half and dtype == y.dtype:
            wide = xp.matmul(x.astype(dtypes.float32), y.astype(dtypes.float32))
            return wide.astype(x.dtype)
        if x.ndim == 2 and y.ndim == 2:
            return xp.dot(x, y)
        return xp.matmul(x, y)

    return _public(locals())
