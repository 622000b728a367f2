"""`jit` is never silently wrong: whatever changes between calls, the bits are the function's."""

from __future__ import annotations

import functools
import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.errors import CaptureError
from tensorflowlite.nn import functional as F

from .jit_worlds import CALLS, World, batch, check, state_of

WORLDS: list[Any] = []
SCALE: Any = 2.0


def world(least: int = 1) -> Any:
    """Add a function to what is checked: it yields what must be the same after each call."""

    def add(function: World) -> World:
        WORLDS.append(pytest.param(function, least, id=function.__name__))
        return function

    return add


@pytest.mark.parametrize(("function", "least"), WORLDS)
def test_a_change_is_seen(function: World, least: int) -> None:
    global SCALE
    SCALE = 2.0
    check(function, least)


def trained(jit: Any, model: Any = None, opt: Any = None, zero: Any = None) -> Any:
    """Return a model, its optimizer and a step on a batch of (4, 3)."""
    model = model or nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    opt = opt or optim.Adam(model.parameters(), lr=0.05)
    zero = zero or opt.zero_grad

    def step(x: Any) -> Any:
        zero()
        loss = (model(x) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    return model, opt, jit(step)


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


@world()
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


@world()
def requires_grad_is_switched(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS + 4):
        if i in (4, 8):
            model[0].weight.requires_grad_(i == 8)
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
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


# -- modules ---------------------------------------------------------------------------------------
@world()
def training_is_switched(jit):
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 2))
    model, opt, step = trained(jit, model)
    for i in range(16):
        model.train(i % 8 < 4)
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def one_submodule_is_switched(jit):
    model, opt, step = trained(jit, nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.5)))
    for i in range(CALLS):
        model[1].train(i < 5)
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world()
def dropouts_probability_changes(jit):
    model = nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.5))
    model, opt, step = trained(jit, model)
    for i in range(CALLS):
        model[1].p = 0.1 if i > 4 else 0.5
        yield step(batch(i, 4, 3)), state_of(model, opt)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor: Any = 2.0
        self.factors: Any = [1.0, 2.0]
        self.shape: Any = (3, 1)
        self.options: Any = {"scale": 1.0}
        self.weight = nn.Parameter(tfl.ones(3))
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.plain = [nn.Linear(3, 3)]
        self.rows = nn.ParameterList([tfl.ones(3), tfl.ones(3) * 2])

    def forward(self, x: Any) -> Any:
        x = x * self.factor * self.factors[0] * self.options["scale"] * self.weight
        for layer in self.layers:
            x = layer(x)
        x = self.plain[0](x) + self.rows[0]
        return x.sum(0).reshape(self.shape) * SCALE


def inference(jit: Any) -> Any:
    model = Scaled()
    jitted = jit(model)

    def call(i: int) -> Any:
        with tfl.no_grad():
            return jitted(batch(i, 4, 3))

    return model, call


@world(2)
def an_attribute_changes(jit):
    model, call = inference(jit)
    for i in range(CALLS):
        model.factor = 3.0 if i > 4 else 2.0
        yield call(i)


@world(2)
def an_attribute_changes_to_a_number_that_is_equal(jit):
    model = Scaled()
    x = tfl.ones(3)

    class Powers(nn.Module):
        def forward(self, x):
            return x * self.factor

    model = Powers()
    model.factor = 2
    call = jit(model)
    for i in range(CALLS):
        model.factor = 2.0 if i > 4 else 2
        yield call(tfl.arange(3)), x


@world(2)
def a_zero_changes_its_sign(jit):
    class Sign(nn.Module):
        zero = 0.0

        def forward(self, x):
            return x * self.zero

    model = Sign()
    model.zero = 0.0
    call = jit(model)
    for i in range(CALLS):
        model.zero = -0.0 if i > 4 else 0.0
        yield call(tfl.ones(3))


@world(2)
def a_zero_argument_changes_its_sign(jit):
    call = jit(lambda x, zero: x * zero)
    for i in range(CALLS):
        yield call(tfl.ones(3), -0.0 if i > 4 else 0.0)


