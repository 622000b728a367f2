"""A small training with all that a checkpoint must keep, as a process that may be killed.

``python training.py FOLDER WORKERS AMP EPOCHS [POINT COUNT]``: the run in the folder goes on, or
begins. With a point the process kills itself there, at that point's COUNT-th time: "write" in the
middle of a file's content, or the name of a function of ``os``, before it is called.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import Any

import numpy as np

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.data.transforms import (
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomShift,
    ToFloat,
)
from tensorflowlite.nn import functional as F
from tensorflowlite.train import Callback, Checkpoint, EarlyStopping, MetricsFile, Trainer

SAMPLES, BATCH = 64, 16


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(64, 4)

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return self.head(self.drop(self.features(x).reshape(len(x), 64)))


class Average(Callback):
    """An exponential average of the parameters."""

    def __init__(self, model: nn.Module) -> None:
        self.average = optim.swa_utils.AveragedModel(
            model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.9)
        )

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        self.average.update_parameters(trainer.model)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.average.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)


class Say(Callback):
    """Tells the one who kills that the steps have begun."""

    said = False

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        if not self.said:
            self.said = True
            print("steps", flush=True)


def loader(workers: int, training: bool) -> DataLoader:
    random = np.random.default_rng(training)
    labels = random.integers(0, 4, SAMPLES)
    images = random.integers(0, 100, (SAMPLES, 1, 8, 8), dtype=np.uint8)
    images[np.arange(SAMPLES), 0, 2 * labels] += 150
    steps = [ToFloat(), Normalize([0.3], [0.2])]
    if training:
        steps = [RandomShift(1), RandomHorizontalFlip(), *steps]
    return DataLoader(
        TensorDataset(images, labels), BATCH, shuffle=training, num_workers=workers, seed=3,
        transform=Compose(steps),
    )  # fmt: skip


def train(folder: str, workers: int, amp: str, epochs: int) -> None:
    tfl.manual_seed(11)
    model = Network()
    optimizer = optim.AdamW(model.parameters(), lr=0.02)
    trainer = Trainer(
        model,
        optimizer,
        F.cross_entropy,
        ["accuracy"],
        [
            Average(model),
            EarlyStopping(patience=epochs),
            MetricsFile(os.path.join(folder, "metrics.jsonl")),
            Checkpoint(
                os.path.join(folder, "checkpoint.safetensors"),
                os.path.join(folder, "best.safetensors"),
                keep=3,
                every_batches=1,
            ),
            Say(),
        ],
        scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs),
        clip_norm=1.0,
        amp=amp,
        # Grows, and overflows float16, many times in the run.
        scaler=tfl.amp.GradScaler("cpu", growth_interval=3) if amp == "float16" else None,
        resume="auto",
    )
    with loader(workers, training=True) as training:
        trainer.fit(training, loader(0, training=False), epochs=epochs)


def die_at(point: str, count: int) -> None:
    """Make the process kill itself at a call."""
    left = [count]

    def due() -> bool:
        left[0] -= 1
        return left[0] == 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if point == "write":
        fdopen = os.fdopen

        class Half:
            def __init__(self, *given: Any) -> None:
                self.file = fdopen(*given)

            def __enter__(self) -> Half:
                return self

            def __exit__(self, *exception: object) -> None:
                self.file.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(self.file, name)

            def write(self, content: bytes) -> None:
                if due():
                    self.file.write(content[: len(content) // 2])
                    self.file.flush()
                    die()
                self.file.write(content)

        os.fdopen = Half  # type: ignore[assignment, misc]
        return
    real = getattr(os, point)

    def dying(*given: Any) -> Any:
        if due():
            die()
        return real(*given)

    setattr(os, point, dying)


if __name__ == "__main__":
    # A step that can't be recorded, or a checkpoint that is damaged, only warns.
    warnings.filterwarnings("error", message="(fit|resume): ")
    # The overflows that the scaler finds.
    np.seterr(all="ignore")
    where, workers, amp, epochs, *point = sys.argv[1:]
    if point:
        die_at(point[0], int(point[1]))
    train(where, int(workers), amp, int(epochs))
