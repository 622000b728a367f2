"""What is told where no GPU can be used, on drivers that stand for every case."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.base import at_first_use, by_device_type
from tensorflowlite.backend.cuda import probe as cuda_probe
from tensorflowlite.backend.cupy_backend import cupy_backend
from tensorflowlite.cli.doctor import doctor
from tensorflowlite.errors import DeviceError


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

    version_of, spec_of = importlib.metadata.version, importlib.util.find_spec

    def version(name: str) -> str:
        if not name.startswith("cupy"):
            return version_of(name)
        if name != cupy:
            raise importlib.metadata.PackageNotFoundError(name)
        return "14.2.0"

    def find_spec(name: str) -> Any:
        return spec_of(name) if name != "cupy" else object() if cupy else None

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def forget_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the GPU be used for the first time, also where the machine has one."""
    monkeypatch.delitem(by_device_type, "cuda", raising=False)
    monkeypatch.setitem(at_first_use, "cuda", cupy_backend.__wrapped__)


OLD_GPU = (7, 0)
CASES = [
    (None, "cupy-cuda13x", "no NVIDIA driver was found (libcuda.so.1); install the driver of "
     "the GPU, and to see that it works run: nvidia-smi"),
    (FakeDriver(11080), "cupy-cuda12x", "too old: it is of CUDA 11.8, and CuPy asks for 12.0; "
     "install a newer driver, and to see its version run: nvidia-smi"),
    (FakeDriver(status=999), "cupy-cuda13x", "doesn't start (cuInit gave 999); to see what it says "
     "run: nvidia-smi"),
    (FakeDriver(status=100), "cupy-cuda13x", "reports no GPU; to see what there is run: nvidia-smi "
     "-L"),
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
    driver: FakeDriver | None, cupy: str, told: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    machine(monkeypatch, driver, cupy)
    reason = cuda_probe.why_not()
    assert told in reason and "\n" not in reason
    assert re.search(r"run: (nvidia-smi|pip (un)?install) ?", reason)
    # Users meet it in three places.
    assert tfl.cuda.why_not() == reason and not tfl.cuda.is_available()
    forget_backend(monkeypatch)
    with pytest.raises(DeviceError) as caught:
        tfl.ones(2, device="cuda")
    assert str(caught.value).endswith(f"got none: {reason}")
    assert doctor() == 0
    assert f"not usable: {reason}\n" in capsys.readouterr().out


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
    unhide = "to see all of them run: unset CUDA_VISIBLE_DEVICES"
    hint = f"reports no GPU; CUDA_VISIBLE_DEVICES is '7', {unhide}"
    assert cuda_probe.why_not().endswith(hint)
    for function in (cuda_probe.driver, cuda_probe.why_not):
        function.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    hint = f'CUDA_VISIBLE_DEVICES is "", which hides every GPU; {unhide}'
    assert cuda_probe.why_not() == hint


@pytest.mark.parametrize(
    ("cupy", "name", "wheel"),
    [("cupy-cuda12x", "cupy-cuda12x", "12"), ("cupy", "cupy", "13")],
)
def test_a_cupy_that_cannot_be_imported(
    cupy: str, name: str, wheel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, FakeDriver(), cupy)
    forget_backend(monkeypatch)
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it raises
    with pytest.raises(DeviceError) as caught:
        tfl.ones(2, device="cuda")
    told = str(caught.value)
    assert f"got none: {name} can't be imported (import of cupy halted" in told
    assert told.endswith(f'; run: pip install --force-reinstall "cupy-cuda{wheel}x[ctk]"')
