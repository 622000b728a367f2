"""NumPy's universal functions on tensors, recorded: ``np.sin(t)``, ``np.add.reduce(t)``.

NumPy and CuPy hand a call over to the tensor among its arguments; here it goes on to the operation
of that meaning, which records it. What has none raises: nothing is detached in silence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..backend import is_array, ndarray, number_types
from ..backend.public_functions import overrides, ufunc_name
from ..core.entry import lift
from ..core.primitive import traced
from ..core.tensor import Tensor, wrap
from ..errors import ArgumentError, DtypeError, GradientError, UnsupportedArgumentError
from . import casting, creation, elementwise, indexing, joining, mutating, reduction, shaping
from .arguments import one_axis, several_axes
from .numpy_table import UFUNCS, found, refusal

# What leaves the other operand as it is, for reductions that leave elements out.
_NEUTRAL = {"add": 0, "multiply": 1, "logical_and": True, "logical_or": False}
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "add": reduction.sum, "multiply": reduction.prod, "maximum": reduction.max,
    "minimum": reduction.min, "logical_and": reduction.all, "logical_or": reduction.any,
    "logaddexp": reduction.logsumexp,
}  # fmt: skip
_COMPARISONS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
_IGNORED = {"casting", "order", "subok"}  # they choose among layouts and checks, not values


def array_ufunc(x: Tensor, ufunc: Any, method: str, /, *inputs: Any, out: Any = (),
                **options: Any) -> Any:  # fmt: skip
    """NumPy's hook for universal functions: record the operation of that meaning.

    Parameters
    ----------
    ufunc : numpy.ufunc
        The function.
    method : str
        How it was called: ``"__call__"``, ``"reduce"``, ``"accumulate"``, ``"reduceat"``,
        ``"outer"`` or ``"at"``.
    *inputs
        The operands; tensors among them.
    out : tuple of Tensor
        Tensors that take the results; the change is recorded.
    **options
        ``where``, ``dtype``, ``axis``, ``keepdims``, ``initial``.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([0.0, 1.0], requires_grad=True)
    >>> np.add.reduce(np.exp(x)).backward()
    >>> x.grad
    tensor([1.    , 2.7183])
    """
    out = out if type(out) is tuple else (out,)
    if any(not isinstance(one, Tensor) and overrides(one, "__array_ufunc__")
           for one in (*inputs, *out)):  # fmt: skip
        return NotImplemented  # another library's type: it may know what to do
    name = ufunc_name(ufunc)
    if name is None or name not in UFUNCS:
        raise UnsupportedArgumentError(refusal(name or ufunc.__name__))
    called = name.removeprefix("numpy.").removeprefix("scipy.")
    for option in _IGNORED:
        options.pop(option, None)
    if called in _COMPARISONS:
        inputs = tuple([_number(one) for one in inputs])
    inputs = tuple([_operand(one, x) for one in inputs])
    function = found(UFUNCS[name])
    return _METHODS[method](f"np.{called}", called, function, inputs, out, options)


def cupy_kernel(x: Tensor, kernel: Any, /, *inputs: Any, **options: Any) -> Any:
    """CuPy's hook for universal functions: as NumPy's."""
    name = f"numpy.{kernel.name.removeprefix('cupy_')}"
    if name not in UFUNCS:
        raise UnsupportedArgumentError(refusal(f"cupy.{name.removeprefix('numpy.')}"))
    out = options.pop("out", ())
    for option in _IGNORED:
        options.pop(option, None)
    called = name.removeprefix("numpy.")
    out = out if type(out) is tuple else (out,)
    return _call(f"cupy.{called}", called, found(UFUNCS[name]), inputs, out, options)


def _number(value: Any) -> Any:
    """Return an array without axes as a number: NumPy's scalars arrive so where they compare."""
    return value.item() if isinstance(value, ndarray) and value.ndim == 0 else value


def _operand(value: Any, like: Tensor) -> Any:
    """Return an operand as NumPy takes it: lists become tensors beside ``like``."""
    if isinstance(value, (Tensor, *number_types)) or is_array(value):
        return value
    if isinstance(value, list | tuple):
        return creation.asarray(value, device=like.device)
    return value


def _refuse(name: str, options: dict[str, Any]) -> None:
    given = [key for key, value in options.items() if value is not None]
    if given:
        raise UnsupportedArgumentError(f"{name}: {given[0]}= isn't recorded on tensors")


def deliver(name: str, result: Any, out: Any, where: Any = True) -> Any:
    """Return a result, or put it into ``out=``; where ``where`` is false the old values stay."""
    if type(result) is tuple:
        targets = out or (None,) * len(result)
        return tuple([deliver(name, r, (o,), where) for r, o in zip(result, targets, strict=True)])
    target = out[0] if out else None
    if target is None:
        if where is True:
            return result
        return elementwise.where(where, result, creation.zeros_like(result))
    if not isinstance(target, Tensor):
        if result.requires_grad:
            raise GradientError(
                f"{name}: out= must be a Tensor, or the gradient would be lost, got "
                f"{type(target).__name__}; use detach() on the operands"
            )
        target = wrap(target, None)
    if result.shape != target.shape:
        result = shaping.broadcast_to(result, target.shape)
    if not casting.can_cast(result.dtype, target.dtype) and result.dtype.kind != target.dtype.kind:
        raise DtypeError(
            f"{name}: out= must take {result.dtype}, got {target.dtype}; cast with astype first"
        )
    if where is not True:
        result = elementwise.where(where, result, target)
    mutating.copy_(target, result)
    return out[0]


