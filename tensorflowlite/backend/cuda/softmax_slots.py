"""Slots of softmax and of the cross-entropy of classes by kernels, for rows that lie side by side.

A row is read once: its threads keep it in registers for the maximum, the sum and the result. Losses
and sums are computed in float (double for double).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import base, dtypes
from .kernels import TYPE_NAMES, Kernels
from .layout import in_c_order, pack_size, power_of_2, row_layout

_FILE = "softmax.cu"
_GRADIENT_THREADS, _PACKS_AT_ONCE = 256, 4  # as in the kernel
_MOST_GROUPS = 1 << 20


def slots(xp: Any, kernels: Kernels, library: Callable[[str], Any]) -> dict[str, Any]:
    """Return the slots of softmax and cross-entropy that kernels implement."""

    def normalized(logarithms: bool) -> Callable[..., Any]:
        def run(x: Any, axis: int) -> Any:
            x = in_c_order(xp, x)
            out = xp.empty_like(x)
            columns = x.shape[-1]
            rows = x.size // columns
            grid, block, defines = row_layout(rows, columns, x.dtype)
            kernels.launch(
                _FILE, "softmax", defines, grid, block, x, out, rows, columns, logarithms
            )
            return out

        return run

    def accepts_normalized(x: Any, axis: int) -> bool:
        return bool(
            x.dtype in TYPE_NAMES
            and x.size > 0
            and x.ndim > 0
            and axis % x.ndim == x.ndim - 1
            and ready(x.size // x.shape[-1], x.shape[-1], x.dtype)
        )

    def ready(rows: int, columns: int, dtype: Any) -> bool:
        return kernels.ready(_FILE, **row_layout(rows, columns, dtype).defines)

    def arranged(target: Any, weights: Any, dtype: Any) -> tuple[Any, Any]:
        """Return the targets and class weights as kernels read them."""
        target = in_c_order(xp, target.astype(dtypes.int64, copy=False))
        if not weights:
            return target, None
        return target, in_c_order(xp, weights[0].astype(dtypes.accumulator(dtype), copy=False))

    def cross_entropy(x: Any, target: Any, *rest: Any) -> tuple[Any, Any]:
        *weights, ignored, smoothing = rest
        x = in_c_order(xp, x)
        target, weight = arranged(target, weights, x.dtype)
        loss, probabilities = xp.empty(x.shape[:1], x.dtype), xp.empty_like(x)
        rows, classes = x.shape
        grid, block, defines = row_layout(rows, classes, x.dtype)
        kernels.launch(
            _FILE, "softmax_cross_entropy", defines, grid, block, x, target, weight, loss,
            probabilities, rows, classes, int(ignored), float(smoothing),
        )  # fmt: skip
        return loss, probabilities

    def gradient(y: Any, probabilities: Any, target: Any, *rest: Any) -> Any:
        *weights, ignored, smoothing = rest
        rows, classes = probabilities.shape
        y, probabilities = in_c_order(xp, y), in_c_order(xp, probabilities)
        target, weight = arranged(target, weights, y.dtype)
        total = weight.sum() if weight is not None and smoothing else None
        out = xp.empty_like(probabilities)
        packs = -(-classes // pack_size(y.dtype))
        across = min(_GRADIENT_THREADS, power_of_2(packs))
        down = _GRADIENT_THREADS // across
        pieces = -(-packs // (_GRADIENT_THREADS * _PACKS_AT_ONCE))
        groups = min(-(-rows // down), _MOST_GROUPS)
        kernels.launch(
            _FILE, "softmax_cross_entropy_gradient", row_layout(rows, classes, y.dtype).defines,
            groups * pieces, (across, down), y, probabilities, target, weight,
            None if total is None else total.reshape(1), out, rows, classes, int(ignored),
            float(smoothing), pieces,
        )  # fmt: skip
        return out

    def accepts_classes(x: Any, target: Any, weights: Any) -> bool:
        return bool(
            x.ndim == 2
            and x.dtype in TYPE_NAMES
            and x.size > 0
            and target.shape == x.shape[:1]
            and target.dtype.kind in "iu"
            and all(w.shape == x.shape[1:] and w.dtype in TYPE_NAMES for w in weights)
            and ready(x.shape[0], x.shape[1], x.dtype)
        )

    def accepts_cross_entropy(x: Any, target: Any, *rest: Any) -> bool:
        return accepts_classes(x, target, rest[:-2])

    def accepts_gradient(y: Any, probabilities: Any, target: Any, *rest: Any) -> bool:
        return (
            y.dtype == probabilities.dtype
            and y.shape == probabilities.shape[:1]
            and accepts_classes(probabilities, target, rest[:-2])
        )

    def guarded(slot: str, implementation: Any, accepts: Any) -> Callable[..., Any]:
        return base.guarded(slot, implementation, accepts, lambda *args: library(slot)(*args))

    return {
        "softmax": guarded("softmax", normalized(False), accepts_normalized),
        "log_softmax": guarded("log_softmax", normalized(True), accepts_normalized),
        "softmax_cross_entropy": guarded(
            "softmax_cross_entropy", cross_entropy, accepts_cross_entropy
        ),
        "softmax_cross_entropy_gradient": guarded(
            "softmax_cross_entropy_gradient", gradient, accepts_gradient
        ),
    }
