"""The names by which array libraries know their functions, for their protocols of overriding."""

from __future__ import annotations

import sys
from typing import Any

from .base import by_array_type

# Where a universal function may be a public one; those of a user's own are in none of them.
_PLACES = ("numpy", "scipy.special")


def ufunc_name(ufunc: Any) -> str | None:
    """Return the public name of a universal function, ``"numpy.add"``; None for an unknown one."""
    name = ufunc.__name__
    for place in _PLACES:
        module = sys.modules.get(place)
        if module is not None and getattr(module, name, None) is ufunc:
            return f"{place}.{name}"
    return None


def function_name(function: Any) -> str:
    """Return where a function that NumPy hands over is found, ``"numpy.linalg.norm"``."""
    return f"{function.__module__}.{function.__name__}"


def overrides(value: Any, attribute: str) -> bool:
    """Whether a value of another library takes part in an override, and isn't a plain array."""
    return type(value) not in by_array_type and getattr(value, attribute, None) is not None
