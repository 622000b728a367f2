"""Rows of the layers fused with bias and activation, and of the parts of their backward."""

from __future__ import annotations

import numpy as np

from tensorflowlite.core.primitive import traced
from tensorflowlite.errors import ArgumentError, ShapeError
from tensorflowlite.ops import fused, gated
from tests.op_table import Row, Sample, floats
from tests.rows import images, networks
from tests.rows.networks import sums

FROM_OUTPUT = ("relu", "leaky_relu", "sigmoid", "tanh")
NAMES = (*FROM_OUTPUT, "silu", "gelu", "gelu_tanh")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def applied(z, activation):
    return {
        None: lambda: z,
        "relu": lambda: np.maximum(z, 0),
        "leaky_relu": lambda: np.where(z > 0, z, z * 0.01),
        "sigmoid": lambda: sigmoid(z),
        "tanh": lambda: np.tanh(z),
        "silu": lambda: z * sigmoid(z),
        "gelu": lambda: networks.gelu(z),
        "gelu_tanh": lambda: networks.gelu(z, "tanh"),
    }[activation]()


def slope(saved, activation):
    """The derivative, from the output for those of FROM_OUTPUT, else from the input."""
    z = saved
    t = np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))
    inner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * z**2)
    return {
        "relu": lambda: (z > 0) * 1.0,
        "leaky_relu": lambda: np.where(z > 0, 1.0, 0.01),
        "sigmoid": lambda: z * (1 - z),
        "tanh": lambda: 1 - z * z,
        "silu": lambda: sigmoid(z) * (1 + z * (1 - sigmoid(z))),
        "gelu": lambda: networks.normal_share(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
        "gelu_tanh": lambda: 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * inner,
    }[activation]().astype(saved.dtype)


# -- whole layers ----------------------------------------------------------------------------------
def linear(x, weight, bias=None, activation=None):
    z = x @ weight.T
    return applied(z if bias is None else z + bias, activation)


def layers(draw):
    for activation in (None, *NAMES):
        yield Sample(draw(5, 3), draw(4, 3), draw(4), activation)
    yield Sample(draw(2, 5, 3), draw(4, 3), draw(4), "relu")
    yield Sample(draw(3), draw(4, 3), draw(4), "gelu")
    yield Sample(draw(2, 2, 3), draw(4, 3), activation="silu")
    yield Sample(draw(5, 3), draw(4, 3))
    yield Sample(draw(3, 5).T, draw(3, 4).T, draw.strided(4), "tanh")
    yield Sample(draw.strided(5, 3), draw(1, 3), draw(1), "sigmoid")
    yield Sample(draw(0, 3), draw(4, 3), draw(4), "relu")
    yield Sample(draw(2, 0), draw(4, 0), draw(4), "silu")


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, activation=None):
    z = images.convolution(x, weight, stride, padding, dilation, groups)
    return applied(z if bias is None else z + bias.reshape((-1,) + (1,) * (x.ndim - 2)), activation)


def convolutions(draw):
    for activation in (None, *NAMES):
        yield Sample(draw(2, 2, 4, 5), draw(3, 2, 3, 2), draw(3), activation=activation)
    yield Sample(draw(1, 4, 5, 5), draw(2, 2, 3, 3), draw(2), 2, 1, 1, 2, "relu")
    yield Sample(draw(1, 2, 6, 5), draw(2, 2, 2, 2), None, (1, 2), (1, 0), 2, activation="tanh")
    yield Sample(draw(5, 4, 2, 1).T, draw(2, 2, 2, 3).T, draw.strided(3), activation="silu")
    yield Sample(draw(0, 2, 4, 4), draw(3, 2, 2, 2), draw(3), activation="relu")


def convolutions_of_rows(draw):
    yield Sample(draw(2, 2, 6), draw(3, 2, 3), draw(3), 2, 1, activation="relu")
    yield Sample(draw(1, 2, 5), draw(2, 1, 2), draw(2), groups=2)
    yield Sample(draw.strided(1, 2, 5), draw(2, 2, 2))
    yield Sample(draw(0, 2, 4), draw(3, 2, 2), draw(3))


def convolutions_of_volumes(draw):
    yield Sample(draw(1, 2, 3, 2, 3), draw(2, 2, 2, 1, 2), draw(2), activation="gelu")
    yield Sample(draw(1, 1, 2, 2, 2), draw(2, 1, 2, 2, 2), draw(2))
    yield Sample(draw.strided(1, 1, 2, 2, 2), draw(2, 1, 2, 1, 2))
    yield Sample(draw(0, 1, 2, 2, 2), draw(2, 1, 2, 2, 2), draw(2))


