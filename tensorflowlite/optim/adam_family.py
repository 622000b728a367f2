"""Relatives of Adam: NAdam, RAdam, Adamax, Lion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.tensor import Tensor
from ..ops import optimizers as rules
from .optimizer import RuledOptimizer, number, pair, shared, switches


class NAdam(RuledOptimizer):
    """Adam with Nesterov's momentum: the step looks ahead along the running mean.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The learning rate.
    betas : tuple of two floats
        How much of the running means is kept at each step, in [0, 1).
    eps : float
        Added to the denominator.
    weight_decay : float
        The factor of the L2 penalty.
    momentum_decay : float
        How soon the momentum rises to ``betas[0]``.
    decoupled_weight_decay : bool
        Shrink the parameters by ``lr * weight_decay`` instead, as `AdamW` does.
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
    Dozat, "Incorporating Nesterov momentum into Adam", 2016.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.NAdam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(one, 3) for one in p.tolist()]
    [0.894, 1.894]
    """

    _rule = rules.nadam_step

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                **switches(self._name, foreach=foreach, capturable=capturable,
                           differentiable=differentiable),
            },
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "eps", "weight_decay", "momentum_decay"):
            number(self._name, key, group[key])
        pair(self._name, "betas", group["betas"])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("mu_product", "exp_avg", "exp_avg_sq")

    def new_state(self, group: Mapping[str, Any], name: str, p: Tensor) -> Tensor:
        return rules.scalar_for(1.0, p) if name == "mu_product" else rules.state_like(p)

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        return {
            **shared(group, group["decoupled_weight_decay"]),
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "momentum_decay": group["momentum_decay"],
        }


class RAdam(RuledOptimizer):
    """Adam whose first steps are rectified: the adaptive rate waits until it is reliable.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The learning rate.
    betas : tuple of two floats
        How much of the running means is kept at each step, in [0, 1).
    eps : float
        Added to the denominator.
    weight_decay : float
        The factor of the L2 penalty.
    decoupled_weight_decay : bool
        Shrink the parameters by ``lr * weight_decay`` instead, as `AdamW` does.
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
    Liu et al., "On the variance of the adaptive learning rate and beyond", 2020.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.RAdam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.8, 1.6], requires_grad=True)
    """

    _rule = rules.radam_step

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                **switches(self._name, foreach=foreach, capturable=capturable,
                           differentiable=differentiable),
            },
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "eps", "weight_decay"):
            number(self._name, key, group[key])
        pair(self._name, "betas", group["betas"])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        common = shared(group, group["decoupled_weight_decay"])
        return {**common, "beta1": beta1, "beta2": beta2, "eps": group["eps"]}


class Adamax(RuledOptimizer):
    """Adam with the greatest gradient of late in the place of the root mean square.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The learning rate.
    betas : tuple of two floats
        How much of the running means is kept at each step, in [0, 1).
    eps : float
        Added to the denominator.
    weight_decay : float
        The factor of the L2 penalty.
    foreach, differentiable, capturable
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
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 7.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.Adamax([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9, 1.9], requires_grad=True)
    """

    _rule = rules.adamax_step

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                **switches(self._name, foreach=foreach, differentiable=differentiable,
                           capturable=capturable),
            },
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "eps", "weight_decay"):
            number(self._name, key, group[key])
        pair(self._name, "betas", group["betas"])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        return {**shared(group), "beta1": beta1, "beta2": beta2, "eps": group["eps"]}


class Lion(RuledOptimizer):
    """Steps of equal size in every direction: the sign of a running mean of the gradients.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The learning rate.
    betas : tuple of two floats
        How much of the running mean goes into the step, and how much is kept, in [0, 1).
    weight_decay : float
        By how much, times the learning rate, a step shrinks the parameters.
    maximize : bool
        Climb instead of descending.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    Chen et al., "Symbolic discovery of optimization algorithms", 2023.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.Lion([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9, 1.9], requires_grad=True)
    """

    _rule = rules.lion_step

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "weight_decay"):
            number(self._name, key, group[key])
        pair(self._name, "betas", group["betas"])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("exp_avg",)

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        return {**shared(group, True), "beta1": beta1, "beta2": beta2}
