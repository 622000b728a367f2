"""The options of ``train``: their defaults, their domains, and what a resumed run may change."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import ArgumentError


class Option(NamedTuple):
    """An option with a value: how it is read, what it must be, what it says."""

    kind: Callable[[str], Any]
    rule: str
    holds: Callable[[Any], bool]
    help: str
    choices: tuple[str, ...] | None = None
    fixed: bool = True  # whether a resumed run must have it as it was


def _at_least(least: float) -> Callable[[Any], bool]:
    return lambda value: least <= value < math.inf


def _any(value: Any) -> bool:
    return True


OPTIONS = {
    "model": Option(str, "", _any, "the network", ("mlp", "cnn")),
    "device": Option(str, "", _any, "where to train", ("auto", "cpu", "cuda"), fixed=False),
    "epochs": Option(int, "at least 1", _at_least(1), "the most epochs", fixed=False),
    "batch_size": Option(int, "at least 1", _at_least(1), "samples per step"),
    "lr": Option(float, "positive", lambda value: 0 < value < math.inf, "learning rate"),
    "optimizer": Option(str, "", _any, "the optimizer", ("sgd", "adam", "adamw")),
    "weight_decay": Option(float, "at least 0", _at_least(0), "factor of the L2 penalty"),
    "l1": Option(float, "at least 0", _at_least(0), "factor of the L1 penalty"),
    "dropout": Option(float, "in [0, 1)", lambda value: 0 <= value < 1, "share of units dropped"),
    "seed": Option(
        int, "in [0, 2**63)", lambda value: 0 <= value < 2**63,
        "seed of the split, the initialisation and the order",
    ),
    "patience": Option(
        int, "at least 1", _at_least(1), "epochs without improvement before it stops", fixed=False
    ),
    "tolerance": Option(
        float, "in [0, 1)", lambda value: 0 <= value < 1,
        "stop where the training loss changes by less than this part; 0 never does", fixed=False,
    ),
    "workers": Option(
        int, "at least 0", _at_least(0), "processes that prepare batches", fixed=False
    ),
}  # fmt: skip

DEFAULTS: dict[str, Any] = {
    "device": "auto", "epochs": 60, "batch_size": 64, "lr": 2e-3, "optimizer": "adamw",
    "weight_decay": 1e-2, "l1": 0.0, "dropout": 0.2, "seed": 0, "patience": 10,
    "tolerance": 0.0, "workers": 0,
}  # fmt: skip
# Where a task or a model does better with another value.
_SPECIAL: dict[tuple[str, str], dict[str, Any]] = {
    ("idx", "cnn"): {"epochs": 20, "patience": 5},
    ("csv", "mlp"): {"epochs": 200, "patience": 20, "batch_size": 32, "dropout": 0.1},
}
_MODELS = {"digits": "cnn", "idx": "cnn", "csv": "mlp"}


def flag(name: str) -> str:
    """Return an option as it is typed."""
    return "--" + name.replace("_", "-")


def add_options(parser: argparse.ArgumentParser, task: str) -> None:
    """Add the options of ``train`` to a task's parser; what isn't given stays None."""
    for name, option in OPTIONS.items():
        default = _SPECIAL.get((task, _MODELS[task]), {}).get(name, DEFAULTS.get(name))
        shown = _MODELS[task] if name == "model" else default
        parser.add_argument(
            flag(name),
            dest=name,
            type=option.kind,
            choices=option.choices,
            default=None,
            metavar=None if option.choices else "N" if option.kind is int else "X",
            help=f"{option.help} (default: {shown})",
        )


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were typed, each checked against its domain."""
    given = {
        name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) is not None
    }
    for name, value in given.items():
        option = OPTIONS[name]
        if not option.holds(value):
            raise ArgumentError(f"train: {flag(name)} must be {option.rule}, got {value}")
    return given


def complete(task: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return all options of a new run."""
    model = given.get("model", _MODELS[task])
    options = {"model": model, **DEFAULTS, **_SPECIAL.get((task, model), {}), **given}
    return {name: options[name] for name in OPTIONS}


def resume(saved: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a resumed run: those that it had, but for what may change."""
    for name, value in given.items():
        if OPTIONS[name].fixed and saved[name] != value:
            raise ArgumentError(
                f"train: {flag(name)} of a resumed run must be as it was, {saved[name]}, got "
                f"{value}; leave it out, or begin a new run"
            )
    return {**saved, **given}
