"""Reductions that leave out NaN. Where all elements are NaN the result is, but for sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError
from . import cumulative, reduction
from . import elementwise as e
from .arguments import as_tensor, happens
from .casting import astype
from .reducing import either_axis

_RETURNS = """
    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        The axes to reduce; None means all.
    {more}keepdims : bool
        Leave the reduced axes in place with length 1.
    dim, keepdim
        PyTorch's names of ``axis`` and ``keepdims``.

    Returns
    -------
    Tensor
        {returns}

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.{name}(tfl.tensor([1.0, float("nan"), 3.0]))
    {result}
    """
_DTYPE = "dtype : dtype, optional\n        The dtype to work in.\n    "
_CORRECTION = """ddof : float
        What is subtracted from the number of elements in the divisor.
    correction : float, optional
        The standard's name of ``ddof``.
    """


def _doc(function: Any, what: str, result: str, returns: str, more: str = "") -> Any:
    text = _RETURNS.format(name=function.__name__, result=result, returns=returns, more=more)
    function.__doc__ = f"{what} of the elements that aren't NaN.\n{text}"
    return function


def _filled(x: Any, value: float) -> Tensor:
    """Return ``x`` with a number in place of NaN."""
    x = as_tensor(x)
    return e.where(e.isnan(x), value, x) if x.dtype in dtypes.inexact else x


def _count(x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    count = reduction.sum(e.logical_not(e.isnan(x)), axis, keepdims=keepdims)
    return astype(count, dtypes.real_of(x.dtype) if x.dtype not in dtypes.half else dtypes.float32)


def nansum(
    x: Any, /, axis: Any = None, *, dtype: Any = None, keepdims: bool = False,
    dim: Any = None, keepdim: bool = False,
) -> Tensor:  # fmt: skip
    return reduction.sum(
        _filled(x, 0.0), axis, dtype=dtype, keepdims=keepdims, dim=dim, keepdim=keepdim
    )


def nanprod(
    x: Any, /, axis: Any = None, *, dtype: Any = None, keepdims: bool = False,
    dim: Any = None, keepdim: bool = False,
) -> Tensor:  # fmt: skip
    return reduction.prod(
        _filled(x, 1.0), axis, dtype=dtype, keepdims=keepdims, dim=dim, keepdim=keepdim
    )


def nanmean(
    x: Any, /, axis: Any = None, *, dtype: Any = None, keepdims: bool = False,
    dim: Any = None, keepdim: bool = False,
) -> Tensor:  # fmt: skip
    x = as_tensor(x)
    x = x if dtype is None else astype(x, dtype, copy=False)
    axis, keepdims = either_axis("nanmean", axis, dim), keepdims or keepdim
    if x.dtype not in dtypes.inexact:
        return reduction.mean(x, axis, keepdims=keepdims)
    total = reduction.sum(_wide(_filled(x, 0.0)), axis, keepdims=keepdims)
    return astype(total / _count(x, axis, keepdims), x.dtype, copy=False)


def _wide(x: Tensor) -> Tensor:
    return astype(x, dtypes.accumulator(x.dtype), copy=False)


def _spread(name: str, x: Any, axis: Any, ddof: float, correction: float | None,
            keepdims: bool) -> Tensor:  # fmt: skip
    """Return the variance in the accumulator's dtype, NaN where too few elements are left."""
    x = _wide(as_tensor(x))
    if x.dtype not in dtypes.inexact:
        x = astype(x, dtypes.float64)
    given = e.isnan(x)
    apart = e.where(given, 0.0, x - nanmean(x, axis, keepdims=True))
    squares = e.real(apart * e.conj(apart)) if x.dtype.kind == "c" else apart * apart
    count = _count(x, axis, keepdims) - (ddof if correction is None else correction)
    total = reduction.sum(squares, axis, keepdims=keepdims)
    return total / e.where(count > 0, count, math.nan)


def nanvar(
    x: Any, /, axis: Any = None, *, ddof: float = 0, correction: float | None = None,
    keepdims: bool = False, dim: Any = None, keepdim: bool = False,
) -> Tensor:  # fmt: skip
    x = as_tensor(x)
    axis, keepdims = either_axis("nanvar", axis, dim), keepdims or keepdim
    out = _spread("nanvar", x, axis, ddof, correction, keepdims)
    return astype(out, x.dtype, copy=False) if x.dtype in dtypes.half else out


