from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("softmax_cross_entropy")
def cross_entropy(make: Maker) -> Iterator[Arguments]:
    x, target = make.normals(5, 7), make.integers(0, 7, 5)
    yield {"x": x, "target": target, "weight": None, "ignored": -100, "smoothing": 0.0}
    yield {"x": x, "target": target, "weight": make.normals(7), "ignored": 3, "smoothing": 0.1}


@call("softmax_cross_entropy_gradient")
def gradient(make: Maker) -> Iterator[Arguments]:
    arrays = {"g": make.normals(5), "softmax": make.normals(5, 7), "target": make.integers(0, 7, 5)}
    yield arrays | {"weight": None, "ignored": -100, "smoothing": 0.0}
    yield arrays | {"weight": make.normals(7), "ignored": 3, "smoothing": 0.1}


@call("target_weights")
def target_weights(make: Maker) -> Iterator[Arguments]:
    target = make.integers(0, 7, 5)
    of = {"target": target, "classes": 7, "ignored": -100, "dtype": make.dtype}
    yield of | {"weight": None}
    yield of | {"weight": make.normals(7), "ignored": 3}
