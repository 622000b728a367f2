"""A cuBLASLt that computes on the host, and what else the products' slots need of a GPU."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import product_slots as cuda_product_slots
from tensorflowlite.backend.cuda.blas import Blas
from tensorflowlite.backend.cuda.gemm import Gemm
from tensorflowlite.backend.cuda.gemm_sources import Activations
from tensorflowlite.backend.native import extension as native
from tensorflowlite.backend.slots import library as library_slots

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = library_slots.slots(np)
TYPES = [dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64]
# The most that rounding to a dtype changes a number by, relatively.
ROUNDING = {
    dtypes.float16: 2.0**-11, dtypes.bfloat16: 2.0**-8, dtypes.float32: 2.0**-24,
    dtypes.float64: 1e-15,
}  # fmt: skip


@functools.cache
def built() -> str:
    """Return the path of the stand-in for libcublasLt and libcuda, compiled once per process."""
    target = Path(tempfile.mkdtemp(prefix="tensorflowlite-fake-")) / "libfake.so"
    compiler = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C++ compiler")
    options = ["-std=gnu++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall"]
    source = [f"-I{ROOT / 'kernels' / 'include'}", str(ROOT / "tests" / "fake_cublaslt.cpp")]
    subprocess.run(
        [*compiler, *options, *source, "-o", str(target)], check=True, capture_output=True
    )
    return str(target)


class Fake:
    """What tests set and read of the stand-in; made anew, it has its first settings."""

    def __init__(self) -> None:
        self.path = built()
        self._library = ctypes.CDLL(self.path)
        for name in ("runs", "run", "preference", "stream", "pointer_alignment"):
            getattr(self._library, f"fake_{name}").restype = ctypes.c_int64
        self._library.fake_run.argtypes = [ctypes.c_int64]
        self.reset = self._library.fake_reset
        self.fail = self._library.fake_fail
        self.refuse = self._library.fake_refuse
        self.algorithms = self._library.fake_algorithms
        self.lose_nan = self._library.fake_lose_nan
        self.preference = self._library.fake_preference
        self.stream = self._library.fake_stream
        self.pointer_alignment = self._library.fake_pointer_alignment
        self.reset()

    def runs(self) -> list[tuple[int, str]]:
        """Return the algorithm and the epilogue of each product that ran."""
        run = self._library.fake_run
        assert native.module is not None
        names = {code: name for name, code in native.module.epilogues().items()}
        return [(run(2 * i), names[run(2 * i + 1)]) for i in range(self._library.fake_runs())]


class HostDriver:
    """Addresses of NumPy arrays, all on one device."""

    def __init__(self, capability: tuple[int, int] = (8, 0)) -> None:
        self.number = 0
        self._capability = capability

    def device(self) -> int:
        return self.number

    def capability(self) -> tuple[int, int]:
        return self._capability

    def multiprocessors(self) -> int:
        return 4

    def address(self, array: Any) -> int:
        return array.ctypes.data

    def device_of(self, array: Any) -> int:
        return self.number


class HostQueue:
    """A stream whose times tests choose: ``cost(run)`` runs and returns milliseconds."""

    def __init__(self) -> None:
        self.timed: list[int] = []
        self.recording = False
        self.name = "a GPU"
        self.cost: Callable[[Callable[[], Any]], float] = lambda run: (run(), 1.0)[1]

    def stream(self) -> int:
        return 0x57

    def capturing(self) -> bool:
        return self.recording

    def device_name(self) -> str:
        return self.name

    def time(self, run: Callable[[], Any], iterations: int) -> float:
        self.timed.append(iterations)
        return self.cost(run)


class NoKernels:
    """Kernels where none can be compiled."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def ready(self, file: str, **defines: Any) -> bool:
        return False


def gemm_on_host(driver: Any = None) -> tuple[Gemm, HostQueue, Any]:
    """Return a dispatcher over the stand-in, without sources."""
    driver, queue = driver or HostDriver(), HostQueue()
    return Gemm(np, Blas(np, driver, queue, [built()]), driver, queue), queue, driver


