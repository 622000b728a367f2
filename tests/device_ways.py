"""What CuPy (14.2) does otherwise than NumPy, as functions of NumPy's arrays.

The shadow device calls them, so that a slot which leans on NumPy's ways fails without a GPU.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tensorflowlite.backend import dtypes

_WORDS = ["int32", "int64", "uint32", "uint64"]
# The dtypes that each ``ufunc.at`` takes; other functions have none.
_ATOMIC = {
    "add": [*_WORDS, "float16", "float32", "float64"],
    "subtract": ["int32", "uint32"],
    "maximum": [*_WORDS, "float32", "float64"],
    "minimum": [*_WORDS, "float32", "float64"],
    "bitwise_and": _WORDS,
    "bitwise_or": _WORDS,
    "bitwise_xor": _WORDS,
}
_REDUCING = {
    "reduce": ["add", "multiply"], "accumulate": ["add", "multiply"], "reduceat": ["add"],
}  # fmt: skip
_WITHOUT_BFLOAT16 = frozenset(["where", "tril", "triu"])  # they give float32
_UNCHECKED = frozenset(["svd", "eigh", "eigvalsh", "eig", "eigvals"])


# -- keys ------------------------------------------------------------------------------------------
def _is_index(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind in "iu"


def wrapped(key: Any, shape: tuple[int, ...]) -> Any:
    """Return a key whose index arrays count round their axes: none of them is out of range."""
    parts = key if type(key) is tuple else (key,)
    if not any(map(_is_index, parts)):
        return key
    named = [_axes_of(part) for part in parts]
    out, axis = [], 0
    for part, count in zip(parts, named, strict=True):
        if part is ...:
            axis += len(shape) - sum(named)
        elif _is_index(part) and axis < len(shape) and shape[axis]:
            part = np.asarray(part.astype(np.int64) % shape[axis])
        out.append(part)
        axis += count
    return tuple(out)


def _axes_of(part: Any) -> int:
    if part is None or part is ...:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype.kind == "b" else 1


def read(array: Any, key: Any) -> Any:
    """Return ``array[key]``."""
    with indices_with_a_capital():
        return array[wrapped(key, array.shape)]


@contextlib.contextmanager
def indices_with_a_capital() -> Iterator[None]:
    """Tell of indices as the device does."""
    try:
        yield
    except IndexError as error:
        text = str(error)
        raise IndexError(text.replace("index", "Index", 1) if text[0] == "i" else text) from None


def assign(array: Any, key: Any, value: Any) -> None:
    """Assign ``array[key] = value``: of values for one place any may stay, here the first."""
    key = wrapped(key, array.shape)
    parts = key if type(key) is tuple else (key,)
    if not any(map(_is_index, parts)):
        with indices_with_a_capital():
            array[key] = value if isinstance(value, np.ndarray) else without_sign_of_zero(value)
        return
    places = np.asarray(np.arange(array.size).reshape(array.shape)[key])
    if np.ndim(value) > places.ndim:
        raise ValueError("input operand has more dimensions than allowed by the axis remapping")
    given = np.broadcast_to(value, places.shape).reshape(-1)
    backwards = np.unravel_index(places.reshape(-1)[::-1], array.shape)
    array[backwards] = given[::-1]


def without_sign_of_zero(value: Any) -> Any:
    """Return a number as `fill` writes it: zeros are written by clearing the memory."""
    return type(value)(0) if value == 0 else value


def on_device(array: Any) -> Any:
    """Return a copy of what is moved to the device; an array without axes is filled."""
    array = np.array(array)
    if array.ndim == 0 and array.dtype.kind in "fcV" and array == 0:
        return np.zeros_like(array)
    return array


# -- functions -------------------------------------------------------------------------------------
def check_output(args: Any, out: Any) -> None:
    """Raise where the array to write to hasn't the shape of the result."""
    shape = np.broadcast_shapes(*[np.shape(arg) for arg in args])
    if isinstance(out, np.ndarray) and out.shape != shape:
        raise ValueError("Out shape is mismatched")


def in_c_order(result: Any) -> Any:
    """Return the result of an elementwise function as it lies on the device."""
    if isinstance(result, tuple):
        return tuple(map(in_c_order, result))
    return np.asarray(result, order="C")


def in_known_dtypes(name: str, args: Any) -> Any:
    """Return arguments in a dtype that the function of that name knows."""
    if name not in _WITHOUT_BFLOAT16:
        return args
    return [
        arg.astype(np.float32) if getattr(arg, "dtype", None) == dtypes.bfloat16 else arg
        for arg in args
    ]


def method(function: Any, name: str) -> Callable[..., Any]:
    """Return a method of a universal function."""
    if name == "at":
        return lambda *args: _at(function, *args)
    if function.__name__ not in _REDUCING.get(name, [function.__name__]):
        raise NotImplementedError(f"`cupy_{function.__name__}.{name}` is not supported yet")
    return getattr(function, name)


def _at(function: Any, array: Any, key: Any, value: Any) -> None:
    name = function.__name__
    if name not in _ATOMIC:
        raise NotImplementedError(f"`cupy_{name}.at` is not supported yet")
    key = wrapped(key, array.shape)
    parts = key if type(key) is tuple else (key,)
    atomic = any(map(_is_index, parts))
    if atomic and array.dtype.name not in _ATOMIC[name]:
        known = ", ".join(_ATOMIC[name])
        raise TypeError(f"cupy.{name}.at only supports {known} as data type")
    value = np.asarray(value).astype(array.dtype)
    if atomic and name in ("maximum", "minimum") and array.dtype.kind == "f":
        # Also float64 goes through float32, and NaN loses against any number.
        function = getattr(np, f"f{name[:3]}")
        changed = array.astype(np.float32)
        function.at(changed, key, value.astype(np.float32))
        named = np.zeros(array.shape, bool)
        named[key] = True
        array[named] = changed[named]
        return
    function.at(array, key, value)


def unchecked(function: Any) -> Any:
    """Return a factorization that gives NaN for what it can't factor."""
    if function.__name__ not in _UNCHECKED:
        return function

    def run(x: Any, *args: Any, **kwargs: Any) -> Any:
        wrong = ~np.isfinite(x).all((-2, -1))
        found = function(np.where(wrong[..., None, None], 0, x), *args, **kwargs)
        for one in found if isinstance(found, tuple) else [found]:
            one[wrong] = np.nan
        return found

    run.__name__ = function.__name__
    return run


def erf(x: Any) -> Any:
    """Return the error function as ``cupyx.scipy.special`` has it: of float16 in float64."""
    wide = {"float64": np.float64, "float16": np.float64}.get(x.dtype.name, np.float32)
    values = [math.erf(value) for value in x.astype(np.float64).reshape(-1).tolist()]
    return np.array(values).astype(wide).reshape(x.shape)
