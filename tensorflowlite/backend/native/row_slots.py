"""Native slots of what runs along rows: softmax, sums and means, and rows added where they go."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from ..base import accepting
from ..slots.indexing import INDEX
from ..slots.reduction import Kept, count_of
from .extension import in_c_order, is_in_c_order

_FLOATS = (dtypes.float32, dtypes.float64)
# From so many elements, in rows of so many, NumPy's sums take longer.
_SUMMED_FROM, _LEAST_ROW = 1 << 14, 8


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

    def totals(x: Any, axis: tuple[int, ...], divisor: float) -> Any:
        shape = x.shape[: x.ndim - len(axis)]
        rows = math.prod(shape)
        out = numpy.empty(shape + (1,) * len(axis) if type(axis) is Kept else shape, x.dtype)
        module.row_totals(in_c_order(x).reshape(rows, -1), out.reshape(rows), divisor)
        return out

    def sum(x: Any, axis: tuple[int, ...]) -> Any:
        return totals(x, axis, 1.0)

    def mean(x: Any, axis: tuple[int, ...]) -> Any:
        return totals(x, axis, float(count_of(x.shape, axis)))

    def accepts_sum(x: Any, axis: tuple[int, ...]) -> bool:
        return (
            x.size >= _SUMMED_FROM
            and x.dtype in _FLOATS
            and len(axis) > 0
            and axis[0] == x.ndim - len(axis)  # the last axes: they are in order
            and axis[-1] == x.ndim - 1
            and math.prod(x.shape[axis[0] :]) >= _LEAST_ROW
            and x.flags.c_contiguous
        )

    accepting(sum, accepts_sum, by_form=True)
    accepting(mean, accepts_sum, by_form=True)
    accepting(softmax_gradient, accepts_gradient)
    accepting(scatter_add, accepts_scatter, by_form=True)
    return {
        "softmax": over_last(module.softmax),
        "log_softmax": over_last(module.log_softmax),
        "softmax_gradient": softmax_gradient,
        "scatter_add": scatter_add,
        "sum": sum,
        "mean": mean,
    }
