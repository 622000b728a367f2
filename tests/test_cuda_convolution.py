"""The kernels of convolutions, run on the host, against the NumPy slots in float64."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.cuda import convolution as cuda_convolution
from tensorflowlite.backend.cuda import convolution_direct as cuda_convolution_direct
from tensorflowlite.backend.cuda import convolution_slots as cuda_convolution_slots
from tensorflowlite.backend.cuda.convolution import FORWARD, INPUT, WEIGHT, Geometry
from tensorflowlite.backend.slots import conv as conv_slots
from tests import host_kernels

pytestmark = pytest.mark.skipif(bool(host_kernels.why_not()), reason=host_kernels.why_not())

Array = np.ndarray[Any, Any]
SINGLE, DOUBLE, HALF, BFLOAT = (
    np.dtype(t) for t in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)
)
# The rounding of results of about 1, and of sums of at most some hundred products.
LIMITS = {SINGLE: 2e-6, DOUBLE: 2e-15, HALF: 1e-3, BFLOAT: 8e-3}
LIBRARY = conv_slots.slots(np)
SLOTS = ("convolution", "convolution_input_gradient", "convolution_weight_gradient")


def pads(*lengths: int) -> tuple[tuple[int, int], ...]:
    return tuple([(n, n) for n in lengths])


# Shapes of images and weights, stride, padding, dilation, groups. Channels of whole packs are read
# side by side, others one by one; strides and dilations have common divisors, and not.
CASES: dict[str, Any] = {
    "packs": ((2, 8, 9, 7), (16, 8, 3, 3), (2, 2), pads(1, 1), (1, 1), 1),
    "packs in groups": ((2, 16, 5, 6), (24, 8, 3, 2), (1, 1), ((0, 1), (2, 0)), (1, 2), 2),
    "single": ((2, 3, 9, 11), (5, 3, 3, 3), (2, 3), pads(1, 1), (4, 2), 1),
    "single in groups": ((1, 6, 7, 8), (9, 2, 2, 3), (3, 2), pads(1, 2), (1, 3), 3),
    "packs and single": ((3, 8, 6, 5), (3, 8, 2, 2), (1, 2), pads(1, 0), (1, 1), 1),
    "pointwise": ((3, 5, 4, 6), (7, 5, 1, 1), (1, 1), pads(0, 0), (1, 1), 1),
    "pointwise in groups": ((2, 16, 2, 4), (16, 8, 1, 1), (1, 1), pads(0, 0), (1, 1), 2),
    "pointwise, no packs": ((2, 5, 3, 5), (7, 5, 1, 1), (1, 1), pads(0, 0), (1, 1), 1),
    "one axis": ((2, 4, 33), (6, 4, 5), (2,), pads(2), (3,), 1),
    "three axes": ((2, 2, 5, 4, 6), (3, 2, 2, 2, 3), (1, 2, 1), pads(0, 1, 1), (1, 1, 2), 1),
    "no windows on some places": ((1, 3, 9, 9), (4, 3, 1, 2), (3, 4), pads(0, 0), (1, 1), 1),
}  # fmt: skip
DEPTHWISE: dict[str, Any] = {
    "depthwise": ((2, 5, 7, 9), (5, 1, 3, 3), (1, 1), pads(1, 1), (1, 1), 5),
    "two outputs": ((2, 6, 8, 7), (12, 1, 3, 2), (2, 3), pads(1, 1), (2, 1), 6),
    "small groups": ((1, 6, 9, 5), (4, 3, 2, 2), (2, 2), pads(1, 0), (4, 2), 2),
    "one axis": ((3, 4, 40), (4, 1, 7), (2,), pads(3), (1,), 4),
}  # fmt: skip


def not_called(*args: Any) -> Any:
    raise AssertionError("the library's slot must not run")


@functools.cache
def slots_for(order: str = "ascending") -> dict[str, Any]:
    kernels = host_kernels.HostKernels(order)
    return cuda_convolution_slots.slots(np, kernels, lambda name: not_called)


def normal(shape: tuple[int, ...], dtype: Any, seed: int, std: float = 1.0) -> Array:
    return (np.random.default_rng(seed).standard_normal(shape) * std).astype(dtype)


def close(found: Array, expected: Array, dtype: Any, factor: float = 1.0) -> None:
    assert (found.dtype, found.shape) == (dtype, expected.shape)
    limit = LIMITS[dtype] * factor
    scale = float(abs(expected).max())
    np.testing.assert_allclose(found.astype(np.float64), expected, limit, limit * scale)


def operands(case: Any, dtype: Any) -> dict[str, tuple[Any, ...]]:
    """Return the arguments of each slot."""
    x_shape, w_shape, *geometry = case
    x = normal(x_shape, dtype, 0)
    w = normal(w_shape, dtype, 1, float(np.prod(w_shape[1:])) ** -0.5)
    y = normal(Geometry(*case).out_shape, dtype, 2)
    return {
        "convolution": (x, w, *geometry),
        "convolution_input_gradient": (y, w, x_shape, *geometry),
        "convolution_weight_gradient": (y, x, w_shape, *geometry),
    }


def expected_of(name: str, args: tuple[Any, ...]) -> Array:
    wide = [one.astype(np.float64) if isinstance(one, np.ndarray) else one for one in args]
    return np.asarray(LIBRARY[name](*wide))


def check(case: Any, dtype: Any, order: str = "ascending", factor: float = 1.0) -> None:
    slots = slots_for(order)
    for name, args in operands(case, dtype).items():
        found = slots[name](*args)
        close(found, expected_of(name, args), dtype, factor)
        assert found.tobytes() == slots[name](*args).tobytes()


@pytest.mark.sanitized
@pytest.mark.parametrize("name", ["packs in groups", "single in groups"])
def test_ragged_shapes_in_half_precision(name: str) -> None:
    check(CASES[name], HALF)


@pytest.mark.parametrize("name", CASES)
def test_float32(name: str) -> None:
    check(CASES[name], SINGLE)


@pytest.mark.parametrize("name, dtype", [("packs", BFLOAT), ("single", DOUBLE)], ids=str)
def test_other_types(name: str, dtype: Any) -> None:
    check(CASES[name], dtype)


def test_single_places_of_half_precision() -> None:
    check(CASES["pointwise"], HALF)


@pytest.mark.parametrize("order", host_kernels.ORDERS)
def test_the_order_of_threads_does_not_matter(order: str) -> None:
    check(CASES["packs in groups"], HALF, order)
    check(CASES["single"], SINGLE, order)


@pytest.mark.sanitized
@pytest.mark.parametrize("name", DEPTHWISE)
def test_groups_of_few_channels(name: str) -> None:
    case = DEPTHWISE[name]
    assert cuda_convolution_direct.few_channels(Geometry(*case))
    check(case, SINGLE)


@pytest.mark.parametrize("order", host_kernels.ORDERS)
def test_groups_of_few_channels_in_any_order(order: str) -> None:
    check(DEPTHWISE["two outputs"], HALF, order)


def test_weights_of_few_channels_see_all_chunks() -> None:
    """More windows than a block sums."""
    case = ((3, 2, 70, 60), (2, 1, 3, 3), (1, 1), pads(1, 1), (1, 1), 2)
    check(case, DOUBLE, factor=100)


def plan(file: str, case: Any, dtype: Any) -> cuda_convolution.Plan:
    return cuda_convolution.plan_of(file, Geometry(*case), dtype, False, False, 3)


def test_several_tiles_and_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large tiles, which smaller problems don't take by themselves, more than one of them."""
    monkeypatch.setattr(cuda_convolution, "_ENOUGH_BLOCKS", 2)
    cuda_convolution.plan_of.cache_clear()
    case = ((2, 8, 13, 11), (136, 8, 3, 3), (1, 1), pads(1, 1), (1, 1), 1)
    forward, weight = plan(FORWARD, case, SINGLE), plan(WEIGHT, case, SINGLE)
    assert (forward.tile.rows, forward.tile.columns, *forward.grid) == (128, 128, 6, 1)
    assert (weight.tile.rows, weight.splits, weight.grid) == (128, 2, (2, 2))
    check(case, SINGLE, factor=2)
    narrow = ((1, 8, 9, 16), (40, 8, 1, 2), *case[2:])
    tile = plan(FORWARD, narrow, HALF).tile
    assert (tile.rows, tile.columns) == (64, 128)
    args = operands(narrow, HALF)["convolution"]
    close(slots_for()["convolution"](*args), expected_of("convolution", args), HALF)
    monkeypatch.undo()
    cuda_convolution.plan_of.cache_clear()


