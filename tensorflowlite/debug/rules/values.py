"""What rules ask of arrays, wherever those lie."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...ops.elementwise import abs as absolute
from ...ops.reduction import max as greatest
from ...ops.reduction import min as least
from ...runtime import set_mode


def magnitude(tensor: Tensor) -> float:
    """Return the greatest magnitude of an element; NaN where one is NaN, 0 of no elements."""
    if not tensor.size:
        return 0.0
    with set_mode(grad=False):
        return float(greatest(absolute(tensor)))


def extremes(tensor: Tensor) -> tuple[Any, Any]:
    """Return the least and the greatest element, as Python numbers."""
    with set_mode(grad=False):
        return least(tensor).item(), greatest(tensor).item()
