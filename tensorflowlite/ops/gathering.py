"""Reading and writing by an index for each place, as PyTorch does.

What ends in ``_`` changes the tensor itself, recorded.
"""

from __future__ import annotations

from typing import Any

from ..backend import INDEX, dtypes
from ..core.entry import lift
from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from . import elementwise as e
from .arguments import as_tensor, one_axis
from .casting import clone_for
from .creation import arange, zeros_like
from .declare import attr1, general
from .indexing import _getitem, _place, _scatter_add, _scatter_along_axis, setitem, take
from .indexing import _take_along_axis as _take
from .mutating import add_
from .shaping import _reshape, broadcast_to

_ALL = slice(None)
# Indices from 0 on. On the CPU one out of range raises; a device can't be asked without waiting.
_index_within = attr1("index_within", "bounds", None)


def _extreme_rule(k, g, x, source, indices, out, x_shape, axis):
    """Equal extremes share the gradient."""
    mine = k.cast(x == out, g.dtype)
    theirs = k.cast(source == k.take_along_axis(out, indices, axis), g.dtype)
    share = g / (mine + k.scatter_along_axis(theirs, indices, axis, x_shape))
    return share * mine, k.take_along_axis(share, indices, axis) * theirs, None


_scatter_extreme = general(
    "scatter_extreme",
    ("x", "source", "indices"),
    _extreme_rule,
    "The extremes of ``x`` and of what ``source`` brings to each place along an axis.",
    attributes=("axis", "largest"),
    joint=True,
)


# -- arguments -------------------------------------------------------------------------------------
def _indices(name: str, indices: Any) -> Tensor:
    indices = as_tensor(indices)
    if indices.dtype.kind not in "iu":
        raise DtypeError(f"{name}: indices must be integers, got {indices.dtype}")
    return indices


def _line(name: str, x: Tensor, dim: int, index: Any) -> tuple[int, Tensor]:
    """Return an axis and a row of indices along it."""
    axis, index = one_axis(name, dim, x.ndim), _indices(name, index)
    if index.ndim != 1:
        raise ShapeError(f"{name}: index must have one axis, got shape {index.shape}")
    return axis, _index_within(index, (name, x.shape[axis]))


def _along(name: str, x: Tensor, dim: int, index: Any) -> tuple[int, Tensor]:
    """Return an axis and the indices along it, one for each place of a region of ``x``."""
    axis, index = one_axis(name, dim, max(x.ndim, 1)), _indices(name, index)
    if index.ndim != x.ndim:
        raise ShapeError(
            f"{name}: x and index must have as many axes, got {x.shape} and {index.shape}"
        )
    for i, (length, whole) in enumerate(zip(index.shape, x.shape, strict=True)):
        if i != axis and length > whole:
            raise ShapeError(
                f"{name}: index must not be longer than x but along axis {axis}, got "
                f"{index.shape} for {x.shape}"
            )
    return axis, index


def _region(x: Tensor, shape: tuple[int, ...], axis: int | None) -> Tensor:
    """Return the corner of ``x`` with the lengths of ``shape`` along all axes but one."""
    key = tuple([_ALL if i == axis else slice(0, n) for i, n in enumerate(shape)])
    whole = all(i == axis or x.shape[i] == n for i, n in enumerate(shape))
    return x if whole else _getitem(x, key)


def _source(name: str, source: Any, x: Tensor, index: Tensor) -> Tensor:
    """Return a source cut to the shape of the indices; a number for each of them."""
    source = lift(source, x)
    if source.ndim == 0:
        return broadcast_to(source, index.shape)
    if source.ndim != index.ndim or any(
        n > m for n, m in zip(index.shape, source.shape, strict=True)
    ):
        raise ShapeError(
            f"{name}: src must be at least as long as index along each axis, got {source.shape} "
            f"for {index.shape}"
        )
    return _region(source, index.shape, None)


def _key(x: Tensor, index: Tensor, axis: int) -> tuple[Tensor, ...]:
    """Return the key of the places that indices along an axis name."""
    key = []
    for i, length in enumerate(index.shape):
        if i == axis:
            key.append(index)
        else:
            shape = (1,) * i + (length,) + (1,) * (index.ndim - i - 1)
            key.append(_reshape(arange(length, device=x.device), shape))
    return tuple(key)


# -- PyTorch's -------------------------------------------------------------------------------------
def gather(x: Tensor, dim: int, index: Any) -> Tensor:
    """Return elements along an axis, by an index for each place of the result.

    Parameters
    ----------
    x : Tensor
        Any shape.
    dim : int
        The axis that the indices count along.
    index : Tensor
        Integers, of as many axes as ``x``; along the other axes not longer than ``x``. Unlike in
        `take_along_axis` nothing is broadcast: a shorter index reads the first places.

    Returns
    -------
    Tensor
        Of the shape of ``index``.

    Raises
    ------
    ShapeError
        The numbers of axes differ, or the index is longer than ``x``.
    OutOfRangeError
        An index lies outside the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.gather(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, tfl.tensor([[0, 0], [1, 0]]))
    tensor([[1., 1.],
            [4., 3.]])
    """
    x = as_tensor(x)
    axis, index = _along("gather", x, dim, index)
    if x.ndim == 0:
        return gather(_reshape(x, (1,)), 0, _reshape(index, (1,)))[0]
    index = _index_within(index, ("gather", x.shape[axis]))
    return _take(_region(x, index.shape, axis), index, axis)