# -- parts of a backward pass ----------------------------------------------------------------------
def slopes(draw):
    for activation in NAMES:
        yield Sample(draw(3, 4), draw(3, 4), activation)
    yield Sample(draw(4, 3).T, draw.strided(3, 4), "silu")
    yield Sample(draw(0, 4), draw(0, 4), "relu")


def slopes_along(draw):
    for sample in slopes(draw):
        for axis in (-1, 0):
            yield Sample(*sample.args, axis)
    yield Sample(draw(2, 3, 2, 2), draw(2, 3, 2, 2), "relu", 1)
    yield Sample(draw(2, 3, 4), draw(2, 3, 4), "gelu", -1)


def bias_activation_gradient(x, saved, activation, axis):
    dz = x * slope(saved, activation)
    return dz, dz.sum(tuple(i for i in range(dz.ndim) if i != axis % dz.ndim))


def products(draw):
    for activation in NAMES:
        yield Sample(draw(5, 3), draw(3, 4), draw(5, 4), activation)
    yield Sample(draw(3, 5).T, draw(4, 3).T, draw.strided(5, 4), "gelu")
    yield Sample(draw(0, 3), draw(3, 4), draw(0, 4), "relu")


def product_activation_gradient(x, w, saved, activation):
    return bias_activation_gradient(x @ w, saved, activation, -1)


def pooled_slopes(draw):
    two, one, none = (2, 2), (1, 1), ((0, 0), (0, 0))
    for activation in NAMES:
        places = draw.integers(0, 4, 2, 3, 2, 2).astype(np.uint8)
        yield Sample(draw(2, 3, 2, 2), places, draw(2, 3, 4, 5), activation, two, two, none, one,
                     False)  # fmt: skip
    places = draw.integers(0, 6, 1, 2, 3, 3).astype(np.uint8)
    yield Sample(draw(1, 2, 3, 3), places, draw(1, 2, 5, 4), "relu", (3, 2), (2, 1),
                 ((1, 1), (0, 0)), one, False)  # fmt: skip
    places = draw.integers(0, 2, 2, 3, 2).astype(np.uint8)
    yield Sample(draw(2, 3, 2), places, draw.strided(2, 3, 4), "silu", (2,), (2,), ((0, 0),), (1,),
                 False)  # fmt: skip
    places = draw.integers(0, 4, 0, 3, 2, 2).astype(np.uint8)
    yield Sample(draw(0, 3, 2, 2), places, draw(0, 3, 4, 4), "relu", two, two, none, one,
                 False)  # fmt: skip


def pool_activation_gradient(y, where, saved, activation, kernel, stride, padding, dilation, ceil):
    g = np.zeros(saved.shape, y.dtype)
    for window in np.ndindex(y.shape):
        places = np.unravel_index(where[window], kernel)
        axes = zip(window[2:], places, stride, padding, dilation, saved.shape[2:], strict=True)
        at = [(w * s + place * d - before[0], size) for w, place, s, before, d, size in axes]
        if all(0 <= place < size for place, size in at):
            g[(*window[:2], *[place for place, _ in at])] += y[window]
    return bias_activation_gradient(g, saved, activation, 1)


# -- gated features --------------------------------------------------------------------------------
def gates(draw):
    for activation in NAMES:
        yield Sample(draw(3, 4), draw(3, 4), activation)
    yield Sample(draw(4, 3).T, draw.strided(3, 4), "silu")
    yield Sample(draw(2, 3, 4), draw(3, 1), "silu")
    yield Sample(draw(1, 4), draw(3, 4), "tanh")
    yield Sample(draw(), draw(), "gelu")
    yield Sample(draw(0, 4), draw(0, 4), "silu")


def gates_of_gelu(draw):
    yield Sample(draw(3, 4), draw(3, 4))
    yield Sample(draw.strided(3, 4), draw(4), approximate="tanh")
    yield Sample(draw(0, 4), draw(4))


def gradients_of_gates(draw):
    for activation in NAMES:
        yield Sample(draw(3, 4), draw(3, 4), draw(3, 4), activation)
    yield Sample(draw(4, 3).T, draw.strided(3, 4), draw(3, 4), "silu")
    yield Sample(draw(0, 4), draw(0, 4), draw(0, 4), "silu")


def gated_gradient(x, gate, y, activation):
    out = applied(gate, activation)
    saved = out if activation in FROM_OUTPUT else gate
    return x * y * slope(saved, activation), x * out


def products_of_gates(draw):
    for activation in NAMES:
        yield Sample(draw(5, 3), draw(3, 4), draw(5, 4), draw(5, 4), activation)
    yield Sample(draw(3, 5).T, draw(4, 3).T, draw.strided(5, 4), draw(4, 5).T, "silu")
    yield Sample(draw(2, 5, 3), draw(3, 4), draw(2, 5, 4), draw(2, 5, 4), "gelu")
    yield Sample(draw(0, 3), draw(3, 4), draw(0, 4), draw(0, 4), "silu")


