"""What the rows of the CUDA suite are made with: arrays, peers on their memory, references."""

from __future__ import annotations

import contextlib
import gc
import importlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy

import tensorflowlite as tfl
from tensorflowlite.backend import Backend, Device, backend_for, dtypes
from tensorflowlite.backend.cuda.tuning import line
from tensorflowlite.backend.slots import library as library_slots
from tensorflowlite.backend.slots import special

from .cuda_cublaslt import CublasLt
from .measure_cuda import Call, CpuTimer, CudaTimer, Plan, Timer

bfloat16, float32, float64 = dtypes.bfloat16, dtypes.float32, dtypes.float64
PEERS = ("torch", "torch-compile", "cupy", "cublaslt")
OURS = "tensorflowlite"
_DECLARING = ("attention", "fused", "losses", "normalization", "optimizers", "optimizers.scaling")


class LeftOut(Exception):
    """A contender, or a row, that this machine can't run; the text says why."""


@dataclass(frozen=True)
class Check:
    """One comparison: a relative error, and what it may be."""

    what: str
    error: float
    tolerance: float

    @property
    def right(self) -> bool:
        """Whether the error is within the tolerance; NaN isn't."""
        return self.error <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """Return what a result file holds of it; JSON knows neither infinity nor NaN."""
        error = float(f"{self.error:.3g}") if math.isfinite(self.error) else str(self.error)
        return {"what": self.what, "error": error, "tolerance": self.tolerance}


@dataclass(frozen=True)
class Bar:
    """What a row is held to.

    ``of`` is a contender (then the bar is its time over ours), ``"copy"`` or ``"matmul"`` (our
    share of that measured ceiling), or ``"operations"`` (operations per second).
    """

    of: str
    least: float
    stretch: float | None = None


@dataclass
class Case:
    """A row made ready: what to run, what to compare, how much work it is.

    A peer's maker is called only where it was asked for. It returns its call, or its call and
    that peer's own check.
    """

    ours: Call | None
    peers: dict[str, Callable[[], Any]]
    checks: Callable[[], list[Check]]
    operations: float = 0.0
    bytes: float = 0.0
    hosted: bool = False
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str
    title: str
    build: Callable[[Lab], Case]
    bars: tuple[Bar, ...] = ()
    ceiling: str | None = None


def fresh_seed() -> int:
    """Return another seed each time."""
    return int(numpy.random.SeedSequence().generate_state(1)[0])


def gradient_of(leaf: tfl.Tensor) -> Any:
    """Return the array of a leaf's gradient."""
    if leaf.grad is None:
        raise RuntimeError("the backward pass left a leaf without a gradient")
    return leaf.grad.array


def plain_backend(xp: Any, device_type: str = "plain") -> Backend:
    """Return a backend of the library's slots and the decompositions alone, without kernels.

    Called with arrays in float64 it gives the references.
    """
    for family in _DECLARING:  # which brings their decompositions
        importlib.import_module(f"tensorflowlite.ops.{family}")
    slots = library_slots.slots(xp)
    if xp is not numpy:
        import cupyx.scipy.special

        slots["erf"] = special.of_wide(cupyx.scipy.special.erf)
    return Backend(device_type, xp, xp.ndarray, slots)


def worst(found: Any, reference: Any) -> float:
    """Return the largest difference over the largest magnitude of the reference; NaN stays."""
    if found.shape != reference.shape:
        return math.inf
    if not reference.size:
        return 0.0
    greatest = float(abs(reference).max())
    difference = float(abs(found.astype(reference.dtype) - reference).max())
    return difference / greatest if greatest else difference


def distance(found: Any, reference: Any) -> float:
    """Return the norm of the difference over the norm of the reference; NaN stays."""
    if found.shape != reference.shape:
        return math.inf
    difference = found.astype(reference.dtype) - reference
    norm = float((reference * reference).sum()) ** 0.5
    return float((difference * difference).sum()) ** 0.5 / (norm or 1.0)


