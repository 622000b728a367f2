"""The rows of whole training steps: sizes, and the work that no implementation can leave out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod
from typing import Any

from .cpu_data import Spec, parameters

FLOAT = 4
# AdamW reads a parameter, its gradient and both moments, and writes all but the gradient.
ADAMW = 7 * FLOAT


@dataclass(frozen=True)
class Row:
    """One row: what is computed, and its share of products and of memory traffic."""

    name: str
    title: str
    suite: str
    spec: Spec
    operations: float  # of the products, forward and backward
    bytes: float  # of the tensors that must be touched, each counted once per pass over it
    headline: bool = False


def _mlp_work(spec: Spec) -> tuple[float, float]:
    """The first layer's input needs no gradient; outputs and their gradients pass once each."""
    pairs = list(itertools.pairwise(spec["widths"]))
    products = [2.0 * spec["batch"] * one * other for one, other in pairs]
    touched = 2 * FLOAT * spec["batch"] * sum(spec["widths"][1:])
    return 3 * sum(products) - products[0], touched + FLOAT * spec["batch"] * spec["widths"][0]


def _cnn_work(spec: Spec) -> tuple[float, float]:
    size, side = spec["batch"], spec["side"]
    first, second = spec["channels"]
    half, quarter = side // 2, side // 4
    convolutions = [2.0 * 9 * first * side**2, 2.0 * 9 * first * second * half**2]
    flat = second * quarter**2
    linear = [2.0 * flat * spec["hidden"], 2.0 * spec["hidden"] * 10]
    products = size * (3 * sum(convolutions + linear) - convolutions[0])
    maps = first * (side**2 + half**2) + second * (half**2 + quarter**2) + spec["hidden"] + 10
    return products, FLOAT * size * (2.0 * maps + side**2)


def _gpt_work(spec: Spec) -> tuple[float, float]:
    width, length, layers = spec["width"], spec["length"], spec["layers"]
    tokens = spec["batch"] * length
    linear = tokens * (2.0 * 12 * width**2 * layers + 2.0 * width * spec["vocabulary"])
    # Causal: half of the scores. The backward computes them again and has four more products.
    scores = layers * tokens * length * width  # one product, of which half is needed
    # norm, q k v, attention, sum; norm, hidden before and after GELU, sum: each with its gradient
    touched = tokens * (layers * width * (1 + 3 + 1 + 1 + 1 + 4 + 4 + 1) + 2 * width)
    touched += tokens * spec["vocabulary"]
    return 3 * linear + 7.0 * scores, 2.0 * FLOAT * touched


def work(spec: Spec) -> tuple[float, float]:
    """Return the floating-point operations of a step's products and the bytes it must touch."""
    products, touched = {"mlp": _mlp_work, "cnn": _cnn_work, "gpt": _gpt_work}[spec["model"]](spec)
    count = sum(prod(array.shape) for array in parameters(spec).values())
    return products, touched + count * (ADAMW + FLOAT)  # the gradient is written once


def step(name: str, title: str, headline: bool = False, **spec: Any) -> Row:
    """Return a row of a whole step."""
    spec = {"kind": "step", "loss": "cross_entropy", **spec}
    return Row(name, title, "steps", spec, *work(spec), headline=headline)


def mlp(name: str, title: str, batch: int, widths: tuple[int, ...], activation: str = "relu",
        loss: str = "cross_entropy", headline: bool = False, **rest: Any) -> Row:  # fmt: skip
    """Return a row of a step of a multilayer perceptron."""
    return step(name, title, headline, model="mlp", batch=batch, widths=tuple(widths),
                activation=activation, loss=loss, **rest)  # fmt: skip


def cnn(batch: int) -> Row:
    return step(
        f"cnn-{batch}", f"CNN 32-64-128-10 on 28×28, batch {batch}", True, model="cnn",
        batch=batch, channels=(32, 64), hidden=128, side=28,
    )  # fmt: skip


def gpt(width: int, batch: int, length: int, heads: int) -> Row:
    return step(
        f"gpt-{width}", f"GPT, 4 layers, width {width}, {batch}×{length} tokens", True,
        model="gpt", batch=batch, length=length, heads=heads, width=width, layers=4, vocabulary=65,
    )  # fmt: skip


WIDTHS = (784, 256, 128, 10)
ROWS = (
    *(
        mlp(f"mlp-{batch}", f"MLP 784-256-128-10, batch {batch}", batch, WIDTHS, headline=True)
        for batch in (16, 64, 256, 1024)
    ),
    mlp("mlp-gelu", "MLP 512-2048-512, GELU, batch 512", 512, (512, 2048, 512), "gelu",
        "mse_loss", headline=True),
    cnn(32), cnn(128),
    gpt(128, 8, 64, 4), gpt(256, 8, 128, 8),
)  # fmt: skip

# The same networks, as small as they go: for tests, and to load what a library loads late.
TINY: dict[str, Spec] = {
    "mlp": {"widths": (6, 5, 4), "batch": 3},
    "cnn": {"channels": (2, 3), "hidden": 4, "side": 8, "batch": 2},
    "gpt": {"width": 8, "length": 4, "heads": 2, "layers": 1, "vocabulary": 5, "batch": 2},
}


def tiny(row: Row) -> Row:
    """Return a row of steps in its smallest sizes."""
    spec = {**row.spec, **TINY[row.spec["model"]]}
    return Row(row.name, f"{row.title} (tiny)", row.suite, spec, *work(spec), headline=row.headline)
