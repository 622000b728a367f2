"""The kernels that sum an embedding's gradient, run on the host, against sums in float64."""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tensorflowlite.backend import INDEX, dtypes
from tensorflowlite.backend.cuda import embedding_slots as cuda_embedding_slots
from tensorflowlite.backend.slots import array as array_slots
from tests import host_kernels

pytestmark = pytest.mark.skipif(bool(host_kernels.why_not()), reason=host_kernels.why_not())

DTYPES = [np.dtype(t) for t in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)]
# The rounding of the result, and of a sum of at most 200 terms of about 1.
LIMITS = {dtypes.float32: 1e-5, dtypes.float64: 1e-13, dtypes.float16: 1e-3, dtypes.bfloat16: 4e-3}
LIBRARY = array_slots.slots(np)["scatter_add"]


def not_called(*args: Any) -> Any:
    raise AssertionError("the library's slot must not run")


@functools.cache
def slot_for(order: str = "ascending") -> Any:
    kernels = host_kernels.HostKernels(order)
    return cuda_embedding_slots.slots(np, kernels, lambda name: not_called)["scatter_add"]


def check(x: np.ndarray, *rest: Any, order: str = "ascending") -> None:
    found = slot_for(order)(x, *rest)
    expected = LIBRARY(x.astype(np.float64), *rest)
    assert (found.shape, found.dtype) == (expected.shape, x.dtype)
    limit = LIMITS[x.dtype]
    scale = float(abs(expected).max())
    np.testing.assert_allclose(found.astype(np.float64), expected, limit, limit * scale)
    assert found.tobytes() == slot_for(order)(x, *rest).tobytes()


def rows_of(*shape: int, dtype: Any = DTYPES[0]) -> np.ndarray:
    return np.random.default_rng(2).normal(size=shape).astype(dtype)


# Places, from spread out to all the same: runs inside chunks of 32, over edges, over many chunks.
PLACES = [
    np.array([3]), np.zeros(200, int), np.arange(40), np.repeat([4, 1, 0], [31, 33, 90]),
    np.repeat([2, 9], [32, 64]), np.random.default_rng(3).integers(0, 12, 150),
    np.random.default_rng(3).integers(0, 1000, 70),
]  # fmt: skip


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [1, 3, 8, 20, 1032])
def test_rows_of_any_width(width: int, dtype: Any) -> None:
    for places in PLACES:
        size = int(places.max()) + 2
        check(rows_of(len(places), width, dtype=dtype), places, (INDEX,), (size, width))


@pytest.mark.parametrize("order", host_kernels.ORDERS)
def test_the_order_of_threads_does_not_matter(order: str) -> None:
    check(rows_of(150, 20), PLACES[5], (INDEX,), (12, 20), order=order)
    check(rows_of(200, 7), PLACES[1], (INDEX,), (1, 7), order=order)


def test_indices_of_several_axes_negative_and_small_ones() -> None:
    places = np.random.default_rng(4).integers(-9, 9, (5, 8))
    check(rows_of(5, 8, 6), places, (INDEX,), (9, 6))
    check(rows_of(5, 8), places, (INDEX,), (9,))
    check(rows_of(5, 8, 2, 3), places.astype(np.int8), (INDEX,), (200, 2, 3))
    check(rows_of(5, 8), (places % 7).astype(np.uint8), (INDEX,), (300,))


def test_several_index_arrays_name_a_row() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.integers(-3, 3, (4, 10)), rng.integers(0, 5, 10)
    check(rows_of(4, 10, 6), first, second, (INDEX, INDEX), (3, 5, 6))


@pytest.mark.sanitized
def test_strided_rows_and_rows_that_begin_anywhere() -> None:
    whole = rows_of(81, 17)
    places = np.arange(80) % 7
    check(whole[1:, 1:], places, (INDEX,), (7, 16))
    check(whole.T[:, :80].T, places, (INDEX,), (7, 17))
    check(whole.reshape(-1)[1:1281].reshape(80, 16), places, (INDEX,), (7, 16))


def test_half_precision_is_summed_in_float32() -> None:
    """4000 ones: a float16 sum would stay at 2048."""
    x = np.ones((4000, 4), np.float16)
    found = slot_for()(x, np.zeros(4000, int), (INDEX,), (2, 4))
    np.testing.assert_array_equal(found, [[4000] * 4, [0] * 4])


def test_nan_stays_in_its_row() -> None:
    x = rows_of(64, 8)
    x[5, 3] = np.nan
    found = slot_for()(x, np.arange(64) % 4, (INDEX,), (4, 8))
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 3]]


@pytest.mark.parametrize("x, rest", [
    (np.zeros((2, 3)), (np.array([0, 1]), (slice(None), INDEX), (2, 3))),
    (np.zeros((2, 3), int), (np.array([0, 1]), (INDEX,), (2, 3))),
    (np.zeros((0, 3)), (np.zeros(0, int), (INDEX,), (2, 3))),
    (np.zeros((1, 3)), (np.array([True, False]), (INDEX,), (2, 3))),
])  # fmt: skip
def test_others_go_to_the_library(x: Any, rest: Any) -> None:
    passed = []

    def library(name: str) -> Any:
        return lambda *args: passed.append(name)

    slots = cuda_embedding_slots.slots(np, host_kernels.HostKernels(), library)
    slots["scatter_add"](x, *rest)
    assert passed == ["scatter_add"]
