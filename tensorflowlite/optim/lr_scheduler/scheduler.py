"""`LRScheduler`: what all schedules share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import ArgumentError, StateError
from ..optimizer import Optimizer

HIDDEN = frozenset(("optimizer", "lr_lambdas", "anneal_func", "_scale_fn_custom"))
# What PyTorch's states hold besides, and what a state may lack.
FOREIGN = frozenset(("_get_lr_called_within_step", "mode_worse", "verbose"))
OPTIONAL = frozenset(("_step_count", "_is_initial", "default_min_lr"))


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
        The epoch whose learning rates are set.

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
        self._begin()

    # Whether the step is the one that the constructor makes: of epoch 0, or of the one resumed.
    _is_initial = False

    def _begin(self) -> None:
        """Set the rates of the epoch to start from."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[float]:
        """Return the learning rates of the epoch ``last_epoch``, one per group."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the learning rates that were set last."""
        return list(self._last_lr)

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, or to the one given, and set its learning rates.

        Parameters
        ----------
        epoch : int, optional
            The epoch to go to; schedules with a closed form compute its rates at once.
        """
        self._step_count += 1
        self._go_to(epoch)

    def _go_to(self, epoch: float | None) -> None:
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = int(epoch)
            closed = getattr(self, "_get_closed_form_lr", None)
            rates = self.get_lr() if closed is None else closed()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._present()

    def _present(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return all that the schedule needs to go on; functions are left out."""
        return {key: value for key, value in vars(self).items() if key not in HIDDEN}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, or PyTorch's schedule of that kind.

        Raises
        ------
        StateError
            It is the state of another kind of schedule, or for other groups.
        """
        given = {key: value for key, value in state_dict.items() if key not in FOREIGN}
        own = self.state_dict()
        missing = [key for key in own if key not in given and key not in OPTIONAL]
        unexpected = [key for key in given if key not in own]
        name = type(self).__name__
        if missing or unexpected:
            raise StateError(
                f"load_state_dict: the state must fit {name}, got missing {missing} and "
                f"unexpected {unexpected}"
            )
        have, got = len(own["_last_lr"]), len(given["_last_lr"])
        if have != got:
            raise StateError(
                f"load_state_dict: the state must fit {name}, got {got} groups for {have}"
            )
        self._take(given)

    def _take(self, given: dict[str, Any]) -> None:
        for key, value in given.items():
            setattr(self, key, list(value) if isinstance(value, list) else value)


def at_least_one(name: str, key: str, value: Any) -> int:
    """Return a count as an int; raise unless it is a whole number of at least 1."""
    if isinstance(value, str) or int(value) != value or value < 1:
        raise ArgumentError(f"{name}: {key} must be an integer of at least 1, got {value}")
    return int(value)


def per_group(name: str, key: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """Return a value for each group: the same, or those that a list holds."""
    count = len(optimizer.param_groups)
    values = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        raise ArgumentError(
            f"{name}: {key} must be a number or one per group, got {len(values)} for {count} groups"
        )
    return values


def chosen(name: str, key: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise unless a value is one of the choices."""
    if value not in choices:
        allowed = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
        raise ArgumentError(f"{name}: {key} must be {allowed}, got {value!r}")
