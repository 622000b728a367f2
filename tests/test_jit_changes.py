"""`jit` is never silently wrong: gradients, and what is made in the step, change between calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim, runtime
from tensorflowlite.errors import CaptureError
from tensorflowlite.nn import functional as F

from .jit_worlds import CALLS, World, Worlds, batch, check, state_of, trained

world = Worlds()


# -- gradients -------------------------------------------------------------------------------------
@world(5)
def nothing_changes(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS):
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(5)
def the_last_gradients_are_held(jit):
    model, opt, step = trained(jit)
    held = []
    for i in range(CALLS):
        yield step(batch(i, 4, 3)), state_of(model, opt)
        held[:] = [p.grad for p in model.parameters()]


@world(5)
def gradients_are_filled_with_zeros(jit):
    model = nn.Linear(3, 2)
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model, opt, step = trained(jit, model, opt, lambda: opt.zero_grad(set_to_none=False))
    for i in range(CALLS):
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(3)
def gradients_accumulate_for_ever(jit):
    model, opt, step = trained(jit, zero=lambda: None)
    for i in range(CALLS):
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def gradients_are_dropped_now_and_then(jit):
    model, opt, step = trained(jit, zero=lambda: None)
    for i in range(CALLS + 4):
        if i % 4 == 3:
            for p in model.parameters():
                p.grad = None
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def one_gradient_is_dropped(jit):
    model, opt, step = trained(jit, zero=lambda: None)
    for i in range(CALLS + 4):
        if i in (5, 9):
            model[0].weight.grad = None
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def a_gradient_is_changed_in_place_outside(jit):
    model, opt, step = trained(jit, zero=lambda: None)
    for i in range(CALLS + 4):
        if i > 4:
            with tfl.no_grad():
                model[0].weight.grad *= 0.5
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def a_gradient_is_given_by_hand(jit):
    model, opt, step = trained(jit, zero=lambda: None)
    for i in range(CALLS + 4):
        if i in (5, 8):
            model[0].weight.grad = tfl.ones(5, 3) * i
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def zero_grad_stands_outside(jit):
    model, opt, step = trained(jit, zero=lambda: None)
    for i in range(CALLS):
        opt.zero_grad()
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def zero_grad_with_zeros_stands_outside(jit):
    model, opt, step = trained(jit, zero=lambda: None)
    for i in range(CALLS):
        opt.zero_grad(set_to_none=False)
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(1)
def a_gradient_made_in_the_step_is_changed_outside(jit):
    w = tfl.ones(3, requires_grad=True)

    @jit
    def step(x):
        w.grad = tfl.zeros(3)
        (w * x).sum().backward()
        return w.grad.sum()

    for i in range(CALLS):
        yield step(batch(i, 3)), w.grad
        w.grad.add_(1.0)


@world()
def a_tensor_gets_a_hook(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS):
        if i == 5:
            handle = model[0].weight.register_hook(lambda g: g * 3)
        if i == 7:
            handle.remove()
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def a_module_gets_a_hook(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS + 2):
        if i == 5:
            first = model[1].register_forward_hook(lambda m, args, out: out * 2)
        if i == 6:
            model[1].register_forward_hook(lambda m, args, out: out + 1)
        if i == 8:
            first.remove()
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(1)
def requires_grad_is_switched(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS + 4):
        if i in (4, 8):
            model[0].weight.requires_grad_(i == 8)
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(1)
def a_parameter_is_unfrozen(jit):
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    model[0].weight.requires_grad_(False)
    model, opt, step = trained(jit, model)
    for i in range(CALLS + 2):
        if i == 5:
            model[0].weight.requires_grad_()
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def requires_grad_is_switched_inside(jit):
    a, b = nn.Linear(3, 3), nn.Linear(3, 1)
    opt = optim.SGD([*a.parameters()], lr=0.1)

    @jit
    def step(x):
        opt.zero_grad()
        for p in b.parameters():
            p.requires_grad_(False)
        loss = (b(a(x)) ** 2).mean()
        loss.backward()
        opt.step()
        for p in b.parameters():
            p.requires_grad_(True)
        other = (b(a(x).detach()) ** 2).mean()
        other.backward()
        return loss

    for i in range(CALLS):
        yield step(batch(i, 4, 3)), state_of(a, opt), state_of(b)


# -- what is made in the step ----------------------------------------------------------------------
@world(5)
def made_tensors_are_changed_in_place(jit):
    @jit
    def step(x):
        z, t, a = tfl.zeros(3), tfl.tensor([1.0, 2.0, 3.0]), tfl.arange(3.0)
        z += x
        t[0] = x[1]
        view = a[1:]
        view *= 3
        return z + t, a, t.clone()

    for i in range(CALLS):
        yield step(batch(i, 3))


@world(5)
def a_result_that_was_made_is_changed_outside(jit):
    @jit
    def step(x):
        return x * 2, tfl.zeros(3), tfl.ones(2, 2), tfl.tensor([1.0, 2.0])

    for i in range(CALLS):
        found = step(batch(i, 3))
        yield found
        for one in found:
            one += 1


@world(5)
def a_result_is_changed_outside(jit):
    @jit
    def step(x):
        y = x * 2
        return y, y[1:], y.reshape(3, 1), x.sum()

    for i in range(CALLS):
        found = step(batch(i, 3))
        found[0][2] = 7.0
        yield found
        found[1][...] = 9.0
        yield found


@world(5)
def a_result_shares_the_arguments_memory(jit):
    @jit
    def step(x):
        return x[1:], x.reshape(3, 1), x

    for i in range(CALLS):
        x = batch(i, 3)
        found = step(x)
        found[0][0] = 7.0
        yield found, x, found[2] is x


@world(0)
def numpy_numbers_are_drawn_inside(jit):
    rng = np.random.default_rng(4)

    @jit
    def step(x):
        return x * tfl.tensor(rng.standard_normal(3))

    for i in range(CALLS):
        yield step(batch(i, 3))


@world(0)
def numpy_scalars_are_drawn_inside(jit):
    rng = np.random.default_rng(4)

    @jit
    def step(x):
        return x * float(rng.standard_normal()) + tfl.full((3,), rng.standard_normal())

    for i in range(CALLS):
        yield step(batch(i, 3))


@world(0)
def numpy_arrays_are_operands(jit):
    rng = np.random.default_rng(4)

    @jit
    def step(x):
        return x * rng.standard_normal(3)

    for i in range(CALLS):
        yield step(batch(i, 3))


@world()
def a_closure_makes_tensors_of_numbers(jit):
    k = 1.0

    @jit
    def step(x):
        return x * tfl.tensor([k, 2.0, k])

    for i in range(CALLS):
        k = 5.0 if i == 5 else 1.0
        yield step(batch(i, 3))


@world(5)
def random_numbers_follow_the_generator(jit):
    @jit
    def step(x):
        return F.dropout(x, 0.5, training=True) + tfl.rand(3) + tfl.randn(3), tfl.randperm(4)

    for i in range(CALLS):
        yield step(batch(i, 3)), tfl.rand(2)


@world(5)
def the_seed_was_set_and_nothing_drawn(jit):
    tfl.manual_seed(5)
    call = jit(lambda x: x * 2)
    for i in range(CALLS):
        yield call(batch(i, 3))


@world(3)
def zero_grad_stands_after_the_forward_pass(jit):
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    opt = optim.Adam(model.parameters(), lr=0.05)

    @jit
    def step(x):
        loss = (model(x) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    for i in range(CALLS):
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(3)
def results_are_views(jit):
    @jit
    def step(x):
        return (x * 2).reshape(3, 1)

    for i in range(CALLS):
        found = step(batch(i, 3))
        yield found
        found += 1


@world(0)
def a_mask_chooses_elements(jit):
    w = tfl.ones(3, requires_grad=True)

    def step(x):
        chosen = (w * x)[x > 0]
        return tfl.autograd.grad(chosen.mean(), [w])[0], chosen.detach() / chosen.shape[0]

    call = jit(step)
    for i in range(CALLS):
        x = batch(i, 3)
        x[0] = 1.0
        try:
            found = call(x)
        except CaptureError:
            found = step(x)
        yield found


@world(2)
def the_seed_is_set_between_calls(jit):
    @jit
    def step(x):
        return x + tfl.rand(3)

    for i in range(CALLS + 4):
        if i == 5:
            tfl.manual_seed(9)
        yield step(batch(i, 3)), tfl.rand(2)


@world(3)
def the_generators_state_is_set_between_calls(jit):
    @jit
    def step(x):
        return x + tfl.rand(3)

    for i in range(CALLS):
        if i == 5:
            tfl.random.set_state([3, 1])
        yield step(batch(i, 3)), tfl.rand(2), tfl.random.get_state()


@world()
def the_first_call_draws_nothing(jit):
    model = nn.Dropout(0.5)

    @jit
    def step(x):
        return model(x)

    model.eval()
    for i in range(CALLS):
        if i == 1:
            tfl.manual_seed(5)
            model.train()
        yield step(batch(i, 9))


@world(0)
def the_seed_is_set_inside(jit):
    @jit
    def step(x):
        tfl.manual_seed(4)
        return x + tfl.rand(3)

    for i in range(CALLS):
        yield step(batch(i, 3)), tfl.rand(2)


@pytest.mark.parametrize(("function", "least"), world.found)
def test_a_change_is_seen(function: World, least: int) -> None:
    check(function, least)


def test_what_a_function_changes_after_it_used_it() -> None:
    """The recording is of the weight decay that the step found, not of the one it left."""

    def world(jit: Any) -> Any:
        model = nn.Linear(3, 2)
        opt = optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)

        @jit
        def step(x):
            opt.zero_grad()
            model(x).sum().backward()
            opt.step()
            opt.param_groups[0]["weight_decay"] = 0.0

        for i in range(2 * CALLS):
            if i < 3:
                opt.param_groups[0]["weight_decay"] = 0.5
            step(batch(i, 4, 3))
            yield state_of(model)

    check(world, 0)


def test_changes_that_are_made_again_and_again_are_noted_like_single_ones() -> None:
    whole, other = np.zeros(4), np.zeros(3)
    arrays = [whole[1:][:2], other, whole]
    changes = runtime.Changes(arrays, "jit")
    for _ in range(3):
        before = runtime.shared.newest_change
        changes.note()
        for owner in (whole, other):
            assert before < runtime.changed[id(owner)] == runtime.shared.newest_change
            assert runtime.changed_by[id(owner)] == "jit"
        changes.note()
        assert runtime.changed[id(other)] == runtime.shared.newest_change > before + 1
        runtime.note_change(whole, "add_")
        assert runtime.changed_by[id(whole)] == "add_"
        assert runtime.changed[id(whole)] > runtime.changed[id(other)]
        runtime._prune()  # forgets what is gone alone
