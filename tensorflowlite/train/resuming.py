"""Going on with a run: what a checkpoint holds of a `Trainer`, and how it is taken over."""

from __future__ import annotations

import copy
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .. import runtime
from ..errors import ArgumentError, StateError
from ..ops import random
from . import batches
from .callbacks import Callback
from .checkpoint import VERSION, Checkpoint, earlier, read_newest
from .history import History
from .metrics import Averages

if TYPE_CHECKING:
    from .trainer import Trainer

AUTO = "auto"
# What `DataLoader.state_dict` holds: a loader with it begins at any batch without making others.
_POSITION = {"seed", "epoch", "position"}
# What else decides on a loader's batches, where it has it.
_ORDER = ("batch_size", "shuffle", "drop_last")


class EpochUnderWay:
    """The epoch that a run is in: what a checkpoint must hold to go on within it."""

    def __init__(self) -> None:
        self.batch = 0  # how many batches are done
        self.averages = Averages()
        self._begun: dict[str, list[int]] | None = None  # the random states where it began
        self._now: dict[str, list[int]] | None = None  # those to go on with, where it was resumed
        self._seconds, self._started = 0.0, 0.0  # before a resumption, and when it began here
        # The seconds since `open` that went into waiting for batches, steps and the validation.
        self.loading = self.stepping = self.validating = 0.0
        self._loader: Any = None
        self._loader_state: dict[str, Any] = {"position": None, "batches": None, "order": {}}

    def open(self, loader: Iterable[Any]) -> None:
        """Begin the epoch, or come back to where it began: what is drawn now is drawn again."""
        self._started = time.perf_counter()
        self.loading = self.stepping = self.validating = 0.0
        self._loader = loader
        if self.batch and self._begun is not None:
            self._now = random.get_states()
            random.set_states(self._begun)
        elif not self.batch:
            self._begun = random.get_states()

    def begin(self, loader: Iterable[Any], epoch: int) -> Iterator[Any]:
        """Return the batches of an epoch that are left, as they would have come."""
        if not self.batch:
            return iter(loader)
        try:
            own = _position_of(loader)
            if own is not None:
                loader.load_state_dict({**own, "epoch": epoch - 1, "position": self.batch})  # type: ignore[attr-defined]
            left = iter(loader)
            for _ in range(0 if own is not None else self.batch):
                next(left, None)
            return left
        finally:
            if self._now is not None:
                random.set_states(self._now)
            self._now = None

    def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Return the batches, and count the seconds of waiting for them."""
        return _Timed(batches, self)

    @property
    def seconds(self) -> float:
        """How long the epoch took so far."""
        # Never less than nothing: on a machine that was moved the clock may have been set back.
        passed = time.perf_counter() - self._started if self._started else 0.0
        return self._seconds + max(passed, 0.0)

    def finish(self) -> None:
        """Be ready for the next epoch."""
        self.batch, self.averages = 0, Averages()
        self._begun = self._now = None
        self._seconds, self._started = 0.0, 0.0

    def leave(self) -> None:
        """Let go of the loader, whose workers may end then."""
        self._seconds, self._started = self.seconds, 0.0
        self._loader_state, self._loader = self._describe_loader(), None

    def _describe_loader(self) -> dict[str, Any]:
        if self._loader is None:
            return self._loader_state
        return {
            "position": _position_of(self._loader),
            "batches": batches.length(self._loader),
            "order": _order_of(self._loader),
        }

    def state_dict(self, device: Any) -> dict[str, Any]:
        """Return all of it, for a checkpoint of a run on a device."""
        return {
            "batch": self.batch,
            "averages": self.averages.state_dict(),
            "seconds": self.seconds if self.batch else 0.0,
            "random_at_start": self._begun if self.batch else None,
            "random": self._random_states(device),
            "loader": self._describe_loader(),
        }

    def _random_states(self, device: Any) -> dict[str, list[int]]:
        """Return the random states for a run that goes on with the next batch."""
        now = random.get_states(device)
        # Between an epoch's beginning and its first step, all that was drawn is drawn again.
        return {**now, **(self._now or (not self.batch and self._begun) or {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.finish()
        self.batch = state["batch"]
        self.averages.load_state_dict(state["averages"])
        self._seconds, self._begun = state["seconds"], state["random_at_start"]
        self._loader, self._loader_state = None, state["loader"]


class _Timed:
    """An iterator that adds the seconds of its steps to an epoch's."""

    def __init__(self, batches: Iterator[Any], epoch: EpochUnderWay) -> None:
        self._batches, self._epoch = batches, epoch

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        begun = time.perf_counter()
        batch = next(self._batches)
        self._epoch.loading += time.perf_counter() - begun
        return batch


def _position_of(loader: Any) -> dict[str, Any] | None:
    """Return the state of a loader that can begin at any batch, as `DataLoader` can."""
    # Its own, not those that a wrapper hands through: that may give out other batches.
    if not hasattr(type(loader), "state_dict") or not hasattr(type(loader), "load_state_dict"):
        return None
    state = loader.state_dict()
    return dict(state) if isinstance(state, dict) and state.keys() >= _POSITION else None