def of_softmax(draw):
    for logs in (False, True):
        yield Sample(draw(3, 4), draw(3, 4), 1, logs)
        yield Sample(draw(2, 3, 4), draw(2, 3, 4), 1, logs)
        yield Sample(draw(4, 3).T, draw.strided(3, 4), 1, logs)
        yield Sample(draw(0, 4), draw(0, 4), 1, logs)
    yield Sample(draw(5), draw(5), 0, False)


def softmax_gradient(x, saved, axis, logs):
    if logs:
        return x - np.exp(saved) * x.sum(axis, keepdims=True)
    return saved * (x - (x * saved).sum(axis, keepdims=True))


# Read raw, these give float32 for bfloat16; the layers' rows hold what the tape makes of it.
parts = tuple(dtype for dtype in floats if dtype != "bfloat16")
two = (np.zeros((2, 3)), np.zeros((4, 5)))
rows = [
    Row(fused.linear, linear, name="linear_act", samples=layers, tolerance=sums,
        covers=("linear_act",), errors=[
            (two, ShapeError, "linear: the last axis of x must be in_features=5, got x (2, 3)"),
            ((np.zeros((2, 5)), two[1], np.zeros(3)), ShapeError,
             "linear: the bias must have shape (4,), got (3,)"),
            ((np.zeros((2, 5)), two[1], None, "swish"), ArgumentError,
             "linear: activation must be None or one of relu, leaky_relu"),
        ]),
    Row(fused.conv2d, conv2d, name="conv_act", samples=convolutions, tolerance=sums,
        covers=("conv_act",), errors=[
            ((np.zeros((1, 1, 4, 4)), np.zeros((1, 2, 3, 3))), ShapeError, "x must have 2 chan"),
        ]),
    Row(fused.conv1d, conv2d, name="conv1d", samples=convolutions_of_rows, tolerance=sums,
        covers=("conv_act",)),
    Row(fused.conv3d, conv2d, name="conv3d", samples=convolutions_of_volumes, tolerance=sums,
        covers=("conv_act",)),
    Row(traced.activation_gradient, lambda x, saved, name: x * slope(saved, name),
        samples=slopes, dtypes=parts, tolerance=sums, covers=("activation_gradient",)),
    Row(traced.softmax_gradient, softmax_gradient, samples=of_softmax, dtypes=parts,
        tolerance=sums, covers=("softmax_gradient",)),
    Row(traced.bias_activation_gradient, bias_activation_gradient, samples=slopes_along,
        dtypes=parts, tolerance=sums, covers=("bias_activation_gradient",)),
    Row(traced.product_activation_gradient, product_activation_gradient, samples=products,
        dtypes=parts, tolerance=sums,
        covers=("product_activation_gradient", "bias_activation_gradient")),
    Row(traced.pool_activation_gradient, pool_activation_gradient, samples=pooled_slopes,
        dtypes=parts, tolerance=sums, covers=("pool_activation_gradient",)),
    Row(gated.gated, lambda gate, x, name: applied(gate, name) * x, samples=gates,
        tolerance=sums, covers=("gated_activation",), errors=[
            ((two[0], two[0], "swish"), ArgumentError,
             "gated: activation must be one of relu, leaky_relu"),
            ((two[0], two[0], None), ArgumentError, "got None"),
        ]),
    Row(gated.swiglu, lambda gate, x: applied(gate, "silu") * x, samples=lambda draw: [
            Sample(draw(3, 4), draw(3, 4)), Sample(draw(2, 3), draw(1, 3)),
            Sample(draw.strided(2, 3), draw(2, 3)), Sample(draw(0, 3), draw(0, 3)),
        ], tolerance=sums, covers=("gated_activation",)),
    Row(gated.geglu, lambda gate, x, approximate="none": networks.gelu(gate, approximate) * x,
        samples=gates_of_gelu, tolerance=sums, covers=("gated_activation",), errors=[
            ((two[0], two[0], "erf"), ArgumentError,
             "geglu: approximate must be 'none' or 'tanh', got 'erf'"),
        ]),
    Row(traced.gated_activation_gradient, gated_gradient, samples=gradients_of_gates,
        dtypes=parts, tolerance=sums, covers=("gated_activation_gradient",)),
    Row(traced.product_gated_gradient, lambda x, w, gate, y, name: gated_gradient(
            x @ w, gate, y, name
        ), samples=products_of_gates, dtypes=parts, tolerance=sums,
        covers=("product_gated_gradient", "gated_activation_gradient")),
]  # fmt: skip
