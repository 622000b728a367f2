"""The kernels of pooling, run on the host, against the NumPy slots in float64."""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import pooling_slots as cuda_pooling_slots
from tensorflowlite.backend.cuda import windows as cuda_windows
from tensorflowlite.backend.slots import pooling as pooling_slots
from tensorflowlite.backend.slots.windows import out_lengths
from tests import host_kernels

pytestmark = pytest.mark.skipif(bool(host_kernels.why_not()), reason=host_kernels.why_not())

Array = np.ndarray[Any, Any]
DTYPES = [np.dtype(t) for t in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)]
# The rounding of the result, and of a sum of at most 63 terms of about 1.
LIMITS = {dtypes.float32: 1e-6, dtypes.float64: 1e-15, dtypes.float16: 5e-4, dtypes.bfloat16: 4e-3}
LIBRARY = pooling_slots.slots(np)
ONE = (1, 1)


def pads(*lengths: int) -> tuple[tuple[int, int], ...]:
    return tuple([(n, n) for n in lengths])


# Shape, kernel, stride, padding, dilation, ceil: windows side by side, with gaps, overlapping, over
# the edges; kernels that are unrolled, that aren't, and that a warp shares.
GEOMETRIES: dict[str, Any] = {
    "2x2": ((2, 3, 8, 9), (2, 2), (2, 2), pads(0, 0), ONE, False),
    "3x3 padded": ((1, 3, 9, 17), (3, 3), (2, 2), pads(1, 1), ONE, False),
    "ceil": ((2, 2, 9, 7), (3, 3), (1, 1), pads(1, 1), ONE, True),
    "gaps": ((1, 3, 8, 9), (2, 3), (3, 4), pads(1, 1), ONE, True),
    "dilated": ((1, 2, 11, 14), (3, 2), (2, 3), pads(1, 1), (4, 6), False),
    "coprime": ((1, 2, 13, 14), (5, 3), (3, 4), pads(2, 1), (2, 3), True),
    "one side": ((1, 2, 6, 7), (2, 3), (2, 1), ((0, 1), (2, 0)), ONE, False),
    "shared": ((3, 3, 7, 9), (7, 9), (7, 9), pads(0, 0), ONE, False),
    "shared, overlapping": ((1, 2, 12, 13), (6, 7), (2, 3), pads(3, 1), ONE, True),
    "many taps": ((1, 1, 17, 18), (16, 17), (1, 1), pads(1, 0), ONE, False),
    "one axis": ((2, 3, 13), (3,), (2,), pads(1), (1,), True),
    "three axes": ((2, 2, 5, 4, 6), (2, 3, 2), (1, 2, 3), pads(1, 1, 0), (2, 1, 1), False),
}  # fmt: skip


def not_called(*args: Any) -> Any:
    raise AssertionError("the library's slot must not run")


@functools.cache
def slots_for(order: str = "ascending") -> dict[str, Any]:
    kernels = host_kernels.HostKernels(order)
    return cuda_pooling_slots.slots(np, kernels, lambda name: not_called)


