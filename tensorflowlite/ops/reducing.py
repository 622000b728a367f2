"""How reductions are declared.

A primitive takes its axes as a sorted tuple of non-negative integers. A rule sees ``g`` and
``out`` with the reduced axes kept as length 1, whatever the caller asked for, and ``axis`` in the
form that keeps them. The public functions take PyTorch's ``dim`` and ``keepdim`` too where they
mean the same, and refuse them where they would mean something else.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..backend import Kept
from ..core.tensor import Tensor
from ..errors import AxisError, DtypeError, ShapeError, UnsupportedArgumentError
from .arguments import as_tensor, one_axis, public
from .casting import astype
from .declare import attr1

Axis = int | tuple[int, ...] | None
_ALL = tuple(tuple(range(ndim)) for ndim in range(65))
_UNSAID = float("0")  # a correction of 0 that nobody gave: no other zero is this object


# -- arguments -------------------------------------------------------------------------------------
def normalize_axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the axes as a sorted tuple of non-negative integers."""
    if axis is None:
        return _ALL[ndim]
    if type(axis) is int:
        if -ndim <= axis < ndim:
            return (axis % ndim,)
        raise AxisError(f"{name}: axis must lie in [{-ndim}, {ndim}), got {axis}")
    if not isinstance(axis, tuple | list):
        # True is no axis: PyTorch's `std(False)` is about the divisor.
        if isinstance(axis, bool) or not hasattr(axis, "__index__"):
            raise DtypeError(
                f"{name}: axis must be an integer, a tuple of them or None, got {axis!r}"
            )
        return normalize_axes(name, operator.index(axis), ndim)
    axes = sorted([normalize_axes(name, one, ndim)[0] for one in axis])
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: axis must not repeat, got {axis}")
    return tuple(axes)


def kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``shape`` with length 1 along ``axes``."""
    if len(axes) == len(shape):
        return (1,) * len(axes)
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def either_axis(name: str, axis: Any, dim: Any) -> Any:
    """Return the axis, given as ``axis`` or as PyTorch's ``dim``."""
    if dim is None:
        return axis
    if axis is not None:
        raise UnsupportedArgumentError(f"{name}: one of axis and dim is needed, got both")
    return dim


def refuse(name: str, spelling: dict[str, Any], instead: str) -> None:
    """Raise for arguments of PyTorch that would mean something else here."""
    word = next(iter(spelling))
    raise UnsupportedArgumentError(f"{name}: {word}= is PyTorch's spelling; use {instead}")


# -- declaring -------------------------------------------------------------------------------------
def kept_rule(vjp: Callable[..., Any]) -> Callable[..., Any]:
    """Return a rule that hands ``vjp`` its ``g``, ``out`` and ``axis`` in the kept form."""
    code = vjp.__code__
    names = code.co_varnames[: code.co_argcount]
    saved = tuple(name for name in names if name not in ("k", "g", "axis", "x_shape"))

    given = ("k", "g", "x_shape", "axis", *saved)
    if names == ("k", "g", "x_shape"):  # a sum's: for speed
        return _kept_sum_rule(vjp)
    places = [given.index(name) for name in names]
    out_at = saved.index("out") if "out" in saved else None

    def rule(k: Any, g: Any, x_shape: Any, axis: Any, *values: Any) -> Any:
        if type(axis) is not Kept:
            shape = kept_shape(x_shape, axis)
            g = k.reshape(g, shape)
            if out_at is not None:
                out = k.reshape(values[out_at], shape)
                values = (*values[:out_at], out, *values[out_at + 1 :])
            axis = Kept(axis)
        arguments = (k, g, x_shape, axis, *values)
        return vjp(*[arguments[place] for place in places])

    rule.names = given  # type: ignore[attr-defined]
    return rule


def _kept_sum_rule(vjp: Callable[..., Any]) -> Callable[..., Any]:
    def rule(k: Any, g: Any, x_shape: Any, axis: Any) -> Any:
        if type(axis) is not Kept:
            g = k.reshape(g, kept_shape(x_shape, axis))
        return vjp(k, g, x_shape)

    return rule


def _explain_empty(shapes: list[tuple[int, ...]], axis: Any) -> str | None:
    """Say that an extreme of no elements isn't defined; of argmax ``axis`` is (axis, keepdims)."""
    shape = shapes[0]
    if len(axis) == 2 and type(axis[1]) is bool:
        axis = _ALL[len(shape)] if axis[0] is None else axis[:1]
    if any(shape[one] == 0 for one in axis):
        return f"the axes must not be empty, got shape {shape} with axis {tuple(axis)}"
    return None


def reduction(name: str, vjp: Any, doc: str, **declaration: Any) -> Callable[..., Tensor]:
    """Declare a reduction and return its public function ``name(x, axis=None, keepdims=False)``."""
    run = attr1(name, "axis", None if vjp is None else kept_rule(vjp), **declaration)

    def reduce(
        x: Any,
        /,
        axis: Axis = None,
        *,
        keepdims: bool = False,
        dim: Axis = None,
        keepdim: bool = False,
    ) -> Tensor:
        if type(x) is not Tensor:
            x = as_tensor(x)
        if dim is not None:
            axis = either_axis(name, axis, dim)
        axes = _ALL[x.array.ndim] if axis is None else normalize_axes(name, axis, x.array.ndim)
        return run(x, Kept(axes) if keepdims or keepdim else axes)

    reduce.__doc__ = doc
    return public(name, reduce, primitive=run.primitive)


