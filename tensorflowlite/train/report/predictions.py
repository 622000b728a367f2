"""What a trained model makes of a data set: which classes it confuses, and its worst mistakes."""

from __future__ import annotations

import copy
import math
import time
from typing import Any

import numpy as np

from ...core.tensor import Tensor
from ...data import DataLoader
from ...ops import random
from .. import batches
from ..metrics import Averages
from .environment import name_of
from .pictures import picture_of
from .steps import rounded

_WORST = 24  # how many mistakes are shown
_POINTS = 1000  # how many samples a picture of a regression has
_CLASSES = 100  # the most of which a table can be read
_LISTED = 100_000  # the most that are known by name
_VALUES = 8  # how many values of a sample that isn't a picture
_NUMBERS = "biuf"


class Unsuitable(Exception):
    """Outputs and targets that are neither of classes nor of numbers; the text says which."""


def look(
    trainer: Any,
    loader: Any,
    part: str,
    names: dict[str, list[str]],
    kind: str | None = None,
    scale: tuple[float, float] = (0.0, 1.0),
    seconds: float = math.inf,
) -> tuple[dict[str, Any] | None, str, Any]:
    """Return the predictions of a data set, why there are none, and its first batch.

    It is the pass of `Trainer.evaluate`; the state of the random numbers and the model's modes are
    as before. It ends after so many ``seconds``.
    """
    states = random.get_states()
    if isinstance(loader, DataLoader):
        # A loader of its own, so that the other's next epoch is what it would have been; and in
        # the order of the data set, so that samples can be found by their numbers.
        loader = copy.copy(loader)
        loader.shuffle = False
    found = Predictions(trainer, part, names, kind, scale)
    first, problem, until = None, "", time.monotonic() + seconds
    try:
        with trainer._without_training():
            for batch in loader:
                first = batch if first is None else first
                inputs, target = batches.split("report", batches.to_device(batch, trainer.device))
                with trainer._precision():
                    output = trainer.model(*inputs)
                    loss = float(trainer.loss(output, target))
                found.measure(loss, output, target)
                if not problem:
                    try:
                        found.add(inputs, output, target)
                    except Unsuitable as error:
                        problem = str(error)
                if time.monotonic() > until:
                    found.cut = True
                    break
    finally:
        random.set_states(states)
    if first is None:
        return None, f"the {part} data gave no batches", None
    return found.describe(problem), problem, first


