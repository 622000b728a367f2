"""Checkpoints: all that a run needs to go on, in one safetensors file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, DataError, StateError
from ..io import load, save, save_safetensors
from .callbacks import Best, Callback

if TYPE_CHECKING:
    from .trainer import Trainer

FilePath = str | os.PathLike[str]
_FORMAT = "tensorflowlite.train checkpoint 1"


class Checkpoint(Callback):
    """Write checkpoints while training: the newest state, and the best model.

    Files are written whole or not at all: a crash or a full disk leaves the one before.

    Parameters
    ----------
    path : str or path
        The file from which `Trainer.fit` can resume: model, optimizer, schedule, history, random
        state. It is written every so many epochs, after the last one, and at Ctrl-C.
    best : str or path, optional
        A file of the model alone, as ``load_safetensors`` and ``load_state_dict`` take it, written
        whenever ``monitor`` is better than before.
    monitor : str, optional
        As in `EarlyStopping`.
    every : int
        How many epochs lie between two writes of ``path``.
    metadata : mapping of str to str, optional
        Text for the header of ``best``.

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
    ) -> None:
        if not isinstance(every, int) or every < 1:
            raise ArgumentError(
                f"Checkpoint: every must be an integer of at least 1, got {every!r}"
            )
        self.path = os.fspath(path)
        self.best = None if best is None else os.fspath(best)
        self.every = every
        self.metadata = metadata
        self.saved = False  # whether `path` was written in this run
        self._best = Best(monitor)
        self._newest = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        if not len(trainer.history):
            self._best = Best(self._best.monitor)
        self._newest = len(trainer.history)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        if self._best.update(record) and self.best is not None:
            save_safetensors(self.best, trainer.model.state_dict(), self.metadata)
        if record["epoch"] % self.every == 0:
            self._write(trainer)

    def on_interrupt(self, trainer: Trainer) -> None:
        self._write(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._newest != len(trainer.history):
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        save(self.path, trainer.state_dict())
        self.saved, self._newest = True, len(trainer.history)

    def state_dict(self) -> dict[str, Any]:
        return self._best.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best.load_state_dict(state)


def read_checkpoint(path: FilePath) -> dict[str, Any]:
    """Return the state in a checkpoint file, or raise a ``DataError`` where it is none."""
    state = load(path)
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise DataError(
            f"resume: the file must be a checkpoint of the Trainer, got another tree; '{path}'"
        )
    return state


def make_checkpoint(**parts: Any) -> dict[str, Any]:
    """Return the tree that a checkpoint file holds."""
    return {"format": _FORMAT, **parts}


def parameter_names(model: Any, optimizer: Any) -> list[str]:
    """Return the path in the model of each parameter of the optimizer, in its order."""
    paths = {id(parameter): path for path, parameter in model.named_parameters()}
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [paths.get(id(parameter), f"parameter {place}") for place, parameter in enumerate(held)]


def optimizer_state(model: Any, optimizer: Any) -> dict[str, Any]:
    """Return the optimizer's state with paths in the place of its positions."""
    state = optimizer.state_dict()
    names = parameter_names(model, optimizer)
    groups = []
    for group in state["param_groups"]:
        kept = {key: value for key, value in group.items() if key != "param_names"}
        groups.append({**kept, "params": [names[position] for position in group["params"]]})
    slots = {names[position]: dict(held) for position, held in state["state"].items()}
    return {"groups": groups, "slots": slots}


def load_optimizer_state(model: Any, optimizer: Any, saved: dict[str, Any]) -> None:
    """Give the optimizer a state that `optimizer_state` returned, whatever its order was."""
    names = parameter_names(model, optimizer)
    wanted = [set(group["params"]) for group in saved["groups"]]
    held, first = [], 0
    for group in optimizer.param_groups:
        end = first + len(group["params"])
        held.append(set(names[first:end]))
        first = end
    if wanted != held:
        missing = sorted(set().union(*held) - set().union(*wanted))
        unexpected = sorted(set().union(*wanted) - set().union(*held))
        raise StateError(
            "resume: the checkpoint must hold the optimizer's parameters in the same groups, got "
            f"missing {missing} and unexpected {unexpected}; make model and optimizer as they were"
        )
    current = optimizer.state_dict()
    groups = [
        {**group, "params": now["params"]}
        for group, now in zip(saved["groups"], current["param_groups"], strict=True)
    ]
    for group, now in zip(groups, current["param_groups"], strict=True):
        if "param_names" in now:
            group["param_names"] = now["param_names"]
    slots = {
        position: saved["slots"][name]
        for position, name in enumerate(names)
        if name in saved["slots"]
    }
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
