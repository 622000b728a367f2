"""The texts of errors. They are made only after a call has raised, so success pays nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..backend import Device, backend_of
from ..errors import (
    ArgumentError,
    DeviceError,
    DtypeError,
    OutOfRangeError,
    ShapeError,
    TensorflowliteError,
)

if TYPE_CHECKING:
    from .primitive import Primitive


# NumPy's and CuPy's words where shapes broadcast to more than what is changed.
_NO_ROOM = ("output operand", "Out shape is mismatched")


# The letters that universal functions name dtypes by.
_KINDS = (("?", "bool"), ("bhilqBHILQ", "integers"), ("efdg", "floats"), ("FDG", "complex numbers"))


def explain(op: Primitive, error: Exception, arrays: Sequence[Any], attributes: tuple[Any, ...],
            name: str | None = None) -> Exception:  # fmt: skip
    """Return the error to raise for an operation's call that raised ``error``."""
    name = name or op.called
    if isinstance(error, TensorflowliteError) and not isinstance(error, DtypeError):
        return error
    kinds = {type(array) for array in arrays}
    if len(kinds) > 1:
        devices = " and ".join(str(backend_of(a).device_of(a)) for a in arrays)
        return DeviceError(
            f"{name}: the tensors must be on one device, got {devices}; move one with to(device)"
        )
    if isinstance(error, TensorflowliteError):
        return error
    if isinstance(error, MemoryError):
        return no_room(name, error, _device_asked(arrays, attributes))
    if op.explain is not None:
        text = op.explain([a.shape for a in arrays], *attributes)
        if text is not None:
            return ShapeError(f"{name}: {text}")
    got = " and ".join(describe(a) for a in arrays)
    if attributes:
        got += ", " + ", ".join(
            f"{key}={value!r}" for key, value in zip(op.attributes, attributes, strict=False)
        )
    if op.form == "binary" and isinstance(error, ValueError):
        text = broadcast_conflict(arrays[0].shape, arrays[1].shape)
        if text is not None:
            return ShapeError(f"{name}: shapes must broadcast, got {text}")
        if any(words in str(error) for words in _NO_ROOM):
            shapes = f"{tuple(arrays[0].shape)} and {tuple(arrays[1].shape)}"
            return ShapeError(f"{name}: the result must fit in the changed tensor, got {shapes}")
    reason = reason_of(error)
    if isinstance(error, IndexError):
        return OutOfRangeError(f"{name}: {reason}, got {got}")
    if isinstance(error, ValueError):
        kind = ArgumentError if op.form == "binary" else ShapeError  # the shapes do broadcast
        return kind(f"{name}: {reason}, got {got}")
    if isinstance(error, TypeError):
        reason = _kinds_taken(reason, arrays[0]) or reason
        return DtypeError(f"{name}: {reason}, got {got}")
    return error


def no_room(name: str, error: BaseException, device: Any) -> Exception:
    """Return the error to raise where ``name`` couldn't allocate on a device."""
    from .shortage import out_of_memory

    return out_of_memory(name, error, Device(device))


def no_room_in_backward(error: BaseException) -> Exception | None:
    """Return the error to raise where a backward pass couldn't allocate; None if it could."""
    if not isinstance(error, MemoryError) or isinstance(error, TensorflowliteError):
        return None
    from .shortage import of_backward

    return of_backward(error)


def _device_asked(arrays: Sequence[Any], attributes: tuple[Any, ...]) -> Any:
    """Return where the result belongs: on the device of the inputs, or where it is moved to."""
    named = [one for group in attributes if isinstance(group, tuple) for one in group
             if isinstance(one, Device)]  # fmt: skip
    return named[-1] if named else backend_of(arrays[0]).device_of(arrays[0])


def reason_of(error: BaseException) -> str:
    """Return the first line of what a library says, without its capital and its full stop."""
    reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    # CuPy begins the texts of indices with a capital.
    return reason[0].lower() + reason[1:] if isinstance(error, IndexError) else reason


def _kinds_taken(reason: str, array: Any) -> str | None:
    """Say which dtypes a universal function takes, if NumPy says that it doesn't take these."""
    refused = re.match(r"ufunc '(\w+)' not supported for the input types", reason)
    if refused is None:
        return None
    forms = getattr(getattr(backend_of(array).namespace, refused[1], None), "types", ())
    taken = {form[0] for form in forms}
    kinds = [kind for letters, kind in _KINDS if taken.intersection(letters)]
    return f"the dtypes must be {' or '.join(kinds)}" if kinds else None


def describe(array: Any) -> str:
    """Return an array's dtype and shape, as errors show them."""
    return f"{array.dtype.name} {tuple(array.shape)}"


def broadcast_conflict(x: tuple[int, ...], y: tuple[int, ...]) -> str | None:
    """Say where two shapes don't broadcast; None where they do."""
    for axis in range(-1, -1 - min(len(x), len(y)), -1):
        a, b = x[axis], y[axis]
        if a != b and a != 1 and b != 1:
            return f"{x} and {y}: axis {axis} has {a} and {b}"
    return None
