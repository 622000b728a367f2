"""Convolutions, pools, resampling and padding against PyTorch's modules and functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as T

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.nn import functional as F
from tests.parity.layers import check_layers

SIZES = {1: (7,), 2: (6, 7), 3: (4, 5, 4)}
RNG = np.random.default_rng(3)


def size(axes: int, *lead: int) -> tuple[int, ...]:
    return (*lead, *SIZES[axes])


Case = tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]
CASES: list[Case] = []


def add(name: str, shape: tuple[int, ...], *args: Any, **options: Any) -> None:
    CASES.append((name, args, options, shape))


for n in (1, 2, 3):
    conv, back = f"Conv{n}d", f"ConvTranspose{n}d"
    add(conv, size(n, 2, 4), 4, 6, 3)
    add(conv, size(n, 2, 4), 4, 6, 3, stride=2, padding=1, groups=2, bias=False)
    add(conv, size(n, 2, 4), 4, 4, 2, padding="same", dilation=2, groups=4)
    add(conv, size(n, 4), 4, 2, 3, padding="valid")
    for mode in ("reflect", "replicate", "circular"):
        add(conv, size(n, 2, 2), 2, 3, 3, padding=2, padding_mode=mode)
    add(conv, size(n, 2, 2), 2, 3, 2, padding="same", padding_mode="circular")
    add(back, size(n, 2, 4), 4, 6, 3)
    add(back, size(n, 2, 4), 4, 6, 3, 2, 1, 1, 2, False)
    add(back, size(n, 4), 4, 2, 2, stride=3, output_padding=1, dilation=2)
    add(f"MaxPool{n}d", size(n, 2, 3), 2)
    add(f"MaxPool{n}d", size(n, 3), 3, stride=2, padding=1, ceil_mode=True)
    add(f"MaxPool{n}d", size(n, 2, 3), 2, stride=1, dilation=2)
    add(f"AvgPool{n}d", size(n, 2, 3), 2)
    add(f"AvgPool{n}d", size(n, 3), 3, 2, 1, ceil_mode=True)
    add(f"AvgPool{n}d", size(n, 2, 3), 3, 2, 1, count_include_pad=False)
    if n > 1:
        add(f"AvgPool{n}d", size(n, 2, 3), 2, divisor_override=3)
    for kind in ("Avg", "Max"):
        pool = f"Adaptive{kind}Pool{n}d"
        add(pool, size(n, 2, 3), 1)
        add(pool, size(n, 2, 3), 3)
        add(pool, size(n, 3), (None, 2, 3)[:n] if n > 1 else 5)
    for kind in ("Zero", "Circular", "Reflection", "Replication"):
        add(f"{kind}Pad{n}d", size(n, 2, 3), 2)
        add(f"{kind}Pad{n}d", size(n, 2, 3), (1, 2, 0, 3, 1, 0)[: 2 * n])
    add(f"ConstantPad{n}d", size(n, 2, 3), (1, -2, 0, 1, -1, 2)[: 2 * n], 2.5)
add("Conv2d", size(2, 2, 3), 3, 2, (3, 2), (2, 1), (1, 0), (1, 2))
add("ConvTranspose2d", size(2, 2, 3), 3, 2, (3, 2), (2, 3), (1, 0), (1, 2), 1, True, (2, 1))
add("MaxPool2d", size(2, 2, 3), (3, 2), (1, 2), (1, 0))
add("AvgPool2d", size(2, 2, 3), (3, 2), (1, 2), (1, 0))
add("Unfold", size(2, 2, 3), (2, 3), dilation=(1, 2), padding=(1, 0), stride=(2, 1))
add("Unfold", size(2, 3), 2)
add("Fold", (2, 12, 20), (5, 6), (2, 2))
add("Fold", (2, 12, 6), (5, 4), (3, 2), (1, 2), (1, 0), (2, 1))
add("PixelShuffle", (2, 3, 8, 2, 3), 2)
add("PixelUnshuffle", (2, 2, 4, 6), 2)
add("ChannelShuffle", (2, 6, 3, 2), 3)
add("Upsample", size(2, 2, 3), scale_factor=2)
add("UpsamplingNearest2d", size(2, 2, 3), (4, 9))
add("UpsamplingBilinear2d", size(2, 2, 3), scale_factor=2)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "args", "options", "shape"), CASES)
def test_module(name: str, args: Any, options: Any, shape: Any, dtype: str) -> None:
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    check_layers(ours, theirs, RNG.normal(size=shape), dtype=dtype)


@pytest.mark.parametrize(("name", "args", "options", "shape"), CASES)
def test_representation(name: str, args: Any, options: Any, shape: Any) -> None:
    """Modules print alike, as far as PyTorch prints what they were given."""
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    if name.startswith(("Conv", "Upsample", "Pixel", "Zero", "Circular", "Reflection", "Repl")):
        assert repr(ours) == repr(theirs)
    assert repr(ours).startswith(f"{name}(")


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max_pool", "adaptive_max_pool"])
def test_indices(axes: int, kind: str) -> None:
    """The places of the maxima, also in a padded image and where windows differ in size."""
    x = RNG.permutation(np.arange(float(np.prod(size(axes, 2, 3))))).reshape(size(axes, 2, 3))
    calls: list[tuple[Any, ...]] = [((3, 2, 3)[:axes],)]
    if kind == "max_pool":
        calls = [(2,), (3, 2, 1), (2, 1, 0, 2), ((3, 2, 2)[:axes], 2, (1, 0, 1)[:axes])]
    for args in calls:
        named = {"return_indices": True}
        ours = getattr(F, f"{kind}{axes}d")(tfl.tensor(x), *args, **named)
        theirs = getattr(T, f"{kind}{axes}d")(torch.tensor(x), *args, **named)
        for found, expected in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(found.numpy(), expected.numpy())
            assert str(found.dtype) == str(expected.dtype).removeprefix("torch.")


@pytest.mark.parametrize("wanted", [(11, 13), (12, 14)])
def test_transposed_convolution_to_a_wanted_size(wanted: Any) -> None:
    ours, theirs = nn.ConvTranspose2d(2, 3, 3, 2, 1), torch.nn.ConvTranspose2d(2, 3, 3, 2, 1)
    check_layers(ours, theirs, RNG.normal(size=(1, 2, 6, 7)),
                 call=lambda layer, x: layer(x, output_size=wanted))  # fmt: skip
    with pytest.raises(ValueError, match=r"output_size must lie between \(11, 13\) and \(12, 14\)"):
        ours(tfl.zeros((1, 2, 6, 7)), output_size=(13, 14))


MODES = {1: ("nearest", "nearest-exact", "linear", "area"),
         2: ("nearest", "nearest-exact", "bilinear", "bicubic", "area"),
         3: ("nearest", "nearest-exact", "trilinear", "area")}  # fmt: skip
TARGETS: list[dict[str, Any]] = [
    {"size": 5}, {"size": 9}, {"size": 1}, {"scale_factor": 1.7}, {"scale_factor": 0.6},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
]  # fmt: skip


@pytest.mark.parametrize(("axes", "mode"), [(n, mode) for n, modes in MODES.items()
                                            for mode in modes])  # fmt: skip
@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("corners", [None, False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_interpolate(axes: int, mode: str, target: Any, corners: Any, dtype: str) -> None:
    smooth = mode in ("linear", "bilinear", "bicubic", "trilinear")
    options = {**target, "mode": mode, **({"align_corners": corners} if smooth else {})}
    x = RNG.normal(size=size(axes, 2, 3)).astype(dtype)
    ours, theirs = tfl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found, expected = F.interpolate(ours, **options), T.interpolate(theirs, **options)
    # In float32 PyTorch computes the places in float32 too.
    near = {"rtol": 1e-10, "atol": 1e-10} if dtype == "float64" else {"rtol": 1e-4, "atol": 2e-5}
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), **near)
    g = RNG.normal(size=found.shape).astype(dtype)
    found.backward(tfl.tensor(g))
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), **near)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("widths", [(1, 2), (2, 0, 1, 1), (0, 0), (-1, 2), (-2, -1, 1, 0)])
def test_pad(mode: str, widths: Any) -> None:
    x = RNG.normal(size=(2, 3, 5, 6)[4 - len(widths) // 2 - 2 :])
    ours, theirs = tfl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found, expected = F.pad(ours, widths, mode), T.pad(theirs, widths, mode)
    np.testing.assert_array_equal(found.detach().numpy(), expected.detach().numpy())
    found.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())
