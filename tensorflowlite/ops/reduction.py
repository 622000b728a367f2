"""Reductions: sums, means, products, spread, extremes, logic."""

from __future__ import annotations

import math
from typing import Any

from ..backend import Kept, dtypes
from ..core.tensor import Tensor
from .arguments import as_tensor as as_tensor
from .arguments import public
from .casting import astype
from .reducing import (
    Axis,
    either_axis,
    extreme,
    kept_shape,
    place_of_extreme,
    reduction,
    reduction_doc,
    spread_of,
    summing,
)
from .reducing import normalize_axes as normalize_axes

# -- sums, means, products -------------------------------------------------------------------------
sum = summing(
    "sum",
    lambda k, g, x_shape: k.broadcast_to(g, x_shape),
    reduction_doc(
        "Sum of the elements",
        "tfl.sum(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)",
        "tensor([4., 6.])",
        dtype="The dtype to sum in; by default that of ``x``, int64 for bool and small integers.",
    ),
)


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod([shape[axis] for axis in axes])


def _mean_rule(k, g, x_shape, axis):  # type: ignore[no-untyped-def]
    count = _count(x_shape, axis) or 1
    if count > 65504 and g.dtype == dtypes.float16:  # which knows no larger number: g would be 0
        share = k.cast(k.cast(g, dtypes.float32) / count, g.dtype)
    else:
        share = g / count
    return k.broadcast_to(share, x_shape)


mean = summing(
    "mean",
    _mean_rule,
    reduction_doc(
        "Mean of the elements",
        "tfl.mean(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)",
        "tensor([2., 3.])",
        dtype="The dtype to work in; by default that of ``x``, float64 for bool and integers.",
        returns="NaN where there are no elements.",
    ),
)


def _prod_rule(k, g, x, axis):  # type: ignore[no-untyped-def]
    """Multiply each element's others along a tree: right with zeros, and of any order.

    Neighbours are multiplied until one is left; on the way back each gets the other's product.
    """
    shape = x.shape
    if 0 in shape:
        return k.broadcast_to(g, shape)
    stay = tuple([i for i in range(len(shape)) if i not in axis])
    order = (*stay, *axis)
    lengths = tuple([shape[i] for i in stay])
    x = k.reshape(k.permute_dims(x, order), (*lengths, _count(shape, axis)))
    g = k.reshape(k.permute_dims(g, order), (*lengths, 1))
    levels = []
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        left, right = _last(k, x, 0, half), _last(k, x, half, 2 * half)
        levels.append((left, right))
        x = k.concat(left * right, _last(k, x, 2 * half, x.shape[-1]), len(stay))
    for left, right in levels[::-1]:
        half = left.shape[-1]
        pair, rest = _last(k, g, 0, half), _last(k, g, half, g.shape[-1])
        g = k.concat(pair * right, pair * left, rest, len(stay))
    back = [0] * len(order)
    for position, one in enumerate(order):
        back[one] = position
    return k.permute_dims(k.reshape(g, tuple([shape[i] for i in order])), tuple(back))


def _last(k: Any, x: Any, start: int, stop: int) -> Any:
    return k.getitem(x, (..., slice(start, stop)))


prod = summing(
    "prod",
    _prod_rule,
    reduction_doc(
        "Product of the elements",
        "tfl.prod(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)",
        "tensor([3., 8.])",
        dtype="The dtype to work in; by default that of ``x``, int64 for bool and small integers.",
        note="The gradient is right also where elements are zero.",
    ),
)


