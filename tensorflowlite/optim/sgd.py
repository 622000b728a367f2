"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError
from ..ops.optimizers import sgd_step
from .optimizer import Optimizer, ParamGroup, number, switches


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum where it is asked for.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The learning rate.
    momentum : float
        How much of the last step goes on.
    dampening : float
        How much of the gradient the momentum leaves out.
    weight_decay : float
        The factor of the L2 penalty.
    nesterov : bool
        Look ahead along the momentum; needs momentum and no dampening.
    maximize : bool
        Climb instead of descending.
    foreach, differentiable, fused
        PyTorch's choices of an implementation: they change nothing here. ``differentiable`` must
        be False.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.SGD([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.8, 1.6], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                **switches(self._name, foreach=foreach, differentiable=differentiable, fused=fused),
            },
        )

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "momentum", "weight_decay"):
            number("SGD", key, group[key])
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentError(
                "SGD: nesterov needs momentum and no dampening, got "
                f"momentum={group['momentum']} and dampening={group['dampening']}"
            )

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def update(
        self,
        group: ParamGroup,
        step: Tensor,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[list[Tensor]],
    ) -> None:
        sgd_step(
            group.rate,
            step,
            parameters,
            gradients,
            states[0] if states else (),
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
