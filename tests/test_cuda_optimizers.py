"""The kernels of the optimizers, run on the host, against their decompositions."""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tensorflowlite.backend import base, dtypes
from tensorflowlite.backend.cuda import optimizer_slots as cuda_optimizer_slots
from tensorflowlite.backend.numpy_backend import numpy_backend
from tensorflowlite.ops.optimizers import scaling as scaling  # declares the operations
from tests import host_kernels

pytestmark = pytest.mark.skipif(bool(host_kernels.why_not()), reason=host_kernels.why_not())

# Ragged, tiny, empty, whole packs, and more than one block of every dtype (8192 ... 16384).
SIZES = [(3,), (16400,), (0,), (), (8, 32), (1,), (8200,)]
DTYPES = [np.dtype(t) for t in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)]
# One rounding of the result to its dtype, and the few roundings before it.
ULPS = {dtypes.float32: 2e-6, dtypes.float64: 1e-14, dtypes.float16: 1e-3, dtypes.bfloat16: 8e-3}


@functools.cache
def slots_for(order: str = "ascending") -> dict[str, Any]:
    return cuda_optimizer_slots.slots(np, host_kernels.HostKernels(order), lambda name: None)


def decomposition(name: str) -> Any:
    return functools.partial(base.decompositions[name], numpy_backend)


def made(dtype: Any, sizes: Any, kinds: int, seed: int = 0) -> list[np.ndarray]:
    """Return parameters, gradients and states; the squares are positive."""
    rng = np.random.default_rng(seed)
    found = []
    for kind in range(kinds):
        for size in sizes:
            x = rng.normal(size=size)
            if np.dtype(dtype).kind == "c":
                x = x + 1j * rng.normal(size=size)
            x = np.asarray(x)
            positive = kind >= 3 and dtype.kind != "c"
            found.append(np.asarray(abs(x) if positive else x).astype(dtype))
    return found


def wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def check(name: str, tensors: list[np.ndarray], kinds: int, options: tuple[Any, ...],
          steps: int = 2, before: int = 0, order: str = "ascending") -> None:  # fmt: skip
    """Hold some steps of the kernel to those of the decomposition in float64."""
    slot = slots_for(order)[name]
    count = len(tensors) // kinds
    lr, step = np.array(0.03), np.array(before)
    want_step = step.copy()
    for _ in range(steps):
        expected = [wide(x) for x in tensors]
        gradients = [x.copy() for x in tensors[count : 2 * count]]
        assert slot.accepts(lr, step, *tensors, *options)
        assert slot(lr, step, *tensors, *options) == ()
        decomposition(name)(lr, want_step, *expected, *options)
        for i, (x, y) in enumerate(zip(tensors, expected, strict=True)):
            scale = max(1.0, float(np.max(np.abs(y), initial=0)))
            limit = ULPS[dtypes.real_of(x.dtype)]
            np.testing.assert_allclose(wide(x), y, limit, limit * scale, err_msg=f"{i} {x.shape}")
        for x, y in zip(tensors[count : 2 * count], gradients, strict=True):
            np.testing.assert_array_equal(x, y)
    assert step == want_step == before + steps
    assert lr == 0.03


