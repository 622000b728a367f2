"""Schedules that multiply: by functions, at milestones, every epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType
from typing import Any

from ...errors import ArgumentError, DtypeError
from ..optimizer import Optimizer
from .scheduler import LRScheduler, at_least_one


class _Functions(LRScheduler):
    """A schedule by functions of the epoch, one per group."""

    lr_lambdas: list[Callable[[int], float]]

    def _functions(self, optimizer: Optimizer, given: Any) -> list[Callable[[int], float]]:
        count = len(optimizer.param_groups)
        functions = list(given) if isinstance(given, list | tuple) else [given] * count
        name = type(self).__name__
        if len(functions) != count:
            raise ArgumentError(
                f"{name}: one function per group is needed, got {len(functions)} for {count} groups"
            )
        for one in functions:
            if not callable(one):
                raise DtypeError(f"{name}: lr_lambda must be a function, got {type(one).__name__}")
        return functions

    def state_dict(self) -> dict[str, Any]:
        """Return all that the schedule needs to go on; of functions the attributes of objects."""
        kept = [
            None if isinstance(one, FunctionType | BuiltinFunctionType | type) else dict(vars(one))
            for one in self.lr_lambdas
        ]
        return {**super().state_dict(), "lr_lambdas": kept}

    def _take(self, given: dict[str, Any]) -> None:
        given = dict(given)
        for one, kept in zip(self.lr_lambdas, given.pop("lr_lambdas"), strict=True):
            if kept is not None:
                vars(one).update(kept)
        super()._take(given)


class LambdaLR(_Functions):
    """Set the learning rate to the first one times a function of the epoch.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    lr_lambda : callable, or list of callables, one per group
        ``lr_lambda(epoch)`` returns the factor. Of `state_dict` it is a part
        only where it is an object with attributes.
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
        self.lr_lambdas = self._functions(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * function(self.last_epoch) for base, function in pairs]


class MultiplicativeLR(_Functions):
    """Multiply the learning rate by a function of the epoch, each time anew.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to change.
    lr_lambda : callable, or list of callables, one per group
        ``lr_lambda(epoch)`` returns the factor. Of `state_dict` it is a part
        only where it is an object with attributes.
    last_epoch : int
        The epoch to go on from.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> optimizer = optim.SGD([tfl.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5)
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
        self.lr_lambdas = self._functions(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self._present()
        pairs = zip(self._present(), self.lr_lambdas, strict=True)
        return [rate * function(self.last_epoch) for rate, function in pairs]


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
        self.step_size = at_least_one("StepLR", "step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [rate * (self.gamma if due else 1) for rate in self._present()]

    def _get_closed_form_lr(self) -> list[float]:
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [base * factor for base in self.base_lrs]


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
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = self.gamma ** self.milestones[self.last_epoch]
        return [rate * factor for rate in self._present()]

    def _get_closed_form_lr(self) -> list[float]:
        passed = sum([n for epoch, n in self.milestones.items() if epoch <= self.last_epoch])
        return [base * self.gamma**passed for base in self.base_lrs]

    def _take(self, given: dict[str, Any]) -> None:
        super()._take({**given, "milestones": Counter(given["milestones"])})


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
        factor = 1 if self._is_initial else self.gamma
        return [rate * factor for rate in self._present()]

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]
