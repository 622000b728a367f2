"""A training that tells what it holds, as a process: ``python wear.py NAME STEPS WARM_UP``.

It prints two lines of JSON: what is held after the warm-up, and after so many steps more.
"""

from __future__ import annotations

import gc
import glob
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.core.graph import Node
from tensorflowlite.data import DataLoader, TensorDataset, transforms
from tensorflowlite.nn import functional as F
from tensorflowlite.train import Trainer

BATCH = 32


def perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.LayerNorm(128), nn.Linear(128, 10)
    )


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(16, 16, 3), nn.GELU(), nn.Flatten(), nn.Dropout(0.1),
        nn.Linear(64, 10),
    )  # fmt: skip


def data() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.standard_normal((320, 64), np.float32), draw.integers(0, 10, 320)


def steps(model: nn.Module, jit: bool) -> Iterator[None]:
    """Train for ever on batches of this process."""
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    x, y = map(tfl.tensor, data())

    def step(x: tfl.Tensor, y: tfl.Tensor) -> tfl.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = tfl.jit(step) if jit else step
    while True:
        for first in range(0, 320, BATCH):
            run(x[first : first + BATCH], y[first : first + BATCH]).item()
            yield


def epochs(workers: int) -> Iterator[None]:
    """Train for ever by a `Trainer`, from a loader: a new run every five epochs."""
    x, y = data()
    ours = TensorDataset(x.reshape(-1, 1, 8, 8), y)
    transform = transforms.Compose([transforms.RandomShift(1), transforms.RandomHorizontalFlip()])
    with DataLoader(
        ours, BATCH, shuffle=True, num_workers=workers, transform=transform, seed=1
    ) as loader:
        model = nn.Sequential(nn.Flatten(), convolutions())
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        trainer = Trainer(model, optimizer, F.cross_entropy, ["accuracy"])
        while True:
            trainer.fit(loader, epochs=5)
            yield from [None] * 5 * len(loader)


def abandoned() -> Iterator[None]:
    """Make loaders with a worker, take a batch of each, and leave them to the garbage collector."""
    x, y = data()
    while True:
        loader = DataLoader(TensorDataset(x, y), BATCH, num_workers=1)
        next(iter(loader))
        del loader
        yield from [None] * 20


def kept() -> Iterator[None]:
    """Train, and keep each loss with its graph: what the test must find."""
    x, losses = tfl.ones((4, 8), requires_grad=True), []
    while True:
        losses.append((x * 2).sum())
        yield


WORLDS: dict[str, Callable[[], Iterator[None]]] = {
    "perceptron": lambda: steps(perceptron(), jit=False),
    "perceptron, jit": lambda: steps(perceptron(), jit=True),
    "convolutions": lambda: steps(convolutions(), jit=False),
    "convolutions, jit": lambda: steps(convolutions(), jit=True),
    "epochs": lambda: epochs(0),
    "epochs, 2 workers": lambda: epochs(2),
    "abandoned loaders": abandoned,
    "kept losses": kept,
}


def held() -> dict[str, float]:
    """Return how much of each thing this process holds."""
    gc.collect()
    objects = gc.get_objects()
    kinds = Counter(
        name for kind, name in ((tfl.Tensor, "tensors"), (Node, "nodes"))
        for one in objects if isinstance(one, kind)
    )  # fmt: skip
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return {
        "objects": len(objects),
        "tensors": kinds["tensors"],
        "nodes": kinds["nodes"],
        "threads": len(os.listdir("/proc/self/task")),
        "python threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
        "segments": len(glob.glob(f"/dev/shm/tfl{os.getpid():x}_*")),
        "resident KiB": int(lines["VmRSS"].split()[0]),
    }


def main(name: str, count: int, warm_up: int) -> None:
    tfl.manual_seed(0)
    world = WORLDS[name]()
    held()  # what it needs itself is there from now on
    for _ in range(warm_up):
        next(world)
    print(json.dumps(held()), flush=True)
    for _ in range(count):
        next(world)
    print(json.dumps(held()), flush=True)
    world.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
