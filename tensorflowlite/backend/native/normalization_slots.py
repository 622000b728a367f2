"""Native slots of the normalisations, over the last axes and over channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..base import accepting
from .extension import in_c_order

_FLOATS = (dtypes.float32, dtypes.float64)


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension, ``library`` finds NumPy's slots by name."""

    def flat_one(parameter: Any) -> Any:
        return None if parameter is None else in_c_order(parameter).reshape(-1)

    def flat(parameters: Any) -> tuple[Any, Any]:
        """Return the weight and the bias, None where there is none."""
        weight, bias, *_ = (*list(parameters), None, None)
        return flat_one(weight), flat_one(bias)

    def of_one_float(x: Any, *others: Any) -> bool:
        return x.dtype in _FLOATS and all(one.dtype == x.dtype for one in others)

    def over_last(centered: bool) -> Callable[..., Any]:
        def run(x: Any, *rest: Any) -> tuple[Any, Any]:
            *parameters, ndim, eps = rest
            x = in_c_order(x)
            lead = x.shape[: x.ndim - ndim]
            out, statistics = module.normalize_rows(x, *flat(parameters), ndim, eps, centered)
            return out, statistics.reshape(2, *lead, *[1] * ndim)

        accepting(run, accepts_last, by_form=True)
        return run

    def accepts_last(x: Any, *rest: Any) -> bool:
        *parameters, ndim, _ = rest
        shape = x.shape[x.ndim - ndim :]
        fitting = all(one.shape == shape for one in parameters)
        return fitting and of_one_float(x, *parameters) and x.size > 0

    def batch_norm(x: Any, *rest: Any) -> tuple[Any, Any]:
        *parameters, eps = rest
        x = in_c_order(x)
        out, mean, variance, statistics = module.normalize_channels(x, *flat(parameters), eps)
        kept = statistics.reshape(2, 1, x.shape[1], *[1] * (x.ndim - 2))
        return (out, mean, variance), kept

    def accepts_batch(x: Any, *rest: Any) -> bool:
        *parameters, _ = rest
        fitting = all(one.shape == x.shape[1:2] for one in parameters)
        return fitting and of_one_float(x, *parameters) and x.size > 0

    def norm_gradient(y: Any, x: Any, statistics: Any, *rest: Any) -> tuple[Any, ...]:
        *weights, axes, parameter_axes, centered, parts = rest
        weight = flat(weights)[0]
        g, x = in_c_order(y), in_c_order(x)
        kept = in_c_order(statistics).reshape(2, -1)
        if axes == parameter_axes:
            found = module.normalize_channels_gradient(g, x, kept, weight, parts)
            parameter: tuple[int, ...] = (1, x.shape[1], *[1] * (x.ndim - 2))
        else:
            found = module.normalize_rows_gradient(g, x, kept, weight, len(axes), centered, parts)
            parameter = (*[1] * len(parameter_axes), *x.shape[len(parameter_axes) :])
        dx, *sums = found[:parts]
        return (dx, *[one.reshape(parameter) for one in sums])

    def accepts_gradient(y: Any, x: Any, statistics: Any, *rest: Any) -> bool:
        *weights, axes, parameter_axes, centered, _ = rest
        if y.shape != x.shape or x.size == 0 or not of_one_float(x, y, statistics, *weights):
            return False
        lead = x.ndim - len(axes)
        if axes == (0, *range(2, x.ndim)) == parameter_axes:
            kept, parameter = (1, x.shape[1], *[1] * (x.ndim - 2)), x.shape[1]
        elif axes == tuple(range(lead, x.ndim)) and parameter_axes == tuple(range(lead)):
            kept, parameter = (*x.shape[:lead], *[1] * len(axes)), math.prod(x.shape[lead:])
        else:
            return False
        wide = centered or axes != parameter_axes
        return wide and statistics.shape == (2, *kept) and all(w.size == parameter for w in weights)

    accepting(batch_norm, accepts_batch, by_form=True)
    accepting(norm_gradient, accepts_gradient, by_form=True)
    return {
        "layer_norm": over_last(True),
        "rms_norm": over_last(False),
        "batch_norm": batch_norm,
        "norm_gradient": norm_gradient,
    }
