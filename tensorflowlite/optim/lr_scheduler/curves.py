"""Schedules along a curve: constant, linear, polynomial, cosine."""

from __future__ import annotations

import math

from ...errors import ArgumentError
from ..optimizer import Optimizer
from .scheduler import LRScheduler, at_least_one


class ConstantLR(LRScheduler):
    """Multiply the learning rate by ``factor`` for the first epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    factor : float
        The factor, in [0, 1].
    total_iters : int
        For how many epochs it holds.
    last_epoch : int
        The epoch to go on from; -1 starts anew.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 6))
    ...     schedule.step()
    >>> rates
    [0.5, 0.5, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ArgumentError(f"ConstantLR: factor must lie in [0, 1], got {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._present()]
        if self.last_epoch != self.total_iters:
            return self._present()
        return [rate * (1 / self.factor) for rate in self._present()]

    def _get_closed_form_lr(self) -> list[float]:
        factor = 1.0 if self.last_epoch >= self.total_iters else self.factor
        return [base * factor for base in self.base_lrs]


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
        self.total_iters = at_least_one("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        epoch, first = self.last_epoch, self.start_factor
        if epoch == 0:
            return [rate * first for rate in self._present()]
        if self._is_initial or epoch > self.total_iters:
            return self._present()
        rise = self.end_factor - first
        ratio = 1 + rise / (self.total_iters * first + (epoch - 1) * rise)
        return [rate * ratio for rate in self._present()]

    def _get_closed_form_lr(self) -> list[float]:
        share = min(self.last_epoch, self.total_iters) / self.total_iters
        factor = self.start_factor + (self.end_factor - self.start_factor) * share
        return [base * factor for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """Let the learning rate fall to zero along a power of the epochs that are left.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    total_iters : int
        How many epochs the fall takes.
    power : float
        The power.
    last_epoch : int
        The epoch to go on from; -1 starts anew.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4, power=1.0)
    >>> rates = []
    >>> for _ in range(6):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 6))
    ...     schedule.step()
    >>> rates
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = at_least_one("PolynomialLR", "total_iters", total_iters)
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        epoch, length = self.last_epoch, self.total_iters
        if self._is_initial or epoch > length:
            return self._present()
        ratio = ((1 - epoch / length) / (1 - (epoch - 1) / length)) ** self.power
        return [rate * ratio for rate in self._present()]

    def _get_closed_form_lr(self) -> list[float]:
        left = (1 - min(self.last_epoch, self.total_iters) / self.total_iters) ** self.power
        return [base * left for base in self.base_lrs]


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
        self.T_max = at_least_one("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        epoch, length, low = self.last_epoch, self.T_max, self.eta_min
        rates = self._present()
        if self._is_initial:
            return rates
        if self._step_count == 1 and epoch > 0:
            return self._get_closed_form_lr()
        if (epoch - 1) % (2 * length) == length:  # the rate is eta_min: no factor leads up
            up = (1 - math.cos(math.pi / length)) / 2
            return [
                rate + (base - low) * up for rate, base in zip(rates, self.base_lrs, strict=True)
            ]
        here = 1 + math.cos(math.pi * epoch / length)
        before = 1 + math.cos(math.pi * (epoch - 1) / length)
        return [max(here / before * (rate - low) + low, 0.0) for rate in rates]

    def _get_closed_form_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Let the learning rate go down along half a cosine, again and again from its start.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    T_0 : int
        How many epochs the first way down takes.
    T_mult : int
        By what each way down is longer than the one before.
    eta_min : float
        The lowest learning rate.
    last_epoch : int
        The epoch to go on from; -1 starts anew.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 6))
    ...     schedule.step()
    >>> rates
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        name = "CosineAnnealingWarmRestarts"
        self.T_0 = self.T_i = at_least_one(name, "T_0", T_0)
        self.T_mult = at_least_one(name, "T_mult", T_mult)
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def _begin(self) -> None:
        super()._begin()
        self._step_count = 0  # as PyTorch's, whose step doesn't count

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, or to the one given: ``epoch + batch / batches`` within one.

        Parameters
        ----------
        epoch : float, optional
            The epoch to go to.
        """
        if epoch is not None and epoch < 0:
            raise ArgumentError(
                f"CosineAnnealingWarmRestarts: epoch must not be negative, got {epoch}"
            )
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = epoch or 0
            self._restart_before(epoch)
        self._go_to(math.floor(epoch))

    def _restart_before(self, epoch: float) -> None:
        """Find the restart that an epoch comes after."""
        ratio, first = self.T_mult, self.T_0
        passed = int(epoch // first)
        if ratio > 1:
            passed = int(math.log(epoch / first * (ratio - 1) + 1, ratio))
        gone = passed if ratio == 1 else (ratio**passed - 1) / (ratio - 1)
        self.T_i, self.T_cur = first * ratio**passed, epoch - first * gone
