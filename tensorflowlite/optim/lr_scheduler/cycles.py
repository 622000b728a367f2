"""Schedules that go up and down: cycles, and a single one."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any

from ...errors import ArgumentError
from ..optimizer import Optimizer
from .scheduler import LRScheduler, at_least_one, chosen, per_group


class _Cycling(LRScheduler):
    """A schedule that may change the momentum against the learning rate."""

    cycle_momentum: bool

    def _prepare_momentum(
        self, optimizer: Optimizer, base: Any, most: Any, last_epoch: int
    ) -> tuple[list[float], list[float]]:
        """Return the least and the greatest momentum of each group; start from the greatest."""
        name = type(self).__name__
        if not {"momentum", "betas"} & set(optimizer.defaults):
            raise ArgumentError(
                f"{name}: cycle_momentum needs an optimizer with momentum or betas, got "
                f"{type(optimizer).__name__}"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        lows = per_group(name, "base_momentum", base, optimizer)
        highs = per_group(name, "max_momentum", most, optimizer)
        if last_epoch == -1:
            for low, high, group in zip(lows, highs, optimizer.param_groups, strict=True):
                self._set_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low
        return lows, highs

    def _set_momentum(self, group: Any, momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_Cycling):
    """Let the learning rate go up and down between two bounds, and the momentum against it.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    base_lr, max_lr : float or list of float
        The bounds, of all groups or of each.
    step_size_up, step_size_down : int
        How many steps the way up and the way down take; by default as many down as up.
    mode : {"triangular", "triangular2", "exp_range"}
        The same cycles, each half as high as the one before, or falling by ``gamma`` per step.
    gamma : float
        The factor of ``"exp_range"``.
    scale_fn : callable, optional
        The height of a cycle as a function, in the place of ``mode``.
    scale_mode : {"cycle", "iterations"}
        Whether ``scale_fn`` takes the number of the cycle, from 1, or that of the step.
    cycle_momentum : bool
        Whether the momentum, or the first of the betas, goes down as the rate goes up.
    base_momentum, max_momentum : float or list of float
        The bounds of the momentum.
    last_epoch : int
        The step to go on from; -1 starts anew.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> schedule = optim.lr_scheduler.CyclicLR(optimizer, 0.0, 1.0, step_size_up=2)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 6))
    ...     schedule.step()
    >>> rates
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        name = "CyclicLR"
        if scale_fn is None:
            chosen(name, "mode", mode, ("triangular", "triangular2", "exp_range"))
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        chosen(name, "scale_mode", scale_mode, ("cycle", "iterations"))
        up = at_least_one(name, "step_size_up", step_size_up)
        down = up if step_size_down is None else step_size_down
        down = at_least_one(name, "step_size_down", down)
        base_lrs = per_group(name, "base_lr", base_lr, optimizer)
        self.max_lrs = per_group(name, "max_lr", max_lr, optimizer)
        self.total_size = float(up + down)
        self.step_ratio = up / self.total_size
        self.mode, self.gamma, self.scale_mode = mode, gamma, scale_mode
        self._scale_fn_custom = scale_fn
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._prepare_momentum(
                optimizer, base_momentum, max_momentum, last_epoch
            )
        if last_epoch == -1:
            for rate, group in zip(base_lrs, optimizer.param_groups, strict=True):
                group["lr"] = rate
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _height(self, x: float) -> float:
        """Return the height of a cycle: of the number of the cycle, or of the step."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 2.0 ** (1 - x) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        place = 1 + self.last_epoch / self.total_size - cycle
        up = place <= self.step_ratio
        share = place / self.step_ratio if up else (place - 1) / (self.step_ratio - 1)
        share *= self._height(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, bounds, strict=True):
                self._set_momentum(group, high - (high - low) * share)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * share for low, high in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Return all that the schedule needs to go on; of functions the attributes of objects."""
        custom = self._scale_fn_custom
        plain = custom is None or isinstance(custom, FunctionType | BuiltinFunctionType)
        kept = None if plain else dict(vars(custom))
        return {**super().state_dict(), "_scale_fn_custom": kept}

    def _take(self, given: dict[str, Any]) -> None:
        given = dict(given)
        kept = given.pop("_scale_fn_custom")
        if kept is not None:
            vars(self._scale_fn_custom).update(kept)
        super()._take(given)


