"""Counting: how often integers occur, and how many numbers fall into each bin."""

from __future__ import annotations

from typing import Any

from ..backend import INDEX, dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from . import elementwise as e
from .arguments import as_tensor, happens
from .casting import astype
from .creation import asarray, zeros
from .declare import attr1, general
from .indexing import _scatter_add
from .reduction import max as _max
from .reduction import min as _min
from .reduction import sum as _sum
from .shaping import _reshape

_bin_counts = attr1("bin_counts", "length", None)
_bin_edges = general("bin_edges", ("x",), None, "Edges of bins.", attributes=("bins", "limits"))
_digitize = general("digitize", ("x", "edges"), None, "Numbers of bins.", attributes=("right",))


def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Tensor:
    """Count how often each number occurs.

    Parameters
    ----------
    x : Tensor, shape (n,)
        Integers from 0 on.
    weights : Tensor, shape (n,), optional
        What is added up for each number, instead of ones. Gradients flow to them.
    minlength : int
        The least length of the result.

    Returns
    -------
    Tensor
        One longer than the greatest number; int64, or the dtype of float weights.

    Raises
    ------
    ArgumentError
        A number is negative.
    ShapeError
        There isn't one axis, or not a weight for each number.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.bincount(tfl.tensor([0, 1, 1, 3]))
    tensor([1, 2, 0, 1])
    """
    x = as_tensor(x)
    if x.dtype.kind not in "biu":
        raise DtypeError(f"bincount: x must hold integers, got {x.dtype}")
    if x.ndim != 1:
        raise ShapeError(f"bincount: x must have one axis, got shape {x.shape}")
    if minlength < 0:
        raise ArgumentError(f"bincount: minlength must not be negative, got {minlength}")
    length = minlength
    if x.size:
        least, greatest = int(_min(x)), int(_max(x))
        if least < 0:
            raise ArgumentError(f"bincount: x must not be negative, got {least}")
        length = max(length, greatest + 1)
    if weights is None:
        return _bin_counts(x, length) if x.size else _none(x, length, dtypes.int64)
    weights = as_tensor(weights)
    if weights.shape != x.shape:
        raise ShapeError(f"bincount: x and weights must be alike, got {x.shape}, {weights.shape}")
    return _weighed(x, weights, length)


def _none(x: Tensor, length: int, dtype: Any) -> Tensor:
    return zeros(length, dtype=dtype, device=x.device)


def _weighed(places: Tensor, weights: Tensor, length: int) -> Tensor:
    """Return the sums of the weights that go to each place."""
    if weights.dtype not in dtypes.inexact:
        weights = astype(weights, dtypes.float64)
    if not places.size:
        return _none(places, length, weights.dtype)
    return _scatter_add(weights, places, (INDEX,), (length,))


def histogram_bin_edges(
    x: Any, /, bins: Any = 10, range: Any = None, weights: Any = None
) -> Tensor:
    """Return the edges of the bins that `histogram` counts in.

    Parameters
    ----------
    x : Tensor
        Any shape.
    bins : int, str or Tensor
        How many of one width; a rule by which NumPy finds it (``"auto"``, ``"fd"``, ``"scott"``,
        ``"rice"``, ``"sturges"``, ``"sqrt"``, ``"doane"``, ``"stone"``); or the edges themselves.
    range : tuple of float, optional
        The first and the last edge; by default the least and the greatest number.
    weights : Tensor, optional
        For NumPy's sake: the edges don't depend on them.

    Returns
    -------
    Tensor
        One more than bins; of the dtype of a float ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.histogram_bin_edges(tfl.tensor([0.0, 1.0]), 2)
    tensor([0. , 0.5, 1. ])
    """
    x = as_tensor(x)
    if x.dtype.kind == "c":
        raise DtypeError(f"histogram: x must be real, got {x.dtype}")
    if (not isinstance(bins, str) and not hasattr(bins, "__index__")) or isinstance(bins, Tensor):
        edges = as_tensor(bins) if not isinstance(bins, list | tuple) else _edges(bins, x)
        if edges.ndim != 1:
            raise ShapeError(f"histogram: the edges must have one axis, got shape {edges.shape}")
        if edges.size > 1 and happens(e.less(edges[1:], edges[:-1])):
            raise ArgumentError("histogram: the edges must be in order, got some that fall")
        return edges
    if not isinstance(bins, str) and bins.__index__() < 1:
        raise ArgumentError(f"histogram: at least one bin is needed, got bins={bins}")
    limits = None
    if range is not None:
        limits = (float(range[0]), float(range[1]))
        if not limits[0] <= limits[1]:
            raise ArgumentError(f"histogram: range must be in order, got {range}")
    elif x.size and happens(e.logical_not(e.isfinite(x))):
        raise ArgumentError("histogram: x must be finite where no range is given, got inf or NaN")
    bins = bins if isinstance(bins, str) else bins.__index__()
    edges = _bin_edges(x, bins, limits)
    return astype(edges, x.dtype, copy=False) if x.dtype in dtypes.inexact else edges


