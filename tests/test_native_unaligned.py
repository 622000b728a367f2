"""Arrays that aren't aligned, as memory mapped at an odd place is, run like all others."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.nn import functional as F

TARGET = [1, 2, 3, 0, 1, 2]
CASES: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "softmax": (lambda x: F.softmax(x, -1), [(6, 9)]),
    "log_softmax": (lambda x: F.log_softmax(x, -1), [(6, 9)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, tfl.tensor(TARGET)), [(6, 9)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (9,), w, b), [(6, 9), (9,), (9,)]),
    "rms_norm": (lambda x, w: F.rms_norm(x, (9,), w), [(6, 9), (9,)]),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        [(6, 9, 4, 4), (9,), (9,)],
    ),
    "linear": (F.linear, [(60, 90), (30, 90), (30,)]),
    "linear_relu": (lambda *a: F.relu(F.linear(*a)), [(60, 90), (30, 90), (30,)]),
    "conv2d": (
        lambda x, w, b: F.gelu(F.conv2d(x, w, b, padding=1)), [(2, 8, 9, 9), (16, 8, 3, 3), (16,)],
    ),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), [(2, 8, 8, 8)]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), [(2, 8, 8, 8)]),
    "attention": (F.scaled_dot_product_attention, [(2, 5, 8)] * 3),
    "embedding": (lambda w: F.embedding(tfl.tensor([[1, 2], [3, 1]]), w), [(20, 30)]),
    "softplus": (F.softplus, [(20, 30)]),
    "gelu": (F.gelu, [(20, 30)]),
    "dropout": (lambda x: F.dropout(x, 0.5), [(20, 30)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(native_module: ModuleType, name: str) -> None:
    function, shapes = CASES[name]
    generator = np.random.default_rng(0)
    found: list[list[Any]] = []
    values = [generator.standard_normal(shape).astype(np.float32) for shape in shapes]
    for start in (0, 1):
        inputs = []
        for value in values:
            memory = np.zeros(value.nbytes + 4, np.uint8)[start : start + value.nbytes]
            array = memory.view(np.float32).reshape(value.shape)
            array[...] = value
            assert array.flags.aligned is (start == 0)
            inputs.append(tfl.from_numpy(array).requires_grad_(True))
            assert inputs[-1].array.flags.aligned is (start == 0)
        tfl.manual_seed(0)
        out = function(*inputs)
        out.square().sum().backward()
        grads = [x.grad.numpy() for x in inputs if x.grad is not None]
        assert len(grads) == len(inputs)
        found.append([out.detach().numpy(), *grads])
    for aligned, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, aligned, 1e-5, 1e-6)
