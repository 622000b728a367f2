"""What a training run measured, epoch by epoch."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ArgumentError


class History:
    """The records of a run: one for each epoch, and why it stopped.

    Attributes
    ----------
    records : list of dict
        Of each epoch: ``epoch`` (from 1), ``loss`` and the metrics of the training data, the same
        with ``validation_`` before the name, ``learning_rate``, ``seconds``.
    reason : str
        Why the run stopped; empty while it goes on.

    Examples
    --------
    >>> from tensorflowlite.train import History
    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.7}])
    >>> history["loss"], history.best("loss")["epoch"], len(history)
    ([0.5, 0.7], 1, 2)
    """

    def __init__(self, records: list[dict[str, Any]] | None = None, reason: str = "") -> None:
        self.records = [] if records is None else records
        self.reason = reason

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, name: str) -> list[float]:
        """Return one column, an element for each epoch; NaN where an epoch lacks it."""
        if not any(name in record for record in self.records):
            raise ArgumentError(
                f"history: the name must be one of {', '.join(self.names)}, got {name!r}"
            )
        return [record.get(name, math.nan) for record in self.records]

    @property
    def names(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(dict.fromkeys(name for record in self.records for name in record))

    @property
    def seconds(self) -> float:
        """How long the epochs took, in seconds."""
        return float(sum(record.get("seconds", 0.0) for record in self.records))

    def best(self, monitor: str) -> dict[str, Any]:
        """Return the record with the best value of a column, the first of equals."""
        sign = -1.0 if higher_is_better(monitor) else 1.0
        values = [sign * value if math.isfinite(value) else math.inf for value in self[monitor]]
        return self.records[values.index(min(values))]

    def __repr__(self) -> str:
        return f"History({len(self)} epochs, reason={self.reason!r})"


def higher_is_better(monitor: str) -> bool:
    """Whether more of a measure is better, by its name: accuracy, r2, score."""
    return any(word in monitor for word in ("accuracy", "r2", "score"))


def short(value: float) -> str:
    """Return a measure with four significant digits."""
    return f"{value:.4g}"