class OneCycleLR(_Cycling):
    """Let the learning rate climb to its greatest and fall to nearly zero, once, step by step.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    max_lr : float or list of float
        The greatest learning rate, of all groups or of each.
    total_steps : int, optional
        How many steps there are; else ``epochs`` times ``steps_per_epoch``.
    epochs, steps_per_epoch : int, optional
        How many epochs there are, and steps in each.
    pct_start : float
        The share of the steps in which the rate climbs.
    anneal_strategy : {"cos", "linear"}
        The form of the way up and down.
    cycle_momentum : bool
        Whether the momentum, or the first of the betas, goes down as the rate goes up.
    base_momentum, max_momentum : float or list of float
        The bounds of the momentum.
    div_factor : float
        The rate starts from ``max_lr / div_factor``.
    final_div_factor : float
        It ends with the start divided by this.
    three_phase : bool
        Whether the rate falls back to its start as it climbed, and only then to its end.
    last_epoch : int
        The step to go on from; -1 starts anew.

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> schedule = optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=6, pct_start=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 3))
    ...     schedule.step()
    >>> rates
    [0.04, 0.52, 1.0, 0.75, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        name = "OneCycleLR"
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError(
                    f"{name}: total_steps, or epochs and steps_per_epoch, must be given, got "
                    f"{total_steps}, {epochs} and {steps_per_epoch}"
                )
            total_steps = at_least_one(name, "epochs", epochs) * at_least_one(
                name, "steps_per_epoch", steps_per_epoch
            )
        if not 0 <= pct_start <= 1:
            raise ArgumentError(f"{name}: pct_start must lie in [0, 1], got {pct_start}")
        chosen(name, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.total_steps = at_least_one(name, "total_steps", total_steps)
        self._schedule_phases = _phases(pct_start, self.total_steps, three_phase)
        self._anneal_func_type = anneal_strategy
        self.cycle_momentum = cycle_momentum
        greatest = per_group(name, "max_lr", max_lr, optimizer)
        if cycle_momentum:
            self._prepare_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for rate, group in zip(greatest, optimizer.param_groups, strict=True):
                group["initial_lr"] = rate / div_factor
                group["max_lr"] = rate
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)

    def get_lr(self) -> list[float]:
        now = self.last_epoch
        if now > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR: there must be no more than total_steps={self.total_steps} steps, "
                f"got step {now}"
            )
        first: float = 0
        for phase in self._schedule_phases:
            if now <= phase["end_step"]:
                break
            if phase is not self._schedule_phases[-1]:
                first = phase["end_step"]
        share = (now - first) / (phase["end_step"] - first)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                start, end = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, self._between(start, end, share))
        return [
            self._between(group[phase["start_lr"]], group[phase["end_lr"]], share)
            for group in self.optimizer.param_groups
        ]


def _phases(share: float, total: int, three: bool) -> list[dict[str, Any]]:
    """Return where each phase ends, and between which of a group's values it goes."""
    up, down = ("max_momentum", "base_momentum"), ("base_momentum", "max_momentum")
    rows: list[tuple[float, tuple[str, str], tuple[str, str]]] = [
        (share * total - 1, ("initial_lr", "max_lr"), up)
    ]
    if three:
        rows.append((2 * share * total - 2, ("max_lr", "initial_lr"), down))
        rows.append((total - 1, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum")))
    else:
        rows.append((total - 1, ("max_lr", "min_lr"), down))
    return [
        {
            "end_step": end,
            "start_lr": rates[0],
            "end_lr": rates[1],
            "start_momentum": momenta[0],
            "end_momentum": momenta[1],
        }
        for end, rates, momenta in rows
    ]
