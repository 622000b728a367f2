"""Slots of Fourier transforms, written once for every library with NumPy's interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def slots(xp: Any) -> dict[str, Callable[..., Any]]:
    """Return the slots of Fourier transforms for the library ``xp``."""

    def fourier(x: Any, spec: tuple[tuple[int, ...], str, bool]) -> Any:
        axes, norm, inverse = spec
        run = xp.fft.ifftn if inverse else xp.fft.fftn
        return run(x, axes=axes, norm=norm)

    def fourier_of_real(x: Any, spec: tuple[int, str]) -> Any:
        axis, norm = spec
        return xp.fft.rfft(x, axis=axis, norm=norm)

    def fourier_to_real(x: Any, spec: tuple[int, str, int]) -> Any:
        axis, norm, length = spec
        return xp.fft.irfft(x, length, axis=axis, norm=norm)

    return {
        "fourier": fourier, "fourier_of_real": fourier_of_real, "fourier_to_real": fourier_to_real,
    }  # fmt: skip