def _order_of(loader: Any) -> dict[str, int | bool]:
    found = {name: getattr(loader, name, None) for name in _ORDER}
    return {name: value for name, value in found.items() if isinstance(value, int)}


def check_loader(loader: Iterable[Any], state: dict[str, Any]) -> None:
    """Raise where a loader would give other batches than the one that a state is of."""
    saved, own = state["loader"]["position"], _position_of(loader)
    if saved is not None and own is not None and saved["seed"] != own["seed"]:
        raise StateError(
            f"resume: the loader must have the seed of the run, {saved['seed']}, got "
            f"{own['seed']}; make it with seed={saved['seed']}, or call manual_seed first"
        )
    before, number = state["loader"]["batches"], batches.length(loader)
    if state["batch"] and None not in (before, number) and before != number:
        raise StateError(
            f"resume: the loader must give {before} batches in an epoch, as before, got {number}: "
            f"the run stopped after batch {state['batch']}; take the same data and batch size"
        )
    order = _order_of(loader)
    for name, value in state["loader"]["order"].items() if state["batch"] else ():
        if order.get(name, value) != value:
            raise StateError(
                f"resume: the loader must have {name}={value}, as before, got {order[name]}: the "
                f"run stopped after batch {state['batch']}; change it at the end of an epoch"
            )


def check_resume(op: str, where: Any) -> None:
    """Raise unless it is what `Trainer` and `fit` take as ``resume``."""
    if where is not None and not isinstance(where, str | bytes | os.PathLike):
        raise ArgumentError(
            f'{op}: resume must be "auto", a path or None, got {where!r:.40}; "auto" reads the '
            "file of the Checkpoint among the callbacks"
        )


# -- from a file -----------------------------------------------------------------------------------
def resume(trainer: Trainer, where: Any, loader: Iterable[Any]) -> None:
    """Take over the newest checkpoint that is whole; with "auto" there may be none."""
    path = os.fsdecode(where)
    if path == AUTO:
        keepers = [one for one in trainer.callbacks if isinstance(one, Checkpoint)]
        if not keepers:
            raise ArgumentError(
                'fit: resume="auto" must have a Checkpoint among the callbacks, whose file it '
                "reads, got none; add one, or name the file"
            )
        path = keepers[0].path
        if not os.path.exists(path) and not earlier(path):
            return
    state, used, problem = read_newest(path)
    check_loader(loader, state)
    load_state(trainer, state)
    if not problem:
        return
    place = os.path.abspath(path)
    for callback in trainer.callbacks:
        if isinstance(callback, Checkpoint) and os.path.abspath(callback.path) == place:
            callback.damaged = True
    warnings.warn(
        f"resume: the newest checkpoint can't be used: {problem}; the run goes on from the one "
        f"before, '{used}', with {len(state['history'])} epochs and {state['batch']} batches done",
        RuntimeWarning,
        stacklevel=3,
    )


# -- the state of a Trainer ------------------------------------------------------------------------
def state_of(trainer: Trainer) -> dict[str, Any]:
    """Return all that a run needs to go on."""
    scaler, scheduler = trainer.scaler, trainer.scheduler
    return {
        "version": VERSION,
        "model": dict(trainer.model.state_dict()),
        "loss": _state_of(trainer.loss),
        "optimizer": optimizer_state(trainer.model, trainer.optimizer),
        "others": {name: held.detach() for name, held in _others(trainer).items()},
        "scheduler": _state_of(scheduler),
        "scaler": None if scaler is None else scaler.state_dict(),
        "callbacks": {key: callback.state_dict() for key, callback in _named(trainer.callbacks)},
        "history": [dict(record) for record in trainer.history.records],
        **trainer.under_way.state_dict(trainer.device),
        "device": _generator_of(trainer.device),
        "stopped": trainer.stopped_by_callback,
        "kinds": _kinds(trainer),
        "config": _config(trainer),
    }


def load_state(trainer: Trainer, state: dict[str, Any]) -> None:
    """Give a Trainer what `state_of` returned; where it can't have it, nothing is changed."""
    if not isinstance(state, dict) or "kinds" not in state:
        got = f"{state!r:.40}"
        if isinstance(state, dict):
            got = f"a dict of {', '.join(map(repr, [*state][:3])) or 'nothing'}"
        raise StateError(
            f"load_state_dict: the state must be one that Trainer.state_dict returned, got {got}; "
            "that of a model goes to trainer.model.load_state_dict"
        )
    _check_kinds(_kinds(trainer), state["kinds"])
    slots = _slots_for(trainer.model, trainer.optimizer, state["optimizer"])
    _load_parts(trainer, state)
    trainer.optimizer.load_state_dict(slots)
    if trainer.scaler is not None:
        trainer.scaler.load_state_dict(state["scaler"])
    for key, callback in _named(trainer.callbacks):
        if key in state["callbacks"]:
            callback.load_state_dict(state["callbacks"][key])
    trainer.history = History([dict(record) for record in state["history"]])
    trainer.under_way.load_state_dict(state)
    trainer.stop_reason = trainer.stopped_by_callback = state["stopped"]
    states, own = dict(state["random"]), _generator_of(trainer.device)
    # A run that goes on elsewhere draws there what it would have drawn.
    if own != state["device"]:
        states[own] = states[state["device"]]
    random.set_states(states)
    _warn_of_changes(state["config"], _config(trainer))