@world(2)
def a_tuple_attribute_changes(jit):
    model, call = inference(jit)
    for i in range(CALLS):
        if i == 5:
            before = id(model.shape)
            kept = []
            model.shape = None
            for _ in range(1000):  # until the new one lies where the old one lay
                made = tuple([1, int("3")])
                if id(made) == before:
                    break
                kept.append(made)
            model.shape = made
        yield call(i)


@world(2)
def an_element_of_a_list_attribute_changes(jit):
    model, call = inference(jit)
    for i in range(CALLS):
        model.factors[0] = 3.0 if i > 4 else 1.0
        yield call(i)


@world(2)
def a_value_of_a_dict_attribute_changes(jit):
    model, call = inference(jit)
    for i in range(CALLS):
        model.options["scale"] = 3.0 if i > 4 else 1.0
        yield call(i)


@world(2)
def a_class_attribute_changes(jit):
    class Factor(nn.Module):
        factor = 2.0

        def forward(self, x):
            return x * self.factor

    call = jit(Factor())
    for i in range(CALLS):
        Factor.factor = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def a_global_that_forward_reads_changes(jit):
    global SCALE
    model, call = inference(jit)
    for i in range(CALLS):
        SCALE = 3.0 if i > 4 else 2.0
        yield call(i)


@world(2)
def a_parameter_is_exchanged(jit):
    model, call = inference(jit)
    old = model.weight
    for i in range(CALLS):
        model.weight = nn.Parameter(tfl.ones(3) * 2) if i > 4 else old
        yield call(i)


@world(2)
def a_parameter_is_exchanged_and_the_old_one_is_gone(jit):
    model, call = inference(jit)
    for i in range(CALLS):
        if i > 4:
            model.weight = nn.Parameter(tfl.ones(3) * i)
        yield call(i)


@world(2)
def a_layer_of_a_module_list_is_exchanged(jit):
    model, call = inference(jit)
    old, new = model.layers[0], nn.Linear(3, 3)
    for i in range(CALLS):
        model.layers[0] = new if i > 4 else old
        yield call(i)


@world(2)
def a_layer_of_a_module_list_is_exchanged_for_good(jit):
    model, call = inference(jit)
    for i in range(CALLS):
        if i == 5:
            model.layers[0] = nn.Linear(3, 3)
        yield call(i)


@world(2)
def a_layer_of_a_list_is_exchanged(jit):
    model, call = inference(jit)
    old, new = model.plain[0], nn.Linear(3, 3)
    for i in range(CALLS):
        model.plain[0] = new if i > 4 else old
        yield call(i)


@world(2)
def a_layer_is_appended(jit):
    model, call = inference(jit)
    for i in range(CALLS):
        if i == 5:
            model.layers.append(nn.Linear(3, 3))
        yield call(i)


@world(2)
def a_layer_of_a_sequential_is_exchanged(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS):
        if i == 5:
            model[1] = nn.ReLU()
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(2)
def a_parameter_of_a_list_is_exchanged(jit):
    model, call = inference(jit)
    old = model.rows[0]
    for i in range(CALLS):
        model.rows[0] = nn.Parameter(tfl.ones(3) * i) if i > 4 else old
        yield call(i)


@world(2)
def a_forward_is_called_by_name(jit):
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    call = jit(lambda x: model[1].forward(model[0].forward(x)).detach())
    for i in range(CALLS):
        model.train(i < 5)
        yield call(batch(i, 4, 3))


@world(2)
def parameters_are_cast(jit):
    model, call = inference(jit)
    for i in range(CALLS):
        if i == 5:
            model.double()
        yield call(i)


@world(2)
def a_parameters_data_is_exchanged_outside(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS):
        if i == 5:
            model[0].weight.data = tfl.ones(5, 3)
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(2)
def states_are_loaded(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS + 4):
        if i == 2:
            weights = {k: v.clone().detach() for k, v in model.state_dict().items()}
            saved = opt.state_dict()
            saved["state"] = {
                p: {k: v.clone() for k, v in s.items()} for p, s in saved["state"].items()
            }
            saved["param_groups"][0]["lr"] = 0.02
        if i == 6:
            model.load_state_dict(weights)
        if i == 8:
            opt.load_state_dict(saved)
        yield step(batch(i, 4, 3)), state_of(model, opt)


