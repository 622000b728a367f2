"""``tensorflowlite train``: from the options to the last line."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import platform
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn, optim
from ..backend.cuda.devices import default_device, why_not
from ..core.tensor import Tensor
from ..data import DataLoader, TensorDataset
from ..errors import ArgumentError, DeviceError, MissingDependencyError
from ..nn import functional
from ..ops.random import manual_seed
from ..train import Checkpoint, Curves, EarlyStopping, MetricsFile, Report, Trainer, r2_score
from ..version import __version__
from . import folders, networks
from .options import complete, given_options, resume
from .tasks import Task, absolute, read_task

_NEEDED = {"matplotlib": "draws curves.png and report.html", "tqdm": "shows the progress"}
_EVALUATION_BATCH = 512


def train(arguments: argparse.Namespace) -> int:
    """Run ``train`` with parsed arguments; nothing is written before all of them are checked."""
    name = arguments.task
    given = given_options(arguments)
    resumed = arguments.resume
    if resumed and arguments.overwrite:
        raise ArgumentError("train: --resume and --overwrite exclude each other, got both")
    _require_packages(name)
    source = absolute(_source(arguments))
    folder = None
    if resumed:
        folder = folders.find(arguments.out, name, complete(name, given)["model"], resumed)
        if folder is None and not arguments.quiet:
            print("train: there is no run to go on with yet; it begins", file=sys.stderr)
    if folder is not None:
        config = folders.read_config(folder, name)
        options = resume(config["options"], given)
        _check_source(config["source"], source)
    else:
        folders.check_free(arguments.out, arguments.overwrite)
        options = complete(name, given)
    device = pick_device(options["device"])
    manual_seed(options["seed"])
    task = read_task(name, source, options["seed"])
    network = networks.describe(
        options["model"], task.train[0].shape[1:], task.outputs, options["dropout"]
    )
    if folder is None:
        folder, resumed = folders.make(arguments.out, name, options["model"]), None
    config = _config(name, source, options, network, task)
    folders.write_config(folder, config)
    run = Run(task, config, folder, device, progress=False if arguments.quiet else None)
    found: list[str] = []
    with _plain_warnings():
        if not arguments.strict:
            run.fit(resumed)
        else:
            from ..debug import strict

            with strict() as report:
                run.fit(resumed)
            found = str(report).split("\n")
    for line in run.report():
        print(line)
    for line in found:
        print(f"strict: {line}")
    return 0


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show warnings as the command's errors read: one sentence, without a place in the code."""

    def show(message: Any, *place: Any) -> None:
        print(f"tensorflowlite: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _source(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("data", "target", "kind")
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def _check_source(saved: dict[str, Any], given: dict[str, Any]) -> None:
    for name, value in given.items():
        if value is not None and saved.get(name) != value:
            raise ArgumentError(
                f"train: --{name} of a resumed run must be as it was, {saved.get(name)}, got "
                f"{value}; begin a new run for other data"
            )


def _require_packages(task: str) -> None:
    needed = {**_NEEDED, "sklearn": "holds the digits"} if task == "digits" else _NEEDED
    for module, purpose in needed.items():
        if importlib.util.find_spec(module) is None:
            package = "scikit-learn" if module == "sklearn" else module
            raise MissingDependencyError(
                f"train: {package} must be installed, which {purpose}, got no module "
                f"'{module}'; pip install \"tensorflowlite[train]\""
            )


def pick_device(wanted: str) -> str:
    """Return the device for ``auto``, ``cpu`` or ``cuda``; raise where it isn't usable."""
    return str({"auto": default_device, "cpu": lambda: "cpu", "cuda": _first_gpu}[wanted]())


def _first_gpu() -> str:
    reason = why_not()
    if reason:
        raise DeviceError(f"train: --device cuda must have a usable GPU, got none: {reason}")
    return default_device()


def _config(
    name: str, source: dict[str, Any], options: dict[str, Any], network: Any, task: Task
) -> dict[str, Any]:
    parts = {"training": task.train, "validation": task.validation, "test": task.test}
    return {
        "task": name,
        "source": source,
        "options": options,
        "network": network,
        "data": task.config,
        "samples": {part: len(pair[0]) for part, pair in parts.items()},
        "versions": {
            "tensorflowlite": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _about(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a report says of a run beside the Trainer's settings."""
    options = config["options"]
    names = ("model", "dropout", "patience", "tolerance", "workers")
    return {
        "task": config["task"],
        **{name: value for name, value in config["source"].items() if value is not None},
        **{f"samples.{part}": count for part, count in config["samples"].items()},
        **{name: options[name] for name in names},
    }


class Run:
    """One training run of the command, in its folder."""

    def __init__(
        self, task: Task, config: dict[str, Any], folder: Path, device: str, progress: bool | None
    ) -> None:
        self.task, self.folder, self.device = task, folder, device
        self.options = config["options"]
        self.monitor = "validation_loss"
        self.model = networks.build(config["network"])
        self.model.to(device)
        self.stopping = EarlyStopping(self.monitor, patience=self.options["patience"])
        optimizer = self._optimizer()
        self.reporting = Report(
            folder / folders.REPORT,
            self.monitor,
            data=self._loader(task.test),
            part="test",
            kind="regression" if task.regression else "classification",
            classes=task.config["classes"] or (),
            features=task.config.get("features", ()),
            scale=(task.config.get("target_mean", 0.0), task.config.get("target_std", 1.0)),
            config=_about(config),
        )
        self.trainer = Trainer(
            self.model,
            optimizer,
            _regression_loss if task.regression else functional.cross_entropy,
            metrics=() if task.regression else ("accuracy",),
            callbacks=[
                self.stopping,
                MetricsFile(folder / folders.METRICS),
                Checkpoint(
                    folder / folders.CHECKPOINT,
                    best=folder / folders.MODEL,
                    monitor=self.monitor,
                    metadata={"tensorflowlite.config": json.dumps(config)},
                ),
                Curves(folder / folders.CURVES, self.monitor),
                self.reporting,
            ],
            device=device,
            scheduler=optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3),
            l1=self.options["l1"],
            progress=progress,
        )

    def _optimizer(self) -> optim.Optimizer:
        options = self.options
        parameters = self.model.named_parameters()
        rates = {"lr": options["lr"], "weight_decay": options["weight_decay"]}
        if options["optimizer"] == "sgd":
            return optim.SGD(parameters, momentum=0.9, **rates)
        make = optim.Adam if options["optimizer"] == "adam" else optim.AdamW
        return make(parameters, **rates)

    def _loader(self, pair: Any, training: bool = False) -> DataLoader:
        options = self.options
        return DataLoader(
            TensorDataset(*pair),
            batch_size=options["batch_size"] if training else _EVALUATION_BATCH,
            shuffle=training,
            seed=options["seed"],
            num_workers=options["workers"] if training else 0,
            transform=self.task.augment if training else self.task.prepare,
        )

    def fit(self, resumed: str | None) -> None:
        """Train: from the beginning, from the folder's newest checkpoint ("auto"), or a file."""
        # NumPy's warnings of overflow would come before the sentence that says more.
        with self._loader(self.task.train, training=True) as loader, np.errstate(all="ignore"):
            self.trainer.fit(
                loader,
                self._loader(self.task.validation),
                epochs=self.options["epochs"],
                tolerance=self.options["tolerance"] or None,
                resume=resumed,
            )

    def report(self) -> list[str]:
        """Measure the test part and return the table of the run, and its last lines."""
        history, test = self.trainer.history, self._loader(self.task.test)
        results = self.trainer.evaluate(test)
        best = history.records[self.stopping.best_epoch - 1] if self.stopping.best_epoch else {}
        sizes = (len(pair[0]) for pair in (self.task.train, self.task.validation, self.task.test))
        rows = [
            ("run", str(self.folder)),
            ("device", self.device),
            ("data", "{:,} training, {:,} validation, {:,} test".format(*sizes)),
            ("parameters", f"{sum(p.size for p in self.model.parameters()):,}"),
            ("epochs", f"{len(history)} of {self.options['epochs']}; {history.reason}"),
            ("training time", f"{history.seconds:.1f} s"),
            ("best epoch", str(self.stopping.best_epoch)),
        ]
        measure = "validation_loss" if self.task.regression else "validation_accuracy"
        rows.append((measure.replace("_", " "), f"{best.get(measure, math.nan):.4f}"))
        rows.append(("test loss", f"{results['loss']:.4f}"))
        if self.reporting.written:
            rows.append(("report", self.reporting.path))
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {value}" for name, value in rows]
        if not self.task.regression:
            return [*lines, f"test accuracy: {results['accuracy']:.4f}"]
        return [*lines, *self._regression_results(test)]

    def _regression_results(self, test: DataLoader) -> list[str]:
        # In the units of the table, not of the standardised target.
        mean, scale = self.task.config["target_mean"], self.task.config["target_std"]
        predicted: Any = self.trainer.predict(test)
        standardised: Any = Tensor(self.task.test[1])
        output, target = predicted[:, 0] * scale + mean, standardised * scale + mean
        rmse = math.sqrt(float(functional.mse_loss(output, target)))
        return [f"test r2: {r2_score(output, target):.4f}", f"test rmse: {rmse:.4g}"]


def _regression_loss(output: Any, target: Any) -> Tensor:
    return functional.mse_loss(output[:, 0], target)


def load_model(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a finished run with its best parameters, and its config."""
    from ..io import load_safetensors

    config = json.loads((folder / folders.CONFIG).read_text(encoding="utf-8"))
    model = networks.build(config["network"])
    model.load_state_dict(load_safetensors(folder / folders.MODEL))
    return model.eval(), config
