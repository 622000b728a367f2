"""Slots of Fourier transforms, written once for every library with NumPy's interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtypes


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of Fourier transforms for the library ``xp``."""

    # A stack of none is no work for CuPy's plans.
    def fourier(x: Any, spec: tuple[tuple[int, ...], str, bool]) -> Any:
        axes, norm, inverse = spec
        if x.size == 0:
            return xp.zeros(x.shape, dtypes.complex_of(x.dtype))
        run = xp.fft.ifftn if inverse else xp.fft.fftn
        return run(x, axes=axes, norm=norm)

    def fourier_of_real(x: Any, spec: tuple[int, str]) -> Any:
        axis, norm = spec
        if x.size == 0:
            shape = _with(x.shape, axis, x.shape[axis] // 2 + 1)
            return xp.zeros(shape, dtypes.complex_of(x.dtype))
        return xp.fft.rfft(x, axis=axis, norm=norm)

    def fourier_to_real(x: Any, spec: tuple[int, str, int]) -> Any:
        axis, norm, length = spec
        if x.size == 0:
            return xp.zeros(_with(x.shape, axis, length), dtypes.real_of(x.dtype))
        return xp.fft.irfft(x, length, axis=axis, norm=norm)

    return {
        "fourier": fourier, "fourier_of_real": fourier_of_real, "fourier_to_real": fourier_to_real,
    }  # fmt: skip


def _with(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    return (*shape[:axis], length, *shape[axis + 1 :])
