"""NVIDIA GPUs: whether one can be used, its memory, and how it multiplies matrices."""

from __future__ import annotations

from .backend.cuda import device_count as device_count
from .backend.cuda import empty_cache as empty_cache
from .backend.cuda import get_float32_matmul_precision as get_float32_matmul_precision
from .backend.cuda import is_available as is_available
from .backend.cuda import memory_stats as memory_stats
from .backend.cuda import set_float32_matmul_precision as set_float32_matmul_precision
from .backend.cuda import synchronize as synchronize
from .backend.cuda import why_not as why_not
from .ops.tuning import tune as tune
