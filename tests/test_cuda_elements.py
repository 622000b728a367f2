"""Element programs as generated CUDA kernels, run on the host, and compiled for every chip."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import element_source as cuda_element_source
from tensorflowlite.backend.cuda import elements as cuda_elements
from tensorflowlite.backend.cuda import kernel_cache, kernels
from tensorflowlite.backend.elements import programs
from tensorflowlite.backend.elements import table as element_table
from tensorflowlite.backend.elements.programs import (
    ElementProgram,
    Input,
    Reduction,
    Step,
    constant,
    inputs_of,
)
from tensorflowlite.errors import DeviceError

from . import element_samples
from .compilers import need_nvrtc, spills_of
from .element_samples import Sample, hold, hold_reduction, hold_step, numbers, same_bits
from .host_kernels import ORDERS, HostKernels, why_not

on_host = pytest.mark.skipif(bool(why_not()), reason=why_not())
F4, F8, F2, BF, B1 = dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16, dtypes.bool_
OTHERS = (B1, dtypes.int64, F2)
UNIT = 2.0**-24  # sums of floats are made in float32


def runner(order: str = "ascending") -> Any:
    elements = cuda_elements.Elements(np, HostKernels(order))

    def run(program: ElementProgram, arrays: Any, outs: Any) -> None:
        bound = elements.bind(program, arrays, outs)
        assert bound is not None
        bound()

    return run


def in_one_kernel(chosen: Any) -> None:
    """Run many operations, each on inputs, as one program, and hold each."""
    rng, count = np.random.default_rng(2), 200
    # Operands of a dtype, first and second, so that special numbers meet in every pair.
    places: list[Any] = []
    steps = []
    for op, kinds, attributes in chosen:
        operands = []
        for key in enumerate(kinds[1:] if op == "where" else kinds):
            if key not in places:
                places.append(key)
            operands.append(places.index(key))
        if op == "where":
            places += [("?", B1)] if ("?", B1) not in places else []
            operands.insert(0, places.index(("?", B1)))
        steps.append(
            Step(op, tuple(operands), attributes, programs.supports(op, kinds, attributes))
        )
    given = []
    for place, kind in places:
        x, y = element_samples.operands_for(rng, [kind, kind], count)
        given.append((y if place == 1 else x)[:count])
    first = len(given)
    program = ElementProgram(
        inputs_of(given), tuple(steps), tuple(range(first, first + len(steps)))
    )
    outs = [np.empty(count, step.dtype) for step in steps]
    runner()(program, given, outs)
    for step, out in zip(steps, outs, strict=True):
        hold_step(step, [given[operand] for operand in step.operands], out)


EVERY = element_samples.single_steps()
FUNCTIONS = {*element_table.FUNCTIONS, *element_table.FLOAT_FUNCTIONS, "power"}


@on_host
def test_every_operation():
    in_one_kernel([one for one in EVERY if one[1][-1] == F4 and set(one[1]) <= {F4, B1}])


@on_host
def test_operations_of_other_dtypes():
    """Arithmetic, comparison and casts; the functions are float32's but for their rounding."""
    chosen = [one for one in EVERY if one[1][-1] in OTHERS and {*one[1]} <= {B1, one[1][-1]}]
    chosen = [one for one in chosen if one[0] not in ("cast", *FUNCTIONS)]
    casts = [("cast", (x,), (y,)) for x, y in itertools.permutations((*OTHERS, BF, F8), 2)]
    in_one_kernel([*chosen, *casts, ("exp", (F2,), ()), ("rsqrt", (BF,), ()), ("relu", (F2,), ())])


# Each costs the compiler half a second or more.
SEEDS = (16, 33)


@on_host
@pytest.mark.parametrize("seed", SEEDS)
def test_random_programs(seed):
    hold(Sample(seed, shapes=SHAPES), runner(), UNIT)


SHAPES = [(37, 41), (3, 300), (300, 3), (2, 3, 4), (9, 1, 30), (2, 3, 2, 5), (0, 4), ()]

CHAIN = (
    Step("add", (0, 1), (), F4), constant(-0.5, F4), Step("less", (3, 2), (), B1),
    Step("where", (4, 2, 0), (), F4), Step("tanh", (5,), (), F4),
)  # fmt: skip


def chain_of(x: Any, y: Any, *more: Any) -> ElementProgram:
    return ElementProgram(inputs_of([x, y]), CHAIN, (4, 6), *more)


