"""What a run ran with: versions, machine, settings, and the model's modules."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...backend.native import extension as native
from ...backend.processor import gpu, processor
from ...nn.utils.summary import summary
from ...ops import random
from ...version import __version__
from .. import batches

_MODULES = 400  # the most lines of a model's table
_LONG = 200  # characters of a setting


def environment(device: Any) -> dict[str, str]:
    """Return versions and the machine as text."""
    found = {
        "tensorflowlite": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "native extension": _extension(),
        "device": str(device),
    }
    gpu = _gpu(device)
    return {**found, "GPU": gpu} if gpu else found


def _extension() -> str:
    if native.module is None:
        return f"not loaded: {native.why_not()}"
    return f"loaded ({native.module.instruction_set()})"


def _gpu(device: Any) -> str:
    kind, _, index = str(device).partition(":")
    if kind == "cpu":
        return ""
    try:
        return gpu(int(index or 0))
    except Exception:  # whatever the driver says: a report does without the name
        return ""


def settings(trainer: Any) -> dict[str, Any]:
    """Return what a Trainer was made with, as plain values."""
    groups = trainer.optimizer.param_groups
    first = {
        name: value
        for name, value in groups[0].items()
        if name not in ("params", "param_names", "lr") and not name.startswith("_")
    }
    found: dict[str, Any] = {
        "model": type(trainer.model).__name__,
        "loss": name_of(trainer.loss),
        "optimizer": type(trainer.optimizer).__name__,
    }
    records = trainer.history.records
    found["learning rate"] = records[0]["learning_rate"] if records else groups[0]["lr"]
    if len(groups) > 1:
        found["optimizer.groups"] = len(groups)
    found |= {f"optimizer.{name}": value for name, value in first.items() if name != "initial_lr"}
    found |= {
        "schedule": None if trainer.scheduler is None else type(trainer.scheduler).__name__,
        "epochs": trainer.epochs,
        "batch size": getattr(trainer.loaders[0], "batch_size", None),
        "clip_norm": trainer.clip_norm,
        "clip_value": trainer.clip_value,
        "l1": trainer.l1,
        "amp": trainer.amp,
        "jit": trainer.records,
        "seed": random.initial_seed(),
    }
    return plain(found)


def plain(given: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings as one level of names and plain values."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            found |= plain(value, f"{name}.")
        elif value is None or isinstance(value, bool | int | str):
            found[name] = value[:_LONG] if isinstance(value, str) else value
        elif isinstance(value, float):
            found[name] = value if math.isfinite(value) else str(value)
        else:
            found[name] = str(value)[:_LONG]
    return found


def name_of(function: Any) -> str:
    """Return the name of a loss: that of a function, or of a module's class."""
    return str(getattr(function, "__name__", type(function).__name__)).lstrip("_")


def modules(trainer: Any, batch: Any) -> dict[str, Any]:
    """Return the model's modules; with a batch, also what each made of it."""
    model = trainer.model
    lines = None
    if batch is not None:
        inputs = batches.inputs_of(batches.to_device(batch, trainer.device))
        try:
            lines = summary(model, inputs).modules
        except Exception:  # a model that a summary can't call has the table without shapes
            lines = None
    if lines is None:
        rows: list[tuple[Any, ...]] = [
            (path, type(module).__name__, None, sum(p.size for p in module.parameters(False)))
            for path, module in model.named_modules()
        ]
    else:
        rows = [(one.path, one.kind, one.output_shape, one.parameters) for one in lines]
    parameters = list(model.parameters())
    return {
        "kind": type(model).__name__,
        "total": sum(p.size for p in parameters),
        "trainable": sum(p.size for p in parameters if p.requires_grad),
        "left_out": max(len(rows) - _MODULES, 0),
        "modules": [
            {
                "path": path,
                "kind": kind,
                "shape": None if shape is None else list(shape),
                "parameters": count,
            }
            for path, kind, shape, count in rows[:_MODULES]
        ],
    }
