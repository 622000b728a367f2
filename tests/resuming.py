"""Small runs that stop, crash or get a signal, for the tests of resuming."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.data.transforms import Normalize
from tensorflowlite.nn import functional as F
from tensorflowlite.train import Callback, Checkpoint, Trainer
from tensorflowlite.train.checkpoint import read_checkpoint

BATCHES = 6


def loader(seed: int = 5, batch_size: int = 8, **options: Any) -> DataLoader:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 48)
    points = draw.normal(size=(48, 3)) + labels[:, np.newaxis]
    data = TensorDataset(points.astype(np.float32), labels)
    return DataLoader(data, batch_size, shuffle=True, seed=seed, **options)


def make(*callbacks: Callback, seed: int = 0, **options: Any) -> Trainer:
    tfl.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
    )
    optimizer = optim.AdamW(model.parameters(), lr=0.02)
    options = {
        "scheduler": optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5),
        "jit": False,
        **options,
    }
    return Trainer(model, optimizer, F.cross_entropy, ["accuracy"], callbacks, **options)


def plain(tree: Any) -> Any:
    """Return a state without how long things took, its tensors as bytes."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items() if key != "seconds"}
    if isinstance(tree, (list, tuple)):
        return [plain(value) for value in tree]
    return tree.numpy().tobytes() if isinstance(tree, tfl.Tensor) else tree


class Stop(Exception):
    """What ends a run as a crash would."""


class Crash(Callback):
    """Raises after so many batches, when the checkpoints are written."""

    priority = 90

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stop


class Send(Callback):
    """Sends signals to its own process after so many batches."""

    def __init__(self, batches: int, *numbers: int) -> None:
        self.left, self.numbers = batches, numbers

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            for number in self.numbers:
                signal.raise_signal(number)


def check_the_loader_goes_on(folder: Path, workers: int) -> None:
    """Without making the batches that are done once more, also with augmentation and workers."""
    path = folder / "checkpoint.safetensors"
    options: dict[str, Any] = {"num_workers": workers, "transform": Normalize([0, 0, 0], [1, 1, 2])}
    whole = make(Checkpoint(path))
    whole.fit(loader(**options), epochs=2)
    expected = plain(read_checkpoint(path))
    with pytest.raises(Stop), loader(**options) as first:
        make(Checkpoint(path, every_batches=1), Crash(10)).fit(first, epochs=2)
    with loader(**options) as second:
        made = []
        fetch = second._fetch
        second._fetch = lambda *given: made.append(given) or fetch(*given)  # type: ignore[assignment, func-returns-value]
        make(Checkpoint(path), seed=9).fit(second, epochs=2, resume=path)
        assert len(made) == (0 if workers else 2)
    assert plain(read_checkpoint(path)) == expected
