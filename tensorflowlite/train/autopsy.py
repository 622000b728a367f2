"""Where a loss that isn't finite came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import runtime
from ..core.tensor import Tensor
from ..ops import random
from ..ops.elementwise import isfinite
from ..ops.reduction import all as every


def find_origin(
    model: Any, inputs: tuple[Any, ...], target: Any, loss: Callable[[Any, Any], Any]
) -> str:
    """Return what first gave a value that isn't finite: one clause of a sentence.

    The batch runs through the model once more, with hooks. Parameters aren't touched; buffers and
    the random state are put back.

    Parameters
    ----------
    model : Module
        The network, in the mode in which it gave the loss.
    inputs, target
        The batch.
    loss : callable
        The loss function.
    """
    for name, value in _named_leaves("input", inputs):
        if not all_finite(value):
            return f"the batch's {name} is not finite before the first layer; check the data"
    if not all(all_finite(value) for _, value in _named_leaves("target", target)):
        return "the batch's target is not finite; check the data"
    path = broken_parameter(model)
    if path is not None:
        return (
            f"parameter '{path}' is not finite since the last step; lower the learning rate "
            "or clip the gradients"
        )
    return _first_module(model, inputs, target, loss)


def _first_module(
    model: Any, inputs: tuple[Any, ...], target: Any, loss: Callable[[Any, Any], Any]
) -> str:
    found: list[str] = []
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    device = next((tensor.device for tensor in model.parameters()), "cpu")
    state = random.get_state(device)
    handles = []
    try:
        for path, module in model.named_modules():
            handles.append(module.register_forward_hook(_watch(path, found)))
        with runtime.set_mode(grad=False):
            value = loss(model(*inputs), target)
    finally:
        for handle in handles:
            handle.remove()
        random.set_state(state, device)
        with runtime.set_mode(grad=False):
            for buffer, before in buffers:
                buffer[...] = before
    if found:
        return (
            f"{found[0]} was the first to give a value that isn't finite; lower the learning "
            "rate or clip the gradients"
        )
    if not all_finite(value):
        return (
            "the loss function made it of finite outputs; check the target and the loss, or lower "
            "the learning rate"
        )
    return "it came out finite when the batch ran again; a random layer made it"


def _watch(path: str, found: list[str]) -> Callable[..., None]:
    def hook(module: Any, args: Any, output: Any) -> None:
        if not found and not all(all_finite(value) for _, value in _named_leaves("", output)):
            name = f"module '{path}'" if path else "the model itself"
            found.append(f"{name} ({type(module).__name__})")

    return hook


def _named_leaves(name: str, tree: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _named_leaves(f"{name} {key!r}", value)
    elif isinstance(tree, (list, tuple)):
        for place, value in enumerate(tree):
            yield from _named_leaves(name if len(tree) == 1 else f"{name} {place}", value)


def broken_parameter(model: Any) -> str | None:
    """Return the path of the first parameter that isn't finite, None where all are."""
    return next((path for path, one in model.named_parameters() if not all_finite(one)), None)


def all_finite(tensor: Tensor) -> bool:
    """Tell whether no element is NaN or infinite."""
    return bool(every(isfinite(tensor.detach())))
