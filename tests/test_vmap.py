"""`vmap`: where the batch goes in and out, what it refuses, and derivatives through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.core.batching import lift_to_levels
from tensorflowlite.core.primitive import registry
from tensorflowlite.errors import (
    ArgumentError,
    BatchingError,
    DtypeError,
    GradientError,
    ShapeError,
)
from tensorflowlite.nn import functional as F
from tensorflowlite.transforms.vmap import batching_of

from .backends import TestBackend, all_backends

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 3))
W = RNG.normal(size=(3, 4))


def t(array: Any, **options: Any) -> Any:
    return tfl.tensor(np.asarray(array), **options)


def close(given: Any, expected: Any) -> None:
    # float64: a batch is summed in another order than its samples.
    np.testing.assert_allclose(given.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def message(call: Any, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


# -- axes ------------------------------------------------------------------------------------------
def test_axes_of_arguments_and_results() -> None:
    x, w = t(X), t(W)
    close(tfl.vmap(lambda a: a * 2)(x), X * 2)
    close(tfl.vmap(lambda a: a.sum(), in_axes=1)(x), X.sum(0))
    close(tfl.vmap(lambda a: a.sum(), in_axes=-1)(x), X.sum(0))
    close(tfl.vmap(lambda a, b: a @ b, in_axes=(0, None))(x, w), X @ W)
    close(tfl.vmap(lambda a, b: a @ b, in_axes=(None, 1))(x[0], w), X[0] @ W)
    close(tfl.vmap(lambda a: a @ w, out_axes=1)(x), (X @ W).T)
    close(tfl.vmap(lambda a: a @ w, out_axes=-1)(x), (X @ W).T)
    close(tfl.vmap(lambda a, b: a * b, in_axes=(0, 1))(x, t(X.T)), X * X)


def test_trees_of_arguments_and_results() -> None:
    def f(p: Any, a: Any, *, scale: Any) -> Any:
        return {"y": (p["w"] @ a + p["b"][0]) * scale, "w": p["w"]}, [a]

    given = {"w": t(W.T), "b": [t(X[:, 0])]}
    out, (same,) = tfl.vmap(f, in_axes=({"w": None, "b": 0}, 0), out_axes=({"y": 1, "w": None}, 0))(
        given, t(X), scale=t(np.arange(5.0))
    )
    close(out["y"], ((X @ W + X[:, :1]) * np.arange(5.0)[:, None]).T)
    close(out["w"], W.T)
    close(same, X)


def test_a_result_that_no_sample_changes_is_repeated() -> None:
    w = t(W, requires_grad=True)
    out = tfl.vmap(lambda a: (w.sum(), 3.0))(t(X))
    close(out[0], np.full(5, W.sum()))
    close(out[1], np.full(5, 3.0))
    out[0].sum().backward()
    close(w.grad, np.full((3, 4), 5.0))


def test_a_result_without_a_batch_counts_once() -> None:
    w = t(W, requires_grad=True)
    each = tfl.vmap(lambda a, v: (a.sum(), lift_to_levels(v).sum()), (0, None), (0, None))
    _, total = each(t(X), w)
    total.backward()
    close(w.grad, np.ones((3, 4)))


def test_nested_calls() -> None:
    x = t(X)
    pairs = tfl.vmap(lambda a: tfl.vmap(lambda b: ((a - b) ** 2).sum())(x))(x)
    close(pairs, ((X[:, None] - X[None]) ** 2).sum(-1))
    close(tfl.vmap(tfl.vmap(lambda a: a * a))(x), X * X)
    close(tfl.vmap(tfl.vmap(lambda a: a * 2, in_axes=0), in_axes=1, out_axes=1)(x), X * 2)
    close(tfl.vmap(lambda a: tfl.vmap(lambda b: a.sum())(x))(x), np.repeat(X.sum(1)[:, None], 5, 1))


def test_chunks_give_the_same() -> None:
    f = lambda a, b: (a @ b, a.sum())  # noqa: E731
    for size in (1, 2, 5, 7):
        y, s = tfl.vmap(f, in_axes=(0, None), out_axes=(1, 0), chunk_size=size)(t(X), t(W))
        close(y, (X @ W).T)
        close(s, X.sum(1))


def test_no_samples() -> None:
    empty = tfl.zeros((0, 3))
    assert tfl.vmap(lambda a: (a * 2).sum())(empty).shape == (0,)
    assert tfl.vmap(lambda a: tfl.linalg.cholesky(a[:, None] * a + tfl.eye(3)))(empty).shape == (
        0, 3, 3,
    )  # fmt: skip
    assert tfl.vmap(lambda a: tfl.take(a, tfl.argsort(a)))(empty).shape == (0, 3)


def test_axis_size_without_a_mapped_argument() -> None:
    close(tfl.vmap(lambda a: a * 2, in_axes=None, axis_size=2)(t(X)), np.stack([X * 2] * 2))
    assert "axis_size" in message(lambda: tfl.vmap(lambda a: a, in_axes=None)(t(X)), ArgumentError)


def test_calls_that_do_not_fit() -> None:
    f = lambda a, b: a + b  # noqa: E731
    text = message(lambda: tfl.vmap(f)(t(X), t(W)), ShapeError)
    assert text == (
        "vmap: the sizes of the mapped axes must agree, got sizes {'args[0]': 5, 'args[1]': 3}"
    )
    assert "an axis for each argument" in message(
        lambda: tfl.vmap(f, in_axes=(0,))(t(X), t(X)), ArgumentError
    )
    assert "got shape ()" in message(lambda: tfl.vmap(f)(t(1.0), t(X)), ShapeError)
    assert "got float" in message(lambda: tfl.vmap(f)(2.0, t(X)), DtypeError)
    assert "in_axes must be built" in message(
        lambda: tfl.vmap(f, in_axes=({"a": 0}, 0))(t(X), t(X)), ArgumentError
    )
    assert "must return tensors" in message(lambda: tfl.vmap(lambda a: "a")(t(X)), DtypeError)
    assert "out_axes=None" in message(lambda: tfl.vmap(f, (0, 0), None)(t(X), t(X)), BatchingError)
    assert "randomness" in message(lambda: tfl.vmap(f, randomness="some"), ArgumentError)
    assert "chunk_size" in message(lambda: tfl.vmap(f, chunk_size=0), ArgumentError)


def test_an_error_inside_names_the_shapes_of_a_sample() -> None:
    text = message(lambda: tfl.vmap(lambda a: a @ t(np.ones((2, 2))))(t(X)), ShapeError)
    assert "(3,)" in text and "(2, 2)" in text
    close(tfl.vmap(lambda a: a * 2)(t(X)), X * 2)  # the level has ended


# -- what can't be done ----------------------------------------------------------------------------
@pytest.mark.parametrize("read", [
    bool, float, int, lambda v: v.item(), lambda v: v.tolist(), lambda v: v.numpy(), np.asarray,
    lambda v: v[v > 0], lambda v: tfl.nonzero(v[None]), lambda v: [1, 2][v.astype(tfl.int64)],
])  # fmt: skip
def test_values_are_not_read(read: Any) -> None:
    text = message(lambda: tfl.vmap(lambda a: read(a.sum()))(t(X)), BatchingError)
    assert "vmap" in text and "where" in text


def test_what_all_samples_share_is_read() -> None:
    w = t(W)
    close(tfl.vmap(lambda a: a * 2 if w.sum() < 1e9 else a)(t(X)), X * 2)


def test_a_batched_tensor_prints() -> None:
    seen: list[str] = []
    tfl.vmap(lambda a: (seen.append(repr(a)), a)[1])(t(X))
    assert seen == ["tensor(batched over 5, shape=(3,), dtype=float64)"]


def changed(a: Any, w: Any) -> Any:
    out = tfl.zeros_like(a)
    out[0] = a[1]
    out[1:] *= 2
    out += a * w
    out[tfl.argsort(a)[:2]] = a[:2] * 3
    return out


def test_changes_in_place() -> None:
    w = t(X[0])
    found = tfl.vmap(changed, in_axes=(0, None))(t(X), w)
    close(found, np.stack([changed(a, w).numpy() for a in t(X)]))
    of_batch = tfl.grad(lambda x, w: (tfl.vmap(changed, (0, None))(x, w) ** 2).sum(), (0, 1))
    of_each = tfl.grad(lambda x, w: sum([(changed(a, w) ** 2).sum() for a in x]), (0, 1))
    for one, two in zip(of_batch(t(X), w), of_each(t(X), w), strict=True):
        close(one, two.numpy())


def test_changes_in_place_of_what_is_shared_raise() -> None:
    shared = tfl.zeros(3, dtype=tfl.float64)

    def write(a: Any) -> Any:
        shared[0] = a[0]
        return a

    assert "all samples share" in message(lambda: tfl.vmap(write)(t(X)), BatchingError)
    assert "all samples share" in message(
        lambda: tfl.vmap(lambda a: shared.add_(a))(t(X)), BatchingError
    )
    x = t(X)
    assert "outside of vmap" in message(lambda: tfl.vmap(lambda a: a.mul_(2))(x), BatchingError)
    close(x, X)
    assert float(shared.sum()) == 0


def test_new_tensors_hold_a_value_for_every_sample() -> None:
    for make in (
        lambda a: a.new_zeros(3), lambda a: a.new_zeros((3,), dtype=tfl.float64),
        lambda a: a.new_ones(3) - 1, lambda a: a.new_full((3,), 0.0), lambda a: a.new_empty(3) * 0,
        lambda a: a.new_full((3,), a.sum() * 0), lambda a: tfl.empty_like(a) * 0,
        lambda a: tfl.full_like(a, a.sum() * 0),
    ):  # fmt: skip
        close(tfl.vmap(lambda a, make=make: make(a).add_(a))(t(X)), X)
    close(tfl.vmap(tfl.vmap(lambda a: a.new_zeros(2).add_(a)))(t(X)), np.stack([X, X], -1))
    assert tfl.vmap(lambda a: a.new_zeros(2, 1))(t(X)).shape == (len(X), 2, 1)


def test_tensors_of_samples_in_a_sequence() -> None:
    close(tfl.vmap(lambda a: tfl.tensor([a[0], a[1] * 2]))(t(X)), X[:, :2] * [1, 2])
    close(tfl.vmap(lambda a: tfl.full((2,), a[0]))(t(X)), X[:, [0, 0]])


def test_a_loss_that_checks_its_values() -> None:
    variance = np.abs(X) + 0.1
    gaussian = tfl.nn.functional.gaussian_nll_loss
    found = tfl.vmap(gaussian)(t(X), t(X[::-1].copy()), t(variance))
    close(found, [gaussian(*map(t, one)).item() for one in zip(X, X[::-1], variance, strict=True)])
    variance[1, 0] = -1
    with pytest.raises(ArgumentError, match="gaussian_nll_loss: var must not be negative"):
        tfl.vmap(gaussian)(t(X), t(X), t(variance))


# -- derivatives -----------------------------------------------------------------------------------
def loss(p: Any, a: Any) -> Any:
    return (tfl.tanh(F.linear(a, p["w"], p["b"], "relu")) ** 2).sum() + p["b"].prod()


def test_gradients_of_each_sample() -> None:
    p = {"w": t(W.T), "b": t(RNG.normal(size=4))}
    found = tfl.vmap(tfl.grad(loss), in_axes=(None, 0))(p, t(X))
    for i, a in enumerate(t(X)):
        one = tfl.grad(loss)(p, a)
        for key in p:
            close(found[key][i], one[key].numpy())


def test_gradients_of_a_batch() -> None:
    def by_batch(w: Any, x: Any) -> Any:
        return tfl.vmap(lambda a: tfl.tanh(a @ w).prod())(x).sum()

    def at_once(w: Any, x: Any) -> Any:
        return tfl.prod(tfl.tanh(x @ w), axis=1).sum()

    for one, two in zip(
        tfl.grad(by_batch, (0, 1))(t(W), t(X)), tfl.grad(at_once, (0, 1))(t(W), t(X)), strict=True
    ):
        close(one, two.numpy())
    direction = (t(W), t(X))
    second = tfl.hvp(by_batch, direction, direction)
    expected = tfl.hvp(at_once, direction, direction)
    for one, two in zip(second, expected, strict=True):
        close(one, two.numpy())


def test_nested_batches_sum_what_they_share() -> None:
    x = t(X)

    def nested(w: Any) -> Any:
        inner = lambda a: tfl.vmap(lambda b: (tfl.tanh(a @ w) * (b @ w)).sum())(x)  # noqa: E731
        return tfl.vmap(inner)(x).sum()

    plain = tfl.grad(lambda w: (tfl.tanh(x @ w)[:, None] * (x @ w)[None]).sum())(t(W))
    close(tfl.grad(nested)(t(W)), plain.numpy())
    w = t(W, requires_grad=True)
    nested(w).backward()
    close(w.grad, plain.numpy())


def test_a_gradient_of_each_sample_through_an_outer_tensor() -> None:
    x, w = t(X), t(W)
    penalty = lambda w: (tfl.vmap(tfl.grad(lambda a: tfl.tanh(a @ w).sum()))(x) ** 2).sum()  # noqa: E731
    plain = lambda w: (tfl.grad(lambda x: tfl.tanh(x @ w).sum())(x) ** 2).sum()  # noqa: E731
    close(tfl.grad(penalty)(w), tfl.grad(plain)(w).numpy())


def test_pull_backs_of_a_batch_of_cotangents() -> None:
    f = lambda a: (tfl.tanh(a @ t(W)) ** 2, tfl.sort(a))  # noqa: E731
    _, pull = tfl.vjp(f, t(X[0]))
    first = t(RNG.normal(size=(6, 4)))
    found = tfl.vmap(lambda g: pull((g, tfl.ones(3, dtype=tfl.float64))))(first)[0]
    for i, g in enumerate(first):
        close(found[i], pull((g, tfl.ones(3, dtype=tfl.float64)))[0].numpy())


def test_a_batch_of_pull_backs_through_a_batch() -> None:
    f = lambda w: tfl.vmap(lambda a: tfl.tanh(a @ w).sum())(t(X))  # noqa: E731
    found = tfl.jacrev(f)(t(W))
    plain = tfl.jacrev(lambda w: tfl.tanh(t(X) @ w).sum(axis=1))(t(W))
    close(found, plain.numpy())
    close(tfl.jacfwd(f)(t(W)), plain.numpy())


def test_derivatives_of_higher_order_of_each_sample() -> None:
    f = lambda a: (tfl.tanh(a @ t(W)) ** 3).sum()  # noqa: E731
    found = tfl.vmap(tfl.hessian(f))(t(X))
    for i, a in enumerate(t(X)):
        close(found[i], tfl.hessian(f)(a).numpy())
    along = tfl.vmap(lambda a, v: tfl.jvp(f, (a,), (v,))[1])(t(X), t(X[::-1]))
    close(along, [tfl.jvp(f, (a,), (v,))[1].item() for a, v in zip(t(X), t(X[::-1]), strict=True)])


def test_leaves_from_outside_keep_no_gradients_of_a_batch() -> None:
    w = t(W[0], requires_grad=True)
    y = w * w
    text = message(
        lambda: tfl.vmap(lambda g: y.backward(g, retain_graph=True) or g)(t(np.ones((2, 4)))),
        GradientError,
    )
    assert "outside of vmap" in text and "grad(" in text
    assert w.grad is None


def test_backward_inside_adds_what_all_samples_give() -> None:
    w = t(W, requires_grad=True)

    def f(a: Any) -> Any:
        (a @ w).sum().backward()
        return a

    tfl.vmap(f)(t(X))
    close(w.grad, np.repeat(X.sum(0)[:, None], 4, 1))


class Cube(tfl.autograd.Function):
    """A function of the user's own."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x * x * x * w

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        return g * 3 * x * x * w, (g * x * x * x)


