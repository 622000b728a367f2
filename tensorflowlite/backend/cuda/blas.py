"""cuBLASLt on the GPU: where the library is, a handle per device, and the plans that were made.

`csrc/cublas_lt.cpp` calls it. Everything here is row-major; a transposed view is a layout, no copy.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from ...errors import DeviceError
from ..native import extension as native
from . import libraries

WORKSPACE_BYTES = 32 << 20
MOST_ALGORITHMS = 16
# What a size or a leading dimension may be: the library counts in 32 bits.
MOST_ELEMENTS = 2**31 - 1
_STREAM_OF_EACH_THREAD = 2  # cudaStreamPerThread: one address, another stream in each thread


class Queue(Protocol):
    """The current device's current stream: what runs on it is timed here. Tests have stand-ins."""

    def stream(self) -> int:
        """Return the address of the current stream."""

    def capturing(self) -> bool:
        """Return whether the stream's work is being recorded, so that nothing may wait for it."""

    def device_name(self) -> str:
        """Return the name of the current device's model."""

    def time(self, run: Callable[[], Any], iterations: int) -> float:
        """Return how many milliseconds a run takes, the mean of some after one that isn't timed."""


class CupyQueue:
    """CuPy's current stream, timed by events."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy

    @property
    def _cuda(self) -> Any:
        return self._cupy.cuda

    def stream(self) -> int:
        return self._cuda.get_current_stream().ptr

    def capturing(self) -> bool:
        return self._cuda.get_current_stream().is_capturing()

    def device_name(self) -> str:
        runtime = self._cuda.runtime
        return runtime.getDeviceProperties(runtime.getDevice())["name"].decode()

    def time(self, run: Callable[[], Any], iterations: int) -> float:
        run()
        start, stop = self._cuda.Event(), self._cuda.Event()
        start.record()
        for _ in range(iterations):
            run()
        stop.record()
        stop.synchronize()
        return self._cuda.get_elapsed_time(start, stop) / iterations


def candidates() -> list[str]:
    """Return where cuBLASLt may be; one that the process has already goes before all others."""
    return libraries.candidates("libcublasLt", "cublas")


@functools.lru_cache(maxsize=4096)
def layout(shape: tuple[int, int], strides: tuple[int, int], size: int) -> tuple[bool, int] | None:
    """Return how a matrix lies: whether transposed, and its leading dimension in elements.

    None where it is neither in C order nor a transposed view of such a matrix, with whatever
    distance between the rows.

    Examples
    --------
    >>> layout((3, 5), (40, 8), 8), layout((3, 5), (8, 24), 8), layout((3, 5), (0, 8), 8)
    ((False, 5), (True, 3), None)
    """
    (rows, columns), (down, across) = shape, strides
    if across == size or columns == 1:
        if rows == 1:
            return False, columns
        if down % size == 0 and down >= columns * size:
            return False, down // size
    if down == size or rows == 1:
        if columns == 1:
            return True, rows
        if across % size == 0 and across >= rows * size:
            return True, across // size
    return None


def batch_stride(shape: Sequence[int], strides: Sequence[int], size: int) -> int | None:
    """Return the one distance, in elements, between the matrices of a batch with these axes.

    Examples
    --------
    >>> batch_stride((2, 3), (144, 48), 8), batch_stride((2, 3), (0, 0), 8)
    (6, 0)
    >>> batch_stride((2, 3), (0, 48), 8) is None
    True
    """
    axes = [(n, stride) for n, stride in zip(shape, strides, strict=True) if n != 1]
    if not axes:
        return 0
    for (_, outer), (n, inner) in itertools.pairwise(axes):
        if outer != n * inner:
            return None
    found = axes[-1][1]
    return found // size if found >= 0 and found % size == 0 else None


def alignment(address: int) -> int:
    """Return the power of two that an address is a multiple of: 256, 16, or less.

    Examples
    --------
    >>> alignment(4096), alignment(4096 + 32), alignment(4096 + 6)
    (256, 16, 2)
    """
    if address % 256 == 0:
        return 256
    return 16 if address % 16 == 0 else address & -address


class Product(NamedTuple):
    """A product as the extension's ``plan`` takes it: C order, sizes in elements."""

    m: int
    n: int
    k: int
    a_transposed: bool
    b_transposed: bool
    a_leading: int
    b_leading: int
    out_leading: int
    batch: int
    a_stride: int
    b_stride: int
    out_stride: int
    dtype: str
    tf32: bool
    epilogue: str
    aux_leading: int


