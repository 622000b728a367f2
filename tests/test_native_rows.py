"""Native softmax, and sums of rows by where they go: right, and the same bits on any threads."""

from __future__ import annotations

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