def images(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return few different values, so that there are ties, with NaN and infinities among them."""
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, shape).astype(dtype)
    x[rng.random(shape) < 0.02] = np.nan
    x[rng.random(shape) < 0.1] = -np.inf
    return x


def equal(found: Array, expected: Array, dtype: Any) -> None:
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.astype(np.float64), expected.astype(np.float64))


def close(found: Array, expected: Array, dtype: Any) -> None:
    assert found.dtype == dtype
    limit = LIMITS[dtype] * max(1.0, abs(expected).max())
    np.testing.assert_allclose(found.astype(np.float64), expected, LIMITS[dtype], limit)


def check_maximum(case: Any, dtype: Any, order: str = "ascending") -> None:
    shape, *geometry = case
    x = images(shape, dtype)
    slots = slots_for(order)
    values, places = LIBRARY["max_pool"](x.astype(np.float64), *geometry, True)
    out, found = slots["max_pool"](x, *geometry, True)
    equal(out, values, dtype)
    equal(found, places, places.dtype)
    out, none = slots["max_pool"](x, *geometry, False)
    assert none is None
    equal(out, values, dtype)
    equal(slots["max_pool_places"](x, out, *geometry), places, places.dtype)
    like = np.nan_to_num(x.astype(np.float64), neginf=-9).astype(dtype)
    again = LIBRARY["max_pool_gather"](like, places, *geometry)
    equal(slots["max_pool_gather"](like, places, *geometry), again, dtype)
    y = np.random.default_rng(1).integers(-4, 5, values.shape).astype(dtype)
    y.flat[0], y.flat[1] = np.inf, np.nan
    back = LIBRARY["max_pool_scatter"](y.astype(np.float64), places, shape, *geometry)
    equal(slots["max_pool_scatter"](y, places, shape, *geometry), back, dtype)


def check_mean(case: Any, dtype: Any, order: str = "ascending") -> None:
    shape, kernel, stride, padding, _, ceil = case
    rng, slots = np.random.default_rng(0), slots_for(order)
    x = rng.standard_normal(shape).astype(dtype)
    for padded, given in ((True, None), (False, None), (True, -3)):
        rest = (kernel, stride, padding, ceil, padded, given)
        expected = LIBRARY["avg_pool"](x.astype(np.float64), *rest)
        close(slots["avg_pool"](x, *rest), expected, dtype)
        y = rng.standard_normal(expected.shape).astype(dtype)
        back = LIBRARY["avg_pool_gradient"](y.astype(np.float64), shape, *rest)
        close(slots["avg_pool_gradient"](y, shape, *rest), back, dtype)


def undilated(case: Any) -> Any:
    return (*case[:4], (1,) * len(case[1]), case[5])


@pytest.mark.sanitized
@pytest.mark.parametrize("name", ["gaps", "dilated", "shared, overlapping", "one axis"])
def test_maxima_and_means_of_ragged_shapes(name: str) -> None:
    check_maximum(GEOMETRIES[name], DTYPES[2])
    check_mean(undilated(GEOMETRIES[name]), DTYPES[2])


@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_maxima_and_places(name: str, dtype: Any) -> None:
    check_maximum(GEOMETRIES[name], dtype)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_means(name: str) -> None:
    check_mean(undilated(GEOMETRIES[name]), DTYPES[0])


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize("name", ["3x3 padded", "shared"])
def test_means_of_other_types(name: str, dtype: Any) -> None:
    check_mean(undilated(GEOMETRIES[name]), dtype)


@pytest.mark.parametrize("order", host_kernels.ORDERS)
def test_the_order_of_threads_does_not_matter(order: str) -> None:
    check_maximum(GEOMETRIES["shared"], DTYPES[0], order)
    check_mean(GEOMETRIES["shared"], DTYPES[0], order)
    check_maximum(GEOMETRIES["2x2"], DTYPES[3], order)


def test_indices_of_64_bits(monkeypatch: Any) -> None:
    monkeypatch.setattr(cuda_windows, "NARROW", 10)
    cuda_pooling_slots.plan_of.cache_clear()
    for name in ("coprime", "shared, overlapping", "three axes"):
        check_maximum(GEOMETRIES[name], DTYPES[0])
        check_mean(undilated(GEOMETRIES[name]), DTYPES[0])
    monkeypatch.undo()
    cuda_pooling_slots.plan_of.cache_clear()


def test_what_has_2_to_the_31_elements_has_long_indices() -> None:
    window = ((2, 2), (2, 2), pads(0, 0), ONE)

    def index(*shape: int, last: bool = False) -> str:
        plan = cuda_pooling_slots.plan_of(shape, last, DTYPES[0], window, False)
        return str(plan.variant["TFL_INDEX"])

    assert index(1024, 64, 128, 128) == "int"
    assert index(2048, 64, 128, 128) == "long long"
    wide = ((6, 6), (6, 6), pads(0, 0), ONE)  # each window has 32 threads
    plan = cuda_pooling_slots.plan_of((1600, 64, 180, 180), False, DTYPES[0], wide, False)
    assert plan.windows * plan.lanes >= 2**31
    assert plan.variant["TFL_INDEX"] == "long long"


def test_divisors() -> None:
    """A quotient is the product's upper half plus the dividend, shifted."""
    rng = np.random.default_rng(6)
    dividends = [0, 1, 2**31 - 1, *rng.integers(0, 2**31, 200).tolist()]
    numbers = [1, 2, 3, 7, 641, 2**16, 2**30 + 1, 2**31 - 1, *rng.integers(1, 2**31, 200).tolist()]
    for number in numbers:
        _, words = cuda_windows.divisor(number)
        factor, shift = words % 2**32, words >> 32
        for x in (*dividends, number - 1, number, min(2 * number, 2**31) - 1):
            upper = factor * x >> 32
            assert upper + x < 2**32
            assert (upper + x) >> shift == x // number


@pytest.mark.sanitized
def test_channels_that_lie_behind() -> None:
    """Of images whose channels lie last in memory nothing is copied, and results lie so too."""
    shape, *geometry = GEOMETRIES["3x3 padded"]
    slots = slots_for()
    x = images((*shape[:1], *shape[2:], shape[1]), DTYPES[0]).transpose(0, 3, 1, 2)
    values, places = LIBRARY["max_pool"](x, *geometry, True)
    out, found = slots["max_pool"](x, *geometry, True)
    equal(out, values, x.dtype)
    equal(found, places, places.dtype)
    assert out.transpose(0, 2, 3, 1).flags.c_contiguous
    back = slots["max_pool_scatter"](out, found, shape, *geometry)
    equal(back, LIBRARY["max_pool_scatter"](values, places, shape, *geometry), x.dtype)
    assert back.transpose(0, 2, 3, 1).flags.c_contiguous
    whole = (shape[2:], shape[2:], pads(0, 0), False, True, None)
    z = np.nan_to_num(x, neginf=0)
    close(slots["avg_pool"](z, *whole), LIBRARY["avg_pool"](z, *whole), x.dtype)


def test_other_memory_is_copied() -> None:
    shape, *geometry = GEOMETRIES["2x2"]
    x = np.random.default_rng(0).standard_normal(shape[::-1]).T
    values, places = LIBRARY["max_pool"](x, *geometry, True)
    out, found = slots_for()["max_pool"](x, *geometry, True)
    equal(out, values, x.dtype)
    equal(found, places, places.dtype)
    y = np.repeat(values, 2, -1)[..., ::2]
    back = slots_for()["max_pool_scatter"](y, places, shape, *geometry)
    equal(back, LIBRARY["max_pool_scatter"](y, places, shape, *geometry), x.dtype)


def test_half_precision_is_summed_in_float32() -> None:
    """3000 ones: a float16 sum would stay at 2048."""
    x = np.ones((1, 1, 50, 60), np.float16)
    whole = ((50, 60), (50, 60), pads(0, 0), False, True, 1)
    assert slots_for()["avg_pool"](x, *whole).item() == 3000


def test_places_outside_the_window_are_none() -> None:
    window = ((2, 2), (2, 2), pads(1, 1), ONE, False)
    count = out_lengths((2, 2), *window)
    places = np.array([0, 3, 255, 1], np.uint8).reshape(1, 1, *count)
    slots = slots_for()
    expected = LIBRARY["max_pool_gather"](np.full((1, 1, 2, 2), 5.0), places, *window)
    equal(slots["max_pool_gather"](np.full((1, 1, 2, 2), 5.0), places, *window), expected,
          dtypes.float64)  # fmt: skip
    y = np.ones((1, 1, *count))
    expected = LIBRARY["max_pool_scatter"](y, places, (1, 1, 2, 2), *window)
    equal(slots["max_pool_scatter"](y, places, (1, 1, 2, 2), *window), expected, dtypes.float64)


PLAIN = ((2, 2), (2, 2), pads(0, 0), ONE, False)
IMAGE = np.zeros((1, 1, 4, 4))
PLACES = np.zeros((1, 1, 2, 2), np.uint8)


@pytest.mark.parametrize("name, args", [
    ("max_pool", (IMAGE.astype(int), *PLAIN, True)),
    ("max_pool", (np.zeros((0, 1, 4, 4)), *PLAIN, True)),
    ("max_pool", (np.zeros((1, 1, 1, 4)), *PLAIN, True)),
    ("max_pool", (np.zeros((1,) * 6), (2,) * 4, (2,) * 4, pads(1, 1, 1, 1), (1,) * 4, False, True)),
    ("max_pool", (IMAGE, (2, 2), (2**15, 1), *PLAIN[2:], True)),
    ("max_pool", (IMAGE, (2, 2), (1, 1), pads(0, -1), *PLAIN[3:], True)),
    ("max_pool_places", (IMAGE, np.zeros((1, 1, 2, 2), np.float32), *PLAIN)),
    ("max_pool_places", (IMAGE, np.zeros((1, 1, 2, 3)), *PLAIN)),
    ("max_pool_gather", (IMAGE, PLACES.astype(np.int64), *PLAIN)),
    ("max_pool_scatter", (IMAGE[..., :2, :2], PLACES[..., :1], (1, 1, 4, 4), *PLAIN)),
    ("avg_pool", (IMAGE.astype(complex), *PLAIN[:3], False, True, None)),
    ("avg_pool_gradient", (IMAGE, (1, 1, 4, 4), *PLAIN[:3], False, True, None)),
])  # fmt: skip
def test_others_go_to_the_library(name: str, args: Any) -> None:
    passed = []
    slots = cuda_pooling_slots.slots(
        np, host_kernels.HostKernels(), lambda slot: lambda *given: passed.append(slot)
    )
    slots[name](*args)
    assert passed == [name]
