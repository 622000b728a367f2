"""The operations of networks against PyTorch's: values, gradients, gradients of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import tensorflowlite as tfl
from tensorflowlite.ops import activation, conv, normalization, pooling
from tests.comparing import normal
from tests.test_network_ops import ACTIVATIONS, CONVOLUTIONS, POOLS, distinct

from .comparing import check_torch


@pytest.mark.parametrize(("x", "weight", "options"), CONVOLUTIONS)
def test_conv2d(x: Any, weight: Any, options: Any) -> None:
    check_torch(
        lambda a, b: conv.convolution(a, b, **options),
        lambda a, b: functional.conv2d(a, b, **options),
        normal(*x), normal(*weight),
    )  # fmt: skip


# -- pooling ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("x", "options"), [*POOLS, ((2, 3, 6, 7), {"kernel_size": 2, "dilation": 2})]
)
def test_max_pool2d(x: Any, options: Any) -> None:
    check_torch(
        lambda a: pooling.max_pool2d(a, **options),
        lambda a: functional.max_pool2d(a, **options),
        distinct(*x),
    )


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("x", "options"), POOLS)
def test_avg_pool2d(x: Any, options: Any, padded: bool) -> None:
    options = {**options, "count_include_pad": padded}
    check_torch(
        lambda a: pooling.avg_pool2d(a, **options),
        lambda a: functional.avg_pool2d(a, **options),
        normal(*x),
    )


# -- normalisation ---------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (3, 2, 5, 4)])
@pytest.mark.parametrize("parameters", [0, 1, 2])
def test_batch_norm(shape: Any, parameters: int) -> None:
    arrays = [normal(*shape), normal(shape[1]) + 2, normal(shape[1])][: 1 + parameters]
    check_torch(
        lambda *xs: normalization.batch_norm(*xs)[0],
        lambda x, *rest: functional.batch_norm(x, None, None, *rest, training=True),
        *arrays, tolerance=1e-8,
    )  # fmt: skip


def test_batch_norm_inference() -> None:
    statistics = normal(3), np.abs(normal(3)) + 0.5
    arrays = normal(4, 3, 2, 2), normal(3), normal(3) + 1
    mean, variance = (tfl.tensor(s) for s in statistics)
    check_torch(
        lambda x, w, b: normalization.batch_norm_inference(x, mean, variance, w, b),
        lambda x, w, b: functional.batch_norm(x, *map(torch.tensor, statistics), w, b),
        *arrays,
    )


@pytest.mark.parametrize(
    ("shape", "last"), [((4, 5), (5,)), ((5, 5), (5,)), ((2, 3, 4, 5), (4, 5)), ((6,), (6,))]
)
@pytest.mark.parametrize("parameters", [0, 1, 2])
def test_layer_norm(shape: Any, last: Any, parameters: int) -> None:
    arrays = [normal(*shape), normal(*last) + 2, normal(*last)][: 1 + parameters]
    check_torch(
        lambda x, *rest: normalization.layer_norm(x, last, *rest),
        lambda x, *rest: functional.layer_norm(x, last, *rest),
        *arrays, tolerance=1e-8,
    )  # fmt: skip


@pytest.mark.parametrize(("shape", "last"), [((4, 5), (5,)), ((2, 3, 4, 5), (4, 5))])
@pytest.mark.parametrize("parameters", [0, 1])
def test_rms_norm(shape: Any, last: Any, parameters: int) -> None:
    arrays = [normal(*shape), normal(*last) + 2][: 1 + parameters]
    check_torch(
        lambda x, *rest: normalization.rms_norm(x, last, *rest),
        lambda x, *rest: functional.rms_norm(x, last, *rest),
        *arrays, tolerance=1e-8,
    )  # fmt: skip


# -- activations -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    options = ACTIVATIONS[name]
    ours, theirs = getattr(activation, name), getattr(functional, name)
    x = np.concatenate([normal(5, 7), 4 * normal(5, 7) + 0.01])
    check_torch(lambda a: ours(a, **options), lambda a: theirs(a, **options), x)


def test_gelu_tanh() -> None:
    check_torch(
        lambda a: activation.gelu(a, "tanh"),
        lambda a: functional.gelu(a, approximate="tanh"),
        normal(4, 5),
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, -1, 1])
def test_softmax(name: str, axis: int) -> None:
    ours, theirs = getattr(activation, name), getattr(functional, name)
    check_torch(lambda a: ours(a, axis), lambda a: theirs(a, axis), normal(3, 4, 2))
