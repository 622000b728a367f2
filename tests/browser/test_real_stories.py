"""Recorded training steps in a browser: the page holds the story's numbers, from end to end."""

from __future__ import annotations

import json
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.cli import classic
from tensorflowlite.nn import functional as F
from tensorflowlite.story import Story

from .browsing import announced, opened, steps_of, violations


def trained(model: nn.Module, x: Any, steps: int) -> Story:
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    target = tfl.arange(x.shape[0]) % 2
    with tfl.explain(title=type(model).__name__) as story:
        for _ in range(steps):
            optimizer.zero_grad()
            output: Any = model(x)
            F.cross_entropy(output.reshape(len(x), -1)[:, :2], target).backward()
            optimizer.step()
    return story


def network() -> Story:
    return trained(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), tfl.randn(5, 3), 3)


def images() -> Story:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(27, 2),
    )  # fmt: skip
    return trained(model, tfl.randn(4, 1, 6, 6), 2)


def transformer() -> Story:
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return trained(block, tfl.randn(2, 3, 8), 2)


def second_order() -> Story:
    w = tfl.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
    x = tfl.tensor([[1.0, 2.0]], requires_grad=True)
    with tfl.explain(title="A slope's slope") as story:
        (slope,) = tfl.autograd.grad(tfl.tanh(x @ w).sum(), [x], create_graph=True)
        (slope * slope).sum().backward()
    return story


def by_hand() -> Story:
    names = runpy.run_path(classic.__file__, run_name="classic")
    with tfl.explain(title="Steps by hand") as story:
        names["train"]("cross_entropy", 2, 1.0, *names["start"](0))
    return story


@pytest.mark.parametrize("make", [network, images, transformer, second_order, by_hand])
def test_recorded_steps_from_end_to_end(
    browser: Browser, tmp_path: Path, make: Callable[[], Story]
) -> None:
    tfl.manual_seed(0)
    story = make()
    path = tmp_path / "story.html"
    story.to_html(path)
    with opened(browser, path.as_uri()) as page:
        held = page.evaluate("document.querySelector('script[type=\"application/json\"]').text")
        assert json.loads(held) == json.loads(story.to_json())
        iteration = story.data["iterations"][0]
        shown = [call for call in iteration["calls"] if call["phase"] != "update"]
        total = len(shown) + 1 + len(iteration["flows"]) + len(iteration["updates"])
        assert steps_of(page) == total
        texts = [announced(page)]
        for _ in range(total - 1):
            page.keyboard.press("ArrowRight")
            texts.append(announced(page))
        assert [text.partition(",")[0] for text in texts] == [
            f"Step {i + 1} of {total}" for i in range(total)
        ]
        assert violations(page) == []


def test_the_page_of_two_million_parameters_opens_in_a_second(
    browser: Browser, tmp_path: Path
) -> None:
    """Printed, and held to five times that: other work on the machine may take its time."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(65, 200)
            self.blocks = nn.ModuleList(
                [nn.TransformerEncoderLayer(200, 4, 800, batch_first=True) for _ in range(4)]
            )
            self.head = nn.Linear(200, 65)

        def forward(self, x: Any) -> Any:
            h: Any = self.embedding(x)
            for block in self.blocks:
                h = block(h)
            return self.head(h)

    model = Model()
    count = sum(p.size for p in model.parameters())
    optimizer = optim.AdamW(model.parameters())
    x = tfl.randint(0, 65, (2, 16))
    with tfl.explain() as story:
        for _ in range(3):
            output: Any = model(x)
            F.cross_entropy(output.reshape(-1, 65), x.reshape(-1)).backward()
            optimizer.step()
    path = tmp_path / "story.html"
    story.to_html(path)
    assert count > 1_900_000 and path.stat().st_size < 3_000_000
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        with opened(browser, path.as_uri()) as page:
            page.wait_for_selector("svg")
            taken.append(time.perf_counter() - started)
    print(f"\n{count:,} parameters, {path.stat().st_size:,} bytes: open in {min(taken):.2f} s")
    assert min(taken) < 5
