"""Gradients, checks of gradients, and grad modes."""

from __future__ import annotations

from .transforms.anomaly import detect_anomaly as detect_anomaly
from .transforms.anomaly import is_anomaly_enabled as is_anomaly_enabled
from .transforms.anomaly import set_detect_anomaly as set_detect_anomaly
from .transforms.function import Function as Function
from .transforms.function import once_differentiable as once_differentiable
from .transforms.gradcheck import gradcheck as gradcheck
from .transforms.gradcheck import gradgradcheck as gradgradcheck
from .transforms.gradients import backward as backward
from .transforms.gradients import grad as grad
from .transforms.modes import enable_grad as enable_grad
from .transforms.modes import inference_mode as inference_mode
from .transforms.modes import is_grad_enabled as is_grad_enabled
from .transforms.modes import no_grad as no_grad
from .transforms.modes import set_grad_enabled as set_grad_enabled