def _edges(values: Any, x: Tensor) -> Tensor:
    return asarray(values, dtype=dtypes.float64, device=x.device)


def histogram(
    x: Any,
    /,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Tensor, Tensor]:
    """Count how many numbers fall into each bin.

    Parameters
    ----------
    x : Tensor
        Any shape.
    bins : int, str or Tensor
        As in `histogram_bin_edges`. A bin holds its first edge, the last one also its second.
    range : tuple of float, optional
        The first and the last edge; what lies outside isn't counted.
    density : bool, optional
        Whether to give the density, whose integral over the bins is 1.
    weights : Tensor, optional
        What each number counts, of the shape of ``x``. Gradients flow to them.

    Returns
    -------
    tuple of Tensor
        The counts (int64; of the dtype of float weights; of the edges' dtype for a density) and
        the edges.

    Raises
    ------
    ArgumentError
        The edges or the range aren't in order.
    ShapeError
        There isn't a weight for each number.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.histogram(tfl.tensor([0.0, 0.2, 1.0]), 2)
    (tensor([2, 1]), tensor([0. , 0.5, 1. ]))
    """
    x = as_tensor(x)
    edges = histogram_bin_edges(x, bins, range)
    count = edges.size - 1
    flat = _reshape(x, (x.size,)).detach()
    # Bin `count` takes what lies outside: it is counted too, and cut off.
    places = _digitize(flat, edges, False) - 1
    places = e.where(flat == edges[-1], count - 1, places)
    places = e.where(e.logical_or(places < 0, places > count), count, places)
    if weights is None:
        held = _bin_counts(places, count + 1) if x.size else _none(x, count + 1, dtypes.int64)
    else:
        weights = as_tensor(weights)
        if weights.shape != x.shape:
            raise ShapeError(
                f"histogram: x and weights must be alike, got {x.shape}, {weights.shape}"
            )
        held = _weighed(places, _reshape(weights, (x.size,)), count + 1)
    held = held[:count]
    if density:
        if held.dtype not in dtypes.inexact:
            held = astype(held, edges.dtype if edges.dtype in dtypes.inexact else dtypes.float64)
        held = held / (edges[1:] - edges[:-1]) / _sum(held)
    else:
        held = held.clone()
    return held, edges


def digitize(x: Any, bins: Any, right: bool = False) -> Tensor:
    """Return the number of the bin that each element falls into.

    Parameters
    ----------
    x : Tensor
        Any shape.
    bins : Tensor, shape (n,)
        The edges, rising or falling.
    right : bool
        Whether a bin holds its upper edge rather than its lower one.

    Returns
    -------
    Tensor
        int64 from 0 (before the first edge) to n.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.digitize(tfl.tensor([0.5, 2.0]), tfl.tensor([0.0, 1.0, 2.0]))
    tensor([1, 3])
    """
    x, bins = as_tensor(x), as_tensor(bins)
    if bins.ndim != 1:
        raise ShapeError(f"digitize: bins must have one axis, got shape {bins.shape}")
    return _digitize(x, bins, bool(right))


def bucketize(x: Any, boundaries: Any, *, right: bool = False) -> Tensor:
    """Return the number of the bucket that each element falls into, as PyTorch counts them.

    Parameters
    ----------
    x : Tensor
        Any shape.
    boundaries : Tensor, shape (n,)
        Rising.
    right : bool
        Whether a boundary belongs to the bucket after it: the opposite of `digitize`.

    Returns
    -------
    Tensor
        int64 from 0 to n.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.bucketize(tfl.tensor([0.5, 2.0]), tfl.tensor([0.0, 1.0, 2.0]))
    tensor([1, 2])
    """
    return digitize(x, boundaries, not right)
