"""tensorflowlite: automatic differentiation on NumPy and CuPy arrays."""

from __future__ import annotations

from .core.tensor import Tensor as Tensor
from .ops import gradient as _gradient
from .ops import methods as _methods
from .ops.creation import *
from .ops.elementwise import *
from .ops.matrix import matmul as matmul
from .ops.reduction import sum as sum
from .ops.shaping import *
