"""Which implementation a replay takes: asked once where the arguments' form decides it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.backend import by_array_type
from tensorflowlite.backend.base import accepting, guarded
from tensorflowlite.backend.native import extension as native
from tensorflowlite.backend.programs.program import Program, Ref, compiled
from tensorflowlite.nn import functional as F
from tensorflowlite.transforms.jit_recording import record


class Asked:
    """A condition that counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, x: Any) -> bool:
        self.times += 1
        return bool(x.ndim == 1)


def program_of(run: Any) -> Program:
    x = tfl.ones(3)
    program = record(lambda a: tfl.negative(a), [x], (x,), {})[1].program
    (call,) = program.calls
    assert [type(arg) for arg in call.args] == [Ref]
    return program._replace(calls=(call._replace(run=run),))


@pytest.mark.parametrize(("by_form", "times"), [(True, 1), (False, 3)])
def test_how_often_a_slot_is_asked(by_form: bool, times: int) -> None:
    asked = Asked()
    slot = accepting(lambda x: x + 1, asked, by_form=by_form)
    run = compiled(program_of(guarded("f", slot, asked, lambda x: x - 1)), settling=True)
    for value in (1.0, 2.0, 3.0):
        assert run(np.full(3, value, np.float32))[0].tolist() == [value + 1] * 3
    assert asked.times == times


def test_what_is_refused_stays_with_the_other_implementation() -> None:
    asked = Asked()
    slot = accepting(lambda x: x + 1, asked, by_form=True)
    run = compiled(program_of(guarded("f", slot, asked, lambda x: x - 1)), settling=True)
    for value in (1.0, 2.0):
        assert run(np.full((1, 3), value, np.float32))[0].tolist() == [[value - 1] * 3]
    assert asked.times == 1


def test_without_settling_each_run_asks() -> None:
    asked = Asked()
    slot = accepting(lambda x: x + 1, asked, by_form=True)
    run = compiled(program_of(guarded("f", slot, asked, lambda x: x - 1)))
    for _ in range(3):
        run(np.ones(3, np.float32))
    assert asked.times == 3


@pytest.mark.skipif(native.module is None, reason="needs the native extension")
def test_a_rate_of_zero_changes_the_implementation_between_replays() -> None:
    """Adam's own loop divides by the rate: it refuses by a value."""

    def trained(jit: bool) -> Iterator[bytes]:
        tfl.manual_seed(0)
        model = nn.Linear(4, 2)
        opt = optim.Adam(model.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            opt.zero_grad()
            loss = F.mse_loss(model(x), x[:, :2])
            loss.backward()
            opt.step()
            return loss

        run = tfl.jit(step) if jit else step
        for number in range(12):
            opt.param_groups[0]["lr"] = 0.0 if number in (6, 9) else 0.1
            run(tfl.ones(3, 4))
            yield model.weight.detach().numpy().tobytes()

    assert list(trained(True)) == list(trained(False))


@pytest.mark.skipif(native.module is None, reason="needs the native extension")
def test_arguments_that_lie_at_odd_addresses_are_taken_between_replays() -> None:
    def function(x: Any, target: Any) -> Any:
        return F.cross_entropy(F.max_pool2d(F.layer_norm(F.gelu(x), (6,)), 2).flatten(1), target)

    def arguments(odd: bool) -> Any:
        values = np.random.default_rng(0).normal(size=(4, 2, 6, 6)).astype(np.float32)
        memory = np.zeros(values.nbytes + 1, np.uint8)
        x = memory[odd : odd + values.nbytes].view(np.float32).reshape(values.shape)
        x[...] = values
        return tfl.Tensor(x), tfl.tensor([0, 3, 2, 17])

    run = tfl.jit(function)
    for odd in (False, False, False, False, True, False, True):
        assert float(run(*arguments(odd))) == float(function(*arguments(odd)))
    assert run.cache_info().replayed > 0


def test_the_slots_of_the_native_extension_say_which_form_they_take() -> None:
    """All but those whose answer depends on values, or on where an array lies."""
    slots = by_array_type[np.ndarray].slots
    conditions = {name: slot.accepts for name, slot in slots.items() if hasattr(slot, "accepts")}
    others = {name for name, asked in conditions.items() if not getattr(asked, "by_form", False)}
    if native.module is not None:
        assert others == {
            "sgd_step", "adam_step", "relu", "sigmoid", "silu", "erf", "erfc", "softplus", "gelu",
            "activation_gradient", "softmax_gradient",
        }  # fmt: skip
