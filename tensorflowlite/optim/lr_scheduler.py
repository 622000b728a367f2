"""Schedules of the learning rate.

A schedule changes ``group["lr"]`` of an optimizer at each ``step()``, once per epoch as a rule.
Those that multiply the present rate can be chained: several on one optimizer multiply.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, StateError
from .optimizer import Optimizer

_HIDDEN = ("optimizer", "lr_lambdas")


class LRScheduler:
    """Base class of schedules; a subclass defines `get_lr`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    last_epoch : int
        The epoch to go on from; -1 starts anew.

    Attributes
    ----------
    base_lrs : list of float
        The learning rates that the groups started with.
    last_epoch : int
        How many times `step` was called.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> class Halve(optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [rate * 0.5**self.last_epoch for rate in self.base_lrs]
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = Halve(optimizer)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    >>> schedule.load_state_dict(schedule.state_dict())
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                f"{type(self).__name__}: an Optimizer is needed, got {type(optimizer).__name__}"
            )
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: to go on from epoch {last_epoch} each group must "
                    f"have 'initial_lr', got none in group {number}"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def get_lr(self) -> list[float]:
        """Return the learning rates of the epoch ``last_epoch``, one per group."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the learning rates that were set last."""
        return list(self._last_lr)

    def step(self) -> None:
        """Go on to the next epoch and set its learning rates."""
        self.last_epoch += 1
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr = self._present()

    def _present(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return all that the schedule needs to go on; functions are left out."""
        return {key: value for key, value in vars(self).items() if key not in _HIDDEN}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        StateError
            It is the state of another kind of schedule, or for other groups.
        """
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        name = type(self).__name__
        if missing or unexpected:
            raise StateError(
                f"load_state_dict: the state must fit {name}, got missing {missing} and "
                f"unexpected {unexpected}"
            )
        have, got = len(own["_last_lr"]), len(state_dict["_last_lr"])
        if have != got:
            raise StateError(
                f"load_state_dict: the state must fit {name}, got {got} groups for {have}"
            )
        for key, value in state_dict.items():
            setattr(self, key, list(value) if isinstance(value, list) else value)


def _at_least_one(name: str, key: str, value: int) -> int:
    if int(value) != value or value < 1:
        raise ArgumentError(f"{name}: {key} must be an integer of at least 1, got {value}")
    return int(value)


class StepLR(LRScheduler):
    """Multiply the learning rate by ``gamma`` every ``step_size`` epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    step_size : int
        After how many epochs the rate changes.
    gamma : float
        The factor.
    last_epoch : int
        The epoch to go on from; -1 starts anew.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = _at_least_one("StepLR", "step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [rate * (self.gamma if due else 1) for rate in self._present()]


class MultiStepLR(LRScheduler):
    """Multiply the learning rate by ``gamma`` at each of the epochs ``milestones``.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    milestones : iterable of int
        The epochs at which the rate changes.
    gamma : float
        The factor.
    last_epoch : int
        The epoch to go on from; -1 starts anew.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], gamma=0.5)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = self.gamma ** Counter(self.milestones)[self.last_epoch]
        return [rate * factor for rate in self._present()]


class ExponentialLR(LRScheduler):
    """Multiply the learning rate by ``gamma`` every epoch.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    gamma : float
        The factor.
    last_epoch : int
        The epoch to go on from; -1 starts anew.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = self.gamma if self.last_epoch > 0 else 1
        return [rate * factor for rate in self._present()]


class LinearLR(LRScheduler):
    """Let a factor of the learning rate go evenly from one number to another: a warm-up.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    start_factor, end_factor : float
        The factor in the first epoch, and from epoch ``total_iters`` on.
    total_iters : int
        How many epochs the change takes.
    last_epoch : int
        The epoch to go on from.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ArgumentError(
                "LinearLR: start_factor must lie in (0, 1] and end_factor in [0, 1], "
                f"got {start_factor} and {end_factor}"
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = _at_least_one("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        share = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * share

    def get_lr(self) -> list[float]:
        epoch = self.last_epoch
        ratio = self._factor(epoch) / (self._factor(epoch - 1) if epoch > 0 else 1.0)
        return [rate * ratio for rate in self._present()]


class CosineAnnealingLR(LRScheduler):
    """Let the learning rate go down along half a cosine, from its start to ``eta_min``.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    T_max : int
        How many epochs the way down takes; after it the rate climbs again.
    eta_min : float
        The lowest learning rate.
    last_epoch : int
        The epoch to go on from.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 6))
    ...     schedule.step()
    >>> rates
    [1.0, 0.5, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = _at_least_one("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        epoch, length, low = self.last_epoch, self.T_max, self.eta_min
        rates = self._present()
        if epoch == 0:
            return rates
        if (epoch - 1) % (2 * length) == length:  # the rate is eta_min: no factor leads up
            up = (1 - math.cos(math.pi / length)) / 2
            return [
                rate + (base - low) * up for rate, base in zip(rates, self.base_lrs, strict=True)
            ]
        here = 1 + math.cos(math.pi * epoch / length)
        before = 1 + math.cos(math.pi * (epoch - 1) / length)
        return [max(here / before * (rate - low) + low, 0.0) for rate in rates]


class LambdaLR(LRScheduler):
    """Set the learning rate to the first one times a function of the epoch.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    lr_lambda : callable, or list of callables, one per group
        ``lr_lambda(epoch)`` returns the factor. It isn't part of `state_dict`.
    last_epoch : int
        The epoch to go on from.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (epoch + 1))
    >>> rates = []
    >>> for _ in range(2):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [1.0, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas = lr_lambda if isinstance(lr_lambda, list) else [lr_lambda] * count
        if len(self.lr_lambdas) != count:
            raise ArgumentError(
                f"LambdaLR: one function per group is needed, got {len(self.lr_lambdas)} for "
                f"{count} groups"
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * function(self.last_epoch) for base, function in pairs]


class ReduceLROnPlateau(LRScheduler):
    """Reduce the learning rate when a figure has stopped getting better.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    mode : {"min", "max"}
        Whether lower or higher figures are better.
    factor : float
        What the learning rate is multiplied by, below 1.
    patience : int
        How many epochs without anything better are let pass.
    threshold : float
        By how much a figure must be better to count.
    threshold_mode : {"rel", "abs"}
        Whether ``threshold`` is a share of the best figure or a difference.
    cooldown : int
        How many epochs to wait after a reduction before counting again.
    min_lr : float or list of float
        The lowest learning rate, or one per group.
    eps : float
        A smaller reduction than this isn't made.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        if not factor < 1:
            raise ArgumentError(f"{name}: factor must be below 1, got {factor}")
        if mode not in ("min", "max"):
            raise ArgumentError(f"{name}: mode must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"{name}: threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}"
            )
        count = len(optimizer.param_groups)
        self.min_lrs = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * count
        if len(self.min_lrs) != count:
            raise ArgumentError(
                f"{name}: min_lr must be a number or one per group, got {len(self.min_lrs)} for "
                f"{count} groups"
            )
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self._last_lr = self._present()

    def _is_better(self, value: float, best: float) -> bool:
        """Return whether a figure is better than the best by more than the threshold."""
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "abs":
            return sign * value < sign * best - self.threshold
        return sign * value < sign * best * (1 - sign * self.threshold)

    def step(self, metrics: float | Tensor) -> None:  # type: ignore[override]
        """Count one more epoch, and reduce the learning rate where patience is at its end.

        Parameters
        ----------
        metrics : float or Tensor, shape ()
            The figure of the epoch.
        """
        value = float(metrics)
        self.last_epoch += 1
        if self._is_better(value, self.best):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._present()

    def _reduce(self) -> None:
        for group, low in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            rate = max(group["lr"] * self.factor, low)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate


class SequentialLR(LRScheduler):
    """Run schedules one after the other: ``milestones`` are the epochs at which the next begins.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    schedulers : list of LRScheduler
        The schedules, all of this optimizer.
    milestones : list of int
        One epoch fewer than there are schedules, rising.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> from tensorflowlite.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> warm_up = LinearLR(optimizer, start_factor=0.5, total_iters=1)
    >>> schedule = SequentialLR(optimizer, [warm_up, ExponentialLR(optimizer, 0.5)], [2])
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [0.5, 1.0, 1.0, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int]
    ) -> None:
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(set(milestones)):
            raise ArgumentError(
                "SequentialLR: one rising milestone fewer than schedules is needed, got "
                f"{milestones} for {len(schedulers)} schedules"
            )
        if any(one.optimizer is not optimizer for one in schedulers):
            raise ArgumentError("SequentialLR: all schedules must be of the optimizer given")
        self.optimizer, self.schedulers = optimizer, schedulers
        self.milestones = list(milestones)
        self.last_epoch = 0
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for one in schedulers:
            one.last_epoch -= 1
        schedulers[0].step()
        self._last_lr = self._present()

    def step(self) -> None:
        """Go on to the next epoch, with the schedule whose turn it is."""
        self.last_epoch += 1
        index = bisect.bisect_right(self.milestones, self.last_epoch)
        one = self.schedulers[index]
        if index and self.milestones[index - 1] == self.last_epoch:
            for group, base in zip(self.optimizer.param_groups, one.base_lrs, strict=True):
                group["lr"] = base
            one.last_epoch = -1
        one.step()
        self._last_lr = self._present()

    def state_dict(self) -> dict[str, Any]:
        """Return all that the schedules need to go on."""
        own = {k: v for k, v in super().state_dict().items() if k != "schedulers"}
        return {**own, "schedulers": [one.state_dict() for one in self.schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        schedulers = self.schedulers
        super().load_state_dict(state_dict)
        self.schedulers = schedulers
        for one, state in zip(schedulers, state_dict["schedulers"], strict=True):
            one.load_state_dict(state)
