"""Batching rules of the array operations: how a slot runs on a whole batch at once.

A rule is ``(k, name, level, flags, *values)``: ``k`` runs the slots, ``values`` are the arguments
of the slot, and a flag says of each whether it is an array with the batch as its first axis. It
returns the result with the batch in front. Most slots need none of their own: operations of the
plain forms (`declare` notes them in `base.families`) are elementwise, or shift their axis. What has
neither runs sample after sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import BatchingError
from .. import dtypes
from ..base import families
from ..slots.indexing import INDEX
from .batched_array import BatchedArray, Level, check_randomness, loop, unwritable

Rule = Callable[..., Any]
Flags = Sequence[bool]
_ALL = slice(None)


def _is_array(value: Any) -> bool:
    return hasattr(value, "ndim")


def aligned(k: Any, flags: Flags, values: Sequence[Any]) -> list[Any]:
    """Return arrays that broadcast as those of one sample do: axes of length 1 after the batch."""
    ranks = [v.ndim - f for v, f in zip(values, flags, strict=True) if _is_array(v)]
    most = max(ranks)
    return [
        k.reshape(v, (v.shape[0], *(1,) * (most + 1 - v.ndim), *v.shape[1:]))
        if f and v.ndim <= most
        else v
        for v, f in zip(values, flags, strict=True)
    ]


def whole(k: Any, level: Level, flag: bool, value: Any) -> Any:
    """Return an array with the batch in front; one that isn't batched is repeated by strides."""
    return value if flag else k.broadcast_to(value, (level.size, *value.shape))


def wholes(k: Any, level: Level, flags: Flags, values: Sequence[Any]) -> list[Any]:
    """Return arrays with the batch in front, all of them."""
    return [whole(k, level, f, v) for v, f in zip(values, flags, strict=True)]


def move_axis(k: Any, x: Any, source: int, target: int) -> Any:
    """Return an array with an axis at another place."""
    order = [i for i in range(x.ndim) if i != source]
    order.insert(target, source)
    return k.permute_dims(x, tuple(order))


def _shifted(axis: Any) -> Any:
    """Return axes of one sample as axes of the batch; negative ones count from the end anyway."""
    if isinstance(axis, tuple):
        return type(axis)([_shifted(one) for one in axis])
    return axis + 1 if axis >= 0 else axis


# -- families --------------------------------------------------------------------------------------
def elementwise(k: Any, name: str, level: Level, flags: Flags, *values: Any) -> Any:
    """Operations whose arrays broadcast."""
    return getattr(k, name)(*aligned(k, flags, values))


def _several_elementwise(k: Any, name: str, level: Level, flags: Flags, *values: Any) -> Any:
    """Operations with several outputs, of which one may not read what has the batch."""
    arrays = [v for v in values if _is_array(v)]
    rest = values[len(arrays) :]
    arrays = wholes(k, level, flags[: len(arrays)], arrays)
    return getattr(k, name)(*aligned(k, (True,) * len(arrays), arrays), *rest)


def along_axis(k: Any, name: str, level: Level, flags: Flags, x: Any, axis: Any) -> Any:
    """Reductions, softmax, cumulative sums: the attribute is an axis or several."""
    if axis is None or (type(axis) is int and x.ndim == 1):
        return loop(k, name, level, flags, x, axis)
    return getattr(k, name)(x, _shifted(axis))


_FAMILIES: dict[str, Rule] = {"elementwise": elementwise, "axis": along_axis}


def of_family(name: str) -> Rule | None:
    """Return the rule of a slot by the form in which the operation is declared."""
    return _FAMILIES.get(families.get(name, ""))


def _as_it_is(k: Any, name: str, level: Level, flags: Flags, *values: Any) -> Any:
    """Operations on the last axes."""
    return getattr(k, name)(*values)


# -- reductions and orders -------------------------------------------------------------------------
def _axis_first(k: Any, name: str, level: Level, flags: Flags, x: Any, order: Any) -> Any:
    """Spreads and sorting: the attribute's first part is an axis or several."""
    return getattr(k, name)(x, (_shifted(order[0]), *order[1:]))




