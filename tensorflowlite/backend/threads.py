"""How many threads the CPU's work runs on.

The native extension has one pool of threads, which its kernels and the matrix products of NumPy's
OpenBLAS share: two pools would take the cores from each other. Where the extension isn't built,
OpenBLAS keeps its own threads, and they are what is counted here.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy

from ..errors import ArgumentError
from . import native

__all__ = ["get_num_threads", "one_blas_thread", "set_num_threads"]


class _Blas:
    """The threads of the OpenBLAS that NumPy's wheels bring; one that can't be told otherwise."""

    def __init__(self) -> None:
        self.adopted = False
        self._count: Any = None
        self._set: Any = None
        for path in Path(numpy.__file__).parents[1].glob("numpy.libs/libscipy_openblas*"):
            module = native.module
            if module is not None and module.adopt_blas(str(path)):
                self.adopted = True
                self._count, self._set = module.blas_threads, module.set_blas_threads
                return
            library: Any = ctypes.CDLL(str(path))
            for suffix in ("64_", ""):
                self._count = getattr(library, f"scipy_openblas_get_num_threads{suffix}", None)
                self._set = getattr(library, f"scipy_openblas_set_num_threads{suffix}", None)
                if self._count is not None and self._set is not None:
                    return

    @property
    def known(self) -> bool:
        return self._count is not None and self._set is not None

    def count(self) -> int:
        return self._count() if self.known else 1

    def set(self, count: int) -> None:
        if self.known:
            self._set(count)


_blas = _Blas()
_lock = Lock()
_inside = 0
_before = 1
if native.module is not None and _blas.adopted:
    # OpenBLAS doesn't look at what its control group may use.
    _blas.set(min(_blas.count(), native.module.num_threads()))


def _forget() -> None:
    """Start again in a forked child, which has no other thread."""
    global _lock, _inside
    if _inside:
        _blas.set(_before)
    _lock, _inside = Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def set_num_threads(count: int, /) -> None:
    """Let operations on the CPU run on so many threads.

    Parameters
    ----------
    count : int
        At least 1. At first it is the number of processors that the process may use, or what the
        environment variable ``OMP_NUM_THREADS`` says.

    Raises
    ------
    ArgumentError
        ``count`` isn't a positive integer.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> before = tfl.get_num_threads()
    >>> tfl.set_num_threads(1)
    >>> tfl.get_num_threads()
    1
    >>> tfl.set_num_threads(before)
    """
    global _before
    whole = isinstance(count, int | numpy.integer) and not isinstance(count, bool)
    if not whole or not 0 < count <= 1024:
        raise ArgumentError(
            f"set_num_threads: count must be an integer between 1 and 1024, got {count!r}"
        )
    with _lock:
        if native.module is not None:
            native.module.set_num_threads(int(count))
        if _inside:
            _before = int(count)
        else:
            _blas.set(int(count))


def get_num_threads() -> int:
    """How many threads operations on the CPU run on.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.get_num_threads() >= 1
    True
    """
    if native.module is not None:
        return int(native.module.num_threads())
    return _before if _inside else _blas.count()


@contextmanager
def one_blas_thread() -> Iterator[int]:
    """Hold BLAS to one thread; gives the number of threads that it would use."""
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = _blas.count()
            _blas.set(1)
        _inside += 1
        threads = _before if _blas.known else 1
    try:
        yield threads
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _blas.set(_before)
