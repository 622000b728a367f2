"""The operations of networks: values and gradients against differences and definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.autograd import grad
from tensorflowlite.backend import dtypes
from tensorflowlite.errors import (
    ArgumentError,
    DtypeError,
    ShapeError,
)
from tensorflowlite.ops import activation, conv, normalization, pooling

from .backends import TestBackend, backend  # noqa: F401
from .comparing import check_orders, leaf, normal

# -- convolution -----------------------------------------------------------------------------------
CONVOLUTIONS = [
    ((2, 3, 5, 6), (4, 3, 3, 3), {}),
    ((2, 3, 5, 6), (4, 3, 3, 2), {"padding": 1}),
    ((2, 3, 7, 6), (4, 3, 3, 2), {"stride": 2, "padding": (2, 1)}),
    ((1, 2, 9, 8), (3, 2, 2, 3), {"stride": (1, 3), "dilation": (2, 3), "padding": (0, 2)}),
    ((2, 3, 5, 5), (4, 3, 4, 3), {"padding": "same", "dilation": 2}),
    ((2, 3, 5, 5), (4, 3, 3, 3), {"padding": "valid"}),
    ((2, 4, 5, 5), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 4, 5, 5), (4, 1, 3, 3), {"groups": 4, "padding": 1, "stride": 2}),
    ((2, 4, 3, 3), (5, 4, 1, 1), {}),
    ((2, 4, 3, 3), (6, 2, 1, 1), {"groups": 2, "stride": 2}),
    ((1, 1, 1, 1), (1, 1, 3, 3), {"padding": 2}),
]


@pytest.mark.parametrize(("x", "weight", "options"), CONVOLUTIONS)
def test_conv2d_gradients(x: Any, weight: Any, options: Any) -> None:
    check_orders(lambda a, b: conv.convolution(a, b, **options), normal(*x), normal(*weight))


def direct_convolution(x: Any, weight: Any, stride: int, padding: int) -> Any:
    """The definition, element by element."""
    n, _, height, width = x.shape
    outputs, _, rows, columns = weight.shape
    padded = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    out_shape = [
        (size + 2 * padding - k) // stride + 1 for size, k in ((height, rows), (width, columns))
    ]
    out = np.zeros((n, outputs, *out_shape))
    for i in range(out_shape[0]):
        for j in range(out_shape[1]):
            window = padded[:, :, i * stride : i * stride + rows, j * stride : j * stride + columns]
            out[:, :, i, j] = np.einsum("ncij,ocij->no", window, weight)
    return out


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "complex64"])
def test_conv2d_by_definition(backend: TestBackend, dtype: str) -> None:  # noqa: F811
    x, weight = normal(3, 2, 6, 5), normal(4, 2, 3, 3)
    kind = dtypes.as_dtype(dtype)
    a, b = (backend.tensor(v, dtype=kind) for v in (x, weight))
    out = conv.convolution(a, b, stride=2, padding=1)
    assert out.dtype == kind
    tolerance = {"float64": 1e-12, "float16": 1e-2, "bfloat16": 1e-1}.get(dtype, 1e-5)
    found = backend.host(out).astype(np.complex128).real
    expected = direct_convolution(
        *(backend.host(v).astype(np.complex128).real for v in (a, b)), 2, 1
    )
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=tolerance)


def test_conv2d_in_many_pieces_is_the_same() -> None:
    """Enough images for several threads: the same as image by image."""
    x = normal(40, 8, 12, 12).astype(np.float32)
    weight = normal(16, 8, 3, 3).astype(np.float32)
    a, b = leaf(x), leaf(weight)
    out = conv.convolution(a, b, padding=1)
    out.sum().backward()
    single = [
        conv.convolution(tfl.tensor(x[i : i + 1]), b.detach(), padding=1).numpy() for i in range(40)
    ]
    np.testing.assert_allclose(out.detach().numpy(), np.concatenate(single), atol=1e-4)
    sums = conv.convolution(tfl.tensor(x.sum(0, keepdims=True)), b, padding=1)
    (by_sum,) = grad(sums.sum(), [b])
    np.testing.assert_allclose(b.grad.numpy(), by_sum.numpy(), rtol=1e-3, atol=1e-2)


def test_conv2d_of_no_images() -> None:
    x, weight = leaf(np.zeros((0, 2, 4, 4))), leaf(normal(3, 2, 3, 3))
    out = conv.convolution(x, weight)
    assert out.shape == (0, 3, 2, 2)
    out.sum().backward()
    assert x.grad.shape == (0, 2, 4, 4)
    assert not weight.grad.numpy().any()


@pytest.mark.parametrize(
    ("x", "weight", "options", "error", "text"),
    [
        ((2, 3, 5, 5), (4, 2, 3, 3), {}, ShapeError,
         "conv2d: x must have 2 channels, got x (2, 3, 5, 5) with weight "
         "(4, 2, 3, 3) and groups=1"),
        ((3, 5, 5), (4, 3, 3, 3), {}, ShapeError,
         "conv2d: x must be (images, channels, height, width) and weight (out_channels, channels / "
         "groups, height, width), got x (3, 5, 5) and weight (4, 3, 3, 3)"),
        ((2, 3, 2, 5), (4, 3, 3, 3), {}, ShapeError,
         "conv2d: the kernel must fit in the padded image, got x (2, 3, 2, 5), weight "
         "(4, 3, 3, 3), padding ((0, 0), (0, 0)) and dilation (1, 1)"),
        ((2, 3, 5, 5), (4, 3, 3, 3), {"stride": 0}, ArgumentError,
         "conv2d: stride must be an integer of at least 1, or two of them, got 0"),
        ((2, 3, 5, 5), (4, 3, 3, 3), {"padding": "full"}, ArgumentError,
         "conv2d: padding must be 'same', 'valid', an integer or two, got 'full'"),
        ((2, 3, 5, 5), (4, 3, 3, 3), {"padding": "same", "stride": 2}, ArgumentError,
         "conv2d: padding 'same' needs stride 1, got stride (2, 2)"),
        ((2, 3, 5, 5), (4, 3, 3, 3), {"groups": 3}, ArgumentError,
         "conv2d: groups must divide out_channels=4, got groups=3"),
    ],
)  # fmt: skip
def test_conv2d_refuses(x: Any, weight: Any, options: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        conv.convolution(tfl.tensor(np.zeros(x)), tfl.tensor(np.zeros(weight)), **options)
    assert str(caught.value) == text


# -- pooling ---------------------------------------------------------------------------------------
POOLS = [
    ((2, 3, 4, 6), {"kernel_size": 2}),
    ((2, 3, 5, 7), {"kernel_size": 2}),
    ((2, 3, 5, 7), {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1}),
    ((2, 3, 5, 7), {"kernel_size": 2, "ceil_mode": True}),
    ((2, 3, 6, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ((1, 1, 2, 2), {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}),
]


def distinct(*shape: int) -> Any:
    """Values without ties, far enough apart for differences."""
    size = int(np.prod(shape))
    return np.random.default_rng(3).permutation(np.linspace(-2, 2, size)).reshape(shape)


@pytest.mark.parametrize(
    ("x", "options"), [*POOLS, ((2, 3, 6, 7), {"kernel_size": 2, "dilation": 2})]
)
def test_max_pool2d(x: Any, options: Any) -> None:
    check_orders(lambda a: pooling.max_pool2d(a, **options), distinct(*x))


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("x", "options"), POOLS)
def test_avg_pool2d(x: Any, options: Any, padded: bool) -> None:
    options = {**options, "count_include_pad": padded}
    check_orders(lambda a: pooling.avg_pool2d(a, **options), normal(*x))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_pools_by_definition(backend: TestBackend, dtype: str) -> None:  # noqa: F811
    x = backend.leaf(distinct(2, 3, 4, 6), dtypes.as_dtype(dtype))
    host = backend.host(x).astype(np.float64)
    blocks = host.reshape(2, 3, 2, 2, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(2, 3, 2, 3, 4)
    highest, mean = pooling.max_pool2d(x, 2), pooling.avg_pool2d(x, 2)
    assert highest.dtype == mean.dtype == x.dtype
    np.testing.assert_array_equal(backend.host(highest).astype(np.float64), blocks.max(-1))
    tolerance = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
    np.testing.assert_allclose(
        backend.host(mean).astype(np.float64), blocks.mean(-1), atol=tolerance
    )
    highest.sum().backward()
    chosen = backend.host(x.grad).astype(np.float64)
    assert chosen.sum() == highest.size
    np.testing.assert_array_equal(host[chosen == 1].sum(), blocks.max(-1).sum())


@pytest.mark.parametrize("stride", [1, 2])
def test_max_pool2d_ties_go_to_the_first_place(stride: int) -> None:
    x = leaf(np.zeros((1, 1, 3, 3)))
    pooling.max_pool2d(x, 2, stride).sum().backward()
    expected = {2: [[1, 0, 0], [0, 0, 0], [0, 0, 0]], 1: [[1, 1, 0], [1, 1, 0], [0, 0, 0]]}
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], expected[stride])


def test_max_pool2d_keeps_nan_and_infinities() -> None:
    x = np.full((1, 1, 2, 4), -np.inf)
    x[0, 0, 1, 2] = np.nan
    out = pooling.max_pool2d(tfl.tensor(x), 2).numpy()[0, 0]
    np.testing.assert_array_equal(out, [[-np.inf, np.nan]])


def test_pools_refuse() -> None:
    x = tfl.zeros((1, 1, 4, 4))
    for function in (pooling.max_pool2d, pooling.avg_pool2d):
        name = function.__name__
        with pytest.raises(ArgumentError, match=f"{name}: padding must be at most half of kernel"):
            function(x, 2, padding=2)
        with pytest.raises(ShapeError, match=f"{name}: the window must fit in the padded image"):
            function(x, 5)
        with pytest.raises(ShapeError, match=f"{name}: x must be .images, channels"):
            function(tfl.zeros((4, 4)), 2)
        with pytest.raises(ArgumentError, match=f"{name}: kernel_size must be an integer of at"):
            function(x, 0)


# -- normalisation ---------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (3, 2, 5, 4)])
@pytest.mark.parametrize("parameters", [0, 1, 2])
def test_batch_norm(shape: Any, parameters: int) -> None:
    arrays = [normal(*shape), normal(shape[1]) + 2, normal(shape[1])][: 1 + parameters]
    check_orders(lambda *xs: normalization.batch_norm(*xs)[0], *arrays)


def test_batch_norm_statistics_and_bias_alone() -> None:
    x = normal(8, 3, 2, 2)
    bias = leaf(normal(3))
    out, mean, variance = normalization.batch_norm(leaf(x), bias=bias, eps=1e-3)
    np.testing.assert_allclose(mean.numpy(), x.mean((0, 2, 3)))
    np.testing.assert_allclose(variance.numpy(), x.var((0, 2, 3)))
    assert not mean.requires_grad
    assert not variance.requires_grad
    shape = (1, 3, 1, 1)
    expected = (x - x.mean((0, 2, 3)).reshape(shape)) / np.sqrt(
        x.var((0, 2, 3)).reshape(shape) + 1e-3
    )
    np.testing.assert_allclose(
        out.detach().numpy(), expected + bias.detach().numpy().reshape(shape)
    )
    out.sum().backward()
    np.testing.assert_allclose(bias.grad.numpy(), np.full(3, 32.0))


def test_batch_norm_inference() -> None:
    statistics = normal(3), np.abs(normal(3)) + 0.5
    arrays = normal(4, 3, 2, 2), normal(3), normal(3) + 1
    mean, variance = (tfl.tensor(s) for s in statistics)
    check_orders(
        lambda x, w, b: normalization.batch_norm_inference(x, mean, variance, w, b), *arrays
    )
    given = (arrays[0], *statistics, *arrays[1:])
    out = normalization.batch_norm_inference(*map(tfl.tensor, given))
    centre, spread, w, b = (a.reshape(1, 3, 1, 1) for a in given[1:])
    expected = (arrays[0] - centre) / np.sqrt(spread + 1e-5) * w + b
    np.testing.assert_allclose(out.numpy(), expected, 1e-12, 1e-12)


@pytest.mark.parametrize(
    ("shape", "last"), [((4, 5), (5,)), ((5, 5), (5,)), ((2, 3, 4, 5), (4, 5)), ((6,), (6,))]
)
@pytest.mark.parametrize("parameters", [0, 1, 2])
def test_layer_norm(shape: Any, last: Any, parameters: int) -> None:
    arrays = [normal(*shape), normal(*last) + 2, normal(*last)][: 1 + parameters]
    check_orders(lambda x, *rest: normalization.layer_norm(x, last, *rest), *arrays)


@pytest.mark.parametrize(("shape", "last"), [((4, 5), (5,)), ((2, 3, 4, 5), (4, 5))])
@pytest.mark.parametrize("parameters", [0, 1])
def test_rms_norm(shape: Any, last: Any, parameters: int) -> None:
    arrays = [normal(*shape), normal(*last) + 2][: 1 + parameters]
    check_orders(lambda x, *rest: normalization.rms_norm(x, last, *rest), *arrays)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_normalisation_survives_a_large_offset(backend: TestBackend, dtype: str) -> None:  # noqa: F811
    """The variance is taken of what is left after the mean: no digits are lost to the offset."""
    x = backend.leaf(normal(64, 8) + 100, dtypes.as_dtype(dtype))
    host = backend.host(x).astype(np.float64)
    tolerance = {"float32": 1e-4, "float16": 4e-3, "bfloat16": 3e-2}[dtype]
    for axis, function in (
        (0, lambda a: normalization.batch_norm(a)[0]),
        (1, lambda a: normalization.layer_norm(a, 8)),
    ):
        out = function(x)
        assert out.dtype == x.dtype
        expected = (host - host.mean(axis, keepdims=True)) / np.sqrt(
            host.var(axis, keepdims=True) + 1e-5
        )
        np.testing.assert_allclose(
            backend.host(out).astype(np.float64), expected, atol=tolerance, rtol=tolerance
        )
        (g,) = grad((out * out * out).sum(), [x])
        assert g.dtype == x.dtype


def test_normalisation_refuses() -> None:
    x = tfl.zeros((2, 3))
    for call, error, text in (
        (lambda: normalization.batch_norm(x, tfl.ones(2)), ShapeError,
         "batch_norm: weight must have shape (3,), a number per channel of x (2, 3), got (2,)"),
        (lambda: normalization.batch_norm(tfl.zeros((1, 3))), ShapeError,
         "batch_norm: training needs more than one value per channel, got x (1, 3); use a larger "
         "batch, or eval()"),
        (lambda: normalization.batch_norm(tfl.zeros(3)), ShapeError,
         "batch_norm: x must be (images, channels, ...), got x (3,)"),
        (lambda: normalization.layer_norm(x, 4), ShapeError,
         "layer_norm: the last axes of x must be normalized_shape=(4,), got x (2, 3)"),
        (lambda: normalization.rms_norm(x, 3, tfl.ones(2)), ShapeError,
         "rms_norm: weight must have the shape (3,) of normalized_shape, got (2,)"),
        (lambda: normalization.layer_norm(tfl.tensor([1, 2]), 2), DtypeError,
         "layer_norm: x must be of a float dtype, got int64"),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == text


# -- activations -----------------------------------------------------------------------------------
ACTIVATIONS: dict[str, Any] = {
    "relu": {}, "sigmoid": {}, "silu": {}, "relu6": {}, "mish": {}, "selu": {}, "logsigmoid": {},
    "leaky_relu": {"negative_slope": 0.2}, "elu": {"alpha": 0.7}, "gelu": {},
    "softplus": {"beta": 1.5, "threshold": 3.0}, "hardtanh": {"min_val": -0.5, "max_val": 1.25},
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    options = ACTIVATIONS[name]
    function = getattr(activation, name)
    x = np.concatenate([normal(5, 7), 4 * normal(5, 7) + 0.01])
    check_orders(lambda a: function(a, **options), x)


def test_gelu_tanh() -> None:
    check_orders(lambda a: activation.gelu(a, "tanh"), normal(4, 5))
    with pytest.raises(ArgumentError, match="gelu: approximate must be 'none' or 'tanh', got 'x'"):
        activation.gelu(tfl.zeros(2), "x")


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, -1, 1])
def test_softmax(name: str, axis: int) -> None:
    function = getattr(activation, name)
    check_orders(lambda a: function(a, axis), normal(3, 4, 2))


@pytest.mark.parametrize("name", [*ACTIVATIONS, "softmax", "log_softmax"])
def test_activations_pass_nan_on_and_keep_the_dtype(backend: TestBackend, name: str) -> None:  # noqa: F811
    function = getattr(activation, name)
    for dtype in ("float64", "float32", "float16", "bfloat16"):
        x = backend.leaf(np.array([[1.0, np.nan], [0.5, -0.5]]), dtypes.as_dtype(dtype))
        out = function(x)
        assert out.dtype == x.dtype
        host = backend.host(out).astype(np.float64)
        assert np.isnan(host[0, 1])
        assert np.isfinite(host[1]).all()
        out.sum().backward()
        assert x.grad.dtype == x.dtype
        assert np.isfinite(backend.host(x.grad).astype(np.float64)[1]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_at_the_ends(dtype: str) -> None:
    x = leaf(np.array([-1e4, -100.0, 0.0, 100.0, 1e4], dtype))
    with np.errstate(all="raise", under="ignore"):
        for name in (*ACTIVATIONS, "softmax", "log_softmax"):
            out = getattr(activation, name)(x)
            (g,) = grad(out.sum(), [x])
            assert np.isfinite(out.detach().numpy()).all(), name
            assert np.isfinite(g.numpy()).all(), name
    np.testing.assert_array_equal(grad(activation.relu(x).sum(), [x])[0].numpy(), [0, 0, 0, 1, 1])
    small = activation.sigmoid(tfl.tensor(np.array([-80.0], dtype))).numpy()
    np.testing.assert_allclose(small, np.exp(-80.0), rtol=1e-5)