def _load_parts(trainer: Trainer, state: dict[str, Any]) -> None:
    """Load schedule, loss, model and what else is trained; where one doesn't fit, none of them."""
    others = _others(trainer)
    for name, parameter in others.items():
        saved = state["others"].get(name)
        if saved is None or saved.shape != parameter.shape:
            raise StateError(
                f"resume: the optimizer's {name}, which isn't the model's, must be as in the "
                f"checkpoint, {'none' if saved is None else saved.shape}, got {parameter.shape}; "
                "make the Trainer as it was"
            )
    before = []
    try:
        for what in ("scheduler", "loss"):
            part, own = getattr(trainer, what), _state_of(getattr(trainer, what))
            if own or state[what]:
                before.append((part, copy.deepcopy(own)))
                _load_part(what, part, state[what])
        trainer.model.load_state_dict(state["model"])
    except BaseException:
        for part, own in before:
            if own:
                part.load_state_dict(own)
        raise
    with runtime.set_mode(grad=False):
        for name, parameter in others.items():
            parameter.copy_(state["others"][name])


def _load_part(what: str, part: Any, state: dict[str, Any]) -> None:
    try:
        part.load_state_dict(state)
    except (StateError, AttributeError, TypeError, ValueError) as error:
        kind = getattr(part, "__name__", type(part).__name__)
        raise StateError(
            f"resume: the {what} must be as in the checkpoint, got {kind}, which its state "
            f"doesn't fit: {error}; make the Trainer as it was"
        ) from error


def _state_of(part: Any) -> dict[str, Any]:
    """Return the state of a part that has one: a schedule, or a loss that is a Module."""
    return dict(part.state_dict()) if hasattr(part, "load_state_dict") else {}


def _others(trainer: Trainer) -> dict[str, Any]:
    """Return the optimizer's parameters that are in neither the model nor the loss."""
    own = {id(parameter) for parameter in getattr(trainer.loss, "parameters", tuple)()}
    names = parameter_names(trainer.model, trainer.optimizer)
    held = [one for group in trainer.optimizer.param_groups for one in group["params"]]
    known = own.union(map(id, trainer.model.parameters()))
    return {name: one for name, one in zip(names, held, strict=True) if id(one) not in known}


def _generator_of(device: Any) -> str:
    """Return the name under which `random.get_states` has a device's generator."""
    return random.generator_name(device)


def _kinds(trainer: Trainer) -> dict[str, str | None]:
    parts = {name: getattr(trainer, name) for name in ("optimizer", "scheduler", "scaler")}
    return {name: None if part is None else type(part).__name__ for name, part in parts.items()}


def _check_kinds(own: dict[str, str | None], saved: dict[str, str | None]) -> None:
    for name, kind in saved.items():
        if own[name] != kind:
            raise StateError(
                f"resume: the {name} must be as in the checkpoint, {kind or 'none'}, got "
                f"{own[name] or 'none'}; make the Trainer as it was"
            )


def _config(trainer: Trainer) -> dict[str, Any]:
    return {
        "model": type(trainer.model).__name__,
        "clip_norm": trainer.clip_norm,
        "clip_value": trainer.clip_value,
        "l1": trainer.l1,
        "amp": None if trainer.amp is None else str(trainer.amp),
    }


def _warn_of_changes(saved: dict[str, Any], own: dict[str, Any]) -> None:
    changes = [
        f"{name} {own[name]!r} in the place of {value!r}"
        for name, value in saved.items()
        if name in own and own[name] != value
    ]
    if changes:
        warnings.warn(
            f"resume: the Trainer isn't as it was, and the run won't be either: "
            f"{', '.join(changes)}",
            RuntimeWarning,
            stacklevel=5,
        )


def _named(callbacks: list[Callback]) -> list[tuple[str, Callback]]:
    seen: dict[str, int] = {}
    named = []
    for callback in callbacks:
        name = type(callback).__name__
        seen[name] = seen.get(name, 0) + 1
        named.append((name if seen[name] == 1 else f"{name} {seen[name]}", callback))
    return named


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


def _slots_for(model: Any, optimizer: Any, saved: dict[str, Any]) -> dict[str, Any]:
    """Return what `optimizer_state` returned as the optimizer takes it, whatever its order was."""
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
    return {"state": slots, "param_groups": groups}