def test_floats_are_rounded_to_tf32_only_where_that_is_allowed() -> None:
    args = operands(CASES["packs"], SINGLE)
    try:
        tfl.cuda.set_float32_matmul_precision("high")
        for name in SLOTS[::2]:
            found, expected = slots_for()[name](*args[name]), expected_of(name, args[name])
            error = abs(found - expected).max() / abs(expected).max()
            assert 1e-5 < error < 1e-3
    finally:
        tfl.cuda.set_float32_matmul_precision("highest")


class Recording(host_kernels.HostKernels):
    """Kernels that tell which ran."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[str] = []

    def launch(self, file: str, entry: str, defines: Any, *args: Any, **options: Any) -> None:
        self.launched.append(entry)
        self.defines = defines
        super().launch(file, entry, defines, *args, **options)


def last_in_memory(array: Array) -> Array:
    axes = array.ndim
    back = (0, axes - 1, *range(1, axes - 1))
    return np.ascontiguousarray(array.transpose(0, *range(2, axes), 1)).transpose(back)


def test_channels_that_lie_last_are_read_as_they_lie() -> None:
    kernels = Recording()
    slots = cuda_convolution_slots.slots(np, kernels, lambda name: not_called)
    for name, args in operands(CASES["packs"], SINGLE).items():
        kernels.launched.clear()
        expected = expected_of(name, args)
        close(slots[name](*args), expected, SINGLE)
        copies = 2 if name == "convolution_weight_gradient" else 1
        assert kernels.launched.count("channels_last") == copies
        kernels.launched.clear()
        images = 2 if name == "convolution_weight_gradient" else 1
        lying = [last_in_memory(array) for array in args[:images]]
        close(slots[name](*lying, *args[images:]), expected, SINGLE)
        assert "channels_last" not in kernels.launched


def shifted(array: Array) -> Array:
    """Return an array that doesn't begin at a multiple of 16 bytes."""
    room = np.empty(array.size + 1, array.dtype)[1:].reshape(array.shape)
    room[:] = array
    assert room.ctypes.data % 16
    return room


