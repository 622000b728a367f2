"""What is told where no GPU can be used, on drivers that stand for every case."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from tensorflowlite.backend import cuda_probe


class FakeDriver:
    """libcuda.so.1 of some machine."""

    def __init__(self, version: int = 13020, status: int = 0, count: int = 1, mode: int = 0,
                 capability: tuple[int, int] = (9, 0)) -> None:  # fmt: skip
        self.version, self.status, self.count = version, status, count
        self.attributes = {20: mode, 75: capability[0], 76: capability[1]}

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDriverGetVersion(self, out: Any) -> int:
        out._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, out: Any) -> int:
        out._obj.value = self.count
        return 0

    def cuDeviceGet(self, out: Any, number: int) -> int:
        out._obj.value = number
        return 0

    def cuDeviceGetAttribute(self, out: Any, number: int, device: ctypes.c_int) -> int:
        out._obj.value = self.attributes[number]
        return 0


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing remembered from other tests, nothing left for them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for function in (cuda_probe.driver, cuda_probe.why_not):
        function.cache_clear()
    yield
    for function in (cuda_probe.driver, cuda_probe.why_not):
        function.cache_clear()


def machine(monkeypatch: pytest.MonkeyPatch, driver: FakeDriver | None, cupy: str = "") -> None:
    """Put a driver and a distribution of CuPy in place."""
    monkeypatch.setattr(cuda_probe, "_load", lambda: driver)

    def version(name: str) -> str:
        if name != cupy:
            raise importlib.metadata.PackageNotFoundError(name)
        return "14.2.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if cupy else None)


OLD_GPU = (7, 0)
CASES = [
    (None, "cupy-cuda13x", "no NVIDIA driver was found (libcuda.so.1); install the driver"),
    (FakeDriver(11080), "cupy-cuda12x", "too old: it is of CUDA 11.8, and CuPy asks for 12.0; "
     "install a newer driver"),
    (FakeDriver(status=999), "cupy-cuda13x", "doesn't start (cuInit gave 999); see what nvidia-"),
    (FakeDriver(status=100), "cupy-cuda13x", "reports no GPU; see what nvidia-smi says"),
    (FakeDriver(count=0), "cupy-cuda13x", "reports no GPU"),
    (FakeDriver(mode=2), "cupy-cuda13x", "takes no work in its compute mode; run: nvidia-smi -i 0"),
    (FakeDriver(), "", 'CuPy isn\'t installed; run: pip install "cupy-cuda13x[ctk]"'),
    (FakeDriver(12040), "", 'CuPy isn\'t installed; run: pip install "cupy-cuda12x[ctk]"'),
    (FakeDriver(capability=OLD_GPU), "", 'run: pip install "cupy-cuda12x[ctk]"'),
    (FakeDriver(14000), "", 'run: pip install "cupy-cuda13x[ctk]"'),
    (FakeDriver(12040), "cupy-cuda13x", "cupy-cuda13x is for CUDA 13, the driver for CUDA 12; run: "
     'pip uninstall cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'),
    (FakeDriver(capability=OLD_GPU), "cupy-cuda13x", "doesn't run on GPUs of compute capability "
     '7.0; run: pip uninstall cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'),
]  # fmt: skip


@pytest.mark.parametrize(("driver", "cupy", "told"), CASES)
def test_each_reason_has_its_command(
    driver: FakeDriver | None, cupy: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, driver, cupy)
    assert told in cuda_probe.why_not()
    assert "\n" not in cuda_probe.why_not()


@pytest.mark.parametrize(
    ("driver", "cupy"),
    [
        (FakeDriver(), "cupy-cuda13x"),
        (FakeDriver(), "cupy-cuda12x"),  # an older one runs on a newer driver
        (FakeDriver(12000), "cupy-cuda12x"),
        (FakeDriver(14000), "cupy-cuda13x"),
        (FakeDriver(), "cupy"),  # built from source: for what it was built for
        (FakeDriver(capability=OLD_GPU), "cupy-cuda12x"),
    ],
)
def test_what_can_be_used(
    driver: FakeDriver, cupy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, driver, cupy)
    assert cuda_probe.why_not() == ""
    assert cuda_probe.driver().devices == 1


def test_hidden_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, FakeDriver(count=0), "cupy-cuda13x")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert cuda_probe.why_not().endswith("reports no GPU; CUDA_VISIBLE_DEVICES is '7'")
    for function in (cuda_probe.driver, cuda_probe.why_not):
        function.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert 'CUDA_VISIBLE_DEVICES is ""' in cuda_probe.why_not()
