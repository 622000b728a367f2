"""The CUDA backend: CuPy, imported at first use."""

from __future__ import annotations

import functools
import re
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy

from ..errors import DeviceError
from .base import Backend, Device, at_first_use, by_array_type, by_device_type, register
from .cuda import devices as cuda
from .cuda import probe as cuda_probe
from .slots import library as library_slots
from .slots import special


class CupyBackend(Backend):
    """CuPy's arrays; what only they know."""

    def device_of(self, array: Any) -> Device:
        return Device(f"cuda:{array.device.id}")

    def from_host(self, array: numpy.ndarray[Any, Any], device: Device) -> Any:
        with self._on(device):
            if array.ndim:
                return self.namespace.asarray(array)
            out = self.namespace.empty((), array.dtype)  # asarray would make 0 of -0
            out.set(numpy.asarray(array))
            return out

    def to_host(self, array: Any) -> numpy.ndarray[Any, Any]:
        return self.namespace.asnumpy(array)

    def quiet(self) -> AbstractContextManager[Any]:
        return nullcontext()  # a GPU never warns

    def synchronize(self) -> None:
        self.namespace.cuda.get_current_stream().synchronize()

    def uploader(self, device: Device) -> Any:
        from .upload import PinnedUploader

        self._on(device)  # raises where there is no such device
        return PinnedUploader(self, device)

    def executor(self, program: Any, inputs: Any, static_outputs: bool) -> Any:
        from .cuda.graph_driver import executor

        return executor(self, program, inputs, static_outputs)

    def memory_stats(self, device: Device) -> dict[str, int]:
        from .cuda.memory import memory_stats

        with self._on(device):
            free, total = self.namespace.cuda.runtime.memGetInfo()
            return {**memory_stats(), "free_bytes": free, "total_bytes": total}

    def asked_bytes(self, error: BaseException) -> int | None:
        told = re.search(r"allocating ([\d,]+) bytes", str(error))
        return int(told[1].replace(",", "")) if told else super().asked_bytes(error)

    def _on(self, device: Device) -> Any:
        index = device.index or 0
        if not 0 <= index < cuda.device_count():
            raise DeviceError(
                f"device: the index must lie in [0, {cuda.device_count()}), got {str(device)!r}"
            )
        return self.namespace.cuda.Device(index)


@functools.cache
def cupy_backend() -> Backend:
    """Return the backend of CuPy arrays; raise with the command that mends it where it can't be.

    Raises
    ------
    DeviceError
        There is no driver, no GPU or no CuPy.
    """
    reason = cuda.why_not()
    if reason:
        raise DeviceError(f"cuda: a usable NVIDIA GPU is needed, got none: {reason}")
    try:
        import cupy
        import cupyx.scipy.special
    except ImportError as error:
        reason = cuda_probe.why_no_import(error)
        raise DeviceError(f"cuda: a usable NVIDIA GPU is needed, got none: {reason}") from error

    # They take 10 ms to import, which a program without a GPU shouldn't.
    from .cuda import fused_slots as cuda_fused_slots
    from .cuda import slots as cuda_slots
    from .cuda.cupy_driver import CupyDriver
    from .cuda.kernels import Kernels

    slots = library_slots.slots(cupy)
    slots["erf"] = special.of_wide(cupyx.scipy.special.erf)  # of float16 it gives float64

    def filled(shape: Any, value: Any, dtype: Any, device: Device) -> Any:
        with backend._on(device):
            return cupy.full(shape, value, dtype)

    slots["filled"] = filled
    library = library_slots.finder(cupy, slots)
    kernels = Kernels(CupyDriver(cupy))
    slots.update(cuda_slots.slots(cupy, kernels, library))
    slots.update(cuda_fused_slots.slots(cupy, kernels))
    backend = CupyBackend("cuda", cupy, cupy.ndarray, slots)
    register(backend)
    return backend


def _forget() -> None:
    """Look the backend up anew: in a forked child that raises."""
    cupy_backend.cache_clear()
    backend = by_device_type.pop("cuda", None)
    if backend is not None:
        by_array_type.pop(backend.array_type, None)


cuda_probe.in_forked_child.append(_forget)
at_first_use["cuda"] = cupy_backend
