"""Slots of the array operations, written once for every library with NumPy's interface.

``slots(xp)`` returns the differences between the operations' slots and the functions of the same
name in ``xp``. Arguments are positional: the arrays, then the attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from ...runtime import owner_of
from .. import dtypes
from ..dtypes import half
from .indexing import INDEX as INDEX
from .indexing import indexing_slots
from .portable import chooser
from .product import product_slots
from .reduction import Kept as Kept
from .reduction import reduction_slots
from .shaping import shaping_slots
from .sorting import sorting_slots


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots that differ from ``xp``'s functions."""
    found: dict[str, Callable[..., Any]] = {}
    families = (
        _gradient_slots, _elementwise_slots, shaping_slots, indexing_slots, reduction_slots,
        sorting_slots, product_slots,
    )  # fmt: skip
    for family in families:
        found.update(family(xp))
    return found


def _public(names: dict[str, Any]) -> dict[str, Any]:
    own = ("xp", "found", "plain_tanh", "choose")
    return {name: value for name, value in names.items() if name not in own}


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
        if x.dtype.kind == "c" and dtype.kind not in "cb":  # i is true, though its real part is 0
            x = x.real
        return x.astype(dtype)

    def copy(x: Any) -> Any:
        return xp.array(x, order="C")

    def assign(target: Any, source: Any) -> None:
        xp.copyto(target, source, casting="same_kind")

    def filled(shape: tuple[int, ...], value: Any, dtype: Any, device: Any) -> Any:
        if type(value) is int and value == 0:  # which -0.0 isn't
            return xp.zeros(shape, dtype)
        return xp.full(shape, value, dtype)

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
        write_through(out, path, x)
        return out

    def clear_view(x: Any, path: Any) -> Any:
        out = xp.array(x, order="C")
        write_through(out, path, 0)
        return out

    def write_through(out: Any, path: Any, value: Any) -> None:
        view = read_view(out, path)
        if type(view) is type(out) and owner_of(view) is out:
            view[...] = value
        else:  # the root has another layout: what is a view of it is a copy of an array in C order
            places = read_view(xp.arange(out.size).reshape(out.shape), path)
            out.reshape(-1)[places] = value

    def identity(x: Any) -> Any:
        return x

    return _public(locals())


def _elementwise_slots(xp: Any) -> dict[str, Any]:
    clip_low, clip_high = xp.maximum, xp.minimum
    choose = chooser(xp)

    def rsqrt(x: Any) -> Any:
        return 1 / xp.sqrt(x)

    # The native extension has these three without a look at the operands.
    def floor_divide(x: Any, y: Any) -> Any:
        out = xp.floor_divide(x, y)
        if out.dtype.kind in "biu":
            return out
        # With an infinite operand the standard has the floor of the quotient.
        infinite = xp.isinf(x) | xp.isinf(y)
        return choose(infinite, xp.floor(xp.divide(x, y)), out)

    plain_tanh = xp.tanh

    def tanh(x: Any) -> Any:
        if x.dtype is dtypes.float32:  # for speed
            return plain_tanh(x)
        out = plain_tanh(x)
        if x.dtype.kind == "c":
            # At infinity the standard gives the imaginary part its own sign.
            out = xp.asarray(out)
            flat = xp.isinf(x.real) & xp.isfinite(x.imag)
            out.imag[...] = xp.where(flat, xp.copysign(xp.zeros_like(x.imag), x.imag), out.imag)
        return out

    def expm1(x: Any) -> Any:
        out = xp.expm1(x)
        if x.dtype.kind == "c":
            # NumPy's loses infinities and signs of zeros, which its exp has.
            out = xp.where(xp.isfinite(x), out, xp.exp(x) - 1)
            out.real[...] += 0.0  # of -0 it is 0
            out.imag[...] = xp.where(x.imag == 0, x.imag, out.imag)
        return out

    def round(x: Any) -> Any:
        return x.copy() if x.dtype.kind in "biu" else xp.rint(x)

    def real(x: Any) -> Any:
        return x.real.copy()  # NumPy's is a view

    def imag(x: Any) -> Any:
        return x.imag.copy()

    return _public(locals())
