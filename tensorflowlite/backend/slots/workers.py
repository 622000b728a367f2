"""Work shared by threads, where NumPy's own calls would use one core.

NumPy releases the interpreter's lock inside its loops, so threads that copy and multiply parts of
an array run side by side. Meanwhile BLAS is held to one thread: its own threads cost more than they
bring on products as small as an image's.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from ..threads import one_blas_thread

Process = Callable[[int, int, int], None]


_pool: Any = None
_lock = Lock()


def _forget() -> None:
    """Start again in a forked child: it has the parent's objects, but not its threads."""
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def pieces(count: int, size: int) -> list[tuple[int, int]]:
    """Split ``range(count)`` into even pieces of about ``size``, whatever the number of cores.

    Sums over pieces thus have the same bits on any machine with the same BLAS.
    """
    parts = -(-count // max(size, 1))
    if parts > 1:
        parts = min(count, -(-parts // 4) * 4)
    bounds = [count * i // max(parts, 1) for i in range(parts + 1)]
    return list(itertools.pairwise(bounds))


def share(parts: Sequence[tuple[int, int]], begin: Callable[[], Process], threaded: bool) -> None:
    """Run ``process(index, first, last)`` for every piece, on several threads where it pays.

    ``begin()`` makes the process of one thread, with buffers of its own.
    """
    global _pool
    with one_blas_thread() as threads:
        threads = min(threads, len(parts)) if threaded else 1
        if threads == 1:
            process = begin()
            for index, (first, last) in enumerate(parts):
                process(index, first, last)
            return
        waiting = iter(list(enumerate(parts)))  # a list's iterator hands each out once

        def drain() -> None:
            process = begin()
            for index, (first, last) in waiting:
                process(index, first, last)

        with _lock:
            if _pool is None:
                from concurrent.futures import ThreadPoolExecutor  # 5 ms that few imports need

                _pool = ThreadPoolExecutor(os.cpu_count(), "tensorflowlite")
            helpers = [_pool.submit(drain) for _ in range(threads - 1)]
        try:
            drain()
        finally:
            for helper in helpers:
                helper.exception()  # wait for all, also where one failed
        for helper in helpers:
            helper.result()