@pytest.mark.sanitized
def test_strided_arrays_and_such_that_begin_anywhere() -> None:
    for case in (CASES["packs"], CASES["pointwise in groups"]):
        for name, args in operands(case, HALF).items():
            expected = expected_of(name, args)
            gaps = [np.repeat(array, 2, -1)[..., ::2] for array in args[:2]]
            close(slots_for()[name](*gaps, *args[2:]), expected, HALF)
            anywhere = [shifted(array) for array in args[:2]]
            close(slots_for()[name](*anywhere, *args[2:]), expected, HALF)
            if case is CASES["packs"]:
                behind = [shifted(last_in_memory(array).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
                          for array in args[:2]]  # fmt: skip
                close(slots_for()[name](*behind, *args[2:]), expected, HALF)


def test_nan_reaches_the_windows_that_see_it() -> None:
    x, w, *geometry = operands(CASES["packs"], SINGLE)["convolution"]
    x[1, 3, 4, 2] = np.nan
    found = slots_for()["convolution"](x, w, *geometry)
    expected = LIBRARY["convolution"](x, w, *geometry)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.isnan(found).any()


@pytest.mark.parametrize("activation, kept", [
    ("leaky_relu", False), ("gelu", True), (None, False),
])  # fmt: skip
@pytest.mark.parametrize("case", [CASES["packs in groups"], DEPTHWISE["two outputs"]],
                         ids=["implicit", "direct"])  # fmt: skip
def test_bias_and_activation(case: Any, activation: str | None, kept: bool) -> None:
    x, w, *geometry = operands(case, SINGLE)["convolution"]
    bias = normal(w.shape[:1], SINGLE, 5)
    kernels = Recording()
    slot = cuda_convolution_slots.slots(np, kernels, lambda name: not_called)["conv_act"]
    for given in ((bias,), ()):
        kernels.launched.clear()
        args = (x, w, *given, *geometry, activation)
        assert slot.accepts(*args)
        out, saved = slot(*args)
        assert [one for one in kernels.launched if one != "channels_last"] in (
            ["convolution_forward"], ["direct_forward"],
        )  # fmt: skip
        z = expected_of("convolution", (x, w, *geometry))
        z = z + bias.astype(np.float64).reshape(-1, 1, 1) if given else z
        forward: dict[Any, Callable[..., Any]] = {
            "leaky_relu": lambda v: np.where(v > 0, v, 0.01 * v),
            "gelu": lambda v: tfl.nn.functional.gelu(tfl.tensor(v)).numpy(),
            None: lambda v: v,
        }  # fmt: skip
        close(out, forward[activation](z), SINGLE)
        if kept:
            close(saved, z, SINGLE)
        else:
            assert saved is (None if activation is None else out)


def test_a_layer_that_no_kernel_takes_ends_in_one() -> None:
    """The library's convolution, then a pass for bias and activation."""
    x, w = normal((1, 2, 5, 1), SINGLE, 0), normal((3, 2, 1, 1), SINGLE, 1)
    bias = normal((3,), SINGLE, 2)
    geometry = ((2, 2**15), pads(0, 0), (1, 1), 1)
    kernels = Recording()
    slot = cuda_convolution_slots.slots(np, kernels, lambda name: LIBRARY[name])["conv_act"]
    assert slot.accepts(x, w, bias, *geometry, "relu")
    out, saved = slot(x, w, bias, *geometry, "relu")
    z = LIBRARY["convolution"](x, w, *geometry) + bias.reshape(3, 1, 1)
    close(out, np.maximum(z, 0).astype(np.float64), SINGLE)
    assert saved is out
    assert kernels.launched == ["bias_activation_forward"]
    assert not slot.accepts(x[:0], w, bias, *geometry, "relu")
    assert not slot.accepts(x, w, bias, *geometry, "softplus")
    assert not slot.accepts(x, w.astype(DOUBLE), bias, *geometry, "relu")


X, W, PLAIN = np.zeros((1, 2, 4, 4)), np.zeros((3, 2, 2, 2)), ((1, 1), pads(0, 0), (1, 1), 1)
Y = np.zeros((1, 3, 3, 3))


@pytest.mark.parametrize("name, args", [
    ("convolution", (X.astype(complex), W.astype(complex), *PLAIN)),
    ("convolution", (X, W.astype(SINGLE), *PLAIN)),
    ("convolution", (X[:0], W, *PLAIN)),
    ("convolution", (X, W[:0], *PLAIN)),
    ("convolution", (X, W, (2**15, 1), *PLAIN[1:])),
    ("convolution", (X, W, (1, 1), pads(0, -1), *PLAIN[2:])),
    ("convolution", (X[..., :1], W, *PLAIN)),
    ("convolution_input_gradient", (Y, W.astype(SINGLE), (1, 2, 4, 4), *PLAIN)),
    ("convolution_input_gradient", (Y, W, (1, 2, 4, 4), (256, 256), *PLAIN[1:])),
    ("convolution_weight_gradient", (Y.astype(int), X.astype(int), (3, 2, 2, 2), *PLAIN)),
])  # fmt: skip
def test_others_go_to_the_library(name: str, args: Any) -> None:
    passed = []
    slots = cuda_convolution_slots.slots(
        np, host_kernels.HostKernels(), lambda slot: lambda *given: passed.append(slot)
    )
    slots[name](*args)
    assert passed == [name]


def test_what_a_device_has_no_instructions_for_is_not_taken() -> None:
    geometry = Geometry(*CASES["packs"])
    assert not cuda_convolution.accepts(geometry, BFLOAT, (7, 5))
    assert cuda_convolution.accepts(geometry, HALF, (7, 5))
    assert not cuda_convolution.accepts(geometry, HALF, (7, 0))
    assert not cuda_convolution.tf32(SINGLE, (7, 5))


def test_what_indices_of_32_bits_cannot_count_is_not_taken() -> None:
    def taken(x_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> bool:
        geometry = Geometry(x_shape, w_shape, *PLAIN)
        return cuda_convolution.accepts(geometry, SINGLE, (9, 0))

    assert taken((100, 1024, 1024, 1024), (8, 1024, 3, 3))  # an array may have more elements
    assert not taken((1, 2048, 1024, 1024), (8, 2048, 3, 3))
    assert not taken((1, 8, 1024, 1024), (2100, 8, 3, 3))
    assert not taken((2100, 8, 1024, 1024), (8, 8, 3, 3))


def test_phases_cover_each_place_once() -> None:
    """The grid is made for the largest phase."""
    for case in (CASES["single"], CASES["no windows on some places"]):
        found = plan(INPUT, case, SINGLE)
        geometry = Geometry(*case)
        assert found.grid[1] == geometry.phases
        largest = np.prod([-(-n // s) for n, s in zip(case[0][2:], case[2], strict=True)])
        assert found.grid[0] == found.tile.number(geometry.channels, case[0][0] * int(largest))


# -- which of the ways -----------------------------------------------------------------------------
class Clock:
    """A queue on which the ways take what a test says."""

    def __init__(self, kernels: Recording, quicker: str) -> None:
        self._kernels, self._quicker = kernels, quicker
        self.timed = 0

    def capturing(self) -> bool:
        return False

    def device_name(self) -> str:
        return "clock"

    def time(self, run: Callable[[], Any], iterations: int) -> float:
        self.timed += 1
        before = len(self._kernels.launched)
        run()
        launched = self._kernels.launched[before:]
        name = "columns"
        if any(one.startswith("convolution") for one in launched):
            # The depth of the weights' gradient is divided: it takes large tiles untried.
            usual = 128 if "convolution_weight_gradient" in launched else 64
            name = "kernel" if self._kernels.defines["TFL_COLUMNS"] == usual else "kernel 2"
        return 1.0 if name == self._quicker else 2.0


@pytest.mark.parametrize("quicker", ["kernel", "kernel 2", "columns"])
def test_the_quicker_way_is_taken_for_large_problems(
    quicker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORFLOWLITE_CACHE", str(tmp_path))
    monkeypatch.setattr(cuda_convolution_slots, "LARGE", 1)
    monkeypatch.setattr("tensorflowlite.backend.cuda.gemm.LARGE", 1)
    args = operands(((2, 8, 9, 7), (16, 8, 3, 3), (1, 1), pads(1, 1), (1, 1), 1), SINGLE)
    x, w, *geometry = args["convolution"]
    bias = normal((16,), SINGLE, 4)

    def run() -> tuple[Recording, Clock]:
        kernels = Recording()
        clock = Clock(kernels, quicker)
        ways = cuda_convolution_slots.Ways(np, kernels, lambda name: LIBRARY[name])
        queue: Any = clock
        chooser = cuda_convolution_slots.chooser_of(np, ways, kernels.driver, queue)
        slots = cuda_convolution_slots.slots(np, kernels, lambda name: LIBRARY[name], chooser)
        for name in SLOTS:
            close(slots[name](*args[name]), expected_of(name, args[name]), SINGLE, 2)
        out, saved = slots["conv_act"](x, w, bias, *geometry, "gelu")
        z = expected_of("convolution", args["convolution"]) + bias.reshape(-1, 1, 1)
        close(saved, z, SINGLE, 2)
        close(out, tfl.nn.functional.gelu(tfl.tensor(z)).numpy(), SINGLE, 2)
        assert set(chooser.chosen().values()) == {quicker}
        assert len(chooser.chosen()) == 4
        kernels.launched.clear()
        slots["convolution"](*args["convolution"])
        assert ("convolution_forward" in kernels.launched) == (quicker != "columns")
        return kernels, clock

    assert run()[1].timed > 0
    assert run()[1].timed == 0  # what was chosen is on the disk
