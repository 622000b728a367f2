"""Native slots of the cross-entropy with class indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from ..base import accepting
from .extension import in_c_order

_FLOATS = (dtypes.float32, dtypes.float64)


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension, ``library`` finds NumPy's slots by name."""

    def in_numpys_words(slot: str, *args: Any) -> Any:
        """Let NumPy's slot raise: it says which target it was, as on every device."""
        from ..slots import loss as loss_slots

        return loss_slots.slots(numpy)[slot](*args)

    def softmax_cross_entropy(x: Any, target: Any, *rest: Any) -> tuple[Any, Any]:
        *weights, ignored, smoothing = rest
        weight = in_c_order(weights[0]) if weights else None
        try:
            return module.softmax_cross_entropy(
                in_c_order(x), in_c_order(target), weight, ignored,
                smoothing,
            )  # fmt: skip
        except IndexError:
            return in_numpys_words("softmax_cross_entropy", x, target, *rest)

    def gradient(g: Any, softmax: Any, target: Any, *rest: Any) -> Any:
        *weights, ignored, smoothing = rest
        weight = in_c_order(weights[0]) if weights else None
        return module.softmax_cross_entropy_gradient(
            in_c_order(g), in_c_order(softmax), in_c_order(target), weight, ignored,
            smoothing,
        )  # fmt: skip

    def accepts_classes(x: Any, target: Any, rest: Any) -> bool:
        weights = rest[:-2]
        return bool(
            x.ndim == 2
            and x.dtype in _FLOATS
            and x.size > 0
            and target.dtype == dtypes.int64
            and target.shape == x.shape[:1]
            and all(one.dtype == x.dtype and one.shape == x.shape[1:] for one in weights)
        )

    def accepts(x: Any, target: Any, *rest: Any) -> bool:
        return accepts_classes(x, target, rest)

    def accepts_gradient(g: Any, softmax: Any, target: Any, *rest: Any) -> bool:
        return (
            g.dtype == softmax.dtype
            and g.shape == softmax.shape[:1]
            and accepts_classes(softmax, target, rest)
        )

    def target_weights(target: Any, *rest: Any) -> Any:
        *weights, classes, ignored, dtype = rest
        weight = in_c_order(weights[0]) if weights else None
        try:
            return module.target_weights(in_c_order(target), weight, classes, ignored, dtype)
        except IndexError:
            return in_numpys_words("target_weights", target, *rest)

    def accepts_targets(target: Any, *rest: Any) -> bool:
        *weights, _, _, dtype = rest
        return (
            target.dtype == dtypes.int64
            and dtype in _FLOATS
            and all(one.dtype == dtype for one in weights)
        )

    accepting(softmax_cross_entropy, accepts, by_form=True)
    accepting(gradient, accepts_gradient, by_form=True)
    accepting(target_weights, accepts_targets, by_form=True)
    return {
        "softmax_cross_entropy": softmax_cross_entropy,
        "softmax_cross_entropy_gradient": gradient,
        "target_weights": target_weights,
    }
