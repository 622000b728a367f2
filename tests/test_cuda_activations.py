"""Bias and activation by kernels, forward and backward, against float64."""

from __future__ import annotations

import numpy as np
import pytest

from tensorflowlite.backend import dtypes, numpy_backend
from tensorflowlite.backend.base import Backend
from tensorflowlite.backend.cuda import activation_slots as cuda_activation_slots
from tensorflowlite.backend.slots import library as library_slots
from tensorflowlite.ops.activation_gradients import ACTIVATIONS
from tests.host_kernels import ORDERS, HostKernels, why_not
from tests.kernel_comparing import (
    COMPUTING,
    DTYPES,
    ROUNDING,
    array,
    check,
    library,
    shifted,
    slots_of,
    strided,
    wide,
)  # fmt: skip

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

SLOTS = slots_of()
RUN = cuda_activation_slots.BiasActivation(np, HostKernels())
# 16-byte packs and not, one strip and several, less than a pack.
SHAPES = [(37, 64), (70, 40), (5, 3, 301), (9, 7), (3, 1), (1, 8)]


def derivative(name, g, saved):
    return ACTIVATIONS[name].gradient(numpy_backend, wide(g), wide(saved))


def forward(name, z):
    return z if name is None else ACTIVATIONS[name].apply(numpy_backend, z)


def check_gradient(name, g, saved, axis, slots=SLOTS):
    """Hold dz and db to float64."""
    slot = slots["bias_activation_gradient"]
    assert slot.accepts(g, saved, name, axis)
    dz, db = slot(g, saved, name, axis)
    exact = derivative(name, g, saved)
    check(dz, exact, g.dtype)
    axes = tuple(i for i in range(g.ndim) if i != axis % g.ndim)
    # Of bfloat16, 1e-5 sqrt(M); the others in proportion to what is summed.
    summed = np.abs(exact).sum(axes).max()
    computing = 1e-5 * np.sqrt(exact.size / db.size) / summed + COMPUTING[g.dtype]
    if g.dtype not in dtypes.half:
        computing = COMPUTING[g.dtype]
    check(db, exact.sum(axes), g.dtype, computing, summed)


def saved_of(name, seed, shape, dtype):
    """Return what an activation saves."""
    z = array(seed, shape, dtype, 2.0)
    return forward(name, wide(z)).astype(dtype) if ACTIVATIONS[name].saves_output else z


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [None, *ACTIVATIONS])
def test_forward_and_backward(name, dtype):
    for k, shape in enumerate(SHAPES):
        z, bias = array(k, shape, dtype, 2.0), array(9, shape[-1:], dtype)
        for b in (bias, None):
            z0 = wide(z) if b is None else wide(z) + wide(b)
            out, saved = RUN.after_layer(z.copy(), b, name, False)
            check(out, forward(name, z0), dtype)
            if name is None:
                assert saved is None
            else:
                kept = ACTIVATIONS[name].saves_output
                check(saved, forward(name, z0) if kept else z0, dtype)
        if name is not None:
            check_gradient(name, array(5, shape, dtype), saved_of(name, k, shape, dtype), -1)
            g, saved = array(5, shape, dtype), saved_of(name, k, shape, dtype)
            assert SLOTS["activation_gradient"].accepts(g, saved, name)
            dz = SLOTS["activation_gradient"](g, saved, name)
            check(dz, derivative(name, g, saved), dtype)


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 4), (3, 5, 7), (1, 2, 520), (2, 9, 1), (40, 1, 8), (2, 3, 3, 5, 7)]
)
def test_channels(shape, dtype):
    name = "relu"
    z, bias = array(0, shape, dtype), array(1, shape[1:2], dtype)
    z0 = wide(z) + wide(bias).reshape(-1, *[1] * (len(shape) - 2))
    out, saved = RUN.after_layer(z.copy(), bias, name, True)
    check(out, forward(name, z0), dtype)
    assert saved is out
    check_gradient(name, array(5, shape, dtype), saved_of(name, 3, shape, dtype), 1)


@pytest.mark.sanitized
def test_pieces_of_a_long_channel_are_summed():
    # One image: its lengths are divided among blocks.
    assert cuda_activation_slots.chunks_of(5000, 1, 2048) == (2048, 3)
    check_gradient("relu", array(0, (1, 2, 20000), np.float32),
                   saved_of("relu", 1, (1, 2, 20000), np.float32), 1)  # fmt: skip