class Predictions:
    """Predictions batch by batch: counts, points, and the worst samples."""

    def __init__(
        self, trainer: Any, part: str, names: dict[str, list[str]], kind: str | None,
        scale: tuple[float, float],
    ) -> None:  # fmt: skip
        self.trainer, self.part, self.kind, self.scale = trainer, part, kind, scale
        self.classes, self.features = names.get("classes", []), names.get("features", [])
        self.samples = 0
        self.cut = False
        self._averages = Averages()
        self._count = 0  # of classes
        self._confusion = np.zeros((0, 0), np.int64)
        self._points: list[np.ndarray] = []
        self._worst: list[dict[str, Any]] = []

    def measure(self, loss: float, output: Any, target: Any) -> None:
        """Add the loss and the metrics of a batch."""
        count = batches.count(target)
        self._averages.add(count, self.trainer._measure(loss, output, target))

    def add(self, inputs: tuple[Any, ...], output: Any, target: Any) -> None:
        """Add a batch; raise `Unsuitable` where it can't be shown."""
        scores, wanted = _host(output), _host(target)
        if self.kind is None:
            self.kind = self._tell(scores, wanted)
        if self.kind == "classification":
            self._add_classes(inputs, *self._classes(scores, wanted))
        else:
            self._add_numbers(inputs, scores, wanted)
        self.samples += len(wanted)

    # -- what it is ------------------------------------------------------------------------------
    def _tell(self, scores: np.ndarray, wanted: np.ndarray) -> str:
        loss = name_of(self.trainer.loss).lower()
        whole = wanted.dtype.kind in "iub"
        if "binary_cross_entropy" in loss or loss.startswith("bce"):
            return "classification"
        if scores.ndim == 2 and wanted.shape == scores.shape[:1] and whole:
            return "classification"
        if scores.ndim == 2 and wanted.shape == scores.shape and "cross" in loss:
            return "classification"
        if wanted.ndim and scores.size == wanted.size and wanted.size == len(wanted):
            return "regression"
        raise Unsuitable(
            f"predictions are shown of classes, scores (N, C) for N labels, and of one number for "
            f"each sample; the outputs are {scores.shape} and the targets {wanted.shape}"
        )

    def _classes(self, scores: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (N, C) and class indices (N,)."""
        if scores.ndim == 2 and scores.shape[1] > _LISTED:
            raise Unsuitable(
                f"predictions are shown of at most {_LISTED:,} classes; the outputs are "
                f"{scores.shape}"
            )
        scores = scores.astype(np.float64)
        loss = name_of(self.trainer.loss).lower()
        one = scores.ndim == 1 or (scores.ndim == 2 and scores.shape[1] == 1)
        if one and wanted.size == len(scores):
            flat = scores.reshape(-1)
            plain = loss in ("binary_cross_entropy", "bceloss")
            with np.errstate(all="ignore"):
                positive = flat if plain else 1 / (1 + np.exp(-flat))
            return np.stack([1 - positive, positive], 1), (wanted.reshape(-1) > 0.5).astype(int)
        if scores.ndim != 2 or len(wanted) != len(scores) or wanted.ndim > 2:
            raise Unsuitable(
                f"classes need scores (N, C) and N labels; the outputs are {scores.shape} and the "
                f"targets {wanted.shape}"
            )
        if wanted.ndim == 2:
            if "binary" in loss or loss.startswith("bce") or wanted.shape != scores.shape:
                raise Unsuitable(
                    f"several labels of one sample, targets {wanted.shape}, have no confusion "
                    "matrix"
                )
            wanted = wanted.argmax(1)
        with np.errstate(all="ignore"):
            shifted = np.exp(scores - scores.max(1, keepdims=True))
            return shifted / shifted.sum(1, keepdims=True), wanted.astype(np.int64)

    # -- classes ---------------------------------------------------------------------------------
    def _add_classes(self, inputs: Any, chances: np.ndarray, wanted: np.ndarray) -> None:
        count = chances.shape[1]
        if self._count not in (0, count):
            raise Unsuitable(
                f"all batches must have scores of the same classes; the outputs are of {count} "
                f"classes, those before of {self._count}"
            )
        if not self._count and count <= _CLASSES:
            self._confusion = np.zeros((count, count), np.int64)
        self._count = count
        if wanted.size and (wanted.min() < 0 or wanted.max() >= count):
            raise Unsuitable(f"the labels reach outside the {count} classes of the outputs")
        chosen = chances.argmax(1)
        if count <= _CLASSES:
            np.add.at(self._confusion, (wanted, chosen), 1)
        places = np.arange(len(wanted))
        with np.errstate(all="ignore"):
            loss = -np.log(chances[places, wanted])
        wrong = np.flatnonzero(chosen != wanted)
        self._keep(inputs, wrong, loss, lambda place: {
            "true": int(wanted[place]),
            "predicted": int(chosen[place]),
            "chance": rounded(float(chances[place, chosen[place]])),
            "chance_true": rounded(float(chances[place, wanted[place]])),
        })  # fmt: skip

    # -- numbers ---------------------------------------------------------------------------------
    def _add_numbers(self, inputs: Any, scores: np.ndarray, wanted: np.ndarray) -> None:
        if scores.size != wanted.size or wanted.size != len(wanted):
            raise Unsuitable(
                f"numbers need one output and one target for each sample; the outputs are "
                f"{scores.shape} and the targets {wanted.shape}"
            )
        mean, unit = self.scale
        predicted = scores.reshape(-1).astype(np.float64) * unit + mean
        true = wanted.reshape(-1).astype(np.float64) * unit + mean
        self._points.append(np.stack([true, predicted], 1))
        error = np.abs(predicted - true)
        self._keep(inputs, np.arange(len(true)), error, lambda place: {
            "true": rounded(float(true[place])),
            "predicted": rounded(float(predicted[place])),
        })  # fmt: skip

    # -- the worst -------------------------------------------------------------------------------
    def _keep(self, inputs: Any, places: np.ndarray, badness: np.ndarray, about: Any) -> None:
        """Take the worst of a batch among the worst so far: the greatest loss or error first."""
        order = places[np.argsort(-np.nan_to_num(badness[places], nan=np.inf), kind="stable")]
        samples = inputs[0] if inputs else None
        if not isinstance(samples, Tensor) or samples.shape[:1] != badness.shape:
            samples = None  # the batch lies along another axis
        least = self._worst[-1]["rank"] if len(self._worst) == _WORST else None
        for place in order[:_WORST]:
            loss = float(badness[place])
            rank = math.inf if math.isnan(loss) else loss
            if least is not None and rank <= least:
                break
            self._worst.append({
                "index": self.samples + int(place), "loss": rounded(loss), **about(int(place)),
                "rank": rank, "sample": _sample(samples, place),
            })  # fmt: skip
        self._worst.sort(key=lambda one: (-one["rank"], one["index"]))
        del self._worst[_WORST:]

    # -- the end ---------------------------------------------------------------------------------
    def describe(self, problem: str) -> dict[str, Any]:
        """Return what a report's file keeps."""
        measures = {name: rounded(value) for name, value in self._averages.means().items()}
        found: dict[str, Any] = {
            "part": self.part,
            "kind": "" if problem else self.kind,
            "samples": self._averages.samples,
            "cut": self.cut,
            "measures": measures,
            "classes": [],
            "confusion": [],
            "points": [],
            "worst": [],
            "features": [],
        }
        if problem:
            return found
        found["worst"] = [self._shown(one) for one in self._worst]
        found["features"] = self.features[:_VALUES]
        if self.kind == "classification":
            count = self._count
            names = self.classes if len(self.classes) == count else map(str, range(count))
            found["classes"] = [str(name) for name in names]
            if count <= _CLASSES:
                found["confusion"] = self._confusion.tolist()
            return found
        points = np.concatenate(self._points) if self._points else np.zeros((0, 2))
        if len(points):
            with np.errstate(all="ignore"):
                errors = points[:, 1] - points[:, 0]
                spread = float(((points[:, 0] - points[:, 0].mean()) ** 2).sum())
                rest = float((errors**2).sum())
            measures["rmse"] = rounded(math.sqrt(rest / len(points)))
            measures["mean absolute error"] = rounded(float(np.abs(errors).mean()))
            measures["r2"] = rounded(1 - rest / spread) if spread else None
        step = -(-len(points) // _POINTS) or 1
        found["points"] = [[rounded(x), rounded(y)] for x, y in points[::step].tolist()]
        return found

    def _shown(self, one: dict[str, Any]) -> dict[str, Any]:
        sample = one["sample"]
        picture = None if sample is None else picture_of(sample)
        values: list[float | None] = []
        if sample is not None and picture is None and sample.dtype.kind in _NUMBERS:
            values = [rounded(float(value)) for value in sample.reshape(-1)[:_VALUES]]
        kept = {name: value for name, value in one.items() if name not in ("rank", "sample")}
        return {**kept, "picture": picture, "values": values}


def _host(value: Any) -> np.ndarray:
    if not isinstance(value, Tensor):
        raise Unsuitable(f"predictions are shown of tensors; got {type(value).__name__}")
    array = value.detach().cpu().numpy()
    return array if array.dtype.kind in _NUMBERS else array.astype(np.float32)


def _sample(samples: Any, place: Any) -> np.ndarray | None:
    if samples is None:
        return None
    return np.array(samples[int(place)].detach().cpu().numpy())
