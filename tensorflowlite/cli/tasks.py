"""The data of the command's tasks: read, split, normalised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import data
from ..data import transforms
from ..errors import DataError

Pair = tuple[np.ndarray, np.ndarray]
_TEST, _VALIDATION = 0.2, 0.1  # of all samples; of those that aren't the test's


@dataclass(frozen=True)
class Task:
    """What a run trains on and how its results are measured.

    Attributes
    ----------
    train, validation, test
        Inputs and targets. What is random about the inputs is done to ``train`` alone.
    augment, prepare
        What a batch of training goes through, and one of the others.
    outputs : int
        The number of classes; 1 for regression.
    config : dict
        What is needed to predict: normalisation, names of the classes and features.
    """

    train: Pair
    validation: Pair
    test: Pair
    augment: Callable[..., np.ndarray]
    prepare: Callable[..., np.ndarray]
    outputs: int
    config: dict[str, Any]

    @property
    def regression(self) -> bool:
        """Whether a number is predicted rather than a class."""
        return self.config["classes"] is None


def read_digits(seed: int) -> Task:
    """The UCI digits of scikit-learn."""
    images, labels = data.load_digits()
    return _images("digits", (images, labels), None, seed, scale=1.0, pixels=1)


def read_idx(folder: str, seed: int) -> Task:
    """A folder of IDX files; a single pair is split for the test as well."""
    found = data.read_idx_folder(folder)
    train = (found.train[0][:, np.newaxis], found.train[1])
    test = None if found.test is None else (found.test[0][:, np.newaxis], found.test[1])
    if test is not None and train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(
            "train idx: the images for training and for testing must have one size, got "
            f"{train[0].shape[2:]} and {test[0].shape[2:]}; '{folder}' mixes data sets"
        )
    integers = train[0].dtype.kind in "ui"
    scale = 1.0 / float(np.iinfo(train[0].dtype).max) if integers else 1.0
    return _images("idx", train, test, seed, scale=scale, pixels=2)


def _images(
    name: str, whole: Pair, test: Pair | None, seed: int, *, scale: float, pixels: int
) -> Task:
    classes = int(max(whole[1].max(), -1 if test is None else test[1].max())) + 1
    if classes < 2 or whole[1].min() < 0:
        raise DataError(
            f"train {name}: the labels must be class indices from 0 with at least two classes, got "
            f"labels from {whole[1].min()} to {classes - 1}"
        )
    if test is None:
        whole, test = _split(name, whole, _TEST, seed, stratify=True)
    train, validation = _split(name, whole, _VALIDATION, seed + 1, stratify=True)
    to_float = transforms.ToFloat(scale)
    normalize = transforms.Normalize.fit(to_float(train[0]))
    # Of small pictures a shift of two pixels moves the digit out of sight.
    shift = transforms.RandomShift(min(pixels, min(train[0].shape[2:]) // 8))
    return Task(
        train, validation, test,
        augment=transforms.Compose([shift, to_float, normalize]),
        prepare=transforms.Compose([to_float, normalize]),
        outputs=classes,
        config={
            "classes": [str(index) for index in range(classes)],
            "scale": scale,
            "mean": normalize.mean.tolist(),
            "std": normalize.std.tolist(),
        },
    )  # fmt: skip


def read_csv(path: str, target: str, kind: str | None, seed: int) -> Task:
    """A table; its features are standardised, and so is a target of numbers."""
    table = data.read_csv(path, target, task=kind)
    classification = table.class_names is not None
    whole = (table.features, table.target)
    whole, test = _split("csv", whole, _TEST, seed, stratify=classification)
    train, validation = _split("csv", whole, _VALIDATION, seed + 1, stratify=classification)
    normalize = transforms.Normalize.fit(train[0])
    config: dict[str, Any] = {
        "features": list(table.feature_names),
        "target": table.target_name,
        "classes": None if table.class_names is None else list(table.class_names),
        "mean": normalize.mean.tolist(),
        "std": normalize.std.tolist(),
    }
    outputs = len(table.class_names or ()) or 1
    if not classification:
        scale = transforms.Normalize.fit(train[1][:, np.newaxis])
        config |= {"target_mean": float(scale.mean[0]), "target_std": float(scale.std[0])}
        train, validation, test = (
            (features, scale(values[:, np.newaxis])[:, 0])
            for features, values in (train, validation, test)
        )
    prepare = transforms.Compose([normalize])
    return Task(train, validation, test, prepare, prepare, outputs, config)


def _split(name: str, whole: Pair, share: float, seed: int, *, stratify: bool) -> tuple[Pair, Pair]:
    """Take a share of the samples apart, at random; classes in proportion."""
    count = len(whole[0])
    taken = round(count * share)
    if taken < 1:
        raise DataError(
            f"train {name}: the data must have enough samples for a training, a validation and a "
            f"test part, got {count} to split; 20 is the least"
        )
    labels = whole[1] if stratify else None
    parts = data.random_split(range(count), [count - taken, taken], seed, stratify=labels)
    first, second = (part.indices for part in parts)
    return (whole[0][first], whole[1][first]), (whole[0][second], whole[1][second])


def read_task(task: str, source: dict[str, Any], seed: int) -> Task:
    """Read the data of a task; ``source`` is what the command line says about it."""
    if task == "digits":
        return read_digits(seed)
    if task == "idx":
        return read_idx(source["data"], seed)
    return read_csv(source["data"], source["target"], source["kind"], seed)


def absolute(source: dict[str, Any]) -> dict[str, Any]:
    """Return the source with a path that stays right in another folder."""
    if "data" in source:
        return {**source, "data": str(Path(source["data"]).resolve())}
    return source
