from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import Arguments, Maker, call

WINDOW: Arguments = {"kernel": (2, 3), "stride": (2, 2), "padding": (1, 1)}
DIVISORS: Arguments = {"row_divisors": [1.0, 2.0, 1.0, 2.0], "column_divisors": [3.0] * 4}
IMAGES, WINDOWS = (2, 7, 8), (2, 4, 4)


@call("max_pool", writes=("out", "places"))
def max_pool(make: Maker) -> Iterator[Arguments]:
    plain = {"x": make.normals(*IMAGES), "out": make.empty(*WINDOWS), "dilation": (1, 1)} | WINDOW
    yield plain | {"places": None}
    yield plain | {"places": make.empty(*WINDOWS, dtype=np.uint8)}


def places(make: Maker) -> Arguments:
    where = make.integers(0, 6, *WINDOWS, dtype=np.uint8)
    return WINDOW | {"places": where, "dilation": (1, 1)}


@call("max_pool_scatter", writes=("out",))
def scatter(make: Maker) -> Iterator[Arguments]:
    yield places(make) | {"y": make.normals(*WINDOWS), "out": make.empty(*IMAGES)}


@call("pool_activation_gradient", writes=("dz", "db"))
def pool_activation_gradient(make: Maker) -> Iterator[Arguments]:
    arrays = {"saved": make.normals(*IMAGES), "dz": make.empty(*IMAGES), "db": make.empty(2)}
    for name in ("relu", "gelu"):
        yield places(make) | arrays | {"y": make.normals(*WINDOWS), "activation": name}


@call("max_pool_gather", writes=("out",))
def gather(make: Maker) -> Iterator[Arguments]:
    yield places(make) | {"x": make.normals(*IMAGES), "out": make.empty(*WINDOWS)}


@call("avg_pool", writes=("out",))
def avg_pool(make: Maker) -> Iterator[Arguments]:
    yield WINDOW | DIVISORS | {"x": make.normals(*IMAGES), "out": make.empty(*WINDOWS)}


@call("avg_pool_gradient", writes=("out",))
def avg_pool_gradient(make: Maker) -> Iterator[Arguments]:
    yield WINDOW | DIVISORS | {"y": make.normals(*WINDOWS), "out": make.empty(*IMAGES)}
