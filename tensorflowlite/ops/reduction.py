"""Reductions.

A primitive takes its axes as a sorted tuple of non-negative integers. A rule sees ``g`` and
``out`` with the reduced axes kept as length 1, whatever the caller asked for, and ``axis`` in the
form that keeps them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..backend import Kept
from ..core.tensor import Tensor
from ..errors import DtypeError, ShapeError
from .declare import attr1

Axis = int | tuple[int, ...] | None
_ALL = tuple(tuple(range(ndim)) for ndim in range(65))


def normalize_axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the axes as a sorted tuple of non-negative integers."""
    if axis is None:
        return _ALL[ndim]
    if type(axis) is int:
        if -ndim <= axis < ndim:
            return (axis % ndim,)
        raise ShapeError(f"{name}: axis must lie in [{-ndim}, {ndim}), got {axis}")
    if not isinstance(axis, tuple | list):
        try:
            return normalize_axes(name, operator.index(axis), ndim)
        except TypeError:
            raise DtypeError(
                f"{name}: axis must be an integer, a tuple of them or None, got {axis!r}"
            ) from None
    axes = sorted([normalize_axes(name, one, ndim)[0] for one in axis])
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: axis must not repeat, got {axis}")
    return tuple(axes)


def kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``shape`` with length 1 along ``axes``."""
    if len(axes) == len(shape):
        return (1,) * len(axes)
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def kept_rule(vjp: Callable[..., Any]) -> Callable[..., Any]:
    """Return a rule that hands ``vjp`` its ``g``, ``out`` and ``axis`` in the kept form."""
    code = vjp.__code__
    names = code.co_varnames[: code.co_argcount]
    saved = tuple(name for name in names if name not in ("k", "g", "axis"))

    def rule(k: Any, g: Any, x_shape: Any, axis: Any, *values: Any) -> Any:
        given = dict(zip(saved, values, strict=True))
        if type(axis) is not Kept:
            shape = kept_shape(x_shape, axis)
            g = k.reshape(g, shape)
            if "out" in given:
                given["out"] = k.reshape(given["out"], shape)
        given |= {"k": k, "g": g, "axis": Kept(axis), "x_shape": x_shape}
        return vjp(*[given[name] for name in names])

    rule.names = ("k", "g", "x_shape", "axis", *[n for n in saved if n != "x_shape"])  # type: ignore[attr-defined]
    saved = tuple(n for n in saved if n != "x_shape")
    return rule


def reduction(name: str, vjp: Callable[..., Any] | None, doc: str) -> Callable[..., Tensor]:
    """Declare a reduction and return its public function ``name(x, axis=None, keepdims=False)``."""
    run = attr1(name, "axis", None if vjp is None else kept_rule(vjp))

    def reduce(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        if type(x) is not Tensor:
            x = as_tensor(x)
        axes = normalize_axes(name, axis, x.array.ndim)
        return run(x, Kept(axes) if keepdims else axes)

    reduce.__name__ = reduce.__qualname__ = name
    reduce.__module__ = "tensorflowlite"
    reduce.__doc__ = doc
    reduce.primitive = run.primitive  # type: ignore[attr-defined]
    return reduce


def as_tensor(x: Any) -> Tensor:
    """Return an operand as a tensor, sharing the memory of an array."""
    from ..core.entry import lift
    from ..core.tensor import wrap

    return x if type(x) is Tensor else lift(x, wrap(x, None) if hasattr(x, "dtype") else x)


sum = reduction(
    "sum",
    lambda k, g, x_shape: k.broadcast_to(g, x_shape),
    """Sum of the elements over ``axis``.

    Parameters
    ----------
    x : Tensor
        Any shape; float16 and bfloat16 are accumulated in float32 and rounded once.
    axis : int, tuple of int or None
        The axes to sum over; None means all.
    keepdims : bool
        Leave the reduced axes in place with length 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.sum(tfl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([4., 6.])
    """,
)
