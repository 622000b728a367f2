"""Slots of products: matmul, and contractions of any number of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy

from .. import dtypes, threads
from ..dtypes import half

Labels = tuple[int, ...]


def product_slots(
    xp: Any, multiply: Callable[[Any, Any], Any] | None = None
) -> dict[str, Callable[..., Any]]:
    """Return the slots of products; half precision is accumulated in float32, rounded once.

    ``multiply`` is another product of (stacks of) matrices for contractions than the library's: one
    that does so with half precision itself.
    """

    float32, float64 = dtypes.float32, dtypes.float64
    # Half a microsecond less than np.matmul.
    matrices: Any = threads if xp is numpy else SimpleNamespace(product=lambda x, y: x.dot(y))

    def matmul(x: Any, y: Any) -> Any:
        x_dtype, y_dtype = x.dtype, y.dtype
        plain = x_dtype is float32 or x_dtype is float64
        if plain and x_dtype is y_dtype and x.ndim == 2 == y.ndim:
            return matrices.product(x, y)
        if x_dtype in half or y_dtype in half:
            common = dtypes.promote(x_dtype, y_dtype)
            wide = dtypes.accumulator(common)
            return xp.matmul(x.astype(wide), y.astype(wide)).astype(common, copy=False)
        if y.ndim == 2 and x.ndim == 2:
            return xp.dot(x, y)
        if y.ndim == 2 and x.ndim > 2 and x.size > 0 and plain and x_dtype is y_dtype:
            return rows_times(x, y)
        return xp.matmul(x, y)

    def rows_times(x: Any, y: Any) -> Any:
        """Return x @ y of many rows by one matrix as one product, not one for each of a stack."""
        out = matrices.product(x.reshape(-1, x.shape[-1]), y)
        return out.reshape(*x.shape[:-1], y.shape[1])

    def einsum(*rest: Any) -> Any:
        *arrays, labels, out_labels = rest
        dtype = arrays[0].dtype
        # With more than one product what lies between them would be rounded, too.
        wide_half = dtype in half and (multiply is None or len(arrays) > 2)
        if wide_half or any(array.dtype is not dtype for array in arrays):
            dtype = dtypes.promote(*[array.dtype for array in arrays])
            wide = dtypes.accumulator(dtype)
            arrays = [array.astype(wide, copy=False) for array in arrays]
        steps, order = _plan(labels, out_labels, tuple([array.shape for array in arrays]))
        for i, j, step in steps:
            second, first = arrays.pop(j), arrays.pop(i)
            arrays.append(contract(first, second, step))
        found = arrays[0] if order is None else arrays[0].transpose(order)
        return found if found.dtype is dtype else found.astype(dtype, copy=False)

    def contract(x: Any, y: Any, step: Step) -> Any:
        x = x.transpose(step.x_order).reshape(step.x_shape)
        y = y.transpose(step.y_order).reshape(step.y_shape)
        if step.kind == "multiply":
            out = x * y
        elif multiply is not None:
            out = multiply(x, y)
        else:
            plain = x.dtype is float32 or x.dtype is float64
            out = (matrices.product if step.kind == "dot" and plain else xp.matmul)(x, y)
        return out.reshape(step.out_shape)

    return {"matmul": matmul, "einsum": einsum}


class Step(NamedTuple):
    """How two arrays become one: their axes put in order and joined, a product, axes apart."""

    kind: str
    x_order: tuple[int, ...]
    x_shape: tuple[int, ...]
    y_order: tuple[int, ...]
    y_shape: tuple[int, ...]
    out_shape: tuple[int, ...]


@lru_cache(maxsize=1024)
def _plan(labels: tuple[Labels, ...], out_labels: Labels, shapes: Any) -> tuple[Any, Any]:
    """Return the steps of a contraction, and the order of the last one's axes in the result."""
    terms = list(labels)
    size = {n: k for names, shape in zip(labels, shapes, strict=True)
            for n, k in zip(names, shape, strict=True)}  # fmt: skip
    steps = []
    while len(terms) > 1:
        i, j = _cheapest(terms, out_labels, size)
        second, first = terms.pop(j), terms.pop(i)
        step, names = _step(first, second, {*out_labels}.union(*terms), size)
        steps.append((i, j, step))
        terms.append(names)
    order = tuple([terms[0].index(name) for name in out_labels])
    return tuple(steps), None if order == tuple(range(len(order))) else order


def _step(x: Labels, y: Labels, kept: set[int], size: dict[int, int]) -> tuple[Step, Labels]:
    """Return the product of two terms, summed over the labels that both have and none keeps."""
    shared = [name for name in x if name in y]
    batch = [name for name in shared if name in kept]
    summed = [name for name in shared if name not in kept]
    left = [name for name in x if name not in shared]
    right = [name for name in y if name not in shared]
    b, m, s, n = [math.prod([size[name] for name in part]) for part in (batch, left, summed, right)]
    x_order = tuple([x.index(name) for name in (*batch, *left, *summed)])
    y_order = tuple([y.index(name) for name in (*batch, *summed, *right)])
    names = (*batch, *left, *right)
    if not summed:
        kind, x_shape, y_shape = "multiply", (b, m, 1), (b, 1, n)
    elif not batch:
        kind, x_shape, y_shape = "dot", (m, s), (s, n)  # type: ignore[assignment]
    else:
        kind, x_shape, y_shape = "matmul", (b, m, s), (b, s, n)
    out_shape = tuple([size[name] for name in names])
    return Step(kind, x_order, x_shape, y_order, y_shape, out_shape), names


def _cheapest(terms: Sequence[Labels], out_labels: Labels, size: dict[int, int]) -> tuple[int, int]:
    """Return the two terms whose product leaves the smallest array, by the fewest steps."""
    best, found = (math.inf, math.inf), (0, 1)
    if len(terms) == 2:
        return found

    def count(names: Any) -> int:
        return math.prod([size[name] for name in names])

    for i in range(len(terms)):
        for j in range(i + 1, len(terms)):
            others = [names for k, names in enumerate(terms) if k not in (i, j)]
            both = {*terms[i], *terms[j]}
            after = count(both & {*out_labels}.union(*others))
            grown = after - count(terms[i]) - count(terms[j])
            cost = (float(grown), float(count(both)))
            if cost < best:
                best, found = cost, (i, j)
    return found