# -- variables -------------------------------------------------------------------------------------
@world(2)
def a_scalar_argument_changes(jit):
    call = jit(lambda x, k: x * k)
    for i in range(CALLS + 4):
        yield call(batch(i, 3), 2.0 if i % 3 else 3), call(batch(i, 3), k=True)


@world(2)
def keywords_come_in_another_order(jit):
    call = jit(lambda **names: names["a"] - names["b"])
    for i in range(CALLS):
        a, b = batch(i, 3), batch(i + 1, 3)
        yield call(a=a, b=b) if i < 5 else call(b=b, a=a)


@world(2)
def a_dict_comes_in_another_order(jit):
    call = jit(lambda x: x["a"] - x["b"])
    for i in range(CALLS):
        a, b = batch(i, 3), batch(i + 1, 3)
        yield call({"a": a, "b": b} if i < 5 else {"b": b, "a": a})


@world(2)
def a_dict_of_numbers_comes_in_another_order(jit):
    call = jit(lambda x, **n: x * n["a"] - n["b"])
    for i in range(CALLS):
        yield call(batch(i, 3), **({"a": 2, "b": 3} if i < 5 else {"b": 2, "a": 3}))


@world(2)
def arguments_look_like_keywords(jit):
    call = jit(lambda a, k=None: (a[0] if isinstance(a, tuple) else a * 100) + (k is None))
    for i in range(CALLS):
        x, y = batch(i, 3), batch(i + 1, 3)
        yield call(x, k=y) if i < 5 else call((x,), {"k": y})


@world(2)
def a_closure_variable_changes(jit):
    k, shift = 2.0, tfl.ones(3)
    other = tfl.ones(3) * 3
    first = shift
    call = jit(lambda x: x * k + shift)
    for i in range(CALLS + 4):
        k = 3.0 if i > 4 else 2.0
        shift = other if i > 7 else first
        yield call(batch(i, 3))


@world(2)
def a_global_variable_changes(jit):
    global SCALE
    call = jit(lambda x: x * SCALE)
    for i in range(CALLS + 4):
        SCALE = 3.0 if i > 4 else 2.0
        if i > 8:
            SCALE = tfl.ones(3) * 7
        yield call(batch(i, 3))


def _scaled(x: Any) -> Any:
    return x * SCALE


@world(2)
def a_global_that_a_helper_reads_changes(jit):
    global SCALE
    call = jit(lambda x: _scaled(x) + 1)
    for i in range(CALLS):
        SCALE = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def a_global_that_an_inner_function_reads_changes(jit):
    global SCALE

    def step(x):
        def inner(y):
            return y * SCALE

        return inner(x)

    call = jit(step)
    for i in range(CALLS):
        SCALE = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def a_closure_variable_of_a_helper_changes(jit):
    k = 2.0

    def helper(x):
        return x * k

    call = jit(lambda x: helper(x) + 1)
    for i in range(CALLS):
        k = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def a_variable_of_a_partial_function_changes(jit):
    k = 2.0
    call = jit(functools.partial(lambda y, x: x * k + y, 1.0))
    for i in range(CALLS):
        k = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def a_wrapped_functions_variable_changes(jit):
    k = 2.0

    @tfl.no_grad()
    def inner(x):
        return x * k

    call = jit(inner)
    for i in range(CALLS):
        k = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def an_attribute_of_a_methods_object_changes(jit):
    class Holder:
        factor = 1.0

        def step(self, x):
            return x * self.factor

    holder = Holder()
    holder.factor = 2.0
    call = jit(holder.step)
    for i in range(CALLS):
        holder.factor = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def an_attribute_of_a_plain_object_changes(jit):
    settings = SimpleNamespace(factor=2.0)
    call = jit(lambda x: x * settings.factor)
    for i in range(CALLS):
        settings.factor = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def an_element_of_a_list_changes(jit):
    factors = [1.0, 2.0]
    call = jit(lambda x: x * factors[1])
    for i in range(CALLS):
        factors[1] = 3.0 if i > 4 else 2.0
        yield call(batch(i, 3))


@world(2)
def a_tensor_of_a_list_is_exchanged(jit):
    old, new = tfl.ones(3), tfl.ones(3) * 2
    factors = [old]
    call = jit(lambda x: x * factors[0])
    for i in range(CALLS):
        factors[0] = new if i > 4 else old
        yield call(batch(i, 3))


