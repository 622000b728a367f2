"""Checkpoints: the same values and gradients as without, and the memory that they free."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import GradientError, StaleValueError


def f64(values: Any) -> tfl.Tensor:
    return tfl.tensor(values, dtype=tfl.float64)


def plainly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def network() -> nn.Module:
    tfl.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)).double()


def both_ways(run: Callable[[Any], list[tfl.Tensor | None]]) -> None:
    """Run with and without checkpoints; the numbers are the same but for the order of sums."""
    expected, found = run(plainly), run(tfl.checkpoint)
    assert len(expected) == len(found) > 0
    for one, other in zip(expected, found, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            expected_array, found_array = one.detach().numpy(), other.detach().numpy()
            np.testing.assert_allclose(found_array, expected_array, rtol=1e-12, atol=1e-14)


def test_gradients_and_random_numbers_are_the_same() -> None:
    model = network()

    def run(call: Any) -> list[tfl.Tensor | None]:
        tfl.manual_seed(1)
        model.zero_grad()
        x = tfl.randn(5, 3, dtype=tfl.float64).requires_grad_()
        y = call(model, x * 2)
        loss = (y * y).sum() + (model[0].weight ** 2).sum()  # a parameter with a second use
        loss.backward()
        return [loss, x.grad, tfl.rand(3), *[p.grad for p in model.parameters()]]

    both_ways(run)


def test_within_one_another_and_twice_differentiated() -> None:
    model = network()

    def run(call: Any) -> list[tfl.Tensor | None]:
        tfl.manual_seed(1)
        model.zero_grad()
        x = tfl.randn(5, 3, dtype=tfl.float64).requires_grad_()
        y = call(lambda h: call(model, h + 1) ** 2, x * 2)
        (slope,) = tfl.autograd.grad(y.sum(), x, create_graph=True)
        (slope**2).sum().backward()
        return [x.grad, *[p.grad for p in model.parameters()]]

    both_ways(run)


def test_trees_keywords_and_other_values() -> None:
    def run(call: Any) -> list[tfl.Tensor | None]:
        x, w = f64([1.0, 2.0]).requires_grad_(), f64(3.0).requires_grad_()

        def part(pair: Any, *, scale: Any, power: int) -> Any:
            a, b = pair
            return {"a": a**power * scale, "b": [b, tfl.argmax(a), "text", a.detach()]}

        out = call(part, (x, f64([5.0])), scale=w, power=2)
        assert out["b"][2] == "text"
        assert not out["b"][0].requires_grad
        assert out["b"][1].item() == 1
        out["a"].sum().backward()
        return [out["a"], out["b"][3], x.grad, w.grad]

    both_ways(run)


def test_hooks_run_once() -> None:
    w = f64(2.0).requires_grad_()
    w.register_hook(lambda g: g * 10)
    inside: list[float] = []

    def part(x: tfl.Tensor) -> tfl.Tensor:
        y = x * w
        if y.requires_grad:
            y.register_hook(lambda g: inside.append(g.item()))
        return y * w

    tfl.checkpoint(part, f64(3.0)).backward()
    assert w.grad.item() == 120.0
    assert inside == [2.0]


def test_gradients_of_what_is_closed_over_can_be_asked_for() -> None:
    w = f64(2.0).requires_grad_()
    h = w * 3
    y = tfl.checkpoint(lambda x: x * h * h, f64(5.0))
    assert [g.item() for g in tfl.autograd.grad(y, (w, h))] == [180.0, 60.0]


def test_under_transforms() -> None:
    def f(x: Any) -> Any:
        return tfl.checkpoint(lambda y: (y**3 * x).sum(), x)

    assert tfl.grad(f)(f64(3.0)).item() == 108.0
    assert tfl.grad(tfl.grad(f))(f64(3.0)).item() == 108.0
    np.testing.assert_array_equal(
        tfl.hessian(lambda x: tfl.checkpoint(lambda y: (y**3).sum(), x))(f64([1.0, 2.0])).numpy(),
        [[6.0, 0.0], [0.0, 12.0]],
    )


def test_a_complex_segment() -> None:
    def run(call: Any) -> list[tfl.Tensor | None]:
        z = tfl.tensor([1 + 2j, 3 - 1j]).requires_grad_()
        w = tfl.tensor([2 - 1j]).requires_grad_()
        (call(lambda z: z * z * w, z * (1 + 1j)).abs() ** 2).sum().backward()
        return [z.grad, w.grad]

    both_ways(run)


def test_memory_is_free_until_the_backward_pass() -> None:
    alive: list[Any] = []

    def block(x: tfl.Tensor) -> tfl.Tensor:
        for _ in range(4):
            x = tfl.tanh(x)
            alive.append(weakref.ref(x.array))
        return x

    def living() -> int:
        return sum(one() is not None for one in alive)

    x = tfl.ones(100).requires_grad_()
    gc.disable()
    try:
        plain = block(block(block(x)))
        assert living() == 12  # tanh saves its output
        del plain
        alive.clear()
        y = x
        for _ in range(3):
            y = tfl.checkpoint(block, y)
        assert living() == 3  # the input of the second and third, and the result
        y.sum().backward()
        del y
        assert living() == 0
    finally:
        gc.enable()


def test_without_recording_it_is_a_plain_call() -> None:
    x = tfl.ones(2).requires_grad_()
    with tfl.no_grad():
        assert not tfl.checkpoint(lambda x: x * 2, x).requires_grad
    assert not tfl.checkpoint(lambda x: x * 2, tfl.ones(2)).requires_grad
    assert not tfl.checkpoint(lambda x: tfl.ones(2), x).requires_grad


def test_random_numbers_may_differ() -> None:
    drawn: list[float] = []

    def part(x: tfl.Tensor) -> tfl.Tensor:
        drawn.append(tfl.rand(1).item())
        return x * 2

    for keep in (True, False):
        drawn.clear()
        tfl.checkpoint(part, tfl.ones(1).requires_grad_(), preserve_rng_state=keep).sum().backward()
        assert (drawn[0] == drawn[1]) == keep


def test_a_function_that_changes() -> None:
    shapes = [(2,), (2, 2)]

    def part(x: tfl.Tensor) -> Any:
        return tfl.broadcast_to(x, shapes.pop(0))

    y = tfl.checkpoint(part, tfl.ones(2).requires_grad_())
    with pytest.raises(GradientError, match=r"must return the same .* got \(2, 2\) where .* \(2,"):
        y.sum().backward()

    results = [2, 1]
    y = tfl.checkpoint(lambda x: [x * 2] * results.pop(0), tfl.ones(2).requires_grad_())
    with pytest.raises(GradientError, match=r"must return as many tensors .* got 1"):
        (y[0] + y[1]).sum().backward()


def test_an_input_that_was_changed_in_place() -> None:
    x = tfl.ones(2).requires_grad_()
    h = x * 1
    y = tfl.checkpoint(lambda h: h * h, h)
    h += 1
    with pytest.raises(StaleValueError, match=r"checkpoint .*: input values"):
        y.sum().backward()


def test_on_every_device(backend: Any) -> None:
    def run(call: Any) -> list[tfl.Tensor | None]:
        tfl.manual_seed(3)
        x = tfl.ones((4, 3), device=backend.device).requires_grad_()
        w = tfl.full((3,), 0.5, device=backend.device).requires_grad_()
        y = call(lambda x: nn.functional.dropout(tfl.tanh(x * w), 0.5), x)
        assert y.device == x.device
        (y * y).sum().backward()
        return [one.detach().to("cpu").double() for one in (y, x.grad, w.grad)]

    both_ways(run)
