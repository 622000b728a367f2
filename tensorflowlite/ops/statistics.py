"""Averages, covariances, running extremes and running sums of exponentials."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..backend import dtypes
from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from . import elementwise as e
from . import reduction
from .arguments import as_tensor, one_axis, several_axes
from .casting import astype, clone
from .creation import asarray
from .declare import attr1
from .indexing import _getitem
from .indexing import _take_along_axis as _take
from .joining import concat
from .matrix import matmul
from .reducing import either_axis
from .shaping import _reshape, broadcast_to, matrix_transpose

_ALL = slice(None)
_running_places = attr1("running_places", "along", None)


class Running(NamedTuple):
    """What `cummax` and `cummin` return: the extremes, and where they stand along the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cummax(tfl.tensor([1.0, 3.0, 2.0]), 0).values
    tensor([1., 3., 3.])
    """

    values: Tensor
    indices: Tensor


def _inexact(x: Any) -> Tensor:
    x = x if type(x) is Tensor else asarray(x) if isinstance(x, list | tuple) else as_tensor(x)
    return x if x.dtype in dtypes.inexact else astype(x, dtypes.float64)


def _part(x: Tensor, axis: int, start: int | None, stop: int | None) -> Tensor:
    return _getitem(x, (*(_ALL,) * axis, slice(start, stop)))


# -- averages and covariances ----------------------------------------------------------------------
def average(
    x: Any, /, axis: Any = None, weights: Any = None, returned: bool = False, *,
    keepdims: bool = False,
) -> Any:  # fmt: skip
    """Weighted mean of the elements.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        The axes to reduce; None means all.
    weights : Tensor, optional
        Of the shape of ``x``, or of its lengths along ``axis``; by default all are equal.
    returned : bool
        Whether to return the sum of the weights, too.
    keepdims : bool
        Leave the reduced axes in place with length 1.

    Returns
    -------
    Tensor, or tuple of two
        The mean; with ``returned`` also the sum of the weights.

    Raises
    ------
    ShapeError
        The weights have another shape.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.average(tfl.tensor([1.0, 2.0]), weights=tfl.tensor([3.0, 1.0]))
    tensor(1.25)
    """
    x = _inexact(x)
    if weights is None:
        mean = reduction.mean(x, axis, keepdims=keepdims)
        count = x.size / max(mean.size, 1)
        return (mean, traced.zeros_like(mean) + count) if returned else mean
    weights = asarray(weights, device=x.device) if not isinstance(weights, Tensor) else weights
    if weights.shape != x.shape:
        axes = () if axis is None else several_axes("average", axis, x.ndim)
        if weights.shape != tuple([x.shape[i] for i in axes]) or not axes:
            raise ShapeError(
                "average: weights must have the shape of x, or its lengths along axis, got "
                f"{weights.shape} for {x.shape} and axis {axis}"
            )
        order = sorted(range(len(axes)), key=lambda i: axes[i])
        weights = _reshape(
            traced.permute_dims(weights, tuple(order)),
            tuple([n if i in axes else 1 for i, n in enumerate(x.shape)]),
        )
    weights = broadcast_to(weights, x.shape)
    total = reduction.sum(weights, axis, keepdims=keepdims)
    mean = reduction.sum(x * weights, axis, keepdims=keepdims) / total
    return (mean, astype(total, mean.dtype)) if returned else mean


def ptp(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """The distance from the least to the greatest element.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        The axes to reduce; None means all.
    keepdims : bool
        Leave the reduced axes in place with length 1.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ptp(tfl.tensor([3.0, 1.0, 5.0]))
    tensor(4.)
    """
    greatest = reduction.max(x, axis, keepdims=keepdims)
    return greatest - reduction.min(x, axis, keepdims=keepdims)


def cov(
    m: Any,
    /,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: float | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    correction: float | None = None,
) -> Tensor:
    """Covariance matrix of variables.

    Parameters
    ----------
    m : Tensor, shape (variables, observations) or (observations,)
        One or two axes.
    y : Tensor, optional
        More variables.
    rowvar : bool
        Whether variables are rows; False: columns.
    bias : bool
        Divide by the number of observations rather than by one less.
    ddof : float, optional
        What is subtracted from the number of observations; overrides ``bias``.
    fweights, aweights : Tensor, shape (observations,), optional
        How often each was made (integers), and how much each counts.
    correction : float, optional
        PyTorch's name of ``ddof``.

    Returns
    -------
    Tensor, shape (variables, variables)
        Without axes for one variable.

    Raises
    ------
    ShapeError
        There are more than two axes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cov(tfl.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    ddof = correction if ddof is None else ddof
    if ddof is None:
        ddof = 0 if bias else 1
    x = _variables(m, rowvar)
    if y is not None:
        x = concat([x, _variables(y, rowvar)], 0)
    weights: Any = None
    for given in (fweights, aweights):
        if given is not None:
            given = _inexact(given)
            if given.shape != x.shape[1:]:
                raise ShapeError(f"cov: a weight for each observation is needed, got {given.shape}")
            weights = given if weights is None else weights * given
    if weights is None:
        factor: Any = x.shape[1] - ddof
        apart = x - reduction.mean(x, 1, keepdims=True)
        other = apart
    else:
        weights = astype(weights, dtypes.real_of(x.dtype))
        total = reduction.sum(weights)
        apart = x - reduction.sum(x * weights, 1, keepdims=True) / total
        other = apart * weights
        factor = total
        if ddof:
            spread = (
                1.0 if aweights is None else reduction.sum(weights * _inexact(aweights)) / total
            )
            factor = total - ddof * spread
    if not isinstance(factor, Tensor):
        factor = max(factor, 0) or math.nan
    out = matmul(apart, e.conj(matrix_transpose(other))) / factor
    out = astype(out, x.dtype, copy=False)
    return _reshape(out, ()) if out.size == 1 else out


def _variables(m: Any, rowvar: bool) -> Tensor:
    x = _inexact(m)
    if x.ndim > 2:
        raise ShapeError(f"cov: at most two axes are expected, got shape {x.shape}")
    if x.ndim < 2:
        return _reshape(x, (1, x.size))
    return x if rowvar else matrix_transpose(x)


def corrcoef(m: Any, /, y: Any = None, rowvar: bool = True) -> Tensor:
    """Correlation coefficients of variables.

    Parameters
    ----------
    m, y, rowvar
        As in `cov`.

    Returns
    -------
    Tensor, shape (variables, variables)
        In [-1, 1]; without axes for one variable.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.corrcoef(tfl.tensor([[0.0, 1.0, 2.0], [4.0, 2.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    out = cov(m, y, rowvar)
    if out.ndim == 0:
        return out / out
    spread = e.sqrt(e.real(traced.diagonal(out, (0, 0, 1))))
    out = out / _reshape(spread, (spread.size, 1)) / spread
    return out if out.dtype.kind == "c" else e.clip(out, -1, 1)


# -- running extremes and sums ---------------------------------------------------------------------
def _running(name: str, x: Any, dim: Any, axis: Any, largest: bool) -> Running:
    x = as_tensor(x)
    at = either_axis(name, axis, dim)
    if at is None:
        raise ArgumentError(f"{name}: an axis is needed, got none")
    places = _running_places(x, (one_axis(name, at, x.ndim), largest))
    return Running(_take(x, places, one_axis(name, at, x.ndim)), places)


def cummax(x: Any, /, dim: int | None = None, *, axis: int | None = None) -> Running:
    """The greatest element up to each place along an axis, and its place.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    dim, axis : int
        The axis.

    Returns
    -------
    Running
        A pair ``(values, indices)``; of equal elements, and of NaN, the last.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> values, indices = tfl.cummax(tfl.tensor([1.0, 3.0, 2.0]), 0)
    >>> values, indices
    (tensor([1., 3., 3.]), tensor([0, 1, 1]))
    """
    return _running("cummax", x, dim, axis, True)


def cummin(x: Any, /, dim: int | None = None, *, axis: int | None = None) -> Running:
    """The least element up to each place along an axis, and its place.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    dim, axis : int
        The axis.

    Returns
    -------
    Running
        A pair ``(values, indices)``; of equal elements, and of NaN, the last.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cummin(tfl.tensor([3.0, 1.0, 2.0]), 0).values
    tensor([3., 1., 1.])
    """
    return _running("cummin", x, dim, axis, False)


def logcumsumexp(x: Any, /, dim: int | None = None, *, axis: int | None = None) -> Tensor:
    """Logarithms of the sums of exponentials up to each place, without overflow.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    dim, axis : int
        The axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.logcumsumexp(tfl.tensor([0.0, 0.0]), 0)
    tensor([0.       , 0.6931472])
    """
    x = _inexact(x)
    at = either_axis("logcumsumexp", axis, dim)
    if at is None:
        raise ArgumentError("logcumsumexp: an axis is needed, got none")
    at = one_axis("logcumsumexp", at, x.ndim)
    kind, x = x.dtype, astype(x, dtypes.accumulator(x.dtype), copy=False)
    reach, length = 1, x.shape[at]
    if length < 2:
        return clone(astype(x, kind, copy=False))
    while reach < length:  # each place takes in what ends `reach` places before it
        late = e.logaddexp(_part(x, at, reach, None), _part(x, at, 0, length - reach))
        x = concat([_part(x, at, 0, reach), late], at)
        reach *= 2
    return astype(x, kind, copy=False)
