"""Indexing: reading and assigning with basic keys, integer arrays, booleans, and mixtures.

A key is split: index arrays become inputs of their own, what remains is a template. A basic key
(integers, slices, None, ...) gives a view.
"""

from __future__ import annotations

from typing import Any

from ..backend import INDEX, backend_of, dtypes, index_array, is_array, ndarray
from ..core.entry import joint_node, lift
from ..core.messages import describe, explain, reason_of
from ..core.primitive import registry, traced
from ..core.tensor import Tensor, wrap
from ..core.views import finish_change, of_one_batch, prepare_change
from ..errors import BatchingError, CaptureError, DtypeError, OutOfRangeError, ShapeError
from ..runtime import shared
from .arguments import as_tensor, one_axis
from .declare import attr1, general

_getitem = attr1("getitem", "key", lambda k, g, x_shape, key: k.place(g, key, x_shape), view=True)
_place = general(
    "place",
    ("x",),
    (lambda k, g, key: k.getitem(g, key),),
    "Zeros of ``shape`` with ``x`` at ``key``.",
    attributes=("key", "shape"),
)
_clear = attr1("clear", "key", lambda k, g, key: k.clear(g, key), "``x`` with zeros at ``key``.")
_setitem = general(
    "setitem",
    ("x", "value"),
    (lambda k, g, key: k.clear(g, key), lambda k, g, key: k.getitem(g, key)),
    "``x`` with ``value`` at ``key``, in place.",
    attributes=("key",),
    changes=(0,),
)

_getitem_arrays = general(
    "getitem_arrays",
    ("x", "indices"),
    lambda k, g, need, x_shape, indices, template: (
        k.scatter_add(g, *indices, template, x_shape) if need[0] else None,
        *[None] * len(indices),
    ),
    "Elements of ``x`` at a key with index arrays.",
    attributes=("template",),
    variadic=True,
)
_scatter_add = general(
    "scatter_add",
    ("x", "indices"),
    lambda k, g, need, indices, template: (
        k.getitem_arrays(g, *indices, template) if need[0] else None,
        *[None] * len(indices),
    ),
    "Zeros of ``shape``, with ``x`` added at a key; places named twice receive both.",
    attributes=("template", "shape"),
    variadic=True,
)
_clear_arrays = general(
    "clear_arrays",
    ("x", "indices"),
    lambda k, g, need, indices, template: (
        k.clear_arrays(g, *indices, template) if need[0] else None,
        *[None] * len(indices),
    ),
    "``x`` with zeros at a key with index arrays.",
    attributes=("template",),
    variadic=True,
)
# Where a place is named twice, only the last value written to it stays, and has a gradient.
_last_writes = general(
    "last_writes",
    ("x", "indices"),
    None,
    "Whether an element of ``x`` stays when ``x`` is written at a key.",
    attributes=("template", "shape"),
    variadic=True,
)


def _written(k, g, indices, template, x_shape):
    found = k.getitem_arrays(g, *indices, template)
    if all(index.dtype.kind == "b" for index in indices):
        return found
    stays = k.last_writes(found, *indices, template, x_shape)
    return k.where(stays, found, k.zeros_like(found))


_setitem_arrays = general(
    "setitem_arrays",
    ("x", "value", "indices"),
    lambda k, g, need, x_shape, indices, template: (
        k.clear_arrays(g, *indices, template) if need[0] else None,
        _written(k, g, indices, template, x_shape) if need[1] else None,
        *[None] * len(indices),
    ),
    "``x`` with ``value`` at a key with index arrays, in place.",
    attributes=("template",),
    changes=(0,),
    variadic=True,
)
_take_along_axis = general(
    "take_along_axis",
    ("x", "indices"),
    (
        lambda k, g, x_shape, indices, axis: k.scatter_along_axis(g, indices, axis, x_shape),
        None,
    ),
    "Elements of ``x`` at ``indices`` along an axis.",
    attributes=("axis",),
)
_scatter_along_axis = general(
    "scatter_along_axis",
    ("x", "indices"),
    (lambda k, g, indices, axis: k.take_along_axis(g, indices, axis), None),
    "Zeros of ``shape`` with ``x`` added at ``indices`` along an axis.",
    attributes=("axis", "shape"),
)
_nonzero = general("nonzero", ("x",), None, "The places that aren't zero.", outputs=0)
_argwhere = general("argwhere", ("x",), None, "The places that aren't zero, a row for each.")
_ONE = (INDEX,)
_BASIC = frozenset((int, slice, type(None), type(...)))


