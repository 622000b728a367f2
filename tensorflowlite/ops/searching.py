"""Searching in sorted tensors."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from .arguments import public
from .declare import general
from .elementwise import _pair
from .indexing import take

_searchsorted = general(
    "searchsorted",
    ("x", "values"),
    None,
    "Where values would be inserted in a sorted line.",
    attributes=("side",),
)


def searchsorted(
    x1: Tensor, x2: Any, /, *, side: str = "left", sorter: Tensor | None = None
) -> Tensor:
    """Return where the elements of ``x2`` would be inserted to keep ``x1`` in order.

    Parameters
    ----------
    x1 : Tensor, shape (n,)
        In ascending order, or put so by ``sorter``. NaN comes after any number.
    x2 : Tensor, array or number
        What to insert; any shape.
    side : str
        Before equal elements (``"left"``), or after them (``"right"``).
    sorter : Tensor, shape (n,), optional
        The indices that sort ``x1``, as `argsort` gives them.

    Returns
    -------
    Tensor
        Indices from 0 to n, int64, of the shape of ``x2``.

    Raises
    ------
    ShapeError
        ``x1`` or ``sorter`` hasn't one axis, or their lengths differ.
    ArgumentError
        ``side`` is another word.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.searchsorted(tfl.tensor([1.0, 2.0, 2.0]), tfl.tensor([2.0, 5.0]), side="right")
    tensor([3, 3])
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side must be 'left' or 'right', got {side!r}")
    x1, x2 = _pair(x1, x2, None)
    if x1.array.ndim != 1:
        raise ShapeError(f"searchsorted: x1 must have one axis, got shape {x1.shape}")
    for x in (x1, x2):
        if x.array.dtype.kind == "c":
            raise DtypeError(f"searchsorted: complex numbers have no order, got {x.dtype}")
    if sorter is not None:
        if sorter.shape != x1.shape:
            raise ShapeError(
                f"searchsorted: sorter must have the shape of x1, got {sorter.shape} for {x1.shape}"
            )
        x1 = take(x1, sorter)
    return _searchsorted(x1, x2, side)


public("searchsorted", searchsorted, primitive=_searchsorted.primitive)
