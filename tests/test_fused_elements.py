"""Fused calls: step by step the slots' results, on every backend; the choice that `jit` offers."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import fused_slots as cuda_fused_slots
from tensorflowlite.backend.elements import fused as fused_elements
from tensorflowlite.backend.elements.programs import supports
from tensorflowlite.backend.native import extension as native
from tensorflowlite.backend.native import fused_slots
from tensorflowlite.backend.numpy_backend import numpy_backend
from tensorflowlite.backend.programs import folding as program_folding
from tensorflowlite.backend.programs import fused_program, fusion_steps
from tensorflowlite.backend.programs.capture import Capture
from tensorflowlite.backend.programs.passes import optimized
from tensorflowlite.backend.programs.program import compiled
from tensorflowlite.errors import ArgumentError
from tensorflowlite.nn import functional as F

from . import element_samples
from .backends import TestBackend
from .element_samples import laid, operands_for, same_bits, single_steps
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
from .host_kernels import HostKernels, why_not


@pytest.mark.parametrize(
    "module", [fused_elements, fusion_steps, program_folding, fused_program], ids=str
)
def test_examples(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


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
    (recording,) = [one for key in jitted._keys.values() for one in key.ready]

    def failing(*args: Any) -> Any:
        raise MemoryError("none")

    if native.module is not None:  # what is made for the whole is the last operation's
        with monkeypatch.context() as patched:
            patched.setattr(fused_elements.Form, "made", failing)
            with pytest.raises(MemoryError, match=r"^add: "):
                jitted(tfl.ones(3))
    # One by one it is the operation's own.
    program = recording._optimized()
    (call,) = program.calls
    calls = list(call.run.calls.calls)
    (place,) = [i for i, one in enumerate(calls) if one.slot == "sqrt"]
    calls[place] = calls[place]._replace(run=failing)
    call.run.calls = call.run.calls._replace(calls=tuple(calls))
    recording._run = compiled(program)
    monkeypatch.setattr(fused_slots, "raising", lambda: True)
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
