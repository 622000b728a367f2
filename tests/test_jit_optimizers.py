"""`jit` is never silently wrong: optimizers and their rates change between calls."""

from __future__ import annotations

from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim

from .jit_worlds import CALLS, World, Worlds, batch, check, state_of, trained

world = Worlds()


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
                made = (0.5, float("0.6"))
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


@pytest.mark.parametrize(("function", "least"), world.found)
def test_a_change_is_seen(function: World, least: int) -> None:
    check(function, least)