def _place_of_extreme(k: Any, name: str, level: Level, flags: Flags, x: Any, along: Any) -> Any:
    axis, keepdims = along
    if axis is not None:
        return getattr(k, name)(x, (_shifted(axis), keepdims))
    found = getattr(k, name)(k.reshape(x, (x.shape[0], math.prod(x.shape[1:]))), (1, False))
    return k.reshape(found, (x.shape[0], *(1,) * (x.ndim - 1))) if keepdims else found


def _roll(k: Any, name: str, level: Level, flags: Flags, x: Any, by: Any) -> Any:
    shift, axis = by
    if axis is not None:
        return k.roll(x, (shift, _shifted(axis)))
    flat = k.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
    return k.reshape(k.roll(flat, (shift, 1)), x.shape)


# -- shapes ----------------------------------------------------------------------------------------
def _reshape(k: Any, name: str, level: Level, flags: Flags, x: Any, shape: Any) -> Any:
    if -1 in shape:
        known = math.prod([n for n in shape if n != -1])
        size = math.prod(x.shape[1:])
        if not known or size % known or shape.count(-1) > 1:
            raise ValueError("cannot reshape")
        shape = tuple([size // known if n == -1 else n for n in shape])
    return k.reshape(x, (x.shape[0], *shape))


def _permute(k: Any, name: str, level: Level, flags: Flags, x: Any, axes: Any) -> Any:
    if len(axes) != x.ndim - 1:
        raise ValueError("axes don't match array")
    return k.permute_dims(x, (0, *_shifted(tuple(axes))))


def _broadcast_to(k: Any, name: str, level: Level, flags: Flags, x: Any, shape: Any) -> Any:
    lead = len(shape) - (x.ndim - 1)
    if lead < 0:
        raise ValueError("input operand has more dimensions than allowed")
    x = k.reshape(x, (x.shape[0], *(1,) * lead, *x.shape[1:]))
    return k.broadcast_to(x, (x.shape[0], *shape))


def _sum_to(k: Any, name: str, level: Level, flags: Flags, x: Any, shape: Any) -> Any:
    lead = x.ndim - 1 - len(shape)
    found = k.sum_to(x, (x.shape[0], *(1,) * lead, *shape))
    return k.reshape(found, (x.shape[0], *shape)) if lead else found


def _diagonal(k: Any, name: str, level: Level, flags: Flags, x: Any, place: Any) -> Any:
    return k.diagonal(x, (place[0], *_shifted(tuple(place[1:]))))


def _place_diagonal(k: Any, name: str, level: Level, flags: Flags, x: Any, place: Any, shape: Any
                    ) -> Any:  # fmt: skip
    place = (place[0], *_shifted(tuple(place[1:])))
    return k.place_diagonal(x, place, (x.shape[0], *shape))


def _join(k: Any, name: str, level: Level, flags: Flags, *values: Any) -> Any:
    *arrays, axis = values
    return getattr(k, name)(*wholes(k, level, flags[:-1], arrays), _shifted(axis))


def _pieces(k: Any, name: str, level: Level, flags: Flags, x: Any, *attributes: Any) -> Any:
    *bounds, axis = attributes
    return getattr(k, name)(x, *bounds, _shifted(axis))


# -- products --------------------------------------------------------------------------------------
def _matmul(k: Any, name: str, level: Level, flags: Flags, x: Any, y: Any) -> Any:
    x_rank, y_rank = x.ndim - flags[0], y.ndim - flags[1]
    if x_rank == 1:
        x = k.reshape(x, (*x.shape[: flags[0]], 1, x.shape[-1]))
    if y_rank == 1:
        y = k.reshape(y, (*y.shape, 1))
    if not flags[1] and y.ndim == 2 and x.ndim > 2:  # one product instead of many small ones
        out = k.matmul(k.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])), y)
        out = k.reshape(out, (*x.shape[:-1], y.shape[1]))
    elif x.shape[-1] == 1 == y.shape[-2]:  # outer products: half the time of so many small matmuls
        out = k.multiply(*aligned(k, flags, (x, y)))
    else:
        out = k.matmul(*aligned(k, flags, (x, y)))
    shape = out.shape
    if x_rank == 1:
        shape = (*shape[:-2], shape[-1])
    if y_rank == 1:
        shape = shape[:-1]
    return out if shape == out.shape else k.reshape(out, shape)


