"""The driver that launches kernels on CuPy's current device and stream."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from ..errors import DeviceError
from .kernels import Function

_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_SHARED_WITHOUT_ASKING = 48 * 1024


class _Packed(ctypes.Structure):
    """How ``cuLaunchKernel`` takes packed arguments: marks of cuda.h, each before what it means."""

    _fields_ = (
        ("pointer_mark", ctypes.c_void_p),
        ("arguments", ctypes.c_char_p),
        ("size_mark", ctypes.c_void_p),
        ("size", ctypes.c_void_p),
        ("end", ctypes.c_void_p),
    )


class CupyDriver:
    """Loads and launches by CuPy's low-level functions."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._modules: list[Any] = []  # a module's functions live as long as it does
        self.device = cupy.cuda.runtime.getDevice

    def capability(self) -> tuple[int, int]:
        return _capability(self._cupy, self.device())

    def multiprocessors(self) -> int:
        return _multiprocessors(self._cupy, self.device())

    def load(self, machine_code: bytes, entries: list[str]) -> dict[str, Function]:
        module = self._cupy.cuda.function.Module()
        try:
            module.load(machine_code)
            found = {entry: module.get_function(entry) for entry in entries}
        except self._cupy.cuda.driver.CUDADriverError as error:
            message = f"{entries[0]}: the driver must take the kernel, got {error}"
            raise DeviceError(message) from None
        self._modules.append(module)
        return {entry: self._launcher(entry, function) for entry, function in found.items()}

    def _launcher(self, entry: str, function: Any) -> Function:
        allowed = _SHARED_WITHOUT_ASKING
        launch_kernel = ctypes.CDLL("libcuda.so.1").cuLaunchKernel
        stream = self._cupy.cuda.get_current_stream
        handle = ctypes.c_void_p(function.ptr)
        size = ctypes.c_size_t()  # the same at every launch
        size_address = ctypes.addressof(size)

        def launch(grid: Any, block: Any, shared: int, layout: str, packed: bytes) -> None:
            nonlocal allowed
            if shared > allowed:
                self._cupy.cuda.driver.funcSetAttribute(function.ptr, _DYNAMIC_SHARED, shared)
                allowed = shared
            x, y, z = (*grid, 1, 1)[:3]
            columns, rows, layers = (*block, 1, 1)[:3]
            size.value = len(packed)
            status = launch_kernel(
                handle, x, y, z, columns, rows, layers, shared,
                ctypes.c_void_p(stream().ptr), None,
                ctypes.byref(_Packed(1, packed, 2, size_address, None)),
            )  # fmt: skip
            if status:
                raise DeviceError(
                    f"{entry}: the driver must launch the kernel, got error {status} for grid "
                    f"{grid}, block {block}, {shared} bytes of shared memory"
                )

        return launch

    def address(self, array: Any) -> int:
        return array.data.ptr

    def device_of(self, array: Any) -> int | None:
        return getattr(array.data, "device_id", None)


@functools.cache
def _capability(cupy: Any, device: int) -> tuple[int, int]:
    text = cupy.cuda.Device(device).compute_capability  # "90", "120"
    return int(text[:-1]), int(text[-1])


@functools.cache
def _multiprocessors(cupy: Any, device: int) -> int:
    return cupy.cuda.Device(device).attributes["MultiProcessorCount"]
