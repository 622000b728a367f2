"""The driver that launches kernels on CuPy's current device and stream."""

from __future__ import annotations

import ctypes
import functools
import re
import struct
import threading
from typing import Any

from ...errors import DeviceError
from .kernels import Function

_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_SHARED_WITHOUT_ASKING = 48 * 1024


@functools.lru_cache(maxsize=1024)
def _offsets(layout: str) -> tuple[int, ...]:
    """Return where each packed argument begins."""
    letters = re.findall(r"\d*\w", layout)
    ends = [struct.calcsize("".join(letters[: i + 1])) for i in range(len(letters))]
    return tuple([end - struct.calcsize(one) for one, end in zip(letters, ends, strict=True)])


class _Thread(threading.local):
    """What is known of the thread that asks."""

    has_context = False


class CupyDriver:
    """Loads and launches by CuPy's low-level functions."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._modules: list[Any] = []  # a module's functions live as long as it does
        self._thread = _Thread()
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
        thread = self._thread

        def launch(grid: Any, block: Any, shared: int, layout: str, packed: bytes) -> None:
            nonlocal allowed
            if not thread.has_context:
                # The driver, unlike the runtime, doesn't give a new thread the device's context.
                self._cupy.cuda.runtime.memGetInfo()
                thread.has_context = True
            if shared > allowed:
                self._cupy.cuda.driver.funcSetAttribute(function.ptr, _DYNAMIC_SHARED, shared)
                allowed = shared
            x, y, z = (*grid, 1, 1)[:3]
            columns, rows, layers = (*block, 1, 1)[:3]
            # One by one, not as one buffer: only the driver knows where the compiler has put
            # structures whose alignment is more than that of numbers.
            start = ctypes.cast(ctypes.c_char_p(packed), ctypes.c_void_p).value or 0
            pointers = [start + offset for offset in _offsets(layout)]
            status = launch_kernel(
                handle, x, y, z, columns, rows, layers, shared,
                ctypes.c_void_p(stream().ptr),
                (ctypes.c_void_p * len(pointers))(*pointers), None,
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
