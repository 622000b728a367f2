"""Schedules made of others: one after the other, or all together."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

from ...errors import ArgumentError
from ..optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .scheduler import LRScheduler


class _Several(LRScheduler):
    """A schedule made of others."""

    _schedulers: Sequence[LRScheduler]

    def _hold(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        for one in schedulers:
            if isinstance(one, ReduceLROnPlateau):
                raise ArgumentError(
                    f"{name}: schedules must need no figure, got a ReduceLROnPlateau; step it apart"
                )
            if getattr(one, "optimizer", None) is not optimizer:
                raise ArgumentError(f"{name}: all schedules must be of the optimizer given")
        self.optimizer, self._schedulers = optimizer, schedulers

    def state_dict(self) -> dict[str, Any]:
        """Return all that the schedules need to go on."""
        return {
            **super().state_dict(),
            "_schedulers": [one.state_dict() for one in self._schedulers],
        }

    def _take(self, given: dict[str, Any]) -> None:
        given = dict(given)
        for one, state in zip(self._schedulers, given.pop("_schedulers"), strict=True):
            one.load_state_dict(state)
        super()._take(given)


def _step_back(schedulers: Sequence[LRScheduler]) -> None:
    """Undo the step that each schedule made when it was constructed."""
    for one in schedulers:
        if isinstance(one, _Several):
            _step_back(one._schedulers)
        else:
            one.last_epoch -= 1


def _refuse_epoch(name: str, epoch: float | None) -> None:
    if epoch is not None:
        raise ArgumentError(f"{name}: epoch must be None, got {epoch}; step through the epochs")


class SequentialLR(_Several):
    """Run schedules one after the other: ``milestones`` are the epochs at which the next begins.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    schedulers : list of LRScheduler
        The schedules, all of this optimizer.
    milestones : list of int
        One epoch fewer than there are schedules, rising.
    last_epoch : int
        The epoch to go on from; -1 starts anew.

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
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(set(milestones)):
            raise ArgumentError(
                "SequentialLR: one rising milestone fewer than schedules is needed, got "
                f"{milestones} for {len(schedulers)} schedules"
            )
        self._hold(optimizer, schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        _step_back(schedulers)
        first = schedulers[bisect.bisect_right(self._milestones, 0)]
        first._begin()
        self._last_lr = first.get_last_lr()

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, with the schedule whose turn it is."""
        _refuse_epoch("SequentialLR", epoch)
        self.last_epoch += 1
        index = bisect.bisect_right(self._milestones, self.last_epoch)
        one = self._schedulers[index]
        if index and self._milestones[index - 1] == self.last_epoch:
            one._go_to(0)
        else:
            one.step()
        self._last_lr = one.get_last_lr()


class ChainedScheduler(_Several):
    """Run schedules together: their factors multiply.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        The schedules, all of one optimizer.
    optimizer : Optimizer, optional
        Whose learning rates to change; by default that of the schedules.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> from tensorflowlite.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> warm_up = ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> schedule = ChainedScheduler([warm_up, ExponentialLR(optimizer, 0.5)])
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ArgumentError("ChainedScheduler: at least one schedule is needed, got none")
        self._hold(optimizer or schedulers[0].optimizer, schedulers)
        self._last_lr = self._present()

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, with all schedules."""
        _refuse_epoch("ChainedScheduler", epoch)
        for one in self._schedulers:
            one.step()
        self._last_lr = self._present()
