"""Fused runs of recorded programs: what becomes one call, what must not, and the same results."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import (
    backend_of,
    cuda_fused_slots,
    dtypes,
    fused_elements,
    fused_program,
    fused_slots,
    fusion_steps,
    native,
    program_folding,
    program_fusion,
)
from tensorflowlite.backend.capture import Capture
from tensorflowlite.backend.element_programs import supports
from tensorflowlite.backend.numpy_backend import numpy_backend
from tensorflowlite.backend.program import Call, Program, compiled, listing
from tensorflowlite.backend.program_passes import optimized
from tensorflowlite.core.entry import constant
from tensorflowlite.errors import ArgumentError
from tensorflowlite.nn import functional as F
from tensorflowlite.transforms.jit_recording import record

from . import element_samples
from .backends import TestBackend
from .element_samples import laid, numbers, operands_for, same_bits, single_steps
from .host_kernels import HostKernels, why_not

FUSED = "fused_elements"
F4 = np.dtype("f4")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuse groups of any size."""
    monkeypatch.setattr(program_fusion, "LEAST", 1)


@pytest.mark.parametrize(
    "module", [fused_elements, fusion_steps, program_folding, fused_program], ids=str
)
def test_examples(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def drawn(*shape: int, seed: int = 3, dtype: Any = F4) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def recorded(function: Callable[..., Any], *arrays: Any) -> Program:
    xs = [tfl.Tensor(a) for a in arrays]
    with np.errstate(all="ignore"):
        found = record(function, xs, tuple(xs), {})[1]
    assert found is not None
    return found.program


def slots(program: Program) -> list[str]:
    return [call.slot for call in program.calls]


def fused(program: Program, fusion: str = "exact") -> Program:
    return optimized(program, program_fusion.passes(fusion))


def host(array: Any) -> Any:
    return backend_of(array).to_host(array)


def hold(before: Program, after: Program, *arrays: Any, tolerance: float = 0.0) -> None:
    """Both programs, run on these arrays, give the same and leave the same outside."""
    outside = [
        array for i, array in before.held.items()
        if before.values[i].kind == "outside" and hasattr(array, "copy")
    ]  # fmt: skip
    start = [array.copy() for array in outside]
    seen = []
    for program in (before, after):
        for array, old in zip(outside, start, strict=True):
            array[...] = old
        with np.errstate(all="ignore"):
            outputs = [host(one).copy() for one in compiled(program)(*arrays)]
        seen.append([*outputs, *[host(one).copy() for one in outside]])
    for one, other in zip(*seen, strict=True):
        assert one.strides == other.strides
        if tolerance:
            assert one.dtype == other.dtype
            np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)
        else:
            assert same_bits(other, one), (one, other)


def check(
    function: Callable[..., Any], *arrays: Any, groups: int, rest: tuple[str, ...] = (),
    fusion: str = "exact", tolerance: float = 0.0,
) -> Program:  # fmt: skip
    """Hold a function's program to itself fused: so many groups, and these other calls."""
    before = optimized(recorded(function, *arrays))
    after = fused(before, fusion)
    found = slots(after)
    assert found.count(FUSED) == groups, listing(after)
    assert tuple(slot for slot in found if slot != FUSED) == rest, listing(after)
    hold(before, after, *arrays, tolerance=tolerance)
    return after


def only(program: Program) -> Any:
    """Return the element program of the one fused call."""
    (call,) = [call for call in program.calls if call.slot == FUSED]
    return call.run.program


# -- what becomes one call -------------------------------------------------------------------------
def test_a_chain_is_one_call_and_its_values_stay_out_of_memory() -> None:
    after = check(lambda x: (x * 2 + 1) * x - 0.5, drawn(5, 7), groups=1)
    assert len(only(after).outputs) == 1 and len(after.calls) == 1
    assert after.calls[0].run.forms[0].shape == (5, 7)


def test_one_call_alone_stays() -> None:
    check(lambda x: x * 2, drawn(5), groups=0, rest=("multiply",))
    check(lambda x, y: (x * 2, tfl.sin(y)), drawn(5), drawn(4), groups=0, rest=("multiply", "sin"))