def _call(name: str, called: str, function: Any, inputs: Any, out: Any, options: Any) -> Any:
    dtype, where = options.pop("dtype", None), options.pop("where", True)
    if dtype is not None:
        inputs = [casting.astype(creation.asarray(one), dtype, copy=False) for one in inputs]
    axis = options.pop("axis", None)
    _refuse(name, options)
    result = function(*inputs) if axis is None else function(*inputs, axis=axis)
    return deliver(name, result, out, where)


def reduce(name: str, called: str, function: Any, inputs: Any, out: Any, options: Any) -> Any:
    name += ".reduce"
    x, *rest = inputs
    axis = rest[0] if rest else options.pop("axis", 0)
    dtype, keepdims = options.pop("dtype", None), bool(options.pop("keepdims", False))
    initial, where = options.pop("initial", None), options.pop("where", True)
    _refuse(name, options)
    if dtype is not None:
        x = casting.astype(x, dtype, copy=False)
    if where is not True:
        fill = _NEUTRAL.get(called, initial)
        if fill is None:
            raise ArgumentError(f"{name}: where= needs initial= as well, got none")
        x = elementwise.where(where, x, creation.full_like(x, fill))
    axes = tuple(range(x.ndim)) if axis is None else several_axes(name, axis, x.ndim)
    if called in _REDUCTIONS:
        result = _REDUCTIONS[called](x, axis=axes, keepdims=keepdims)
        if called in ("logical_and", "logical_or") and initial is not None:
            initial = bool(initial)
    else:
        result = x
        for one in sorted(axes, reverse=True):
            result = functools.reduce(function, joining.unstack(result, axis=one))
        if keepdims:
            result = shaping.expand_dims(result, axis=tuple(sorted(axes)))
    if initial is not None:
        result = function(result, initial)
    return deliver(name, result, out)


def _accumulate(name: str, called: str, function: Any, inputs: Any, out: Any, options: Any) -> Any:
    x, *rest = inputs
    axis = one_axis(name, rest[0] if rest else options.pop("axis", 0), x.ndim)
    dtype = options.pop("dtype", None)
    _refuse(f"{name}.accumulate", options)
    if dtype is not None:
        x = casting.astype(x, dtype, copy=False)
    quick = {"add": "cumulative:cumulative_sum", "multiply": "cumulative:cumulative_prod"}
    if called in quick:
        result = found(quick[called])(x, axis=axis)
    else:
        steps: list[Tensor] = []
        for one in joining.unstack(x, axis=axis):
            steps.append(function(steps[-1], one) if steps else one)
        result = joining.stack(steps, axis=axis) if steps else x
    return deliver(f"{name}.accumulate", result, out)


def _outer(name: str, called: str, function: Any, inputs: Any, out: Any, options: Any) -> Any:
    x, y = (creation.asarray(one) for one in inputs)
    x = shaping.reshape(x, x.shape + (1,) * y.ndim)
    return _call(f"{name}.outer", called, function, (x, y), out, options)


def _reduceat(name: str, called: str, function: Any, inputs: Any, out: Any, options: Any) -> Any:
    x, indices, *rest = inputs
    axis = one_axis(name, rest[0] if rest else options.pop("axis", 0), x.ndim)
    starts = creation.asarray(indices).tolist()
    pieces = []
    for start, stop in zip(starts, [*starts[1:], x.shape[axis]], strict=True):
        place = slice(start, max(stop, start + 1))
        piece = indexing.getitem(x, (slice(None),) * axis + (place,))
        pieces.append(reduce(name, called, function, (piece, axis), (), dict(options)))
    return deliver(f"{name}.reduceat", joining.stack(pieces, axis=axis), out)


def _at(name: str, called: str, function: Any, inputs: Any, out: Any, options: Any) -> None:
    x, key, *values = inputs
    if not isinstance(x, Tensor):
        raise GradientError(
            f"{name}.at: the first operand must be a Tensor, or the gradient would be lost, got "
            f"{type(x).__name__}"
        )
    if not values:
        indexing.setitem(x, key, function(indexing.getitem(x, key)))
    elif called in ("add", "subtract"):
        value = lift(values[0], x)
        mutating.copy_(x, function(x, _placed(x, key, value)))
    else:
        raise UnsupportedArgumentError(
            f"{name}.at: repeated places can be added to and subtracted from only, got "
            f"{called}; use indexing where places don't repeat"
        )


def _placed(x: Tensor, key: Any, value: Tensor) -> Tensor:
    """Return zeros of ``x``'s shape with ``value`` added at a key, repeated places and all."""
    value = shaping.broadcast_to(value, indexing.getitem(x, key).shape)
    template, indices = indexing.split_key(key, x)
    if not indices:
        return traced.place(value, template, x.shape)
    return traced.scatter_add(value, *indices, template, x.shape)


_METHODS = {
    "__call__": _call, "reduce": reduce, "accumulate": _accumulate, "outer": _outer,
    "reduceat": _reduceat, "at": _at,
}  # fmt: skip
