"""Schedules of the learning rate.

A schedule changes ``group["lr"]`` of an optimizer at each ``step()``, once per epoch as a rule.
Those that multiply the present rate can be chained: several on one optimizer multiply.
"""

from __future__ import annotations

from .combined import ChainedScheduler as ChainedScheduler
from .combined import SequentialLR as SequentialLR
from .curves import ConstantLR as ConstantLR
from .curves import CosineAnnealingLR as CosineAnnealingLR
from .curves import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from .curves import LinearLR as LinearLR
from .curves import PolynomialLR as PolynomialLR
from .cycles import CyclicLR as CyclicLR
from .cycles import OneCycleLR as OneCycleLR
from .plateau import ReduceLROnPlateau as ReduceLROnPlateau
from .scheduler import LRScheduler as LRScheduler
from .steps import ExponentialLR as ExponentialLR
from .steps import LambdaLR as LambdaLR
from .steps import MultiplicativeLR as MultiplicativeLR
from .steps import MultiStepLR as MultiStepLR
from .steps import StepLR as StepLR
