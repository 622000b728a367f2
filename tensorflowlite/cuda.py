"""NVIDIA GPUs: whether one can be used, its memory and streams, and how it multiplies matrices."""

from __future__ import annotations

from .backend.cuda.devices import device_count as device_count
from .backend.cuda.devices import get_float32_matmul_precision as get_float32_matmul_precision
from .backend.cuda.devices import is_available as is_available
from .backend.cuda.devices import set_float32_matmul_precision as set_float32_matmul_precision
from .backend.cuda.devices import synchronize as synchronize
from .backend.cuda.devices import why_not as why_not
from .backend.cuda.memory import empty_cache as empty_cache
from .backend.cuda.memory import max_memory_allocated as max_memory_allocated
from .backend.cuda.memory import memory_allocated as memory_allocated
from .backend.cuda.memory import memory_stats as memory_stats
from .backend.cuda.memory import reset_peak_memory_stats as reset_peak_memory_stats
from .backend.cuda.streams import Event as Event
from .backend.cuda.streams import Stream as Stream
from .backend.cuda.streams import current_stream as current_stream
from .backend.cuda.streams import stream as stream
from .debug import nvtx as nvtx
from .ops.tuning import tune as tune
