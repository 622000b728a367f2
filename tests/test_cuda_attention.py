"""The kernels of attention, run on the host, against the library's slots in float64."""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import attention_slots as cuda_attention_slots
from tensorflowlite.backend.slots import attention as attention_slots
from tests import host_kernels

pytestmark = pytest.mark.skipif(bool(host_kernels.why_not()), reason=host_kernels.why_not())

HALVES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
FLOAT = np.dtype(np.float32)
# Of the greatest element. Probabilities, their gradients and the result are rounded to halves.
LIMITS = {dtypes.float32: 3e-6, dtypes.float16: 3 * 2.0**-12, dtypes.bfloat16: 3 * 2.0**-9}
LIBRARY = attention_slots.slots(np)


@functools.cache
def slots_for(order: str = "ascending") -> dict[str, Any]:
    kernels = host_kernels.HostKernels(order)
    return cuda_attention_slots.slots(np, kernels, LIBRARY.__getitem__)


@pytest.fixture
def only_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing go to the library's slots."""
    monkeypatch.setattr(cuda_attention_slots, "guarded", lambda slot, kernel, accepts, _: (
        lambda *args: kernel(*args) if accepts(*args) else pytest.fail("not accepted")
    ))  # fmt: skip
    slots_for.cache_clear()


def made(dtype: Any, *shapes: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def close(found: Any, expected: Any, dtype: Any, name: str, limit: float = 0.0) -> None:
    assert (found.shape, found.dtype) == (expected.shape, dtype), name
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    scale = float(np.max(abs(expected), initial=0)) or 1.0
    limit = limit or LIMITS[dtype]
    np.testing.assert_allclose(found, expected, 0, limit * scale, err_msg=name)


def check(arrays: list[np.ndarray], mask: Any = None, causal: bool = False,
          scale: float | None = None, order: str = "ascending",
          limit: float = 0.0) -> None:  # fmt: skip
    """Hold output, sums and gradients to the library's in float64."""
    slots = slots_for(order)
    dtype = arrays[0].dtype
    scale = arrays[0].shape[-1] ** -0.5 if scale is None else scale
    given = [] if mask is None else [mask]
    wide = [x.astype(np.float64) for x in arrays]
    with np.errstate(all="ignore"):
        expected, expected_sums = LIBRARY["attention"](*wide, *given, causal, scale, 0.0)
        found, sums = slots["attention"](*arrays, *given, causal, scale, 0.0)
        close(found, expected, dtype, "output", limit)
        assert sums.dtype == np.float32
        np.testing.assert_allclose(sums, expected_sums, 1e-5, 1e-5)
        y = np.random.default_rng(8).normal(size=expected.shape).astype(dtype)
        want = LIBRARY["attention_gradient"](
            y.astype(np.float64), *wide, found.astype(np.float64), expected_sums, *given, causal,
            scale, 0.0, False,
        )  # fmt: skip
        have = slots["attention_gradient"](
            y, *arrays, found, sums, *given, causal, scale, 0.0, False
        )
    assert len(have) == 3
    for name, x, z in zip(("query", "key", "value"), have, want, strict=True):
        close(x, z, dtype, name, limit)


# Leading axes, queries, keys, width, depth: inside a tile, ragged, over several tiles.
SMALL = [
    ((), 1, 1, 1, 1), ((2,), 5, 3, 8, 8), ((2,), 33, 130, 20, 12), ((1,), 130, 40, 12, 32),
]  # fmt: skip
LARGE = [
    (FLOAT, ((1,), 65, 67, 128, 128)), (FLOAT, ((1,), 20, 20, 96, 5)), (FLOAT, ((2,), 9, 8, 5, 64)),
    (HALVES[0], ((1, 2), 70, 70, 64, 64)), (HALVES[1], ((1,), 65, 67, 128, 128)),
]  # fmt: skip
SIZES = [*[(dtype, size) for size in SMALL for dtype in (FLOAT, *HALVES)], *LARGE]


@pytest.mark.usefixtures("only_kernels")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("dtype", "size"), SIZES, ids=str)
def test_any_sizes(size: Any, causal: bool, dtype: Any) -> None:
    lead, rows, columns, width, depth = size
    shapes = (*lead, rows, width), (*lead, columns, width), (*lead, columns, depth)
    check(made(dtype, *shapes), causal=causal)


@pytest.mark.sanitized
@pytest.mark.usefixtures("only_kernels")
@pytest.mark.parametrize("dtype", [FLOAT, HALVES[1]], ids=str)
@pytest.mark.parametrize("shape", [
    (20, 40), (1, 40), (20, 1), (2, 1, 1, 40), (2, 3, 20, 40), (3, 1, 40), (2, 1, 20, 1),
])  # fmt: skip
def test_masks_of_any_shape(shape: Any, dtype: Any) -> None:
    arrays = made(dtype, (2, 3, 20, 16), (2, 3, 40, 16), (2, 3, 40, 16))
    rng = np.random.default_rng(9)
    shown = np.asarray(rng.random(shape) > 0.4)
    check(arrays, shown)
    check(arrays, shown, causal=True)
    check(arrays, rng.normal(size=shape).astype(dtype))
    hidden = np.where(shown, 0.0, -np.inf).astype(np.float32)
    check(arrays, hidden, causal=True)


