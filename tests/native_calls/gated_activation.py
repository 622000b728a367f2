from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("gated_activation")
def gated_activation(make: Maker) -> Iterator[Arguments]:
    yield {"x": make.normals(2, 3, 7), "y": make.normals(2, 3, 7), "activation": "silu"}


@call("gated_activation_gradient", writes=("dx",))
def gated_activation_gradient(make: Maker) -> Iterator[Arguments]:
    g, x, y = (make.normals(2, 3, 7) for _ in range(3))
    yield {"g": g, "x": x, "y": y, "activation": "silu"}
    yield {"g": g, "x": x, "y": y, "activation": "gelu", "dx": make.like(g)}
    yield {"g": g, "x": x, "y": y, "activation": "tanh", "dx": g}
