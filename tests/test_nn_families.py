"""Activations, losses and normalisation on every device and in half precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl

from .backends import TestBackend
from .nn_lines import FUNCTIONS, LAYERS, tensors
from .shadow import HostCopies

EVERY = {**FUNCTIONS, **LAYERS}
HALVES = ["float16", "bfloat16"]
# What looks at values in order to refuse them.
CHECKED = {"gaussian_nll_loss", "ctc_loss"}


def results(call: Any, xs: list[Any], host: Any) -> tuple[Any, list[Any]]:
    """Return a value and the gradients along a fixed cotangent, as float64 arrays."""
    y = call(*xs)
    g = 0.5 + np.cos(np.arange(float(y.size))).reshape(y.shape) if y.ndim else np.ones(())
    y.backward(tfl.tensor(g).to(dtype=y.dtype, device=y.device))
    grads = [host(x.grad).astype(np.float64) if x.grad is not None else None for x in xs]
    return host(y.detach()).astype(np.float64), grads


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", EVERY)
def test_the_same_on_every_device(name: str, dtype: str, backend: TestBackend) -> None:
    call, arrays = EVERY[name]
    cast = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    there = tensors(cast, backend.tensor)
    before = HostCopies.count
    y = call(*there)
    assert type(y.array) is backend.array_type and y.dtype == dtype
    y.sum().backward()
    copied = HostCopies.count > before
    assert copied == (name in CHECKED and backend.name == "shadow"), "copied to the host"
    for x in there:
        x.grad = None
    found, grads = results(call, there, backend.host)
    expected, wanted = results(call, tensors(cast, tfl.tensor), lambda x: x.numpy())
    # The same sums in another order.
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(found, expected, **close)
    for one, other in zip(grads, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, **close)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", EVERY)
def test_half_precision(name: str, dtype: str, backend: TestBackend) -> None:
    """It is as near to the result in float32, of the same inputs, as rounding allows."""
    call, arrays = EVERY[name]
    rounded = [a if a.dtype.kind != "f" else np.asarray(
        tfl.tensor(a).astype(dtype).float().numpy()) for a in arrays]  # fmt: skip
    there = tensors(
        [backend.tensor(a).astype(dtype) if a.dtype.kind == "f" else backend.tensor(a)
         for a in rounded], lambda x: x.detach())  # fmt: skip
    found, grads = results(call, there, lambda x: backend.host(x.float()))
    assert call(*there).dtype == dtype
    expected, wanted = results(
        call,
        tensors(rounded, lambda a: tfl.tensor(a.astype("f") if a.dtype.kind == "f" else a)),
        lambda x: x.numpy(),
    )
    eps = float(tfl.finfo(getattr(tfl, dtype)).eps)
    if name in FUNCTIONS:
        # Half of eps, or the same sum in another order next to a tie.
        assert off(found, expected, 0.05) <= eps
    else:
        # The statistics that a layer keeps were rounded, too: each by half of eps.
        assert off(found, expected, 1.0) <= 2 * eps
    for one, other in zip(grads, wanted, strict=True):
        if one is not None:
            # Rules read outputs that were rounded, and take differences of their multiples.
            assert off(one, other, 1.0) <= 4 * eps


def off(found: Any, expected: Any, floor: float) -> float:
    """Return the greatest distance, relative to the value or to a share of the largest one."""
    size = np.abs(expected)
    return float((np.abs(found - expected) / np.maximum(size, size.max() * floor)).max())