@pytest.mark.sanitized
def test_many_chunks_of_rows_are_summed():
    shape = (4200, 8)
    check_gradient("relu", array(0, shape, np.float32),
                   saved_of("relu", 1, shape, np.float32), -1)  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_threads_gives_the_same_bits(order):
    shape = (70, 40)
    g, saved = array(0, shape, np.float32), saved_of("relu", 1, shape, np.float32)
    for axis, a, b in ((-1, g, saved), (1, g.reshape(7, 10, 40), saved.reshape(7, 10, 40))):
        expected = SLOTS["bias_activation_gradient"](a, b, "relu", axis)
        found = slots_of(order)["bias_activation_gradient"](a, b, "relu", axis)
        for one, two in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.sanitized
@pytest.mark.parametrize("view", [strided, shifted])
def test_arrays_as_they_lie(view):
    g, saved = array(0, (33, 24), np.float32), saved_of("gelu", 1, (33, 24), np.float32)
    check_gradient("gelu", view(g), saved, -1)
    check_gradient("gelu", g, view(saved), -1)
    check_gradient("relu", view(g.reshape(3, 11, 24)), saved.reshape(3, 11, 24), 1)
    z0 = wide(g) + wide(saved[0])
    out, kept = RUN.after_layer(view(g), view(saved[:1])[0], "gelu", False)
    check(out, forward("gelu", z0), g.dtype)
    check(kept, z0, g.dtype)
    dz = SLOTS["activation_gradient"](view(g), view(saved), "gelu")
    check(dz, derivative("gelu", g, saved), g.dtype)


def test_arguments_that_are_left_to_the_decomposition():
    g = array(0, (4, 6, 5), np.float32)
    accepts = SLOTS["bias_activation_gradient"].accepts
    assert accepts(g, g, "relu", 1)
    assert not accepts(g, g, "relu", 0)
    assert not accepts(g[:0], g[:0], "relu", -1)
    assert not accepts(g, g.astype(np.float64), "relu", -1)
    assert not accepts(g[0, 0], g[0, 0], "relu", -1)
    assert not accepts(g, g, "softplus", -1)
    assert not SLOTS["activation_gradient"].accepts(g.astype(int), g.astype(int), "relu")
    assert not SLOTS["activation_gradient"].accepts(g, g[0], "relu")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("slot", "attributes"),
    [("sigmoid", ()), ("silu", ()), ("gelu", ("none",)), ("gelu", ("tanh",)),
     ("leaky_relu", (0.2,))],
)  # fmt: skip
def test_elementwise(slot, attributes, dtype):
    for shape in [(3, 50), (7,), (), (2, 1025)]:
        x = array(len(shape), shape, dtype, 3.0)
        check(SLOTS[slot](x, *attributes), library(slot)(wide(x), *attributes), dtype)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -80.0, 80.0, 3e4, -3e4], dtype)
    with np.errstate(all="ignore"):
        wanted = library(slot)(wide(special), *attributes)
    check(SLOTS[slot](special, *attributes), wanted, dtype, magnitude=1e-3)
    falls = slots_of(library=library)[slot]
    assert falls(np.zeros((0, 3), dtype), *attributes).shape == (0, 3)


def test_the_backend_takes_kernels_where_they_accept():
    slots = {**library_slots.slots(np), **slots_of(library=library)}
    k = Backend("cuda", np, np.ndarray, slots)
    g, saved = array(0, (3, 4, 5), np.float32), saved_of("gelu", 1, (3, 4, 5), np.float32)
    exact = derivative("gelu", g, saved)
    for axis in (0, 1, 2):  # 0 by the decomposition
        dz, db = k.bias_activation_gradient(g, saved, "gelu", axis)
        check(dz, exact, g.dtype)
        check(db, exact.sum(tuple({0, 1, 2} - {axis})), g.dtype, magnitude=np.abs(exact).sum())
    dz, db = k.product_activation_gradient(g[0, :, :3], g[0, :3], saved[0], "gelu")
    exact = derivative("gelu", wide(g[0, :, :3]) @ wide(g[0, :3]), saved[0])
    check(dz, exact, g.dtype, magnitude=10.0)
    check(db, exact.sum(0), g.dtype, magnitude=10.0)
    loss, _ = k.softmax_cross_entropy(g[0], np.array([0, 1, 2, 9]), -100, 0.0)
    assert np.isnan(loss).tolist() == [False, False, False, True]


def test_quick_functions_keep_the_tails_digits():
    """On the host the normal distribution's quick tail is the device's polynomial."""
    for dtype, least in ((dtypes.float16, 2.0**-25), (dtypes.bfloat16, 0.0)):
        x = np.linspace(-5, 3, 400).astype(dtype)
        wanted = library("gelu")(wide(x), "none")
        error = np.abs(wide(SLOTS["gelu"](x, "none")) - wanted)
        assert (error <= np.abs(wanted) * (ROUNDING[dtype] * 1.001 + 2e-5) + least).all()
