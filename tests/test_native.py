"""The native extension: there where it can be built, right against float64, clear in its errors."""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tensorflowlite.backend import paths
from tensorflowlite.backend.native import extension as native
from tests.conftest import why_no_native_rows

Array = np.ndarray[Any, Any]

SLOPE = 0.01


def logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def normal_cdf(x: Array) -> Array:
    return np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), otypes=[float])(x)


# Name: the function, and its derivative as a function of the input, both in float64.
REFERENCE: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (lambda x: x, np.ones_like),
    "relu": (lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
    "leaky_relu": (
        lambda x: np.where(x > 0, x, SLOPE * x),
        lambda x: np.where(x > 0, 1.0, SLOPE),
    ),
    "sigmoid": (logistic, lambda x: logistic(x) * logistic(-x)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "silu": (
        lambda x: x * logistic(x),
        lambda x: logistic(x) * (1 + x * logistic(-x)),
    ),
    "gelu": (
        lambda x: x * normal_cdf(x),
        lambda x: normal_cdf(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "gelu_tanh": (
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        lambda x: (
            0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
            + 0.5
            * x
            / np.cosh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) ** 2
            * math.sqrt(2 / math.pi)
            * (1 + 3 * 0.044715 * x**2)
        ),
    ),
}
names = pytest.mark.parametrize("name", list(REFERENCE))
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
binding = pytest.mark.binding

# Columns around the width to which short rows are joined (512) and the tile (1024).
ROWS = [(0, 5), (5, 0), (1, 1), (7, 3), (200, 10), (3, 256), (3, 257), (130, 1030), (2, 2500)]
CHANNELS = [(0, 3, 4), (2, 3, 0), (1, 1, 1), (4, 3, 16), (2, 5, 17), (2, 2, 2500)]


def values(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def tolerances(dtype: Any) -> dict[str, float]:
    return {"rtol": 2e-6, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-13, "atol": 1e-14}


def test_loaded_where_it_can_be_built() -> None:
    if reason := why_no_native_rows():
        pytest.skip(reason)
    assert native.module is not None, (
        f"g++ and Python's headers are here, but {native.why_not()}\n"
        f"{native.build_record().get('output', '')}"
    )
    assert native.why_not() == ""


def test_built_without_a_warning(native_module: ModuleType) -> None:
    """Under -Wall -Wextra; test_packaging.py sees that the record has what the compiler said."""
    assert "warning" not in native.build_record()["output"].lower()


def test_left_aside_when_told_so() -> None:
    program = (
        "from tensorflowlite.backend.native import extension\n"
        "print(extension.module, extension.why_not())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TENSORFLOWLITE_NATIVE": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None left aside by TENSORFLOWLITE_NATIVE=0\n"


@pytest.mark.parametrize(
    "record, sentence",
    [
        ({"reason": "no C++ compiler"}, "no C++ compiler"),
        ({}, "not built; run: python setup.py build_ext --inplace"),
    ],
)
def test_why_not_where_it_was_not_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record: dict[str, str], sentence: str
) -> None:
    (tmp_path / "_native_build.json").write_text(json.dumps(record))
    monkeypatch.delenv("TENSORFLOWLITE_NATIVE", raising=False)
    monkeypatch.setattr(native, "_PACKAGE", tmp_path)
    monkeypatch.setattr(native, "_RECORD", tmp_path / "_native_build.json")
    assert native._load() == (None, sentence)


def test_why_not_where_it_does_not_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, native_module: ModuleType
) -> None:
    (tmp_path / Path(str(native_module.__file__)).name).write_bytes(b"no library")
    monkeypatch.setattr(native, "_PACKAGE", tmp_path)

    def fail(name: str) -> ModuleType:
        raise ImportError("a symbol\nis missing")

    monkeypatch.setattr(importlib, "import_module", fail)
    assert native._load() == (None, "built, but it doesn't load: a symbol is missing")


def test_activations_are_the_header_s(native_module: ModuleType) -> None:
    assert native_module.activations() == {
        "identity": "from_output",
        "relu": "from_output",
        "leaky_relu": "from_output",
        "sigmoid": "from_output",
        "tanh": "from_output",
        "silu": "from_input",
        "gelu": "from_input",
        "gelu_tanh": "from_input",
    }


@binding
@names
@dtypes
@pytest.mark.parametrize("shape", ROWS + CHANNELS)
@pytest.mark.parametrize("with_bias", [True, False])
def test_forward(native_module: ModuleType, name: str, dtype, shape, with_bias: bool) -> None:
    forward = native_module.bias_activation_forward
    if len(shape) == 3:
        forward = native_module.bias_activation_forward_channels
    z = values(shape, dtype)
    bias = values(shape[1:2], dtype, seed=1) if with_bias else None
    before = z if bias is None else z + bias.reshape(-1, *[1] * (len(shape) - 2))
    expected = REFERENCE[name][0](before.astype(np.float64))

    residual = np.full_like(z, np.nan)
    out = forward(z, bias, name, residual=residual)
    assert out.dtype == dtype and out.shape == shape
    np.testing.assert_allclose(out, expected, **tolerances(dtype))
    assert residual.tobytes() == before.tobytes()

    given_out = np.full_like(z, np.nan)
    assert forward(z, bias, name, given_out) is given_out
    assert given_out.tobytes() == out.tobytes()
    in_place = z.copy()
    kept = in_place.copy()
    assert forward(in_place, bias, name, in_place, kept) is in_place
    assert in_place.tobytes() == out.tobytes() and kept.tobytes() == before.tobytes()
    residual_in_place = z.copy()
    forward(residual_in_place, bias, name, given_out, residual_in_place)
    assert given_out.tobytes() == out.tobytes()
    assert residual_in_place.tobytes() == before.tobytes()


@binding
@names
@dtypes
@pytest.mark.parametrize("shape", ROWS + CHANNELS)
def test_backward(native_module: ModuleType, name: str, dtype, shape) -> None:
    backward = native_module.bias_activation_backward
    if len(shape) == 3:
        backward = native_module.bias_activation_backward_channels
    x = values(shape, dtype)
    g = values(shape, dtype, seed=2)
    from_output = native_module.activations()[name] == "from_output"
    saved = REFERENCE[name][0](x.astype(np.float64)).astype(dtype) if from_output else x
    expected = g * REFERENCE[name][1](x.astype(np.float64))

    dz = np.full_like(g, np.nan)
    db = np.full(shape[1], np.nan, dtype)
    assert backward(g, saved, name, dz, db) is None
    np.testing.assert_allclose(dz, expected, **tolerances(dtype))
    axes = (0,) if len(shape) == 2 else (0, 2)
    sums = dz.astype(np.longdouble).sum(axis=axes)
    scale = np.abs(dz.astype(np.longdouble)).sum(axis=axes)
    # Sums are made in float64 and rounded once.
    bound = 8 * np.finfo(np.float64).eps * scale + np.finfo(dtype).eps * np.abs(sums)
    assert (np.abs(db - sums) <= bound).all()

    without = np.full_like(g, np.nan)
    backward(g, saved, name, without)
    assert without.tobytes() == dz.tobytes()
    for target in (0, 1):
        pair = [g.copy(), saved.copy()]
        again = np.full_like(db, np.nan)
        backward(*pair, name, pair[target], again)
        assert pair[target].tobytes() == dz.tobytes() and again.tobytes() == db.tobytes()


@pytest.mark.parametrize("shape", [(100_000, 3), (3, 10, 30_000)])
def test_bias_gradients_of_many_rows_are_exact(native_module: ModuleType, shape) -> None:
    """float32 sums of 10**5 numbers near 1 would be wrong in the fifth digit."""
    g = (1 + np.random.default_rng(0).random(shape)).astype(np.float32)
    db = np.empty(shape[1], np.float32)
    suffix = "_channels" if len(shape) == 3 else ""
    backward = getattr(native_module, f"bias_activation_backward{suffix}")
    backward(g, g, "identity", np.empty_like(g), db)
    columns = np.moveaxis(g, 1, 0).reshape(shape[1], -1)
    assert db.tolist() == [np.float32(math.fsum(column.tolist())) for column in columns]


@pytest.mark.parametrize("columns", [1, 3, 10, 40, 300])
def test_a_row_does_not_depend_on_the_others(native_module: ModuleType, columns: int) -> None:
    z, bias = values((60, columns), np.float32), values((columns,), np.float32, seed=1)
    whole = native_module.bias_activation_forward(z, bias, "gelu")
    for row in range(60):
        alone = native_module.bias_activation_forward(z[row : row + 1], bias, "gelu")
        assert alone.tobytes() == whole[row : row + 1].tobytes()


def units(found: Array, exact: Array) -> Array:
    """Errors in units in the last place of the result's dtype; `exact` has more digits."""
    rounded = np.abs(exact.astype(found.dtype))
    return np.abs(found.astype(exact.dtype) - exact) / np.spacing(rounded).astype(exact.dtype)


ELEMENTARY = """
#include <cstddef>
#include "portable.cuh"
extern "C" void apply(int function, const float* x, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (function == 0) out[i] = tfl::exponential(x[i]);
    if (function == 1) out[i] = tfl::hyperbolic_tangent(x[i]);
    if (function == 2) out[i] = tfl::error_complement(x[i]);
  }
}
"""


def test_elementary_functions_are_accurate(tmp_path: Path) -> None:
    """The header's own functions, compiled alone: at most 2 units, as it says."""
    if reason := why_no_native_rows():
        pytest.skip(reason)
    (tmp_path / "apply.cpp").write_text(ELEMENTARY)
    command = ["g++", "-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
    include = f"-I{paths.kernels_directory() / 'include'}"
    subprocess.run([*command, include, "apply.cpp", "-o", "apply.so"], cwd=tmp_path, check=True)
    apply = ctypes.CDLL(str(tmp_path / "apply.so")).apply
    pointer = np.ctypeslib.ndpointer(np.float32, flags="C")
    apply.argtypes = [ctypes.c_int, pointer, pointer, ctypes.c_size_t]

    patterns = np.arange(0, 2**32, 29_989, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([patterns[np.isfinite(patterns)], np.linspace(-12, 12, 200_001)])
    x = x.astype(np.float32)
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        exact = [np.exp(wide), np.tanh(wide), np.vectorize(math.erfc, otypes=[float])(wide)]
    for function, expected in enumerate(exact):
        out = np.empty_like(x)
        apply(function, x, out, x.size)
        finite = expected <= np.finfo(np.float32).max
        assert units(out[finite], expected[finite]).max() <= 2
        assert np.isinf(out[~finite]).all()
        special = np.array([np.nan, np.inf, -np.inf], np.float32)
        apply(function, special, special, 3)
        limits = [[np.inf, 0], [1, -1], [0, 2]][function]
        assert np.isnan(special[0]) and special[1:].tolist() == limits


def test_float32_functions_are_accurate(native_module: ModuleType) -> None:
    patterns = np.arange(0, 2**32, 4_999, dtype=np.uint64).astype(np.uint32)
    x = patterns.view(np.float32)
    x = np.concatenate([x[np.isfinite(x)], np.linspace(-12, 12, 400_001, dtype=np.float32)])
    wide = x.astype(np.float64)

    def found(name: str) -> Array:
        return np.asarray(native_module.bias_activation_forward(x[None], None, name)[0])

    with np.errstate(over="ignore"):
        exact = logistic(wide)
    # Where exp(-x) overflows in float32, the result is 0 instead of a subnormal number.
    usual = x > -88
    assert units(found("tanh"), np.tanh(wide)).max() <= 2
    assert units(found("sigmoid"), exact)[usual].max() <= 3
    assert units(found("silu"), wide * exact)[usual].max() <= 4
    # Unlike 1 + erf, erfc keeps the digits of the lower tail; the argument's rounding shows there.
    tail = np.abs(x) < 5
    gelu = wide[tail] * normal_cdf(wide[tail])
    np.testing.assert_allclose(found("gelu")[tail], gelu, rtol=4e-6, atol=2.0**-149)


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="long double is no longer")
def test_float64_functions_are_accurate(native_module: ModuleType) -> None:
    x = np.concatenate([values((200_000,), np.float64), np.linspace(-700, 700, 100_001)])
    wide = x.astype(np.longdouble)
    for name, exact in (("tanh", np.tanh(wide)), ("sigmoid", logistic(wide))):
        found = native_module.bias_activation_forward(x[None], None, name)[0]
        assert units(found, exact).max() <= 3


@binding
@names
@dtypes
def test_special_values(native_module: ModuleType, name: str, dtype) -> None:
    z = np.array([[np.nan, 0.0, 1e30, -1e30 if name != "gelu_tanh" else -1e10]], dtype)
    out = native_module.bias_activation_forward(z, None, name)[0]
    with np.errstate(over="ignore"):
        expected = REFERENCE[name][0](z[0].astype(np.float64))
    assert np.isnan(out[0])
    np.testing.assert_allclose(out[1:], expected[1:], **tolerances(dtype))
    dz = np.empty_like(z)
    native_module.bias_activation_backward(np.ones_like(z), z, name, dz)
    assert np.isnan(dz[0, 0]) or name in ("identity", "relu", "leaky_relu")


@binding
@dtypes
def test_every_instruction_set_gives_the_same_numbers(native_module: ModuleType, dtype) -> None:
    """Products and sums are rounded once where there is an instruction for it, else twice."""
    z, g = values((37, 41), dtype), values((37, 41), dtype, seed=1)
    bias = values((41,), dtype, seed=2)

    def everything() -> list[Array]:
        found = []
        for name in native_module.activations():
            dz, db = np.empty_like(g), np.empty_like(bias)
            found.append(native_module.bias_activation_forward(z, bias, name))
            native_module.bias_activation_backward(g, z, name, dz, db)
            found += [dz, db]
            cube, dcube = g.reshape(1, 37, 41), np.empty((1, 37, 41), dtype)
            db = np.empty(37, dtype)
            native_module.bias_activation_backward_channels(cube, cube, name, dcube, db)
            found += [dcube, db]
        return found

    in_use = native_module.instruction_set()
    assert in_use == native_module.instruction_sets()[0]
    try:
        results = []
        for name in native_module.instruction_sets():
            native_module.use_instruction_set(name)
            assert native_module.instruction_set() == name
            results.append(everything())
    finally:
        native_module.use_instruction_set(in_use)
    eps = float(np.finfo(dtype).eps)
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_allclose(one, other, rtol=16 * eps, atol=16 * eps)


def test_slope(native_module: ModuleType) -> None:
    z = np.array([[-2.0, 3.0]])
    out = native_module.bias_activation_forward(z, None, "leaky_relu", slope=0.5)
    assert out.tolist() == [[-1.0, 3.0]]
    dz = np.empty_like(z)
    native_module.bias_activation_backward(np.ones_like(z), out, "leaky_relu", dz, slope=0.5)
    assert dz.tolist() == [[0.5, 1.0]]


def array(*shape: int, dtype: Any = np.float32) -> Array:
    return np.zeros(shape, dtype)


def read_only(*shape: int) -> Array:
    locked = array(*shape)
    locked.flags.writeable = False
    return locked


overlapping = array(20)
FORWARD_ERRORS: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((array(2, 3, dtype=np.int64), None, "relu"), {},
     "z must be float32 or float64, got int64"),
    ((array(2), None, "relu"), {}, "z must have 2 dimensions, got (2,)"),
    ((array(3, 2).T, None, "relu"), {}, "z must be C-contiguous, got another memory order"),
    ((array(2, 3), array(2), "relu"), {}, "bias must have shape (3,), got (2,)"),
    ((array(2, 3), array(3, dtype=np.float64), "relu"), {},
     "bias must be float32 as the first array, got float64"),
    ((array(2, 3), array(6)[::2], "relu"), {},
     "bias must be C-contiguous, got another memory order"),
    ((array(2, 3), None, "softmax"), {},
     "activation must be one of identity, relu, leaky_relu, sigmoid, tanh, silu, gelu, gelu_tanh, "
     "got 'softmax'"),
    ((array(2, 3), None, "relu", array(3, 3)), {}, "out must have shape (2, 3), got (3, 3)"),
    ((array(2, 3), None, "relu", read_only(2, 3)), {},
     "out must be writeable, got a read-only array"),
    ((array(2, 3), None, "relu", None, array(2, 3, dtype=np.float64)), {},
     "residual must be float32 as the first array, got float64"),
    ((overlapping[:6].reshape(2, 3), None, "relu", overlapping[1:7].reshape(2, 3)), {},
     "out must be an input itself or apart from it, got partly overlapping memory"),
    ((array(2, 3), None, "relu", overlapping[:6].reshape(2, 3), overlapping[:6].reshape(2, 3)), {},
     "residual must not share memory with another argument, got overlapping memory"),
    ((array(2, 3), overlapping[:3], "relu", overlapping[:6].reshape(2, 3)), {},
     "out must not share memory with another argument, got overlapping memory"),
    ((array(2, 3), None, "leaky_relu"), {"slope": -1.0},
     "slope must be at least 0, for its derivative is read from the output's sign, got -1.000000"),
]  # fmt: skip


@binding
@pytest.mark.parametrize("arguments, keywords, sentence", FORWARD_ERRORS)
def test_forward_errors(native_module: ModuleType, arguments, keywords, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        native_module.bias_activation_forward(*arguments, **keywords)
    assert str(caught.value) == f"bias_activation_forward: {sentence}"


BACKWARD_ERRORS: list[tuple[tuple[Any, ...], str]] = [
    ((array(2, 3), array(2, 3), "relu", array(2, 3)),
     "g must have 3 dimensions, got (2, 3)"),
    ((array(2, 3, 4), array(2, 3, 5), "relu", array(2, 3, 4)),
     "saved must have shape (2, 3, 4), got (2, 3, 5)"),
    ((array(2, 3, 4), array(2, 3, 4), "relu", read_only(2, 3, 4)),
     "dz must be writeable, got a read-only array"),
    ((array(2, 3, 4), array(2, 3, 4), "relu", array(2, 3, 4), array(4)),
     "db must have shape (3,), got (4,)"),
    ((array(1, 3, 2), overlapping[:6].reshape(1, 3, 2), "relu", array(1, 3, 2), overlapping[3:6]),
     "db must not share memory with another argument, got overlapping memory"),
    ((array(1, 3, 2), overlapping[:6].reshape(1, 3, 2), "relu", overlapping[1:7].reshape(1, 3, 2)),
     "dz must be an input itself or apart from it, got partly overlapping memory"),
]  # fmt: skip


@binding
@pytest.mark.parametrize("arguments, sentence", BACKWARD_ERRORS)
def test_backward_errors(native_module: ModuleType, arguments, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        native_module.bias_activation_backward_channels(*arguments)
    assert str(caught.value) == f"bias_activation_backward_channels: {sentence}"


@binding
@pytest.mark.parametrize(
    "name, out, sentence",
    [
        ("random_bits", array(3), "out must be uint32, got float32"),
        ("uniform", array(3, dtype=np.int32), "out must be float32 or float64, got int32"),
        ("normal", array(3, 3), "out must have 1 dimension, got (3, 3)"),
        ("normal", array(6)[::2], "out must be contiguous and aligned, got another memory order"),
        ("normal", read_only(3), "out must be writeable, got a read-only array"),
    ],
)
def test_philox_errors(native_module: ModuleType, name: str, out: Array, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        getattr(native_module, name)(0, 0, 0, out)
    assert str(caught.value) == f"{name}: {sentence}"


def test_an_offset_beyond_the_stream_is_refused(native_module: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"normal: offset \+ size must be at most 2\*\*63"):
        native_module.normal(0, 0, 2**63, array(1))


def test_an_unknown_instruction_set_is_refused(native_module: ModuleType) -> None:
    with pytest.raises(ValueError, match="name must be one of instruction_sets"):
        native_module.use_instruction_set("mmx")
