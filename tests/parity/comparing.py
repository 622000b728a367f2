"""How values and derivatives are held to PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import tensorflowlite as tfl
from tensorflowlite.autograd import grad
from tests.comparing import leaf


def check_torch(ours: Any, theirs: Any, *arrays: Any, tolerance: float = 1e-10) -> None:
    """Compare values, gradients, and gradients of gradients with PyTorch's, in float64."""
    xs = [leaf(a) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = ours(*xs), theirs(*ts)
    close = {"rtol": tolerance, "atol": tolerance}
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), **close)
    g = np.asarray(np.random.default_rng(1).standard_normal(y.shape))
    tg = torch.tensor(g, requires_grad=True)
    first = grad(y, xs, tfl.tensor(g, requires_grad=True), create_graph=True)
    expected = torch.autograd.grad(t, ts, tg, create_graph=True)
    for a, b in zip(first, expected, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **close)
    pairs = [(a, b) for a, b in zip(first, expected, strict=True) if b.requires_grad]
    if not pairs:
        return
    second = grad([(a * a).sum() for a, _ in pairs], xs, allow_unused=True)
    wanted = torch.autograd.grad([(b * b).sum() for _, b in pairs], ts, allow_unused=True)
    for a, b in zip(second, wanted, strict=True):
        if b is not None:
            found = np.zeros(b.shape) if a is None else a.numpy()
            np.testing.assert_allclose(found, b.numpy(), **close)
