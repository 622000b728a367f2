"""Backward hooks of modules, and forward hooks that run whatever happens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import ArgumentError, ShapeError


def shapes(values: Any) -> list[Any]:
    return [None if one is None else one.shape for one in values]


class Two(nn.Module):
    """Two inputs and a number; two outputs in a tuple."""

    def forward(self, x: Any, scale: float, y: Any) -> Any:
        return x * scale, (x * y).sum()


def test_what_a_backward_hook_sees() -> None:
    module, seen = Two(), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append((m, shapes(gi), shapes(go))))
    module.register_full_backward_pre_hook(lambda m, go: seen.append((m, shapes(go))))
    x = tfl.ones(3).requires_grad_()
    a, b = module(x, 2.0, tfl.ones(3))
    (a.sum() + b).backward()
    assert seen == [(module, [(3,), ()]), (module, [(3,), None, (3,)], [(3,), ()])]
    np.testing.assert_array_equal(x.grad.numpy(), [3.0] * 3)
    seen.clear()
    module(x, 2.0, tfl.ones(3))[1].backward()
    assert seen[0] == (module, [None, ()])  # an output that wasn't used


def test_backward_hooks_replace_gradients() -> None:
    layer = nn.Linear(2, 2, bias=False)
    x = tfl.ones((1, 2)).requires_grad_()
    layer(x).sum().backward()
    by_weight, by_x = layer.weight.grad.numpy().copy(), x.grad.numpy().copy()
    layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))
    layer.register_full_backward_hook(lambda m, gi, go: gi[0] * 5)
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,), prepend=True)
    x.grad = layer.weight.grad = None
    layer(x).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), 3 * by_weight)
    np.testing.assert_allclose(x.grad.numpy(), 30 * by_x, rtol=1e-6)


def test_where_no_input_requires_grad() -> None:
    layer, seen = nn.Linear(2, 2), []
    handle = layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, shapes(go))))
    layer(tfl.ones((1, 2))).sum().backward()
    assert seen == [((None,), [(1, 2)])]
    handle.remove()
    layer(tfl.ones((1, 2))).sum().backward()
    assert len(seen) == 1
    with tfl.no_grad():
        layer(tfl.ones((1, 2)))
    layer.register_full_backward_hook(lambda m, gi, go: go)
    with pytest.raises(ArgumentError, match="must return None where no input requires grad"):
        layer(tfl.ones((1, 2))).sum().backward()


def test_backward_hooks_within_a_network_and_higher_orders() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    order: list[str] = []
    for name, module in model.named_modules():
        module.register_full_backward_hook(lambda m, gi, go, name=name: order.append(name))
    x = tfl.tensor([[0.3, -0.2]], dtype=tfl.float64, requires_grad=True)
    model(x).sum().backward()
    assert order == ["2", "1", "0", ""]
    assert tfl.autograd.gradgradcheck(model, x)
    model[1].register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    assert not tfl.autograd.gradcheck(model, x, raise_exception=False)


@pytest.mark.parametrize(
    ("hook", "kind"),
    [(lambda m, gi, go: (gi[0], gi[0]), "hook"), (lambda m, go: (go[0], go[0]), "pre_hook")],
)
def test_hooks_that_return_too_much(hook: Any, kind: str) -> None:
    module = nn.Tanh()
    getattr(module, f"register_full_backward_{kind}")(hook)
    y = module(tfl.ones(2).requires_grad_())
    with pytest.raises(ArgumentError, match=f"register_full_backward_{kind}: .* each of 1, got 2"):
        y.sum().backward()


def test_forward_hooks_that_are_always_called() -> None:
    layer, seen = nn.Linear(2, 2), []
    layer.register_forward_hook(lambda m, args, out: seen.append("never"))
    layer.register_forward_hook(
        lambda m, args, kwargs, out: seen.append(out), always_call=True, with_kwargs=True
    )
    with pytest.raises(ShapeError):
        layer(tfl.ones(3))
    assert seen == [None]
    layer(tfl.ones(2))
    assert seen[1] == "never"
    assert seen[2].shape == (2,)


def test_a_pre_hook_with_kwargs_returns_both() -> None:
    layer = nn.Linear(2, 2)
    layer.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    with pytest.raises(ArgumentError, match=r"return None or \(args, kwargs\), got tuple"):
        layer(tfl.ones(2))
