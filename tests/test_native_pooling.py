"""Native pooling: the values, places and gradients of the NumPy slots, for every geometry."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.native import pooling_slots as native_pooling_slots
from tensorflowlite.backend.slots import pooling as pooling_slots

Array = np.ndarray[Any, Any]
LIBRARY = pooling_slots.slots(np)
ONE = (1, 1)


def pads(*lengths: int) -> tuple[tuple[int, int], ...]:
    return tuple([(n, n) for n in lengths])


# Shape, kernel, stride, padding, dilation, ceil: windows side by side, with gaps, overlapping, over
# the edges; rows below, at and above a vector, and longer than a buffer.
GEOMETRIES: list[Any] = [
    ((2, 3, 28, 28), (2, 2), (2, 2), pads(0, 0), ONE, False),
    ((3, 2, 14, 15), (2, 2), (2, 2), pads(0, 0), ONE, False),
    ((1, 2, 7, 6), (3, 3), (3, 3), pads(0, 0), ONE, False),
    ((2, 2, 9, 37), (3, 3), (2, 2), pads(1, 1), ONE, False),
    ((2, 2, 9, 17), (3, 3), (1, 1), pads(1, 1), ONE, True),
    ((1, 3, 8, 9), (2, 3), (3, 4), pads(1, 1), ONE, True),
    ((1, 1, 6, 5), (2, 2), (2, 2), pads(0, 0), (3, 2), False),
    ((1, 2, 5, 4), (5, 4), (5, 4), pads(0, 0), ONE, False),
    ((4, 3, 7, 7), (7, 7), (7, 7), pads(0, 0), ONE, False),
    ((1, 1, 3, 5000), (2, 2), (2, 2), pads(0, 0), ONE, False),
    ((1, 1, 3, 5000), (3, 3), (2, 2), pads(1, 1), ONE, False),
    ((1, 1, 4, 40), (2, 9), (2, 11), pads(0, 4), (1, 2), True),
    ((2, 3, 13), (3,), (2,), pads(1), (1,), True),
    ((2, 3, 64), (4,), (4,), pads(0), (1,), False),
]


# Windows of more places than a byte can number, which means don't: one, side by side, overlapping.
LARGE: list[Any] = [
    ((2, 3, 28, 28), (28, 28), (28, 28), pads(0, 0), ONE, False),
    ((1, 2, 40, 38), (19, 19), (19, 19), pads(0, 0), ONE, False),
    ((1, 2, 33, 30), (17, 20), (3, 2), pads(5, 7), ONE, True),
    ((2, 3, 700), (600,), (50,), pads(0), (1,), False),
]


@pytest.fixture
def slots(native_module: ModuleType) -> Iterator[dict[str, Any]]:
    before = tfl.get_num_threads(), native_module.instruction_set()
    yield native_pooling_slots.slots(native_module, LIBRARY.__getitem__)
    tfl.set_num_threads(before[0])
    native_module.use_instruction_set(before[1])


def ways(module: ModuleType) -> Iterator[None]:
    for chosen, threads in itertools.product(module.instruction_sets(), (1, 2, 3)):
        module.use_instruction_set(chosen)
        tfl.set_num_threads(threads)
        yield


def images(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return few different values, so that there are ties, with NaN and infinities among them."""
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, shape).astype(dtype)
    x[rng.random(shape) < 0.02] = np.nan
    x[rng.random(shape) < 0.1] = -np.inf
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_maxima_and_places(slots: Any, native_module: ModuleType, case: Any, dtype: Any) -> None:
    shape, *geometry = case
    x = images(shape, dtype)
    values, places = LIBRARY["max_pool"](x, *geometry, True)
    y = np.random.default_rng(1).integers(-4, 5, values.shape).astype(dtype)
    y.flat[0] = np.inf
    back = LIBRARY["max_pool_scatter"](y, places, shape, *geometry)
    again = LIBRARY["max_pool_gather"](y_like := np.nan_to_num(x), places, *geometry)
    for _ in ways(native_module):
        assert slots["max_pool"].accepts(x, *geometry, True)
        out, found = slots["max_pool"](x, *geometry, True)
        np.testing.assert_array_equal(out, values)
        np.testing.assert_array_equal(found, places)
        out, none = slots["max_pool"](x, *geometry, False)
        assert none is None
        np.testing.assert_array_equal(out, values)
        np.testing.assert_array_equal(slots["max_pool_scatter"](y, places, shape, *geometry), back)
        np.testing.assert_array_equal(slots["max_pool_gather"](y_like, places, *geometry), again)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", [*(one for one in GEOMETRIES if set(one[4]) == {1}), *LARGE])
def test_means(slots: Any, native_module: ModuleType, case: Any, dtype: Any) -> None:
    shape, kernel, stride, padding, _, ceil = case
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    single = dtype == np.float32
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if single else {"rtol": 1e-12, "atol": 1e-13}
    for padded, given in ((True, None), (False, None), (True, 3)):
        rest = (kernel, stride, padding, ceil, padded, given)
        expected = LIBRARY["avg_pool"](x.astype(np.float64), *rest)
        y = np.random.default_rng(1).standard_normal(expected.shape).astype(dtype)
        back = LIBRARY["avg_pool_gradient"](y.astype(np.float64), shape, *rest)
        bits: set[bytes] = set()
        assert slots["avg_pool"].accepts(x, *rest)
        assert slots["avg_pool_gradient"].accepts(y, shape, *rest)
        for _ in ways(native_module):
            out = slots["avg_pool"](x, *rest)
            np.testing.assert_allclose(out, expected, **tolerance)
            gradient = slots["avg_pool_gradient"](y, shape, *rest)
            np.testing.assert_allclose(gradient, back, **tolerance)
            bits.add(out.tobytes() + gradient.tobytes())
        assert len(bits) == 1


