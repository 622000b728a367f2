"""Bringing the arguments of operations into one form, or saying what is wrong with them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..backend import Device, backend_of, dtypes, from_data, is_array, number_types
from ..backend.slots.shaping import transfer
from ..core.entry import lift
from ..core.messages import no_room
from ..core.tensor import Tensor, wrap
from ..errors import AxisError, DtypeError, GradientError, ShapeError


def as_tensor(x: Any) -> Tensor:
    """Return an operand as a tensor: arrays are shared, numbers take the default dtypes."""
    if type(x) is Tensor:
        return x
    if is_array(x):
        return wrap(x, None)
    if isinstance(x, number_types):
        return wrap(from_data("tensor", x), None)
    return lift(x, x)  # raises for what is no operand


def known(name: str, array: Any, dtype: Any = None, may_copy: bool = False) -> Any:
    """Return an array whose dtype isn't one of ours as one that is, or is cast to ``dtype`` next.

    Examples
    --------
    >>> import numpy
    >>> known("asarray", numpy.ones(2, ">f4"), may_copy=True).dtype.name
    'float32'
    """
    found = array.dtype
    number = found.kind in "biufc"
    native = found.newbyteorder("=")
    if number and may_copy and (dtype is not None or native in dtypes.supported):
        return array.astype(native)
    hint = "cast the array with astype" if number else "a tensor holds numbers and bool"
    if native in dtypes.supported:
        hint = "its bytes are swapped: cast the array with astype"
    names = ", ".join(one.name for one in dtypes.supported)
    raise DtypeError(f"{name}: the dtype must be one of {names}, got {found}; {hint}")


def plain_numbers(what: str, instead: str, *values: Any) -> list[Any]:
    """Return numbers, also of tensors without axes; raise where a gradient would be lost."""
    if any(type(value) is Tensor and value.requires_grad for value in values):
        raise GradientError(
            f"{what} must be numbers, got a tensor that requires grad; use {instead}"
        )
    return [value.item() if hasattr(value, "item") else value for value in values]


def tensor_list(name: str, xs: Any) -> Any:
    """Return a sequence of operands as tensors; numbers in it are weak beside the tensors."""
    if type(xs) is not list and type(xs) is not tuple:
        try:
            xs = list(xs)
        except TypeError:
            raise DtypeError(
                f"{name}: a sequence of tensors is needed, got {type(xs).__name__}"
            ) from None
    if not xs:
        raise ShapeError(f"{name}: at least one tensor is needed, got none")
    for x in xs:
        if type(x) is not Tensor:
            like = next((one for one in xs if type(one) is Tensor), None)
            return [as_tensor(one) if like is None else lift(one, like) for one in xs]
    return xs


def happens(mask: Tensor) -> bool:
    """Whether an element of a mask is true: for checks, and so of any sample inside vmap."""
    array = backend_of(mask.array).every_sample(mask.array)
    backend = backend_of(array)
    return bool(backend.to_host(backend.any(array, tuple(range(array.ndim)))))


def one_axis(name: str, axis: Any, ndim: int) -> int:
    """Return an axis as a non-negative integer."""
    if type(axis) is not int:
        try:
            axis = operator.index(axis)
        except TypeError:
            raise DtypeError(f"{name}: axis must be an integer, got {axis!r}") from None
    if 0 <= axis < ndim:
        return axis
    if -ndim <= axis < 0:
        return axis + ndim
    raise AxisError(f"{name}: axis must lie in [{-ndim}, {ndim}), got {axis}")


def several_axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """Return an axis or a sequence of them as a tuple of different non-negative integers."""
    if not isinstance(axis, tuple | list):
        return (one_axis(name, axis, ndim),)
    axes = tuple([one_axis(name, one, ndim) for one in axis])
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: axis must not repeat, got {axis}")
    return axes


def shape_argument(name: str, shape: Any) -> tuple[int, ...]:
    """Return a shape given as an integer, or a sequence of them, as a tuple."""
    if type(shape) is tuple:
        for n in shape:
            if type(n) is not int or n < -1:
                break
        else:
            return shape
    try:
        if isinstance(shape, tuple | list):
            found = tuple([operator.index(n) for n in shape])
        else:
            found = (operator.index(shape),)
    except TypeError:
        raise DtypeError(
            f"{name}: shape must be an integer or a sequence of integers, got {shape!r}"
        ) from None
    if any(n < -1 for n in found):  # NumPy takes any negative length for -1
        raise ShapeError(f"{name}: lengths must not be negative, got {found}")
    return found


def public(name: str, function: Callable[..., Any], **attributes: Any) -> Any:
    """Give a function its public name, and what is known about it."""
    function.__name__ = function.__qualname__ = name
    function.__module__ = "tensorflowlite"
    for key, value in attributes.items():
        setattr(function, key, value)
    return function


def move(array: Any, device: Any) -> Any:
    """Return an array on another device; the array itself where it is there already."""
    try:
        return transfer(array, Device(device))
    except MemoryError as error:
        raise no_room("tensor", error, device) from error
