"""What the optimizers' update rules are made of, and the two most used ones in NumPy.

The arrays of a whole group come in one call: ``lr`` and ``step`` (0-d), then all parameters, all
gradients, and for each kind of state one array per parameter. Parameters, states and ``step`` are
changed in place. Other libraries run the decompositions in ``ops/optimizers``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy

from ...errors import ArgumentError, ShapeError
from .. import dtypes

# Elements per pass: what a pass reads and writes stays in the second-level cache for the next.
BLOCK = 16384


def slots(xp: Any) -> dict[str, Any]:
    """Return the slots of the optimizers."""

    def widened(x: Any) -> Any:
        """Return halves as float32, others as they are."""
        return x.astype(dtypes.float32) if x.dtype in dtypes.half else x

    def factor(x: Any, dtype: Any) -> Any:
        """Return what all elements are multiplied by, so that it leaves their dtype."""
        return x.astype(dtype) if x.dtype.kind == "f" else x

    def pieces(arrays: list[Any]) -> list[list[Any]]:
        """Return arrays of one shape in pieces that are worked on one after the other."""
        return [arrays]

    found: dict[str, Any] = {
        "real_view": _real_view, "widened": widened, "factor": factor, "pieces": pieces
    }  # fmt: skip
    if xp is numpy:
        found.update(
            sgd_step=_sgd_step, adam_step=_adam_step, factor=_number, pieces=_cached_pieces
        )
    return found


def _real_view(x: Any) -> Any:
    """Return complex numbers as pairs of real ones, sharing the memory; others as they are."""
    if x.dtype.kind != "c":
        return x
    if not x.ndim or x.strides[-1] != x.itemsize:
        x = x[..., None]
    return x.view(dtypes.real_of(x.dtype))


def _number(x: Any, dtype: Any) -> Any:
    """Return a 0-d array as a Python number: those are weak, and quicker."""
    return x.item()


def _cached_pieces(arrays: list[Any]) -> list[list[Any]]:
    """Return arrays in pieces that fit the cache, with what is made of them."""
    size = arrays[0].size
    if size <= BLOCK or not all(x.flags.c_contiguous for x in arrays):
        return [arrays]
    flat = [x.reshape(-1) for x in arrays]
    return [[x[start : start + BLOCK] for x in flat] for start in range(0, size, BLOCK)]


class _Scratch:
    """Arrays for intermediate results, made once per call and reused for every block."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, Any], Any] = {}

    def like(self, name: str, x: Any) -> Any:
        key = (name, x.dtype)
        kept = self._arrays.get(key)
        if x.ndim != 1 or x.size > BLOCK:
            return numpy.empty_like(x)
        if kept is None or kept.size < x.size:
            kept = self._arrays[key] = numpy.empty(x.size, x.dtype)
        return kept[: x.size]


def _blocks(arrays: list[Any]) -> Iterator[list[Any]]:
    """Yield arrays of one shape in pieces that fit the cache; halves as float32, written back."""
    if any(x.dtype in dtypes.half for x in arrays):
        wide = [x.astype(dtypes.float32) for x in arrays]
        yield from _blocks(wide)
        for i, (narrow, x) in enumerate(zip(arrays, wide, strict=True)):
            if i != 1:  # the gradient stays as it is
                narrow[...] = x
        return
    size = arrays[0].size
    if size <= BLOCK and arrays[0].ndim == 1:
        yield arrays
        return
    if not all(x.flags.c_contiguous for x in arrays):
        yield arrays
        return
    flat = [x.reshape(-1) for x in arrays]
    for start in range(0, size, BLOCK):
        yield [x[start : start + BLOCK] for x in flat]


def _groups(tensors: tuple[Any, ...], kinds: int) -> Iterator[list[Any]]:
    """Yield (parameter, gradient, states ...) for each parameter."""
    count = len(tensors) // kinds
    for i in range(count):
        yield list(tensors[i::count])


def _check(op: str, tensors: tuple[Any, ...], kinds: int) -> None:
    """Raise before anything is changed, unless all parameters can be updated."""
    for p, g, *states in _groups(tensors, kinds):
        for x in (g, *states):
            if x.shape != p.shape:
                raise ShapeError(
                    f"{op}: a gradient and a state must have the parameter's shape {p.shape}, got "
                    f"{x.shape}"
                )
        if not all(x.flags.writeable for x in (p, *states)):
            raise ArgumentError(
                f"{op}: parameters and states must be writeable, got a read-only array {p.shape}"
            )


def _wanted(p: Any, g: Any, decay: float, maximize: bool, scratch: _Scratch) -> Any:
    """Return the direction to minimise along: the gradient, its sign, the L2 penalty's slope."""
    if maximize:
        g = numpy.negative(g, scratch.like("direction", p))
    if decay:
        out = scratch.like("decayed", p)
        numpy.multiply(p, decay, out)
        g = numpy.add(out, g, out)
    return g


def _sgd_step(lr: Any, step: Any, *args: Any) -> tuple[()]:
    *tensors, momentum, dampening, weight_decay, nesterov, maximize = args
    _check("sgd_step", tuple(tensors), 3 if momentum else 2)
    step += 1
    first, rate = int(step) == 1, float(lr)
    scratch = _Scratch()
    with numpy.errstate(all="ignore"):
        for arrays in _groups(tuple(tensors), 3 if momentum else 2):
            for p, g, *states in _blocks(arrays):
                g = _wanted(p, g, weight_decay, maximize, scratch)
                t = scratch.like("step", p)
                if momentum:
                    buffer = states[0]
                    if first:
                        buffer[...] = g
                    else:
                        buffer *= momentum
                        buffer += numpy.multiply(g, 1 - dampening, t) if dampening else g
                    if nesterov:
                        numpy.multiply(buffer, momentum, t)
                        g = numpy.add(t, g, t)
                    else:
                        g = buffer
                p -= numpy.multiply(g, rate, t)
    return ()


def _adam_step(lr: Any, step: Any, *args: Any) -> tuple[()]:
    *tensors, beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize = args
    _check("adam_step", tuple(tensors), 5 if amsgrad else 4)
    step += 1
    count, rate = int(step), float(lr)
    correction1, correction2 = 1 - beta1**count, 1 - beta2**count
    # lr / c1 * m / (sqrt(v / c2) + eps), as m / (sqrt(v) * scale + floor): a pass less.
    if rate:
        scale = correction1 / (rate * math.sqrt(correction2)) if correction2 else math.inf
        floor = eps * correction1 / rate
    keep = 1 - rate * weight_decay if decoupled else 1.0
    penalty = 0.0 if decoupled else weight_decay
    scratch = _Scratch()
    with numpy.errstate(all="ignore"):
        for arrays in _groups(tuple(tensors), 5 if amsgrad else 4):
            arrays = [_real_view(x) for x in arrays]
            for p, g, m, v, *rest in _blocks(arrays):
                g = _wanted(p, g, penalty, maximize, scratch)
                t = scratch.like("step", p)
                numpy.subtract(g, m, t)
                t *= 1 - beta1
                m += t
                numpy.multiply(g, g, t)
                t *= 1 - beta2
                v *= beta2
                v += t
                if amsgrad:
                    v = numpy.maximum(rest[0], v, out=rest[0])
                if not rate:
                    continue
                if keep != 1:
                    p *= keep
                numpy.sqrt(v, t)
                t *= scale
                t += floor
                p -= numpy.divide(m, t, t)
    return ()
