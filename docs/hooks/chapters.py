"""The recorded steps in the chapters on backpropagation: a function makes each page's story.

They train the network of ``docs/backpropagation/index.md``, whose numbers the chapters follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.nn import functional as F

X, T = [[1.0, 0.5]], [[1.0, 0.0]]
PARAMETERS = ([[0.1, 0.4], [-0.3, 0.2]], [0.1, -0.1], [[0.5, -0.2], [0.3, 0.6]], [0.0, 0.1])


def network() -> tuple[nn.Module, tfl.Tensor, tfl.Tensor]:
    """The chapters' network, its sample and what its outputs should be."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2), nn.Sigmoid())
    model = model.to(tfl.float64)
    for parameter, values in zip(model.parameters(), PARAMETERS, strict=True):
        parameter.data = tfl.tensor(values, dtype=tfl.float64)
    x, t = (tfl.tensor(values, dtype=tfl.float64) for values in (X, T))
    return model, x, t


def forward() -> Any:
    """The forward pass alone."""
    model, x, _ = network()
    with tfl.explain(title="Forward pass") as story:
        model(x)
    return story


def loss() -> Any:
    """The forward pass and the loss."""
    model, x, t = network()
    with tfl.explain(title="Loss") as story:
        F.mse_loss(model(x), t)
    return story


def backward() -> Any:
    """The backward pass, without an update."""
    model, x, t = network()
    with tfl.explain(title="Backward pass") as story:
        F.mse_loss(model(x), t).backward()
    return story


def training(title: str, steps: int, make: Callable[..., Any], **settings: Any) -> Any:
    """Some steps of an optimizer."""
    model, x, t = network()
    optimizer = make(model.parameters(), **settings)
    with tfl.explain(title=title) as story:
        for _ in range(steps):
            optimizer.zero_grad()
            F.mse_loss(model(x), t).backward()
            optimizer.step()
    return story


def update() -> Any:
    """A step of Adam."""
    return training("Update", 1, optim.Adam, lr=0.1)


def iteration() -> Any:
    """Five steps of gradient descent."""
    return training("Iteration", 5, optim.SGD, lr=0.5)


def completion() -> Any:
    """Two steps with weight decay."""
    return training("Weight decay", 2, optim.AdamW, lr=0.1, weight_decay=0.1)


STORIES = {
    one.__name__: one for one in (forward, loss, backward, update, iteration, completion)
}  # fmt: skip