def nanstd(
    x: Any, /, axis: Any = None, *, ddof: float = 0, correction: float | None = None,
    keepdims: bool = False, dim: Any = None, keepdim: bool = False,
) -> Tensor:  # fmt: skip
    x = as_tensor(x)
    axis, keepdims = either_axis("nanstd", axis, dim), keepdims or keepdim
    out = e.sqrt(_spread("nanstd", x, axis, ddof, correction, keepdims))
    return astype(out, x.dtype, copy=False) if x.dtype in dtypes.half else out


def _extreme(run: Callable[..., Tensor], x: Any, axis: Any, keepdims: bool, fill: float) -> Tensor:
    x = as_tensor(x)
    out = run(_filled(x, fill), axis, keepdims=keepdims)
    if x.dtype not in dtypes.inexact:
        return out
    return e.where(reduction.all(e.isnan(x), axis, keepdims=keepdims), math.nan, out)


def nanmax(
    x: Any, /, axis: Any = None, *, keepdims: bool = False, dim: Any = None, keepdim: bool = False
) -> Tensor:
    axis = either_axis("nanmax", axis, dim)
    return _extreme(reduction.max, x, axis, keepdims or keepdim, -math.inf)


def nanmin(
    x: Any, /, axis: Any = None, *, keepdims: bool = False, dim: Any = None, keepdim: bool = False
) -> Tensor:
    axis = either_axis("nanmin", axis, dim)
    return _extreme(reduction.min, x, axis, keepdims or keepdim, math.inf)


def _place(name: str, run: Callable[..., Tensor], x: Any, axis: Any, keepdims: bool,
           fill: float) -> Tensor:  # fmt: skip
    x = as_tensor(x)
    if x.dtype in dtypes.inexact and happens(reduction.all(e.isnan(x), axis)):
        raise ArgumentError(f"{name}: some element must not be NaN, got only NaN along the axis")
    return run(_filled(x, fill), axis, keepdims=keepdims)


def nanargmax(
    x: Any, /, axis: Any = None, *, keepdims: bool = False, dim: Any = None, keepdim: bool = False
) -> Tensor:
    axis = either_axis("nanargmax", axis, dim)
    return _place("nanargmax", reduction.argmax, x, axis, keepdims or keepdim, -math.inf)


def nanargmin(
    x: Any, /, axis: Any = None, *, keepdims: bool = False, dim: Any = None, keepdim: bool = False
) -> Tensor:
    axis = either_axis("nanargmin", axis, dim)
    return _place("nanargmin", reduction.argmin, x, axis, keepdims or keepdim, math.inf)


def nancumsum(x: Any, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Sums up to each place, with 0 for NaN: `cumsum`.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int, optional
        None takes all elements in a row.
    dtype : dtype, optional
        The dtype to sum in.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.nancumsum(tfl.tensor([1.0, float("nan"), 3.0]))
    tensor([1., 1., 4.])
    """
    return cumulative.cumsum(_filled(x, 0.0), axis, dtype)


def nancumprod(x: Any, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Products up to each place, with 1 for NaN: `cumprod`.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int, optional
        None takes all elements in a row.
    dtype : dtype, optional
        The dtype to work in.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.nancumprod(tfl.tensor([2.0, float("nan"), 3.0]))
    tensor([2., 2., 6.])
    """
    return cumulative.cumprod(_filled(x, 1.0), axis, dtype)


_NAN = "NaN where all elements are."
_doc(nansum, "Sum", "tensor(4.)", "0 where all elements are NaN.", _DTYPE)
_doc(nanprod, "Product", "tensor(3.)", "1 where all elements are NaN.", _DTYPE)
_doc(nanmean, "Mean", "tensor(2.)", _NAN, _DTYPE)
_doc(nanvar, "Variance", "tensor(1.)", "NaN where too few elements are left.", _CORRECTION)
_doc(nanstd, "Standard deviation", "tensor(1.)", "NaN where too few elements are left.",
     _CORRECTION)  # fmt: skip
_doc(nanmax, "Maximum", "tensor(3.)", _NAN)
_doc(nanmin, "Minimum", "tensor(1.)", _NAN)
_doc(nanargmax, "Place of the maximum", "tensor(2)", "int64; only NaN along the axis raises.")
_doc(nanargmin, "Place of the minimum", "tensor(0)", "int64; only NaN along the axis raises.")
