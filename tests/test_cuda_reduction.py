"""Sums over leading axes by kernels, against float64."""

from __future__ import annotations

import numpy as np
import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.slots.reduction import Kept
from tests.host_kernels import ORDERS, why_not
from tests.kernel_comparing import DTYPES, array, library, shifted, slots_of, strided, wide

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

SUM = slots_of()["sum"]
# Half a unit in the last place, relative to the least number that has such units.
ROUNDING = {
    dtypes.bfloat16: 2.0**-8, dtypes.float16: 2.0**-11, dtypes.float32: 2.0**-24,
    dtypes.float64: 2.0**-53,
}  # fmt: skip


def held(found, x, axes) -> None:
    """Hold sums to float64: one rounding at the end, and sums in float32 (or float64) before."""
    exact = wide(x).sum(axes)
    assert found.dtype == x.dtype
    count = x.size // max(exact.size, 1)
    inner = ROUNDING[dtypes.accumulator(x.dtype)] * count**0.5 * 4
    bound = ROUNDING[x.dtype] * np.abs(exact) + inner * np.abs(wide(x)).sum(axes) / count**0.5
    assert (np.abs(found.reshape(exact.shape).astype("f8") - exact) <= bound).all()


# One column, packs and not, strips with ragged ends, one row, chunks of many rows.
SHAPES = [(7, 1), (5, 3), (33, 24), (3, 264), (1, 40), (700, 16), (41, 259), (2049, 8)]


@pytest.mark.sanitized
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_columns(dtype):
    for shape in SHAPES:
        x = array(1, shape, dtype)
        found = SUM(x, (0,))
        assert found.shape == shape[1:]
        held(found, x, (0,))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_several_axes_and_kept_ones(dtype):
    x = array(2, (3, 5, 4, 6), dtype)
    for count in (1, 2, 3):
        axes = tuple(range(count))
        assert SUM(x, axes).shape == x.shape[count:]
        held(SUM(x, axes), x, axes)
        kept = SUM(x, Kept(axes))
        assert kept.shape == (1,) * count + x.shape[count:]
        assert kept.tobytes() == SUM(x, axes).tobytes()


def test_misaligned_rows():
    x = shifted(array(3, (50, 16), np.float32))
    held(SUM(x, (0,)), x, (0,))


@pytest.mark.parametrize("order", ORDERS)
def test_the_same_bits_in_every_order_of_threads(order):
    x = array(4, (300, 20), np.float32)
    assert slots_of(order)["sum"](x, (0,)).tobytes() == SUM(x, (0,)).tobytes()


def test_nan_and_infinity():
    x = array(5, (40, 8), np.float32)
    x[3, 1], x[4, 2], x[5, 2], x[6, 4] = np.nan, np.inf, -np.inf, np.inf
    found = SUM(x, (0,))
    assert np.isnan(found[[1, 2]]).all() and found[4] == np.inf
    assert np.isfinite(found[[0, 3, 5, 6, 7]]).all()


def test_what_is_left_to_the_library():
    left = slots_of(library=library)["sum"]
    x = array(6, (4, 6), np.float32)
    for given, axes in [
        (x, (1,)), (x, (0, 1)), (x[:0], (0,)), (strided(x), (0,)), (x.T, (0,)),
        (np.arange(6).reshape(2, 3), (0,)), (x, ()), (array(7, (2, 3, 4), np.float32), (1,)),
        (x.astype(np.complex64), (0,)),
    ]:  # fmt: skip
        expected = library("sum")(given, axes)
        found = left(given, axes)
        assert found.dtype == expected.dtype and np.array_equal(found, expected)
