"""Slots of products: matmul, and contractions of any number of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from . import dtypes
from .dtypes import half

Labels = tuple[int, ...]


def product_slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of products; half precision is accumulated in float32, rounded once."""

    def matmul(x: Any, y: Any) -> Any:
        x_dtype, y_dtype = x.dtype, y.dtype
        if x.ndim == 2 == y.ndim and (x_dtype is dtypes.float32 or x_dtype is dtypes.float64):
            return xp.dot(x, y)
        if x_dtype in half or y_dtype in half:
            common = dtypes.promote(x_dtype, y_dtype)
            wide = dtypes.accumulator(common)
            return xp.matmul(x.astype(wide), y.astype(wide)).astype(common, copy=False)
        if x.ndim == 2 and y.ndim == 2:
            return xp.dot(x, y)
        return xp.matmul(x, y)

    def einsum(*rest: Any) -> Any:
        *arrays, labels, out_labels = rest
        common = dtypes.promote(*[array.dtype for array in arrays])
        wide = dtypes.accumulator(common)
        terms = [
            (array.astype(wide, copy=False), names)
            for array, names in zip(arrays, labels, strict=True)
        ]
        while len(terms) > 1:
            i, j = _cheapest(terms, out_labels)
            second, first = terms.pop(j), terms.pop(i)
            kept = {*out_labels}.union(*[names for _, names in terms])
            terms.append(contract(first, second, kept))
        found, names = terms[0]
        found = found.transpose([names.index(name) for name in out_labels])
        return found.astype(common, copy=False)

    def contract(first: Any, second: Any, kept: set[int]) -> tuple[Any, Labels]:
        """Return the product of two terms, summed over the labels that both have and none keeps."""
        (x, x_names), (y, y_names) = first, second
        shared = [name for name in x_names if name in y_names]
        batch = [name for name in shared if name in kept]
        summed = [name for name in shared if name not in kept]
        left = [name for name in x_names if name not in shared]
        right = [name for name in y_names if name not in shared]
        size = dict(zip(x_names, x.shape, strict=True)) | dict(zip(y_names, y.shape, strict=True))
        lengths = [math.prod([size[n] for n in names]) for names in (batch, left, summed, right)]
        x = x.transpose([x_names.index(name) for name in (*batch, *left, *summed)])
        y = y.transpose([y_names.index(name) for name in (*batch, *summed, *right)])
        b, m, s, n = lengths
        if not summed:
            out = x.reshape(b, m, 1) * y.reshape(b, 1, n)
        elif not batch:
            out = xp.dot(x.reshape(m, s), y.reshape(s, n))
        else:
            out = xp.matmul(x.reshape(b, m, s), y.reshape(b, s, n))
        names = (*batch, *left, *right)
        return out.reshape([size[name] for name in names]), names

    return {"matmul": matmul, "einsum": einsum}


def _cheapest(terms: Sequence[tuple[Any, Labels]], out_labels: Labels) -> tuple[int, int]:
    """Return the two terms whose product leaves the smallest array, by the fewest steps."""
    best, found = (math.inf, math.inf), (0, 1)
    if len(terms) == 2:
        return found
    size = {n: k for array, names in terms for n, k in zip(names, array.shape, strict=True)}
    for i in range(len(terms)):
        for j in range(i + 1, len(terms)):
            others = [names for k, (_, names) in enumerate(terms) if k not in (i, j)]
            kept = {*out_labels}.union(*others)
            both = {*terms[i][1], *terms[j][1]}
            after = math.prod([size[name] for name in both & kept])
            grown = after - terms[i][0].size - terms[j][0].size
            cost = (float(grown), float(math.prod([size[name] for name in both])))
            if cost < best:
                best, found = cost, (i, j)
    return found
