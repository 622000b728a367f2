"""softmax and cross-entropy by kernels, forward and backward, against float64."""

from __future__ import annotations

import numpy as np
import pytest

from tensorflowlite.backend import dtypes
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
)

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

SLOTS = slots_of()
# A warp per row and a block per row, packs and not, one number, and longer than the threads hold.
SHAPES = [(9, 64), (5, 10), (3, 1), (11, 203), (2, 1300), (3, 3000)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("slot", ["softmax", "log_softmax"])
def test_softmax(slot, dtype):
    for shape in [*SHAPES, (2, 3, 4, 5), (6,)]:
        x = array(0, shape, dtype, 4.0)
        check(SLOTS[slot](x, len(shape) - 1), library(slot)(wide(x), -1), dtype)


@pytest.mark.parametrize("slot", ["softmax", "log_softmax"])
def test_rows_longer_than_the_threads_hold(slot):
    for columns in (7200, 7203):
        x = array(1, (2, columns), np.float64)
        check(SLOTS[slot](x, 1), library(slot)(x, -1), x.dtype, 1e-13)


@pytest.mark.parametrize("slot", ["softmax", "log_softmax"])
def test_numbers_that_are_not_finite(slot):
    rows = np.zeros((5, 40), np.float32)
    rows[0, 3], rows[1, :], rows[2, 7], rows[3, 1:] = np.nan, -np.inf, np.inf, -np.inf
    rows[4, 0] = 1e5
    with np.errstate(all="ignore"):
        check(SLOTS[slot](rows, -1), library(slot)(wide(rows), -1), rows.dtype)


def test_what_softmax_leaves_to_the_library():
    slots = slots_of(library=library)
    x = array(0, (4, 6), np.float32)
    check(slots["softmax"](x, 0), library("softmax")(wide(x), 0), x.dtype)
    assert slots["softmax"](x[:0], 1).shape == (0, 6)
    assert slots["log_softmax"](x[:, :0], 1).shape == (4, 0)
    whole = slots["softmax"](np.arange(3), 0)
    check(whole, library("softmax")(np.arange(3.0), 0), np.float32)


def case(shape, dtype, weighted, seed=0):
    """Return logits, targets of which some are ignored, the class weights and gradients."""
    rows, classes = shape
    x = array(seed, shape, dtype, 3.0)
    target = np.random.default_rng(seed).integers(0, classes, rows)
    target[::3] = -100
    weights = [np.abs(array(3, (classes,), dtype)) + dtype.type(0.5)] if weighted else []
    return x, target, weights, array(4, (rows,), dtype)


def check_case(x, target, weights, y, smoothing, slots=SLOTS):
    """Hold losses, probabilities and gradients to the library in float64."""
    rest = (*weights, -100, smoothing)
    exact_rest = (*map(wide, weights), -100, smoothing)
    loss, probabilities = slots["softmax_cross_entropy"](x, target, *rest)
    wanted, exact = library("softmax_cross_entropy")(wide(x), target, *exact_rest)
    check(probabilities, exact, x.dtype)
    check(loss, wanted, x.dtype, magnitude=10.0)
    dx = slots["softmax_cross_entropy_gradient"](y, probabilities, target, *rest)
    wanted = library("softmax_cross_entropy_gradient")(
        wide(y), wide(probabilities), target, *exact_rest
    )
    check(dx, wanted, x.dtype, magnitude=np.abs(wide(y)).max())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(weighted, smoothing, dtype):
    for shape in SHAPES:
        check_case(*case(shape, dtype, weighted), smoothing)


@pytest.mark.sanitized
def test_cross_entropy_over_pieces_of_rows():
    check_case(*case((2, 4202), np.dtype(np.float64), True), 0.1)
    check_case(*case((2, 7200), np.dtype(np.float64), False), 0.0)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_threads_gives_the_same_bits(order):
    for shape in [(9, 64), (3, 3000)]:
        x, target, weights, y = case(shape, np.dtype(np.float32), True)
        results = []
        for slots in (SLOTS, slots_of(order)):
            loss, p = slots["softmax_cross_entropy"](x, target, *weights, -100, 0.1)
            dx = slots["softmax_cross_entropy_gradient"](y, p, target, *weights, -100, 0.1)
            results.append((loss, p, dx))
        for one, two in zip(*results, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.sanitized
@pytest.mark.parametrize("view", [strided, shifted])
def test_arrays_as_they_lie(view):
    x, target, weights, y = case((7, 24), np.dtype(np.float32), True)
    check_case(view(x), strided(target), [view(weights[0])], view(y), 0.1)
    check_case(x, target.astype(np.int32), weights, np.broadcast_to(y[1:2], y.shape), 0.1)
    check(SLOTS["softmax"](view(x), 1), library("softmax")(wide(x), 1), x.dtype)


@pytest.mark.parametrize("weighted", [False, True])
def test_targets_that_are_no_class_give_nan_and_ignored_ones_nothing(weighted):
    x, target, weights, y = case((6, 12), np.dtype(np.float32), weighted)
    target[:] = [12, -1, 3, -100, -100, 5]
    y[3] = x[4, 0] = np.inf
    loss, p = SLOTS["softmax_cross_entropy"](x, target, *weights, -100, 0.0)
    assert np.isnan(loss).tolist() == [True, True, False, False, False, False]
    assert not loss[3:5].any()
    dx = SLOTS["softmax_cross_entropy_gradient"](y, p, target, *weights, -100, 0.0)
    assert np.isnan(dx).all(1).tolist() == [True, True, False, False, False, False]
    assert not dx[3:5].any()
    assert np.isfinite(dx[[2, 5]]).all()


def test_an_ignored_index_inside_the_classes():
    x, target, _, y = case((6, 12), np.dtype(np.float32), False)
    target[:] = 3
    loss, p = SLOTS["softmax_cross_entropy"](x, target, 3, 0.1)
    assert not loss.any()
    assert not SLOTS["softmax_cross_entropy_gradient"](y, p, target, 3, 0.1).any()


def test_what_cross_entropy_leaves_to_the_library():
    slots = slots_of(library=library)
    x = array(0, (2, 3, 4), np.float32)
    target = np.ones((2, 4), np.int64)
    loss, p = slots["softmax_cross_entropy"](x, target, -100, 0.0)
    wanted, exact = library("softmax_cross_entropy")(wide(x), target, -100, 0.0)
    check(loss, wanted, x.dtype)
    check(p, exact, x.dtype)
    empty = np.zeros((0, 3), dtypes.bfloat16), np.zeros(0, np.int64)
    loss, p = slots["softmax_cross_entropy"](*empty, -100, 0.0)
    assert loss.shape == (0,)
    assert p.shape == (0, 3)
    dx = slots["softmax_cross_entropy_gradient"](loss, p, empty[1], -100, 0.0)
    assert dx.shape == (0, 3)
