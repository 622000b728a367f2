"""Sets: the distinct elements of a tensor, and whether elements are among others."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.tensor import Tensor
from .arguments import as_tensor
from .declare import general
from .elementwise import _pair, logical_not
from .indexing import take
from .shaping import flatten

_unique = general(
    "unique", ("x",), None, "Where the distinct elements of a line are, and how many.", outputs=3
)
_isin = general("isin", ("x", "among"), None, "Whether elements are among others.")


class UniqueAll(NamedTuple):
    """What `unique_all` returns.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> found = tfl.unique_all(tfl.tensor([3.0, 1.0, 3.0]))
    >>> found.values, found.indices
    (tensor([1., 3.]), tensor([1, 0]))
    >>> found.inverse_indices, found.counts
    (tensor([1, 0, 1]), tensor([1, 2]))
    """

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.unique_counts(tfl.tensor([3, 1, 3])).counts
    tensor([1, 2])
    """

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> found = tfl.unique_inverse(tfl.tensor([3, 1, 3]))
    >>> found.values[found.inverse_indices]
    tensor([3, 1, 3])
    """

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Tensor, /) -> UniqueAll:
    """Return the distinct elements in order, where they are first, and how often.

    Parameters
    ----------
    x : Tensor
        Any shape; NaN is distinct from any other NaN.

    Returns
    -------
    UniqueAll
        The ``values`` in ascending order; the ``indices`` of their first occurrences in the
        flattened tensor; the ``inverse_indices``, of the shape of ``x``, that make it of the
        values; the ``counts``. Gradients of the values flow to the first occurrences.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.unique_all(tfl.tensor([2, 1, 2])).values
    tensor([1, 2])
    """
    x = as_tensor(x)
    flat = flatten(x)
    indices, inverse, counts = _unique(flat)
    inverse = Tensor(inverse.array.reshape(x.array.shape))
    return UniqueAll(take(flat, indices), indices, inverse, counts)


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """Return the distinct elements in order, and how often each occurs.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> values, counts = tfl.unique_counts(tfl.tensor([2, 1, 2]))
    >>> values, counts
    (tensor([1, 2]), tensor([1, 2]))
    """
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """Return the distinct elements in order, and the indices that make ``x`` of them.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> values, inverse = tfl.unique_inverse(tfl.tensor([2, 1, 2]))
    >>> values, inverse
    (tensor([1, 2]), tensor([1, 0, 1]))
    """
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Tensor, /) -> Tensor:
    """Return the distinct elements in order.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.unique_values(tfl.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor([1., 2.])
    """
    return unique_all(x).values


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Return whether each element of ``x1`` is among the elements of ``x2``.

    Parameters
    ----------
    x1, x2 : Tensor, array or number
        Any shapes; one of them must be a tensor or an array. NaN is nowhere.
    invert : bool
        Ask whether it is not among them.

    Returns
    -------
    Tensor
        Booleans of the shape of ``x1``.

    Raises
    ------
    DeviceError
        The tensors are on different devices.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.isin(tfl.arange(4), tfl.tensor([1, 3]))
    tensor([False,  True, False,  True])
    """
    found = _isin(*_pair(x1, x2, None))
    return logical_not(found) if invert else found


isin.primitive = _isin.primitive  # type: ignore[attr-defined]