@world(2)
def a_tensor_of_a_dict_is_exchanged_for_good(jit):
    factors = {"a": tfl.ones(3)}
    call = jit(lambda x: x * factors["a"])
    for i in range(CALLS):
        if i == 5:
            factors["a"] = tfl.ones(3) * 2
        yield call(batch(i, 3))


@world(2)
def a_numpy_array_from_outside_changes(jit):
    factor, index = np.ones(3, np.float32), np.array([0, 1])
    call = jit(lambda x: (x * factor)[index])
    for i in range(CALLS):
        factor[1] = i
        index[0] = i % 3
        yield call(batch(i, 3))


@world(2)
def an_index_from_outside_changes(jit):
    index, mask = tfl.tensor([0, 1], dtype=tfl.int32), tfl.tensor([True, False, True])

    def step(x):
        y = x[index]
        z = x.clone()
        z[index] = 5.0
        return y, z, tfl.where(mask, x, 0.0)

    call = jit(step)
    for i in range(CALLS):
        index[0] = i % 3
        mask[1] = i % 2 == 0
        yield call(batch(i, 3))


@world(2)
def a_tensor_from_outside_is_copied_by_tensor(jit):
    w = tfl.ones(3)
    call = jit(lambda x: x * tfl.tensor(w) + tfl.asarray(w, dtype=tfl.float64))
    for i in range(CALLS):
        w += 1
        yield call(batch(i, 3))


@world(2)
def a_tensor_from_outside_is_stacked_by_tensor(jit):
    w = tfl.tensor(1.0)
    call = jit(lambda x: x * tfl.tensor([w, 2.0, w]))
    for i in range(CALLS):
        w += 1
        yield call(batch(i, 3))


@world(0)
def a_tensor_from_outside_is_copied_by_deepcopy(jit):
    import copy

    w = tfl.ones(3)
    call = jit(lambda x: x * copy.deepcopy(w))
    for i in range(CALLS):
        w += 1
        yield call(batch(i, 3))


@world(3)
def a_tensor_from_outside_is_changed_inside(jit):
    total, counts = tfl.zeros(3), tfl.zeros(4)
    view = counts[1:]

    @jit
    def step(x):
        total.mul_(0.5)
        total.add_(x)
        view.add_(1)
        counts[0] += 2
        return total * 2, counts

    for i in range(CALLS):
        yield step(batch(i, 3)), total, counts, view


@world(3)
def a_graph_from_before_sees_the_change(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS):
        loss = (model(batch(i, 4, 3)) ** 2).sum()
        made = step(batch(i, 4, 3))
        try:
            loss.backward()
        except Exception as error:
            yield type(error).__name__, made
        else:
            yield "nothing was noticed"


# -- arguments -------------------------------------------------------------------------------------
@world(3)
def other_shapes_and_dtypes_come(jit):
    call = jit(lambda x: (x * 2 + 1).sum(0))
    for i in range(12):
        x = batch(i, 4 if i % 3 else 2, 3, dtype=np.float64 if i % 4 == 3 else np.float32)
        yield call(x)


@world(3)
def other_layouts_come(jit):
    weight = batch(9, 4, 4)
    call = jit(lambda x: (x @ weight, x.reshape(-1), x.sum(0), x.T))
    wide = [batch(i, 4, 8) for i in range(3)]
    for i in range(18):
        w = wide[i % 3]
        x = [w[:, :4].clone(), w[:, ::2], w[:, 3::-1], w[:, 4:].T.clone().T, w[:1, :4].expand(4, 4)]
        yield [call(one) for one in x]


@world(3)
def devices_change(jit):
    call = jit(lambda x: (x * 2 + tfl.ones(3, device=x.device)).sum())
    for i in range(16):
        yield call(batch(i, 3).to("shadow" if i % 2 else "cpu"))


@world(2)
def an_argument_requires_grad_at_times(jit):
    def step(x):
        y = (x * x).sum()
        return tfl.autograd.grad(y, [x])[0] if y.requires_grad else y

    call = jit(step)
    for i in range(12):
        yield call(batch(i, 3).requires_grad_(i % 2 == 0))


