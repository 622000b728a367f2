"""How many threads the CPU's work runs on.

The native extension has one pool of threads, which its kernels and the matrix products of NumPy's
OpenBLAS share: two pools would take the cores from each other. Where the extension isn't built,
OpenBLAS keeps its own threads, and they are what is counted here.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy

from ..errors import ArgumentError
from .native import extension as native

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_num_threads",
    "one_blas_thread",
    "set_num_threads",
    "use_deterministic_algorithms",
]


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
_threads = max(1, _blas.count() if native.module is None else native.module.num_threads())
_inside = 0  # callers that hold BLAS to one thread
_deterministic = False
# Multiplications up to which OpenBLAS takes one thread, whatever it is allowed.
_ALONE = 1 << 18
# x @ y of two matrices of one dtype, float32 or float64: on a CPU the one way to it. Look it up
# here at each call, since `use_deterministic_algorithms` changes it.
product: Callable[[Any, Any], Any] = numpy.ndarray.dot


def _tell_blas() -> None:
    _blas.set(1 if _inside or _deterministic else _threads)


if _blas.adopted:
    _tell_blas()  # OpenBLAS doesn't look at what its control group may use


def _forget() -> None:
    """Start again in a forked child, which has no other thread."""
    global _lock, _inside
    _lock, _inside = Lock(), 0
    _tell_blas()


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
    global _threads
    whole = isinstance(count, int | numpy.integer) and not isinstance(count, bool)
    if not whole or not 0 < count <= 1024:
        raise ArgumentError(
            f"set_num_threads: count must be an integer between 1 and 1024, got {count!r}"
        )
    with _lock:
        _threads = int(count)
        if native.module is not None:
            native.module.set_num_threads(_threads)
        _tell_blas()


def get_num_threads() -> int:
    """How many threads operations on the CPU run on.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.get_num_threads() >= 1
    True
    """
    return _threads


def use_deterministic_algorithms(mode: bool, /) -> None:
    """Choose whether results may depend on the number of threads, or on what is faster today.

    On the CPU our own kernels give the same bits on any number of threads. Matrix products don't:
    OpenBLAS splits them by threads, so they have the same bits from run to run, but others on
    another number of threads. With ``mode`` true a product of two matrices runs in blocks that
    follow from its shape alone, and everything else that BLAS does on one thread.

    On a GPU ``mode`` also changes what gives other bits from run to run: sums of rows and elements
    that go to one place (the gradient of an index) are sorted instead of added atomically,
    cumulative sums and products run as a tree, and products and convolutions take the first way
    that works instead of the one that was measured to be the fastest. So no operation has to be
    refused; all are slower at most.

    Parameters
    ----------
    mode : bool

    Raises
    ------
    ArgumentError
        ``mode`` isn't a bool.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.use_deterministic_algorithms(True)
    >>> tfl.are_deterministic_algorithms_enabled()
    True
    >>> tfl.use_deterministic_algorithms(False)
    """
    global _deterministic, product
    if not isinstance(mode, bool):
        raise ArgumentError(
            f"use_deterministic_algorithms: mode must be True or False, got {mode!r}"
        )
    with _lock:
        _deterministic = mode
        product = _product_in_blocks if mode else numpy.ndarray.dot
        _tell_blas()


def are_deterministic_algorithms_enabled() -> bool:
    """Whether results may depend neither on the number of threads nor on what is faster.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.are_deterministic_algorithms_enabled()
    False
    """
    return _deterministic


def _product_in_blocks(x: Any, y: Any) -> Any:
    """Return x @ y with the same bits for any number of threads."""
    if x.size * y.shape[1] <= _ALONE or not _blas.adopted or not all(map(_dense, (x, y))):
        return x.dot(y)  # on one thread
    out = numpy.empty((x.shape[0], y.shape[1]), x.dtype)
    native.module.product(x, y, out)  # type: ignore[union-attr]
    return out


def _dense(x: Any) -> bool:
    """Whether a matrix's rows or columns are contiguous, and don't overlap."""
    (rows, columns), (down, across), size = x.shape, x.strides, x.itemsize
    aligned = x.flags.aligned and down % size == 0 == across % size
    return aligned and (
        (across == size and down >= columns * size) or (down == size and across >= rows * size)
    )


@contextmanager
def one_blas_thread() -> Iterator[int]:
    """Hold BLAS to one thread; gives the number of threads that may work instead."""
    global _inside
    with _lock:
        _inside += 1
        _tell_blas()
    try:
        yield _threads if _blas.known else 1
    finally:
        with _lock:
            _inside -= 1
            _tell_blas()
