"""Measures of a batch, and their averages over an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.reduction import argmax, count_nonzero, mean

Metric = Callable[[Tensor, Tensor], Any]


def accuracy(output: Tensor, target: Tensor) -> float:
    """Return the share of samples whose highest score is that of their class.

    Parameters
    ----------
    output : Tensor
        Scores or probabilities (N, C).
    target : Tensor
        Class indices (N,), or probabilities of the classes (N, C).

    Returns
    -------
    float

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.train import accuracy
    >>> accuracy(tfl.tensor([[0.1, 0.9], [0.8, 0.2]]), tfl.tensor([1, 1]))
    0.5
    """
    if output.ndim != 2 or target.shape not in (output.shape[:1], output.shape):
        raise ShapeError(
            "accuracy: output must be scores (N, C) and target class indices (N,), got "
            f"{output.shape} and {target.shape}"
        )
    expected = argmax(target, 1) if target.ndim == 2 else target
    chosen: Any = argmax(output.detach(), 1)
    return float(count_nonzero(chosen == expected)) / max(len(target), 1)


def mean_absolute_error(output: Tensor, target: Tensor) -> float:
    """Return the mean distance between two tensors of one shape.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.train import mean_absolute_error
    >>> mean_absolute_error(tfl.tensor([1.0, 2.0]), tfl.tensor([1.0, 4.0]))
    1.0
    """
    _check_same("mean_absolute_error", output, target)
    values: Any = output.detach()
    return float(mean(abs(values - target)))


def r2_score(output: Tensor, target: Tensor) -> float:
    """Return how much of the target's variance the output explains: 1 is all, 0 the mean's share.

    It is a measure of a whole set: the mean over batches of it has no meaning.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.train import r2_score
    >>> r2_score(tfl.tensor([1.0, 2.0, 3.0]), tfl.tensor([1.0, 2.0, 3.0]))
    1.0
    """
    _check_same("r2_score", output, target)
    values: Any = target
    residual, spread = output.detach() - values, values - mean(values)
    total, rest = float((spread * spread).sum()), float((residual * residual).sum())
    if total == 0.0:
        return 1.0 if rest == 0.0 else 0.0
    return 1.0 - rest / total


def _check_same(name: str, output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape:
        raise ShapeError(
            f"{name}: output and target must have one shape, got {output.shape} and "
            f"{target.shape}; reshape one of them"
        )


_BY_NAME: dict[str, Metric] = {
    "accuracy": accuracy,
    "mean_absolute_error": mean_absolute_error,
}


def resolve(metrics: Iterable[str | Metric]) -> dict[str, Metric]:
    """Return the measures under their names."""
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    found: dict[str, Metric] = {}
    for metric in metrics:
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", "metric")
        function = _BY_NAME.get(metric) if isinstance(metric, str) else metric
        if not callable(function):
            raise ArgumentError(
                f"Trainer: a metric must be a function or one of {', '.join(map(repr, _BY_NAME))}, "
                f"got {metric!r}"
            )
        if name in found or name in ("loss", "epoch", "seconds", "learning_rate"):
            raise ArgumentError(f"Trainer: the names of metrics must differ, got {name!r} twice")
        found[name] = function
    return found


class Averages:
    """Sums of measures over batches, each weighted by its number of samples."""

    def __init__(self) -> None:
        self.samples = 0
        self.sums: dict[str, float] = {}

    def add(self, samples: int, values: dict[str, float]) -> None:
        """Add the means of one batch."""
        self.samples += samples
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value) * samples

    def means(self) -> dict[str, float]:
        """Return the means over all samples."""
        return {name: total / self.samples for name, total in self.sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far."""
        return {"samples": self.samples, "sums": dict(self.sums)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with sums that `state_dict` returned."""
        self.samples, self.sums = state["samples"], dict(state["sums"])
