"""Native slots of softmax over the last axis, and of the sum of rows by where they go."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from ..base import accepting
from ..slots.indexing import INDEX
from .extension import in_c_order, is_in_c_order

_FLOATS = (dtypes.float32, dtypes.float64)


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension, ``library`` finds NumPy's slots by name."""

    def accepts_last(x: Any, axis: int) -> bool:
        return x.dtype in _FLOATS and axis == x.ndim - 1 and x.size > 0

    def over_last(run: Callable[[Any], Any]) -> Callable[[Any, int], Any]:
        def slot(x: Any, axis: int) -> Any:
            return run(in_c_order(x))

        accepting(slot, accepts_last, by_form=True)
        return slot

    def softmax_gradient(g: Any, out: Any, axis: int, logs: bool) -> Any:
        return module.softmax_gradient(in_c_order(g), out, logs)

    def accepts_gradient(g: Any, out: Any, axis: int, logs: bool) -> bool:
        return bool(
            g.dtype in _FLOATS
            and g.dtype == out.dtype
            and g.shape == out.shape
            and axis == g.ndim - 1
            and g.size > 0
            and is_in_c_order(out)
        )

    def scatter_add(x: Any, *rest: Any) -> Any:
        *indices, _, shape = rest
        index, places = indices[0], shape[0]
        if len(indices) > 1:
            named = shape[: len(indices)]
            index = numpy.ravel_multi_index(numpy.broadcast_arrays(*indices), named, mode="wrap")
            places = math.prod(named)
        index = in_c_order(index.astype(dtypes.int64, copy=False)).reshape(-1)
        rows = in_c_order(x).reshape(index.size, -1)
        out = numpy.empty(shape, x.dtype)
        module.scatter_rows(rows, index, out.reshape(places, -1))
        return out

    def accepts_scatter(x: Any, *rest: Any) -> bool:
        *indices, template, shape = rest
        return bool(
            x.size > 0
            and x.dtype in _FLOATS
            and math.prod(shape) > 0
            and all(part is INDEX for part in template)
            and all(index.dtype.kind in "iu" for index in indices)
        )

    accepting(softmax_gradient, accepts_gradient)
    accepting(scatter_add, accepts_scatter, by_form=True)
    return {
        "softmax": over_last(module.softmax),
        "log_softmax": over_last(module.log_softmax),
        "softmax_gradient": softmax_gradient,
        "scatter_add": scatter_add,
    }
