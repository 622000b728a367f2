"""Native slots of functions of one number: activations alone, error functions, softplus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .. import dtypes
from ..base import accepting
from .extension import is_in_c_order

_FLOATS = (dtypes.float32, dtypes.float64)


def _accepts(x: Any, *rest: Any) -> bool:
    return type(x) is numpy.ndarray and x.dtype in _FLOATS and is_in_c_order(x)


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension."""
    activations = frozenset(module.activations())

    def function(name: str) -> Callable[..., Any]:
        run = getattr(module, name)
        return accepting(lambda x, *rest: run(x, *rest), _accepts)

    def activation(name: str) -> Callable[[Any], Any]:
        return accepting(lambda x: module.activation_forward(x, name), _accepts)

    def gelu(x: Any, approximate: str) -> Any:
        return module.activation_forward(x, "gelu" if approximate == "none" else "gelu_tanh")

    def activation_gradient(g: Any, saved: Any, activation: str) -> Any:
        return module.activation_gradient(g, saved, activation)

    def accepts_gradient(g: Any, saved: Any, activation: str) -> bool:
        return (
            type(g) is type(saved) is numpy.ndarray
            and g.dtype in _FLOATS
            and g.dtype == saved.dtype
            and g.shape == saved.shape
            and activation in activations
            and is_in_c_order(g)
            and is_in_c_order(saved)
        )

    return {
        **{name: activation(name) for name in ("relu", "sigmoid", "silu")},
        **{name: function(name) for name in ("erf", "erfc", "softplus")},
        "gelu": accepting(gelu, _accepts),
        "activation_gradient": accepting(activation_gradient, accepts_gradient),
    }