# -- spread ----------------------------------------------------------------------------------------
def _apart(k: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Return how far the elements are from their mean; halves are subtracted in float32."""
    wide = dtypes.accumulator(x.dtype)
    if wide == x.dtype:
        found = x - k.mean(x, Kept(axes))
        return k.conj(found) if wide.kind == "c" else found
    wider = k.cast(x, wide)
    return k.cast(wider - k.mean(wider, Kept(axes)), x.dtype)


def _over(k: Any, value: Any, shape: tuple[int, ...], spread: Any) -> tuple[Any, float]:
    """Return a value of the output's shape with the axes kept, and what was divided by."""
    axes, correction = spread
    if type(axes) is not Kept:
        value = k.reshape(value, kept_shape(shape, axes))
    freedom = _count(shape, axes) - correction
    return value, freedom if freedom > 0 else math.nan


def _var_rule(k, g, x, spread):  # type: ignore[no-untyped-def]
    g, freedom = _over(k, g, x.shape, spread)
    return g * _apart(k, x, spread[0]) * (2 / freedom)


def _std_rule(k, g, x, out, spread):  # type: ignore[no-untyped-def]
    g, freedom = _over(k, g, x.shape, spread)
    out, _ = _over(k, out, x.shape, spread)
    return g / out * _apart(k, x, spread[0]) * (1 / freedom)


_CORRECTION = "What is taken off n in the divisor: 0 divides by n, 1 by n - 1."
var = spread_of(
    "var",
    _var_rule,
    reduction_doc(
        "Variance of the elements",
        "tfl.var(tfl.tensor([1.0, 2.0, 3.0, 4.0]))",
        "tensor(1.25)",
        correction=_CORRECTION,
        torch=False,
        note="It takes two passes, so that a large mean costs no digits.",
    ),
)
std = spread_of(
    "std",
    _std_rule,
    reduction_doc(
        "Standard deviation of the elements",
        "tfl.std(tfl.tensor([1.0, 1.0, 3.0, 3.0]))",
        "tensor(1.)",
        correction=_CORRECTION,
        torch=False,
        note="Where all elements are equal the gradient is NaN.",
    ),
)

# -- extremes --------------------------------------------------------------------------------------
def _extreme_rule(k, g, x, out, axis):  # type: ignore[no-untyped-def]
    dtype, wide = g.dtype, dtypes.accumulator(g.dtype)
    wins = k.cast((x == out) | (x != x), wide)
    if wide == dtype:
        return wins * (g / k.sum(wins, axis))
    return k.cast(wins * (k.cast(g, wide) / k.sum(wins, axis)), dtype)


_TIES = "Elements that tie share the gradient equally."
max = extreme(
    "max",
    _extreme_rule,
    "maximum",
    reduction_doc(
        "Greatest element",
        "tfl.max(tfl.tensor([[1.0, 4.0], [3.0, 2.0]]), axis=1)",
        "tensor([4., 3.])",
        empty="A reduced axis is empty.",
        note=_TIES,
        torch=False,
    ),
)
min = extreme(
    "min",
    _extreme_rule,
    "minimum",
    reduction_doc(
        "Least element",
        "tfl.min(tfl.tensor([[1.0, 4.0], [3.0, 2.0]]), axis=1)",
        "tensor([1., 2.])",
        empty="A reduced axis is empty.",
        note=_TIES,
        torch=False,
    ),
)
argmax = place_of_extreme(
    "argmax",
    reduction_doc(
        "Index of the greatest element (the first of those that tie)",
        "tfl.argmax(tfl.tensor([[1.0, 4.0], [3.0, 2.0]]), axis=1)",
        "tensor([1, 0])",
        axis="The axis to search; None searches the flattened elements.",
        empty="What is searched is empty.",
    ),
)
argmin = place_of_extreme(
    "argmin",
    reduction_doc(
        "Index of the least element (the first of those that tie)",
        "tfl.argmin(tfl.tensor([[1.0, 4.0], [3.0, 2.0]]), axis=1)",
        "tensor([0, 1])",
        axis="The axis to search; None searches the flattened elements.",
        empty="What is searched is empty.",
    ),
)

# -- logic -----------------------------------------------------------------------------------------
any = reduction(
    "any",
    None,
    reduction_doc(
        "Whether an element is true (not zero)",
        "tfl.any(tfl.tensor([[True, False], [False, False]]), axis=1)",
        "tensor([ True, False])",
    ),
)
all = reduction(
    "all",
    None,
    reduction_doc(
        "Whether all elements are true (not zero)",
        "tfl.all(tfl.tensor([[True, False], [True, True]]), axis=1)",
        "tensor([False,  True])",
    ),
)
count_nonzero = reduction(
    "count_nonzero",
    None,
    reduction_doc(
        "Number of the elements that aren't zero",
        "tfl.count_nonzero(tfl.tensor([[1.0, 0.0], [3.0, 4.0]]), axis=1)",
        "tensor([1, 2])",
    ),
)


# -- logsumexp -------------------------------------------------------------------------------------
def _logsumexp_rule(k, g, x, out):  # type: ignore[no-untyped-def]
    nothing = out == -math.inf  # of nothing but -inf: no share, instead of inf - inf
    return g * k.exp(x - k.where(nothing, k.zeros_like(out), out))


_logsumexp = reduction("logsumexp", _logsumexp_rule, "")


def logsumexp(
    x: Any,
    /,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    dim: Axis = None,
    keepdim: bool = False,
) -> Tensor:
    x = as_tensor(x)
    if x.array.dtype.kind in "biu":
        x = astype(x, dtypes.float64)
    axis = either_axis("logsumexp", axis, dim)
    return _logsumexp(x, axis, keepdims=keepdims or keepdim)


logsumexp.__doc__ = reduction_doc(
    "Logarithm of the sum of the exponentials, without overflow",
    "tfl.logsumexp(tfl.tensor([1000.0, 1000.0]))",
    "tensor(1000.6932)",
    returns="Of float64 where ``x`` holds integers; -inf where there are no elements.",
)
public("logsumexp", logsumexp, primitive=_logsumexp.primitive)  # type: ignore[attr-defined]