def test_small_groups_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_fusion, "LEAST", 160)
    check(lambda x: x * 2 + 1, drawn(159), groups=0, rest=("multiply", "add"))
    check(lambda x: x * 2 + 1, drawn(160), groups=1)
    # Functions are worth it sooner.
    check(lambda x: tfl.tanh(x * 2), drawn(9), groups=0, rest=("multiply", "tanh"), fusion="all")
    check(lambda x: tfl.tanh(x * 2), drawn(10), groups=1, fusion="all", tolerance=1e-6)


def test_values_that_others_read_are_written() -> None:
    def run(x: Any) -> Any:
        y = x * 2
        z = y + 1
        return tfl.sort(y), z

    after = check(run, drawn(9), groups=1, rest=("sort",))
    assert len(only(after).outputs) == 2


def test_several_consumers_and_several_results() -> None:
    def run(x: Any, y: Any) -> Any:
        a = x + y
        return a * x, a * y, tfl.where(a > 0, x, y)

    after = check(run, drawn(4, 3), drawn(4, 3, seed=4), groups=1)
    assert len(only(after).outputs) == 3


def test_calls_that_read_the_same_are_one() -> None:
    after = check(lambda x: (x * 2, x + 1), drawn(8), groups=1)
    assert len(only(after).inputs) == 1
    # But not those that read one number alone.
    check(lambda x, y, s: (x * s, y * s), drawn(8), drawn(8), drawn(), groups=0,
          rest=("multiply", "multiply"))  # fmt: skip


def test_two_chains_that_meet() -> None:
    check(lambda x, y: (x * 2 + 1) * (y - 3), drawn(8), drawn(8, seed=1), groups=1)


def test_other_calls_between() -> None:
    """A chain around a product: what the product needs comes before it."""
    def run(x: Any, w: Any) -> Any:
        h = (x * 2 + 1) @ w
        return (h - 1) * h + x

    after = check(run, drawn(6, 6), drawn(6, 6), groups=2, rest=("matmul",))
    assert slots(after) == [FUSED, "matmul", FUSED]


def test_a_run_that_is_too_much_at_a_time_is_parted() -> None:
    def run(*xs: Any) -> Any:
        total = xs[0] * 2
        for x in xs[1:]:
            total = total + x * x
        return total

    arrays = [drawn(6, seed=i) for i in range(40)]
    after = check(run, *arrays, groups=3, rest=("multiply",))
    for call in after.calls[1:]:
        assert fused_elements.fits(fused_program.lowered(call.run.program))

    def long(x: Any) -> Any:
        for i in range(150):
            x = x + (1.0 if i % 2 else -1.0)
        return x

    check(long, drawn(6), groups=3)


@pytest.mark.skipif(native.module is None, reason="the native extension isn't there")
def test_what_fits_is_what_the_extension_takes() -> None:
    from tensorflowlite.backend.element_lowering import lowered
    from tensorflowlite.backend.native_elements import prepared

    found = set()
    for seed in range(150):
        program = element_samples.Sample(seed, most_steps=70).program
        fits = fused_elements.fits(lowered(program))
        assert fits == (prepared(program) is not None)
        found.add(fits)
    assert found == {True, False}


# -- broadcasts, constants, layouts ----------------------------------------------------------------
def test_broadcasts_in_both_directions() -> None:
    def run(x: Any, row: Any, column: Any, one: Any) -> Any:
        return (x + row) * column - one

    after = check(run, drawn(4, 3), drawn(3), drawn(4, 1), drawn(), groups=1)
    assert [one.spans for one in only(after).inputs] == [
        (True, True), (False, True), (True, False), (False, False),
    ]  # fmt: skip
    # The common shape is nobody's.
    check(lambda a, b: (a + b) * a, drawn(4, 1), drawn(3), groups=1)


def test_a_broadcast_view_is_an_input_of_fewer_axes() -> None:
    def run(x: Any, row: Any) -> Any:
        return (x + tfl.broadcast_to(row, (4, 3))) * 2

    after = check(run, drawn(4, 3), drawn(3), groups=1)
    assert only(after).inputs[1].spans == (False, True)

    def alone(row: Any) -> Any:  # which tells the common shape
        return tfl.broadcast_to(row, (4, 3)) * 2 + 1

    after = check(alone, drawn(3), groups=1, rest=("broadcast_to",))
    assert only(after).inputs[0].spans == (True, True)


