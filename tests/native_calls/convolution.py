from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call

GEOMETRY = {"stride": (1, 2), "padding": ((1, 0), (2, 1)), "dilation": (2, 1)}
X, WEIGHT, RESULT = (2, 4, 6, 7), (6, 2, 3, 3), (2, 6, 3, 4)


@call("convolution")
def convolution(make: Maker) -> Iterator[Arguments]:
    arrays = {"x": make.normals(*X), "weight": make.normals(*WEIGHT), "groups": 2} | GEOMETRY
    yield arrays
    yield arrays | {"bias": make.normals(6), "activation": "gelu", "keep_before": True}


@call("convolution_input_gradient")
def input_gradient(make: Maker) -> Iterator[Arguments]:
    arrays = {"y": make.normals(*RESULT), "weight": make.normals(*WEIGHT), "groups": 2}
    yield arrays | GEOMETRY | {"shape": X}


@call("convolution_weight_gradient")
def weight_gradient(make: Maker) -> Iterator[Arguments]:
    arrays = {"y": make.normals(*RESULT), "x": make.normals(*X), "groups": 2}
    yield arrays | GEOMETRY | {"shape": WEIGHT}
