"""``tensorflowlite explain``: the page of a training step."""

from __future__ import annotations

import argparse
import json
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import data, nn
from ..core.tensor import Tensor
from ..data import DataLoader, TensorDataset, transforms
from ..errors import ArgumentError, DataError
from ..io import load_safetensors, read_metadata, write_atomically
from ..nn import functional
from ..ops.random import manual_seed
from ..optim import AdamW
from ..story import Story, explain
from ..train.checkpoint import read_checkpoint
from . import folders, networks
from .explain_options import BELONGING, SAID, SAMPLES, SUBJECTS
from .options import OPTIONS, complete
from .tasks import read_task

_CLASSIC = Path(__file__).with_name("classic.py")


def explain_command(arguments: argparse.Namespace) -> int:
    """Run ``explain`` with parsed arguments."""
    subject = arguments.subject if arguments.subject in SUBJECTS else "run"
    _check(arguments, subject)
    make: Callable[[argparse.Namespace], Story] = {
        "classic": _classic, "digits": _digits, "run": _run,
    }[subject]  # fmt: skip
    story = make(arguments)
    story.to_html(arguments.out)
    if arguments.json:
        write_atomically(arguments.json, story.to_json().encode("utf-8", "replace"), op="explain")
    if arguments.text:
        print(story.to_text())
    for line in _said(story, arguments.out):
        print(line)
    return 0


