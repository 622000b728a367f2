"""`jit` is never silently wrong: modules and variables change between calls."""

from __future__ import annotations

import copy
import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn

from .jit_worlds import CALLS, World, Worlds, batch, check, state_of, trained

world = Worlds()
SCALE: Any = 2.0


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
                made = (1, int("3"))
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
    _, call = inference(jit)
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
    model, _, step = trained(jit)
    for i in range(CALLS):
        loss = (model(batch(i, 4, 3)) ** 2).sum()
        made = step(batch(i, 4, 3))
        try:
            loss.backward()
        except Exception as error:
            yield type(error).__name__, made
        else:
            yield "nothing was noticed"


@pytest.mark.parametrize(("function", "least"), world.found)
def test_a_change_is_seen(function: World, least: int) -> None:
    global SCALE
    SCALE = 2.0
    check(function, least)