def _einsum(k: Any, name: str, level: Level, flags: Flags, *values: Any) -> Any:
    *arrays, labels, out_labels = values
    batch = 1 + max([label for one in labels for label in one], default=-1)
    names = [
        (batch, *label) if f else label for label, f in zip(labels, flags, strict=False)
    ]
    return k.einsum(*arrays, tuple(names), (batch, *out_labels))


def _pair_of_matrices(k: Any, name: str, level: Level, flags: Flags, x: Any, y: Any, *rest: Any
                      ) -> Any:  # fmt: skip
    x, y = aligned(k, (True, True), wholes(k, level, flags[:2], (x, y)))
    if True in flags[2:]:  # a tolerance for each matrix
        return loop(k, name, level, (True, True, *flags[2:]), x, y, *rest)
    return getattr(k, name)(x, y, *rest)


def _pinv(k: Any, name: str, level: Level, flags: Flags, x: Any, rtol: Any) -> Any:
    x = whole(k, level, flags[0], x)
    if flags[1]:
        rtol = k.reshape(rtol, (level.size, *(1,) * (x.ndim - 2 - rtol.ndim), *rtol.shape[1:]))
    return k.pinv(x, rtol)


def _vector_norm(k: Any, name: str, level: Level, flags: Flags, x: Any, spec: Any) -> Any:
    order, axes, *rest = spec
    return k.vector_norm(x, (order, _shifted(axes), *rest))


def _first_along(k: Any, name: str, level: Level, flags: Flags, x: Any, y: Any, *rest: Any) -> Any:
    """Operations on the elements of ``x`` with all of ``y``."""
    if flags[1]:
        return loop(k, name, level, flags, x, y, *rest)
    return getattr(k, name)(x, y, *rest)


def _searchsorted(k: Any, name: str, level: Level, flags: Flags, x: Any, values: Any, side: Any
                  ) -> Any:  # fmt: skip
    if flags[0]:
        return loop(k, name, level, flags, x, values, side)
    return k.searchsorted(x, values, side)


# -- by key ----------------------------------------------------------------------------------------
def _with_batch(key: Any) -> tuple[Any, ...]:
    return (_ALL, *key) if type(key) is tuple else (_ALL, key)


def _getitem(k: Any, name: str, level: Level, flags: Flags, x: Any, key: Any) -> Any:
    return k.getitem(x, _with_batch(key))


def _place(k: Any, name: str, level: Level, flags: Flags, x: Any, key: Any, shape: Any) -> Any:
    return k.place(x, _with_batch(key), (x.shape[0], *shape))


def _clear(k: Any, name: str, level: Level, flags: Flags, x: Any, key: Any) -> Any:
    return k.clear(x, _with_batch(key))


def _setitem(k: Any, name: str, level: Level, flags: Flags, x: Any, value: Any, key: Any) -> Any:
    if not flags[0]:
        raise BatchingError(unwritable("setitem", x))
    key = _with_batch(key)
    if flags[1]:
        rank = k.getitem(x, key).ndim
        shape = value.shape
        while len(shape) > rank and shape[1] == 1:
            shape = (shape[0], *shape[2:])
        shape = (shape[0], *(1,) * (rank - len(shape)), *shape[1:])
        value = k.reshape(value, shape)
    return k.setitem(x, value, key)


class _Key:
    """A template of a key and what it needs to know about its index arrays."""

    def __init__(self, template: tuple[Any, ...], indices: Sequence[Any], flags: Flags) -> None:
        places = [i for i, part in enumerate(template) if part is INDEX or type(part) is int]
        inside = template[places[0] : places[-1] + 1]
        self.template = template
        self.first = places[0]  # the axis of the result that the index arrays make, if adjacent
        self.adjacent = all(part is INDEX or type(part) is int for part in inside)
        self.boolean = any(index.dtype.kind == "b" for index in indices)
        self.varies = True in flags
        self.simple = not any(part is ... for part in template[: self.first])
        self.rank = max([index.ndim - f for index, f in zip(indices, flags, strict=True)])
        if self.boolean:  # a mask makes one axis
            ranks = [
                1 if index.dtype.kind == "b" else index.ndim - f
                for index, f in zip(indices, flags, strict=True)
            ]
            self.rank = max(ranks)

    def loops(self) -> bool:
        """Whether only one sample after the other will do."""
        return self.varies and (self.boolean or not self.simple)

    def lead(self) -> int:
        """Where the index arrays' axes stand in one sample's result."""
        return self.first if self.adjacent else 0