def test_means_of_what_is_not_finite(slots: Any) -> None:
    x = np.ones((1, 1, 4, 4), np.float32)
    x[0, 0, 0, 0], x[0, 0, 0, 2], x[0, 0, 2, 0] = np.nan, np.inf, -np.inf
    out = slots["avg_pool"](x, (2, 2), (2, 2), pads(0, 0), False, True, None)
    np.testing.assert_array_equal(out[0, 0], [[np.nan, np.inf], [-np.inf, 1]])


def test_memory_in_another_order_is_copied(slots: Any) -> None:
    x = np.random.default_rng(0).standard_normal((6, 5, 3, 2)).T
    rest = ((2, 2), (1, 2), pads(1, 1), ONE, False)
    for a, b in zip(
        slots["max_pool"](x, *rest, True), LIBRARY["max_pool"](x, *rest, True), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_places_outside_the_image_are_none(native_module: ModuleType) -> None:
    window = (2, 2), (2, 2), (1, 1), (1, 1)
    y, places = np.ones((1, 2, 2)), np.array([[[0, 3], [255, 1]]], np.uint8)
    out = np.full((1, 2, 2), 7.0)
    native_module.max_pool_scatter(y, places, out, *window)
    np.testing.assert_array_equal(out[0], [[0, 0], [0, 0]])
    native_module.max_pool_gather(np.full((1, 2, 2), 5.0), places, y, *window)
    np.testing.assert_array_equal(y[0], [[0, 0], [0, 0]])


def test_what_is_not_accepted(slots: Any) -> None:
    accepts = slots["max_pool"].accepts
    rest = (pads(0, 0), ONE, False, True)
    assert not accepts(np.ones((0, 2, 4, 4)), (2, 2), (2, 2), *rest)
    assert not accepts(np.ones((1, 2, 4, 4), np.float16), (2, 2), (2, 2), *rest)
    assert not accepts(np.ones((1, 2, 20, 20)), (16, 16), (2, 2), *rest)
    far = (2, 1), (1, 1), pads(0, 0), (1500, 1), False, True
    assert not accepts(np.ones((1, 2, 2000, 2)), *far)
    volumes = (2, 2, 2), (2, 2, 2), pads(0, 0, 0), (1, 1, 1), False, True
    assert not accepts(np.ones((1, 1, 2, 2, 2)), *volumes)


def test_wrong_arguments(native_module: ModuleType) -> None:
    x, out, places = np.ones((1, 4, 4)), np.full((1, 2, 2), 7.0), np.zeros((1, 2, 2), np.uint8)
    two, none = (2, 2), (0, 0)
    good: dict[str, Any] = {
        "x": x, "out": out, "places": places, "kernel": two, "stride": two, "padding": none,
        "dilation": ONE,
    }  # fmt: skip
    read_only = out.copy()
    read_only.flags.writeable = False
    bad: list[tuple[str, Any]] = [
        ("x", x.astype(np.int64)), ("x", x[0]), ("x", x[:, ::2]), ("x", np.ones((2, 4, 4))),
        ("x", np.ones((1, 0, 4))), ("out", out.astype(np.float32)), ("out", read_only),
        ("out", x[:, :2, :2]), ("out", np.ones((1, 2, 9))), ("places", places.astype(np.int32)),
        ("places", places[:, :1]), ("kernel", (0, 2)), ("kernel", (17, 17)), ("kernel", (2000, 1)),
        ("stride", (0, 1)), ("stride", (2**40, 1)), ("stride", (-1, 1)), ("padding", (-1, 0)),
        ("padding", (5000, 0)), ("dilation", (0, 1)), ("dilation", (2**20, 1)),
    ]  # fmt: skip
    for name, value in bad:
        with pytest.raises(ValueError, match=r"^max_pool: "):
            native_module.max_pool(*{**good, name: value}.values())
    for name, value in (("kernel", 2), ("kernel", (2, 2, 2)), ("x", [[1.0]]), ("out", None)):
        with pytest.raises(TypeError):
            native_module.max_pool(*{**good, name: value}.values())
    overlapping = np.ones(40)
    with pytest.raises(ValueError, match="must not share memory"):
        native_module.max_pool(
            overlapping[:16].reshape(1, 4, 4), overlapping[12:16].reshape(1, 2, 2), None,
            two, two, none, ONE,
        )  # fmt: skip
    with pytest.raises(ValueError, match="a divisor per row"):
        native_module.avg_pool(x, out, two, two, none, [1.0], [1.0, 1.0])
    assert (out == 7).all()
    assert not places.any()


def test_gradient_keeps_no_image() -> None:
    """The places stand for the image in the backward pass."""
    x = tfl.tensor(np.arange(16.0).reshape(1, 1, 4, 4), requires_grad=True)
    y = tfl.nn.functional.max_pool2d(x, 2)
    assert all(saved is not x.array for saved in y.node.saved)
    y.sum().backward()
    expected = np.zeros((4, 4))
    expected[1::2, 1::2] = 1
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], expected)
