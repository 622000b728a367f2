"""The kernels of random numbers, run on the host: the same bits as the library's slots."""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tensorflowlite.backend import philox
from tensorflowlite.backend.cuda import random_slots as cuda_random_slots
from tensorflowlite.backend.slots import random as random_slots
from tensorflowlite.errors import ArgumentError
from tests import host_kernels

pytestmark = pytest.mark.skipif(bool(host_kernels.why_not()), reason=host_kernels.why_not())

DTYPES = [np.dtype(t) for t in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)]
SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (3,), (16,), (17,), (5, 7), (0, 4), (64, 65)]
SEED, STREAM = 0x0123456789ABCDEF, 0xFFFFFFFF  # the stream after it has another upper half

LIBRARY = random_slots.slots(np)


def not_called(*args: Any) -> Any:
    raise AssertionError("the library's slot must not run")


@functools.cache
def slots_for(order: str = "ascending") -> dict[str, Any]:
    kernels = host_kernels.HostKernels(order)
    return cuda_random_slots.slots(np, kernels, lambda name: not_called)


def check(name: str, *args: Any, order: str = "ascending") -> None:
    """Draw twice, from both implementations."""
    states = [np.array([SEED, STREAM], np.uint64) for _ in range(2)]
    for _ in range(2):
        found = slots_for(order)[name](states[0], *args)
        expected = LIBRARY[name](states[1], *args)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert found.tobytes() == expected.tobytes()
        assert states[0].tolist() == states[1].tolist()
    assert states[0].tolist() == [SEED, STREAM + 2]


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_uniform_and_normal_numbers_have_the_bits_of_the_definition(shape: Any, dtype: Any) -> None:
    check("random_uniform", shape, dtype)
    check("random_normal", shape, dtype)


def test_normal_numbers_reach_every_range() -> None:
    """The inverse's central range and both tails; the far tails are rare."""
    for dtype in DTYPES:
        check("random_normal", (120000,), dtype)
    values = abs(philox.normal(SEED, STREAM, 120000))
    assert values.min() < 0.01 and values.max() > 4


@pytest.mark.sanitized
@pytest.mark.parametrize("bounds", [
    (0, 1), (-3, 3), (0, 2**32), (5, 2**40 + 7), (-(2**63), 2**63), (-(2**63), 2**63 - 1),
    (2**62, 2**63), (-(2**63), 1), (0, 2**63),
])  # fmt: skip
def test_integers_in_any_range(bounds: Any) -> None:
    for shape in SHAPES:
        check("random_integers", shape, *bounds)


@pytest.mark.parametrize("bounds", [(3, 3), (4, 3), (0, 2**63 + 1), (-(2**63) - 1, 0)])
def test_a_wrong_range_draws_nothing(bounds: Any) -> None:
    state = np.array([1, 2], np.uint64)
    with pytest.raises(ArgumentError, match="low must be below high"):
        slots_for()["random_integers"](state, (3,), *bounds)
    assert state.tolist() == [1, 2]


@pytest.mark.sanitized
@pytest.mark.parametrize("count", [0, 1, 2, 37, 1000])
def test_permutations(count: int) -> None:
    check("random_permutation", count)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.999, 1 - 2**-40])
def test_dropout(dtype: Any, probability: float) -> None:
    for shape in SHAPES:
        x = np.asarray(np.random.default_rng(1).normal(size=shape)).astype(dtype)
        states = [np.array([SEED, STREAM], np.uint64) for _ in range(2)]
        before = x.copy()
        out, keep = slots_for()["dropout"](x, states[0], probability)
        with np.errstate(all="ignore"):  # 2**40 is infinity in float16
            expected, kept = LIBRARY["dropout"](x, states[1], probability)
        assert (out.shape, out.dtype, keep.shape, keep.dtype) == (shape, dtype, shape, kept.dtype)
        number = ~np.isnan(expected)  # NaN has many bits
        np.testing.assert_array_equal(np.isnan(out), ~number)
        assert out[number].tobytes() == expected[number].tobytes()
        assert keep.tobytes() == kept.tobytes()
        assert states[0].tolist() == states[1].tolist()
        assert x.tobytes() == before.tobytes()


@pytest.mark.sanitized
def test_dropout_of_views_and_of_numbers_that_are_none() -> None:
    base = np.random.default_rng(1).normal(size=(40, 33)).astype(np.float32)
    base[3, :5] = [np.nan, np.inf, -np.inf, -0.0, 0.0]
    for x in (base[:, 1:], base.T, base[::2, ::-1], base.reshape(-1)[1:], base[3:]):
        states = [np.array([SEED, 5], np.uint64) for _ in range(2)]
        out, keep = slots_for()["dropout"](x, states[0], 0.3)
        with np.errstate(all="ignore"):
            expected, kept = LIBRARY["dropout"](x, states[1], 0.3)
        np.testing.assert_array_equal(keep, kept)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(np.signbit(out), np.signbit(expected))


@pytest.mark.sanitized
@pytest.mark.parametrize("probability", [0.0, 0.25, 1 - 2**-40])
def test_which_elements_stay_is_a_function_of_the_stream(probability: float) -> None:
    stream = np.array([SEED, STREAM + 1], np.uint64)
    for shape in [*SHAPES, (3, 5, 4099)]:
        found = slots_for()["random_keep"](stream, shape, probability)
        expected = LIBRARY["random_keep"](stream, shape, probability)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert found.tobytes() == expected.tobytes()
    assert stream.tolist() == [SEED, STREAM + 1]


def test_the_stream_is_taken_and_counted_on() -> None:
    state = np.array([SEED, 2**64 - 1], np.uint64)
    assert slots_for()["random_stream"](state).tolist() == [SEED, 2**64 - 1]
    assert state.tolist() == [SEED, 0]


@pytest.mark.parametrize("order", host_kernels.ORDERS)
def test_the_order_of_threads_does_not_matter(order: str) -> None:
    check("random_normal", (1025,), DTYPES[2], order=order)
    check("random_integers", (1025,), -5, 5, order=order)
    check("random_permutation", 300, order=order)


@pytest.mark.sanitized
def test_bits_by_themselves() -> None:
    kernels = host_kernels.HostKernels()
    stream = np.array([SEED, STREAM], np.uint64)
    for size in (1, 4, 1023):
        out = np.empty(size, np.uint32)
        arguments = ("random_bits", {"TFL_TYPE": "float"}, 2, 64, stream, out, size)
        kernels.launch("random.cu", *arguments)
        np.testing.assert_array_equal(out, philox.random_bits(SEED, STREAM, size))


def test_a_grid_goes_round_where_there_is_more_than_it_has_threads() -> None:
    """Beyond 4096 blocks of 256 threads each thread takes several runs: here with a small grid."""
    kernels = host_kernels.HostKernels()
    stream = np.array([SEED, STREAM], np.uint64)
    out = np.empty(5001, np.float64)
    arguments = ("random_normal", {"TFL_TYPE": "double"}, 3, 32, stream, out, out.size)
    kernels.launch("random.cu", *arguments)
    np.testing.assert_array_equal(out, philox.normal(SEED, STREAM, out.size, np.float64))


def test_other_dtypes_go_to_the_library() -> None:
    passed: list[str] = []

    def library(name: str) -> Any:
        return lambda *args: passed.append(name)

    slots = cuda_random_slots.slots(np, host_kernels.HostKernels(), library)
    slots["dropout"](np.zeros(3, complex), np.zeros(2, np.uint64), 0.5)
    assert passed == ["dropout"]
