"""Copies of whole batches to a device, which may go on while the device computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy

from .cuda import probe as cuda_probe

if TYPE_CHECKING:
    from .base import Backend, Device

_ALIGNMENT = 64


class Uploader:
    """Copies batches to a device, each at once: what a device without queues of work does.

    Every batch that was begun is either finished or dropped, in any order.
    """

    ahead = 0  # how many batches are worth beginning before the one that is used

    def __init__(self, backend: Backend, device: Device) -> None:
        self._backend, self._device = backend, device

    def begin(self, arrays: Sequence[numpy.ndarray[Any, Any]]) -> Any:
        """Begin to copy the arrays of a batch; they may be changed from then on."""
        return [self._backend.from_host(array, self._device) for array in arrays]

    def finish(self, batch: Any) -> list[Any]:
        """Return a batch's arrays on the device, for work that is called from now on."""
        found: list[Any] = batch
        return found

    def drop(self, batch: Any) -> None:
        """Give up a batch that was begun."""


class _Pinned:
    """Memory of the host that the device copies from by itself, one batch at a time."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._memory: Any = None
        self._bytes = numpy.empty(0, numpy.uint8)
        self.copied: Any = None  # the event behind the newest copy out of it

    def hold(self, arrays: Sequence[numpy.ndarray[Any, Any]]) -> list[numpy.ndarray[Any, Any]]:
        """Return copies of arrays in it, once the device has read what was in it before."""
        if self.copied is not None:
            self.copied.synchronize()
        starts, end = [], 0
        for array in arrays:
            starts.append(end)
            end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        if end > self._bytes.size:
            self._memory = self._cuda.alloc_pinned_memory(end)
            self._bytes = numpy.frombuffer(self._memory, numpy.uint8, end)
        held = []
        for array, start in zip(arrays, starts, strict=True):
            copy = self._bytes[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
            copy[...] = array
            held.append(copy)
        return held


class _Batch:
    """Arrays that are being copied: the event behind the copy, and whose memory they are."""

    __slots__ = ("arrays", "copied", "stream")

    def __init__(self, arrays: list[Any], copied: Any, stream: Any) -> None:
        self.arrays, self.copied, self.stream = arrays, copied, stream


class PinnedUploader(Uploader):
    """Copies batches from pinned memory on a stream of their own, while the device computes.

    The arrays are made on the stream that uses them: CuPy's pool gives freed memory to the next
    array of the same stream, in the order of that stream's work. So the copy waits for the work
    that the stream had before, which may still use the memory, and the stream for the copy: when
    the batch is finished, and also when it is dropped, for then its memory is free again.
    """

    ahead = 1

    def __init__(self, backend: Backend, device: Device) -> None:
        super().__init__(backend, device)
        cupy = backend.namespace
        self._empty, self._cuda = cupy.empty, cupy.cuda
        self._on = cupy.cuda.Device(device.index or 0)
        with self._on:
            self._side = cupy.cuda.Stream(non_blocking=True)
        self._ring = [_Pinned(cupy.cuda) for _ in range(self.ahead + 1)]

    def _event(self) -> Any:
        return self._cuda.Event(disable_timing=True)

    def begin(self, arrays: Sequence[numpy.ndarray[Any, Any]]) -> Any:
        """Begin to copy the arrays of a batch; they may be changed from then on."""
        cuda_probe.check_not_forked()
        with self._on:
            pinned = self._ring.pop(0)
            self._ring.append(pinned)
            held = pinned.hold(arrays)
            stream = self._cuda.get_current_stream()
            made = [self._empty(array.shape, array.dtype) for array in held]
            self._side.wait_event(stream.record(self._event()))
            for out, array in zip(made, held, strict=True):
                out.set(array, stream=self._side)
            copied = pinned.copied = self._side.record(self._event())
            return _Batch(made, copied, stream)

    def finish(self, batch: Any) -> list[Any]:
        """Return a batch's arrays on the device, for work that is called from now on."""
        with self._on:
            stream = self._cuda.get_current_stream()
            stream.wait_event(batch.copied)
            if stream != batch.stream:
                batch.stream.wait_event(batch.copied)
        arrays: list[Any] = batch.arrays
        return arrays

    def drop(self, batch: Any) -> None:
        """Give up a batch that was begun."""
        with self._on:
            batch.stream.wait_event(batch.copied)
