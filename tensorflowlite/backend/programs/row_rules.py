"""How each slot takes rows of samples to rows of samples: the rules of `programs.rows`.

A rule gets a call as `Seen` at both sizes, of which an argument depends on the samples, and returns
where they lie in its results: of each, or one for all. It raises `MixesError` where they meet. The
table names what is known; nothing else is taken to keep samples apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..slots.indexing import INDEX
from .row_states import Mixed, MixesError, Operand, Rows, Seen, State, differing

Rule = Callable[[Seen], Any]

# Each element of the result depends on the elements at the same place of what broadcasts.
_ELEMENTWISE = """
    abs acos acosh add asin asinh atan atan2 atanh binary_cross_entropy
    binary_cross_entropy_with_logits bitwise_and bitwise_invert bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor cast ceil clip_high clip_low clone conj copy copysign cos cosh
    digamma divide elu equal erf erfc erfinv exp exp2 expm1 floor floor_divide gated_activation gelu
    greater greater_equal hardtanh hypot i0 i1 identity imag index_within isfinite isinf isnan
    leaky_relu ldexp less less_equal lgamma log log10 log1p log2 logaddexp logical_and logical_not
    logical_or logical_xor maximum minimum multiply negative nextafter not_equal polygamma positive
    power real reciprocal relu remainder round rsqrt sigmoid sign signbit silu sin sinc sinh
    softplus sqrt square subtract tan tanh trunc where xlog1py xlogy
"""


def _sized(rule: Rule) -> Rule:
    """Mark a rule whose attributes may depend on the batch size: it looks at them."""
    rule.sized = True  # type: ignore[attr-defined]
    return rule


def _by_shape_alone(rule: Rule) -> Rule:
    """Mark a rule of a slot that looks at no value."""
    rule.sized = rule.shapes_only = True  # type: ignore[attr-defined]
    return rule


def _elementwise(call: Seen) -> State:
    return call.aligned(call.operands, call.out_ndim)


def _assign(call: Seen) -> list[State]:
    target = call.operands[0]
    if call.aligned(call.operands, target.ndim) != target.rows:
        raise MixesError("it changes what samples share")
    return []


# -- along axes ------------------------------------------------------------------------------------
def _axes(given: Any, ndim: int) -> set[int]:
    """Return axes as a set, counted from the front."""
    if given is None:
        return set(range(ndim))
    return {axis % ndim for axis in (given if isinstance(given, tuple | list) else (given,))}


def _along(call: Seen, given: Any) -> State:
    x, rows = call.lone()
    axes = _axes(given, x.ndim)
    if rows.axis in axes:
        raise MixesError("it works along the axis of the samples")
    if call.out_ndim == x.ndim:
        return rows
    if call.out_ndim != x.ndim - len(axes):
        raise MixesError("its result has other axes than are known")
    return rows._replace(axis=rows.axis - sum(axis < rows.axis for axis in axes))


def _along_axis(call: Seen) -> State:
    return _along(call, call.attributes()[0])


def _along_first_of(call: Seen) -> State:
    """The attribute's first part is an axis or several."""
    return _along(call, call.attributes()[0][0])


def _along_second_of(call: Seen) -> State:
    return _along(call, call.attributes()[0][1])


def _last_axes(count: int) -> Rule:
    """Return the rule of what works on the last axes, with results that have the axes before."""

    def rule(call: Seen) -> Any:
        x, rows = call.lone()
        if rows.axis >= x.ndim - count:
            raise MixesError("it works along the axis of the samples")
        return rows

    return rule


def _take_along(call: Seen) -> State:
    x, index = call.operands
    rows = call.aligned((x, index), call.out_ndim)
    if rows.axis in _axes(call.args[2], call.out_ndim) or x.ndim != index.ndim:
        raise MixesError("it works along the axis of the samples")
    return rows