@dataclass
class Lab:
    """A device with its array library, its timer and the peers that were asked for."""

    device: str
    xp: Any
    timer: Timer
    plan: Plan
    against: tuple[str, ...] = ()
    scale: float = 1.0
    torch: Any = None
    seed: int = 0
    compile_seconds: float = 90.0
    ceilings: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.k = backend_for(self.device)
        self.reference = plain_backend(self.xp, self.k.device_type)
        self.generator = self.xp.random.default_rng(self.seed)
        self._lt: CublasLt | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether the arrays lie on a GPU."""
        return self.device.startswith("cuda")

    @property
    def half(self) -> float:
        """What a bfloat16 may be off, of the greatest magnitude: it is rounded by 2e-3 of itself.

        On a CPU the decompositions run, which round after each of their steps.
        """
        return 4e-3 if self.on_gpu else 1e-2

    # -- sizes -------------------------------------------------------------------------------------
    def size(self, length: int, multiple: int = 8) -> int:
        """Return a length of an axis at this lab's scale, a multiple of ``multiple``."""
        return max(multiple, round(length * self.scale) // multiple * multiple)

    def elements(self, count: int) -> int:
        """Return a number of elements at this lab's scale, which is one of lengths."""
        return max(64, int(count * self.scale**2))

    # -- arrays ------------------------------------------------------------------------------------
    def normal(self, shape: tuple[int, ...], dtype: Any = bfloat16, std: float = 1.0) -> Any:
        """Return fresh random numbers; never zeros, which are quicker than data."""
        made = self.generator.standard_normal(shape, dtype=float32)
        if std != 1:
            made *= float32.type(std)
        return made.astype(dtype, copy=False)

    def integers(self, below: int, shape: tuple[int, ...]) -> Any:
        """Return random int64 indices."""
        return self.generator.integers(0, below, shape, dtype=dtypes.int64)

    def poison(self, *arrays: tuple[tuple[int, ...], Any]) -> None:
        """Leave NaN in memory of these shapes and dtypes, for the next to ask for such memory."""
        held = []
        for shape, dtype in arrays:
            block = self.xp.empty(shape, dtype)
            block.view(dtypes.uint8).fill(255)
            held.append(block)

    def tensor(self, array: Any, requires_grad: bool = False) -> tfl.Tensor:
        """Return a tensor that shares an array's memory."""
        return tfl.Tensor(array, requires_grad)

    def torch_of(self, array: Any, requires_grad: bool = False) -> Any:
        """Return a tensor of PyTorch that shares an array's memory."""
        if self.torch is None:
            raise LeftOut("PyTorch isn't installed")
        half = array.dtype == bfloat16
        plain = array.view(dtypes.int16) if half else array  # DLPack passes through any version
        made = self.torch.from_dlpack(plain)
        if half:
            made = made.view(self.torch.bfloat16)
        return made.requires_grad_() if requires_grad else made

    def wide(self, *arrays: Any, dtype: Any = float64) -> list[Any]:
        """Return arrays in a wider dtype, for references."""
        return [array.astype(dtype) for array in arrays]

    # -- peers -------------------------------------------------------------------------------------
    @property
    def lt(self) -> CublasLt:
        """cuBLASLt's handle, made once."""
        if not self.on_gpu:
            raise LeftOut("cuBLASLt is for GPUs")
        if self._lt is None:
            self._lt = CublasLt(self.xp, self.timer.once)
        return self._lt

    def compiled(self, function: Any, **options: Any) -> Any:
        """Return a function compiled by PyTorch; the first call compiles, within a time limit."""
        if self.torch is None:
            raise LeftOut("PyTorch isn't installed")
        return self.torch.compile(function, dynamic=False, **options)

    def free_memory(self) -> float:
        """Return the bytes that new arrays may take."""
        if not self.on_gpu:
            return 2.0**31
        pool = self.xp.get_default_memory_pool()
        return float(self.xp.cuda.runtime.memGetInfo()[0] + pool.free_bytes())

    def ways(self) -> list[str]:
        """Return which ways were chosen for products since clear()."""
        gemm = getattr(self.k.matmul, "gemm", None)
        return [] if gemm is None else sorted(line(*item) for item in gemm.chosen().items())

    def clear(self) -> None:
        """Give memory back between rows, and what PyTorch compiled for other shapes."""
        gemm = getattr(self.k.matmul, "gemm", None)
        if gemm is not None:
            gemm.forget()
        if self.torch is not None and "torch._dynamo" in sys.modules:
            self.torch._dynamo.reset()
        gc.collect()
        if self.on_gpu:
            self.timer.synchronize()
            self.xp.get_default_memory_pool().free_all_blocks()
            if self.torch is not None:
                self.torch.cuda.empty_cache()


def open_lab(
    device: str, against: tuple[str, ...], quick: bool, scale: float | None, compile_seconds: float
) -> Lab:
    """Return the lab of a device.

    Raises
    ------
    DeviceError
        There is no usable GPU.
    """
    timer: Timer
    backend = backend_for(device)
    number = Device(device).index or 0
    if device.startswith("cuda"):
        backend.namespace.cuda.Device(number).use()
        timer = CudaTimer(backend.namespace)
    else:
        timer = CpuTimer()
    torch: Any = None
    if any(name.startswith("torch") for name in against):
        with contextlib.suppress(ImportError):
            torch = importlib.import_module("torch")
        if torch is not None and not device.startswith("cuda"):
            torch.set_num_threads(1)  # tiny arrays: threads only wait for each other
        elif torch is not None and torch.cuda.is_available():
            torch.cuda.set_device(number)
        else:
            torch = None
    if scale is None:
        scale = 1.0 if device.startswith("cuda") else 1 / 128
    return Lab(
        device=device,
        xp=backend.namespace,
        timer=timer,
        plan=Plan.quick() if quick else Plan(),
        against=against,
        scale=scale,
        torch=torch,
        seed=fresh_seed(),
        compile_seconds=compile_seconds,
    )
