"""What a run says while it goes on: lines in a file, progress bars, TensorBoard."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependencyError
from ..io import WriteError, write_atomically
from .callbacks import Callback
from .history import short

if TYPE_CHECKING:
    from .trainer import Trainer

FilePath = str | os.PathLike[str]


class MetricsFile(Callback):
    """Write the record of each epoch as a line of JSON, as soon as the epoch is over.

    Where a run is resumed, the file is brought back to the epochs of the checkpoint first, and
    goes on from there. What isn't finite is written as ``null``.

    Parameters
    ----------
    path : str or path
        The file, ``metrics.jsonl`` by custom.

    Examples
    --------
    >>> from tensorflowlite.train import MetricsFile
    >>> MetricsFile("run/metrics.jsonl").path
    'run/metrics.jsonl'
    """

    priority = 10

    def __init__(self, path: FilePath) -> None:
        self.path = os.fspath(path)

    def on_fit_start(self, trainer: Trainer) -> None:
        lines = "".join(map(_line, trainer.history.records))
        write_atomically(self.path, lines.encode(), op="metrics")

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        size = None
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                size = file.tell()
                file.write(_line(record))
        except OSError as error:
            with contextlib.suppress(OSError):  # a part of a line is no record
                if size is not None:
                    os.truncate(self.path, size)
            raise WriteError(
                f"metrics: the line of epoch {record['epoch']} must be written, got "
                f"'{error.strerror}' for '{self.path}'; the epochs before are in the file"
            ) from error


def _line(record: dict[str, Any]) -> str:
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in record.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


class Progress(Callback):
    """Show a bar for the epoch under way and a line for each epoch, on standard error.

    Nothing is shown where standard error is no terminal. Without tqdm there are lines only.

    Parameters
    ----------
    enabled : bool, optional
        By default whether standard error is a terminal.

    Examples
    --------
    >>> from tensorflowlite.train import Progress
    >>> Progress(enabled=False).enabled
    False
    """

    priority = 5

    def __init__(self, enabled: bool | None = None) -> None:
        self.enabled = sys.stderr.isatty() if enabled is None else enabled
        self._bar: Any = None

    def on_epoch_start(self, trainer: Trainer, epoch: int, batches: int | None) -> None:
        if not self.enabled:
            return
        try:
            from tqdm import tqdm
        except ImportError:
            return
        self._bar = tqdm(
            total=batches,
            initial=trainer.batch,
            desc=f"epoch {epoch}/{trainer.epochs}",
            leave=False,
            unit="batch",
            file=sys.stderr,
        )

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        if self._bar is not None:
            self._bar.set_postfix(loss=short(loss), refresh=False)
            self._bar.update()

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        self.close(trainer)
        if self.enabled:
            print(describe(record, trainer.epochs), file=sys.stderr, flush=True)

    def close(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def describe(record: dict[str, Any], epochs: int) -> str:
    """Return an epoch's record as one line."""
    parts = [
        f"{name.replace('_', ' ')} {short(value)}"
        for name, value in record.items()
        if name not in ("epoch", "learning_rate", "seconds")
    ]
    return f"epoch {record['epoch']}/{epochs}: {', '.join(parts)} ({record['seconds']:.1f} s)"


class TensorBoard(Callback):
    """Write the record of each epoch as event files, which TensorBoard shows.

    Parameters
    ----------
    folder : str or path
        Where the event files go.

    Raises
    ------
    MissingDependencyError
        Where tensorboardX isn't installed.

    Examples
    --------
    >>> from tensorflowlite.train import TensorBoard
    >>> TensorBoard("run/events").folder  # doctest: +SKIP
    'run/events'
    """

    priority = 10

    def __init__(self, folder: FilePath) -> None:
        try:
            import tensorboardX
        except ImportError:
            raise MissingDependencyError(
                "TensorBoard: event files are written by tensorboardX, got no module "
                "'tensorboardX'; pip install \"tensorflowlite[tensorboard]\""
            ) from None
        self.folder = os.fspath(folder)
        self._make = tensorboardX.SummaryWriter
        self._writer: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        # Events of epochs that a resumed run trains again are struck out.
        self._writer = self._make(self.folder, purge_step=len(trainer.history) + 1)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        for name, value in record.items():
            if name != "epoch":
                group, _, measure = name.rpartition("validation_")
                tag = f"{'validation' if group or name != measure else 'training'}/{measure}"
                self._writer.add_scalar(tag, value, record["epoch"])
        self._writer.flush()

    def close(self, trainer: Trainer) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
