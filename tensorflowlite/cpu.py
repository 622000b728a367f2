"""The CPU: the memory of its arrays, and how many threads work."""

from __future__ import annotations

from .backend.cpu import empty_cache as empty_cache
from .backend.cpu import memory_stats as memory_stats
from .backend.cpu import reset_peak_memory_stats as reset_peak_memory_stats
from .backend.threads import get_num_threads as get_num_threads
from .backend.threads import set_num_threads as set_num_threads
