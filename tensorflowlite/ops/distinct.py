"""Sets and orders with NumPy's names: ``unique``, ``intersect1d``, ``lexsort``, ``partition``."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import OutOfRangeError, ShapeError
from . import elementwise as e
from . import reduction
from .arguments import as_tensor, one_axis
from .creation import asarray, zeros
from .indexing import _getitem, take, take_along_axis
from .joining import concat
from .reducing import either_axis
from .sets import _unique, isin
from .shaping import _reshape, expand_dims, flatten, moveaxis
from .sorting import argsort, sort


class Extreme(NamedTuple):
    """What `kthvalue` returns: the element, and where it stands along the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.kthvalue(tfl.tensor([3.0, 1.0, 2.0]), 2).values
    tensor(2.)
    """

    values: Tensor
    indices: Tensor


def _tensor(x: Any) -> Tensor:
    return asarray(x) if isinstance(x, list | tuple) else as_tensor(x)


# -- distinct elements -----------------------------------------------------------------------------
def unique(
    x: Any,
    /,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
) -> Any:
    """The distinct elements in order, or the distinct slices along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape.
    return_index : bool
        Whether to return where each stands first.
    return_inverse : bool
        Whether to return which of them each element is.
    return_counts : bool
        Whether to return how often each occurs.
    axis : int, optional
        The axis of the slices; None takes single elements.
    equal_nan : bool
        Whether NaN is there once at most.

    Returns
    -------
    Tensor, or tuple
        The elements, and what else was asked for.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.unique(tfl.tensor([3, 1, 3]))
    tensor([1, 3])
    """
    x = _tensor(x)
    if axis is None:
        flat = flatten(x)
        places, inverse, counts = _of_line(flat, equal_nan)
        values, inverse = take(flat, places), _reshape(inverse, x.shape)
    else:
        at = one_axis("unique", axis, x.ndim)
        places, inverse, counts = _of_rows(moveaxis(x, at, 0))
        values = take(x, places, axis=at)
    asked = [one for one, wanted in ((places, return_index), (inverse, return_inverse),
                                     (counts, return_counts)) if wanted]  # fmt: skip
    return (values, *asked) if asked else values


def _of_line(flat: Tensor, equal_nan: bool) -> tuple[Tensor, Tensor, Tensor]:
    places, inverse, counts = _unique(flat)
    if not equal_nan or flat.dtype.kind not in "fcV":
        return places, inverse, counts
    lost = e.isnan(take(flat, places))
    many = int(reduction.sum(lost))
    if many < 2:
        return places, inverse, counts
    last = places.size - many  # NaN comes last, each an element of its own
    counts = concat([counts[:last], expand_dims(reduction.sum(counts[last:]), 0)], 0)
    return places[: last + 1], e.minimum(inverse, last), counts


def _of_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give equal rows equal numbers, column by column, and find the distinct numbers."""
    flat = _reshape(rows, (rows.shape[0], -1 if rows.size else 0)).detach()
    number = zeros(rows.shape[0], dtype="int64", device=rows.device)
    for column in range(flat.shape[1]):
        _, inverse, _ = _unique(flat[:, column].clone())
        _, number, _ = _unique(number * (rows.shape[0] + 1) + inverse)
    return _unique(number)


def union1d(x: Any, y: Any, /) -> Tensor:
    """The distinct elements of two tensors together, in order.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.union1d(tfl.tensor([1, 3]), tfl.tensor([3, 2]))
    tensor([1, 2, 3])
    """
    return unique(concat([flatten(_tensor(x)), flatten(_tensor(y))], 0))


