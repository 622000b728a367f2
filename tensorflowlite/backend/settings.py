"""The settings that decide which implementation a slot is, for whoever keeps one."""

from __future__ import annotations

from typing import Any

from . import threads
from .cuda import devices as cuda


def settings() -> tuple[Any, ...]:
    """Return the settings, to compare with those of another time."""
    return threads.are_deterministic_algorithms_enabled(), cuda.get_float32_matmul_precision()
