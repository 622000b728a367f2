"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.tensor import Tensor
from ..ops.optimizers import adam_step
from .optimizer import Optimizer, ParamGroup, number, pair, switches


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradients and of their squares.

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
        The factor of the L2 penalty, which goes through the running means; see `AdamW`.
    amsgrad : bool
        Divide by the greatest of the running means of squares so far.
    maximize : bool
        Climb instead of descending.
    foreach, capturable, differentiable, fused
        PyTorch's choices of an implementation: they change nothing here. ``differentiable`` must
        be False.
    decoupled_weight_decay : bool
        Decay as `AdamW` does.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015; Reddi et al., "On the
    convergence of Adam and beyond", 2018.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.Adam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9, 1.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                **switches(self._name, foreach=foreach, capturable=capturable,
                           differentiable=differentiable, fused=fused),
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "eps", "weight_decay"):
            number(self._name, key, group[key])
        pair(self._name, "betas", group["betas"])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def update(
        self,
        group: ParamGroup,
        step: Tensor,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[list[Tensor]],
    ) -> None:
        adam_step(
            group.rate,
            step,
            parameters,
            gradients,
            states,
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            amsgrad=group["amsgrad"],
            maximize=group["maximize"],
        )


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: each step shrinks the parameters.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize, foreach, capturable, differentiable, fused
        As in `Adam`.
    weight_decay : float
        By how much, times the learning rate, a step shrinks the parameters.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.AdamW([p], lr=0.1, weight_decay=0.0)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.9, 1.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, foreach=foreach,
            capturable=capturable, differentiable=differentiable, fused=fused,
            decoupled_weight_decay=True,
        )  # fmt: skip
