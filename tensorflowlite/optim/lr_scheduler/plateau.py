"""A schedule that waits for a figure to stop getting better."""

from __future__ import annotations

import math

from ...core.tensor import Tensor
from ...errors import ArgumentError
from ..optimizer import Optimizer
from .scheduler import LRScheduler, chosen, per_group


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
        chosen(name, "mode", mode, ("min", "max"))
        chosen(name, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = per_group(name, "min_lr", min_lr, optimizer)
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

    def step(self, metrics: float | Tensor, epoch: int | None = None) -> None:  # type: ignore[override]
        """Count one more epoch, and reduce the learning rate where patience is at its end.

        Parameters
        ----------
        metrics : float or Tensor, shape ()
            The figure of the epoch.
        epoch : int, optional
            The epoch's number; by default the next one.
        """
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
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
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs) and self.default_min_lr is not None:
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, low in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            rate = max(group["lr"] * self.factor, low)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate
