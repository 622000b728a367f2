"""Inference, transforms of functions and threads under `jit`, against the functions themselves."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.errors import CaptureError
from tensorflowlite.nn import functional as F

from .jit_worlds import CALLS, batch, check, labels, seeded, state_of
from .test_jit_training import MODELS, mlp


# -- inference and transforms ----------------------------------------------------------------------
@pytest.mark.parametrize("name", MODELS)
def test_inference(name: str) -> None:
    make, data = MODELS[name]

    def world(jit: Any) -> Any:
        model = make().eval()
        call = jit(model)
        for i in range(CALLS):
            with tfl.no_grad():
                yield call(data(i)), call(data(i + 1))

    check(world, 5)


def test_inference_mode() -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        call = jit(tfl.inference_mode()(lambda x: model(x)))
        for i in range(CALLS):
            yield call(batch(i, 4, 3))

    check(world, 5)


def inside_vmap(x: Any, w: Any) -> Any:
    return tfl.vmap(lambda row: (row * w).sum() + row.max())(x)


def inside_random_vmap(x: Any, w: Any) -> Any:
    return tfl.vmap(lambda row: row + tfl.rand(3) * w, randomness="different")(x)


def inside_grad(x: Any, w: Any) -> Any:
    return tfl.grad(lambda v: (tfl.tanh(x @ v)).sum())(w)


def inside_grad_and_value(x: Any, w: Any) -> Any:
    return tfl.value_and_grad(lambda v: (tfl.tanh(x @ v)).sum())(w)


def inside_samples(x: Any, w: Any) -> Any:
    return tfl.vmap(tfl.grad(lambda v, row: tfl.tanh(row @ v)), in_dims=(None, 0))(w, x)


def inside_hessian(x: Any, w: Any) -> Any:
    return tfl.hessian(lambda v: (tfl.tanh(x @ v)).sum())(w)


def inside_jacobian(x: Any, w: Any) -> Any:
    return tfl.jacrev(lambda v: tfl.tanh(x @ v))(w), tfl.jacfwd(lambda v: tfl.tanh(x @ v))(w)


def inside_vjp(x: Any, w: Any) -> Any:
    out, pull = tfl.vjp(lambda v: tfl.tanh(x @ v), w)
    return out, pull(tfl.ones(4))


INSIDE = [
    inside_vmap, inside_random_vmap, inside_samples, inside_hessian, inside_jacobian,
    inside_grad, inside_grad_and_value, inside_vjp,
]  # fmt: skip


@pytest.mark.parametrize("function", INSIDE, ids=lambda f: f.__name__)
def test_transforms_inside(function: Any) -> None:
    def world(jit: Any) -> Any:
        call = jit(function)
        for i in range(CALLS):
            yield call(batch(i, 4, 3), batch(i + 1, 3))

    check(world, 5)


def test_transforms_of_a_jitted_function_run_it_as_it_is() -> None:
    def function(row: Any) -> Any:
        return (tfl.tanh(row) * 2).sum()

    jitted = tfl.jit(function)
    for i in range(6):
        x = batch(i, 4, 3)
        for transform in (tfl.vmap, lambda f: tfl.vmap(tfl.grad(f)), lambda f: lambda y: f(y[0])):
            with tfl.no_grad():
                assert transform(jitted)(x).tolist() == transform(function)(x).tolist()
    assert jitted.cache_info().replayed


def test_the_gradient_of_a_jitted_function_is_refused_or_right() -> None:
    jitted = tfl.jit(lambda x: (tfl.tanh(x) * 2).sum())
    with tfl.no_grad():
        for i in range(5):
            jitted(batch(i, 3))
    for i in range(6):
        x = batch(i, 3).requires_grad_()
        try:
            jitted(x).backward()
        except CaptureError as error:
            assert "requires grad" in str(error) or "require grad" in str(error)
        else:
            assert x.grad.tolist() == (2 * (1 - tfl.tanh(x.detach()) ** 2)).tolist()
    with pytest.raises(CaptureError):
        for i in range(3):
            tfl.grad(jitted)(batch(i, 3))


class Cube(tfl.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


def test_a_function_with_a_backward_of_its_own() -> None:
    def world(jit: Any) -> Any:
        w = tfl.ones(3, requires_grad=True)

        @jit
        def step(x):
            w.grad = None
            loss = Cube.apply(x * w).sum()
            loss.backward()
            return loss

        for i in range(CALLS):
            yield step(batch(i, 3)), w.grad

    check(world, 5)


def test_anomalies_are_looked_for_inside() -> None:
    def world(jit: Any) -> Any:
        w = tfl.ones(3, requires_grad=True)

        @jit
        def step(x):
            w.grad = None
            with tfl.autograd.detect_anomaly():
                loss = tfl.tanh(x * w).sum()
                loss.backward()
            return loss

        for i in range(CALLS):
            yield step(batch(i, 3)), w.grad

    check(world, 0)
    w = tfl.ones(3, requires_grad=True)
    (w * 2).sum().backward()
    assert w.grad.tolist() == [2, 2, 2]


def test_on_another_device() -> None:
    def world(jit: Any) -> Any:
        model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 2))
        model = model.to("shadow")
        opt = optim.AdamW(model.parameters(), lr=0.1)

        @jit
        def step(x, y):
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            opt.step()
            return loss

        for i in range(CALLS):
            x, y = batch(i, 4, 3).to("shadow"), labels(i, 4, 2).to("shadow")
            yield step(x, y), state_of(model, opt)

    check(world, 5)


def test_on_two_devices() -> None:
    def world(jit: Any) -> Any:
        first, second = nn.Linear(3, 4), nn.Linear(4, 2).to("shadow")
        opts = [optim.SGD(one.parameters(), lr=0.1) for one in (first, second)]

        @jit
        def step(x):
            for opt in opts:
                opt.zero_grad()
            loss = (second(tfl.tanh(first(x)).to("shadow")) ** 2).mean()
            loss.backward()
            for opt in opts:
                opt.step()
            return loss

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(first, opts[0]), state_of(second, opts[1])

    check(world, 5)


# -- threads ---------------------------------------------------------------------------------------
def in_threads(count: int, work: Any) -> None:
    errors: list[BaseException] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            gate.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert not any(one.is_alive() for one in threads)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("warm", [True, False], ids=["recorded before", "recorded by them"])
def test_threads_share_a_function(warm: bool) -> None:
    seeded(0)
    for _ in range(1 if warm else 4):
        model = nn.Sequential(*[nn.Linear(3, 3) for _ in range(20)]).eval()
        call = tfl.jit(model)
        data = [batch(i, 4, 3) for i in range(4)]
        with tfl.no_grad():
            expected = [model(x).tolist() for x in data]
            if warm:
                for _ in range(4):
                    call(data[0])

        def work(number: int, call: Any = call, data: Any = data, expected: Any = expected) -> None:
            with tfl.no_grad():
                for _ in range(10):
                    assert call(data[number]).tolist() == expected[number]

        in_threads(4, work)


def test_threads_record_functions_of_their_own() -> None:
    for _ in range(3):
        models = [nn.Sequential(*[nn.Linear(3, 3) for _ in range(10)]) for _ in range(4)]
        opts = [optim.SGD(model.parameters(), lr=0.1) for model in models]

        def work(number: int, models: Any = models, opts: Any = opts) -> None:
            def step(x):
                opts[number].zero_grad()
                loss = (models[number](x) ** 2).mean()
                loss.backward()
                opts[number].step()
                return loss

            jitted = tfl.jit(step)
            for i in range(8):
                jitted(batch(i, 4, 3))

        in_threads(4, work)
        for model in models:
            assert all(type(p.array) is np.ndarray for p in model.parameters())
            assert all(type(p.grad.array) is np.ndarray for p in model.parameters())


def test_one_thread_records_while_another_trains() -> None:
    done = threading.Event()

    def work(number: int) -> None:
        model = mlp()
        opt = optim.Adam(model.parameters(), lr=0.1)

        def step(x):
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        if number == 0:
            try:
                for _ in range(10):
                    jitted = tfl.jit(step)
                    for i in range(4):
                        jitted(batch(i, 4, 3))
            finally:
                done.set()
        else:
            while not done.is_set():
                step(batch(0, 4, 3))

    in_threads(2, work)
