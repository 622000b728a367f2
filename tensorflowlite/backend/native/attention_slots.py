"""Native slots of attention, in blocks of scores (csrc/attention.inl)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..base import accepting
from .extension import in_c_order

_FLOATS = (dtypes.float32, dtypes.float64)


def _takes(query: Any, key: Any, value: Any, mask: Any, probability: float) -> bool:
    """Whether the kernels run these inputs."""
    dtype, lead, shared = query.dtype, query.shape[:-2], key.shape[:-2]
    if probability or dtype not in _FLOATS or key.dtype != dtype or value.dtype != dtype:
        return False
    if not (query.size and key.size and value.size):
        return False
    if shared != value.shape[:-2] or len(shared) > len(lead):
        return False
    if shared != lead:
        # Anything but repeated axes at the end would need sums of gradients.
        shared = (*[1] * (len(lead) - len(shared)), *shared)
        split = len(shared)
        while split and shared[split - 1] == 1:
            split -= 1
        if shared[:split] != lead[:split]:
            return False
    return mask is None or mask.size > 0


def _rows(array: Any, axes: int) -> Any:
    """Return an array with so many axes whose rows are neighbours."""
    if array.ndim < axes:
        array = array[(None,) * (axes - array.ndim)]
    neighbours = array.strides[-1] == array.itemsize or array.shape[-1] == 1
    return array if neighbours and array.flags.aligned else array.copy("C")


def _as_mask(mask: Any, axes: int, dtype: Any) -> Any:
    if mask is None:
        return None
    if mask.dtype not in (dtypes.bool_, dtype):
        mask = mask.astype(dtype)
    if not mask.flags.aligned:
        mask = mask.copy()
    return mask[(None,) * (axes - mask.ndim)] if mask.ndim < axes else mask


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension."""
    run_forward, run_backward = module.attention_forward, module.attention_backward

    def attention(query: Any, key: Any, value: Any, *rest: Any) -> Any:
        *given, causal, scale, _ = rest
        axes = query.ndim
        arrays = [_rows(x, axes) for x in (query, key, value)]
        mask = _as_mask(given[0] if given else None, axes, query.dtype)
        return run_forward(*arrays, mask, causal=causal, scale=scale)

    def accepts(query: Any, key: Any, value: Any, *rest: Any) -> bool:
        *given, _, _, probability = rest
        return _takes(query, key, value, given[0] if given else None, probability)

    def attention_gradient(y: Any, query: Any, key: Any, value: Any, out: Any, sums: Any,
                           *rest: Any) -> Any:  # fmt: skip
        *given, causal, scale, _, _ = rest
        axes, shapes = query.ndim, (key.shape, value.shape)
        arrays = [_rows(x, axes) for x in (y, query, key, value, out)]
        mask = _as_mask(given[0] if given else None, axes, query.dtype)
        sums = in_c_order(sums)
        found = run_backward(*arrays, sums, mask, causal=causal, scale=scale)
        if key.ndim == axes:
            return found
        return found[0], found[1].reshape(shapes[0]), found[2].reshape(shapes[1])

    def accepts_gradient(y: Any, query: Any, key: Any, value: Any, out: Any, sums: Any,
                         *rest: Any) -> bool:  # fmt: skip
        *given, _, _, probability, with_mask = rest
        return (
            not with_mask
            and y.dtype == out.dtype == sums.dtype == query.dtype
            and y.shape == out.shape
            and _takes(query, key, value, given[0] if given else None, probability)
        )

    return {
        "attention": accepting(attention, accepts, by_form=True),
        "attention_gradient": accepting(attention_gradient, accepts_gradient, by_form=True),
    }
