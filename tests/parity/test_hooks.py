"""Hooks of modules and tensors against PyTorch's: when they run, what they see and change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tensorflowlite as tfl

ARRAY = np.array([[0.3, -0.7, 1.1], [0.2, 0.5, -0.4]])


def numbers(value: Any) -> Any:
    if value is None or isinstance(value, str | float | int):
        return value
    if isinstance(value, tuple | list):
        return [numbers(one) for one in value]
    if isinstance(value, dict):
        return {key: numbers(one) for key, one in value.items()}
    return np.round(value.detach().numpy(), 10).tolist()


def linear(kit: Any) -> Any:
    layer = kit.nn.Linear(3, 2).double()
    with kit.no_grad():
        layer.weight.copy_(kit.tensor(np.arange(6.0).reshape(2, 3) / 5))
        layer.bias.copy_(kit.tensor(np.array([0.1, -0.2])))
    return layer


def full_hooks(kit: Any, log: list[Any]) -> None:
    model = kit.nn.Sequential(linear(kit), kit.nn.Tanh())
    for name, module in model.named_modules():
        module.register_full_backward_hook(
            lambda m, gi, go, name=name: log.append((name, numbers(gi), numbers(go)))
        )
        module.register_full_backward_pre_hook(
            lambda m, go, name=name: log.append((name, numbers(go)))
        )
    x = kit.tensor(ARRAY, requires_grad=True)
    model(x).sum().backward()
    log.append([numbers(x.grad), numbers(model[0].weight.grad)])
    model(kit.tensor(ARRAY)).sum().backward()
    log.append(numbers(model[0].weight.grad))


def chained_hooks(kit: Any, log: list[Any]) -> None:
    layer = linear(kit)
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] + 1,), prepend=True)
    layer.register_full_backward_hook(lambda m, gi, go: log.append(numbers(gi)))
    layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))
    layer.register_full_backward_pre_hook(lambda m, go: log.append(numbers(go)))
    x = kit.tensor(ARRAY, requires_grad=True)
    (layer(x) ** 2).sum().backward()
    log.append([numbers(x.grad), numbers(layer.weight.grad), numbers(layer.bias.grad)])


def several_values(kit: Any, log: list[Any]) -> None:
    class Pair(kit.nn.Module):
        def forward(self, x: Any, scale: Any, y: Any, power: int = 2) -> Any:
            return x * scale, y**power, x.detach()

    module = Pair()
    module.register_full_backward_hook(lambda m, gi, go: log.append((numbers(gi), numbers(go))))
    module.register_full_backward_pre_hook(lambda m, go: log.append(numbers(go)))
    x, y = kit.tensor(ARRAY, requires_grad=True), kit.tensor(ARRAY * 2)
    a, _, _ = module(x, 2.0, y, power=3)
    a.sum().backward()
    y.requires_grad_()
    a, b, _ = module(x, 2.0, y, power=3)
    (a.sum() + b.sum()).backward()
    log.append([numbers(x.grad), numbers(y.grad)])


def forward_hooks(kit: Any, log: list[Any]) -> None:
    layer = linear(kit)
    layer.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    layer.register_forward_pre_hook(lambda m, args: args[0] + 1, prepend=True)
    layer.register_forward_pre_hook(
        lambda m, args, kwargs: log.append((numbers(args), kwargs)), with_kwargs=True
    )
    layer.register_forward_hook(lambda m, args, out: out * 3)
    layer.register_forward_hook(
        lambda m, args, kwargs, out: log.append(numbers(out)), with_kwargs=True, prepend=True
    )
    log.append(numbers(layer(kit.tensor(ARRAY))))


def always_called(kit: Any, log: list[Any]) -> None:
    class Fails(kit.nn.Module):
        def forward(self, x: Any) -> Any:
            raise KeyError("no")

    module = Fails()
    module.register_forward_hook(lambda m, args, out: log.append(out), always_call=True)
    module.register_forward_hook(lambda m, args, out: log.append("never"))
    with pytest.raises(KeyError):
        module(kit.tensor(ARRAY))


def tensor_hooks(kit: Any, log: list[Any]) -> None:
    x = kit.tensor(ARRAY, requires_grad=True)
    h = x * 2
    h.register_hook(lambda g: log.append(("first", numbers(g))))
    h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: log.append(("third", numbers(g))))
    h.retain_grad()
    x.register_hook(lambda g: g + 1)
    (h * h).sum().backward()
    log.append([numbers(x.grad), numbers(h.grad)])


def after_accumulation(kit: Any, log: list[Any]) -> None:
    x = kit.tensor(ARRAY, requires_grad=True)
    handle = x.register_post_accumulate_grad_hook(lambda x: log.append(numbers(x.grad)))
    for _ in range(2):
        (x * x).sum().backward()
    handle.remove()
    (x * x).sum().backward()
    with pytest.raises(RuntimeError):
        (x * 2).register_post_accumulate_grad_hook(lambda x: None)


def into_some_leaves(kit: Any, log: list[Any]) -> None:
    x, y = kit.tensor(ARRAY, requires_grad=True), kit.tensor(ARRAY, requires_grad=True)
    h = x * y
    (h * h).sum().backward(inputs=[x], retain_graph=True)
    log.append([numbers(x.grad), numbers(y.grad)])
    kit.autograd.backward((h * h).sum(), inputs=[y, h])
    log.append([numbers(x.grad), numbers(y.grad)])


def zeros_for_unused(kit: Any, log: list[Any]) -> None:
    x, y = kit.tensor(ARRAY, requires_grad=True), kit.tensor(ARRAY, requires_grad=True)
    log.append(numbers(kit.autograd.grad(x.sum(), (x, y), materialize_grads=True)))


SCRIPTS = [full_hooks, chained_hooks, several_values, forward_hooks, always_called, tensor_hooks,
           after_accumulation, into_some_leaves, zeros_for_unused]  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_one_script_for_both(script: Any) -> None:
    ours: list[Any] = []
    theirs: list[Any] = []
    script(tfl, ours)
    script(torch, theirs)
    assert len(theirs) > 0
    assert ours == theirs
