"""Layer and root-mean-square normalisation by kernels, forward and backward, against float64."""

from __future__ import annotations

import numpy as np
import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda.layout import pack_size
from tests.host_kernels import ORDERS, why_not
from tests.kernel_comparing import (
    COMPUTING,
    DTYPES,
    array,
    check,
    library,
    shifted,
    slots_of,
    strided,
    wide,
)

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

SLOTS = slots_of()
EPS = 1e-5
# A warp per row and a block per row, packs and not.
SHAPES = [(19, 64), (70, 24), (5, 10), (3, 1), (3, 1300)]


def parameters_of(shape, dtype, count):
    return [array(8, shape, dtype) + dtype.type(1), array(9, shape, dtype)][:count]


def check_forward(slot, x, parameters, ndim=1, slots=SLOTS, magnitude=None):
    out, statistics = slots[slot](x, *parameters, ndim, EPS)
    exact, exact_statistics = library(slot)(wide(x), *map(wide, parameters), ndim, EPS)
    check(out, exact, x.dtype, magnitude=magnitude)
    accumulator = dtypes.accumulator(x.dtype)
    check(statistics[0], exact_statistics[0], accumulator, magnitude=np.abs(wide(x)).max())
    check(statistics[1], exact_statistics[1], accumulator)


def check_backward(y, x, weight, centered, parts, ndim=1, slots=SLOTS):
    axes = tuple(range(x.ndim - ndim, x.ndim))
    lead = tuple(range(x.ndim - ndim))
    rest = (axes, lead, centered, parts)
    statistics = library("norm_statistics")(wide(x), axes, EPS, centered)
    statistics = statistics.astype(dtypes.accumulator(x.dtype))
    dx, *sums = slots["norm_gradient"](y, x, statistics, *weight, *rest)
    wanted, *exact = library("norm_gradient")(
        wide(y), wide(x), wide(statistics), *map(wide, weight), *rest
    )
    gradient = np.abs(wide(y)).max() * float(np.abs(wide(statistics[1])).max())
    gradient *= max([float(np.abs(wide(w)).max()) for w in weight], default=1.0)
    check(dx, wanted, x.dtype, 10 * COMPUTING[dtypes.accumulator(x.dtype)], gradient)
    assert len(sums) == parts - 1
    accumulator = dtypes.accumulator(x.dtype)
    normal = (wide(x) - wide(statistics[0])) * wide(statistics[1])
    for one, other, terms in zip(sums, exact, (wide(y) * normal, wide(y)), strict=False):
        check(one, other, accumulator, magnitude=np.abs(terms).sum(lead).max())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("slot", "count"), [("layer_norm", 2), ("rms_norm", 1), ("layer_norm", 0)])
def test_forward(slot, count, dtype):
    for shape in SHAPES:
        x = array(0, shape, dtype, 2.0) + dtype.type(3)
        check_forward(slot, x, parameters_of(shape[1:], dtype, count))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("centered", "weighted", "parts"), [(True, True, 3), (False, True, 2), (True, False, 1)]
)
def test_backward(centered, weighted, parts, dtype):
    for shape in SHAPES:
        x, y = array(0, shape, dtype, 2.0), array(1, shape, dtype)
        check_backward(y, x, parameters_of(shape[1:], dtype, int(weighted)), centered, parts)


@pytest.mark.sanitized
def test_several_axes():
    shape, dtype = (3, 2, 4, 6), np.dtype(np.float32)
    x, y = array(0, shape, dtype), array(1, shape, dtype)
    check_forward("layer_norm", x, parameters_of(shape[2:], dtype, 2), 2)
    check_backward(y, x, parameters_of(shape[2:], dtype, 1), True, 3, 2)
    check_forward("rms_norm", x[0, 0, 0], parameters_of((6,), dtype, 1))
    check_backward(y[0, 0, 0], x[0, 0, 0], parameters_of((6,), dtype, 1), False, 2)


@pytest.mark.sanitized
def test_rows_longer_than_the_threads_hold():
    dtype = np.dtype(np.float64)
    columns = 448 * 8 * pack_size(dtype) + 2
    x, y = array(0, (2, columns), dtype), array(1, (2, columns), dtype)
    check_forward("layer_norm", x, parameters_of((columns,), dtype, 2))
    check_backward(y, x, parameters_of((columns,), dtype, 1), True, 3)


@pytest.mark.sanitized
def test_rows_of_four_packs_per_thread():
    dtype = np.dtype(np.float32)
    x, y = array(0, (3, 4100), dtype), array(1, (3, 4100), dtype)
    check_backward(y, x, parameters_of((4100,), dtype, 1), True, 3)


def test_a_large_mean_costs_no_digits():
    x = array(0, (4, 64), np.float32) + np.float32(1000)
    # The mean is rounded to 3e-5; a variance from one pass would be wrong by 6e-2.
    check_forward("layer_norm", x, [], magnitude=100.0)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_threads_gives_the_same_bits(order):
    dtype = np.dtype(np.float32)
    for shape in [(70, 64), (7, 1300), (9, 10)]:
        x, y = array(0, shape, dtype), array(1, shape, dtype)
        parameters = parameters_of(shape[1:], dtype, 2)
        results = []
        for slots in (SLOTS, slots_of(order)):
            out, statistics = slots["layer_norm"](x, *parameters, 1, EPS)
            rest = (parameters[0], (1,), (0,), True, 3)
            results.append((out, statistics, *slots["norm_gradient"](y, x, statistics, *rest)))
        for one, two in zip(*results, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.sanitized
@pytest.mark.parametrize("view", [strided, shifted])
def test_arrays_as_they_lie(view):
    dtype = np.dtype(np.float32)
    x, y = array(0, (9, 24), dtype), array(1, (9, 24), dtype)
    weight, bias = (view(p[None])[0] for p in parameters_of((24,), dtype, 2))
    check_forward("layer_norm", view(x), [weight, bias])
    check_backward(view(y), x, [weight], True, 3)
    check_backward(y, view(x), [weight], True, 3)


def test_what_is_left_to_the_library():
    slots = slots_of(library=library)
    x = array(0, (4, 6), np.float32)
    out, statistics = slots["layer_norm"](x[:0], 1, EPS)
    assert out.shape == (0, 6)
    assert statistics.shape == (2, 0, 1)
    weight = np.ones(6)
    out, _ = slots["rms_norm"](x, weight, 1, EPS)
    check(out, library("rms_norm")(wide(x), weight, 1, EPS)[0], x.dtype)
    # Over the batch, as batch normalisation.
    statistics = library("norm_statistics")(x, (0,), EPS, True)
    found = slots["norm_gradient"](x, x, statistics, (0,), (0,), True, 3)
    wanted = library("norm_gradient")(wide(x), wide(x), wide(statistics), (0,), (0,), True, 3)
    for one, two in zip(found, wanted, strict=True):
        check(one, two, x.dtype, magnitude=10.0)
