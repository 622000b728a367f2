"""Adagrad and its relatives: Adadelta, RMSprop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError
from ..ops import optimizers as rules
from .optimizer import RuledOptimizer, number, shared, switches


class Adagrad(RuledOptimizer):
    """Steps that shrink with the sum of the squared gradients so far.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The learning rate.
    lr_decay : float
        How fast the learning rate falls with the number of steps.
    weight_decay : float
        The factor of the L2 penalty.
    initial_accumulator_value : float
        What the sums start from.
    eps : float
        Added to the denominator.
    foreach, differentiable, fused
        PyTorch's choices of an implementation: they change nothing here. ``differentiable`` must
        be False.
    maximize : bool
        Climb instead of descending.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", 2011.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.Adagrad([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9, 1.9], requires_grad=True)
    """

    _rule = rules.adagrad_step

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
                **switches(self._name, foreach=foreach, differentiable=differentiable, fused=fused),
            },
        )

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "lr_decay", "eps", "weight_decay", "initial_accumulator_value"):
            number(self._name, key, group[key])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def new_state(self, group: Mapping[str, Any], name: str, p: Tensor) -> Tensor:
        return rules.state_like(p, group["initial_accumulator_value"])

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        return {**shared(group), "lr_decay": group["lr_decay"], "eps": group["eps"]}


class Adadelta(RuledOptimizer):
    """Steps as large as the last ones, by the ratio of gradients now and of late.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        What the step is multiplied by.
    rho : float
        How much of the running means is kept at each step, in [0, 1].
    eps : float
        Added to both means.
    weight_decay : float
        The factor of the L2 penalty.
    foreach, capturable, differentiable
        PyTorch's choices of an implementation: they change nothing here. ``differentiable`` must
        be False.
    maximize : bool
        Climb instead of descending.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", 2012.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.Adadelta([p], lr=1.0)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(one, 3) for one in p.tolist()]
    [0.997, 1.997]
    """

    _rule = rules.adadelta_step

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                **switches(self._name, foreach=foreach, capturable=capturable,
                           differentiable=differentiable),
            },
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "eps", "weight_decay", "rho"):
            number(self._name, key, group[key])
        if group["rho"] > 1:
            raise ArgumentError(f"{self._name}: rho must lie in [0, 1], got {group['rho']}")

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        return {**shared(group), "rho": group["rho"], "eps": group["eps"]}


class RMSprop(RuledOptimizer):
    """Steps divided by the root of a running mean of the squared gradients.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The learning rate.
    alpha : float
        How much of the running means is kept at each step.
    eps : float
        Added to the denominator.
    weight_decay : float
        The factor of the L2 penalty.
    momentum : float
        How much of the last step goes on.
    centered : bool
        Divide by the standard deviation: take the square of the mean off.
    capturable, foreach, differentiable
        PyTorch's choices of an implementation: they change nothing here. ``differentiable`` must
        be False.
    maximize : bool
        Climb instead of descending.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    Hinton, "Lecture 6e: rmsprop", 2012; Graves, "Generating sequences with recurrent neural
    networks", 2013.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.RMSprop([p], lr=0.01)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(one, 3) for one in p.tolist()]
    [0.9, 1.9]
    """

    _rule = rules.rmsprop_step

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
                **switches(self._name, capturable=capturable, foreach=foreach,
                           differentiable=differentiable),
            },
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "momentum", "alpha", "eps", "weight_decay"):
            number(self._name, key, group[key])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if group["momentum"] else ()
        return ("square_avg", *momentum, *(("grad_avg",) if group["centered"] else ()))

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        own = ("alpha", "eps", "momentum", "centered")
        return {**shared(group), **{name: group[name] for name in own}}