def test_functions_of_the_users_own() -> None:
    of_batch = lambda x, w: tfl.vmap(lambda a: Cube.apply(a, w).sum())(x).sum()  # noqa: E731
    gx, gw = tfl.grad(of_batch, (0, 1))(t(X), t(X[0]))
    close(gx, 3 * X * X * X[0])
    close(gw, (X**3).sum(0))
    each = tfl.vmap(tfl.grad(lambda a, w: Cube.apply(a, w).sum(), 1), (0, None))(t(X), t(X[0]))
    close(each, X**3)


def test_checkpoints() -> None:
    w = t(W, requires_grad=True)
    block = lambda a, v: tfl.tanh(a @ v) * tfl.randn(4)  # noqa: E731

    def total(run: Any) -> Any:
        tfl.manual_seed(3)
        return tfl.vmap(lambda a: run(a).sum(), randomness="different")(t(X)).sum()

    (one,) = tfl.autograd.grad(total(lambda a: tfl.checkpoint(block, a, w)), w)
    (two,) = tfl.autograd.grad(total(lambda a: block(a, w)), w)
    close(one, two.numpy())


# -- random numbers --------------------------------------------------------------------------------
@pytest.mark.parametrize("draw", [
    lambda a: tfl.randn(4), lambda a: tfl.rand(4), lambda a: tfl.random.randint(0, 1000, (4,)),
    lambda a: tfl.random.permutation(40), lambda a: F.dropout(a * 0 + 1),
    lambda a: F.dropout(tfl.ones(30)),
])  # fmt: skip
def test_random_numbers(draw: Any) -> None:
    x = t(np.ones((6, 30)))
    assert "randomness" in message(lambda: tfl.vmap(draw)(x), BatchingError)
    same = tfl.vmap(draw, randomness="same")(x).numpy()
    assert (same == same[0]).all() and len(np.unique(same)) > 1
    different = tfl.vmap(draw, randomness="different")(x).numpy()
    assert len({row.tobytes() for row in different}) == 6
    nested = tfl.vmap(
        lambda a: tfl.vmap(draw, randomness="different")(a[None] * tfl.ones((2, 1))),
        randomness="different",
    )(x).numpy()
    assert len({row.tobytes() for row in nested.reshape(12, -1)}) == 12