def normal(shape: tuple[int, ...], dtype: Any, seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_derivative(x: Any) -> Any:
    h = 1e-5
    return (gelu(x + h) - gelu(x - h)) / (2 * h)


# The activations' kernels, in float64: forward, derivative, whether that is of the output.
FORMULAS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], bool]] = {
    "relu": (lambda z: np.maximum(z, 0), lambda out: 1.0 * (out > 0), True),
    "gelu_tanh": (gelu, gelu_derivative, False),
    "silu": (
        lambda z: z / (1 + np.exp(-z)),
        lambda z: (1 + np.exp(-z) * (1 + z)) / (1 + np.exp(-z)) ** 2,
        False,
    ),
}


def activate(z: Any, bias: Any, activation: str) -> tuple[Any, Any]:
    forward, _, from_output = FORMULAS[activation]
    whole = z.astype("f8") + (0 if bias is None else bias.astype("f8"))
    out = forward(whole).astype(z.dtype)
    return out, out if from_output else whole.astype(z.dtype)


def activation_gradient(g: Any, saved: Any, activation: str) -> tuple[Any, Any]:
    dz = g.astype("f8") * FORMULAS[activation][1](saved.astype("f8"))
    return dz.astype(g.dtype), dz.sum(0).astype(g.dtype)


def total(partials: Any, dtype: Any, activation: str) -> Any:
    return partials.astype("f8").sum(0).astype(dtype)


def gated_gradients(g: Any, gate: Any, y: Any, activation: str) -> tuple[Any, Any]:
    """Return the gradients of act(gate) y in float64."""
    forward, derivative, from_output = FORMULAS[activation]
    g, gate, y = (one.astype("f8") for one in (g, gate, y))
    out = forward(gate)
    return g * y * derivative(out if from_output else gate), g * out


def gated_gradient(g: Any, gate: Any, y: Any, activation: str) -> tuple[Any, ...]:
    return tuple(one.astype(g.dtype) for one in gated_gradients(g, gate, y, activation))


KERNELS = Activations(
    lambda dtype, name: name in FORMULAS, activate, activation_gradient, total,
    lambda dtype, name: name in FORMULAS, gated_gradient,  # type: ignore[arg-type]
)  # fmt: skip
NO_KERNELS = KERNELS._replace(
    ready=lambda dtype, name: False, gated_ready=lambda dtype, name: False
)


def close(found: Any, reference: Any, dtype: Any, roundings: int = 1) -> None:
    """Hold a result, of this dtype, to a float64 reference."""
    assert found.dtype == dtype and found.shape == reference.shape
    size = np.abs(reference).max(initial=1e-3)
    error = np.abs(found.astype("f8") - reference).max(initial=0)
    assert error <= (roundings * ROUNDING[dtype] + 2e-9) * size


class Shop:
    """The slots on NumPy arrays and the stand-in library, counting what is left to NumPy."""

    def __init__(self, activations: Activations | None = None, kernels: Any = None) -> None:
        self.gemm, self.queue, self.driver = gemm_on_host(kernels and kernels.driver)
        self.left: list[str] = []
        self.slots = cuda_product_slots.slots(
            np, kernels or NoKernels(self.driver), self.library, self.gemm, activations  # type: ignore[arg-type]
        )  # fmt: skip
        self.matmul, self.linear_act = self.slots["matmul"], self.slots["linear_act"]
        self.gradient = self.slots["product_activation_gradient"]
        self.gated = self.slots["product_gated_gradient"]

    def library(self, name: str) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self.left.append(name)
            return LIBRARY[name](*args)

        return run


# -- fixtures, for the modules that import them ---------------------------------------------------
@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENSORFLOWLITE_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def fake(native_module: ModuleType) -> Iterator[Fake]:
    yield Fake()
    tfl.cuda.set_float32_matmul_precision("highest")


@pytest.fixture
def shop(fake: Fake) -> Shop:
    return Shop(KERNELS)