@world(0)
def an_argument_has_a_history(jit):
    w = tfl.ones(3, requires_grad=True)

    @jit
    def step(h):
        (h * h).sum().backward()
        return h.detach() * 2

    for i in range(CALLS):
        w.grad = None
        h = w * batch(i, 3) if i < 5 else (w * 3).exp()
        try:
            yield step(h), w.grad
        except CaptureError:  # refused is right as well
            w.grad = None
            (h * h).sum().backward()
            yield h.detach() * 2, w.grad


@world(0)
def an_argument_is_a_tensor_that_is_read_otherwise_too(jit):
    w = tfl.ones(3)
    others = [w, w, w, w, batch(1, 3), batch(2, 3), w]
    call = jit(lambda a: a * 2 + w)
    for a in others:
        try:
            found = call(a)
        except CaptureError:
            found = a * 2 + w
        yield found


@world(0)
def two_arguments_share_an_array(jit):
    call = jit(lambda a, b: a * 2 + b)
    for i in range(CALLS):
        a = batch(i, 3)
        b = a.detach() if i < 5 else batch(i + 1, 3)
        try:
            found = call(a, b)
        except CaptureError:
            found = a * 2 + b
        yield found


@world(0)
def an_argument_shares_memory_with_a_state(jit):
    state = tfl.zeros(4)

    @jit
    def step(x):
        state.add_(1)
        return x * 2

    for i in range(CALLS):
        yield step(state[1:]), step(batch(i, 3)), state


@world(2)
def grad_mode_changes(jit):
    w = tfl.ones(3, requires_grad=True)

    @jit
    def step(x):
        y = (x * w).sum()
        if y.requires_grad:
            y.backward()
        return y.detach()

    for i in range(16):
        with tfl.set_grad_enabled(i % 2 == 0):
            yield step(batch(i, 3)), w.grad


@world(2)
def autocast_is_switched(jit):
    model = nn.Linear(3, 3)
    call = jit(lambda x: model(x).detach())
    for i in range(16):
        with tfl.amp.autocast("cpu", dtype=tfl.bfloat16, enabled=i % 2 == 0):
            yield call(batch(i, 4, 3))


@world(2)
def determinism_is_switched(jit):
    call = jit(lambda x: x @ x)
    try:
        for i in range(10):
            tfl.use_deterministic_algorithms(i > 4)
            yield call(batch(i, 70, 70))
    finally:
        tfl.use_deterministic_algorithms(False)


@world(0)
def the_collector_runs_inside(jit):
    model, opt, _ = trained(lambda f: f)

    @jit
    def step(x):
        loss = (model(x) ** 2).mean()
        gc.collect()
        return loss.detach()

    for i in range(CALLS):
        yield step(batch(i, 4, 3)), state_of(model, opt)


# -- optimizers ------------------------------------------------------------------------------------
def scheduled(jit: Any, make: Any, optimizer: Any = None, calls: int = 12) -> Any:
    model = nn.Linear(3, 2)
    opt = (optimizer or (lambda p: optim.SGD(p, lr=0.1, momentum=0.9)))(model.parameters())
    schedule = make(opt)
    model, opt, step = trained(jit, model, opt)
    for i in range(calls):
        loss = step(batch(i, 4, 3))
        if isinstance(schedule, optim.lr_scheduler.ReduceLROnPlateau):
            schedule.step(loss.item() if i < 4 else 9.0)
        else:
            schedule.step()
        yield loss, state_of(model, opt)


@world(9)
def rates_follow_steps(jit):
    yield from scheduled(jit, lambda opt: optim.lr_scheduler.StepLR(opt, 3, 0.5))


@world(9)
def rates_follow_a_function(jit):
    yield from scheduled(jit, lambda opt: optim.lr_scheduler.LambdaLR(opt, lambda i: 1 / (i + 1)))


@world(9)
def rates_follow_one_cycle(jit):
    yield from scheduled(
        jit, lambda opt: optim.lr_scheduler.OneCycleLR(opt, 0.5, 20, cycle_momentum=False)
    )


@world(0)
def rates_and_momentum_follow_one_cycle(jit):
    yield from scheduled(jit, lambda opt: optim.lr_scheduler.OneCycleLR(opt, 0.5, 30), calls=22)


