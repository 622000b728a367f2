"""The classic network: two inputs, a hidden layer of three sigmoid units, one output.

Run as a file of its own (``runpy``), so that a story shows these lines as it shows a user's.
"""

from __future__ import annotations

from typing import Any

import tensorflowlite as tfl

# Exclusive or: which of the two, but not both.
inputs = tfl.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
targets = tfl.tensor([[0.0], [1.0], [1.0], [0.0]])


def start(seed: int) -> list[Any]:
    """Return the parameters at the start: random weights, biases of zero."""
    tfl.manual_seed(seed)
    parameters = [tfl.randn(2, 3), tfl.zeros(3), tfl.randn(3, 1), tfl.zeros(1)]
    return [p.requires_grad_() for p in parameters]


def train(loss: str, steps: int, rate: float, w1: Any, b1: Any, w2: Any, b2: Any) -> list[float]:
    """Train by gradient descent, written out; return the losses."""
    losses = []
    for _ in range(steps):
        # Forward pass: each layer is a weighted sum, then a sigmoid.
        hidden = tfl.sigmoid(inputs @ w1 + b1)
        output = tfl.sigmoid(hidden @ w2 + b2)
        # Loss: how far the outputs are from the targets.
        error = mean_squared_error(output) if loss == "mse" else cross_entropy(output)
        # Backward pass: the chain rule, from the loss to every parameter.
        error.backward()
        # Update: a step down the slope.
        with tfl.no_grad():
            w1 -= rate * w1.grad
            b1 -= rate * b1.grad
            w2 -= rate * w2.grad
            b2 -= rate * b2.grad
        w1.grad = b1.grad = w2.grad = b2.grad = None
        losses.append(float(error))
    return losses


def mean_squared_error(output: Any) -> Any:
    """Return the mean of the squared differences."""
    return tfl.square(output - targets).mean()


def cross_entropy(output: Any) -> Any:
    """Return the mean of -log of the probability that the network gave to what is right."""
    right = targets * tfl.log(output)
    wrong = (1 - targets) * tfl.log(1 - output)
    return -(right + wrong).mean()
