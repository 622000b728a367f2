"""What is called during training, and what makes it stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from .history import higher_is_better, short

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """Base of what a `Trainer` calls while it trains; a subclass defines what it needs.

    Attributes
    ----------
    priority : int
        Callbacks of a lower number are called first, equals in the order given. `Checkpoint` has
        20: what a checkpoint must keep of a callback is settled before.
    stops_again : bool
        Whether the callback calls ``trainer.stop`` in ``on_fit_start`` where a run that it had
        stopped is resumed. Where it doesn't, the run stays stopped.

    Examples
    --------
    >>> from tensorflowlite.train import Callback
    >>> class StopBelow(Callback):
    ...     def on_epoch_end(self, trainer, record):
    ...         if record["loss"] < 0.1:
    ...             trainer.stop("the loss is below 0.1")
    ...     def state_dict(self):
    ...         return {}
    ...     def load_state_dict(self, state):
    ...         pass
    """

    priority = 0
    stops_again = False

    def on_fit_start(self, trainer: Trainer) -> None:
        """Called before the first epoch, after a checkpoint was loaded."""

    def on_epoch_start(self, trainer: Trainer, epoch: int, batches: int | None) -> None:
        """Called before each epoch, with its number (from 1) and how many batches it has.

        Where a run is resumed within an epoch, ``trainer.batch`` of them are done.
        """

    def on_batch_start(self, trainer: Trainer) -> None:
        """Called before each step, when its batch is there."""

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        """Called after each step, with the loss of its batch."""

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Called after each epoch, with its record; see `History`."""

    def on_interrupt(self, trainer: Trainer) -> None:
        """Called where Ctrl-C or SIGTERM ends the training, between two steps."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """Called after the last epoch, where no error ended the training."""

    def close(self, trainer: Trainer) -> None:
        """Called last in any case, after an error too."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of the callback."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""


class Best:
    """The best value of a measure so far, and the epoch that had it."""

    def __init__(self, monitor: str | None, min_delta: float = 0.0) -> None:
        self.monitor = monitor
        self.min_delta = min_delta
        self.value: float | None = None
        self.epoch = 0

    def name(self, record: dict[str, Any]) -> str:
        """Return the name of the measure: by default the validation's loss, else the loss."""
        name = self.monitor or ("validation_loss" if "validation_loss" in record else "loss")
        if name not in record:
            raise ArgumentError(
                f"monitor: the measure must be one of {', '.join(record)}, got {name!r}"
            )
        return name

    def update(self, record: dict[str, Any]) -> bool:
        """Take note of an epoch, and tell whether it is the best so far."""
        name = self.name(record)
        value = float(record[name])
        gain = math.inf
        if self.value is not None:
            gain = value - self.value if higher_is_better(name) else self.value - value
        if not math.isfinite(value) or not gain > self.min_delta:
            return False
        self.value, self.epoch = value, int(record["epoch"])
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the value and its epoch."""
        return {"value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.value, self.epoch = state["value"], state["epoch"]


class EarlyStopping(Callback):
    """Stop when a measure no longer improves.

    Parameters
    ----------
    monitor : str, optional
        The measure; by default ``validation_loss``, or ``loss`` without validation. More is
        better where its name holds "accuracy", "r2" or "score", else less.
    patience : int
        How many epochs in a row may pass without an improvement.
    min_delta : float
        What counts as an improvement must be larger.
    restore_best : bool
        Whether the model gets the parameters and buffers of the best epoch back at the end,
        whatever ended the training.

    Attributes
    ----------
    best_epoch : int
        The epoch of the best value, from 1; 0 before the first.
    best_value : float or None
        That value.

    Examples
    --------
    >>> from tensorflowlite.train import EarlyStopping
    >>> EarlyStopping(patience=3).best_epoch
    0
    """

    stops_again = True

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        if not isinstance(patience, int) or patience < 1:
            raise ArgumentError(
                f"EarlyStopping: patience must be an integer of at least 1, got {patience!r}"
            )
        if not min_delta >= 0:
            raise ArgumentError(f"EarlyStopping: min_delta must not be negative, got {min_delta}")
        self.patience = patience
        self.restore_best = restore_best
        self.waited = 0
        self._best = Best(monitor, min_delta)
        self._weights: dict[str, Any] | None = None

    @property
    def best_epoch(self) -> int:
        """The epoch of the best value, from 1; 0 before the first."""
        return self._best.epoch

    @property
    def best_value(self) -> float | None:
        """The best value so far."""
        return self._best.value

    def on_fit_start(self, trainer: Trainer) -> None:
        if not len(trainer.history):
            self._best = Best(self._best.monitor, self._best.min_delta)
            self.waited, self._weights = 0, None
        # A run that had stopped is resumed: it has still stopped.
        self._check(trainer)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        if self._best.update(record):
            self.waited = 0
            if self.restore_best:
                state = trainer.model.state_dict()
                self._weights = {name: tensor.clone() for name, tensor in state.items()}
        else:
            self.waited += 1
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        if self.waited >= self.patience:
            name = self._best.name(trainer.history.records[-1])
            if self.best_value is None:
                trainer.stop(f"{name} was not finite in {self.waited} epochs")
                return
            trainer.stop(
                f"no better {name} than {short(self.best_value)} (epoch {self.best_epoch}) in "
                f"{self.waited} epochs"
            )

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.restore_best and self._weights is not None:
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best.state_dict(), "waited": self.waited, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best.load_state_dict(state["best"])
        self.waited, self._weights = state["waited"], state["weights"]


class Convergence(Callback):
    """Stop when the training loss no longer changes.

    Parameters
    ----------
    tolerance : float
        The training stops after an epoch whose loss differs from that of the epoch before by at
        most this part of it.

    Examples
    --------
    >>> from tensorflowlite.train import Convergence
    >>> Convergence(1e-4).tolerance
    0.0001
    """

    stops_again = True

    def __init__(self, tolerance: float) -> None:
        if not 0 < tolerance < 1:
            raise ArgumentError(f"Convergence: tolerance must lie between 0 and 1, got {tolerance}")
        self.tolerance = float(tolerance)

    def on_fit_start(self, trainer: Trainer) -> None:
        self._check(trainer)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        if len(trainer.history) < 2:
            return
        before, now = (float(entry["loss"]) for entry in trainer.history.records[-2:])
        if abs(now - before) <= self.tolerance * abs(before):
            trainer.stop(
                f"converged: the training loss changed by at most {self.tolerance:g} of itself, "
                f"from {short(before)} to {short(now)}"
            )
