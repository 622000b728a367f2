"""What tests of `jit` look up in an imported module, and exchange."""

from __future__ import annotations

from typing import Any

scale: float = 2.0
steady: float = 1.5
weight: Any = None
