"""Mixed precision: which dtype a `Trainer` casts to, and whether it scales its loss."""

from __future__ import annotations

from typing import Any

from ..errors import DtypeError
from ..ops.amp import autocast
from ..optim.grad_scaler import GradScaler


def choose_precision(amp: Any, scaler: Any, device: Any) -> tuple[str | None, Any]:
    """Return the name of the dtype that ``amp`` stands for, and the scaler that it needs."""
    if scaler is not None and not hasattr(scaler, "unscale_"):
        raise DtypeError(
            f"Trainer: scaler must be a GradScaler or None, got {type(scaler).__name__}"
        )
    if amp is None or amp is False:
        return None, scaler
    name = autocast(str(device), None if amp is True else amp).fast_dtype.name
    if scaler is None and name == "float16":
        scaler = GradScaler(str(device))
    return name, scaler