def _check_mask(name: str, indices: Sequence[Any], flags: Flags) -> None:
    for index, flag in zip(indices, flags, strict=True):
        if flag and index.dtype.kind == "b":
            raise BatchingError(
                "vmap: a mask of each sample's own gives results of different lengths, got bool "
                f"{tuple(index.shape[1:])}; use where(mask, x, 0) instead"
            )


def _keyed(k: Any, level: Level, flags: Flags, indices: Sequence[Any], key: _Key
           ) -> tuple[list[Any], tuple[Any, ...]]:  # fmt: skip
    """Return index arrays and template that read from the whole batch, each sample its own."""
    ones = k.ones_like(k.zeros_for(indices[0], (level.size,), dtypes.int64))
    count = k.cumulative_sum(ones, 0) - 1
    count = k.reshape(count, (level.size, *(1,) * key.rank))
    arrays = [
        k.reshape(v, (v.shape[0], *(1,) * (key.rank + 1 - v.ndim), *v.shape[1:])) if f else v
        for v, f in zip(indices, flags, strict=True)
    ]
    return [count, *arrays], (INDEX, *key.template)


def _getitem_arrays(k: Any, name: str, level: Level, flags: Flags, x: Any, *rest: Any) -> Any:
    *indices, template = rest
    marks = flags[1:-1]
    _check_mask(name, indices, marks)
    key = _Key(template, indices, marks)
    if key.loops():
        return loop(k, name, level, flags, x, *rest)
    if not key.varies:
        found = getattr(k, name)(x, *indices, (_ALL, *template))
        return found if key.adjacent else move_axis(k, found, key.rank, 0)
    if not flags[0] and template[0] is INDEX and key.adjacent:
        arrays = aligned(k, marks, indices)
        return getattr(k, name)(x, *arrays, template)
    arrays, whole_template = _keyed(k, level, marks, indices, key)
    found = getattr(k, name)(whole(k, level, flags[0], x), *arrays, whole_template)
    return _behind(k, found, key)


def _behind(k: Any, found: Any, key: _Key) -> Any:
    """Move the index arrays' axes from after the batch to where one sample's result has them."""
    lead = key.lead()
    if not lead:
        return found
    index_axes = range(1, 1 + key.rank)
    others = list(range(1 + key.rank, found.ndim))
    return k.permute_dims(found, (0, *others[:lead], *index_axes, *others[lead:]))


def _before(k: Any, found: Any, key: _Key) -> Any:
    """Undo `_behind`."""
    lead = key.lead()
    if not lead:
        return found
    index_axes = range(1 + lead, 1 + lead + key.rank)
    others = [axis for axis in range(1, found.ndim) if axis not in index_axes]
    return k.permute_dims(found, (0, *index_axes, *others))


def _scatter_add(k: Any, name: str, level: Level, flags: Flags, x: Any, *rest: Any) -> Any:
    *indices, template, shape = rest
    marks = flags[1:-2]
    _check_mask(name, indices, marks)
    key = _Key(template, indices, marks)
    if key.loops():
        return loop(k, name, level, flags, x, *rest)
    x = whole(k, level, flags[0], x)
    shape = (level.size, *shape)
    if not key.varies:
        x = x if key.adjacent else move_axis(k, x, 0, key.rank)
        return k.scatter_add(x, *indices, (_ALL, *template), shape)
    arrays, whole_template = _keyed(k, level, marks, indices, key)
    return k.scatter_add(_before(k, x, key), *arrays, whole_template, shape)


def _clear_arrays(k: Any, name: str, level: Level, flags: Flags, x: Any, *rest: Any) -> Any:
    *indices, template = rest
    marks = flags[1:-1]
    key = _Key(template, indices, marks)
    if key.varies:
        return loop(k, name, level, flags, x, *rest)
    return k.clear_arrays(x, *indices, (_ALL, *template))


def _take_along(k: Any, name: str, level: Level, flags: Flags, x: Any, indices: Any, axis: Any
                ) -> Any:  # fmt: skip
    x, indices = wholes(k, level, flags[:2], (x, indices))
    return k.take_along_axis(x, indices, _shifted(axis))


