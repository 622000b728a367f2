"""Methods that make tensors of the dtype and on the device of another: ``x.new_zeros(2, 3)``.

Inside `vmap` they may hold a value for every sample, if the other does.
"""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .creation import _batched, _number, empty, filled_as
from .creation import tensor as _tensor


def _filled(
    name: str, x: Tensor, shape: Any, value: Any, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    return filled_as(name, x, shape, value, dtype, device, requires_grad)


def _like(x: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in options.items() if value is not None}
    return {"dtype": x.dtype, "device": x.device, **given}


def new_zeros(x: Tensor, shape: Any, *lengths: int, **options: Any) -> Tensor:
    """Return zeros of the tensor's dtype, where it lives: `zeros`."""
    return _filled("new_zeros", x, (shape, *lengths) if lengths else shape, 0, **options)


def new_ones(x: Tensor, shape: Any, *lengths: int, **options: Any) -> Tensor:
    """Return ones of the tensor's dtype, where it lives: `ones`."""
    return _filled("new_ones", x, (shape, *lengths) if lengths else shape, 1, **options)


def new_empty(x: Tensor, shape: Any, *lengths: int, **options: Any) -> Tensor:
    """Return a tensor that isn't set, of the tensor's dtype, where it lives: `empty`."""
    if _batched(x):
        return _filled("new_empty", x, (shape, *lengths) if lengths else shape, 0, **options)
    return empty(shape, *lengths, **_like(x, options))


def new_full(x: Tensor, shape: Any, fill_value: Any, **options: Any) -> Tensor:
    """Return one value everywhere, of the tensor's dtype, where it lives: `full`."""
    value = fill_value if type(fill_value) is Tensor else _number("new_full", fill_value)[0]
    return _filled("new_full", x, shape, value, **options)


def new_tensor(x: Tensor, data: Any, **options: Any) -> Tensor:
    """Return data as a tensor of the tensor's dtype, where it lives: `tensor`."""
    return _tensor(data, **_like(x, options))
