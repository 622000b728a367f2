"""The native normalisations: right against float64, and the same bits on any threads."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.slots import normalization as normalization_slots
from tensorflowlite.nn import functional as F

pytestmark = pytest.mark.usefixtures("kernels_as_before")

Array = np.ndarray[Any, Any]
EPS = 1e-5
PLAIN = normalization_slots.slots(np)
ROWS = [(1, 1), (3, 2), (5, 7), (33, 16), (70, 65), (200, 33), (3, 1024), (2, 3001)]
CHANNELS = [(2, 1, 1), (5, 3, 1), (70, 65, 1), (33, 200, 1), (2, 3, 2), (7, 5, 16), (3, 4, 785)]


def drawn(shape: tuple[int, ...], axis: int, dtype: Any) -> list[Array]:
    """x, the gradient, the weight and the bias; x lies aside from zero."""
    generator = np.random.default_rng(1)
    sizes = [shape, shape, shape[axis], shape[axis]]
    x, g, weight, bias = (generator.normal(size=size).astype(dtype) for size in sizes)
    return [3 * x + 1, g, weight, bias]


def close(found: Any, wanted: Any, dtype: Any, scale: float = 1.0) -> None:
    tolerance = 16 * float(np.finfo(dtype).eps)
    scale = max(scale, float(np.abs(wanted).max()))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * scale)


def widened(arrays: list[Array]) -> list[Array]:
    return [array.astype(np.float64) for array in arrays]


@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("centered", [True, False])
def test_rows(native_module: ModuleType, shape, dtype, centered: bool) -> None:
    x, g, *parameters = drawn(shape, 1, dtype)
    wide_x, wide_g, *wide_parameters = widened([x, g, *parameters])
    plain = PLAIN["layer_norm" if centered else "rms_norm"]
    for instructions in native_module.instruction_sets():
        native_module.use_instruction_set(instructions)
        for count in range(3):
            weight, bias = [*parameters[:count], None, None][:2]
            found = native_module.normalize_rows(x, weight, bias, 1, EPS, centered)
            wanted = plain(wide_x, *wide_parameters[:count], 1, EPS)
            close(found[0], wanted[0], dtype)
            close(found[1], wanted[1][..., 0], dtype)
            back = native_module.normalize_rows_gradient(
                g, x, found[1], weight, 1, centered, count + 1
            )
            expected = PLAIN["norm_gradient"](
                wide_g, wide_x, wanted[1], *wide_parameters[: min(count, 1)], (1,), (0,), centered,
                count + 1,
            )  # fmt: skip
            scale = max(float(wanted[1][1].max()), shape[0] ** 0.5)
            assert [one is None for one in back] == [False, count < 1, count < 2]
            for one, other in zip(back, expected, strict=False):
                close(one.reshape(other.shape), other, dtype, scale)


@pytest.mark.parametrize("shape", CHANNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_channels(native_module: ModuleType, shape, dtype) -> None:
    x, g, *parameters = drawn(shape, 1, dtype)
    wide_x, wide_g, *wide_parameters = widened([x, g, *parameters])
    for instructions in native_module.instruction_sets():
        native_module.use_instruction_set(instructions)
        for count in range(3):
            weight, bias = [*parameters[:count], None, None][:2]
            out, mean, variance, kept = native_module.normalize_channels(x, weight, bias, EPS)
            (wanted, *moments), statistics = PLAIN["batch_norm"](
                wide_x, *wide_parameters[:count], EPS
            )
            close(out, wanted, dtype)
            close(mean, moments[0], dtype)
            close(variance, moments[1], dtype)
            close(kept, statistics.reshape(2, -1), dtype)
            back = native_module.normalize_channels_gradient(g, x, kept, weight, count + 1)
            weights = [one.reshape(1, -1, 1) for one in wide_parameters[: min(count, 1)]]
            expected = PLAIN["norm_gradient"](
                wide_g, wide_x, statistics, *weights, (0, 2), (0, 2), True, count + 1
            )
            scale = max(float(statistics[1].max()), (shape[0] * shape[2]) ** 0.5)
            for one, other in zip(back, expected, strict=False):
                close(one.reshape(other.shape), other, dtype, scale)


def test_bits_for_any_number_of_threads(native_module: ModuleType) -> None:
    x, g, weight, bias = drawn((700, 333), 1, np.float32)
    images, image_g = x[:693].reshape(9, 77, 333), g[:693].reshape(9, 77, 333)
    found = []
    for count in (1, 2, 3):
        tfl.set_num_threads(count)
        out, kept = native_module.normalize_rows(x, weight, bias, 1, EPS, True)
        rows = native_module.normalize_rows_gradient(g, x, kept, weight, 1, True, 3)
        columns = native_module.normalize_channels(x[..., None], weight, bias, EPS)
        columns += native_module.normalize_channels_gradient(
            g[..., None], x[..., None], columns[-1], weight, 3
        )
        channels = native_module.normalize_channels(images, weight[:77], bias[:77], EPS)
        channels += native_module.normalize_channels_gradient(
            image_g, images, channels[-1], weight[:77], 3
        )
        found.append([a.tobytes() for a in (out, kept, *rows, *columns, *channels)])
    assert found[0] == found[1] == found[2]


def test_slots_take_any_memory_order_and_any_number_of_axes(
    native_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what they call is the extension."""
    generator = np.random.default_rng(2)
    used = []
    x = generator.normal(size=(6, 4, 5, 3)).transpose(3, 1, 0, 2)  # (3, 4, 6, 5)
    for name in ("normalize_rows", "normalize_channels", "normalize_rows_gradient",
                 "normalize_channels_gradient"):  # fmt: skip
        original = getattr(native_module, name)
        monkeypatch.setattr(
            native_module, name, lambda *a, n=name, f=original: (used.append(n), f(*a))[1]
        )
    for form in (
        lambda x, w: F.layer_norm(x, (6, 5), w[:30].reshape(6, 5)),
        lambda x, w: F.rms_norm(x, (5,), w[:5]),
        lambda x, w: F.batch_norm(x, None, None, w[:4], w[4:8], training=True),
    ):
        values, weight = tfl.tensor(x, requires_grad=True), generator.normal(size=120)
        w = tfl.tensor(weight, requires_grad=True)
        (form(values, w) ** 3).sum().backward()
        assert values.grad is not None and w.grad is not None
        difference = []
        for step in (1e-6, -1e-6):
            moved_x, moved_w = x.copy(), weight.copy()
            moved_x[1, 2, 3, 4] += step
            moved_w[3] += step
            difference.append(
                [float((form(tfl.tensor(a), tfl.tensor(b)) ** 3).sum())
                 for a, b in ((moved_x, weight), (x, moved_w))]
            )  # fmt: skip
        slopes = (np.array(difference[0]) - difference[1]) / 2e-6
        np.testing.assert_allclose(values.grad.numpy()[1, 2, 3, 4], slopes[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(w.grad.numpy()[3], slopes[1], rtol=1e-4)
    assert set(used) == {"normalize_rows", "normalize_channels", "normalize_rows_gradient",
                         "normalize_channels_gradient"}  # fmt: skip


def test_extremes(native_module: ModuleType) -> None:
    """Rows of great values, of one value, and beside what isn't finite."""
    x = np.zeros((6, 40), np.float32)
    x[0], x[1], x[2] = np.linspace(-3e38, 3e38, 40), 7.7, 1e6 + np.arange(40)
    x[3, 5], x[4, 5], x[5, 5] = np.nan, np.inf, 1e-42
    for array, run in (
        (x, lambda a: native_module.normalize_rows(a, None, None, 1, EPS, True)),
        (x.T.copy()[..., None], lambda a: native_module.normalize_channels(a, None, None, EPS)),
        (x[None], lambda a: native_module.normalize_channels(a, None, None, EPS)),
    ):
        found = run(array)
        out = found[0].reshape(array.shape)
        out = out[0] if array.shape[0] == 1 else out if array.ndim == 2 else out[..., 0].T
        ramp = np.arange(40) - 19.5
        ramp /= ramp.std()
        np.testing.assert_allclose(out[2], ramp, rtol=1e-4)
        np.testing.assert_allclose(out[0], ramp, rtol=1e-5)
        assert not out[1].any() and np.isnan(out[3:5]).all() and np.isfinite(out[5]).all()
        assert found[-1][0, 1] == np.float32(7.7) and found[-1][1, 1] == np.float32(EPS**-0.5)


def test_statistics_are_better_than_single_precision(native_module: ModuleType) -> None:
    x = (np.random.default_rng(3).normal(size=(2, 100_000)) + 1000).astype(np.float32)
    for found in (
        native_module.normalize_rows(x, None, None, 1, 0.0, True)[1],
        native_module.normalize_channels(x[None], None, None, 0.0)[-1],
    ):
        wide = x.astype(np.float64)
        np.testing.assert_allclose(found[0], wide.mean(1), rtol=1e-7)
        np.testing.assert_allclose(found[1], 1 / wide.std(1), rtol=1e-7)


def test_no_elements() -> None:
    x = tfl.zeros((0, 4), requires_grad=True)
    w = tfl.ones(4, requires_grad=True)
    F.layer_norm(x, (4,), w).sum().backward()
    assert w.grad is not None and not w.grad.numpy().any()
    assert x.grad is not None and x.grad.shape == (0, 4)


def test_bindings_refuse(native_module: ModuleType) -> None:
    x, w = np.ones((2, 3), np.float32), np.ones(3, np.float32)
    kept = np.ones((2, 2), np.float32)
    wrong: list[tuple[Any, ...]] = [
        (x.astype(np.float16), None, None),
        (x[0, 0, ...], w, None),
        (x[:0], None, None),
        (np.ones((3, 2), np.float32).T, None, None),
        (x, w[:2], None),
        (x, w.astype(np.float64), None),
        (x, w, np.ones(6, np.float32)[::2]),
        (x, None, w),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"^normalize_rows: .* must .*, got "):
            native_module.normalize_rows(*arguments, 1, EPS, True)
    for axes in (-1, 3):
        with pytest.raises(ValueError, match="axes must be a number of axes of x, got"):
            native_module.normalize_rows(x, None, None, axes, EPS, True)
        with pytest.raises(ValueError, match="axes must be a number of axes of x, got"):
            native_module.normalize_rows_gradient(x, x, kept, None, axes, True, 1)
    with pytest.raises(ValueError, match="x must have 2 dimensions or more, got"):
        native_module.normalize_channels(w, None, None, EPS)
    for values, weight, bias in wrong:
        with pytest.raises(ValueError, match=r"^normalize_channels: .* must .*, got "):
            native_module.normalize_channels(values[..., None], weight, bias, EPS)
    unfit: list[tuple[Any, ...]] = [
        (x[:1], x, kept, w, 3),
        (x.astype(np.float64), x, kept, w, 3),
        (x, x, kept[:, :1], w, 3),
        (x, x, kept.astype(np.float64), w, 3),
        (x, x, kept.T, w[:2], 3),
        (x, x, kept, w, 4),
        (x, x, kept, w, 0),
    ]
    for g, values, statistics, weight, parts in unfit:
        with pytest.raises(ValueError, match=r"^normalize_rows_gradient: .* must .*, got "):
            native_module.normalize_rows_gradient(g, values, statistics, weight, 1, True, parts)
        three = np.ones((2, len(values[0])), statistics.dtype)
        if statistics is kept:
            with pytest.raises(ValueError, match=r"^normalize_channels_gradient: .* must .*, got"):
                native_module.normalize_channels_gradient(
                    g[..., None], values[..., None], three, weight, parts
                )
    with pytest.raises(ValueError, match="statistics must have shape"):
        native_module.normalize_channels_gradient(x[..., None], x[..., None], kept, w, 3)
