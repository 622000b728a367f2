"""Mixed precision: casts by operation, and a scale that keeps small gradients from vanishing."""

from __future__ import annotations

from .ops.amp import autocast as autocast
from .ops.amp import custom_bwd as custom_bwd
from .ops.amp import custom_fwd as custom_fwd
from .ops.amp import is_autocast_available as is_autocast_available
from .optim.grad_scaler import GradScaler as GradScaler
