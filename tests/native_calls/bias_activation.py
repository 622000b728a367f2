from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


def forward(make: Maker, *shape: int) -> Iterator[Arguments]:
    z, bias = make.normals(*shape), make.normals(shape[1])
    yield {"z": z, "bias": None, "activation": "relu"}
    yield {"z": z, "bias": bias, "activation": "leaky_relu", "slope": 0.1}
    yield {"z": z, "bias": bias, "activation": "gelu", "out": make.like(z)}
    yield {"z": z, "bias": bias, "activation": "gelu", "out": z, "residual": make.like(z)}


def backward(make: Maker, *shape: int) -> Iterator[Arguments]:
    g, saved = make.normals(*shape), make.normals(*shape)
    yield {"g": g, "saved": saved, "activation": "tanh", "dz": make.like(g)}
    db = make.empty(shape[1])
    yield {"g": g, "saved": saved, "activation": "silu", "dz": make.like(g), "db": db}
    yield {"g": g, "saved": saved, "activation": "leaky_relu", "dz": g, "db": db, "slope": 0.5}


@call("bias_activation_forward", writes=("out", "residual"))
def forward_rows(make: Maker) -> Iterator[Arguments]:
    yield from forward(make, 5, 7)


@call("bias_activation_forward_channels", writes=("out", "residual"))
def forward_channels(make: Maker) -> Iterator[Arguments]:
    yield from forward(make, 2, 3, 7)


@call("bias_activation_backward", writes=("dz", "db"))
def backward_rows(make: Maker) -> Iterator[Arguments]:
    yield from backward(make, 5, 7)


@call("bias_activation_backward_channels", writes=("dz", "db"))
def backward_channels(make: Maker) -> Iterator[Arguments]:
    yield from backward(make, 2, 3, 7)


@call("activation_forward")
def activation_forward(make: Maker) -> Iterator[Arguments]:
    yield {"x": make.normals(2, 3, 7), "activation": "gelu"}


@call("activation_gradient")
def activation_gradient(make: Maker) -> Iterator[Arguments]:
    yield {"g": make.normals(2, 3, 7), "saved": make.normals(2, 3, 7), "activation": "silu"}
