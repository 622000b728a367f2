"""Models that threads train at once: each has the bits of training alone."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.nn import functional as F
from tensorflowlite.ops import random
from tensorflowlite.train import Trainer

STEPS = 12
Train = Callable[[], list[bytes]]


@pytest.fixture(autouse=True)
def in_turns() -> Iterator[None]:
    """Let threads take turns often; none may have to record again what it had recorded."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="jit:")
        yield
    sys.setswitchinterval(before)


def training(seed: int, jit: bool, p: float = 0.0) -> Train:
    """Return a training whose model and data are made now, in this thread."""
    tfl.manual_seed(seed)
    kinds = [
        lambda: nn.Sequential(nn.Linear(40, 60), nn.GELU(), nn.LayerNorm(60), nn.Linear(60, 5)),
        lambda: nn.Sequential(
            nn.Unflatten(1, (1, 5, 8)), nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 5),
        ),
    ]  # fmt: skip
    model = nn.Sequential(kinds[seed % 2](), nn.Dropout(p))
    optimizer = (optim.AdamW, optim.SGD)[seed // 2 % 2](model.parameters(), lr=0.01)
    draw = np.random.default_rng(seed)
    x = tfl.tensor(draw.standard_normal((64, 40)).astype(np.float32))
    y = tfl.tensor(draw.integers(0, 5, 64))

    def step(x: tfl.Tensor, y: tfl.Tensor) -> tfl.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def train() -> list[bytes]:
        run: Any = tfl.jit(step) if jit else step
        losses = [run(x, y).detach().numpy().tobytes() for _ in range(STEPS)]
        state = [value.detach().numpy().tobytes() for value in model.state_dict().values()]
        return losses + state

    return train


def at_once(trainings: list[Train]) -> list[Any]:
    """Run each in a thread of its own; raise what one raises."""
    found: list[Any] = [None] * len(trainings)
    start = threading.Barrier(len(trainings))

    def run(place: int, train: Train) -> None:
        start.wait()
        try:
            found[place] = train()
        except BaseException as error:
            found[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(trainings)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found


def check_each_alone(count: int, jit: bool, times: int = 1) -> None:
    alone = [training(seed, jit)() for seed in range(count)]
    for _ in range(times):
        assert at_once([training(seed, jit) for seed in range(count)]) == alone


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_each_has_the_bits_of_training_alone(jit: bool) -> None:
    """Of four, and more often: tests/endurance."""
    check_each_alone(2, jit)


def test_one_recorded_and_one_not() -> None:
    alone = [training(seed, False)() for seed in range(4)]
    assert at_once([training(seed, seed % 2 == 0) for seed in range(4)]) == alone


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_dropout_draws_from_one_generator(jit: bool) -> None:
    """Threads share it: each draw has a stream of its own, whichever thread it comes from."""
    trainings = [training(seed, jit, 0.3) for seed in range(4)]
    tfl.manual_seed(7)
    at_once(trainings)
    assert random.get_state() == [7, 4 * STEPS]


def trainer(seed: int) -> Train:
    """Return the run of a Trainer, which reads the random states at each epoch."""
    tfl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 3))
    made = Trainer(model, optim.Adam(model.parameters(), lr=0.01), F.cross_entropy, jit=True)
    draw = np.random.default_rng(seed)
    x = tfl.tensor(draw.standard_normal((40, 20)).astype(np.float32))
    y = tfl.tensor(draw.integers(0, 3, 40))

    def train() -> list[bytes]:
        made.fit([(x[:20], y[:20]), (x[20:], y[20:])], [(x, y)], epochs=8)
        return [value.detach().numpy().tobytes() for value in model.state_dict().values()]

    return train


def test_trainers_record_at_once() -> None:
    alone = [trainer(seed)() for seed in range(3)]
    for _ in range(5):
        assert at_once([trainer(seed) for seed in range(3)]) == alone


def test_random_states_are_read_and_set_while_another_thread_records() -> None:
    recording, done = threading.Event(), threading.Event()

    def step(x: tfl.Tensor) -> tfl.Tensor:
        recording.set()
        done.wait(20)
        return x + tfl.rand(3)

    run = tfl.jit(step)
    tfl.manual_seed(7)
    done.set()
    run(tfl.zeros(3))
    recording.clear()
    done.clear()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(run(tfl.zeros(3)).tolist()))
    thread.start()
    try:
        assert recording.wait(20)
        assert tfl.runtime.shared.captures
        states = random.get_states()
        assert states == {"cpu": [7, 1]} and random.get_state() == [7, 1]
        random.set_state([7, 5])
        assert random.get_states() == {"cpu": [7, 5]}
        random.set_states(states)
        kept = random.snapshot()
        random.set_state([7, 9])
        random.go_back(kept)
    finally:
        done.set()
        thread.join()
    assert random.get_state() == [7, 2]
    random.set_state([7, 1])
    assert found == [tfl.rand(3).tolist()]
