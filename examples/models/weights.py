"""Weights as Hugging Face's files hold them, and how a model takes them over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from tensorflowlite import Tensor, nn

_Model = TypeVar("_Model", bound=nn.Module)


def initialize(model: nn.Module, std: float = 0.02) -> None:
    """Draw matrices and tables from a narrow normal distribution, and set biases to zero."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding | nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, std)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)


def take_over(model: _Model, weights: Mapping[str, Any], dtype: Any = None) -> _Model:
    """Load weights into a model, which takes their dtype unless another is asked for."""
    first = next(iter(weights.values()))
    model.to(dtype=first.dtype if dtype is None and isinstance(first, Tensor) else dtype)
    model.load_state_dict(weights)
    return model.eval()