class Blas:
    """cuBLASLt: a handle on each device, and a workspace for each stream.

    Parameters
    ----------
    xp
        The array library, for the workspaces.
    driver
        Knows the current device, and the addresses of arrays.
    queue
        The current stream.
    places
        Where the library may be; None for the usual places.
    """

    def __init__(
        self, xp: Any, driver: Any, queue: Queue, places: Sequence[str] | None = None
    ) -> None:
        self._xp, self._driver, self.queue, self._places = xp, driver, queue, places
        self._libraries: dict[int, Any] = {}
        self._plans: dict[Any, Any] = {}
        # A graph of captured work goes on using its stream's workspace: none is ever given back.
        self._workspaces: dict[tuple[int, int, int], tuple[Any, int]] = {}
        self.reason: str | None = None  # why there is none; "" where there is

    def why_not(self) -> str:
        """Return why the library can't be used here; "" where it can."""
        if self.reason is None:
            self.reason = native.why_not() and f"the native extension is {native.why_not()}"
            if not self.reason:
                try:
                    self.library()
                except RuntimeError as error:
                    self.reason = f"cuBLASLt: {error}; run: pip install nvidia-cublas"
        return self.reason

    def library(self) -> Any:
        """Return the library with the current device's handle."""
        device = self._driver.device()
        found = self._libraries.get(device)
        if found is None:
            places = candidates() if self._places is None else list(self._places)
            found = native.module.CublasLt(places)  # type: ignore[union-attr]
            found.open()
            self._libraries[device] = found
        return found

    def identity(self) -> str:
        """Return what measured times depend on: the device's model, and the library's version."""
        version = "none" if self.why_not() else self.library().version
        return f"{self.queue.device_name()}, cuBLASLt {version}"

    def plan(self, product: Product, alignments: tuple[int, int, int, int]) -> Any:
        """Return the plan of a product, with what algorithms there are for it; perhaps none.

        Parameters
        ----------
        product
            What is to be computed.
        alignments
            Of the addresses of ``a``, ``b``, of what is written and of the epilogue's arrays.
        """
        key = (self._driver.device(), product, alignments)
        found = self._plans.get(key)
        if found is None:
            if self.why_not():
                raise DeviceError(str(self.reason))
            library = self.library()
            found = library.plan(**product._asdict())
            a, b, out, rest = alignments
            try:
                library.search(
                    found, MOST_ALGORITHMS, WORKSPACE_BYTES, a=a, b=b, out=out, bias=rest, aux=rest
                )
            except RuntimeError as error:
                if "NOT_SUPPORTED" not in str(error):
                    raise DeviceError(str(error)) from None
            self._plans[key] = found
        return found

    def workspace(self, stream: int) -> int:
        """Return the address of the memory that products on a stream work in."""
        thread = threading.get_ident() if stream == _STREAM_OF_EACH_THREAD else 0
        key = (self._driver.device(), stream, thread)
        found = self._workspaces.get(key)
        if found is None:
            array = self._xp.empty(WORKSPACE_BYTES, "uint8")
            found = self._workspaces[key] = (array, self._driver.address(array))
        return found[1]

    def run(self, plan: Any, algorithm: int, a: Any, b: Any, out: Any, bias: Any = None,
            aux: Any = None, alpha: float = 1.0, beta: float = 0.0) -> None:  # fmt: skip
        """Hand a product to the current stream; ``out`` is alpha a b + beta out."""
        address, stream = self._driver.address, self.queue.stream()
        try:
            self.library().run(
                plan,
                algorithm,
                address(a),
                address(b),
                address(out),
                0 if bias is None else address(bias),
                0 if aux is None else address(aux),
                self.workspace(stream),
                WORKSPACE_BYTES,
                stream,
                alpha,
                beta,
            )
        except RuntimeError as error:
            raise DeviceError(str(error)) from None
