"""Sorting. NaN counts as greater than any number; equal elements keep their order."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from .arguments import as_tensor, one_axis, public
from .declare import attr1
from .indexing import _getitem, take_along_axis
from .reducing import refuse


class TopK(NamedTuple):
    """What `topk` returns: the elements, and where they stand along the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> found = tfl.topk(tfl.tensor([3.0, 1.0, 2.0]), 2)
    >>> found.values, found.indices
    (tensor([3., 2.]), tensor([0, 2]))
    """

    values: Tensor
    indices: Tensor


# The gradient goes back to where the elements came from, which is found again by sorting.
_sort = attr1(
    "sort",
    "order",
    lambda k, g, x, order: k.scatter_along_axis(g, k.argsort(x, order), order[0], x.shape),
)
_argsort = attr1("argsort", "order", None)


def sort(
    x: Any,
    /,
    axis: int = -1,
    *,
    descending: bool = False,
    stable: bool = True,
    **spelling: Any,
) -> Tensor:
    """The elements in order along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape of at least one axis.
    axis : int
        The axis to sort along.
    descending : bool
        Whether the greatest comes first.
    stable : bool
        Equal elements keep their order in any case.

    Returns
    -------
    Tensor
        A sorted copy; `argsort` gives the indices.

    Raises
    ------
    ShapeError
        There is no such axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.sort(tfl.tensor([2.0, 3.0, 1.0]), descending=True)
    tensor([3., 2., 1.])
    """
    if spelling:
        refuse("sort", spelling, "axis= for the values and argsort(axis=) for the indices")
    x = as_tensor(x)
    return _sort(x, (one_axis("sort", axis, x.array.ndim), bool(descending)))


def argsort(
    x: Any,
    /,
    axis: int = -1,
    *,
    descending: bool = False,
    stable: bool = True,
    dim: int | None = None,
) -> Tensor:
    """The indices that put the elements in order along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape of at least one axis.
    axis : int
        The axis to sort along.
    descending : bool
        Whether the greatest comes first.
    stable : bool
        Equal elements keep their order in any case.
    dim : int, optional
        PyTorch's name of ``axis``.

    Returns
    -------
    Tensor
        Of int64.

    Raises
    ------
    ShapeError
        There is no such axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.argsort(tfl.tensor([2.0, 3.0, 1.0]))
    tensor([2, 0, 1])
    """
    x = as_tensor(x)
    axis = one_axis("argsort", axis if dim is None else dim, x.array.ndim)
    return _argsort(x, (axis, bool(descending)))


def topk(
    x: Any,
    k: int,
    /,
    axis: int = -1,
    *,
    largest: bool = True,
    sorted: bool = True,
    dim: int | None = None,
) -> TopK:
    """The ``k`` greatest (or least) elements along an axis, the most extreme first.

    Parameters
    ----------
    x : Tensor
        Any shape of at least one axis.
    k : int
        How many; at most the length of the axis.
    axis : int
        The axis to search.
    largest : bool
        Whether the greatest are wanted, or the least.
    sorted : bool
        They are in order in any case.
    dim : int, optional
        PyTorch's name of ``axis``.

    Returns
    -------
    TopK
        A pair ``(values, indices)``; of equal elements the first ones. Gradients flow through
        the values.

    Raises
    ------
    ShapeError
        The axis is shorter than ``k``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> values, indices = tfl.topk(tfl.tensor([2.0, 3.0, 1.0]), 2)
    >>> values, indices
    (tensor([3., 2.]), tensor([1, 0]))
    """
    x = as_tensor(x)
    axis = one_axis("topk", axis if dim is None else dim, x.array.ndim)
    if not hasattr(k, "__index__"):
        raise DtypeError(f"topk: k must be an integer, got {k!r}")
    k = k.__index__()
    if k < 0:
        raise ArgumentError(f"topk: k must not be negative, got {k}")
    if k > x.array.shape[axis]:
        raise ShapeError(
            f"topk: k must be at most the length of the axis, got k={k} of shape {x.shape} along "
            f"axis {axis}"
        )
    order = _argsort(x, (axis, bool(largest)))
    first = _getitem(order, (*(slice(None),) * axis, slice(0, k)))
    return TopK(take_along_axis(x, first, axis), first)


for _name, _function, _op in (("sort", sort, _sort), ("argsort", argsort, _argsort)):
    public(_name, _function, primitive=_op.primitive)
public("topk", topk)
