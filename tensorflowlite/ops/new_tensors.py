"""Methods that make tensors of the dtype and on the device of another: ``x.new_zeros(2, 3)``."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .creation import empty, full, ones, zeros
from .creation import tensor as _tensor


def _like(x: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in options.items() if value is not None}
    return {"dtype": x.dtype, "device": x.device, **given}


def new_zeros(x: Tensor, shape: Any, *lengths: int, **options: Any) -> Tensor:
    """Return zeros of the tensor's dtype, where it lives: `zeros`."""
    return zeros(shape, *lengths, **_like(x, options))


def new_ones(x: Tensor, shape: Any, *lengths: int, **options: Any) -> Tensor:
    """Return ones of the tensor's dtype, where it lives: `ones`."""
    return ones(shape, *lengths, **_like(x, options))


def new_empty(x: Tensor, shape: Any, *lengths: int, **options: Any) -> Tensor:
    """Return a tensor that isn't set, of the tensor's dtype, where it lives: `empty`."""
    return empty(shape, *lengths, **_like(x, options))


def new_full(x: Tensor, shape: Any, fill_value: Any, **options: Any) -> Tensor:
    """Return one value everywhere, of the tensor's dtype, where it lives: `full`."""
    return full(shape, fill_value, **_like(x, options))


def new_tensor(x: Tensor, data: Any, **options: Any) -> Tensor:
    """Return data as a tensor of the tensor's dtype, where it lives: `tensor`."""
    return _tensor(data, **_like(x, options))
