"""CuPy's driver of kernels, on stand-ins for CuPy and for NVIDIA's driver."""

from __future__ import annotations

import ctypes
import struct
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tensorflowlite.backend.cuda import cupy_driver
from tensorflowlite.backend.cuda.cupy_driver import CupyDriver
from tensorflowlite.errors import DeviceError

LAYOUT, ARGUMENTS = "16sqd", (b"sixteen bytes...", 2**40, 0.5)


class Machine:
    """What a device was asked for: contexts and shared memory by thread, launches."""

    def __init__(self) -> None:
        self.contexts: list[int] = []
        self.shared: list[int] = []
        self.launches: list[tuple[Any, ...]] = []
        self.refuses = False
        self.status = 0
        self.cupy = SimpleNamespace(
            cuda=SimpleNamespace(
                runtime=SimpleNamespace(getDevice=lambda: 0, memGetInfo=self.give_context),
                driver=SimpleNamespace(
                    CUDADriverError=ZeroDivisionError,
                    funcSetAttribute=lambda pointer, attribute, size: self.shared.append(size),
                ),
                function=SimpleNamespace(Module=lambda: self),
                get_current_stream=lambda: SimpleNamespace(ptr=0x57),
            )
        )

    def give_context(self) -> None:
        self.contexts.append(threading.get_ident())

    def load(self, machine_code: bytes) -> None:
        if self.refuses:
            raise ZeroDivisionError("no kernel image")

    def get_function(self, entry: str) -> Any:
        return SimpleNamespace(ptr=0xF00)

    def cuLaunchKernel(self, function: Any, *rest: Any) -> int:
        *sizes, stream, pointers, extra = rest
        if threading.get_ident() not in self.contexts:
            return 201  # CUDA_ERROR_INVALID_CONTEXT
        values = tuple(
            struct.unpack(letter, ctypes.string_at(pointer, struct.calcsize(letter)))[0]
            for letter, pointer in zip(("16s", "q", "d"), pointers, strict=True)
        )
        self.launches.append((function.value, tuple(sizes), stream.value, values, extra))
        return self.status


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(cupy_driver.ctypes, "CDLL", lambda name: found)
    return found


def launch(function: Any, shared: int = 0) -> None:
    function((3, 2), (32,), shared, LAYOUT, struct.pack(LAYOUT, *ARGUMENTS))


def test_a_launch_hands_on_every_argument(machine: Machine) -> None:
    launch(CupyDriver(machine.cupy).load(b"code", ["scale"])["scale"], 64)
    assert machine.launches == [(0xF00, (3, 2, 1, 32, 1, 1, 64), 0x57, ARGUMENTS, None)]


def test_threads_get_the_context_once_each(machine: Machine) -> None:
    function = CupyDriver(machine.cupy).load(b"code", ["scale"])["scale"]
    launch(function)
    launch(function)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            launch(function)
            launch(function)
        except DeviceError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failures
    assert machine.contexts == [threading.get_ident(), thread.ident]
    assert len(machine.launches) == 4


def test_much_shared_memory_is_asked_for_once(machine: Machine) -> None:
    function = CupyDriver(machine.cupy).load(b"code", ["scale"])["scale"]
    for shared in (48 * 1024, 64 * 1024, 64 * 1024, 50 * 1024):
        launch(function, shared)
    assert machine.shared == [64 * 1024]


def test_what_the_driver_refuses(machine: Machine) -> None:
    driver = CupyDriver(machine.cupy)
    function = driver.load(b"code", ["scale"])["scale"]
    machine.status = 1
    with pytest.raises(DeviceError, match=r"^scale: .* got error 1 for grid \(3, 2\), block \(32,"):
        launch(function)
    machine.refuses = True
    with pytest.raises(DeviceError, match=r"^scale: .* must take the kernel, got no kernel"):
        driver.load(b"code", ["scale", "shift"])


def test_arrays_of_the_host_lie_on_no_device(machine: Machine) -> None:
    assert CupyDriver(machine.cupy).device_of(np.zeros(3)) is None
