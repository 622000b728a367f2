"""Which gradients a recording depends on: those that it asks for, adds to or sets."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import tensorflowlite as tfl
from tensorflowlite import nn, optim

from .jit_worlds import CALLS, batch, check, snapshot, state_of


def test_an_evaluation_between_steps_is_recorded_once() -> None:
    """Its gradients are other tensors each time, or none."""
    model = nn.Linear(3, 2)
    opt = optim.SGD(model.parameters(), lr=0.1)
    evaluate = tfl.jit(model)
    for i in range(8):
        if i % 3 == 2:
            opt.zero_grad()
        else:
            model.zero_grad()
            model(batch(i, 4, 3)).sum().backward()
            opt.step()
        with tfl.no_grad():
            x = batch(20 + i, 4, 3)
            assert snapshot(evaluate(x)) == snapshot(model(x))
    assert evaluate.cache_info() == (5, 2, 1, 1)


def test_two_steps_leave_each_others_gradients_alone() -> None:
    """As a generator's and a discriminator's do."""

    def world(jit: Any) -> Any:
        one, other = nn.Linear(3, 3), nn.Linear(3, 1)
        opts = [optim.SGD(model.parameters(), lr=0.1) for model in (one, other)]

        @jit
        def second(x):
            opts[1].zero_grad()
            with tfl.no_grad():
                made = one(x)
            loss = (other(made) - other(x)).mean()
            loss.backward()
            opts[1].step()
            return loss

        @jit
        def first(x):
            opts[0].zero_grad()
            loss = other(one(x)).mean()
            loss.backward()
            opts[0].step()
            return loss

        for i in range(CALLS + 2):
            yield second(batch(i, 4, 3)), first(batch(i, 4, 3))
            yield state_of(one, *opts), state_of(other)

    check(world, 2)


def test_a_gradient_that_python_looks_at_is_compared() -> None:
    def world(jit: Any) -> Any:
        p = tfl.tensor([1.0, 2.0], requires_grad=True)

        @jit
        def f(x):
            return x * 2 if p.grad is None else x * 3

        for i in range(3 * CALLS):
            if i % CALLS == 0:
                p.grad = None if i % (2 * CALLS) else tfl.ones(2)
            yield f(batch(i, 2)), p.grad

    check(world, 2)


def test_a_gradient_that_is_read_is_the_one_of_now() -> None:
    def world(jit: Any) -> Any:
        p = tfl.tensor([1.0, 2.0], requires_grad=True)
        p.grad = tfl.ones(2)
        q = tfl.tensor([1.0, 2.0], requires_grad=True)
        q.grad = tfl.ones(2)

        @jit
        def f(x):
            with tfl.no_grad():
                return x * p.grad + q

        for i in range(2 * CALLS):
            q.grad = batch(30 + i, 2)  # nobody's
            if i == CALLS:
                p.grad = batch(50, 2)
            elif i > CALLS:
                p.grad.copy_(batch(50 + i, 2))
            yield f(batch(i, 2)), q.grad

    check(world, 2)


def test_gradients_are_added_to() -> None:
    def world(jit: Any) -> Any:
        model, idle = nn.Linear(3, 2), nn.Linear(3, 2)

        @jit
        def f(x):
            (model(x) + idle(x).detach()).sum().backward()

        for i in range(2 * CALLS):
            if i == CALLS:
                model.zero_grad()
            idle.weight.grad = batch(40 + i, 2, 3)
            f(batch(i, 4, 3))
            yield state_of(model), idle.weight.grad

    check(world, 2)


def test_a_copy_of_a_leaf_has_its_gradient() -> None:
    """Where that is None when it is recorded, too."""
    import copy

    def world(jit: Any) -> Any:
        p = tfl.tensor([1.0, 2.0], requires_grad=True)

        @jit
        def f(x):
            q = copy.deepcopy(p)
            return x * (2 if q.grad is None else 3)

        for i in range(2 * CALLS):
            if i == CALLS:
                p.grad = tfl.ones(2)
            yield f(batch(i, 2))

    check(world, 1)


def test_a_recording_keeps_no_gradient_alive() -> None:
    model = nn.Linear(30, 20)

    @tfl.jit
    def step(x):
        model.zero_grad()
        model(x).sum().backward()

    evaluate = tfl.jit(model)
    gone = []
    for i in range(CALLS):
        step(batch(i, 4, 30))
        with tfl.no_grad():
            evaluate(batch(i, 4, 30))
        gone.append(weakref.ref(model.weight.grad.array))
    step(batch(0, 4, 30))
    gc.collect()
    assert not [one for one in gone if one() is not None]