def split_key(key: Any, like: Tensor, name: str = "getitem") -> tuple[Any, tuple[Tensor, ...]]:
    """Return a key as a basic key, or as a template and the index arrays that fill it."""
    if type(key) in _BASIC:
        return key, ()
    items = key if type(key) is tuple else (key,)
    for item in items:
        if type(item) not in _BASIC:
            break
    else:
        return key, ()
    template: list[Any] = []
    indices: list[Tensor] = []
    for item in items:
        array = None
        if type(item) is Tensor:
            array = item.array
        elif is_array(item):
            array = item
        elif isinstance(item, list | tuple | bool | dtypes.bool_.type):
            array = backend_of(like.array).from_host(index_array(item), like.device)
        elif hasattr(item, "__index__"):
            template.append(item.__index__())
            continue
        elif type(item) not in _BASIC:
            raise DtypeError(
                f"{name}: a key must hold integers, slices, None, ..., or arrays of integers or "
                f"booleans, got {type(item).__name__}"
            )
        if array is None:
            template.append(item)
            continue
        if array.dtype.kind not in "biu":
            raise DtypeError(
                f"{name}: index arrays must hold integers or booleans, got {array.dtype} "
                f"{array.shape}; cast with astype(int64) first"
            )
        template.append(INDEX)
        indices.append(wrap(array, None))
    return tuple(template), tuple(indices)


def getitem(x: Tensor, key: Any) -> Tensor:
    """Return ``x[key]``: a view for a basic key, a copy for one with index arrays.

    Parameters
    ----------
    x : Tensor
        Any shape.
    key : int, slice, None, ..., array of integers or booleans, or a tuple of them
        As in NumPy.

    Returns
    -------
    Tensor

    Raises
    ------
    OutOfRangeError
        An index lies outside its axis. Those in index arrays on a device count round instead:
        the device would have to be waited for.
    """
    if type(key) in _BASIC:
        return _getitem(x, key)
    return _read("getitem", x, key)


def _read(name: str, x: Tensor, key: Any) -> Tensor:
    """Return ``x[key]``, in the name of an operation."""
    indices: tuple[Tensor, ...]
    if type(key) is Tensor and key.array.dtype.kind in "biu":
        indices, key = (key,), _ONE
    else:
        key, indices = split_key(key, x, name)
        if not indices:
            return _getitem(x, key)
    try:
        return _getitem_arrays(x, *indices, key)
    except IndexError as error:
        raise _of_key(name, error, x, indices) from error


def _of_key(name: str, error: Exception, x: Tensor, indices: tuple[Tensor, ...]) -> OutOfRangeError:
    reason = reason_of(error.__cause__ or error)
    by = " and ".join(describe(index.array) for index in indices)
    got = f"x {describe(x.array)}" + (f" indexed by {by}" if by else "")
    return OutOfRangeError(f"{name}: {reason}, got {got}")


# What values may be assigned to: NumPy's same-kind rule, with bfloat16 among the floats.
_RANK = {"b": 0, "u": 1, "i": 2, "f": 3, "V": 3, "c": 4}


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """Assign ``x[key] = value``, recorded: what stays of ``x`` and ``value`` have gradients.

    A place that an index array names twice keeps the last value written to it.

    Parameters
    ----------
    x : Tensor
        Not a leaf that requires grad.
    key
        As in `getitem`.
    value : Tensor, array or number
        Broadcasts to the shape of ``x[key]``; of the kind of ``x``'s dtype or a lower one.

    Raises
    ------
    GradientError
        ``x`` is a leaf that requires grad, or a view of one.
    DtypeError
        ``value`` is of a higher kind than ``x``: complex into real, float into integer.
    ShapeError
        ``value`` doesn't broadcast to the shape of ``x[key]``.
    OutOfRangeError
        An index lies outside its axis.
    """
    value = lift(value, x)
    target, source = x.array.dtype, value.array.dtype
    if target is not source and _RANK[source.kind] > _RANK[target.kind]:
        raise DtypeError(
            f"setitem: values must be of the tensor's kind or a lower one, got {source} into "
            f"{target}; cast with astype or take real() first"
        )
    track = prepare_change("setitem", x, (value,))
    key, indices = split_key(key, x, "setitem")
    plain = type(x.array) is ndarray is type(value.array) and not shared.captures
    if not plain or (indices and any(type(t.array) is not ndarray for t in indices)):
        value, *rest = of_one_batch("setitem", x, (value, *indices))
        indices = tuple(rest)
    op = _setitem_arrays.primitive if indices else _setitem.primitive
    if track and value.array.ndim > 1 and value.array.shape[0] == 1:
        value = _without_leading_axes(value, x, key, indices)
    xs = (x, value, *indices)
    arrays = [t.array for t in xs]
    try:
        op.implementations[type(x.array)](*arrays, key)
    except (BatchingError, CaptureError):
        raise
    except IndexError as error:
        raise _of_key("setitem", error, x, indices) from error
    except Exception as error:
        raise _of_assignment(error, arrays, key) from error
    parents = tuple([t.node for t in xs])
    node = joint_node(op, parents, arrays, (key,), None) if track else None
    finish_change("setitem", x, node)


