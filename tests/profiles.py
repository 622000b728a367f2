"""A small training, profiled, and what holds of every profile."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.debug.profile_events import Event
from tensorflowlite.debug.profile_table import rows_of
from tensorflowlite.nn import functional as F

HERE = __file__


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        hidden = self.first(x).relu()
        return tfl.exp(self.second(hidden))


EXP = Block.forward.__code__.co_firstlineno + 2


def network(seed: int = 0) -> nn.Module:
    tfl.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), Block())


def batch() -> tuple[tfl.Tensor, tfl.Tensor]:
    rng = np.random.default_rng(3)
    x = tfl.tensor(rng.standard_normal((4, 5)), dtype="float32")
    return x, tfl.tensor(rng.integers(0, 3, 4))


def step_of(model: nn.Module, optimizer: optim.Optimizer) -> Any:
    def step(x: tfl.Tensor, y: tfl.Tensor) -> tfl.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def profiled_step(steps: int = 2) -> tfl.profile:
    model = network()
    step = step_of(model, optim.Adam(model.parameters()))
    with tfl.profile() as prof:
        for _ in range(steps):
            step(*batch())
            prof.step()
    return prof


def check_sums(prof: tfl.profile) -> None:
    """Events lie in their parents, one beside the other; self times add up to the whole."""
    events = prof.events
    ends: dict[int, int] = {}
    inside = [0] * len(events)
    for one in events:
        assert one.duration >= 0 and one.self_duration >= 0
        if one.parent is None:
            assert one.kind == "thread"
            continue
        parent = events[one.parent]
        assert parent.thread == one.thread
        assert one.start >= ends.get(one.parent, parent.start)
        ends[one.parent] = one.start + one.duration
        assert ends[one.parent] <= parent.start + parent.duration
        inside[one.parent] += one.duration
    for one, part in zip(events, inside, strict=True):
        assert one.self_duration == one.duration - part
    whole = sum(one.duration for one in events if one.parent is None)
    assert prof.total == whole == sum(one.self_duration for one in events)
    for by in ("module", "operation", "line"):
        rows = rows_of(events, by)
        assert sum(row.own for row in rows) == whole
        assert all(row.own <= row.total <= whole for row in rows)


def of_kind(prof: tfl.profile, kind: str, name: str = "") -> list[Event]:
    return [one for one in prof.events if one.kind == kind and name in ("", one.name)]
