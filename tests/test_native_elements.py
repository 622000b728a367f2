"""Element programs on the CPU: every step against its slot, random chains, layouts, reductions."""

from __future__ import annotations

import time
from types import ModuleType

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.backend.elements import programs
from tensorflowlite.backend.elements.programs import (
    ElementProgram,
    Reduction,
    Step,
    constant,
    inputs_of,
)
from tensorflowlite.backend.native import elements as native_elements
from tensorflowlite.backend.native import extension as native

from . import element_samples
from .element_samples import Sample, hold, hold_step

binding = pytest.mark.binding
F4 = np.dtype("f4")
UNIT = 2.0**-53  # sums are made in double


def native_run(program, arrays, outs):
    """Run by the extension: what it leaves to the slots fails."""
    bound = native_elements.bind(program, arrays, outs)
    assert type(bound) is native.module.BoundElements, programs.readable(program)
    bound()


@binding
@pytest.mark.parametrize("dtype", element_samples.DTYPES, ids=str)
def test_every_operation(native_module: ModuleType, dtype) -> None:
    """On special numbers in every pair, and on some hundred others."""
    rng = np.random.default_rng(1)
    for op, kinds, attributes in element_samples.single_steps():
        if kinds[-1] != dtype:
            continue
        given = element_samples.operands_for(rng, kinds, 300)
        result = programs.supports(op, kinds, attributes)
        step = Step(op, tuple(range(len(kinds))), attributes, result)
        out = np.empty(given[0].shape, result)
        native_run(ElementProgram(inputs_of(given), (step,), (len(kinds),)), given, [out])
        hold_step(step, given, out)


@pytest.mark.parametrize(
    "start", [pytest.param(0, marks=binding), *[pytest.param(i) for i in range(60, 360, 60)]]
)
def test_random_programs(native_module: ModuleType, start: int) -> None:
    for seed in range(start, start + 60):
        hold(Sample(seed), native_run, UNIT)


@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0, 0.5, 1.0, 0.0, -2.5])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", dtypes.bfloat16], ids=str)
def test_constant_exponents(native_module: ModuleType, exponent: float, dtype) -> None:
    (x,) = element_samples.operands_for(np.random.default_rng(0), [np.dtype(dtype)], 500)
    steps = (constant(exponent, x.dtype), Step("power", (0, 1), (), x.dtype))
    out = np.empty_like(x)
    native_run(ElementProgram(inputs_of([x]), steps, (2,)), [x], [out])
    hold_step(steps[1], [x, programs.number_of(steps[0])], out)
    if exponent in (2.0, -1.0):  # as one operation, rounded correctly
        with np.errstate(all="ignore"):
            assert element_samples.same_bits(out, x * x if exponent == 2.0 else 1 / x)


def test_doubles_are_rounded_once_to_half(native_module: ModuleType) -> None:
    """In float32 these are halfway between two halves, where they themselves are not."""
    near = [1 + 2.0**-11 + 2.0**-40, 1 + 3 * 2.0**-11 - 2.0**-40, 2.0**-25 * (1 + 2.0**-30)]
    x = np.array([*near, *[-one for one in near], 65519.999, 65520, np.nan, np.inf, 1e-310, 0])
    step = Step("cast", (0,), (dtypes.float16,), dtypes.float16)
    out = np.empty(x.shape, "f2")
    native_run(ElementProgram(inputs_of([x]), (step,), (1,)), [x], [out])
    hold_step(step, [x], out)
    assert out[0] == 1 + 2.0**-10 and out[1] == 1 + 2.0**-10


@binding
def test_outputs_in_the_place_of_inputs(native_module: ModuleType) -> None:
    """Also where a later step reads the input, and where the output lies backwards."""
    for n in (5, 3000):
        for step in (1, -1, 2):
            room = np.random.default_rng(0).random(2 * n).astype("f4")
            x = room[: n * abs(step)][::step][:n]
            y = np.random.default_rng(1).random(n).astype("f4")
            steps = (Step("add", (0, 1), (), F4), Step("multiply", (2, 0), (), F4))
            program = ElementProgram(inputs_of([x, y]), steps, (2, 3))
            wanted, second = x + y, np.empty(n, "f4")
            product = wanted * x
            native_run(program, [x, y], [x, second])
            assert x.tobytes() == wanted.tobytes() and second.tobytes() == product.tobytes()