def intersect1d(
    x: Any, y: Any, /, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    """The distinct elements that two tensors have in common, in order.

    Parameters
    ----------
    x, y : Tensor
        Any shapes.
    assume_unique : bool
        For NumPy's sake: elements may occur more than once in any case.
    return_indices : bool
        Whether to return also where they stand first in each.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.intersect1d(tfl.tensor([1, 3, 3]), tfl.tensor([3, 2]))
    tensor([3])
    """
    x, y = flatten(_tensor(x)), flatten(_tensor(y))
    values, places = unique(x, return_index=True)
    held = isin(values, y)
    values = values[held]
    if not return_indices:
        return values
    others, theirs = unique(y, return_index=True)
    return values, places[held], theirs[isin(others, values)]


def setdiff1d(x: Any, y: Any, /, assume_unique: bool = False) -> Tensor:
    """The distinct elements of one tensor that another hasn't, in order.

    Parameters
    ----------
    x, y : Tensor
        Any shapes.
    assume_unique : bool
        Whether to leave the elements of ``x`` as they are, in their order.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.setdiff1d(tfl.tensor([1, 3, 2]), tfl.tensor([3]))
    tensor([1, 2])
    """
    x = flatten(_tensor(x)) if assume_unique else unique(x)
    return x[isin(x, flatten(_tensor(y)), invert=True)]


def setxor1d(x: Any, y: Any, /, assume_unique: bool = False) -> Tensor:
    """The distinct elements that only one of two tensors has, in order.

    Parameters
    ----------
    x, y : Tensor
        Any shapes.
    assume_unique : bool
        For NumPy's sake: elements may occur more than once in any case.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.setxor1d(tfl.tensor([1, 3]), tfl.tensor([3, 2]))
    tensor([1, 2])
    """
    values, counts = unique(concat([unique(x), unique(y)], 0), return_counts=True)
    return values[e.equal(counts, 1)]


# -- orders ----------------------------------------------------------------------------------------
def _kth(name: str, kth: Any, length: int) -> None:
    for one in kth if isinstance(kth, tuple | list) else (kth,):
        if not -length <= one < length:
            raise OutOfRangeError(f"{name}: kth must lie in [{-length}, {length}), got {one}")


def partition(x: Any, kth: Any, /, axis: int | None = -1) -> Tensor:
    """Put the elements that sorting would put at some places there: less before, greater after.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    kth : int or sequence of int
        The places.
    axis : int, optional
        The axis; None takes all elements in a row.

    Returns
    -------
    Tensor
        All of them sorted, which is one of the orders allowed.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.partition(tfl.tensor([3, 1, 2]), 1)
    tensor([1, 2, 3])
    """
    x = _tensor(x)
    if axis is None:
        x, axis = flatten(x), 0
    _kth("partition", kth, x.shape[one_axis("partition", axis, x.ndim)])
    return sort(x, axis)


def argpartition(x: Any, kth: Any, /, axis: int | None = -1) -> Tensor:
    """The indices that `partition` would take the elements from.

    Parameters
    ----------
    x, kth, axis
        As in `partition`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.argpartition(tfl.tensor([3, 1, 2]), 1)
    tensor([1, 2, 0])
    """
    x = _tensor(x)
    if axis is None:
        x, axis = flatten(x), 0
    _kth("argpartition", kth, x.shape[one_axis("argpartition", axis, x.ndim)])
    return argsort(x, axis)


def lexsort(keys: Any, /, axis: int = -1) -> Tensor:
    """The indices that sort by several keys: the last one counts most.

    Parameters
    ----------
    keys : sequence of Tensor
        Of one shape.
    axis : int
        The axis to sort along.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.lexsort([tfl.tensor([2, 1, 0]), tfl.tensor([0, 1, 0])])
    tensor([2, 0, 1])
    """
    found = [_tensor(key) for key in keys]
    if not found or any(key.shape != found[0].shape for key in found):
        raise ShapeError(
            f"lexsort: keys of one shape are needed, got {[key.shape for key in found]}"
        )
    order = argsort(found[0], axis)
    for key in found[1:]:
        order = take_along_axis(order, argsort(take_along_axis(key, order, axis), axis), axis)
    return order


def kthvalue(
    x: Any, k: int, /, dim: int = -1, keepdim: bool = False, *, axis: int | None = None
) -> Extreme:
    """The ``k``-th least element along an axis, counted from 1, and its place.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    k : int
        Which.
    dim, axis : int
        The axis.
    keepdim : bool
        Leave the axis in place with length 1.

    Returns
    -------
    Extreme
        A pair ``(values, indices)``.

    Raises
    ------
    OutOfRangeError
        The axis is shorter than ``k``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.kthvalue(tfl.tensor([3.0, 1.0, 2.0]), 1)
    Extreme(values=tensor(1.), indices=tensor(1))
    """
    x = _tensor(x)
    at = one_axis("kthvalue", dim if axis is None else either_axis("kthvalue", axis, None), x.ndim)
    if not 1 <= k <= x.shape[at]:
        raise OutOfRangeError(f"kthvalue: k must lie in [1, {x.shape[at]}], got {k}")
    places = _getitem(argsort(x, at), (*(slice(None),) * at, slice(k - 1, k)))
    values = traced.take_along_axis(x, places, at)
    if keepdim:
        return Extreme(values, places)
    shape = (*x.shape[:at], *x.shape[at + 1 :])
    return Extreme(_reshape(values, shape), _reshape(places, shape))
