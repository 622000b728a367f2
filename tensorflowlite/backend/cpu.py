"""The memory of large arrays on the CPU: freed blocks wait for the next array of their size.

NumPy asks the native extension for memory (NEP 49), in the thread that imports the package and for
blocks of 32 KiB and more. Used and waiting blocks together never pass the most that was in use at
one time by more than 8 MiB. Without the extension, or with ``TENSORFLOWLITE_MEMORY_CACHE=0`` in
the environment, NumPy's own allocator serves.
"""

from __future__ import annotations

import os

from .native import extension as native

__all__ = ["empty_cache", "memory_stats", "reset_peak_memory_stats"]

# None where NumPy's own allocator serves.
module = native.module
if os.environ.get("TENSORFLOWLITE_MEMORY_CACHE") == "0":
    module = None
if module is not None:
    module.use_memory_cache(True)


def memory_stats() -> dict[str, int]:
    """Return what large arrays use and what the cache holds.

    Returns
    -------
    dict
        ``used_bytes`` of blocks in use, ``peak_bytes``, the most that was in use since the last
        `reset_peak_memory_stats`, ``held_bytes`` with the blocks that wait, and how many requests
        were ``hits``, served by one of those, or ``misses``. Empty where there is no cache.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> before = tfl.cpu.memory_stats().get("used_bytes", 0)
    >>> x = tfl.zeros((512, 1024))
    >>> tfl.cpu.memory_stats().get("used_bytes", 2**21) - before
    2097152
    """
    return {} if module is None else dict(module.memory_stats())


def reset_peak_memory_stats() -> None:
    """Count ``peak_bytes`` from what is in use now.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cpu.reset_peak_memory_stats()
    """
    if module is not None:
        module.reset_peak_memory()


def empty_cache() -> None:
    """Give the memory of blocks that wait back to the system.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cpu.empty_cache()
    """
    if module is not None:
        module.empty_cache()
