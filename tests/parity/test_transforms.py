"""Derivatives as transforms against torch.func's, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tensorflowlite.nn import functional as F
from tensorflowlite.transforms import tree

RNG = np.random.default_rng(3)


def drawn(*shape: int) -> Any:
    return RNG.standard_normal(shape)


MLP = {"w": [drawn(5, 4), drawn(3, 5)], "b": [drawn(5), drawn(3)]}
BATCH, TARGET = drawn(6, 4), RNG.integers(0, 3, 6)
IMAGE, KERNEL = drawn(1, 2, 5, 5), drawn(3, 2, 3, 3)


class Kit:
    """One library: its namespace, its functional one, its transforms, and how arrays enter."""

    def __init__(self, lib: Any, functional: Any, func: Any, enter: Callable[..., Any]) -> None:
        self.lib, self.F, self.func, self.enter = lib, functional, func, enter


OURS = Kit(tfl, F, tfl, tfl.tensor)
THEIRS = Kit(torch, torch.nn.functional, torch.func, torch.tensor)


def mlp(kit: Kit, p: Any) -> Any:
    x = kit.enter(BATCH)
    for i, (w, b) in enumerate(zip(p["w"], p["b"], strict=True)):
        x = x @ w.mT + b
        x = kit.lib.tanh(x) if i == 0 else x
    return x


def loss(kit: Kit, p: Any) -> Any:
    return kit.F.cross_entropy(mlp(kit, p), kit.enter(TARGET))


# Function and point: of one tree each.
SCALARS: dict[str, tuple[Callable[[Kit, Any], Any], Any]] = {
    "an MLP's loss": (loss, MLP),
    "softmax cross entropy": (
        lambda kit, x: kit.F.cross_entropy(x, kit.enter(TARGET)), drawn(6, 3)),
    "a norm": (lambda kit, x: kit.lib.sqrt((x * x).sum()), drawn(4, 2)),
    "einsum": (lambda kit, x: kit.lib.einsum("ij,jk,ki->", x, x, x), drawn(3, 3)),
    "sorted": (
        lambda kit, x: (x[kit.lib.argsort(x)] * kit.lib.arange(6)).sum() ** 2, drawn(6)),
    "a convolution": (
        lambda kit, w: kit.lib.tanh(kit.F.conv2d(kit.enter(IMAGE), w, padding=1)).sum(), KERNEL),
    "gelu and layer norm": (
        lambda kit, x: (kit.F.gelu(kit.F.layer_norm(x, (4,))) ** 2).sum(), drawn(2, 4)),
    "log-sum-exp of a product": (
        lambda kit, x: kit.lib.logsumexp(x[0] @ x[1], 0).prod(), (drawn(2, 3), drawn(3, 2))),
}  # fmt: skip
FUNCTIONS: dict[str, tuple[Callable[[Kit, Any], Any], Any]] = {
    "an MLP": (mlp, MLP),
    "softmax": (lambda kit, x: kit.lib.softmax(x, -1), drawn(2, 4)),
    "outer": (lambda kit, x: kit.lib.einsum("i,j->ij", x, kit.lib.sin(x)), drawn(4)),
    "a dict": (lambda kit, x: {"a": x * 2, "b": (x.sum(), x[0] ** 3)}, drawn(3)),
    "a convolution": (lambda kit, w: kit.F.conv2d(kit.enter(IMAGE), w), KERNEL),
    "of two": (lambda kit, x: x[0] @ x[1] / (1 + x[0][0, 0] ** 2), (drawn(2, 3), drawn(3, 2))),
}  # fmt: skip


def enter(kit: Kit, values: Any) -> Any:
    return tree.map_leaves(kit.enter, values)


def compare(ours: Callable[[Kit], Any], tolerance: float = 1e-10) -> None:
    found, expected = ours(OURS), ours(THEIRS)
    found_leaves, structure = tree.flatten(found)
    expected_leaves = tree.flatten_like("compare", structure, expected)
    assert len(found_leaves) > 0
    for one, other in zip(found_leaves, expected_leaves, strict=True):
        assert one.shape == tuple(other.shape)
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", SCALARS)
def test_gradients_and_products(name: str) -> None:
    function, point = SCALARS[name]
    vector = tree.map_leaves(lambda x: drawn(*x.shape), point)

    def run(kit: Kit) -> Any:
        f = lambda x: function(kit, x)  # noqa: E731
        x, v = enter(kit, point), enter(kit, vector)
        func = kit.func
        value_and_grad = func.value_and_grad if kit is OURS else func.grad_and_value
        both = value_and_grad(f)(x)
        value, slope = both if kit is OURS else both[::-1]
        _, twice = func.jvp(func.grad(f), (x,), (v,))
        return [func.grad(f)(x), value, slope, twice]

    compare(run)
    ours = tfl.hvp(lambda x: function(OURS, x), (enter(OURS, point),), (enter(OURS, vector),))
    forward = run(OURS)[3]
    for one, other in zip(tree.flatten(ours[0])[0], tree.flatten(forward)[0], strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in SCALARS if name != "a convolution"])
def test_hessians(name: str) -> None:
    function, point = SCALARS[name]
    compare(lambda kit: kit.func.hessian(lambda x: function(kit, x))(enter(kit, point)))
    compare(
        lambda kit: kit.func.jacrev(kit.func.jacrev(lambda x: function(kit, x)))(enter(kit, point))
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians(name: str) -> None:
    function, point = FUNCTIONS[name]
    for transform in ("jacrev", "jacfwd"):
        compare(
            lambda kit, transform=transform: getattr(kit.func, transform)(
                lambda x: function(kit, x)
            )(enter(kit, point))
        )
    compare(
        lambda kit: kit.func.jacrev(lambda x: function(kit, x), chunk_size=2)(enter(kit, point))
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pull_backs_and_push_forwards(name: str) -> None:
    function, point = FUNCTIONS[name]
    shapes = function(OURS, enter(OURS, point))
    cotangent = tree.map_leaves(lambda y: drawn(*y.shape), shapes)
    tangent = tree.map_leaves(lambda x: drawn(*x.shape), point)

    def run(kit: Kit) -> Any:
        f = lambda x: function(kit, x)  # noqa: E731
        out, pull = kit.func.vjp(f, enter(kit, point))
        again, pushed = kit.func.jvp(f, (enter(kit, point),), (enter(kit, tangent),))
        return [out, again, pushed, pull(enter(kit, cotangent))]

    compare(run)


def test_complex_numbers() -> None:
    z = drawn(3) + 1j * drawn(3)
    v = drawn(3) + 1j * drawn(3)

    def run(kit: Kit) -> Any:
        lib, func = kit.lib, kit.func
        f = lambda z: lib.exp(z) * z * lib.abs(z)  # noqa: E731
        out, pull = func.vjp(f, kit.enter(z))
        _, pushed = func.jvp(f, (kit.enter(z),), (kit.enter(v),))
        slope = func.grad(lambda z: (lib.abs(f(z)) ** 2).sum())(kit.enter(z))
        return [out, pull(kit.enter(v)), pushed, slope]

    compare(run)


def test_gradients_of_each_sample() -> None:
    def run(kit: Kit) -> Any:
        def one(p: Any, x: Any, y: Any) -> Any:
            w, b = p["w"], p["b"]
            logits = kit.lib.tanh(x @ w[0].mT + b[0]) @ w[1].mT + b[1]
            return kit.F.cross_entropy(logits, y)

        each = kit.func.vmap(kit.func.grad(one), (None, 0, 0))
        return each(enter(kit, MLP), kit.enter(BATCH), kit.enter(TARGET))

    compare(run)


def test_hessians_of_each_sample() -> None:
    xs = drawn(5, 3)

    def run(kit: Kit) -> Any:
        f = lambda x: (kit.lib.sin(x).prod() + (x**4).sum()) ** 2  # noqa: E731
        return kit.func.vmap(kit.func.hessian(f))(kit.enter(xs))

    compare(run)


def test_batched_gradients() -> None:
    array, rows = drawn(4), drawn(7, 4)

    def run(kit: Kit) -> Any:
        x = kit.enter(array)
        x.requires_grad_()
        return kit.lib.autograd.grad(
            kit.lib.tanh(x) * x.sum(), x, kit.enter(rows), is_grads_batched=True
        )

    compare(run)