def _check(arguments: argparse.Namespace, subject: str) -> None:
    for name in sorted({name for names in BELONGING.values() for name in names}):
        value = getattr(arguments, name)
        if value is not None and name not in BELONGING[subject]:
            belonging = [SAID[who] for who, names in BELONGING.items() if name in names]
            raise ArgumentError(
                f"explain: --{name.replace('_', '-')} must go with {' or '.join(belonging)}, got "
                f"{arguments.subject}"
            )
    for name, least in (("steps", 1), ("batch_size", 1), ("sample", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ArgumentError(
                f"explain: --{name.replace('_', '-')} must be at least {least}, got {value}"
            )
    for name in ("lr", "seed"):
        value = getattr(arguments, name)
        if value is not None and not OPTIONS[name].holds(value):
            raise ArgumentError(f"explain: --{name} must be {OPTIONS[name].rule}, got {value}")
    if os.path.isdir(arguments.out):
        raise ArgumentError(f"explain: --out must name a file, got the folder '{arguments.out}'")


def _said(story: Story, out: str) -> list[str]:
    told = story.data["iterations"]
    losses = [one["loss"] for one in told if isinstance(one["loss"], int | float)]
    counts = f"{len(told)} step{'s' if len(told) > 1 else ''}, {len(told[0]['calls'])} operations"
    lines = [f"{story.title}: {counts} in the first"]
    if losses:
        lines.append("loss: " + ", ".join(f"{loss:.4f}" for loss in losses))
    ill = [one for one in story.data["reasons"] if one["state"] != "healthy"]
    lines += [f"{one['parameter']}: {one['state']}; {one['sentence']}" for one in ill]
    return [*lines, f"open {out} in a browser"]


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


# -- the subjects ----------------------------------------------------------------------------------
def _classic(arguments: argparse.Namespace) -> Story:
    loss = _or(arguments.loss, "mse")
    classic = runpy.run_path(str(_CLASSIC), run_name="classic")
    parameters = classic["start"](_or(arguments.seed, 0))
    named = "mean squared error" if loss == "mse" else "cross-entropy"
    with explain(title=f"A two-layer network learns exclusive or, by {named}") as story:
        classic["train"](loss, _or(arguments.steps, 3), _or(arguments.lr, 1.0), *parameters)
    return story


def _digits(arguments: argparse.Namespace) -> Story:
    given = {name: getattr(arguments, name) for name in ("model", "seed", "lr")}
    options = complete("digits", {k: v for k, v in given.items() if v is not None})
    manual_seed(options["seed"])
    task = read_task("digits", {}, options["seed"])
    model = networks.build(networks.describe(
        options["model"], task.train[0].shape[1:], task.outputs, options["dropout"]
    ))  # fmt: skip
    optimizer = AdamW(
        model.named_parameters(), lr=options["lr"], weight_decay=options["weight_decay"]
    )
    loader = DataLoader(
        TensorDataset(*task.train), batch_size=_or(arguments.batch_size, SAMPLES), shuffle=True,
        seed=options["seed"], transform=task.augment,
    )  # fmt: skip
    batches = iter(loader)
    with explain(title=f"The first steps of train digits, {options['model']}") as story:
        for _ in range(_or(arguments.steps, 3)):
            images, labels = next(batches)
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return story


def _run(arguments: argparse.Namespace) -> Story:
    model, config = _load(Path(arguments.subject))
    inputs, targets, prepare, of = _samples(arguments, config)
    place = _or(arguments.sample, 0)
    if place >= len(inputs):
        raise ArgumentError(
            f"explain: --sample must be less than the {len(inputs)} samples of {of}, got {place}"
        )
    x, y = prepare(inputs[place : place + 1]), targets[place : place + 1]
    x, y = Tensor(x), Tensor(y)
    model.eval()
    classes = config["data"]["classes"]
    with explain(title=f"{arguments.subject}: sample {place} of {of}") as story:
        output: Any = model(x)
        if classes is None:
            functional.mse_loss(output[:, 0], y).backward()
        else:
            functional.cross_entropy(output, y).backward()
    story.title += f"; {_prediction(output, y, config['data'])}"
    return story


def _prediction(output: Any, target: Any, config: dict[str, Any]) -> str:
    classes = config["classes"]
    if classes is None:
        mean, scale = config["target_mean"], config["target_std"]
        found, true = (float(v) * scale + mean for v in (output[0, 0], target[0]))
        return f"predicted {found:.4g}, it is {true:.4g}"
    shares = functional.softmax(output.detach(), 1)[0]
    best = int(shares.argmax())
    share = float(shares[best])
    return f"predicted {classes[best]} ({share:.0%}), it is {classes[int(target[0])]}"


def _load(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a run's folder or of one of its files, and the run's config."""
    if path.is_dir():
        file = path / folders.MODEL
        if not file.is_file():
            file = path / folders.CHECKPOINT
        if not file.is_file():
            inside = min((one.parent for one in path.glob(f"*/{folders.MODEL}")), default=None)
            raise ArgumentError(
                f"explain: the folder must be that of a run, got '{path}' without "
                f"{folders.MODEL} or {folders.CHECKPOINT}"
                + (f"; take '{inside}'" if inside is not None else "")
            )
    elif path.is_file():
        file = path
    else:
        raise ArgumentError(
            f"explain: the subject must be classic, digits, a run's folder or a checkpoint, got "
            f"'{path}', which isn't there"
        )
    metadata = read_metadata(file)
    try:
        config = json.loads(metadata["tensorflowlite.config"])
        network, _, _, _ = config["network"], config["data"], config["task"], config["source"]
        model = networks.build(network)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"explain: the file must be one that train wrote, got {type(error).__name__} for "
            f"what '{file}' says of its network"
        ) from None
    is_checkpoint = any(key.startswith("tensorflowlite.checkpoint") for key in metadata)
    state = read_checkpoint(file)["model"] if is_checkpoint else load_safetensors(file)
    model.load_state_dict(state)
    return model, config


def _samples(arguments: argparse.Namespace, config: dict[str, Any]) -> tuple[Any, ...]:
    """Return inputs and targets, what prepares a batch of them, and what they are called."""
    if arguments.data is None:
        task = read_task(config["task"], config["source"], config["options"]["seed"])
        part = _or(arguments.part, "test")
        inputs, targets = getattr(task, part)
        return inputs, targets, task.prepare, f"the {part} data"
    if arguments.part is not None:
        raise ArgumentError("explain: --data and --part exclude each other, got both")
    known, shape = config["data"], tuple(config["network"]["inputs"])
    normalize = transforms.Normalize(known["mean"], known["std"])
    if config["task"] == "csv":
        table = data.read_csv(
            arguments.data, known["target"],
            task="regression" if known["classes"] is None else "classification",
        )  # fmt: skip
        if list(table.feature_names) != known["features"]:
            raise DataError(
                f"explain: --data must have the columns {', '.join(known['features'])}, got "
                f"{', '.join(table.feature_names)}"
            )
        return table.features, _targets(table, known), normalize, f"'{arguments.data}'"
    found = data.read_idx_folder(arguments.data)
    images, labels = found.train if found.test is None else found.test
    images = images[:, None]
    if images.shape[1:] != shape:
        raise DataError(
            f"explain: --data must hold images of shape {shape[1:]}, got {images.shape[2:]}"
        )
    if len(labels) and int(labels.max()) >= len(known["classes"]):
        raise DataError(
            f"explain: --data must have labels below {len(known['classes'])}, got {labels.max()}"
        )
    prepare = transforms.Compose([transforms.ToFloat(known["scale"]), normalize])
    return images, labels, prepare, f"'{arguments.data}'"


def _targets(table: Any, known: dict[str, Any]) -> Any:
    if known["classes"] is None:
        return (table.target - known["target_mean"]) / known["target_std"]
    # The file may have fewer classes than the network.
    missing = sorted(set(table.class_names) - set(known["classes"]))
    if missing:
        raise DataError(
            f"explain: --data must have the classes {', '.join(known['classes'])}, got {missing[0]}"
        )
    places = [known["classes"].index(name) for name in table.class_names]
    targets = table.target.copy()
    for own, place in enumerate(places):
        targets[table.target == own] = place
    return targets


