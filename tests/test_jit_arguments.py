"""`jit` is never silently wrong: other arguments come, and such that raise."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import CaptureError
from tensorflowlite.nn import functional as F

from .jit_worlds import CALLS, World, Worlds, batch, check, state_of, trained

world = Worlds()


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


@pytest.mark.parametrize(("function", "least"), world.found)
def test_a_change_is_seen(function: World, least: int) -> None:
    check(function, least)


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
    ids=["embedding", "getitem", "take", "gather", "cross_entropy", "nll_loss", "one_hot", "select",
         "scatter", "add"],
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
    [lambda x: tfl.log(x), lambda x: tfl.sqrt(x), lambda x: tfl.exp(x * x), lambda x: 1 / x,
     lambda x: x / x, lambda x: x**-1.5, lambda x: (x * 1e38) * 1e38, lambda x: F.softmax(x, 0),
     lambda x: F.gelu(x)],
    ids=["log", "sqrt", "exp", "reciprocal", "divide", "power", "multiply", "softmax", "gelu"],
)  # fmt: skip
def test_replays_warn_of_numbers_as_the_function_does(function: Any) -> None:
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


def test_an_operation_itself_is_replayed() -> None:
    jitted = tfl.jit(tfl.log)
    for i in range(5):
        jitted(batch(i, 3))
    assert jitted.cache_info().replayed == 2
