"""Fourier transforms against PyTorch's: values, gradients, gradients of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tensorflowlite as tfl

from .test_linalg import check, drawn

NORMS = ("backward", "ortho", "forward")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [None, 3, 4, 7])
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_along_one_axis(name: str, kind: str, n: int | None, norm: str) -> None:
    if kind == "complex" and name in ("rfft", "ihfft"):
        kind = "real"
    x = drawn(kind, 2, 5, 3)
    ours, theirs = getattr(tfl.fft, name), getattr(torch.fft, name)
    check(lambda t: ours(t, n, 1, norm), lambda t: theirs(t, n, 1, norm), x)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("s", "axes"), [(None, None), (None, (0, 2)), ((4, 5), (2, 1)), ((3, 6), None)]
)
@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
def test_over_several_axes(name: str, s: Any, axes: Any, norm: str) -> None:
    x = drawn("real" if name == "rfftn" else "complex", 2, 3, 4)
    ours, theirs = getattr(tfl.fft, name), getattr(torch.fft, name)
    check(lambda t: ours(t, s, axes, norm), lambda t: theirs(t, s, axes, norm), x)


@pytest.mark.parametrize("name", ["fft2", "ifft2", "rfft2", "irfft2"])
def test_over_two_axes(name: str) -> None:
    x = drawn("real" if name == "rfft2" else "complex", 2, 3, 4)
    check(getattr(tfl.fft, name), getattr(torch.fft, name), x)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies(n: int) -> None:
    for name in ("fftfreq", "rfftfreq"):
        found = getattr(tfl.fft, name)(n, d=0.3)
        assert found.dtype == tfl.float32
        wanted = getattr(torch.fft, name)(n, d=0.3)
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-6)
        double = getattr(tfl.fft, name)(n, d=0.3, dtype=tfl.float64)
        np.testing.assert_array_equal(double.numpy(), getattr(np.fft, name)(n, 0.3))