@world(0)
def rates_and_betas_follow_one_cycle(jit):
    yield from scheduled(
        jit, lambda opt: optim.lr_scheduler.OneCycleLR(opt, 0.5, 30),
        lambda p: optim.Adam(p, lr=0.1), calls=22,
    )  # fmt: skip


@world(6)
def rates_follow_a_plateau(jit):
    yield from scheduled(jit, lambda opt: optim.lr_scheduler.ReduceLROnPlateau(opt, patience=1))


@world(2)
def momentum_changes(jit):
    model = nn.Linear(3, 2)
    model, opt, step = trained(jit, model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    for i in range(CALLS):
        opt.param_groups[0]["momentum"] = 0.5 if i > 4 else 0.9
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(2)
def betas_change(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS):
        if i == 5:
            group = opt.param_groups[0]
            before, kept = id(group["betas"]), []
            opt.defaults["betas"] = group["betas"] = None
            for _ in range(1000):
                made = tuple([0.5, float("0.6")])
                if id(made) == before:
                    break
                kept.append(made)
            group["betas"] = made
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(2)
def a_group_is_added(jit):
    model, extra = nn.Linear(3, 2), nn.Linear(2, 2)
    opt = optim.SGD([{"params": model.parameters()}], lr=0.1)

    @jit
    def step(x):
        opt.zero_grad()
        extra.zero_grad()
        loss = (extra(model(x)) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    for i in range(CALLS + 4):
        if i == 5:
            opt.add_param_group({"params": extra.parameters(), "lr": 0.3})
        yield step(batch(i, 4, 3)), state_of(model, opt), state_of(extra)


@world(3)
def groups_have_rates_of_their_own(jit):
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    groups = [{"params": model[0].parameters(), "lr": 0.2}, {"params": model[1].parameters()}]
    model, opt, step = trained(jit, model, optim.AdamW(groups, lr=0.1))
    for i in range(CALLS):
        opt.param_groups[i % 2]["lr"] *= 0.5
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(2)
def another_optimizer_comes(jit):
    model = nn.Linear(3, 2)
    opt = optim.Adam(model.parameters(), lr=0.1)

    @jit
    def step(x):
        opt.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    for i in range(CALLS + 4):
        if i == 5:
            opt = optim.AdamW(model.parameters(), lr=0.2)
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(2)
def states_are_cleared(jit):
    model, opt, step = trained(jit)
    for i in range(CALLS + 4):
        if i == 5:
            opt.state.clear()
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(3)
def two_optimizers_take_turns(jit):
    a, b = nn.Linear(3, 3), nn.Linear(3, 1)
    first, second = optim.Adam(a.parameters(), lr=0.1), optim.SGD(b.parameters(), lr=0.1)

    @jit
    def step(x, which):
        opt = first if which else second
        first.zero_grad()
        second.zero_grad()
        loss = (b(a(x)) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    for i in range(12):
        yield step(batch(i, 4, 3), i % 2 == 0), state_of(a, first), state_of(b, second)


class Signs(optim.Optimizer):
    """As in the docstring of Optimizer."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def update(self, group: Any, step: Any, parameters: Any, gradients: Any, states: Any) -> None:
        with tfl.no_grad():
            for p, gradient in zip(parameters, gradients, strict=True):
                p -= group["lr"] * tfl.sign(gradient)


class Plain(optim.Optimizer):
    """With a step of its own, as PyTorch's have."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        with tfl.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad, alpha=-group["lr"])


@world(2)
def the_rate_of_a_python_rule_changes(jit):
    model = nn.Linear(3, 2)
    model, opt, step = trained(jit, model, Signs(model.parameters(), 0.1))
    for i in range(CALLS + 4):
        opt.param_groups[0]["lr"] = 0.3 if i > 4 else 0.1
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(2)
def the_rate_of_a_python_step_changes(jit):
    model = nn.Linear(3, 2)
    model, opt, step = trained(jit, model, Plain(model.parameters(), 0.1))
    for i in range(CALLS + 4):
        opt.param_groups[0]["lr"] = 0.3 if i > 4 else 0.1
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(2)
def a_rate_is_read_in_the_step(jit):
    model = nn.Linear(3, 2)
    opt = optim.SGD(model.parameters(), lr=0.1)

    @jit
    def step(x):
        opt.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        opt.step()
        with tfl.no_grad():
            for p in model.parameters():
                p.mul_(1 - opt.param_groups[0]["lr"] * 0.1)
        return loss

    for i in range(CALLS + 4):
        opt.param_groups[0]["lr"] = 0.3 if i > 4 else 0.1
        yield step(batch(i, 4, 3)), state_of(model, opt)


@world(0)
def a_rate_is_a_result(jit):
    model, opt, step = trained(lambda f: f)

    @jit
    def both(x):
        return step(x), opt.param_groups[0]["lr"]

    for i in range(CALLS):
        opt.param_groups[0]["lr"] = 0.3 if i > 4 else 0.1
        yield both(batch(i, 4, 3)), state_of(model, opt)


# -- errors and warnings ---------------------------------------------------------------------------
def outcome(call: Any, *args: Any) -> Any:
    try:
        return call(*args)
    except CaptureError:
        raise
    except Exception as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: F.embedding(i, x),
        lambda x, i: x[i],
        lambda x, i: tfl.take(x, i, 0),
        lambda x, i: tfl.gather(x, 0, i[:, None]),
        lambda x, i: F.cross_entropy(x[:2], i),
        lambda x, i: F.nll_loss(x[:2], i),
        lambda x, i: F.one_hot(i, 4) + x[0, 0],
        lambda x, i: x.index_select(0, i),
        lambda x, i: x.scatter(0, i[:, None], 1.0),
        lambda x, i: x.index_add(0, i, x[:2]),
    ],
    ids=["embedding", "getitem", "take", "gather", "cross_entropy", "nll_loss", "one_hot", "select", "scatter", "add"],
)  # fmt: skip
def test_an_index_out_of_range_is_an_error_in_replays_too(function: Any) -> None:
    def found(call: Any) -> Any:
        x = batch(0, 5, 4)
        good = [outcome(call, x, tfl.tensor([1, i % 3])) for i in range(5)]
        assert all(isinstance(one, tfl.Tensor) for one in good), good
        return [outcome(call, x, tfl.tensor(bad)) for bad in ([1, 1000], [-1000, 0])]

    jitted = tfl.jit(function)
    with tfl.no_grad():
        assert [one[0] for one in found(jitted)] == [one[0] for one in found(function)]
    assert jitted.cache_info().replayed


@pytest.mark.parametrize(
    ("function", "bad"),
    [
        (lambda x: tfl.linalg.cholesky(x), -np.eye(3)),
        (lambda x: tfl.linalg.inv(x), np.zeros((3, 3))),
        (lambda x: tfl.linalg.solve(x, x), np.zeros((3, 3))),
    ],
    ids=["cholesky", "inv", "solve"],
)
def test_what_has_no_answer_is_the_same_error_in_replays(function: Any, bad: Any) -> None:
    jitted = tfl.jit(function)
    for i in range(5):
        jitted(tfl.tensor(np.eye(3) * (i + 2)))
    expected = outcome(function, tfl.tensor(bad))
    given = outcome(jitted, tfl.tensor(bad))
    assert isinstance(expected, tuple) == isinstance(given, tuple)
    if isinstance(expected, tuple):
        assert given == expected


@pytest.mark.parametrize(
    "function",
    [tfl.log, tfl.sqrt, tfl.exp, lambda x: 1 / x, lambda x: x / x, lambda x: x**-1.5,
     lambda x: (x * 1e38) * 1e38, lambda x: F.softmax(x, 0), lambda x: F.gelu(x)],
    ids=["log", "sqrt", "exp", "reciprocal", "divide", "power", "multiply", "softmax", "gelu"],
)  # fmt: skip
def test_replays_warn_of_numbers_as_the_function_does(function: Any) -> None:
    import warnings

    bad = tfl.tensor([0.0, -1.0, float("inf"), float("nan"), 1e30])

    def told(call: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call(bad)
        return [str(one.message) for one in found]

    jitted = tfl.jit(function)
    for _ in range(3):
        jitted(tfl.ones(5))
    assert told(jitted) == told(function)
    assert jitted.cache_info().replayed == 1