def summing(name: str, vjp: Any, doc: str, **declaration: Any) -> Callable[..., Tensor]:
    """Declare a reduction that takes the dtype to work in, too."""
    run = attr1(name, "axis", None if vjp is None else kept_rule(vjp), **declaration)

    def reduce(
        x: Any,
        /,
        axis: Axis = None,
        *,
        dtype: Any = None,
        keepdims: bool = False,
        dim: Axis = None,
        keepdim: bool = False,
    ) -> Tensor:
        if type(x) is not Tensor:
            x = as_tensor(x)
        if dtype is not None:
            x = astype(x, dtype, copy=False)
        if dim is not None:
            axis = either_axis(name, axis, dim)
        axes = _ALL[x.array.ndim] if axis is None else normalize_axes(name, axis, x.array.ndim)
        out = run(x, Kept(axes) if keepdims or keepdim else axes)
        return out if dtype is None else astype(out, dtype, copy=False)

    reduce.__doc__ = doc
    return public(name, reduce, primitive=run.primitive)


def extreme(name: str, vjp: Any, elementwise: str, doc: str) -> Callable[..., Tensor]:
    """Declare `max` or `min`: what ties shares the gradient, NaN takes it."""
    run = attr1(name, "axis", kept_rule(vjp), explain=_explain_empty)
    instead = f"axis= for the values and arg{name}(axis=) for the indices"

    def reduce(x: Any, /, axis: Axis = None, *, keepdims: bool = False, **spelling: Any) -> Tensor:
        if spelling:
            refuse(name, spelling, instead)
        if isinstance(axis, Tensor):
            raise UnsupportedArgumentError(
                f"{name}: axis must be an integer, a tuple of them or None, got a Tensor; "
                f"{elementwise}(x, y) compares two tensors"
            )
        if type(x) is not Tensor:
            x = as_tensor(x)
        axes = normalize_axes(name, axis, x.array.ndim)
        return run(x, Kept(axes) if keepdims else axes)

    reduce.__doc__ = doc
    return public(name, reduce, primitive=run.primitive)


def place_of_extreme(name: str, doc: str) -> Callable[..., Tensor]:
    """Declare `argmax` or `argmin`."""
    run = attr1(name, "along", None, explain=_explain_empty)

    def find(
        x: Any,
        /,
        axis: int | None = None,
        *,
        keepdims: bool = False,
        dim: int | None = None,
        keepdim: bool = False,
    ) -> Tensor:
        if type(x) is not Tensor:
            x = as_tensor(x)
        axis = either_axis(name, axis, dim)
        if axis is not None:
            axis = one_axis(name, axis, x.array.ndim)
        return run(x, (axis, bool(keepdims or keepdim)))

    find.__doc__ = doc
    return public(name, find, primitive=run.primitive)


def spread_of(name: str, vjp: Any, doc: str) -> Callable[..., Tensor]:
    """Declare `var` or `std`."""
    run = attr1(name, "spread", vjp)

    def reduce(
        x: Any,
        /,
        axis: Axis = None,
        *,
        correction: float = _UNSAID,
        keepdims: bool = False,
        **spelling: Any,
    ) -> Tensor:
        if spelling:
            axis, keepdims = _torch_spread(name, axis, correction, keepdims, spelling)
        if type(x) is not Tensor:
            x = as_tensor(x)
        axes = normalize_axes(name, axis, x.array.ndim)
        return run(x, (Kept(axes) if keepdims else axes, correction or 0))

    reduce.__doc__ = doc
    return public(name, reduce, primitive=run.primitive)


def _torch_spread(name: str, axis: Any, correction: Any, keepdims: bool, spelling: Any) -> Any:
    """Return axis and keepdims from PyTorch's names, which are clear only beside a correction."""
    unknown = {word: 0 for word in spelling if word not in ("dim", "keepdim")}
    if correction is _UNSAID or unknown:
        refuse(
            name,
            unknown or spelling,
            "axis=, and correction=1 to divide by n - 1 (the default divides by n)",
        )
    return either_axis(name, axis, spelling.get("dim")), keepdims or spelling.get("keepdim", False)


# -- docstrings ------------------------------------------------------------------------------------
_DOC = """{what}, over ``axis``.

    {note}Parameters
    ----------
    x : Tensor
        Any shape.
    axis : {kinds}, optional
        {axis}
    {more}keepdims : bool
        Leave the reduced axes in place with length 1.
    {torch}
    Returns
    -------
    Tensor
    {returns}{raises}
    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> {example}
    {result}
    """
_TORCH = """dim, keepdim
        PyTorch's names of ``axis`` and ``keepdims``.
    """
_SEVERAL = "The axes to reduce; None means all."


def reduction_doc(
    what: str,
    example: str,
    result: str,
    *,
    dtype: str = "",
    correction: str = "",
    axis: str = "",
    returns: str = "",
    empty: str = "",
    note: str = "",
    torch: bool = True,
) -> str:
    """Return the docstring of a reduction; ``torch`` says whether it takes PyTorch's names."""
    more = ""
    if dtype:
        more += f"dtype : dtype, optional\n        {dtype}\n    "
    if correction:
        more += f"correction : float\n        {correction}\n    "
    raises = f"\n    Raises\n    ------\n    ShapeError\n        {empty}\n" if empty else ""
    text = _DOC.format(
        what=what,
        note=f"{note}\n\n    " if note else "",
        kinds="int" if axis else "int or tuple of int",
        axis=axis or _SEVERAL,
        more=more,
        torch=_TORCH if torch else "",
        returns=f"    {returns}\n" if returns else "",
        raises=raises,
        example=example,
        result=result,
    )
    return "\n".join([line.rstrip() for line in text.split("\n")])