def hold_chain(run: Any, x: Any, y: Any, reduction: Reduction | None = None) -> list[Any]:
    """Run the chain; hold what it writes, and return that."""
    program = chain_of(x, y, reduction)
    # What lies behind them shows a write too far.
    rooms = [np.full(x.size + 9, 1, dtype) for dtype in ("?", "f4")]
    outs = [room[: x.size].reshape(x.shape) for room in rooms]
    if reduction is not None:
        outs.append(np.empty(programs.result_shape(program, x.shape), "f4"))
    run(program, [x, y], outs)
    assert all((room[x.size :] == 1).all() for room in rooms)
    wanted = programs.values_by_numpy(program, [x, y])
    assert same_bits(outs[0], wanted[4])
    hold_step(Step("tanh", (0,), (), F4), [wanted[5]], outs[1])
    if reduction is not None:
        hold_reduction(program, outs[1], outs[2], UNIT)
    return outs


@on_host
@pytest.mark.sanitized
@pytest.mark.parametrize("order", ORDERS)
def test_arrays_in_every_layout(order):
    rng, run = np.random.default_rng(3), runner(order)
    x, row = numbers(rng, (19, 53), "f4"), numbers(rng, (53,), "f4")
    one = numbers(rng, (1, 1), "f4")
    hold_chain(run, x, numbers(rng, (19, 53), "f4"))
    hold_chain(run, x, one)
    hold_chain(run, x, row)
    hold_chain(run, x[::-1, ::2], row[::-2])
    hold_chain(run, x.T, row[:19])
    hold_chain(run, x[:0], row)
    room = np.zeros(1 + x.size, "f4")[1:].reshape(x.shape)  # no multiple of 16
    room[...] = x
    hold_chain(run, room, one)


@on_host
@pytest.mark.sanitized
@pytest.mark.parametrize("order", ORDERS)
def test_reductions(order):
    """Rows by warps and by blocks, columns, in one chunk and several, of no element."""
    rng, run = np.random.default_rng(4), runner(order)
    for shape, axes in [
        ((11, 37), (1,)), ((3, 1300), (1,)), ((2, 9001), (1,)), ((3, 3001), (0, 1)),
        ((37, 11), (0,)), ((300, 5), (0,)), ((2, 3, 40), (0, 1)), ((3, 0), (1,)), ((0, 3), (1,)),
    ]:  # fmt: skip
        x, y = rng.standard_normal(shape).astype("f4"), numbers(rng, (shape[-1],), "f4")
        for keepdims in (False, True):
            hold_chain(run, x, y, Reduction("sum", 6, axes, keepdims))


@on_host
@pytest.mark.parametrize(
    "op, dtype",
    [("sum", "i4"), ("max", "?"), ("min", "f2"), ("mean", dtypes.bfloat16), ("max", "f8")],
    ids=str,
)
def test_folds_of_other_dtypes(op, dtype):
    x = numbers(np.random.default_rng(5), (5, 40), dtype)
    if x.dtype.kind not in "bi":
        x[0] = np.abs(x[0] / 4)
        x[:, 3] = np.nan
    program = ElementProgram(inputs_of([x]), (), (), Reduction(op, 0, (1,), False))
    out = np.empty(5, program.result_dtype())
    run = runner()
    run(program, [x], [out])
    hold_reduction(program, x, out, UNIT if x.dtype != np.float64 else 2.0**-53)


@on_host
def test_outputs_in_the_place_of_inputs():
    for shape in [(40, 7), (257,)]:
        x = np.random.default_rng(6).random(shape).astype("f4")
        wanted = x * x
        program = ElementProgram(inputs_of([x]), (Step("square", (0,), (), F4),), (1,))
        runner()(program, [x], [x])
        assert x.tobytes() == wanted.tobytes()


@on_host
def test_no_product_and_sum_become_one():
    """Each is rounded; and the compiler is told so."""
    x = np.float32(1 + np.random.default_rng(7).random(500))
    steps = (Step("multiply", (0, 0), (), F4), Step("subtract", (1, 0), (), F4))
    program, out = ElementProgram(inputs_of([x]), steps, (2,)), np.empty_like(x)
    runner()(program, [x], [out])
    assert out.tobytes() == (x * x - x).tobytes()
    text = cuda_element_source.source(program, "contiguous")
    assert "--fmad=false" in kernels.options_of(text, {})


