"""The parts of a `Trainer`: whether they are what they are taken for, and where they are."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError


def check_parts(model: Any, optimizer: Any, loss: Any) -> None:
    """Raise unless each part of a Trainer is what it is taken for."""
    if not hasattr(model, "parameters"):
        raise DtypeError(
            f"Trainer: model must be a Module, got {type(model).__name__}; "
            "the order is Trainer(model, optimizer, loss)"
        )
    if not hasattr(optimizer, "param_groups"):
        raise DtypeError(
            f"Trainer: optimizer must be an Optimizer, got {optimizer!r:.40}; make one of "
            "model.parameters()"
        )
    if isinstance(loss, type) or not callable(loss):
        hint = f"; use {loss.__name__}()" if isinstance(loss, type) else ""
        raise DtypeError(
            f"Trainer: loss must be a function of output and target, got {loss!r:.60}{hint}"
        )
    own = {id(p) for p in model.parameters()}
    if own.isdisjoint(id(p) for group in optimizer.param_groups for p in group["params"]):
        raise ArgumentError(
            "Trainer: the optimizer must hold parameters of the model, got none of its "
            f"{len(own)}; make it of model.parameters()"
        )


def detached(leaf: Any) -> Any:
    """Return a leaf of the model's output without its history."""
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


def check_number(op: str, loss: Any) -> None:
    """Raise unless a loss is one number."""
    if getattr(loss, "size", 1) != 1:
        raise ShapeError(
            f"{op}: the loss must be one number, got shape {loss.shape}; "
            "reduce it with mean(), or reduction='mean'"
        )


def as_number(op: str, loss: Any) -> float:
    """Return a loss as a number."""
    check_number(op, loss)
    return float(loss)


def move(model: Any, optimizer: Any, device: Any) -> None:
    """Move a model, and the states that the optimizer keeps of its parameters."""
    before = [parameter.device for parameter in model.parameters()]
    state = optimizer.state_dict()
    model.to(device)
    if all(
        parameter.device == old for parameter, old in zip(model.parameters(), before, strict=True)
    ):
        return
    groups = [dict(group) for group in optimizer.param_groups]
    optimizer.param_groups.clear()
    optimizer.state.clear()
    for group in groups:
        if "param_names" in group:
            group["params"] = list(zip(group.pop("param_names"), group["params"], strict=True))
        optimizer.add_param_group(group)
    optimizer.load_state_dict(state)
