"""Stories of tensors on another device: read to the host, with the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.nn import functional as F
from tests import backends


def story_on(device):
    tfl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x, y = tfl.randn(5, 3), tfl.tensor([0, 1, 0, 1, 1])
    model.to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = x.to(device), y.to(device)
    with tfl.explain() as story:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return story


def numbers(story):
    """Return all numbers of the arrays that are told whole, in order."""
    found = []

    def look(part):
        if isinstance(part, dict):
            found.extend(part.get("values", []) if "dtype" in part else [])
            for one in part.values():
                look(one)
        elif isinstance(part, list):
            for one in part:
                look(one)

    look(story.data["iterations"])
    return found


def test_the_same_story_on_every_device(backend: backends.TestBackend, tmp_path: Path) -> None:
    story, on_host = story_on(backend.device), story_on("cpu")
    (iteration,), (wanted,) = story.data["iterations"], on_host.data["iterations"]
    names = [call["operation"] for call in iteration["calls"]]
    assert names == [call["operation"] for call in wanted["calls"]]
    assert [one["parameter"] for one in iteration["updates"]] == [
        one["parameter"] for one in wanted["updates"]
    ]
    assert numbers(story) == pytest.approx(numbers(on_host), rel=1e-4, abs=1e-6)
    assert {one["state"] for one in story.data["reasons"]} == {"healthy"}
    assert not story.data["notes"]
    json.loads(story.to_json())
    story.to_html(tmp_path / "story.html")
