"""The memory of GPUs: what CuPy's pool uses, what it holds, and the most that was in use."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..base import Backend, Device, by_device_type
from . import probe

_UNIT = 512  # CuPy's pool rounds sizes up to it


def started() -> Backend | None:
    """Return the GPU's backend; None before the GPU is first used."""
    probe.check_not_forked()
    return by_device_type.get("cuda")


def on_device(cupy: Any, device: Any) -> AbstractContextManager[Any]:
    """Return a context in which a device is the current one; None leaves the current one."""
    if device is None:
        return nullcontext()
    index = device if isinstance(device, int) else Device(device).index or 0
    return cupy.cuda.Device(index)


class _Count:
    """The most bytes of one device that were in use at one time.

    After a look at the pool, use can't pass the peak before ``room`` more bytes were asked for:
    the pool, which adds up all its blocks when it is asked, is asked no sooner than that.
    """

    def __init__(self, most: int) -> None:
        self.most, self.room = most, 0

    def look(self, used: int) -> None:
        """Learn how many bytes are in use now."""
        self.most = max(self.most, used)
        self.room = self.most - used


class _Peaks:
    """The counts of all devices, once somebody asks for them."""

    def __init__(self) -> None:
        self.counting = False
        self._counts: dict[int, _Count] = {}
        self._held: dict[int, int] = {}  # the most that was held when memory was given back
        self._lock = threading.RLock()  # a finalizer may allocate while the pool is asked

    def start(self, cupy: Any) -> None:
        """Let every allocation, of all threads, come by here from now on."""
        if self.counting:
            return
        self.counting = True
        allocate, pool = cupy.cuda.get_allocator(), cupy.get_default_memory_pool()
        counts, lock = self._counts, self._lock

        def counted(size: int) -> Any:
            pointer = allocate(size)
            with lock:
                count = counts.get(pointer.device_id)
                if count is not None:
                    count.room -= -(-size // _UNIT) * _UNIT
                    if count.room < 0:
                        count.look(pool.used_bytes())
            return pointer

        cupy.cuda.set_allocator(counted)

    def count(self, cupy: Any) -> _Count:
        """Return the count of the current device."""
        self.start(cupy)
        index = cupy.cuda.runtime.getDevice()
        count = self._counts.get(index)
        if count is None:
            count = self._counts[index] = _Count(self.bound(cupy))
        return count

    def bound(self, cupy: Any) -> int:
        """Return the most that can have been in use on the current device so far."""
        index = cupy.cuda.runtime.getDevice()
        if index in self._counts:
            return self._counts[index].most
        held: int = cupy.get_default_memory_pool().total_bytes()
        return max(held, self._held.get(index, 0))

    def reset(self, cupy: Any) -> None:
        """Begin anew with what the current device uses now."""
        count = self.count(cupy)
        with self._lock:
            count.most = 0
            count.look(cupy.get_default_memory_pool().used_bytes())

    def giving_back(self, cupy: Any) -> None:
        """Keep in mind what was held."""
        if not self.counting:
            self._held[cupy.cuda.runtime.getDevice()] = self.bound(cupy)


_peaks = _Peaks()


def memory_allocated(device: Any = None) -> int:
    """Return the bytes of a GPU's memory that arrays use; 0 before the GPU is first used.

    Parameters
    ----------
    device : int, str or Device, optional
        The GPU; by default the current one.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.memory_allocated() >= 0
    True
    """
    return memory_stats(device).get("used_bytes", 0)


def max_memory_allocated(device: Any = None) -> int:
    """Return the most bytes of a GPU's memory that arrays used at one time.

    Counting starts with the first call of this or of `reset_peak_memory_stats`, for every array
    that is made costs one more call of Python from then on, beside the microseconds that its
    operation takes; before it costs nothing. So call one of the two at the start. The first call
    doesn't know what was before, and returns what the pool held at most: the peak was no higher.
    From `reset_peak_memory_stats` on the figure is exact, whatever thread makes the arrays.
    (CuPy's ``MemoryHook`` would see its own thread only.)

    Parameters
    ----------
    device : int, str or Device, optional
        The GPU; by default the current one.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.reset_peak_memory_stats()
    >>> tfl.cuda.max_memory_allocated() >= tfl.cuda.memory_allocated()
    True
    """
    backend = started()
    if backend is None:
        return 0
    with on_device(backend.namespace, device):
        return _peaks.count(backend.namespace).most


def reset_peak_memory_stats(device: Any = None) -> None:
    """Count the peak of a GPU's use from what is in use now.

    Parameters
    ----------
    device : int, str or Device, optional
        The GPU; by default the current one.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.reset_peak_memory_stats()
    """
    backend = started()
    if backend is not None:
        with on_device(backend.namespace, device):
            _peaks.reset(backend.namespace)


def memory_stats(device: Any = None) -> dict[str, int]:
    """Return the bytes that CuPy's pool of a GPU uses and holds.

    Parameters
    ----------
    device : int, str or Device, optional
        The GPU; by default the current one.

    Returns
    -------
    dict
        ``used_bytes``, ``held_bytes`` with what waits for the next array, and ``peak_bytes``: what
        `max_memory_allocated` would return. Empty before the GPU is first used.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> sorted(tfl.cuda.memory_stats()) in ([], ["held_bytes", "peak_bytes", "used_bytes"])
    True
    """
    backend = started()
    if backend is None:
        return {}
    cupy = backend.namespace
    with on_device(cupy, device):
        pool = cupy.get_default_memory_pool()
        return {
            "used_bytes": pool.used_bytes(),
            "peak_bytes": _peaks.bound(cupy),
            "held_bytes": pool.total_bytes(),
        }


def empty_cache() -> None:
    """Give the memory that CuPy's pool holds unused back to the driver.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.empty_cache()
    """
    backend = started()
    if backend is not None:
        _peaks.giving_back(backend.namespace)
        backend.namespace.get_default_memory_pool().free_all_blocks()
