"""Gated activations by kernels, forward and backward, against float64."""

from __future__ import annotations

import numpy as np
import pytest

from tensorflowlite.backend import dtypes, numpy_backend
from tensorflowlite.backend.base import Backend
from tensorflowlite.backend.slots import library as library_slots
from tensorflowlite.nn import functional as F  # noqa: F401  declares the operations
from tensorflowlite.ops.activation_gradients import ACTIVATIONS
from tests.host_kernels import ORDERS, why_not
from tests.kernel_comparing import (
    DTYPES,
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
# Less than a pack, packs with a rest, a block and more, several of them.
SHAPES = [(1,), (3, 7), (5, 16), (2, 3, 5), (4099,), (9, 1031)]


def exact(g, x, y, name):
    """Return the output and both gradients in float64."""
    g, x, y = wide(g), wide(x), wide(y)
    chosen = ACTIVATIONS[name]
    out = chosen.apply(numpy_backend, x)
    slope = chosen.gradient(numpy_backend, np.ones_like(x), out if chosen.saves_output else x)
    return out * y, g * y * slope, g * out


def operands(shape, dtype, scale=2.0):
    return [array(seed, shape, dtype, scale) for seed in (1, 2, 3)]


def check_all(g, x, y, name, slots=SLOTS):
    out, dx, dy = exact(g, x, y, name)
    forward, backward = slots["gated_activation"], slots["gated_activation_gradient"]
    assert forward.accepts(x, y, name) and backward.accepts(g, x, y, name)
    check(forward(x, y, name), out, x.dtype)
    found = backward(g, x, y, name)
    check(found[0], dx, x.dtype)
    check(found[1], dy, x.dtype)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*[(name, dtypes.float32) for name in ACTIVATIONS],
     *[(name, dtypes.bfloat16) for name in ("gelu", "gelu_tanh")],
     *[("silu", dtype) for dtype in DTYPES if dtype != dtypes.float32]],
)  # fmt: skip
def test_forward_and_backward(name, dtype):
    for shape in SHAPES:
        check_all(*operands(shape, dtype), name)


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1,), (3, 7), (4099,)])
def test_ragged_shapes(shape, dtype):
    check_all(*operands(shape, dtype), "silu")


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_threads_gives_the_same_bits(order):
    g, x, y = operands((3, 1000), np.float32)
    slots = slots_of(order)
    found = [
        slots["gated_activation"](x, y, "silu"),
        *slots["gated_activation_gradient"](g, x, y, "silu"),
    ]
    for got, wanted in zip(found, exact(g, x, y, "silu"), strict=True):
        check(got, wanted, np.float32)
    expected = [
        SLOTS["gated_activation"](x, y, "silu"),
        *SLOTS["gated_activation_gradient"](g, x, y, "silu"),
    ]
    for one, two in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.sanitized
@pytest.mark.parametrize("view", [strided, shifted])
@pytest.mark.parametrize("place", range(3))
def test_arrays_as_they_lie(view, place):
    """One of the arrays has gaps, or lies where packs can't be read."""
    arrays = operands((33, 24), dtypes.bfloat16)
    arrays[place] = view(arrays[place])
    check_all(*arrays, "silu")


def test_special_values():
    x = np.array([np.nan, np.inf, 0.0, -0.0, -80.0, 80.0, 3e4, -3e4], np.float32)
    ones = np.ones_like(x)
    for name in ACTIVATIONS:
        with np.errstate(all="ignore"):
            out, dx, dy = exact(ones, x, ones, name)
        check(SLOTS["gated_activation"](x, ones, name), out, np.float32, magnitude=1.0)
        found = SLOTS["gated_activation_gradient"](ones, x, ones, name)
        # The derivative at infinity is the reference's NaN, or 1 where no product of 0 is met.
        check(found[0][2:], dx[2:], np.float32, magnitude=1.0)
        assert np.isnan(found[0][0]) or name in ("relu", "leaky_relu")
        check(found[1], dy, np.float32, magnitude=1.0)


def test_arguments_that_are_left_to_the_decomposition():
    g, x, y = operands((4, 6), np.float32)
    forward = SLOTS["gated_activation"].accepts
    backward = SLOTS["gated_activation_gradient"].accepts
    assert forward(x, y, "relu") and backward(g, x, y, "relu")
    assert not forward(x, y, "softplus")
    assert not forward(x, y[0], "relu")
    assert not forward(x[:0], y[:0], "relu")
    assert not forward(x, y.astype(np.float64), "relu")
    assert not forward(x.astype(int), y.astype(int), "relu")
    assert not backward(g, x, y[:, :1], "relu")
    assert not backward(g.astype(np.float64), x, y, "relu")


def test_the_backend_takes_kernels_where_they_accept():
    """The product before goes to the library, the rest to one kernel; other shapes decompose."""
    slots = {**library_slots.slots(np), **slots_of(library=library)}
    k = Backend("cuda", np, np.ndarray, slots)
    g, x, y = operands((5, 8), np.float32, 1.0)
    w = array(4, (5, 8), np.float32)
    found = k.product_gated_gradient(g[:, :5], w, x, y, "gelu")
    _, dx, dy = exact(wide(g[:, :5]) @ wide(w), x, y, "gelu")
    check(found[0], dx, np.float32, magnitude=10.0)
    check(found[1], dy, np.float32, magnitude=10.0)
    out = exact(g, x, np.broadcast_to(y[:1], x.shape), "gelu")[0]
    check(k.gated_activation(x, y[:1], "gelu"), out, np.float32)