def _region(x: Tensor, key: Any, indices: tuple[Tensor, ...]) -> tuple[int, ...]:
    """Return the shape of ``x[key]``."""
    name = "getitem_arrays" if indices else "getitem"
    run = registry[name].implementations[type(x.array)]
    return run(x.array, *[index.array for index in indices], key).shape


def _without_leading_axes(value: Tensor, x: Tensor, key: Any, indices: Any) -> Tensor:
    """Drop leading axes of length 1 that ``x[key]`` hasn't: assignment allows them."""
    surplus = value.array.ndim - len(_region(x, key, indices))
    if surplus > 0 and value.array.shape[:surplus] == (1,) * surplus:
        return traced.reshape(value, value.array.shape[surplus:])
    return value


def _of_assignment(error: Exception, arrays: Any, key: Any) -> Exception:
    x, value, *indices = arrays
    found = explain(_setitem.primitive, error, arrays, (), "setitem")
    if isinstance(found, ShapeError):
        try:
            region = _region(wrap(x, None), key, tuple([wrap(index, None) for index in indices]))
        except Exception:
            return found
        return ShapeError(
            f"setitem: values must broadcast to the shape of x[key], got {value.shape} -> {region}"
        )
    return found


# -- by index, along an axis -----------------------------------------------------------------------
def take(x: Tensor, indices: Any, /, axis: int | None = None) -> Tensor:
    """Return the slices at ``indices`` along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape.
    indices : Tensor, array, list or int
        Integers of any shape; negative ones count from the end.
    axis : int or None
        None takes from the flattened elements.

    Returns
    -------
    Tensor
        The axis is replaced by the axes of ``indices``.

    Raises
    ------
    OutOfRangeError
        An index lies outside the axis; on a device it counts round instead.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.take(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 0], axis=1)
    tensor([[2., 1.],
            [4., 3.]])
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = traced.reshape(x, (x.size,)), 0
    axis = one_axis("take", axis, x.array.ndim)
    if isinstance(indices, bool) or getattr(indices, "dtype", None) == dtypes.bool_:
        raise DtypeError("take: indices must be integers, got booleans; use x[mask]")
    return _read("take", x, (*(slice(None),) * axis, indices))


def take_along_axis(x: Tensor, indices: Tensor, /, axis: int = -1) -> Tensor:
    """Return elements along an axis, by an index for each place of the result.

    Parameters
    ----------
    x : Tensor
        Any shape.
    indices : Tensor
        Integers, of as many axes; the other axes broadcast.
    axis : int
        The axis that the indices count along.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        The numbers of axes differ.
    OutOfRangeError
        An index lies outside the axis; on a device it counts round instead.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tfl.take_along_axis(x, tfl.tensor([[1], [0]]), axis=1)
    tensor([[2.],
            [3.]])
    """
    x, indices = as_tensor(x), as_tensor(indices)
    if indices.array.dtype.kind not in "iu":
        raise DtypeError(f"take_along_axis: indices must be integers, got {indices.dtype}")
    if x.array.ndim != indices.array.ndim:
        raise ShapeError(
            "take_along_axis: x and indices must have as many axes, got "
            f"{x.shape} and {indices.shape}"
        )
    axis = one_axis("take_along_axis", axis, x.array.ndim)
    return _take_along_axis(x, indices, axis)


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """Return the places of the elements that aren't zero: an int64 tensor for each axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.nonzero(tfl.tensor([0, 3, 0, 4]))
    (tensor([1, 3]),)
    """
    x = as_tensor(x)
    if x.array.ndim == 0:
        raise ShapeError("nonzero: at least one axis is needed, got shape ()")
    return _nonzero(x)


def argwhere(x: Tensor, /) -> Tensor:
    """Return the places of the elements that aren't zero, a row for each.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.argwhere(tfl.eye(2))
    tensor([[0, 0],
            [1, 1]])
    """
    return _argwhere(as_tensor(x))