# -- shapes ----------------------------------------------------------------------------------------
@_sized
def _reshape(call: Seen) -> State:
    x, rows = call.lone()
    small, large = call.outs[0]
    axis = differing(small, large)
    # How many elements lie before and after the samples stays, whatever the axes are.
    before = math.prod(x.small[: rows.axis]) * rows.before
    after = rows.after * math.prod(x.small[rows.axis + 1 :])
    if axis is None or not before * after:
        raise MixesError("it hides the axis of the samples")
    front, back = math.prod(small[:axis]), math.prod(small[axis + 1 :])
    if before % front or after % back:
        raise MixesError("it divides the axis of the samples")
    return Rows(axis, before // front, after // back)


def _permute(call: Seen) -> State:
    x, rows = call.lone()
    order = [axis % x.ndim for axis in call.args[1]]
    return rows._replace(axis=order.index(rows.axis))


def _transposed(call: Seen) -> State:
    x, rows = call.lone()
    last = {x.ndim - 1: x.ndim - 2, x.ndim - 2: x.ndim - 1}
    return rows._replace(axis=last.get(rows.axis, rows.axis))


def _diagonal(call: Seen) -> State:
    x, rows = call.lone()
    _, *given = call.args[1]
    axes = _axes(tuple(given), x.ndim)
    if rows.axis in axes:
        raise MixesError("it works along the axis of the samples")
    return rows._replace(axis=rows.axis - sum(axis < rows.axis for axis in axes))


@_sized
def _broadcast_to(call: Seen) -> State:
    (x,) = call.operands
    if x.rows is None:
        return call.by_shape(*call.outs[0])
    return call.aligned((x,), call.out_ndim)


@_sized
def _sum_to(call: Seen) -> State:
    x, _ = call.lone()
    rows = call.aligned((x,), call.out_ndim)
    if rows.axis < 0 or differing(*call.outs[0]) != rows.axis:
        raise MixesError("it sums over the samples")
    return rows


@_by_shape_alone
def _filled(call: Seen) -> State:
    for one in call.operands:
        if one.rows is not None and (one.small, one.large) == call.outs[0]:
            return one.rows
    return call.by_shape(*call.outs[0])


def _join(call: Seen) -> State:
    stacked = call.slot == "stack"
    rows = call.aligned(call.operands, call.operands[0].ndim)
    if any(one.rows is None for one in call.operands):
        raise MixesError("the samples lie along different axes of its arguments")
    (axis,) = _axes(call.args[-1], call.out_ndim)
    if stacked:
        return rows._replace(axis=rows.axis + (axis <= rows.axis))
    if axis == rows.axis:
        raise MixesError("it works along the axis of the samples")
    return rows


def _pieces(call: Seen) -> State:
    x, rows = call.lone()
    (axis,) = _axes(call.args[-1], x.ndim)
    if axis == rows.axis:
        raise MixesError("it works along the axis of the samples")
    return rows._replace(axis=rows.axis - (call.slot == "unstack" and axis < rows.axis))


# -- keys ------------------------------------------------------------------------------------------
class _Key:
    """A basic key, or a template, against an array: where an axis goes.

    ``axis`` counts the axes of the result that no index array makes; ``advanced`` are the places
    among them where index arrays, and numbers beside them, stand.
    """

    def __init__(self, small: Any, large: Any, x: Operand, wanted: int | None) -> None:
        small, large = [key if type(key) is tuple else (key,) for key in (small, large)]
        if len(small) != len(large):
            raise MixesError("its key depends on the batch size")
        named = sum(part is not None and part is not Ellipsis for part in small)
        self.axis: int | None = None
        self.advanced: list[tuple[int, int]] = []  # the part's number, and axes before it
        source, target = 0, 0
        whole = slice(None)
        pairs: list[tuple[Any, Any]] = []
        for one, other in zip(small, large, strict=True):
            pairs += [(whole, whole)] * (x.ndim - named) if one is Ellipsis else [(one, other)]
        pairs += [(whole, whole)] * (x.ndim - sum(one is not None for one, _ in pairs))
        for number, (one, other) in enumerate(pairs):
            at_samples = source == wanted
            if type(one) is slice:
                if at_samples:
                    self._check_whole(one, x.small[source])
                    self._check_whole(other, x.large[source])
                    self.axis = target
                elif one != other:
                    raise MixesError("its key depends on the batch size")
                source, target = source + 1, target + 1
                continue
            if type(one) is not type(other) or one != other:
                raise MixesError("its key depends on the batch size")
            if one is None:
                target += 1
                continue
            if type(one) is bool or not (one is INDEX or hasattr(one, "__index__")):
                raise MixesError("its key isn't known to keep the samples apart")
            if at_samples:
                raise MixesError("it takes one of the samples")
            self.advanced.append((number, target))
            source += 1

    @staticmethod
    def _check_whole(part: Any, length: int) -> None:
        if type(part) is not slice or part.indices(length) != (0, length, 1):
            raise MixesError("it takes some of the samples, or in another order")

    def lead(self) -> int:
        """Return where the axes of index arrays stand in the result."""
        numbers = [number for number, _ in self.advanced]
        together = numbers[-1] - numbers[0] == len(numbers) - 1
        return self.advanced[0][1] if together else 0


@_sized
def _getitem(call: Seen) -> State:
    x, rows = call.lone()
    key = _Key(call.args[1], call.others[1], x, rows.axis)
    assert key.axis is not None
    return rows._replace(axis=key.axis)


def _getitem_arrays(call: Seen) -> State:
    x, *indices = call.operands
    template = call.args[-1]
    key = _Key(template, template, x, None if x.rows is None else x.rows.axis)
    rank = max(one.ndim for one in indices)
    lead = key.lead()
    if x.rows is None:
        rows = call.aligned(indices, rank)
        return rows._replace(axis=rows.axis + lead)
    if any(one.rows for one in indices):
        raise MixesError("its indices may name other samples")
    assert key.axis is not None
    return x.rows._replace(axis=key.axis + (rank if key.axis >= lead else 0))


@_sized
def _setitem(call: Seen) -> State:
    target, value = call.operands
    rows = target.rows
    if rows is None:
        raise MixesError("it changes what samples share")
    key = _Key(call.args[2], call.others[2], target, rows.axis)
    assert key.axis is not None
    if value.rows is not None:
        dropped = len(key.advanced)
        added = sum(part is None for part in _parts(call.args[2]))
        region = target.ndim - dropped + added
        if call.aligned((value,), region) != rows._replace(axis=key.axis):
            raise MixesError("the samples lie along different axes of its arguments")
    return rows


def _parts(key: Any) -> tuple[Any, ...]:
    return key if type(key) is tuple else (key,)


@_sized
def _place(call: Seen) -> State:
    """Into zeros of a shape, where a key says."""
    x, rows = call.lone()
    _, key, shape = call.args
    _, large_key, large_shape = call.others
    axis = differing(shape, large_shape)
    found = _Key(key, large_key, Operand(None, shape, large_shape), axis)
    added = sum(part is None for part in _parts(key))
    if axis is None or found.axis != rows.axis:
        raise MixesError("the samples lie along different axes of its arguments")
    if x.ndim != len(shape) - len(found.advanced) + added:
        raise MixesError("its key isn't known to keep the samples apart")
    return rows._replace(axis=axis)


# -- products --------------------------------------------------------------------------------------
def _matmul(call: Seen) -> State:
    x, y = call.operands
    if x.rows is not None and y.rows is not None:
        return call.aligned((x, y), call.out_ndim, 2)
    if x.rows is not None:
        if x.rows.axis == x.ndim - 1:
            raise MixesError("it sums over the samples")
        if y.ndim == 1:
            return x.rows
        return call.aligned((x,), call.out_ndim)
    assert y.rows is not None
    if y.ndim == 1 or y.rows.axis == y.ndim - 2:
        raise MixesError("it sums over the samples")
    if x.ndim > 1 or y.rows.axis == y.ndim - 1:
        return call.aligned((y,), call.out_ndim)
    return y.rows


def _einsum(call: Seen) -> State:
    *_, labels, out_labels = call.args
    found = set()
    for one, names in zip(call.operands, labels, strict=True):
        if one.rows is not None:
            name = names[one.rows.axis]
            if list(names).count(name) > 1:
                raise MixesError("it takes a diagonal of the samples")
            found.add((name, one.rows.before, one.rows.after))
    if len(found) > 1:
        raise MixesError("the samples have several labels")
    name, before, after = found.pop()
    for one, names in zip(call.operands, labels, strict=True):
        if one.rows is None and name in names:
            raise MixesError("the samples lie along different axes of its arguments")
    if name not in out_labels:
        raise MixesError("it sums over the samples")
    return Rows(list(out_labels).index(name), before, after)


# -- layers ----------------------------------------------------------------------------------------
def _images(call: Seen) -> State:
    """Convolutions and pools: the samples are the first axis."""
    _, rows = call.lone()
    if rows.axis:
        raise MixesError("the samples aren't along the first axis")
    return rows


@_sized
def _transposed_convolution(call: Seen) -> State:
    shape, large = call.args[2], call.others[2]
    if tuple(shape[1:]) != tuple(large[1:]) or call.args[3:] != call.others[3:]:
        raise MixesError("an argument depends on the batch size")
    return _images(call)


def _over_last(call: Seen) -> list[State]:
    """Layer and RMS norm: the result, and the statistics as a pair in front."""
    x, rows = call.lone()
    if rows.axis >= x.ndim - call.attributes()[0]:
        raise MixesError("it works along the axis of the samples")
    return [rows, rows._replace(axis=rows.axis + 1)]


def _attention(call: Seen) -> list[State]:
    *_, probability = call.attributes()
    if probability or not 3 <= len(call.operands) <= 4:
        raise MixesError("it draws random numbers")
    rows = call.aligned(call.operands, call.out_ndim, 2)
    return [rows] * len(call.outs)


def _each_in_others(call: Seen) -> State:
    """Operations on the elements of the first with all of the others."""
    return call.lone()[1]


def _embedding(call: Seen) -> State:
    weight, index = call.operands
    if weight.rows is not None or index.rows is None:
        raise MixesError("its weight depends on the samples")
    return index.rows


def _per_class(call: Seen) -> State:
    """Losses of each sample, with or without weights of classes."""
    x, target, *weights = call.operands
    if any(one.rows for one in weights) or x.rows != target.rows or (x.rows or Rows(1)).axis:
        raise MixesError("the samples aren't along the first axis")
    return x.rows


@_sized
def _recurrence(call: Seen) -> list[State]:
    """All steps of a layer: sequences of one length, a row per step and sequence."""
    x, state, weight, *extra = call.operands
    count, large = call.sizes
    lengths, others = call.args[-2], call.others[-2]
    steps = len(lengths)
    if lengths != (count,) * steps or others != (large,) * steps or not steps:
        raise MixesError("sequences are of several lengths")
    if (*call.args[-3:-2], call.args[-1]) != (*call.others[-3:-2], call.others[-1]):
        raise MixesError("an argument depends on the batch size")
    if x.rows != Rows(0, steps) or state.rows != Rows(0) or weight.rows is not None:
        raise MixesError("the samples lie along other axes than are known")
    if any(one.rows not in (None, Rows(0)) for one in extra):
        raise MixesError("the samples lie along other axes than are known")
    ends = 2 if call.args[-3] == "lstm" else 1
    found: list[State] = [Rows(0, steps), *[Rows(0)] * ends]
    kept = Mixed("what recurrence keeps for its gradient has no rows")
    return found + [kept] * (len(call.outs) - len(found))


def _named(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = {
    **_named(_ELEMENTWISE, _elementwise),
    **_named("sum prod max min mean any all count_nonzero logsumexp", _along_axis),
    **_named("softmax log_softmax cumulative_sum cumulative_prod", _along_axis),
    **_named("var std sort argsort running_places argmax argmin", _along_first_of),
    **_named("fourier fourier_of_real fourier_to_real", _along_first_of),
    **_named("vector_norm roll", _along_second_of),
    **_named("tril triu cholesky inv", _last_axes(2)),
    **_named("one_hot digitize isin", _each_in_others),
    "take_along_axis": _take_along,
    "reshape": _reshape,
    "permute_dims": _permute,
    "mT": _transposed,
    "diagonal": _diagonal,
    "broadcast_to": _broadcast_to,
    "sum_to": _sum_to,
    **_named("zeros_like ones_like zeros_for", _filled),
    **_named("concat stack", _join),
    **_named("split unstack", _pieces),
    "getitem": _getitem,
    "getitem_arrays": _getitem_arrays,
    "setitem": _setitem,
    "assign": _assign,
    "place": _place,
    "matmul": _matmul,
    "einsum": _einsum,
    **_named("linear_act", _last_axes(1)),
    **_named("conv_act convolution max_pool avg_pool", _images),
    "convolution_input_gradient": _transposed_convolution,
    **_named("layer_norm rms_norm", _over_last),
    "attention": _attention,
    "embedding": _embedding,
    **_named("softmax_cross_entropy nll_loss", _per_class),
    "recurrence": _recurrence,
}  # fmt: skip


def rule_of(slot: str) -> Rule | None:
    """Return the rule of a slot; None: it may mix samples."""
    return RULES.get(slot)
