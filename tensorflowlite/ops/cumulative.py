"""Cumulative sums and products, and differences."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from .arguments import as_tensor, one_axis, public
from .casting import astype, clone
from .creation import zeros
from .declare import attr1
from .elementwise import not_equal
from .joining import concat
from .reducing import either_axis
from .shaping import _reshape


def _backwards(k: Any, x: Any, axis: int) -> Any:
    return k.getitem(x, (*(slice(None),) * axis, slice(None, None, -1)))


def _cumulative_sum_rule(k, g, axis):
    return _backwards(k, k.cumulative_sum(_backwards(k, g, axis), axis), axis)


def _cumulative_prod_rule(k, g, x, axis):
    """Double the reach of the products level by level, and go back the same way.

    Nothing is divided by an element, so zeros are right, and derivatives of any order.
    """
    lead = (slice(None),) * axis

    def part(array: Any, start: int | None, stop: int | None) -> Any:
        return k.getitem(array, (*lead, slice(start, stop)))

    levels, reach, length = [], 1, x.shape[axis]
    while reach < length:
        levels.append((x, reach))
        x = k.concat(part(x, 0, reach), part(x, reach, None) * part(x, 0, -reach), axis)
        reach *= 2
    for x, reach in levels[::-1]:
        late = part(g, reach, None)
        none = k.zeros_like(part(x, 0, reach))
        g = k.concat(part(g, 0, reach), late * part(x, 0, -reach), axis) + k.concat(
            late * part(x, reach, None), none, axis
        )
    return g


_cumulative_sum = attr1("cumulative_sum", "axis", _cumulative_sum_rule)
_cumulative_prod = attr1("cumulative_prod", "axis", _cumulative_prod_rule)


def _cumulative(name: str, run: Any, neutral: int, x: Any, axis: Any, dtype: Any,
                include_initial: bool, dim: Any) -> Tensor:  # fmt: skip
    x = as_tensor(x)
    axis = either_axis(name, axis, dim)
    if axis is None:
        if x.array.ndim != 1:
            raise ShapeError(f"{name}: axis is needed for more than one axis, got shape {x.shape}")
        axis = 0
    axis = one_axis(name, axis, x.array.ndim)
    if dtype is not None:
        x = astype(x, dtype, copy=False)
    out = run(x, axis)
    if dtype is not None:
        out = astype(out, dtype, copy=False)  # sums of small integers are int64
    if not include_initial:
        return out
    shape = out.array.shape
    first = zeros((*shape[:axis], 1, *shape[axis + 1 :]), dtype=out.dtype, device=out.device)
    return concat([first + neutral if neutral else first, out], axis)


def cumulative_sum(
    x: Any,
    /,
    axis: int | None = None,
    *,
    dtype: Any = None,
    include_initial: bool = False,
    dim: int | None = None,
) -> Tensor:
    """Sums of the elements up to each place along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape of at least one axis; float16 and bfloat16 are accumulated in float32.
    axis : int, optional
        May be left out where there is one axis only.
    dtype : dtype, optional
        The dtype to sum in; by default that of ``x``, int64 for bool and small integers.
    include_initial : bool
        Whether to start with the sum of no elements, 0: one place more along the axis.
    dim : int, optional
        PyTorch's name of ``axis``.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        There are several axes and none is named.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cumulative_sum(tfl.tensor([1.0, 2.0, 3.0]), include_initial=True)
    tensor([0., 1., 3., 6.])
    """
    return _cumulative(
        "cumulative_sum", _cumulative_sum, 0, x, axis, dtype, include_initial, dim
    )


def cumulative_prod(
    x: Any,
    /,
    axis: int | None = None,
    *,
    dtype: Any = None,
    include_initial: bool = False,
    dim: int | None = None,
) -> Tensor:
    """Products of the elements up to each place along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape of at least one axis; float16 and bfloat16 are accumulated in float32.
    axis : int, optional
        May be left out where there is one axis only.
    dtype : dtype, optional
        The dtype to work in; by default that of ``x``, int64 for bool and small integers.
    include_initial : bool
        Whether to start with the product of no elements, 1: one place more along the axis.
    dim : int, optional
        PyTorch's name of ``axis``.

    Returns
    -------
    Tensor
        The gradient is right also where elements are zero.

    Raises
    ------
    ShapeError
        There are several axes and none is named.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cumulative_prod(tfl.tensor([2.0, 2.0, 3.0]))
    tensor([ 2.,  4., 12.])
    """
    return _cumulative(
        "cumulative_prod", _cumulative_prod, 1, x, axis, dtype, include_initial, dim
    )


public("cumulative_sum", cumulative_sum, primitive=_cumulative_sum.primitive)
public("cumulative_prod", cumulative_prod, primitive=_cumulative_prod.primitive)


def cumsum(x: Any, /, axis: int | None = None, dtype: Any = None, *, dim: Any = None) -> Tensor:
    """Sums up to each place: `cumulative_sum`; without an axis of all elements in a row.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cumsum(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([ 1.,  3.,  6., 10.])
    """
    axis = either_axis("cumsum", axis, dim)
    x = as_tensor(x)
    return cumulative_sum(_reshape(x, (x.size,)) if axis is None else x, axis, dtype=dtype)


def cumprod(x: Any, /, axis: int | None = None, dtype: Any = None, *, dim: Any = None) -> Tensor:
    """Products up to each place: `cumulative_prod`; without an axis of all elements in a row.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cumprod(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([ 1.,  2.,  6., 24.])
    """
    axis = either_axis("cumprod", axis, dim)
    x = as_tensor(x)
    return cumulative_prod(_reshape(x, (x.size,)) if axis is None else x, axis, dtype=dtype)


public("cumsum", cumsum)
public("cumprod", cumprod)


def diff(
    x: Tensor,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Any = None,
    append: Any = None,
) -> Tensor:
    """Return the differences between neighbours along an axis.

    Parameters
    ----------
    x : Tensor
        At least one axis. Of booleans the result says where neighbours differ.
    axis : int
        The axis to go along.
    n : int
        How often to take differences.
    prepend, append : Tensor, optional
        What is joined to ``x`` along the axis first, before and after it.

    Returns
    -------
    Tensor
        Shorter by ``n`` along the axis.

    Raises
    ------
    ShapeError
        There is no such axis, or what is joined doesn't fit.
    ArgumentError
        ``n`` is negative.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.diff(tfl.tensor([1.0, 2.0, 4.0, 8.0]), n=2)
    tensor([1., 2.])
    """
    x = as_tensor(x)
    axis = one_axis("diff", axis, x.array.ndim)
    if n < 0:
        raise ArgumentError(f"diff: n must not be negative, got {n}")
    parts = [part for part in (prepend, x, append) if part is not None]
    x = concat(parts, axis) if len(parts) > 1 else clone(x) if n == 0 else x
    lead = (slice(None),) * axis
    for _ in range(n):
        late, early = x[(*lead, slice(1, None))], x[(*lead, slice(None, -1))]
        x = not_equal(late, early) if x.array.dtype.kind == "b" else late - early
    return x