def scatter_(x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """Write ``src`` at indices along an axis, into the tensor itself: `scatter`; returns it."""
    axis, index = _along("scatter_", x, dim, index)
    if x.ndim == 0:
        raise ShapeError("scatter_: at least one axis is needed, got shape ()")
    source = _source("scatter_", src, x, index)
    if index.size:
        index = _index_within(index, ("scatter_", x.shape[axis]))
        setitem(x, _key(x, index, axis), source)
    return x


def scatter(x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """Return a copy with ``src`` written at indices along an axis.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    dim : int
        The axis that the indices count along.
    index : Tensor
        Integers, of as many axes as ``x``, not longer than ``x`` along the others. Where two
        name one place the last is written.
    src : Tensor or number
        At least as long as ``index`` along each axis; what lies beyond isn't used.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        The shapes don't fit.
    OutOfRangeError
        An index lies outside the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.scatter(tfl.zeros(3), 0, tfl.tensor([2, 0]), tfl.tensor([1.0, 2.0]))
    tensor([2., 0., 1.])
    """
    return scatter_(clone_for(x, index, src), dim, index, src)


def _added(name: str, x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """Return zeros like ``x`` with ``src`` added at indices along an axis."""
    axis, index = _along(name, x, dim, index)
    if x.ndim == 0:
        return _reshape(_added(name, _reshape(x, (1,)), 0, _reshape(index, (1,)), src), ())
    source = _source(name, src, x, index)
    index = _index_within(index, (name, x.shape[axis]))
    shape = tuple([x.shape[i] if i == axis else n for i, n in enumerate(index.shape)])
    out = _scatter_along_axis(source, index, axis, shape)
    return out if shape == x.shape else _place(out, tuple([slice(0, n) for n in shape]), x.shape)


def scatter_add(x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """Return ``x`` with ``src`` added at indices along an axis; the same at each run.

    Parameters
    ----------
    x : Tensor
        Any shape.
    dim : int
        The axis that the indices count along.
    index : Tensor
        Integers, of as many axes as ``x``, not longer than ``x`` along the others. A place that
        is named twice receives both.
    src : Tensor or number
        At least as long as ``index`` along each axis; what lies beyond isn't used.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        The shapes don't fit.
    OutOfRangeError
        An index lies outside the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.scatter_add(tfl.zeros(3), 0, tfl.tensor([2, 2]), tfl.tensor([1.0, 2.0]))
    tensor([0., 0., 3.])
    """
    x = as_tensor(x)
    return x + _added("scatter_add", x, dim, index, src)


def scatter_add_(x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """Add ``src`` at indices along an axis, into the tensor itself: `scatter_add`; returns it."""
    return add_(x, _added("scatter_add_", x, dim, index, src))


def scatter_reduce(
    x: Tensor, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Return ``x`` with what ``src`` brings to each place along an axis taken together.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    dim : int
        The axis that the indices count along.
    index : Tensor
        As in `scatter_add`.
    src : Tensor or number
        As in `scatter_add`.
    reduce : str
        ``"sum"``, ``"mean"``, ``"amax"`` or ``"amin"``; equal extremes share the gradient.
    include_self : bool
        Whether the elements of ``x`` take part where something is brought.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        ``reduce`` is another word.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> index, src = tfl.tensor([0, 0]), tfl.tensor([1.0, 5.0])
    >>> tfl.scatter_reduce(tfl.ones(2), 0, index, src, "amax")
    tensor([5., 1.])
    """
    if reduce not in ("sum", "mean", "amax", "amin"):
        raise ArgumentError(
            f"scatter_reduce: reduce must be 'sum', 'mean', 'amax' or 'amin', got {reduce!r}"
        )
    x, name = as_tensor(x), "scatter_reduce"
    axis, index = _along(name, x, dim, index)
    source = _source(name, src, x, index)
    count = _added(name, zeros_like(x), axis, index, 1)
    if not include_self:
        neutral = 0 if reduce in ("sum", "mean") else _least(x.dtype, reduce == "amax")
        x = e.where(count > 0, neutral, x)
    if reduce == "sum":
        return x + _added(name, x, axis, index, source)
    if reduce == "mean":
        total = x + _added(name, x, axis, index, source)
        divisor = count + 1 if include_self else e.where(count == 0, 1, count)
        return e.floor_divide(total, divisor) if x.dtype.kind in "iu" else total / divisor
    region = _region(x, index.shape, axis)
    index = _index_within(index, (name, x.shape[axis]))
    found = _scatter_extreme(region, source, index, axis, reduce == "amax")
    if found.shape == x.shape:
        return found
    out = clone_for(x, found)
    setitem(out, tuple([slice(0, n) for n in found.shape]), found)
    return out


def _least(dtype: Any, least: bool) -> float:
    """Return what any number of a dtype is greater (or less) than, or as great as."""
    if dtype.kind in "iu":
        limits = dtypes.integer_limits(dtype)
        return int(limits.min if least else limits.max)
    return float("-inf") if least else float("inf")


def index_add(x: Tensor, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Tensor:
    """Return ``x`` with slices added at indices along an axis; the same at each run.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    dim : int
        The axis.
    index : Tensor, shape (n,)
        Integers; a place that is named twice receives both.
    source : Tensor
        Of the shape of ``x``, but of length n along the axis.
    alpha : number
        What the source is multiplied by.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        The shapes don't fit.
    OutOfRangeError
        An index lies outside the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.index_add(tfl.zeros(3), 0, tfl.tensor([0, 0]), tfl.tensor([1.0, 2.0]))
    tensor([3., 0., 0.])
    """
    x = as_tensor(x)
    return x + _slices_added("index_add", x, dim, index, source, alpha)


def index_add_(x: Tensor, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Tensor:
    """Add slices at indices along an axis, into the tensor itself: `index_add`; returns it."""
    return add_(x, _slices_added("index_add_", x, dim, index, source, alpha))


def _slices_added(name: str, x: Tensor, dim: int, index: Any, source: Any, alpha: Any) -> Tensor:
    axis, index = _line(name, x, dim, index)
    source = lift(source, x)
    wanted = (*x.shape[:axis], index.size, *x.shape[axis + 1 :])
    if source.shape != wanted:
        raise ShapeError(f"{name}: source must have the shape {wanted}, got {source.shape}")
    template = (*(_ALL,) * axis, INDEX)
    out = _scatter_add(source, index, template, x.shape)
    return out if type(alpha) is int and alpha == 1 else out * alpha


def index_fill_(x: Tensor, dim: int, index: Any, value: Any) -> Tensor:
    """Write one number at indices along an axis, into the tensor: `index_fill`; returns it."""
    axis, index = _line("index_fill_", x, dim, index)
    setitem(x, (*(_ALL,) * axis, index), value)
    return x


def index_fill(x: Tensor, dim: int, index: Any, value: Any) -> Tensor:
    """Return a copy with one number at indices along an axis.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    dim : int
        The axis.
    index : Tensor, shape (n,)
        Integers.
    value : number or Tensor without axes
        What to write.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.index_fill(tfl.ones(3), 0, tfl.tensor([0, 2]), 5)
    tensor([5., 1., 5.])
    """
    return index_fill_(clone_for(x, index, value), dim, index, value)


def index_copy_(x: Tensor, dim: int, index: Any, source: Any) -> Tensor:
    """Write slices at indices along an axis, into the tensor itself: `index_copy`; returns it."""
    axis, index = _line("index_copy_", x, dim, index)
    setitem(x, (*(_ALL,) * axis, index), source)
    return x


def index_copy(x: Tensor, dim: int, index: Any, source: Any) -> Tensor:
    """Return a copy with slices written at indices along an axis.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    dim : int
        The axis.
    index : Tensor, shape (n,)
        Integers.
    source : Tensor
        Of the shape of ``x``, but of length n along the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.index_copy(tfl.zeros(3), 0, tfl.tensor([2, 0]), tfl.tensor([1.0, 2.0]))
    tensor([2., 0., 1.])
    """
    return index_copy_(clone_for(x, index, source), dim, index, source)


def index_select(x: Tensor, dim: int, index: Any) -> Tensor:
    """Return the slices at ``index`` along an axis: `take`.

    Parameters
    ----------
    x : Tensor
        Any shape.
    dim : int
        The axis.
    index : Tensor
        Integers.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.index_select(tfl.tensor([1.0, 2.0, 3.0]), 0, tfl.tensor([2, 0]))
    tensor([3., 1.])
    """
    return take(x, index, axis=dim)


def take_along_dim(x: Tensor, indices: Any, dim: int | None = None) -> Tensor:
    """Return elements along an axis, by an index for each place: `take_along_axis`.

    Parameters
    ----------
    x : Tensor
        Any shape.
    indices : Tensor
        Integers; the other axes broadcast.
    dim : int, optional
        The axis; None takes all elements in a row.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.take_along_dim(tfl.tensor([3.0, 1.0]), tfl.tensor([1, 0]), 0)
    tensor([1., 3.])
    """
    x, indices = as_tensor(x), _indices("take_along_dim", indices)
    if dim is None:
        x, indices, dim = _reshape(x, (x.size,)), _reshape(indices, (indices.size,)), 0
    return traced.take_along_axis(x, indices, one_axis("take_along_dim", dim, x.ndim))
