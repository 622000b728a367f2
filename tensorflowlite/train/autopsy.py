"""Where a loss that isn't finite came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .. import runtime
from ..core.tensor import Tensor
from ..ops import random
from ..ops.elementwise import isfinite
from ..ops.reduction import all as every
from ..transforms.anomaly import telling_of_anomalies


class Origin(NamedTuple):
    """Where a value that isn't finite came from: a clause, and the operation where it is known."""

    clause: str
    operation: str = ""  # a sentence, with the statistics of what went in


def find_origin(
    model: Any, inputs: tuple[Any, ...], target: Any, loss: Callable[[Any, Any], Any]
) -> Origin:
    """Return what first gave a value that isn't finite.

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
            return Origin(
                f"the batch's {name} is not finite before the first layer; check the data"
            )
    if not all(all_finite(value) for _, value in _named_leaves("target", target)):
        return Origin("the batch's target is not finite; check the data")
    path = broken_parameter(model)
    if path is not None:
        return Origin(
            f"parameter '{path}' is not finite since the last step; lower the learning rate "
            "or clip the gradients"
        )
    return _first_module(model, inputs, target, loss)


def _first_module(
    model: Any, inputs: tuple[Any, ...], target: Any, loss: Callable[[Any, Any], Any]
) -> Origin:
    found: list[str] = []
    operations: list[str] = []
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    device = next((tensor.device for tensor in model.parameters()), "cpu")
    state = random.get_state(device)
    handles = []
    try:
        for path, module in model.named_modules():
            handles.append(module.register_forward_hook(_watch(path, found, operations)))
        with runtime.set_mode(grad=False), telling_of_anomalies(operations.append):
            value = loss(model(*inputs), target)
    finally:
        for handle in handles:
            handle.remove()
        random.set_state(state, device)
        with runtime.set_mode(grad=False):
            for buffer, before in buffers:
                buffer[...] = before
    if found:
        return Origin(
            f"{found[0]} was the first to give a value that isn't finite; lower the learning "
            "rate or clip the gradients",
            *found[1:],
        )
    if not all_finite(value):
        return Origin(
            "the loss function made it of finite outputs; check the target and the loss, or lower "
            "the learning rate",
            *operations[-1:],
        )
    return Origin("it came out finite when the batch ran again; a random layer made it")


def _watch(path: str, found: list[str], operations: list[str]) -> Callable[..., None]:
    def hook(module: Any, args: Any, output: Any) -> None:
        if not found and not all(all_finite(value) for _, value in _named_leaves("", output)):
            name = f"module '{path}'" if path else "the model itself"
            found.append(f"{name} ({type(module).__name__})")
            found.extend(operations[-1:])  # what earlier ones gave a mask has hidden

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
