"""Native softmax and sums along rows: right, and the same bits on any threads."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.nn import functional as F

pytestmark = pytest.mark.usefixtures("kernels_as_before")

Array = np.ndarray[Any, Any]
SHAPES = [(1,), (5, 1), (33, 7), (2, 3, 65), (4, 1025), (300, 16)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax(native_module: ModuleType, shape: tuple[int, ...], dtype: Any) -> None:
    x = (5 * np.random.default_rng(0).normal(size=shape)).astype(dtype)
    shifted = x.astype(np.float64) - x.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    eps = float(np.finfo(dtype).eps)
    for instructions in native_module.instruction_sets():
        native_module.use_instruction_set(instructions)
        found = native_module.softmax(x)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, np.exp(logs), rtol=64 * eps, atol=eps)
        np.testing.assert_allclose(native_module.log_softmax(x), logs, rtol=4 * eps, atol=16 * eps)


def test_softmax_of_extremes() -> None:
    inf, nan = np.inf, np.nan
    x = tfl.tensor(
        [[1e30, 0.0, -1e30], [3e38, 3e38, -3e38], [-inf, 0.0, 0.0], [-200.0, 0.0, 0.0],
         [-inf, -inf, -inf], [inf, 0.0, 0.0], [nan, 0.0, 0.0]]
    )  # fmt: skip
    found, logs = F.softmax(x, dim=-1).numpy(), F.log_softmax(x, dim=-1).numpy()
    half = np.log(0.5)
    np.testing.assert_allclose(
        found[:4], [[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]], rtol=1e-6, atol=1e-30
    )
    np.testing.assert_allclose(
        logs[:4],
        [[0, -1e30, -2e30], [half, half, -inf], [-inf, half, half], [-200 + half, half, half]],
        rtol=1e-6,
    )
    assert np.isnan(found[4:]).all() and np.isnan(logs[4:]).all()


def test_softmax_takes_any_memory_order(
    native_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(1).normal(size=(6, 5, 4))
    for axis in range(3):
        wanted = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
        for order in ((0, 1, 2), (2, 0, 1)):
            back = np.argsort(order)
            turned = tfl.tensor(np.ascontiguousarray(x.transpose(order))).permute_dims(
                tuple(int(i) for i in back)
            )
            np.testing.assert_allclose(F.softmax(turned, dim=axis).numpy(), wanted)
            np.testing.assert_allclose(F.log_softmax(turned, dim=axis).numpy(), np.log(wanted))


def scattered(module: ModuleType, rows: Array, place: Array, places: int) -> Array:
    out = np.empty((places, *rows.shape[1:]), rows.dtype)
    module.scatter_rows(rows, place, out)
    return out


def placed(rows: Array, place: Array, places: int) -> Array:
    out = np.zeros((places, *rows.shape[1:]))
    np.add.at(out, place, rows.astype(np.float64))
    return out


@pytest.mark.parametrize("count,places,columns", [
    (1, 1, 1), (7, 3, 1), (50, 9, 33), (200, 1000, 17), (1000, 2, 300), (0, 4, 5), (3, 4, 0),
])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scatter(native_module: ModuleType, count: int, places: int, columns: int, dtype) -> None:
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(count, columns)).astype(dtype)
    place = generator.integers(-places, places, count)
    eps = float(np.finfo(dtype).eps)
    for instructions in native_module.instruction_sets():
        native_module.use_instruction_set(instructions)
        found = scattered(native_module, rows, place, places)
        assert found.dtype == dtype and found.shape == (places, columns)
        np.testing.assert_allclose(found, placed(rows, place, places), rtol=eps, atol=64 * eps)


def test_scatter_is_summed_in_double(native_module: ModuleType) -> None:
    rows = np.full((100_000, 3), 0.1, np.float32)
    found = scattered(native_module, rows, np.ones(len(rows), np.int64), 2)
    np.testing.assert_array_equal(found[1], np.float32(np.float64(np.float32(0.1)) * 100_000))
    assert not found[0].any()


def test_bits_for_any_number_of_threads(native_module: ModuleType) -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(900, 301)).astype(np.float32)
    place = np.minimum(generator.integers(0, 400, 900), 150)
    found = []
    for count in (1, 2, 3):
        tfl.set_num_threads(count)
        arrays = (
            native_module.softmax(x),
            native_module.log_softmax(x),
            scattered(native_module, x, place, 400),
        )
        found.append([array.tobytes() for array in arrays])
    assert found[0] == found[1] == found[2]


def test_embedding_gradients() -> None:
    """With an index of any shape and memory order, a padding row, and NaN at its place alone."""
    generator = np.random.default_rng(4)
    index = generator.integers(0, 5, (6, 4)).T
    g = generator.normal(size=(4, 6, 3)).astype(np.float32)
    g[0, 0] = np.nan
    weight = tfl.tensor(np.zeros((9, 3), np.float32), requires_grad=True)
    padding = int(index[1, 1])
    F.embedding(tfl.tensor(index), weight, padding_idx=padding).backward(tfl.tensor(g))
    kept = np.where((index != padding)[..., None], g, g * 0)
    wanted = placed(kept.reshape(-1, 3), index.reshape(-1), 9)
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.numpy(), wanted, rtol=1e-6, atol=1e-6)
    assert np.isnan(weight.grad.numpy()).any(1).sum() == 1


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_gradients_of_several_indices(kind: Any) -> None:
    generator = np.random.default_rng(5)
    x = tfl.tensor(generator.normal(size=(4, 5, 3)), requires_grad=True)
    rows, columns = generator.integers(0, 4, (6, 1)), generator.integers(0, 5, 7)
    g = generator.normal(size=(6, 7, 3))
    lowest = 0 if kind is np.uint8 else 4
    key = ((rows - lowest).astype(kind), columns.astype(kind))
    x[tuple(tfl.tensor(part) for part in key)].backward(tfl.tensor(g))
    wanted = np.zeros((4, 5, 3))
    np.add.at(wanted, (rows - lowest, columns), g)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_bindings_refuse(native_module: ModuleType) -> None:
    x, place = np.ones((2, 3), np.float32), np.zeros(2, np.int64)
    out = np.full((4, 3), 7, np.float32)
    read_only = out.copy()
    read_only.flags.writeable = False
    wrong: list[tuple[Any, ...]] = [
        (x.astype(np.float16), place, out),
        (x[0], place, out),
        (x[:, ::2], place, out),
        (x, place.astype(np.int32), out),
        (x, place[:1], out),
        (x, place[None], out),
        (x, np.zeros(4, np.int64)[::2], out),
        (x, place, out.astype(np.float64)),
        (x, place, out[:, :2]),
        (x, place, out[0]),
        (x, place, out[::2]),
        (x, place, read_only),
        (x, place, x),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"^scatter_rows: .* must .*, got "):
            native_module.scatter_rows(*arguments)
    for bad in (4, -5):
        with pytest.raises(IndexError, match=r"^scatter_rows: place must lie in \[-4, 4\), got"):
            native_module.scatter_rows(x, place + bad, out)
    assert (out == 7).all() and (x == 1).all()
    for run in (native_module.softmax, native_module.log_softmax):
        for array in (x.astype(np.float16), x[:, ::2], x[:0], np.float32(1)[...]):
            with pytest.raises(ValueError, match=r"softmax: x must .*, got "):
                run(array)


# Shapes and axes that the kernel takes, one element more or less beside what it adds at a time.
SUMMED = [
    ((2100, 8), (1,)), ((400, 49), (1,)), ((16, 4, 5, 53), (2, 3)), ((20, 1025), (1,)),
    ((3, 32769), (1,)), ((70000,), (0,)), ((2, 3, 70, 50), (0, 1, 2, 3)),
]  # fmt: skip


@pytest.mark.binding
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape, axis", SUMMED)
def test_sums_and_means_of_the_last_axes(
    native_module: ModuleType, shape: tuple[int, ...], axis: tuple[int, ...], dtype: Any
) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    wide = x.astype(np.longdouble)
    size = np.abs(wide).sum(axis, keepdims=True)
    eps = float(np.finfo(dtype).eps)
    for instructions in native_module.instruction_sets():
        native_module.use_instruction_set(instructions)
        for keepdims in (False, True):
            found = tfl.sum(tfl.tensor(x), axis=axis, keepdims=keepdims).numpy()
            expected = wide.sum(axis, keepdims=keepdims)
            assert found.dtype == dtype and found.shape == np.shape(expected)
            assert np.all(np.abs(found - expected) <= 4 * eps * size.reshape(np.shape(expected)))
            mean = tfl.mean(tfl.tensor(x), axis=axis, keepdims=keepdims).numpy()
            expected /= x.size / size.size
            assert mean.dtype == dtype and mean.shape == np.shape(expected)
            scale = (size * size.size / x.size).reshape(np.shape(expected))
            assert np.all(np.abs(mean - expected) <= 4 * eps * scale)


def test_sums_take_the_kernel_and_decline_the_rest(
    native_module: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tensorflowlite.dispatch"), tfl.debug.log("dispatch"):
        for shape, axis in SUMMED:
            tfl.sum(tfl.ones(shape), axis=axis)
            tfl.mean(tfl.ones(shape), axis=axis)
        assert not caplog.messages
        x = tfl.ones((40, 50, 60))
        for declined in (x[:2, :50], x.astype(tfl.float16), x.mT):
            declined.sum(-1)
        for axis in ((0,), (0, 2), (1,), ()):
            x.sum(axis)
    assert len(caplog.messages) > 4 and all(one.startswith("sum:") for one in caplog.messages)


def test_sums_keep_nan_infinity_and_zero() -> None:
    x = np.ones((5, 5000), np.float32)
    x[0, 4999], x[1, 7], x[2, 0], x[2, 1], x[4] = np.nan, np.inf, np.inf, -np.inf, -0.0
    found = tfl.sum(tfl.tensor(x), axis=1).numpy()
    np.testing.assert_array_equal(found, [np.nan, np.inf, np.nan, 5000, 0])
    assert not np.signbit(found[4])


def test_sums_have_the_same_bits_on_any_threads() -> None:
    x = tfl.tensor(np.random.default_rng(2).normal(size=(7, 90000)).astype(np.float32))
    before, found = tfl.get_num_threads(), []
    for threads in (1, 2, 3):
        tfl.set_num_threads(threads)
        found.append([x.sum().item(), *x.sum(1).tolist(), *x.mean(1).tolist()])
    tfl.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_a_replay_sums_memory_that_is_not_aligned() -> None:
    """Where arrays lie isn't part of a program's key: what was chosen for one runs for the next."""
    f = tfl.jit(lambda x: (x.sum(1), x.mean(1)))
    data = np.random.default_rng(4).normal(size=(200, 300)).astype(np.float32)
    odd = np.zeros(data.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(data.shape)
    odd[...] = data
    assert not odd.flags.aligned
    for x in (data, data, data, data, odd):
        total, mean = f(tfl.asarray(x, copy=False))
        np.testing.assert_array_equal(total.numpy(), tfl.tensor(data).sum(1).numpy())
        np.testing.assert_array_equal(mean.numpy(), tfl.tensor(data).mean(1).numpy())
    assert f.cache_info().replayed == 2


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_adaptive_average_to_one_place_is_the_mean(axes: int) -> None:
    data = np.random.default_rng(3).normal(size=(3, 4, *(9, 8, 7)[:axes])).astype(np.float32)
    x = tfl.tensor(data, requires_grad=True)
    run = getattr(F, f"adaptive_avg_pool{axes}d")
    y = run(x, 1)
    expected = data.mean(tuple(range(2, 2 + axes)), keepdims=True)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 12 / data.size, rtol=1e-5)
    assert run(x[0], 1).shape == (4, *(1,) * axes)
