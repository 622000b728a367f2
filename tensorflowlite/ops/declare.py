"""Short forms of `core.entry.declare` for the families of operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.entry import declare


def unary(name: str, vjp: Callable[..., Any] | None, doc: str, **declaration: Any) -> Any:
    """Declare an elementwise operation of one array ``x``."""
    return declare(name, ("x",), (vjp,), form="unary", doc=doc, **declaration)


def binary(name: str, vjp: tuple[Any, Any] | None, doc: str, **declaration: Any) -> Any:
    """Declare an elementwise operation of two arrays ``x, y`` that broadcast."""
    return declare(name, ("x", "y"), vjp or (None, None), form="binary", doc=doc, **declaration)


def attr1(name: str, attribute: str, vjp: Any, doc: str | None = None, **declaration: Any) -> Any:
    """Declare an operation of one array ``x`` and one attribute."""
    return declare(
        name, ("x",), (vjp,), attributes=(attribute,), form="attr1", doc=doc, **declaration
    )


def general(name: str, inputs: tuple[str, ...], vjp: Any, doc: str | None = None,
            **declaration: Any) -> Any:  # fmt: skip
    """Declare an operation of any number of arrays and attributes."""
    return declare(name, inputs, vjp, doc=doc, **declaration)