# -- networks, devices, the table ------------------------------------------------------------------
def test_networks() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LayerNorm(27),
        nn.Linear(27, 4),
    ).to(tfl.float64)  # fmt: skip
    images = t(RNG.normal(size=(4, 2, 1, 8, 8)))
    found = tfl.vmap(model)(images)
    close(found, np.stack([model(one).detach().numpy() for one in images]))
    found.sum().backward()
    batch = [p.grad.numpy().copy() for p in model.parameters()]
    model.zero_grad()
    sum([model(one).sum() for one in images]).backward()
    for one, p in zip(batch, model.parameters(), strict=True):
        close(tfl.Tensor(one), p.grad.numpy())


@pytest.mark.parametrize("backend", all_backends(), ids=lambda backend: backend.name)
def test_devices(backend: TestBackend) -> None:
    x, w = backend.tensor(X), backend.tensor(W)
    f = lambda w, a: (tfl.tanh(a @ w * 2 + 1)[tfl.argsort(a @ w)] ** 2).sum()  # noqa: E731
    found = tfl.vmap(tfl.grad(f), (None, 0))(w, x)
    assert type(found.array) is backend.array_type and found.device == x.device
    expected = np.stack([tfl.grad(f)(t(W), a).numpy() for a in t(X)])
    np.testing.assert_allclose(backend.host(found), expected, rtol=1e-12, atol=1e-12)


def test_few_operations_loop() -> None:
    loops = {name for name in registry if batching_of(name) == "loop"}
    common = "exp matmul where solve convolution max_pool sort cumulative_sum einsum layer_norm"
    assert loops.isdisjoint(common.split())
    assert batching_of("linear_act") == "parts" and batching_of("nonzero") == "refused"
    assert len(loops) < len(registry) / 8, sorted(loops)


def test_pytorchs_names_of_the_axes_are_taken():
    x, w = tfl.tensor(X), tfl.tensor(W)
    found = tfl.vmap(lambda w, row: row @ w, in_dims=(None, 0), out_dims=1)(w, x)
    np.testing.assert_allclose(found.numpy(), (X @ W).T)
