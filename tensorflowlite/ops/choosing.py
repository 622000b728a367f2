"""Choosing elements by indices and conditions, as NumPy does.

`put_along_axis` and `fill_diagonal` change the tensor itself, recorded.
"""

from __future__ import annotations

from typing import Any

from ..backend import dtypes
from ..core.entry import lift
from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from . import elementwise as e
from .arguments import as_tensor, one_axis
from .creation import arange, asarray
from .gathering import _index_within, _indices, _key
from .indexing import _take_along_axis as _take
from .indexing import setitem, take
from .joining import stack
from .shaping import _reshape, broadcast_arrays, broadcast_to


def put_along_axis(x: Tensor, indices: Any, values: Any, axis: int | None = -1) -> None:
    """Write values along an axis into the tensor itself, by an index for each of them.

    Parameters
    ----------
    x : Tensor
        Any shape; it is changed. `scatter` returns a changed copy.
    indices : Tensor
        Integers, of as many axes as ``x``; the other axes broadcast.
    values : Tensor, array or number
        Broadcasts to the shape of the indices.
    axis : int or None
        The axis that the indices count along; None counts all elements in a row.

    Raises
    ------
    ShapeError
        The numbers of axes differ.
    OutOfRangeError
        An index lies outside the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.zeros((2, 2))
    >>> tfl.put_along_axis(x, tfl.tensor([[1], [0]]), 5.0, axis=1)
    >>> x
    tensor([[0., 5.],
            [5., 0.]])
    """
    indices = _indices("put_along_axis", indices)
    if axis is None:
        index = _index_within(_reshape(indices, (indices.size,)), ("put_along_axis", x.size))
        key = []
        for length in x.shape[::-1]:
            key.append(index % max(length, 1))
            index = index // max(length, 1)
        setitem(x, tuple(key[::-1]), values)
        return
    if indices.ndim != x.ndim:
        raise ShapeError(
            "put_along_axis: x and indices must have as many axes, got "
            f"{x.shape} and {indices.shape}"
        )
    axis = one_axis("put_along_axis", axis, x.ndim)
    shape = tuple([indices.shape[i] if i == axis else n for i, n in enumerate(x.shape)])
    index = _index_within(indices, ("put_along_axis", x.shape[axis]))
    setitem(x, _key(x, broadcast_to(index, shape), axis), values)


def fill_diagonal(x: Tensor, val: Any, wrap: bool = False) -> None:
    """Write on the main diagonal of the tensor itself.

    Parameters
    ----------
    x : Tensor
        At least two axes, all of one length where there are more.
    val : Tensor or number
        What to write.
    wrap : bool
        False: tall matrices aren't filled again below the diagonal; True is refused.

    Raises
    ------
    ShapeError
        There are more than two axes, of different lengths.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.zeros((2, 2))
    >>> tfl.fill_diagonal(x, 1)
    >>> x
    tensor([[1., 0.],
            [0., 1.]])
    """
    if wrap:
        raise ArgumentError("fill_diagonal: wrap must be False, got True")
    if x.ndim < 2 or (x.ndim > 2 and len(set(x.shape)) > 1):
        raise ShapeError(
            f"fill_diagonal: two axes are needed, or more of one length, got shape {x.shape}"
        )
    along = arange(min(x.shape), device=x.device)
    setitem(x, (along,) * x.ndim, val)


def compress(condition: Any, x: Tensor, axis: int | None = None) -> Tensor:
    """Return the slices along an axis for which a condition is true.

    Parameters
    ----------
    condition : Tensor or list, shape (n,)
        Booleans; where it is shorter than the axis the rest is left out.
    x : Tensor
        Any shape.
    axis : int, optional
        None takes all elements in a row.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.compress([True, False, True], tfl.arange(3))
    tensor([0, 2])
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = _reshape(x, (x.size,)), 0
    axis = one_axis("compress", axis, x.ndim)
    mask = asarray(condition, device=x.device) != 0
    if mask.ndim != 1:
        raise ShapeError(f"compress: condition must have one axis, got shape {mask.shape}")
    (places,) = traced.nonzero(mask)
    return take(x, places, axis=axis)


def extract(condition: Any, x: Tensor) -> Tensor:
    """Return the elements for which a condition is true, in a row.

    Parameters
    ----------
    condition : Tensor
        Booleans, as many as ``x`` has elements.
    x : Tensor
        Any shape.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.arange(4)
    >>> tfl.extract(x % 2 == 0, x)
    tensor([0, 2])
    """
    condition = as_tensor(condition)
    return compress(_reshape(condition, (condition.size,)), x)


def flatnonzero(x: Tensor, /) -> Tensor:
    """Return the places of the elements that aren't zero, counted in a row.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.flatnonzero(tfl.eye(2))
    tensor([0, 3])
    """
    x = as_tensor(x)
    return traced.nonzero(_reshape(x, (x.size,)))[0]


def choose(indices: Any, choices: Any, *, mode: str = "raise") -> Tensor:
    """Return, for each place, the element of the tensor that an index names.

    Parameters
    ----------
    indices : Tensor
        Integers; broadcasts with the choices.
    choices : sequence of Tensor
        What to choose from; they broadcast.
    mode : str
        What happens to an index out of range: ``"raise"``, ``"wrap"`` (counted round) or
        ``"clip"`` (the nearest).

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.choose(tfl.tensor([0, 1]), [tfl.tensor([1.0, 2.0]), tfl.tensor([3.0, 4.0])])
    tensor([1., 4.])
    """
    if mode not in ("raise", "wrap", "clip"):
        raise ArgumentError(f"choose: mode must be 'raise', 'wrap' or 'clip', got {mode!r}")
    index, *options = broadcast_arrays(_indices("choose", indices), *choices)
    count = len(options)
    if mode == "wrap":
        index = index % count
    elif mode == "clip":
        index = e.clip(index, 0, count - 1)
    found = stack([*options])
    index = _index_within(index, ("choose", count))
    return _take(found, _reshape(index, (1, *index.shape)), 0)[0].clone()


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Tensor:
    """Return, for each place, the element of the first choice whose condition is true.

    Parameters
    ----------
    condlist : sequence of Tensor
        Booleans.
    choicelist : sequence of Tensor
        As many; all broadcast.
    default : Tensor or number
        What stands where no condition is true.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([-2.0, 0.5, 3.0])
    >>> tfl.select([x < 0, x > 1], [-x, x * x])
    tensor([2., 0., 9.])
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ShapeError(
            "select: as many conditions as choices are needed, at least one, got "
            f"{len(condlist)} and {len(choicelist)}"
        )
    out = lift(default, as_tensor(choicelist[0]))
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        condition = as_tensor(condition)
        if condition.dtype != dtypes.bool_:
            raise DtypeError(f"select: conditions must be booleans, got {condition.dtype}")
        out = e.where(condition, choice, out)
    return out
