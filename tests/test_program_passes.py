"""The passes over recorded programs: what each does, and that results stay the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.backend.programs import passes as passes
from tensorflowlite.backend.programs.program import Program, compiled
from tensorflowlite.nn import functional as F
from tensorflowlite.transforms.jit_recording import record

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu": F.relu,
    "sigmoid": tfl.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


def recorded(function: Callable[..., Any], *arrays: Any) -> Program:
    xs = [tfl.Tensor(np.asarray(a)) for a in arrays]
    with np.errstate(all="ignore"):
        return record(function, xs, tuple(xs), {})[1].program


def slots(program: Program) -> list[str]:
    return [call.slot for call in program.calls]


def same_bits(before: Program, after: Program, *arrays: Any) -> None:
    """Both programs, run on these arrays, give the same bits."""
    for one, other in zip(compiled(before)(*arrays), compiled(after)(*arrays), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert one.tobytes() == other.tobytes()


def drawn(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


# -- dead code -------------------------------------------------------------------------------------
def test_what_nobody_reads_is_dropped() -> None:
    def run(x: Any) -> Any:
        tfl.exp(x) + 1
        return tfl.sin(x)

    before = recorded(run, drawn(3))
    after = passes.without_dead_calls(before)
    assert slots(before) == ["exp", "add", "sin"]
    assert slots(after) == ["sin"]
    same_bits(before, after, drawn(3))


def test_changes_of_what_lies_outside_are_never_dropped() -> None:
    total = tfl.zeros(3)

    def run(x: Any) -> None:
        total.add_(x)
        tfl.zeros(3).add_(x)  # which nobody sees

    before = recorded(run, drawn(3))
    after = passes.without_dead_calls(before)
    assert slots(after) == ["add", "assign"]
    compiled(after)(drawn(3))
    np.testing.assert_array_equal(total.numpy(), 2 * drawn(3))


def test_a_change_that_is_read_through_a_view_is_kept() -> None:
    def run(x: Any) -> Any:
        y = x * 2
        view = y[1:]
        y.add_(1)
        return view * 1

    before = recorded(run, drawn(4))
    after = passes.without_dead_calls(before)
    assert slots(after) == slots(before)
    same_bits(before, after, drawn(4))


# -- common subexpressions -------------------------------------------------------------------------
def test_the_same_is_computed_once() -> None:
    def run(x: Any) -> Any:
        return x.reshape(6) * 2 + x.reshape(6) * 2

    before = recorded(run, drawn(2, 3))
    after = passes.with_shared_values(before)
    assert slots(after) == ["reshape", "multiply", "add"]
    same_bits(before, after, drawn(2, 3))


@pytest.mark.parametrize("other", [2.0, -0.0, True, 2], ids=repr)
def test_other_attributes_are_another_value(other: Any) -> None:
    def run(x: Any) -> Any:
        return F.softplus(x, 1.0) + F.softplus(x, 3.0), x.sum(0) + x.sum(0, keepdims=True)[0]

    before = recorded(run, drawn(2, 3))
    after = passes.with_shared_values(before)
    assert slots(after).count("softplus") == 2 and slots(after).count("sum") == 2
    same_bits(before, after, drawn(2, 3))


def test_a_change_between_keeps_both() -> None:
    outside = tfl.zeros(3)

    def run(x: Any) -> Any:
        y = x * 2
        first, read = y + 1, outside + x
        y.add_(1)
        outside.add_(1)
        return first, y + 1, read, outside + x

    before = recorded(run, drawn(3))
    after = passes.with_shared_values(before)
    assert slots(after) == slots(before)


def test_results_are_arrays_of_their_own() -> None:
    before = recorded(lambda x: (x + 1, x + 1), drawn(3))
    after = passes.with_shared_values(before)
    one, other = compiled(after)(drawn(3))
    assert not np.shares_memory(one, other)


# -- layers ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_takes_the_activation_after_it(name: str, bias: bool) -> None:
    apply, (w, b) = ACTIVATIONS[name], (drawn(5, 4), drawn(5))

    def run(x: Any, w: Any, b: Any) -> Any:
        leaves = [one.detach().requires_grad_() for one in (x, w, b)]
        out = apply(F.linear(leaves[0], leaves[1], leaves[2] if bias else None))
        return out.detach(), tfl.autograd.grad((out * out).sum(), leaves[: 2 + bias])

    before = recorded(run, drawn(3, 4), w, b)
    after = passes.with_fused_layers(before)
    assert len(after.calls) == len(before.calls) - 1
    assert after.calls[0].slot == "linear_act" and after.calls[0].args[-1] == name
    same_bits(before, after, drawn(3, 4), w, b)


def test_inference_takes_leaky_relu_too() -> None:
    before = recorded(lambda x, w: F.leaky_relu(F.linear(x, w)), drawn(3, 4), drawn(5, 4))
    after = passes.with_fused_layers(before)
    assert slots(after) == ["linear_act"]
    same_bits(before, after, drawn(3, 4), drawn(5, 4))


def test_a_layer_whose_output_is_read_otherwise_stays() -> None:
    def run(x: Any, w: Any) -> Any:
        z = F.linear(x, w)
        return tfl.nn.functional.relu(z), z * 2

    before = recorded(run, drawn(3, 4), drawn(5, 4))
    assert slots(passes.with_fused_layers(before)) == slots(before)

    def gelu(x: Any, w: Any) -> Any:  # which keeps what comes before it
        z = F.linear(x, w)
        return F.gelu(z), z * 2

    before = recorded(gelu, drawn(3, 4), drawn(5, 4))
    after = passes.with_fused_layers(before)
    assert slots(after) == ["linear_act", "multiply"]
    same_bits(before, after, drawn(3, 4), drawn(5, 4))


def test_a_convolution_takes_its_activation() -> None:
    def run(x: Any, w: Any, b: Any) -> Any:
        return F.relu(F.conv2d(x, w, b, padding=1))

    arrays = drawn(2, 3, 5, 5), drawn(4, 3, 3, 3), drawn(4)
    before = recorded(run, *arrays)
    after = passes.with_fused_layers(before)
    assert slots(after) == ["conv_act"]
    same_bits(before, after, *arrays)


# -- copies ----------------------------------------------------------------------------------------
def test_gradients_that_nobody_else_has_are_not_copied() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    x = tfl.Tensor(drawn(3, 4))

    def run(x: Any) -> Any:
        model.zero_grad()
        loss = (model(x) ** 2).sum()
        loss.backward()
        return loss

    before = recorded(run, x.numpy())
    after = passes.without_copies(before)
    assert "empty_strided" in slots(before) and "empty_strided" not in slots(after)
    same_bits(before, after, drawn(3, 4))


def test_a_value_that_is_read_again_is_copied() -> None:
    w = tfl.Tensor(drawn(3), requires_grad=True)

    def run(x: Any) -> Any:
        w.grad = None
        g = x * 2
        (w.reshape(3) * g).sum().backward()
        return g

    before = recorded(run, drawn(3))
    after = passes.without_copies(before)
    gradient, result = compiled(after)(drawn(3))[1], compiled(after)(drawn(3))[0]
    assert not np.shares_memory(gradient, result)
    same_bits(before, after, drawn(3))


# -- all of them -----------------------------------------------------------------------------------
def test_a_training_step_with_and_without_passes() -> None:
    def trained(chosen: Any) -> list[Any]:
        tfl.manual_seed(1)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 8), nn.GELU(),
            nn.LayerNorm(8), nn.Dropout(0.25), nn.Linear(8, 3),
        )  # fmt: skip
        opt = optim.AdamW(model.parameters(), lr=1e-2)

        def run(x: Any, y: Any) -> Any:
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            return loss

        x, y = tfl.Tensor(drawn(4, 1, 5, 5)), tfl.tensor([0, 2, 1, 1])
        program = record(run, [x, y], (x, y), {})[1].program
        replay = compiled(passes.optimized(program, chosen))
        for _ in range(3):
            losses = replay(x.array, y.array)[0]
        return [losses, *[p.array for p in model.parameters()]]

    expected = trained((lambda program: program,))
    for chosen in (passes.PASSES, *[(one,) for one in passes.PASSES]):
        for one, other in zip(trained(chosen), expected, strict=True):
            assert one.tobytes() == other.tobytes()