def _scatter_along(k: Any, name: str, level: Level, flags: Flags, x: Any, indices: Any, axis: Any,
                   shape: Any) -> Any:  # fmt: skip
    x, indices = wholes(k, level, flags[:2], (x, indices))
    return k.scatter_along_axis(x, indices, _shifted(axis), (level.size, *shape))


def _read_view(k: Any, name: str, level: Level, flags: Flags, x: Any, path: Any) -> Any:
    found = BatchedArray(level, x, True)
    for op, attribute in path:
        found = op.implementations[BatchedArray](found, attribute)
    return found.value


def depends_on_values(k: Any, name: str, level: Level, flags: Flags, *values: Any) -> Any:
    """Refuse what gives every sample a result of another shape."""
    raise BatchingError(
        f"vmap: the shape of what {name} gives depends on values, which differ from sample to "
        "sample; use where(...), or a mask as numbers"
    )


# -- random numbers --------------------------------------------------------------------------------
def _drawing(rule: Rule) -> Rule:
    rule.random = True  # type: ignore[attr-defined]
    return rule


@_drawing
def _drawn(k: Any, name: str, level: Level, flags: Flags, state: Any, shape: Any, *rest: Any
           ) -> tuple[bool, Any]:  # fmt: skip
    check_randomness(name, level)
    if level.randomness == "same":
        return False, getattr(k, name)(state, shape, *rest)
    return True, getattr(k, name)(state, (level.size, *shape), *rest)


@_drawing
def _dropout(k: Any, name: str, level: Level, flags: Flags, x: Any, state: Any, probability: float
             ) -> tuple[bool, Any]:  # fmt: skip
    check_randomness(name, level)
    if level.randomness == "different":
        return True, k.dropout(whole(k, level, flags[0], x), state, probability)
    if not flags[0]:
        return False, k.dropout(x, state, probability)
    _, keep = k.dropout(k.getitem(x, 0), state, probability)
    out = k.cast(x * keep * (1 / (1 - probability)), x.dtype)
    return True, (out, k.broadcast_to(keep, x.shape))


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("where", "softplus", "hardtanh", "leaky_relu", "elu", "gelu", "zeros_like", "ones_like",
         "cast", "copy", "to_device", "clone", "identity"),
        elementwise,
    ),
    **dict.fromkeys(("polygamma", "index_within", "gated_activation"), elementwise),
    "gated_activation_gradient": _several_elementwise,
    **dict.fromkeys(
        ("tril", "triu", "mT", "cholesky", "qr", "eigh", "eigvalsh", "eig", "svd", "slogdet",
         "one_hot", "frexp"),
        _as_it_is,
    ),
    **dict.fromkeys(
        ("solve", "solve_triangular", "lstsq", "adjugate_along", "expm_along"), _pair_of_matrices
    ),
    **dict.fromkeys(("digitize", "isin"), _first_along),
    "searchsorted": _searchsorted,
    "pinv": _pinv,
    "vector_norm": _vector_norm,
    **dict.fromkeys(("argmax", "argmin"), _place_of_extreme),
    **dict.fromkeys(("concat", "stack"), _join),
    **dict.fromkeys(("split", "unstack"), _pieces),
    **dict.fromkeys(("nonzero", "argwhere", "unique"), depends_on_values),
    **dict.fromkeys(("random_uniform", "random_normal", "random_integers"), _drawn),
    **dict.fromkeys(
        ("var", "std", "sort", "argsort", "running_places", "fourier", "fourier_of_real",
         "fourier_to_real"),
        _axis_first,
   ),
    "roll": _roll,
    "reshape": _reshape,
    "permute_dims": _permute,
    "broadcast_to": _broadcast_to,
    "sum_to": _sum_to,
    "diagonal": _diagonal,
    "place_diagonal": _place_diagonal,
    "matmul": _matmul,
    "einsum": _einsum,
    "getitem": _getitem,
    "place": _place,
    "clear": _clear,
    "setitem": _setitem,
    "getitem_arrays": _getitem_arrays,
    "scatter_add": _scatter_add,
    "clear_arrays": _clear_arrays,
    "take_along_axis": _take_along,
    "scatter_along_axis": _scatter_along,
    "read_view": _read_view,
    "dropout": _dropout,
}  # fmt: skip

