"""Indexing: reading and assigning with basic keys, integer arrays, booleans, and mixtures.

A key is split: index arrays become inputs of their own, what remains is a template. A basic key
(integers, slices, None, ...) gives a view.
"""

from __future__ import annotations

from typing import Any

from ..backend import INDEX, index_array, is_array
from ..core.entry import joint_node, lift
from ..core.messages import explain
from ..core.tensor import Tensor, wrap
from ..core.views import finish_change, prepare_change
from .declare import attr1, general

_getitem = attr1(
    "getitem", "key", lambda k, g, x_shape, key: k.place(g, key, x_shape), view=True
)
_place = general(
    "place",
    ("x",),
    (lambda k, g, key: k.getitem(g, key),),
    "Zeros of ``shape`` with ``x`` at ``key``.",
    attributes=("key", "shape"),
)
_clear = attr1(
    "clear", "key", lambda k, g, key: k.clear(g, key), "``x`` with zeros at ``key``."
)
_setitem = general(
    "setitem",
    ("x", "value"),
    (lambda k, g, key: k.clear(g, key), lambda k, g, key: k.getitem(g, key)),
    "``x`` with ``value`` at ``key``, in place.",
    attributes=("key",),
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
_setitem_arrays = general(
    "setitem_arrays",
    ("x", "value", "indices"),
    lambda k, g, need, indices, template: (
        k.clear_arrays(g, *indices, template) if need[0] else None,
        k.getitem_arrays(g, *indices, template) if need[1] else None,
        *[None] * len(indices),
    ),
    "``x`` with ``value`` at a key with index arrays, in place.",
    attributes=("template",),
    variadic=True,
)
_BASIC = frozenset((int, slice, type(None), type(...)))


def split_key(key: Any, like: Tensor) -> tuple[Any, tuple[Tensor, ...]]:
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
        if type(item) is Tensor:
            array = item.array
        elif is_array(item):
            array = item
        elif isinstance(item, list | bool):
            array = index_array(item)
        elif hasattr(item, "__index__"):
            template.append(item.__index__())
            continue
        else:
            template.append(item)
            continue
        template.append(INDEX)
        indices.append(wrap(array, None))
    return tuple(template), tuple(indices)


def getitem(x: Tensor, key: Any) -> Tensor:
    """Return ``x[key]``: a view for a basic key, a copy for one with index arrays."""
    key, indices = split_key(key, x)
    return _getitem_arrays(x, *indices, key) if indices else _getitem(x, key)


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """Assign ``x[key] = value``; recorded, with gradients for what stays of ``x`` and for ``value``.

    A place that an index array names twice keeps the last value written to it.
    """
    value = lift(value, x)
    track = prepare_change("setitem", x, (value,))
    key, indices = split_key(key, x)
    op = _setitem_arrays.primitive if indices else _setitem.primitive
    xs = (x, value, *indices)
    arrays = [t.array for t in xs]
    try:
        op.implementations[type(x.array)](*arrays, key)
    except Exception as error:
        raise explain(op, error, arrays[:2], (), "setitem") from error
    finish_change(x, joint_node(op, xs, arrays, (key,), None) if track else None)
