"""Which operations a stored program may name: those that the package declares, and a few more."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

import numpy

from .. import ops
from ..core.primitive import registry
from ..errors import CaptureError

# Slots that no operation declares.
_PLAIN = frozenset(("assign", "copy", "empty_strided", "mT"))
# What works beside the values of a program: paths to views, other devices, states of generators,
# shapes that depend on values.
_NEVER = """
    argwhere clear_view dropout nonzero place_view random_integers random_keep random_normal
    random_permutation random_stream random_uniform read_view to_device unique write_view
"""
_NEVER_SLOTS = frozenset(_NEVER.split())


def is_known(slot: str) -> bool:
    """Whether a stored program may name a slot."""
    if slot in _NEVER_SLOTS:
        return False
    if slot not in registry and slot not in _PLAIN:
        _declare_all()
    return slot in registry or slot in _PLAIN


def check_slot(slot: str) -> None:
    """Raise where a recorded program has a call that no stored one may have."""
    if slot == "to_device":
        raise CaptureError(
            "export: a program must run on one device, got a move to another; move tensors outside "
            "of the function"
        )
    if not is_known(slot):
        raise CaptureError(
            f"export: every operation must be one that a file can name, got {slot}; compute it "
            "outside of the function, or without a gradient"
        )


def fits(slot: str, args: tuple[Any, ...]) -> bool:
    """Whether a known slot may be called with so many arguments, and with these for dtypes.

    The library's own functions take more: `numpy.multiply` a third array to write to,
    `numpy.ones_like` another shape; a dtype may be any text, of objects too.
    """
    op = registry.get(slot)
    if op is None or op.variadic:
        return True
    count = len(op.inputs) + len(op.attributes)
    if len(args) != count and (slot, len(args)) != ("add", 3):
        return False
    attributes = zip(op.attributes, args[len(op.inputs) :], strict=False)
    return all(isinstance(arg, numpy.dtype) for name, arg in attributes if name == "dtype")


@cache
def _declare_all() -> None:
    """Import the operations that come in at first use."""
    for module in pkgutil.walk_packages(ops.__path__, f"{ops.__name__}."):
        importlib.import_module(module.name)