def test_overlapping_arrays_are_left_to_the_slots(native_module: ModuleType) -> None:
    room = np.arange(9, dtype="f4")
    x, out = room[:-1], room[1:]
    wanted = np.exp(x)
    program = ElementProgram(inputs_of([x]), (Step("exp", (0,), (), F4),), (1,))
    native_elements.run(program, [x], [out])
    assert element_samples.units_apart(out, wanted).max() <= 2


def test_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "module", None)
    native_elements.prepared.cache_clear()
    for seed in range(20):
        hold(Sample(seed), native_elements.run, UNIT)
    native_elements.prepared.cache_clear()


def test_what_the_extension_refuses_runs_by_slots(native_module: ModuleType) -> None:
    """More values at a time than registers, and more axes than it joins."""
    x = np.random.default_rng(0).random(9).astype("f4")
    steps = tuple([constant(i, F4) for i in range(40)])
    total = [Step("add", (0, 1), (), F4)]
    total += [Step("add", (40 + i, i + 1), (), F4) for i in range(1, 40)]
    program = ElementProgram(inputs_of([x]), (*steps, *total), (80,))
    assert native_elements.prepared(program) is None
    out = np.empty_like(x)
    native_elements.run(program, [x], [out])
    np.testing.assert_allclose(out, x + sum(range(40)), rtol=1e-6)
    wide = np.random.default_rng(0).random((4,) * 9).astype("f4")[(slice(None, None, 2),) * 9]
    out = np.empty_like(wide)
    program = ElementProgram(inputs_of([wide]), (Step("exp", (0,), (), F4),), (1,))
    native_elements.run(program, [wide], [out])
    assert element_samples.units_apart(out, np.exp(wide)).max() <= 2


@binding
def test_the_same_bits_on_every_number_of_threads(
    native_module: ModuleType, kernels_as_before: None
) -> None:
    rng = np.random.default_rng(0)
    for shape, axes in [((300_001,), (0,)), ((7, 50_003), (1,)), ((50_003, 7), (0,))]:
        x = rng.standard_normal(shape).astype("f4")
        program = ElementProgram(
            inputs_of([x]), (Step("tanh", (0,), (), F4),), (1,), Reduction("sum", 1, axes, False)
        )
        found = []
        for threads in (1, 2, 3):
            tfl.set_num_threads(threads)
            outs = [np.empty_like(x), np.empty(programs.result_shape(program, shape), "f4")]
            native_run(program, [x], outs)
            found.append(b"".join(out.tobytes() for out in outs))
        assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_long_sums_are_exact(native_module: ModuleType, axes) -> None:
    """float32 sums of 10**5 numbers near 1 would be wrong in the fifth digit."""
    x = 1 + np.random.default_rng(0).random((3, 100_000) if axes == (1,) else (100_000, 3))
    x = x.astype("f4")
    program = ElementProgram(
        inputs_of([x]), (Step("negative", (0,), (), F4),), (), Reduction("sum", 1, axes, False)
    )
    out = np.empty(programs.result_shape(program, x.shape), "f4")
    native_run(program, [x], [out])
    assert (out == (-x.astype("f8")).sum(axes).astype("f4")).all()


def test_bound_arrays_stay_alive(native_module: ModuleType) -> None:
    x = np.full(4096, 2.0, "f4")
    out = np.zeros(4096, "f4")
    program = ElementProgram(inputs_of([x]), (Step("square", (0,), (), F4),), (1,))
    bound = native_elements.bind(program, [x], [out])
    del x
    _ = [np.full(4096, float(i), "f4") for i in range(20)]
    bound()
    assert (out == 4).all()


def test_a_call_takes_little_time(native_module: ModuleType) -> None:
    """What a replay pays for a short chain: some hundred nanoseconds."""
    x = np.ones(16, "f4")
    program = ElementProgram(
        inputs_of([x]), tuple([Step("add", (0, i), (), F4) for i in range(8)]), (8,)
    )
    bound = native_elements.bind(program, [x], [np.empty_like(x)])
    times = []
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(100):
            bound()
        times.append((time.perf_counter() - start) / 100)
    assert min(times) < 5e-6
