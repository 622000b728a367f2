"""The native cross-entropy: right against float64, and the same bits on any threads."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import OutOfRangeError
from tensorflowlite.nn import functional as F

pytestmark = pytest.mark.usefixtures("kernels_as_before")

Array = np.ndarray[Any, Any]
SHAPES = [(1, 1), (3, 2), (64, 10), (33, 65), (5, 1025), (2, 5000), (300, 7)]
IGNORED = -100


def drawn(shape: tuple[int, int], dtype: Any, weighted: bool) -> tuple[Array, Array, Array | None]:
    generator = np.random.default_rng(0)
    x = (4 * generator.normal(size=shape)).astype(dtype)
    target = generator.integers(0, shape[1], shape[0])
    target[::4] = IGNORED if shape[0] > 3 else target[::4]
    weight = generator.uniform(0.2, 2, shape[1]).astype(dtype) if weighted else None
    return x, target, weight


def reference(x: Array, target: Array, weight: Array | None, smoothing: float) -> tuple[Any, ...]:
    """The losses, the softmax, and the gradient of the losses' sum, in float64."""
    wide = x.astype(np.float64)
    shifted = wide - wide.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    weights = np.ones(x.shape[1]) if weight is None else weight.astype(np.float64)
    wanted = np.zeros(x.shape)
    kept = target != IGNORED
    wanted[kept] = smoothing / x.shape[1] * weights
    rows = np.flatnonzero(kept)
    wanted[rows, target[kept]] += (1 - smoothing) * weights[target[kept]]
    gradient = np.exp(logs) * wanted.sum(1, keepdims=True) - wanted
    return -(wanted * logs).sum(1), np.exp(logs), gradient


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_values(native_module: ModuleType, shape, dtype, weighted: bool, smoothing: float) -> None:
    x, target, weight = drawn(shape, dtype, weighted)
    losses, softmax, gradient = reference(x, target, weight, smoothing)
    eps = float(np.finfo(dtype).eps)
    for instructions in native_module.instruction_sets():
        native_module.use_instruction_set(instructions)
        found = native_module.softmax_cross_entropy(x, target, weight, IGNORED, smoothing)
        np.testing.assert_allclose(found[0], losses, rtol=16 * eps, atol=16 * eps)
        np.testing.assert_allclose(found[1], softmax, rtol=64 * eps, atol=eps)
        g = np.ones(len(x), dtype)
        dx = native_module.softmax_cross_entropy_gradient(
            g, found[1], target, weight, IGNORED, smoothing
        )
        np.testing.assert_allclose(dx, gradient, rtol=64 * eps, atol=8 * eps)
        assert not dx[target == IGNORED].any() and not found[0][target == IGNORED].any()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bits_for_any_number_of_threads(native_module: ModuleType, smoothing: float) -> None:
    x, target, weight = drawn((700, 333), np.float32, True)
    found = []
    for count in (1, 2, 3):
        tfl.set_num_threads(count)
        losses, softmax = native_module.softmax_cross_entropy(
            x, target, weight, IGNORED, smoothing
        )
        dx = native_module.softmax_cross_entropy_gradient(
            losses, softmax, target, weight, IGNORED, smoothing
        )
        found.append([a.tobytes() for a in (losses, softmax, dx)])
    assert found[0] == found[1] == found[2]


def test_extreme_logits() -> None:
    x = tfl.tensor([[1e30, -1e30, 0.0], [-1e4, -1e4, 1e4], [3e38, 3e38, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, tfl.tensor([0, 2, 1]), reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), [0, 0, np.log(2)], rtol=1e-6)
    loss.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0, 0], [0, 0, 0], [0.5, -0.5, 0]], atol=1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_isnt_finite_shows(value: float) -> None:
    """Where a row's target isn't ignored; with a logit of -inf that is no target all is well."""
    x = np.zeros((3, 40), np.float32)
    x[:2, 17] = value
    logits = tfl.tensor(x, requires_grad=True)
    losses = F.cross_entropy(logits, tfl.tensor([3, IGNORED, 3]), reduction="none")
    losses.sum().backward()
    assert logits.grad is not None
    found, gradient = losses.detach().numpy(), logits.grad.numpy()
    if value == -np.inf:
        np.testing.assert_allclose(found, [np.log(39), 0, np.log(40)], rtol=1e-6)
        assert gradient[0, 17] == 0 and np.isfinite(gradient).all()
    else:
        assert np.isnan(found[0]) and np.isnan(gradient[0]).any()
    assert found[1] == 0 and not gradient[1].any() and np.isfinite(found[2])


def test_a_target_that_is_no_class() -> None:
    x = tfl.zeros((2, 3))
    for target in ([0, 3], [-1, 0]):
        with pytest.raises(OutOfRangeError, match=r"^cross_entropy: class indices must lie in"):
            F.cross_entropy(x, tfl.tensor(target))


def test_binding_refuses(native_module: ModuleType) -> None:
    x, target = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    weight, g = np.ones(3, np.float32), np.ones(2, np.float32)
    wrong: list[tuple[Any, ...]] = [
        (x.astype(np.float16), target, None, -100, 0.0),
        (x[0], target, None, -100, 0.0),
        (x.T, target, None, -100, 0.0),
        (x, target.astype(np.int32), None, -100, 0.0),
        (x, target[:1], None, -100, 0.0),
        (x, target, weight[:2], -100, 0.0),
        (x, target, weight.astype(np.float64), -100, 0.0),
        (x, target, None, -100, 1.5),
        (x, target, None, -100, np.nan),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"^softmax_cross_entropy: .* must .*, got "):
            native_module.softmax_cross_entropy(*arguments)
        with pytest.raises(ValueError, match=r"^softmax_cross_entropy_gradient: .* must .*, got"):
            native_module.softmax_cross_entropy_gradient(g, *arguments)
    for bad in (3, -1):
        with pytest.raises(IndexError, match="target must lie in"):
            native_module.softmax_cross_entropy(x, target + bad, None, -100, 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ignored", [-100, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_of_targets(native_module: ModuleType, dtype, ignored: int, weighted: bool) -> None:
    target = np.array([[0, 3, 6], [ignored, 3, 1]])
    weight = np.arange(2, 9).astype(dtype) if weighted else None
    found = native_module.target_weights(target, weight, 7, ignored, np.dtype(dtype))
    values = np.ones(target.shape) if weight is None else (target + 2)
    assert found.dtype == dtype and found.shape == target.shape
    np.testing.assert_array_equal(found, np.where(target == ignored, 0, values))
    for bad in (-1, 7):
        with pytest.raises(IndexError, match=rf"target must lie in \[0, 7\), got {bad}"):
            native_module.target_weights(np.array([bad]), weight, 7, ignored, np.dtype(dtype))


def test_a_weight_of_a_wrong_target_is_refused_in_the_words_of_every_device() -> None:
    logits, target = tfl.ones(2, 3), tfl.tensor([1, 5])
    words = r"cross_entropy: class indices must lie in \[0, 3\), got 5; only ignore_index"
    with pytest.raises(OutOfRangeError, match=words):
        F.cross_entropy(logits, target)
