"""Checkpoints: all that a run needs to go on, in one safetensors file."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, DataError
from ..io import save_safetensors, write_atomically
from ..io.files import check_path, read_bytes
from ..io.seal import UNSEALED, is_whole, seal
from ..io.tensors import check_metadata, decode_bytes
from ..io.trees import build_tree, encode_tree
from .autopsy import broken_parameter
from .callbacks import Best, Callback

if TYPE_CHECKING:
    from .trainer import Trainer

FilePath = str | os.PathLike[str]
VERSION = 2
_KEY = "tensorflowlite.checkpoint"


class Checkpoint(Callback):
    """Write checkpoints while training: the newest state, and the best model.

    Files are written whole or not at all: a crash, a kill or a full disk leaves the one before.
    Each is sealed by a checksum, and where the newest is damaged, `Trainer.fit` resumes from the
    one before and says so.

    Parameters
    ----------
    path : str or path
        The file from which `Trainer.fit` can resume: model, optimizer, schedule, loss scaler,
        callbacks, history, random state, and the place within the epoch. It is written every so
        many epochs, after the last one, and at Ctrl-C and SIGTERM.
    best : str or path, optional
        A file of the model alone, as ``load_safetensors`` and ``load_state_dict`` take it, written
        whenever ``monitor`` is better than before.
    monitor : str, optional
        As in `EarlyStopping`.
    every : int
        How many epochs lie between two writes of ``path``.
    metadata : mapping of str to str, optional
        Text for the header of both files: the run's configuration, say.
    keep : int
        How many states are kept: ``path`` is the newest, ``checkpoint-1.safetensors`` the one
        before where ``path`` is ``checkpoint.safetensors``, and so on.
    every_batches : int, optional
        Write within an epoch too, whenever so many of its batches are done. The run goes on at
        the next batch.

    Examples
    --------
    >>> from tensorflowlite.train import Checkpoint
    >>> Checkpoint("run/checkpoint.safetensors", best="run/model.safetensors", every=5).every
    5
    """

    priority = 20

    def __init__(
        self,
        path: FilePath,
        best: FilePath | None = None,
        monitor: str | None = None,
        every: int = 1,
        metadata: Mapping[str, str] | None = None,
        keep: int = 2,
        every_batches: int | None = None,
    ) -> None:
        for name, value in (("every", every), ("keep", keep), ("every_batches", every_batches)):
            optional = name == "every_batches"
            if optional and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ArgumentError(
                    f"Checkpoint: {name} must be an integer of at least 1"
                    f"{' or None' if optional else ''}, got {value!r}"
                )
        check_metadata("Checkpoint", metadata)
        self.path = os.fsdecode(path)
        self.best = None if best is None else os.fsdecode(best)
        taken = [self.path, *(_before(self.path, number) for number in range(1, keep))]
        if self.best is not None and os.path.realpath(self.best) in map(os.path.realpath, taken):
            raise ArgumentError(
                "Checkpoint: best must be another file than those of the states, got "
                f"'{self.best}' for '{self.path}' with keep={keep}; name another one"
            )
        self.every = every
        self.metadata = metadata
        self.keep = keep
        self.every_batches = every_batches
        self.saved = False  # whether `path` was written in this run
        self.damaged = False  # whether what stands there is of no use
        self._best = Best(monitor)
        self._newest = 0
        self._anew = False  # whether what stands there is another run's

    def on_fit_start(self, trainer: Trainer) -> None:
        if not len(trainer.history):
            self._best = Best(self._best.monitor)
        self._anew = not len(trainer.history) and not trainer.batch
        self._newest = len(trainer.history)
        for name in (_before(self.path, number) for number in range(1, self.keep)):
            if os.path.lexists(name) and not _is_checkpoint(name):
                raise ArgumentError(
                    f"Checkpoint: the names of the states before must be free, got another file, "
                    f"'{name}'; name another path, or take keep=1"
                )

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        every = self.every_batches
        # Where a step spoiled a parameter, the next one tells; the checkpoints before stay.
        if every and trainer.batch % every == 0 and broken_parameter(trainer.model) is None:
            self._write(trainer)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        if self._best.update(record) and self.best is not None:
            save_safetensors(self.best, trainer.model.state_dict(), self.metadata)
        # The last one too: what comes after it, such as the best weights' return, isn't part of
        # a run that goes on.
        over = bool(trainer.stop_reason) or record["epoch"] == trainer.epochs
        if over or record["epoch"] % self.every == 0:
            self._write(trainer)

    def on_interrupt(self, trainer: Trainer) -> None:
        self._write(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._newest != len(trainer.history):
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        numbers = () if self.damaged or self._anew else range(1, self.keep)
        previous = [_before(self.path, number) for number in numbers]
        write_checkpoint(self.path, trainer.state_dict(), self.metadata, previous)
        if self._anew:
            for path in earlier(self.path):
                with contextlib.suppress(OSError):
                    os.unlink(path)
        self.saved, self.damaged, self._anew = True, False, False
        self._newest = len(trainer.history)

    def state_dict(self) -> dict[str, Any]:
        return self._best.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best.load_state_dict(state)


def write_checkpoint(
    path: FilePath,
    state: dict[str, Any],
    metadata: Mapping[str, str] | None = None,
    previous: list[str] | None = None,
) -> None:
    """Write a state as a checkpoint file; those before get the names ``previous``."""
    header = {**(metadata or {}), _KEY: str(VERSION), **UNSEALED}
    content = seal(encode_tree("save", state, header))
    write_atomically(path, content, op="save", previous=previous or [])


class NewerVersionError(DataError):
    """A checkpoint that a newer release wrote: whole, but not to be read here."""


def read_checkpoint(path: FilePath) -> dict[str, Any]:
    """Return the state in a checkpoint file, or raise a ``DataError`` where it is none."""
    check_path("resume", path, "...")
    content = read_bytes("resume", path)
    arrays, metadata = decode_bytes("resume", content, path)
    if _KEY not in metadata:
        raise DataError(
            f"resume: the file must be a checkpoint of the Trainer, got another one; '{path}'"
        )
    if not is_whole(content):
        raise DataError(
            f"resume: the file must be as it was written, got another checksum; '{path}' is damaged"
        )
    version = metadata[_KEY]
    if not re.fullmatch(r"[0-9]{1,9}", version) or int(version) > VERSION:
        raise NewerVersionError(
            f"resume: the checkpoint must have a format of at most version {VERSION}, got version "
            f"{version:.20}; '{path}' was written by a newer tensorflowlite: update this one"
        )
    state: dict[str, Any] = build_tree("resume", arrays, metadata, path)
    return state


def read_newest(path: FilePath) -> tuple[dict[str, Any], str, str]:
    """Return the newest state that is whole, its file, and what is wrong with the newer ones.

    Raises
    ------
    DataError
        Where none is, or a newer release wrote the newest.
    """
    first: DataError | None = None
    for candidate in [os.fspath(path), *earlier(path)]:
        try:
            state = read_checkpoint(candidate)
        except NewerVersionError:
            raise
        except DataError as error:
            first = first or error
        else:
            return state, candidate, str(first or "").removeprefix("resume: ")
    assert first is not None
    raise first


def earlier(path: FilePath) -> list[str]:
    """Return the files of the states before that of a path, the newest first.

    Files of such names that no run wrote there aren't among them: those that aren't checkpoints,
    and copies under far numbers. A killed process may leave one number out.
    """
    folder, name = os.path.split(_behind_links(path))
    stem, suffix = os.path.splitext(name)
    pattern = re.compile(re.escape(stem) + r"-([1-9]\d*)" + re.escape(suffix))
    try:
        matches = [pattern.fullmatch(entry) for entry in os.listdir(folder or ".")]
    except OSError:
        return []
    found, last = [], 0
    for number in sorted(int(match[1]) for match in matches if match):
        if number > last + 2:
            break
        last = number
        if _is_checkpoint(_before(path, number)):
            found.append(_before(path, number))
    return found


def _is_checkpoint(path: FilePath) -> bool:
    """Tell whether a file is a checkpoint by its head, be it damaged or not."""
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 20)
    except OSError:
        return False
    return not head or _KEY.encode() in head


def _before(path: FilePath, number: int) -> str:
    """Return the name of the state so many writes before the newest."""
    stem, suffix = os.path.splitext(_behind_links(path))
    return f"{stem}-{number}{suffix}"


def _behind_links(path: FilePath) -> str:
    return os.path.realpath(path) if os.path.islink(path) else os.fspath(path)
