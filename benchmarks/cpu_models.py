"""The networks of the step rows, written once for PyTorch's and our names.

``lib`` is the library itself, ``torch`` or ``tensorflowlite``: only what both know is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from .cpu_data import Spec


def build(lib: Any, spec: Spec) -> Any:
    """Return the network of a step."""
    return {"mlp": mlp, "cnn": cnn, "gpt": gpt}[spec["model"]](lib, spec)


def loss_of(lib: Any, spec: Spec) -> Callable[[Any, Any], Any]:
    """Return the loss function of a step, of the network's output and the targets."""
    functional = lib.nn.functional
    if spec["model"] != "gpt":
        return getattr(functional, spec["loss"])

    def loss(logits: Any, targets: Any) -> Any:
        return functional.cross_entropy(logits.reshape(-1, spec["vocabulary"]), targets)

    return loss


def mlp(lib: Any, spec: Spec) -> Any:
    nn = lib.nn
    activation = {"relu": nn.ReLU, "gelu": nn.GELU}[spec["activation"]]
    layers: list[Any] = []
    for one, other in itertools.pairwise(spec["widths"]):
        layers += [nn.Linear(one, other), activation()]
    return nn.Sequential(*layers[:-1])


def cnn(lib: Any, spec: Spec) -> Any:
    nn = lib.nn
    first, second = spec["channels"]
    side = spec["side"] // 4
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * side * side, spec["hidden"]), nn.ReLU(),
        nn.Linear(spec["hidden"], 10),
    )  # fmt: skip


def gpt(lib: Any, spec: Spec) -> Any:
    nn, functional = lib.nn, lib.nn.functional
    width, heads = spec["width"], spec["heads"]

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.project = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width)
            self.up = nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)

        def attention(self, x: Any) -> Any:
            batch, length, _ = x.shape
            shape = (batch, length, heads, width // heads)
            q, k, v = (part.reshape(shape).swapaxes(1, 2) for part in self.qkv(x).chunk(3, -1))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.project(y.swapaxes(1, 2).reshape(batch, length, width))

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.down(functional.gelu(self.up(self.norm2(x))))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(spec["vocabulary"], width)
            self.position = nn.Embedding(spec["length"], width)
            self.blocks = nn.ModuleList([Block() for _ in range(spec["layers"])])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, spec["vocabulary"], bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.token(tokens) + self.position(lib.arange(tokens.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return Transformer()
