"""tensorflowlite: automatic differentiation on NumPy and CuPy arrays."""

from __future__ import annotations

from .core.tensor import Tensor as Tensor
from .io import load as load
from .io import load_safetensors as load_safetensors
from .io import save as save
from .io import save_safetensors as save_safetensors
from .ops import gradient as _gradient
from .ops import methods as _methods
from .ops.creation import *
from .ops.elementwise import *
from .ops.matrix import matmul as matmul
from .ops.reduction import sum as sum
from .ops.shaping import *
