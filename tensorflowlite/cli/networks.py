"""The networks of the command, made from a description that ``config.json`` keeps."""

from __future__ import annotations

import math
from typing import Any

from .. import nn
from ..errors import ArgumentError


def describe(kind: str, inputs: tuple[int, ...], outputs: int, dropout: float) -> dict[str, Any]:
    """Return the description of a network, for `build`."""
    if kind == "cnn" and (len(inputs) != 3 or min(inputs[1:]) < 4):
        raise ArgumentError(
            f"train: --model cnn must have images of at least 4 x 4 pixels, got samples of shape "
            f"{inputs}; use --model mlp"
        )
    return {"kind": kind, "inputs": list(inputs), "outputs": outputs, "dropout": dropout}


def build(description: dict[str, Any]) -> nn.Module:
    """Return the network of a description, with fresh parameters."""
    inputs, outputs = tuple(description["inputs"]), description["outputs"]
    make = _cnn if description["kind"] == "cnn" else _mlp
    return make(inputs, outputs, description["dropout"])


def _mlp(inputs: tuple[int, ...], outputs: int, dropout: float) -> nn.Module:
    features = math.prod(inputs)
    wide = 256 if features >= 64 else 64
    layers: list[nn.Module] = [nn.Flatten()]
    for size in (wide, wide // 2):
        layers += [nn.Linear(features, size), nn.ReLU(), nn.Dropout(dropout)]
        features = size
    return nn.Sequential(*layers, nn.Linear(features, outputs))


def _cnn(inputs: tuple[int, ...], outputs: int, dropout: float) -> nn.Module:
    channels, height, width = inputs
    layers: list[nn.Module] = []
    for size in (24, 48):
        layers += [
            nn.Conv2d(channels, size, 3, padding=1, bias=False),
            nn.BatchNorm2d(size),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout / 2),
        ]
        channels, height, width = size, height // 2, width // 2
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(channels * height * width, 128),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(128, outputs),
    )