ADAM = [
    (0.9, 0.999, 1e-8, 0.0, False, False, False),
    (0.9, 0.999, 1e-8, 0.1, True, False, False),
    (0.8, 0.99, 1e-3, 0.1, False, False, True),
    (0.9, 0.999, 1e-8, 0.01, True, True, True),
    (0.0, 0.9, 1e-6, 0.0, False, True, False),
]
SGD = [
    (0.0, 0.0, 0.0, False, False),
    (0.0, 0.0, 0.1, False, True),
    (0.9, 0.0, 0.0, False, False),
    (0.9, 0.5, 0.1, False, False),
    (0.9, 0.0, 0.1, True, True),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", ADAM)
@pytest.mark.parametrize("before", [0, 1000])
def test_adam_is_its_decomposition(dtype: Any, options: Any, before: int) -> None:
    kinds = 5 if options[5] else 4
    check("adam_step", made(dtype, SIZES, kinds), kinds, options, before=before)


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", SGD)
@pytest.mark.parametrize("before", [0, 1])
def test_sgd_is_its_decomposition(dtype: Any, options: Any, before: int) -> None:
    kinds = 3 if options[0] else 2
    check("sgd_step", made(dtype, SIZES, kinds), kinds, options, before=before)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_parameters_are_pairs(dtype: Any) -> None:
    tensors = made(np.dtype(dtype), [(5,), (4100,)], 4)
    for x in tensors[6:]:  # the running means of squares are positive in both parts
        x[...] = abs(x.real) + 1j * abs(x.imag)
    check("adam_step", tensors, 4, ADAM[1])
    check("sgd_step", made(np.dtype(dtype), [(5,), (4100,)], 3), 3, SGD[4])


@pytest.mark.sanitized
@pytest.mark.parametrize("order", host_kernels.ORDERS)
def test_the_order_of_threads_does_not_matter(order: str) -> None:
    check("adam_step", made(DTYPES[0], [(8200,), (5,)], 5), 5, ADAM[3], order=order)
    check("sgd_step", made(DTYPES[3], [(8200,), (5,)], 3), 3, SGD[4], order=order)


@pytest.mark.sanitized
def test_many_small_tensors_of_several_dtypes() -> None:
    """More than one launch holds, and three dtypes in turn."""
    sizes = [(n % 7,) for n in range(150)]
    tensors = made(DTYPES[1], sizes, 4)
    tensors = [x.astype(DTYPES[i % 150 % 3]) for i, x in enumerate(tensors)]
    check("adam_step", tensors, 4, ADAM[1])


def test_no_parameter_and_only_empty_ones() -> None:
    step = np.array(3)
    slot = slots_for()["sgd_step"]
    assert not slot.accepts(np.array(0.1), step, *SGD[0])
    empty = [np.zeros((0, 3), np.float32)] * 2
    slot(np.array(0.1), step, *empty, *SGD[0])
    assert step == 4


@pytest.mark.sanitized
def test_views_that_begin_anywhere() -> None:
    """Addresses that aren't multiples of 16 take the way without vectors."""
    whole = made(DTYPES[0], [(300,), (300,)], 4)
    check("adam_step", [x[1:-1] for x in whole], 4, ADAM[1])
    mixed = [x[2 * (i > 3) :][:290] for i, x in enumerate(whole)]
    check("adam_step", mixed, 4, ADAM[1])
    for x, y in zip(whole, made(DTYPES[0], [(300,), (300,)], 4), strict=True):
        assert (x[-1], x[0] if x is whole[0] else 0) == (y[-1], x[0] if x is whole[0] else 0)


def test_strided_gradients_are_read_and_strided_parameters_refused() -> None:
    tensors = made(DTYPES[0], [(6, 5)], 4)
    tensors[1] = np.ascontiguousarray(tensors[1].T).T
    check("adam_step", tensors, 4, ADAM[1])
    slot = slots_for()["adam_step"]
    for place in (0, 2, 3):
        other = list(tensors)
        other[place] = np.asfortranarray(other[place])
        assert not slot.accepts(np.array(0.1), np.array(0), *other, *ADAM[1])


def test_what_is_refused() -> None:
    slot = slots_for()["sgd_step"]
    x = np.zeros(3, np.float32)
    lr, step = np.array(0.1), np.array(0)
    assert slot.accepts(lr, step, x, x, *SGD[0])
    assert not slot.accepts(lr, step, x, x.astype(np.float16), *SGD[0])
    assert not slot.accepts(lr.astype(np.float32), step, x, x, *SGD[0])
    assert not slot.accepts(lr, step.astype(np.int32), x, x, *SGD[0])
    assert not slot.accepts(lr, step, x.astype(int), x.astype(int), *SGD[0])


def test_nan_and_infinity_go_where_they_go_in_the_decomposition() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0])
    for options, kinds in ((ADAM[0], 4), (ADAM[3], 5)):
        for place in range(kinds):
            tensors = [np.ones(5, np.float32) for _ in range(kinds)]
            tensors[place][...] = values
            expected = [x.copy() for x in tensors]
            slots_for()["adam_step"](np.array(0.1), np.array(4), *tensors, *options)
            with np.errstate(all="ignore"):
                decomposition("adam_step")(np.array(0.1), np.array(4), *expected, *options)
            for x, y in zip(tensors, expected, strict=True):
                np.testing.assert_allclose(x, y, 1e-6, err_msg=f"{options} {place}")


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", [*DTYPES, np.dtype(np.complex64)], ids=str)
@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
def test_gradients_are_unscaled_and_infinities_found(dtype: Any, bad: Any) -> None:
    sizes = [(7,), (0,), (16400,), (3, 3), (1,)]
    for place in (2, 3, 4):
        gradients = made(dtype, sizes, 1)
        if bad is not None:
            gradients[place].reshape(-1)[-1] = bad
        expected = [x.copy() for x in gradients]
        found, scale = np.zeros((), np.float32), np.full((), 3.0, np.float32)
        want = found.copy()
        slot = slots_for()["unscale_gradients"]
        assert slot.accepts(found, scale, *gradients)
        slot(found, scale, *gradients)
        decomposition("unscale_gradients")(want, scale, *expected)
        assert found == want == float(bad is not None)
        for x, y in zip(gradients, expected, strict=True):
            np.testing.assert_array_equal(wide(x), wide(y))


def test_the_layout_of_the_table_is_that_of_the_kernels() -> None:
    """Beside the other parameters it must fit in the 4096 bytes that a launch may have."""
    assert cuda_optimizer_slots._table_of(5).itemsize == 5 * 64 * 8 + 64 * 8 + 65 * 4 + 4
    assert cuda_optimizer_slots._table_of(5).itemsize + 64 <= 4096
