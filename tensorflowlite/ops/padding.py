"""Padding, with NumPy's modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from . import reduction
from .arguments import as_tensor, one_axis
from .casting import astype, clone, clone_for
from .creation import arange, full
from .indexing import _getitem, _place, setitem, take
from .joining import concat
from .quantiles import median
from .shaping import _reshape, broadcast_to

_ALL = slice(None)
Pair = tuple[int, int]


# -- which element stands at each place beyond the edges -------------------------------------------
def _edge(place: int, length: int) -> int:
    return min(max(place, 0), length - 1)


def _wrap(place: int, length: int) -> int:
    return place % length


def _symmetric(place: int, length: int) -> int:
    place %= 2 * length
    return place if place < length else 2 * length - 1 - place


def _reflect(place: int, length: int) -> int:
    period = max(2 * (length - 1), 1)
    place %= period
    return place if place < length else period - place


_PLACES: dict[str, Callable[[int, int], int]] = {
    "edge": _edge, "wrap": _wrap, "symmetric": _symmetric, "reflect": _reflect,
}  # fmt: skip
_STATISTICS: dict[str, Callable[..., Tensor]] = {
    "maximum": reduction.max, "minimum": reduction.min, "mean": reduction.mean, "median": median,
}  # fmt: skip
_OPTIONS = {
    "constant": "constant_values", "linear_ramp": "end_values",
    **dict.fromkeys(_STATISTICS, "stat_length"),
}  # fmt: skip


# -- arguments -------------------------------------------------------------------------------------
def _pairs(name: str, given: Any, ndim: int) -> list[tuple[Any, Any]]:
    """Return a pair for each axis, from one value, one pair, or a pair (or value) for each axis."""
    if hasattr(given, "tolist"):
        given = given.tolist()
    if not isinstance(given, tuple | list):
        return [(given, given)] * ndim
    items = list(given)
    if all(not isinstance(item, tuple | list) for item in items):
        if len(items) == 1:
            return [(items[0], items[0])] * ndim
        if len(items) == 2:
            return [(items[0], items[1])] * ndim
    else:
        pairs = [tuple(item) * 2 if len(item) == 1 else tuple(item) for item in items]
        if len(pairs) == 1:
            pairs *= ndim
        if len(pairs) == ndim and all(len(pair) == 2 for pair in pairs):
            return pairs
    raise ShapeError(f"pad: {name} must be a value, a pair or a pair for each axis, got {given}")


def _widths(pad_width: Any, ndim: int) -> list[Pair]:
    if isinstance(pad_width, dict):
        widths = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            widths[one_axis("pad", axis, ndim)] = _pairs("pad_width", width, 1)[0]
    else:
        widths = _pairs("pad_width", pad_width, ndim)
    found = []
    for pair in widths:
        for width in pair:
            if not hasattr(width, "__index__"):
                raise DtypeError(f"pad: pad_width must hold integers, got {width!r}")
            if width < 0:
                raise ArgumentError(f"pad: pad_width must not be negative, got {pad_width}")
        found.append((pair[0].__index__(), pair[1].__index__()))
    return found


def pad(
    x: Any,
    pad_width: Any,
    /,
    mode: str = "constant",
    *,
    constant_values: Any = None,
    end_values: Any = None,
    stat_length: Any = None,
    reflect_type: str = "even",
) -> Tensor:
    """Return the tensor with more elements before and after those along each axis.

    Parameters
    ----------
    x : Tensor
        Any shape.
    pad_width : int, pair, sequence of pairs or dict
        How many before and after: for all axes, or a pair for each; or by axis.
    mode : str
        What they hold: ``"constant"``, ``"edge"`` (the outermost element), ``"reflect"``
        (mirrored at it), ``"symmetric"`` (mirrored beside it), ``"wrap"`` (from the other end),
        ``"linear_ramp"``, the ``"maximum"``, ``"minimum"``, ``"mean"`` or ``"median"`` of the
        axis, or ``"empty"`` (anything).
    constant_values : number or pairs of them, optional
        Of the mode ``"constant"``: what to write; by default 0.
    end_values : number or pairs of them, optional
        Of the mode ``"linear_ramp"``: where the ramps end; by default 0.
    stat_length : int or pairs of them, optional
        Of the statistics: over how many of the outermost elements; by default all.
    reflect_type : str
        ``"even"``; NumPy's ``"odd"`` is refused.

    Returns
    -------
    Tensor
        A copy; gradients flow to the elements that are repeated.

    Raises
    ------
    ArgumentError
        The mode isn't known, or an axis is empty whose elements it needs.
    ShapeError
        There isn't a pair for each axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.pad(tfl.tensor([1.0, 2.0, 3.0]), (1, 2), mode="reflect")
    tensor([2., 1., 2., 3., 2., 1.])
    >>> tfl.pad(tfl.tensor([1.0]), 1, constant_values=5)
    tensor([5., 1., 5.])
    """
    x = as_tensor(x)
    widths = _widths(pad_width, x.ndim)
    known = mode in _OPTIONS or mode in _PLACES or mode == "empty"
    if not known:
        modes = ", ".join(map(repr, sorted({*_OPTIONS, *_PLACES, "empty"})))
        raise ArgumentError(f"pad: mode must be one of {modes}, got {mode!r}")
    options = {"constant_values": constant_values, "end_values": end_values,
               "stat_length": stat_length}  # fmt: skip
    option = _OPTIONS.get(mode)
    for word, value in options.items():
        if value is not None and word != option:
            raise ArgumentError(f"pad: mode {mode!r} takes {option or 'no option'}, got {word}=")
    if reflect_type != "even":
        raise ArgumentError(f"pad: reflect_type must be 'even', got {reflect_type!r}")
    if mode in ("constant", "empty"):
        return _constant(x, widths, 0 if constant_values is None else constant_values)
    for axis, (before, after) in enumerate(widths):
        if not x.shape[axis] and (before or after):
            raise ArgumentError(f"pad: an axis must not be empty, got {x.shape} along axis {axis}")
    value = end_values if mode == "linear_ramp" else stat_length
    default = 0 if mode == "linear_ramp" else None
    given = _pairs(str(option), default if value is None else value, x.ndim)
    out = x
    for axis, width in enumerate(widths):
        if width == (0, 0):
            continue
        if mode in _PLACES:
            ends = _repeated(out, axis, width, _PLACES[mode])
        elif mode == "linear_ramp":
            ends = _ramps(out, axis, width, given[axis])
        else:
            ends = _statistics(mode, out, axis, width, given[axis])
        out = concat([ends[0], out, ends[1]], axis)
    return clone(out) if out is x else out


def _constant(x: Tensor, widths: list[Pair], values: Any) -> Tensor:
    shape = tuple([n + sum(width) for n, width in zip(x.shape, widths, strict=True)])
    inner = tuple([slice(b, b + n) for n, (b, _) in zip(x.shape, widths, strict=True)])
    if type(values) in (int, float) and values == 0:
        return _place(x, inner, shape)
    out = clone_for(full(shape, 0, dtype=x.dtype, device=x.device), x, values)
    for axis, (one, other) in enumerate(_pairs("constant_values", values, x.ndim)):
        before, after = widths[axis]
        lead = (_ALL,) * axis
        setitem(out, (*lead, slice(0, before)), one)
        setitem(out, (*lead, slice(shape[axis] - after, None)), other)
    setitem(out, inner if inner else ..., x)
    return out


def _repeated(
    x: Tensor, axis: int, width: Pair, place: Callable[[int, int], int]
) -> tuple[Tensor, Tensor]:
    length = x.shape[axis]
    first = [place(i, length) for i in range(-width[0], 0)]
    last = [place(i, length) for i in range(length, length + width[1])]
    return take(x, first, axis=axis), take(x, last, axis=axis)


def _at(x: Tensor, axis: int, start: int, stop: int | None) -> Tensor:
    return _getitem(x, (*(_ALL,) * axis, slice(start, stop)))


def _ramps(x: Tensor, axis: int, width: Pair, ends: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    made = []
    for start, stop, count, end, back in (
        (0, 1, width[0], ends[0], False),
        (x.shape[axis] - 1, None, width[1], ends[1], True),
    ):
        shape = (1,) * axis + (count,) + (1,) * (x.ndim - axis - 1)
        steps = arange(count, dtype=dtypes.float64, device=x.device) / max(count, 1)
        steps = _reshape(1 - (steps + 1 / max(count, 1)) if back else steps, shape)
        edge = _at(x, axis, start, stop)
        inexact = x.dtype in dtypes.inexact
        weight = astype(steps, x.dtype) if inexact else steps
        ramp = end + (edge - end) * weight
        made.append(ramp if inexact else astype(ramp, x.dtype))
    return made[0], made[1]


def _statistics(
    mode: str, x: Tensor, axis: int, width: Pair, lengths: tuple[Any, Any]
) -> tuple[Tensor, Tensor]:
    made = []
    for length, count, last in ((lengths[0], width[0], False), (lengths[1], width[1], True)):
        size = x.shape[axis]
        held = size if length is None else min(length, size)
        if held < 1:
            raise ArgumentError(f"pad: stat_length must be at least 1, got {length}")
        part = _at(x, axis, size - held if last else 0, size if last else held)
        value = _STATISTICS[mode](part, axis, keepdims=True)
        if value.dtype != x.dtype:
            value = astype(value.round(), x.dtype)
        made.append(broadcast_to(value, (*x.shape[:axis], count, *x.shape[axis + 1 :])))
    return made[0], made[1]
