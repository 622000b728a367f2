"""What tests of slots by kernels share: arrays, references in float64, and how near is near."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import slots as cuda_slots
from tensorflowlite.backend.slots import library as library_slots
from tests.host_kernels import HostKernels

DTYPES = (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)
# Half an ulp relative to the number: what rounding a result costs.
ROUNDING = {
    dtypes.float16: 2.0**-11,
    dtypes.bfloat16: 2.0**-8,
    dtypes.float32: 2.0**-24,
    dtypes.float64: 2.0**-53,
}
# Of the functions before they are rounded, relative to the greatest value.
COMPUTING = {
    dtypes.float16: 2e-5,
    dtypes.bfloat16: 2e-5,
    dtypes.float32: 1e-6,
    dtypes.float64: 1e-14,
}
library = library_slots.finder(np, library_slots.slots(np))


def refused(name: str) -> Callable[..., Any]:
    """Stand in for a library where the kernel must take the arguments."""

    def never(*args: Any) -> Any:
        raise AssertionError(f"{name}: the kernel must take this")

    return never


def slots_of(order: str = "ascending", library: Any = refused) -> dict[str, Callable[..., Any]]:
    """Return the slots by kernels on NumPy arrays."""
    kernels = HostKernels(order)
    found: dict[str, Callable[..., Any]] = {}
    for family in cuda_slots._FAMILIES:
        if family != "product_slots":  # those need cuBLASLt, on a GPU
            module = importlib.import_module(f"tensorflowlite.backend.cuda.{family}")
            found.update(module.slots(np, kernels, library))
    return found


def array(seed: int, shape: tuple[int, ...], dtype: Any, scale: float = 1.0) -> Any:
    """Return numbers that the dtype holds, both signs."""
    return np.asarray(np.random.default_rng(seed).normal(size=shape) * scale).astype(dtype)


def strided(a: Any) -> Any:
    """Return a view of the same numbers whose elements don't lie side by side."""
    room = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    room[..., ::2] = a
    return room[..., ::2]


def shifted(a: Any) -> Any:
    """Return the same numbers in C order at an address that isn't a multiple of 16."""
    room = np.zeros(a.size + 1, a.dtype)
    room[1:] = a.reshape(-1)
    out = room[1:].reshape(a.shape)
    assert out.ctypes.data % 16
    return out


def wide(a: Any) -> Any:
    return None if a is None else np.asarray(a, np.float64)


def check(got: Any, wanted: Any, dtype: Any, computing: float | None = None,
          magnitude: Any = None) -> None:  # fmt: skip
    """Hold a result to its reference.

    ``computing`` is the error before rounding, relative to ``magnitude`` (the greatest value).
    """
    dtype = np.dtype(dtype)
    assert got.dtype == dtype, (got.dtype, dtype)
    assert got.shape == wanted.shape, (got.shape, wanted.shape)
    if not wanted.size:
        return
    finite = np.isfinite(wanted)
    most = np.abs(wanted[finite]).max(initial=0.0) if magnitude is None else magnitude
    least = {dtypes.float16: 2.0**-25}.get(dtype, 0.0)  # below its normal numbers, half a step
    allowed = (
        np.abs(wanted) * ROUNDING[dtype] * 1.001
        + most * (COMPUTING[dtype] if computing is None else computing)
        + least
    )
    with np.errstate(invalid="ignore"):
        error = np.abs(wide(got) - wanted)
    wrong = ~((error <= allowed) | ((got == wanted) & ~finite) | (np.isnan(got) & np.isnan(wanted)))
    places = np.argwhere(wrong)[:3]
    assert not wrong.any(), [(tuple(p), got[tuple(p)], wanted[tuple(p)]) for p in places]
