"""What the Array API standard says of infinities, NaN and signed zeros, where libraries differ."""

from __future__ import annotations

import itertools
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.backend.slots import array as array_slots

from .backends import TestBackend

inf, nan = np.inf, np.nan
EDGES = [0.0, -0.0, 1.0, -1.0, 2.5, -7.0, 0.1, inf, -inf, nan]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
LIBRARY = array_slots.slots(np)


def same(found: Any, expected: Any) -> None:
    """Equal values, and equal signs of zeros; NaN where NaN is."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    wide = np.complex128 if found.dtype.kind == "c" else np.float64
    found, expected = found.astype(wide), expected.astype(wide)
    for one, two in ((found.real, expected.real), (found.imag, expected.imag)):
        np.testing.assert_array_equal(one, two)
        number = ~np.isnan(two)
        np.testing.assert_array_equal(np.signbit(one)[number], np.signbit(two)[number])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("x", "y", "quotient"),
    [
        (inf, 2.0, inf), (inf, -2.0, -inf), (-inf, 2.0, -inf), (-inf, -2.0, inf),
        (1.0, inf, 0.0), (1.0, -inf, -0.0), (-1.0, inf, -0.0), (-1.0, -inf, 0.0),
        (inf, inf, nan), (-inf, inf, nan), (0.0, inf, 0.0), (-0.0, inf, -0.0),
        (inf, nan, nan), (nan, inf, nan), (7.0, -2.0, -4.0), (-7.0, 2.0, -4.0),
    ],
)  # fmt: skip
def test_floor_divide(
    backend: TestBackend, dtype: str, x: float, y: float, quotient: float
) -> None:
    kind = dtypes.as_dtype(dtype)
    x, y, expected = (np.full(3, value, np.float64).astype(kind) for value in (x, y, quotient))
    with np.errstate(all="ignore"):
        found = backend.tensor(x) // backend.tensor(y)
        changed = backend.tensor(x)
        changed //= backend.tensor(y)
    same(backend.host(found), expected)
    same(backend.host(changed), expected)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("tanh", complex(inf, 2.0), complex(1, 0.0)),
        ("tanh", complex(inf, -2.0), complex(1, -0.0)),
        ("tanh", complex(-inf, 2.0), complex(-1, 0.0)),
        ("expm1", complex(0.0, 0.0), complex(0.0, 0.0)),
        ("expm1", complex(-0.0, 0.0), complex(0.0, 0.0)),
        ("expm1", complex(-0.0, -0.0), complex(0.0, -0.0)),
        ("expm1", complex(inf, 0.0), complex(inf, 0.0)),
        ("expm1", complex(inf, nan), complex(inf, nan)),
        ("expm1", complex(-inf, nan), complex(-1, 0.0)),
        ("expm1", complex(-inf, inf), complex(-1, 0.0)),
        ("expm1", complex(nan, 0.0), complex(nan, 0.0)),
        ("expm1", complex(nan, 1.0), complex(nan, nan)),
    ],
)
def test_of_complex(
    backend: TestBackend, dtype: str, name: str, x: complex, expected: complex
) -> None:
    for shape in ((), (2, 3)):
        with np.errstate(all="ignore"):
            found = getattr(tfl, name)(backend.tensor(np.full(shape, x, dtype)))
        same(backend.host(found), np.full(shape, expected, dtype))


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64"])
def test_zero_keeps_its_sign_on_the_way_to_the_device(backend: TestBackend, dtype: str) -> None:
    zero = np.array(-0.0).astype(dtypes.as_dtype(dtype))
    x = backend.tensor(np.ones(3, zero.dtype))
    x[1] = backend.tensor(zero)
    x[2] = -0.0
    for found in (backend.tensor(zero), tfl.tensor(-0.0, dtype=dtype, device=backend.device),
                  tfl.full((2,), -0.0, dtype=dtype, device=backend.device), x[1:]):  # fmt: skip
        assert np.signbit(backend.host(found).real.astype(np.float64)).all()


# -- the extension's ufuncs ------------------------------------------------------------------------
def mended(module: ModuleType, name: str) -> Any:
    return module.mended_ufunc(getattr(np, name), dtypes.bfloat16.num)


@pytest.mark.parametrize("dtype", FLOATS)
def test_native_floor_divide(native_module: ModuleType, dtype: str) -> None:
    """It gives what the slot of any library gives, quietly, whatever the layout."""
    divide = mended(native_module, "floor_divide")
    rng = np.random.default_rng(0)
    values = np.concatenate([EDGES, 10 * rng.normal(size=300)]).astype(dtypes.as_dtype(dtype))
    x, y = values[:, None], values[None]
    with np.errstate(all="ignore"):
        expected = LIBRARY["floor_divide"](x, y)
        same(divide(x, y), expected)
        same(divide(np.repeat(x, 2, 1)[:, ::2], y[:, ::-1]), expected[:, ::-1])
        changed = np.array(np.broadcast_to(x, expected.shape))
        same(divide(changed, y, out=changed), expected)
    finite = values[np.isfinite(values.astype(np.float64)) & (values != 0)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one, other in itertools.product((inf, -inf), (finite, 2.0)):
            divide(np.full(finite.shape, one, values.dtype), np.asarray(other, values.dtype))


def test_native_floor_divide_of_integers_and_mixtures(native_module: ModuleType) -> None:
    divide = mended(native_module, "floor_divide")
    rng = np.random.default_rng(1)
    for one, two in itertools.product("?bBhHiIlLqQefd", repeat=2):
        x, y = rng.integers(0, 100, 20).astype(one), rng.integers(1, 9, 20).astype(two)
        same(divide(x, y), np.floor_divide(x, y))
    many = np.array([1000.0, 3.0, 4.0])
    same(divide.accumulate(many), np.floor_divide.accumulate(many))


@pytest.mark.parametrize("name", ["tanh", "expm1"])
def test_native_functions_of_one(native_module: ModuleType, name: str) -> None:
    run = mended(native_module, name)
    edges = np.array([complex(x, y) for x in EDGES for y in EDGES])
    for dtype in ("complex64", "complex128"):
        with np.errstate(all="ignore"):
            found = run(edges.astype(dtype))
            expected = LIBRARY[name](edges.astype(dtype))
            changed = np.repeat(edges, 9).astype(dtype)
            run(changed, out=changed)
        # exp(x) - 1 and NumPy's formula round differently.
        np.testing.assert_allclose(found, expected, 1e-6 if dtype == "complex64" else 1e-14)
        same(np.copysign(1, found.imag[found.imag == 0]),
             np.copysign(1, expected.imag[found.imag == 0]))  # fmt: skip
        same(changed[::9], found)
    for dtype in (*FLOATS, "int32"):
        x = (3 * np.random.default_rng(2).normal(size=500)).astype(dtypes.as_dtype(dtype))
        same(run(x), getattr(np, name)(x))


def test_native_refuses_other_functions(native_module: ModuleType) -> None:
    with pytest.raises(ValueError, match="must be floor_divide, tanh or expm1, got sin"):
        native_module.mended_ufunc(np.sin, dtypes.bfloat16.num)
    with pytest.raises(ValueError, match="must be a universal function"):
        native_module.mended_ufunc(len, dtypes.bfloat16.num)
