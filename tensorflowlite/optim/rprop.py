"""Rprop and averaged gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError
from ..ops import optimizers as rules
from .optimizer import RuledOptimizer, number, shared, switches


class Rprop(RuledOptimizer):
    """Resilient backpropagation: only signs count; a step grows while its sign stays.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The size of the first step.
    etas : tuple of two floats
        By what a step shrinks where the sign turned, below 1, and grows where it stayed, above 1.
    step_sizes : tuple of two floats
        The least and the greatest size of a step.
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
    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the
    RPROP algorithm", 1993.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.Rprop([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9, 1.9], requires_grad=True)
    """

    _rule = rules.rprop_step

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "maximize": maximize,
                **switches(self._name, capturable=capturable, foreach=foreach,
                           differentiable=differentiable),
            },
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        number(self._name, "lr", group["lr"])
        for key in ("etas", "step_sizes"):
            if not isinstance(group[key], tuple | list) or len(group[key]) != 2:
                raise ArgumentError(f"{self._name}: {key} must be two numbers, got {group[key]!r}")
        shrink, grow = group["etas"]
        if not 0 < shrink < 1 < grow:
            raise ArgumentError(
                f"{self._name}: etas must lie in (0, 1) and above 1, got {shrink} and {grow}"
            )

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("prev", "step_size")

    def new_state(self, group: Mapping[str, Any], name: str, p: Tensor) -> Tensor:
        return rules.state_like(p, group["lr"] if name == "step_size" else 0.0)

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        (shrink, grow), (least, greatest) = group["etas"], group["step_sizes"]
        sizes = {"shrink": shrink, "grow": grow, "least": least, "greatest": greatest}
        return {**shared(group), **sizes}


class ASGD(RuledOptimizer):
    """Gradient descent that also keeps the mean of the parameters over the steps.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The learning rate.
    lambd : float
        By how much, times the learning rate, a step shrinks the parameters.
    alpha : float
        The power with which the learning rate falls.
    t0 : float
        After how many steps averaging starts.
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
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.ASGD([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(one, 3) for one in p.tolist()]
    [0.8, 1.6]
    """

    _rule = rules.asgd_step

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "maximize": maximize,
                **switches(self._name, foreach=foreach, differentiable=differentiable,
                           capturable=capturable),
            },
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "weight_decay"):
            number(self._name, key, group[key])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("eta", "mu", "ax")

    def new_state(self, group: Mapping[str, Any], name: str, p: Tensor) -> Tensor:
        first = {"eta": group["lr"], "mu": 1.0}
        return rules.scalar_for(first[name], p) if name in first else rules.state_like(p)

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        return {**shared(group), **{name: group[name] for name in ("lambd", "alpha", "t0")}}