@on_host
def test_more_axes_than_a_kernel_takes():
    wide = np.ones((4,) * 9, "f4")[(slice(None, None, 2),) * 9]
    program = ElementProgram(inputs_of([wide]), (Step("exp", (0,), (), F4),), (1,))
    elements = cuda_elements.Elements(np, HostKernels())
    assert elements.bind(program, [wide], [np.empty_like(wide)]) is None


def test_arrays_of_another_device_are_refused():
    class Elsewhere(np.ndarray):
        pass

    x = np.ones((3, 4), "f4").T
    loader = HostKernels()
    device_of = loader.driver.device_of
    loader.driver.device_of = lambda array: 1 if type(array) is Elsewhere else device_of(array)
    program = ElementProgram(inputs_of([x]), (Step("exp", (0,), (), F4),), (1,))
    text = cuda_element_source.source(program, "contiguous")
    lying = kernels.AsItLies(x.view(Elsewhere))
    with pytest.raises(DeviceError, match="got array 0 on device 1"):
        loader.launch(text, "elements_contiguous", {}, 0, 256, lying, kernels.AsItLies(x), 12)


def compiled_programs() -> list[tuple[ElementProgram, str, dict[str, Any]]]:
    """Programs with what takes the most registers: functions, many arrays, axes, reductions."""
    index = {"TFL_INDEX": "unsigned long long"}
    f8, half, row = Input(F8, (True, True)), Input(BF, (True,) * 2), Input(F2, (False, True))
    functions = ("exp", "tanh", "log", "erf", "sigmoid", "sqrt", "expm1", "sin")
    wide = tuple([Step(op, (i,), (), f8.dtype) for i, op in enumerate(functions)])
    narrow = tuple([Step(op, (i,), (), BF) for i, op in enumerate(functions)])
    last = len(functions)
    cast = Step("cast", (6,), (F4,), F4)
    many = (cast, *[Step("add", (i, 7 + i), (), F4) for i in range(6)])
    inputs = (Input(F4, (True, True)),) * 6 + (row,)
    arrays = ElementProgram(inputs, many, tuple(range(7, 14)))
    mean, largest = Reduction("mean", 13, (0,), False), Reduction("max", last, (1,), False)
    return [
        (ElementProgram((half,), narrow, (last,)), "contiguous", {}),
        (ElementProgram((f8,), wide, (last,), largest), "rows",
         {"TFL_AXES": 4, "TFL_KEPT": 2, **index}),
        (arrays, "strided", {"TFL_AXES": 8, "TFL_KEPT": 8, **index}),
        (arrays._replace(reduction=mean), "columns", {"TFL_AXES": 8, "TFL_KEPT": 3, **index}),
    ]  # fmt: skip


@pytest.mark.parametrize("architecture", kernels.ARCHITECTURES)
def test_no_kernel_spills(architecture):
    """All on the newest, one on each other chip."""
    need_nvrtc()
    every, turn = compiled_programs(), kernels.ARCHITECTURES.index(architecture)
    chosen = every if turn == len(kernels.ARCHITECTURES) - 1 else every[turn % 4 :][:1]
    for program, form, defines in chosen:
        programs.validate(program)
        text = cuda_element_source.source(program, form)
        options = [*kernels.options_of(text, defines), "--ptxas-options=-v"]
        source = kernels.source_of(text)
        code, log = kernels.nvrtc.compile_source(source, text.name, architecture, options)
        spills = spills_of(log)
        assert code.startswith(b"\x7fELF") and set(kernels.entries_of(text)) <= set(spills)
        assert not any(spills.values()), (form, spills)


def test_machine_code_is_kept_by_the_text(tmp_path, monkeypatch):
    need_nvrtc()
    monkeypatch.setenv("TENSORFLOWLITE_CACHE", str(tmp_path))
    f4 = Input(F4, (True,))
    made = []
    for op in ("square", "negative", "square"):
        program = ElementProgram((f4,), (Step(op, (0,), (), F4),), (1,))
        text = cuda_element_source.source(program, "contiguous")
        made.append(kernels.compiled(text, {}, "sm_80"))
    assert made[0] == made[2] != made[1]
    assert len(list(kernel_cache.directory().iterdir())) == 2


def test_an_error_names_the_text():
    need_nvrtc()
    text = kernels.Generated("elements.cu", '#include "types.cuh"\nno C++\n')
    with pytest.raises(kernels.nvrtc.CompileError, match=r"elements.cu: .*elements.cu\(2\)"):
        kernels.compiled(text, {}, "sm_80")
