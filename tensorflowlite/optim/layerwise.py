"""Optimizers that look at a parameter as a whole: LAMB, Adafactor, Muon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError
from ..ops import optimizers as rules
from .optimizer import RuledOptimizer, number, pair, switches


class LAMB(RuledOptimizer):
    """Adam whose step for each parameter is as long as the parameter's norm says.

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
        How much of the parameters goes into the step, before its length is set.
    maximize : bool
        Climb instead of descending.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.LAMB([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(one, 3) for one in p.tolist()]
    [0.843, 1.841]
    """

    _rule = rules.lamb_step

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 1e-2,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "eps", "weight_decay"):
            number(self._name, key, group[key])
        pair(self._name, "betas", group["betas"])

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        own = {key: group[key] for key in ("eps", "weight_decay", "maximize")}
        return {"beta1": beta1, "beta2": beta2, **own}


class Adafactor(RuledOptimizer):
    """Adaptive steps from the means of the rows and columns of the squared gradients.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The greatest relative step.
    beta2_decay : float
        The power of the step count by which the running means forget, at most 0.
    eps : tuple of (float or None, float)
        The least root of a mean square, by default the dtype's epsilon, and the least size of a
        parameter that a step is measured by.
    d : float
        Longer steps than this, relative to their usual size, are shortened.
    weight_decay : float
        By how much, times the learning rate, a step shrinks the parameters.
    foreach
        PyTorch's choices of an implementation: they change nothing here.
    maximize : bool
        Climb instead of descending.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.Adafactor([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(one, 3) for one in p.tolist()]
    [0.842, 1.842]
    """

    _rule = rules.adafactor_step
    _complex = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "maximize": maximize,
                **switches(self._name, foreach=foreach),
            },
        )

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "d", "weight_decay"):
            number(self._name, key, group[key])
        eps = group["eps"]
        if not isinstance(eps, tuple | list) or len(eps) != 2:
            raise ArgumentError(f"{self._name}: eps must be two numbers, got {eps!r}")
        for i, one in enumerate(eps):
            if i or one is not None:
                number(self._name, f"eps[{i}]", one)
        if not group["beta2_decay"] <= 0:
            raise ArgumentError(
                f"{self._name}: beta2_decay must be at most 0, got {group['beta2_decay']}"
            )
        if group["d"] < 1:
            raise ArgumentError(f"{self._name}: d must be at least 1, got {group['d']}")

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("step",)

    def names_for(self, group: Mapping[str, Any], p: Tensor) -> tuple[str, ...]:
        return ("row_var", "col_var") if p.ndim > 1 else ("variance",)

    def new_state(self, group: Mapping[str, Any], name: str, p: Tensor) -> Tensor:
        shape = list(p.shape)
        if name != "variance":
            shape[-1 if name == "row_var" else -2] = 1
        return rules.state_of(p, tuple(shape))

    def _gathered(self, names: tuple[str, ...], due: list[Tensor]) -> list[list[Tensor]]:
        held = [self.state[p] for p in due]  # a vector's only state stands in both places
        first = [state.get("row_var", state.get("variance")) for state in held]
        second = [state.get("col_var", state.get("variance")) for state in held]
        return [first, second]  # type: ignore[list-item]

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        eps1, eps2 = group["eps"]
        own = ("beta2_decay", "d", "weight_decay", "maximize")
        return {"eps1": eps1, "eps2": eps2, **{name: group[name] for name in own}}


class Muon(RuledOptimizer):
    """Steps whose directions are made orthogonal: for the matrices between hidden layers.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters, or groups of them.
    lr : float
        The learning rate.
    weight_decay : float
        By how much, times the learning rate, a step shrinks the parameters.
    momentum : float
        How much of the running mean of the gradients is kept at each step.
    nesterov : bool
        Look ahead along the running mean.
    ns_coefficients : tuple of three floats
        The coefficients of Newton and Schulz's iteration.
    eps : float
        The least norm that the direction is divided by.
    ns_steps : int
        How often to iterate, from 0 to 99.
    adjust_lr_fn : {None, "original", "match_rms_adamw"}
        What the learning rate is multiplied by: ``sqrt(max(1, rows / columns))``, or what makes a
        step about as large as AdamW's.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters.

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; Liu et al.,
    "Muon is scalable for LLM training", 2025.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([[1.0, 2.0]], requires_grad=True)
    >>> optimizer = optim.Muon([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(one, 2) for one in p[0].tolist()]
    [0.96, 1.92]
    """

    _rule = rules.muon_step
    _complex = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "momentum", "weight_decay", "eps"):
            number(self._name, key, group[key])
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ArgumentError(
                f"{self._name}: adjust_lr_fn must be None, 'original' or 'match_rms_adamw', got "
                f"{group['adjust_lr_fn']!r}"
            )
        if not 0 <= group["ns_steps"] < 100:
            raise ArgumentError(
                f"{self._name}: ns_steps must lie in [0, 100), got {group['ns_steps']}"
            )
        coefficients = group["ns_coefficients"]
        if len(coefficients) != 3:
            raise ArgumentError(
                f"{self._name}: ns_coefficients must be three numbers, got {coefficients}"
            )
        for p in group["params"]:
            if p.ndim != 2:
                raise ArgumentError(
                    f"{self._name}: parameters must be matrices, got one of shape {p.shape}; give "
                    "the others to AdamW"
                )

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        return {name: group[name] for name in self._rule.options}