def test_another_shape_is_another_group() -> None:
    def run(x: Any, column: Any) -> Any:
        scale = tfl.sqrt(column * column + 1)
        return x * scale + scale

    check(run, drawn(4, 3), drawn(4, 1), groups=2)


def test_numbers_become_constants() -> None:
    def run(x: Any) -> Any:
        y = tfl.zeros_like(x) + x
        return tfl.ones_like(x) * 2 - y

    after = check(run, drawn(5, 2), groups=1)
    assert len(only(after).inputs) == 3  # the tensors that `zeros_like` and `ones_like` made

    def of_slots(capture: Capture, x: Any) -> Any:
        number = capture.constant(constant(1.5, F4))
        ones = capture.call("ones_like", np.ones_like, (x,))
        more = capture.call("add", np.add, (ones, number))
        y = capture.call("multiply", np.multiply, (x, more))
        zeros = capture.call("zeros_like", np.zeros_like, (y,))
        return capture.call("subtract", np.subtract, (zeros, y))

    before = built(of_slots, drawn(5, 2))
    after = fused(before)
    assert slots(after) == [FUSED] and len(only(after).inputs) == 1
    hold(before, after, drawn(5, 2))


def test_the_gradient_of_a_power_has_no_power() -> None:
    def run(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = (x * 3) ** 2
        return y.detach(), tfl.autograd.grad(y.sum(), [x])[0]

    after = check(run, drawn(5, 2), groups=1)
    ops = [step.op for call in after.calls if call.slot == FUSED for step in call.run.program.steps]
    assert ops.count("power") == 1 and "where" not in ops


def test_a_number_that_somebody_may_change_is_an_input() -> None:
    number = np.asarray(2.0, F4)
    before = optimized(recorded(lambda x: x * number + x, drawn(5)))
    after = fused(before)
    assert len(only(after).inputs) == 2
    hold(before, after, drawn(5))
    number[...] = 3
    hold(before, after, drawn(5))


@pytest.mark.parametrize("dtype", element_samples.DTYPES, ids=str)
@pytest.mark.parametrize("number", [2, 0.1, True, -1, 1e30, 2**40, math.inf, -0.0], ids=repr)
@pytest.mark.parametrize(
    "slot", ["add", "multiply", "divide", "subtract", "less", "equal", "maximum"]
)
def test_python_numbers_are_as_weak_as_the_slot_has_them(slot: str, number: Any, dtype: Any) -> None:
    """Raw numbers, as gradient rules have them: fused with what the slot gives, or not at all."""
    array = numbers(np.random.default_rng(0), (40,), dtype)
    run = getattr(numpy_backend, slot)
    for args in ((0, number), (number, 0)):
        def chain(capture: Capture, x: Any, args: Any = args) -> Any:
            y = capture.call(slot, run, tuple(x if arg is args[1 - args.index(number)] and
                                              type(arg) is int and arg == 0 else arg
                                              for arg in args))  # fmt: skip
            return capture.call("copy", numpy_backend.copy, (y,))

        try:
            with np.errstate(all="ignore"):
                before = built(chain, array)
        except (OverflowError, TypeError):  # NumPy has no such result
            continue
        hold(before, fused(before), array)


def built(function: Callable[..., Any], *arrays: Any) -> Program:
    """Return a program of slots that a function calls on a recording."""
    capture = Capture()
    inputs = [capture.enter("input", array) for array in arrays]
    with np.errstate(all="ignore"):
        outputs = function(capture, *inputs)
    outputs = outputs if type(outputs) is tuple else (outputs,)
    return capture.program(
        tuple([one.index for one in inputs]), tuple([one.index for one in outputs])
    )


def test_layouts_of_inputs_and_results() -> None:
    x, y = drawn(4, 6).T, drawn(12, 8)[::2, ::-2]
    check(lambda x, y: (x * 2 + y[:, :4]) * x, x, y, groups=1, rest=("getitem",))
    after = check(lambda x: x * 2 + x, drawn(3, 4, 5).transpose(2, 0, 1), groups=1)
    assert after.calls[0].run.forms[0].order is not None


def test_nothing_and_one() -> None:
    check(lambda x: x * 2 + 1, drawn(0, 3), groups=0, rest=("multiply", "add"))
    check(lambda x: x * 2 + 1, drawn(), groups=1)
    check(lambda x: x * 2 + 1, drawn(1, 1), groups=1)
    check(lambda x: (x * 2).sum(0), drawn(0, 3), groups=0, rest=("multiply", "sum"), fusion="all")


# -- what is in the way ----------------------------------------------------------------------------
def test_a_change_of_an_input_between_members() -> None:
    state = tfl.Tensor(drawn(6))

    def run(x: Any) -> Any:
        a = state * 2 + x
        state[1:3] = 7.0
        return a + state * 3

    check(run, drawn(6), groups=2, rest=("setitem",))


def test_a_change_of_what_may_be_the_same_memory() -> None:
    room = drawn(9)
    one, other = tfl.Tensor(room[:6]), tfl.Tensor(room[3:])

    def run(x: Any) -> Any:
        a = one * 2 + x
        other[0] = 7.0
        return a + one * 3

    check(run, drawn(6), groups=2, rest=("setitem",))

    def assigned(x: Any) -> Any:
        a = one * 2 + x
        with tfl.no_grad():
            other.copy_(a)
        return a + one * 3

    check(assigned, drawn(6), groups=2, rest=("setitem",))


def test_a_view_of_a_result_is_read_when_the_result_is_there() -> None:
    def run(x: Any) -> Any:
        y = x * 2 + 1
        return (y.T @ y) + y[:3] * 0 + 1

    after = check(run, drawn(3, 3), groups=2, rest=("permute_dims", "matmul", "getitem"))
    assert slots(after)[0] == FUSED


def test_additions_in_place_of_what_a_member_made() -> None:
    """As the tape adds gradients: the sum goes where the first was, which nobody sees."""
    def run(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = x * 2
        return tfl.autograd.grad((y * y * 3 + y).sum(), [x])[0]

    program = recorded(run, drawn(6))
    assert any(call.writes for call in program.calls)
    after = check(run, drawn(6), groups=1)
    assert not after.calls[-1].writes


def test_an_addition_in_place_that_was_read_before() -> None:
    def run(capture: Capture, x: Any, y: Any) -> Any:
        a = capture.call("multiply", np.multiply, (x, 2.0))
        b = capture.call("matmul", np.matmul, (a, y))
        capture.call("add", np.add, (a, y, a))
        c = capture.call("subtract", np.subtract, (a, b))
        return a, c, b

    before = built(run, drawn(3, 3), drawn(3, 3))
    after = fused(before)
    assert slots(after) == ["multiply", "matmul", FUSED] and after.calls[-1].writes
    hold(before, after, drawn(3, 3), drawn(3, 3))


def test_what_is_assigned_is_written_where_it_belongs() -> None:
    """Adam by hand: states and parameters are read and written by one call."""
    p, m, v, t = tfl.Tensor(drawn(6)), tfl.zeros(6), tfl.zeros(6), tfl.tensor(0.0)

    def run(g: Any) -> Any:
        t.add_(1)
        m.mul_(0.9).add_(0.1 * g)
        v.mul_(0.99).add_(0.01 * g * g)
        p.sub_(0.1 * (m / (1 - 0.9**t)) / (tfl.sqrt(v / (1 - 0.99**t)) + 1e-8))

    before = optimized(recorded(run, drawn(6)))
    after = fused(before)
    big = [call for call in after.calls if call.slot == FUSED and call.run.common == (6,)]
    assert len(big) == 1 and len(big[0].writes) == 3 and not big[0].run.forms
    hold(before, after, drawn(6))
    # Where the argument is the state itself, each change is seen by what comes after it.
    hold(before, after, m.numpy())
    room = m.numpy()
    assert big[0].run.meets([room if i in (0, 1) else drawn(6) for i in range(6)],
                            np.may_share_memory)  # fmt: skip


def test_a_target_read_through_a_view_closes_the_group() -> None:
    state = tfl.Tensor(drawn(3, 3))

    def run(x: Any) -> Any:
        with tfl.no_grad():
            state.mul_(2.0).add_(x)
        return state.T * 2 + 1

    after = check(run, drawn(3, 3), groups=2, rest=("permute_dims",))
    assert slots(after) == [FUSED, "permute_dims", FUSED]


def test_a_target_whose_other_view_was_read_is_left() -> None:
    state = tfl.Tensor(drawn(3, 3))

    def run(x: Any) -> Any:
        a = state.T * 2 + x
        with tfl.no_grad():
            state.copy_(a)
        return a + 1

    check(run, drawn(3, 3), groups=1, rest=("permute_dims", "setitem", "add"))


def test_steps_that_depend_on_a_flag() -> None:
    def run(capture: Capture, x: Any, flag: Any) -> Any:
        a = capture.call("multiply", np.multiply, (x, 2.0))
        capture.unless = flag.index
        capture.call("add", np.add, (a, x, a))
        capture.call("add", np.add, (a, x, a))
        capture.unless = None
        return capture.call("subtract", np.subtract, (a, 1.0))

    for value in (False, True):
        flag = np.asarray(value)
        before = built(run, drawn(5), np.asarray(False))
        after = fused(before)
        assert slots(after) == ["multiply", FUSED, "subtract"]
        assert after.calls[1].unless is not None
        hold(before, after, drawn(5), flag)


def test_quiet_calls_and_others_join() -> None:
    def run(capture: Capture, x: Any) -> Any:
        a = capture.call("divide", np.divide, (x, 0.0))
        return capture.call("add", np.add, (a, x))

    program = built(run, drawn(5))
    quiet, loud = [call._replace(quiet=one) for one, call in
                   zip((True, False), program.calls, strict=True)]  # fmt: skip
    after = fused(program._replace(calls=(quiet, loud)))
    assert slots(after) == [FUSED] and not after.calls[0].quiet
    after = fused(program._replace(calls=(quiet, loud._replace(quiet=True))))
    assert after.calls[0].quiet


def test_where_numpy_shall_raise_it_does() -> None:
    jitted = tfl.jit(lambda x: 2 / x + 1)
    for _ in range(4):
        jitted(tfl.ones(5))
    assert jitted.cache_info().replayed == 1 and FUSED in jitted.explain()
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        jitted(tfl.zeros(5))
    with np.errstate(all="ignore"):
        assert np.isinf(jitted(tfl.zeros(5)).numpy()).all()


# -- reductions ------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_a_reduction_ends_a_group(op: str, axis: Any, keepdims: bool) -> None:
    def run(x: Any, y: Any) -> Any:
        return getattr(tfl, op)(x * y + 1, axis=axis, keepdims=keepdims)

    arrays = drawn(3, 4, 5), drawn(4, 5)
    after = check(run, *arrays, groups=1, fusion="all", tolerance=1e-6)
    assert not only(after).outputs
    check(run, *arrays, groups=1, rest=(op,))


@pytest.mark.parametrize("op", ["sum", "max", "min"])
@pytest.mark.parametrize("dtype", [np.dtype("i4"), np.dtype("i8"), np.dtype("?")], ids=str)
def test_reductions_of_integers_are_exact(op: str, dtype: Any) -> None:
    x, y = [numbers(np.random.default_rng(i), (5, 7), dtype) for i in range(2)]
    for axis in ((0,), (1,), (0, 1)):
        def run(capture: Capture, x: Any, y: Any, axis: Any = axis) -> Any:
            a = capture.call("add", np.add, (x, y))
            return capture.call(op, getattr(numpy_backend, op), (a, axis)), a

        before = built(run, x, y)
        after = fused(before)
        assert slots(after) == [FUSED]
        hold(before, after, x, y)


def test_one_reduction_and_a_value_that_goes_on() -> None:
    def run(x: Any) -> Any:
        y = x * 2 + 1
        return y * 3, y.sum(0), y.sum(1)

    check(run, drawn(4, 5), groups=1, rest=("sum",), fusion="all", tolerance=1e-6)


def test_sums_of_broadcast_gradients() -> None:
    def run(x: Any, row: Any, column: Any) -> Any:
        leaves = [one.detach().requires_grad_() for one in (x, row, column)]
        out = leaves[0] * leaves[1] * leaves[2]
        return tfl.autograd.grad((out * out).sum(), leaves)

    arrays = drawn(4, 5), drawn(5), drawn(4, 1)
    before = optimized(recorded(run, *arrays))
    after = fused(before, "all")
    assert any(call.run.program.reduction for call in after.calls if call.slot == FUSED)
    hold(before, after, *arrays, tolerance=1e-5)


# -- steps, dtype by dtype -------------------------------------------------------------------------
def stepped(op: str, attributes: Any) -> Callable[..., Any]:
    run = getattr(numpy_backend, op)

    def chain(capture: Capture, *xs: Any) -> Any:
        first = capture.call(op, run, (*xs, *attributes))
        return capture.call("copy", numpy_backend.copy, (first,))

    return chain


@pytest.mark.parametrize("dtype", element_samples.DTYPES, ids=str)
def test_exact_steps_have_the_slots_bits(dtype: Any) -> None:
    """By the kernels that take what lies together, and by NumPy's slots, which take the rest."""
    rng = np.random.default_rng(5)
    seen = set()
    for op, kinds, attributes in single_steps():
        if kinds[-1] != dtype:
            continue
        given = [one.reshape(-1, 1) for one in operands_for(rng, kinds, 301)]
        for arrays in (given, [laid(rng, np.concatenate([x, x[::-1]], 1)) for x in given]):
            before = built(stepped(op, attributes), *arrays)
            after = fused(before)
            exact = op in fusion_steps.EXACT
            assert slots(after) == ([FUSED] if exact else slots(before)), op
            hold(before, after, *arrays)
            seen.add(op)
    assert len(seen) > 20 and supports("add", [dtype, dtype])


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("exponent", [1.0, 2.0, -1.0, 0.5, 3.0, 0.0, -0.5])
def test_powers_by_numbers(exponent: float, dtype: Any) -> None:
    (x,) = operands_for(np.random.default_rng(0), [np.dtype(dtype)], 500)

    def chain(x: Any) -> Any:
        return tfl.abs(x**exponent) + 1

    before = optimized(recorded(chain, x))
    hold(before, fused(before), x)
    inside = "power" in [step.op for step in only(fused(before)).steps]
    half = np.dtype(dtype) in dtypes.half
    exact = exponent in (1.0, 2.0, -1.0) or (exponent == 0.5 and not half)
    assert inside == (exact and exponent != 1.0)
    assert ("power" in slots(fused(before))) == (not exact)


FUNCTIONS: list[Any] = [
    tfl.exp, tfl.log1p, tfl.tanh, tfl.sigmoid, F.silu, F.gelu, F.softplus, tfl.erf, tfl.sin, F.elu,
    lambda x: x**3, lambda x: x**2.5,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=range(len(FUNCTIONS)))
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", dtypes.bfloat16], ids=str)
def test_all_takes_functions_too(function: Any, dtype: Any) -> None:
    x = np.abs(drawn(7, 9)).astype(dtype)

    def run(x: Any) -> Any:
        return function(x * 2) - x

    before = optimized(recorded(run, x))
    assert slots(fused(before))[0] != FUSED
    after = fused(before, "all")
    assert slots(after) == [FUSED]
    (one,), (other,) = compiled(before)(x), compiled(after)(x)
    assert one.dtype == other.dtype
    epsilon = float(dtypes.float_limits(x.dtype).eps)
    ours, theirs = other.astype("f8"), one.astype("f8")
    assert (np.abs(ours - theirs) <= 8 * epsilon * (np.abs(theirs) + np.abs(x.astype("f8")))).all()


# -- how it runs -----------------------------------------------------------------------------------
def chain_of_three(x: Any, y: Any) -> Any:
    return tfl.where(x > y, x * 2, y) + 1


def test_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    before = optimized(recorded(chain_of_three, drawn(5), drawn(5, seed=1)))
    monkeypatch.setattr(native, "module", None)
    hold(before, fused(before), drawn(5), drawn(5, seed=1))


def test_what_the_extension_refuses_runs_one_by_one() -> None:
    wide = np.random.default_rng(0).random((4,) * 9).astype("f4")[(slice(None, None, 2),) * 9]
    check(lambda x: x * 2 + 1, wide, groups=1)
    raw = np.zeros(4 * 9 + 1, np.uint8)[1:].view(F4)
    raw[...] = drawn(9)
    check(lambda x: x * 2 + 1, raw, groups=1)


@pytest.mark.skipif(native.module is None, reason="the native extension isn't there")
def test_the_extension_runs_it() -> None:
    after = fused(optimized(recorded(chain_of_three, drawn(5), drawn(5))))
    run = after.calls[0].run
    run(drawn(5), drawn(5))
    assert run.kept["native"] is not None and run._plain is None


def test_calls_one_by_one_need_no_values_from_around() -> None:
    """Views and constants that a fused call does without are made in its calls."""
    def run(x: Any, row: Any) -> Any:
        return (x + tfl.broadcast_to(row, (4, 3))) * 2 + tfl.zeros_like(x)

    arrays = drawn(4, 3), drawn(3)
    after = check(run, *arrays, groups=1)
    call = after.calls[0]
    given = [*arrays, np.zeros((4, 3), F4)]
    (plain,), (ours,) = call.run.plain(*given), call.run(*given)
    assert same_bits(ours, plain)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_gpu_s_kernels_run_it() -> None:
    state = tfl.Tensor(drawn(4, 5))

    def run(x: Any, row: Any) -> Any:
        y = tfl.where(x > 0, x * row, x) + 1
        with tfl.no_grad():
            state.mul_(0.5).add_(y)
        return y.T, y.max(0)

    arrays = drawn(4, 5), drawn(5)
    before = optimized(recorded(run, *arrays))
    after = fused(before, "all")
    slot = cuda_fused_slots.slots(np, HostKernels())[FUSED]

    def launched(fused: Any) -> Any:
        return lambda *given: slot(fused, given)

    calls = [call._replace(run=launched(call.run)) if call.slot == FUSED else call
             for call in after.calls]  # fmt: skip
    after = after._replace(calls=tuple(calls))
    for _ in range(2):  # the second time nothing is checked again
        hold(before, after, *arrays)
    shared = state.numpy()  # the argument is the state: one by one
    hold(before, after, shared, drawn(5))


def test_other_devices_run_it_one_by_one(backend: TestBackend) -> None:
    jitted, plain = tfl.jit(chain_of_three, fusion="all"), chain_of_three
    for i in range(5):
        args = [backend.tensor(drawn(6, seed=k)) for k in (i, i + 1)]
        ours, theirs = jitted(*args), plain(*args)
        assert same_bits(backend.host(ours.array), backend.host(theirs.array))
        assert type(ours.array) is backend.array_type
    assert jitted.cache_info().replayed and FUSED in jitted.explain()


def test_constants_are_made_where_the_arrays_are(backend: TestBackend) -> None:
    weight = backend.leaf(drawn(6))

    @tfl.jit
    def step(x: Any) -> Any:
        loss = ((x * weight) ** 2).sum()
        weight.grad = None
        loss.backward()
        return loss, weight.grad * 1

    def plain(x: Any) -> Any:
        w = weight.detach().requires_grad_()
        loss = ((x * w) ** 2).sum()
        return loss.detach(), tfl.autograd.grad(loss, [w])[0]

    for i in range(5):
        x = backend.tensor(drawn(6, seed=i))
        for ours, theirs in zip(step(x), plain(x), strict=True):
            assert same_bits(backend.host(ours.array), backend.host(theirs.array))


def test_listing_shows_what_is_fused() -> None:
    jitted = tfl.jit(lambda x: x * 2 + 1)
    for _ in range(3):
        jitted(tfl.ones(3))
    assert jitted.explain().splitlines() == [
        "%4 float32[3] = fused_elements(%0)  [12 bytes]", "    v0: float32[*]",
        "    v1: float32 = constant(2.0)", "    v2: float32 = multiply(v0, v1)",
        "    v3: float32 = constant(1.0)", "    v4: float32 = add(v2, v3)", "    write v4",
    ]  # fmt: skip


def test_errors_in_a_fused_call_are_the_operation_s(monkeypatch: pytest.MonkeyPatch) -> None:
    jitted = tfl.jit(lambda x: tfl.sqrt(x * 2) + 1)
    for _ in range(4):
        jitted(tfl.ones(3))
    def no_memory(*args: Any) -> Any:
        raise MemoryError("none")

    monkeypatch.setattr(fused_elements.Form, "made", no_memory)
    if native.module is not None:
        with pytest.raises(MemoryError, match=r"^add: "):
            jitted(tfl.ones(3))
    (recording,) = [r for one in jitted._keys.values() for r in one.ready]
    call: Call = recording._optimized().calls[0]

    def failing(*args: Any) -> Any:
        raise MemoryError("none")

    calls = call.run.calls
    broken = calls._replace(calls=(*calls.calls[:1], calls.calls[1]._replace(run=failing)))
    run = fused_elements.FusedElements(
        call.run.program, call.run.common, call.run.forms, (), None, (), False, broken
    )
    recording._run = compiled(
        recording._optimized()._replace(calls=(call._replace(run=lambda *a: None),))
    )
    monkeypatch.setattr(fused_slots, "raising", lambda: True)
    whole = recording._optimized()._replace(calls=(call._replace(run=run),))
    recording._run = compiled(whole)
    with pytest.raises(MemoryError, match=r"^sqrt: "):
        jitted(tfl.ones(3))


# -- the choice ------------------------------------------------------------------------------------
def test_fusion_is_chosen() -> None:
    def run(x: Any) -> Any:
        return tfl.tanh(x * 2 + 1) - x

    x = tfl.Tensor(drawn(40))
    expected = run(x)
    listings = {}
    for fusion in ("none", "exact", "all"):
        jitted = tfl.jit(run, fusion=fusion)
        for _ in range(5):
            found = jitted(x)
        listings[fusion] = jitted.explain()
        if fusion == "all":
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
        else:
            assert found.numpy().tobytes() == expected.numpy().tobytes()
    assert FUSED not in listings["none"]
    assert "tanh(%" in listings["exact"] and FUSED in listings["exact"]
    assert listings["all"].count("%") < listings["exact"].count("%")

    @tfl.jit(fusion="none")
    def decorated(x: Any) -> Any:
        return x * 2 + 1

    for _ in range(3):
        decorated(x)
    assert FUSED not in decorated.explain()


@pytest.mark.parametrize("fusion", ["some", True, None, 1])
def test_another_fusion_is_refused(fusion: Any) -> None:
    with pytest.raises(ArgumentError) as raised:
        tfl.jit(tfl.sin, fusion=fusion)
    assert str(raised.value) == (
        f"jit: fusion must be one of 'none', 'exact', 'all', got {fusion!r}"
    )


# -- functions as they are written -----------------------------------------------------------------
def gelu(x: Any, y: Any) -> Any:
    x = x.detach().requires_grad_()
    out = 0.5 * x * (1 + tfl.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return out.detach(), tfl.autograd.grad((out * y).sum(), [x])[0]


def layer_norm(x: Any, y: Any) -> Any:
    x = x.detach().requires_grad_()
    centred = x - x.mean(-1, keepdims=True)
    out = centred / tfl.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * y[0] + y[1]
    return out.detach(), tfl.autograd.grad((out * out).mean(), [x])[0]


def huber(x: Any, y: Any) -> Any:
    x = x.detach().requires_grad_()
    apart = tfl.abs(x - y)
    loss = tfl.where(apart < 1, 0.5 * apart * apart, apart - 0.5).mean()
    return loss.detach(), tfl.autograd.grad(loss, [x])[0]


def dropped(x: Any, y: Any) -> Any:
    return F.dropout(x * 2, 0.5) * y + tfl.clip(x, -1, 1) - tfl.sign(y) * tfl.maximum(x, y)


def hot(x: Any, y: Any) -> Any:
    mask = (x > 0) & (y > 0)
    return mask.astype(tfl.float32) * x + mask, (x * 3).astype(tfl.int32) + 1, tfl.isnan(x / y)


@pytest.mark.parametrize("function", [gelu, layer_norm, huber, dropped, hot])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("fusion", ["exact", "all"])
def test_whole_functions(function: Any, dtype: str, fusion: str) -> None:
    def played(call: Any) -> list[Any]:
        tfl.manual_seed(2)
        found = []
        for i in range(6):
            out = call(*[tfl.Tensor(drawn(9, 8, seed=i + k, dtype=dtype)) for k in (0, 10)])
            found += [one.numpy() for one in (out if isinstance(out, tuple) else [out])]
        return found

    jitted = tfl.jit(function, fusion=fusion)
    given, expected = played(jitted), played(function)
    assert jitted.cache_info().replayed == 3 and FUSED in jitted.explain()
    for ours, theirs in zip(given, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.strides == theirs.strides
        if fusion == "exact":
            assert same_bits(ours, theirs)
        else:
            rounding = {"f4": 2e-6, "f8": 1e-14, "f2": 1e-2}[dtype]
            np.testing.assert_allclose(ours, theirs, rtol=rounding, atol=rounding)
