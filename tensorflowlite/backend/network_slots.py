"""Slots of the operations of networks, written once for every library with NumPy's interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import (
    activation_slots,
    attention_slots,
    conv_slots,
    loss_slots,
    normalization_slots,
    pooling_slots,
)


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of every family of the networks' operations."""
    found: dict[str, Callable[..., Any]] = {}
    for family in (
        activation_slots, attention_slots, conv_slots, loss_slots, normalization_slots,
        pooling_slots,
    ):  # fmt: skip
        found.update(family.slots(xp))
    return found