@pytest.mark.usefixtures("only_kernels")
@pytest.mark.parametrize("dtype", [FLOAT, HALVES[0]], ids=str)
def test_grouped_queries(dtype: Any) -> None:
    query, shared = (2, 2, 3, 40, 32), (2, 2, 1, 50, 32)
    arrays = made(dtype, query, shared, shared)
    check(arrays)
    check(arrays, causal=True)
    check(arrays, np.random.default_rng(1).random((2, 3, 40, 50)) > 0.3)
    check(arrays, np.random.default_rng(1).random((2, 1, 1, 1, 50)) > 0.3, causal=True)
    check(made(dtype, (3, 9, 16), (9, 16), (9, 16)))


@pytest.mark.sanitized
@pytest.mark.usefixtures("only_kernels")
@pytest.mark.parametrize("order", host_kernels.ORDERS)
@pytest.mark.parametrize("dtype", [FLOAT, HALVES[0]], ids=str)
def test_the_order_of_threads_does_not_matter(order: str, dtype: Any) -> None:
    check(made(dtype, (80, 20), (70, 20), (70, 20)), causal=True, order=order)


@pytest.mark.usefixtures("only_kernels")
@pytest.mark.parametrize("dtype", [FLOAT, HALVES[1]], ids=str)
def test_views_are_read_in_order(dtype: Any) -> None:
    """As a layer makes them: heads split from the width, and addresses anywhere."""
    whole = made(dtype, (2, 20, 3, 33))[0]
    check([whole.swapaxes(1, 2)[..., 1:17]] * 3, scale=0.3)
    flat = made(dtype, (1 + 20 * 16,))[0][1:].reshape(20, 16)
    check([flat, flat, flat])


@pytest.mark.usefixtures("only_kernels")
def test_a_query_without_keys_gives_zeros_and_no_gradient() -> None:
    arrays = made(FLOAT, (3, 8), (4, 8), (4, 8))
    mask = np.ones((3, 4), bool)
    mask[1] = False
    check(arrays, mask)
    out, sums = slots_for()["attention"](*arrays, mask, False, 0.5, 0.0)
    assert out[1].tolist() == [0] * 8
    assert sums[1] == 0


@pytest.mark.usefixtures("only_kernels")
def test_large_scores_do_not_overflow() -> None:
    x = np.array([[1e20, 0.0], [-1e20, 0.0]], np.float32)
    out, _ = slots_for()["attention"](x, x, np.eye(2, dtype=np.float32), False, 1e-3, 0.0)
    np.testing.assert_array_equal(out, np.eye(2))
    arrays = [10 * x for x in made(FLOAT, (40, 16), (40, 16), (40, 16))]
    greatest = float(abs(arrays[0] @ arrays[1].T).max()) / 4
    assert greatest > 200
    check(arrays, limit=2.0**-23 * greatest)  # what a probability's exponent is rounded by


def test_nan_spreads_along_its_row() -> None:
    arrays = made(FLOAT, (5, 8), (5, 8), (5, 8))
    arrays[0][2, 3] = np.nan
    out, _ = slots_for()["attention"](*arrays, False, 0.5, 0.0)
    assert np.isnan(out).all(-1).tolist() == [False, False, True, False, False]
    assert not np.isnan(out[[0, 1, 3, 4]]).any()


def test_what_goes_to_the_library() -> None:
    """Other dtypes, wide heads, dropout, broadcast queries and the gradient of a mask."""
    passed: list[str] = []
    original = cuda_attention_slots.attention_slots.slots

    def record(xp: Any) -> Any:
        return {name: lambda *args, name=name: passed.append(name) for name in original(xp)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_attention_slots.attention_slots, "slots", record)
        slots = cuda_attention_slots.slots(np, host_kernels.HostKernels(), LIBRARY.__getitem__)
    x, wide, empty = made(FLOAT, (2, 5, 8), (5, 130), (2, 0, 8))
    slots["attention"](*[x.astype(np.float64)] * 3, False, 1.0, 0.0)
    slots["attention"](wide, wide, wide, False, 1.0, 0.0)
    slots["attention"](x, x, x, np.zeros(2, np.uint64), False, 1.0, 0.5)
    slots["attention"](x[:1], x, x, False, 1.0, 0.0)
    slots["attention"](x, x, x[:1], False, 1.0, 0.0)
    slots["attention"](x, empty, empty, False, 1.0, 0.0)
    assert passed == ["attention"] * 6
    mask = np.zeros((5, 5), np.float32)
    sums = np.zeros((2, 5), np.float32)
    slots["attention_gradient"](x, x, x, x, x, sums, mask, False, 1.0, 0.0, True)
    assert passed[6:] == ["attention_gradient"]


def test_bfloat16_needs_tensor_cores_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_kernels.HostDriver, "capability", lambda self: (7, 5))
    monkeypatch.setattr(cuda_attention_slots, "guarded", lambda slot, kernel, accepts, _: accepts)
    accepts = cuda_attention_slots.slots(np, host_kernels.HostKernels(), LIBRARY.__getitem__)
    for dtype, wanted in ((HALVES[0], True), (HALVES[1], False), (FLOAT, True)):
        x = made(dtype, (5, 8))[0]
        assert accepts["attention"](x, x, x, False, 1.0, 0.0) is wanted


@pytest.mark.parametrize("dtype", [FLOAT, *HALVES], ids=str)
@pytest.mark.parametrize("width", [32, 64, 96, 128])
def test_shared_memory_is_what_every_chip_has(width: int, dtype: Any) -> None:
    tiles = cuda_attention_slots.tiles_of(dtype, width)
    assert max(tiles.forward_bytes, tiles.backward_bytes) <= 64 * 1024
