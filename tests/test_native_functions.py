"""Native functions of one number: accuracy, special values, the same bits on any threads."""

from __future__ import annotations

import decimal
import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import backend_for
from tensorflowlite.backend.slots import activation as activation_slots
from tensorflowlite.backend.slots import special, special_functions
from tensorflowlite.nn import functional as F

pytestmark = pytest.mark.usefixtures("kernels_as_before")

Array = np.ndarray[Any, Any]
NAMES = ("erf", "erfc", "softplus")
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SLOTS = backend_for("cpu")
REFERENCE = {
    "erf": special.slots(np)["erf"],
    "erfc": special_functions.slots(np)["erfc"],
    "softplus": activation_slots.slots(np)["softplus"],
}


def arguments(name: str) -> tuple[float, ...]:
    return (1.0, 20.0) if name == "softplus" else ()


def numbers(dtype: Any) -> Array:
    """Numbers of every size, most of them where the functions change."""
    generator = np.random.default_rng(0)
    size = 10.0 ** generator.uniform(-30, 2, 4000) * generator.choice([-1, 1], 4000)
    parts = [generator.normal(0, 2, 40_000), np.linspace(-7, 30, 40_001), size]
    return np.concatenate([*parts, [0.45, 0.5, 1.0, 6.0, 27.5]]).astype(dtype)


def softplus(x: float) -> float:
    with decimal.localcontext(prec=40):
        one = decimal.Decimal(x)
        return float((1 + one.exp()).ln() if one > -60 else one.exp())


def units(found: Array, exact: Array) -> Any:
    """Return differences in units in the last place of what was found."""
    return np.abs(found.astype(np.float64) - exact) / np.spacing(np.abs(exact).astype(found.dtype))


@dtypes
def test_accuracy(native_module: ModuleType, dtype: Any) -> None:
    """libm's own error, of at most 1 unit in float64, is in the bounds."""
    x = numbers(dtype)
    few = np.concatenate([x[::29], [-90.0, -60.5, 40.0]]).astype(dtype)
    erf, erfc = (np.array([f(one) for one in x.tolist()]) for f in (math.erf, math.erfc))
    smooth = np.array([softplus(one) for one in few.tolist()])
    normal = erfc >= np.finfo(dtype).tiny
    for name in native_module.instruction_sets():
        native_module.use_instruction_set(name)
        assert units(native_module.erf(x), erf).max() <= (3 if dtype == np.float64 else 2)
        assert units(native_module.erfc(x), erfc)[normal].max() <= (5 if dtype == np.float64 else 2)
        # Less than the least normal number: in units of that one's last place.
        assert units(native_module.erfc(x), erfc)[~normal].max() <= 2
        assert units(native_module.softplus(few, 1.0, math.inf), smooth).max() <= 3


@dtypes
def test_special_values(native_module: ModuleType, dtype: Any) -> None:
    least = np.finfo(dtype).smallest_subnormal
    # A vector's length of each, so that they come into whole vectors and into rests.
    x = np.repeat(np.array([0.0, -0.0, np.nan, np.inf, -np.inf, least, -least], dtype), 17)
    for name in native_module.instruction_sets():
        native_module.use_instruction_set(name)
        erf, erfc = native_module.erf(x)[::17], native_module.erfc(x)[::17]
        np.testing.assert_array_equal(erf[:5], [0, -0.0, np.nan, 1, -1])
        assert np.signbit(erf[1]) and not np.signbit(erf[0])
        assert np.abs(erf[5:]).max() <= 2 * least
        np.testing.assert_array_equal(erfc, [1, 1, np.nan, 0, 2, 1, 1])
        for threshold in (20.0, math.inf):
            found = native_module.softplus(x, 1.0, threshold)[::17]
            half = dtype(math.log(2))
            np.testing.assert_array_equal(found, [half, half, np.nan, np.inf, 0, half, half])


@dtypes
@pytest.mark.parametrize("name", NAMES)
def test_bits_for_any_number_of_threads(native_module: ModuleType, name: str, dtype: Any) -> None:
    x = numbers(dtype)
    for instructions in native_module.instruction_sets():
        native_module.use_instruction_set(instructions)
        bits = set()
        for count in (1, 2, 3):
            tfl.set_num_threads(count)
            bits.add(getattr(native_module, name)(x, *arguments(name)).tobytes())
        assert len(bits) == 1


@dtypes
@pytest.mark.parametrize("name", NAMES)
def test_slots_against_numpys(native_module: ModuleType, name: str, dtype: Any) -> None:
    """Any memory order, any shape; what the extension doesn't take is NumPy's."""
    x = numbers(dtype)[::7]
    rows = x[: x.size // 6 * 6].reshape(6, -1)
    slot, other = getattr(SLOTS, name), REFERENCE[name]
    rest = arguments(name)
    apart = np.zeros(x.nbytes + 1, np.uint8)[1:].view(dtype)  # not aligned
    apart[:] = x
    fixed = x.copy()
    fixed.flags.writeable = False
    half = (x % 4).astype(np.float16)
    for one in (apart, fixed, x, rows, rows.T, rows[::2, ::-3], x[:0], x[0].reshape(()), half):
        found, expected = slot(one, *rest), other(one, *rest)
        assert found.dtype == one.dtype and found.shape == one.shape
        bound = 16 * float(np.finfo(one.dtype).eps)
        np.testing.assert_allclose(found, expected, bound, np.finfo(dtype).tiny)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "silu"])
def test_activations_of_arrays_that_are_not_aligned(native_module: ModuleType, name: str) -> None:
    x = np.linspace(-3, 3, 50)
    apart = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float64)
    apart[:] = x
    np.testing.assert_allclose(getattr(SLOTS, name)(apart), getattr(SLOTS, name)(x), 1e-15)
    found = SLOTS.activation_gradient(apart, apart, name)
    np.testing.assert_allclose(found, SLOTS.activation_gradient(x, x, name), 1e-13)


def test_softplus_has_its_scale_and_threshold(native_module: ModuleType) -> None:
    x = tfl.tensor(np.linspace(-6, 6, 41), requires_grad=True)
    out = F.softplus(x, 3.0, 4.0)
    values = x.detach().numpy()
    expected = np.where(3 * values > 4, values, np.log1p(np.exp(3 * values)) / 3)
    np.testing.assert_allclose(out.detach().numpy(), expected, 1e-14)
    out.sum().backward()
    assert x.grad is not None
    slope = np.where(3 * values > 4, 1, 1 / (1 + np.exp(-3 * values)))
    np.testing.assert_allclose(x.grad.numpy(), slope, 1e-14)
