"""Nested sequences that hold tensors, as one tensor: recorded, on the device of those in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.primitive import traced
from ..core.tensor import Tensor
from ..errors import ShapeError
from .casting import astype, result_type, to_device


def holds_tensors(data: Any) -> bool:
    """Whether a nested sequence has tensors in it."""
    for item in data:
        kind = type(item)
        if kind is Tensor or ((kind is list or kind is tuple) and holds_tensors(item)):
            return True
    return False


def stacked(name: str, data: Any, make: Callable[[Any], Tensor], dtype: Any) -> Tensor:
    """Return a nested sequence as one tensor, that of the tensors in it and of what ``make`` makes.

    Their dtypes decide, where ``dtype`` isn't given: numbers beside them are weak.
    """
    found: list[Any] = []
    _gather(data, found)
    device = next(item.device for item in found if type(item) is Tensor)
    wanted = result_type(*found) if dtype is None else dtype
    return _joined(name, data, make, wanted, device)


def _gather(data: Any, found: list[Any]) -> None:
    """List the tensors and arrays, and one of the numbers of each type."""
    for item in data:
        if isinstance(item, list | tuple):
            _gather(item, found)
            continue
        several = type(item) is Tensor or hasattr(item, "dtype")
        if several or type(item) not in map(type, found):
            found.append(item)


def _joined(
    name: str, data: Any, make: Callable[[Any], Tensor], dtype: Any, device: Any
) -> Tensor:
    if type(data) is Tensor:
        return astype(data, dtype, copy=False)
    if not isinstance(data, list | tuple) or not holds_tensors(data):
        return to_device(astype(make(data), dtype, copy=False), device)
    parts = [_joined(name, item, make, dtype, device) for item in data]
    if any(part.shape != parts[0].shape for part in parts):
        raise ShapeError(
            f"{name}: nested data must be rectangular, got parts of the shapes "
            f"{', '.join(str(part.shape) for part in parts)}"
        )
    return traced.stack(*parts, 0)
