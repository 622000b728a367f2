"""Fused runs of recorded programs: what becomes one call, and what must not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.backend.elements import fused as fused_elements
from tensorflowlite.backend.native import extension as native
from tensorflowlite.backend.numpy_backend import numpy_backend
from tensorflowlite.backend.programs import fused_program
from tensorflowlite.backend.programs import fusion as program_fusion
from tensorflowlite.backend.programs.capture import Capture
from tensorflowlite.backend.programs.passes import optimized
from tensorflowlite.backend.programs.program import compiled
from tensorflowlite.core.entry import constant

from . import element_samples
from .element_samples import numbers
from .fusion_checks import (
    F4,
    FUSED,
    built,
    check,
    drawn,
    fused,
    hold,
    only,
    recorded,
    slots,
)
from .fusion_checks import small as small  # a fixture: groups of any size


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
    from tensorflowlite.backend.elements.lowering import lowered
    from tensorflowlite.backend.native.elements import prepared

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
@pytest.mark.parametrize("first", [True, False])
def test_python_numbers_are_as_weak_as_the_slot_has_them(
    slot: str, number: Any, dtype: Any, first: bool
) -> None:
    """Raw numbers, as gradient rules have them: fused with what the slot gives, or not at all."""
    array = numbers(np.random.default_rng(0), (40,), dtype)

    def run(capture: Capture, x: Any) -> Any:
        args = (number, x) if first else (x, number)
        y = capture.call(slot, getattr(numpy_backend, slot), args)
        return capture.call("copy", numpy_backend.copy, (y,))

    try:
        before = built(run, array)
    except (OverflowError, TypeError):  # NumPy has no such result
        return
    hold(before, fused(before), array)


def test_bfloat16_is_compared_with_the_number_itself() -> None:
    x = np.array([0.1, 0.2, 1.0], dtypes.bfloat16)
    for slot in ("equal", "less", "greater_equal"):

        def run(capture: Capture, x: Any, slot: str = slot) -> Any:
            y = capture.call(slot, getattr(np, slot), (x, 0.1))
            return capture.call("logical_not", np.logical_not, (y,))

        before = built(run, x)
        hold(before, fused(before), x)


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


def test_a_target_is_read_when_it_has_been_written() -> None:
    state = tfl.Tensor(drawn(6))

    def run(x: Any) -> Any:
        with tfl.no_grad():
            state.mul_(2.0).add_(x)
        return tfl.sort(state), x * 3

    after = check(run, drawn(6), groups=1, rest=("sort", "multiply"))
    assert slots(after)[0] == FUSED


def test_an_older_view_of_a_target_sees_the_change() -> None:
    def run(capture: Capture, x: Any, y: Any) -> Any:
        state = capture.call("multiply", np.multiply, (x, x))
        view = capture.call("mT", numpy_backend.mT, (state,))
        a = capture.call("add", np.add, (state, y))
        capture.call("assign", numpy_backend.assign, (state, a))
        return capture.call("subtract", np.subtract, (view, y)), state

    arrays = drawn(3, 3), drawn(3, 3, seed=1)
    before = built(run, *arrays)
    after = fused(before)
    assert slots(after) == ["multiply", "mT", FUSED, "subtract"]
    hold(before, after, *arrays)


def test_what_is_no_array_of_its_own_stays_that() -> None:
    def run(capture: Capture, x: Any) -> Any:
        same = capture.call("positive", lambda x: x, (x,))
        y = capture.call("reshape", np.ndarray.reshape, (same, (6,)))
        z = capture.call("cast", lambda x, dtype: x.view(), (y, F4))
        return z, capture.call("multiply", np.multiply, (z, 2.0))

    x = drawn(2, 3)
    after = fused(built(run, x))
    assert np.shares_memory(compiled(after)(x)[0], x)


def test_results_of_constants_are_made_anew() -> None:
    def run(capture: Capture, x: Any) -> Any:
        number = capture.constant(constant(1.5, F4))
        twice = capture.call("add", np.add, (number, number))
        return twice, capture.call("multiply", np.multiply, (x, twice))

    replay = compiled(fused(built(run, drawn(6))))
    one, other = replay(drawn(6))[0], replay(drawn(6))[0]
    assert one == 3 and one.flags.writeable and not np.shares_memory(one, other)


def test_constants_of_two_devices() -> None:
    def run(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = (x * 2 + 1).to("shadow")
        return tfl.autograd.grad(y.sum(), [x])[0]

    before = optimized(recorded(run, drawn(6)))
    assert "ones_like" in slots(before)
    hold(before, fused(before), drawn(6))


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


def test_what_reads_the_reduction_comes_after_it() -> None:
    def run(x: Any) -> Any:
        y = x * 2
        return y.sum(0, keepdims=True) * 3 + y  # of the very same shape

    check(run, drawn(1, 5), groups=2, fusion="all", tolerance=1e-6)


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
