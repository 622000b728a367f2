from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("normalize_rows")
def rows(make: Maker) -> Iterator[Arguments]:
    x, weight, bias = make.normals(5, 3, 7), make.normals(7), make.normals(7)
    yield {"x": x, "weight": None, "bias": None, "axes": 2, "eps": 1e-5, "centered": False}
    yield {"x": x, "weight": weight, "bias": bias, "axes": 1, "eps": 1e-5, "centered": True}


@call("normalize_rows_gradient")
def rows_gradient(make: Maker) -> Iterator[Arguments]:
    arrays = {"g": make.normals(5, 19), "x": make.normals(5, 19), "statistics": make.normals(2, 5)}
    yield arrays | {"weight": None, "axes": 1, "centered": False, "parts": 1}
    yield arrays | {"weight": make.normals(19), "axes": 1, "centered": True, "parts": 3}


@call("normalize_channels")
def channels(make: Maker) -> Iterator[Arguments]:
    x, weight, bias = make.normals(5, 3, 7), make.normals(3), make.normals(3)
    yield {"x": x, "weight": weight, "bias": bias, "eps": 1e-5}
    yield {"x": make.normals(6, 9), "weight": None, "bias": None, "eps": 1e-5}


@call("normalize_channels_gradient")
def channels_gradient(make: Maker) -> Iterator[Arguments]:
    for shape in ((5, 3, 7), (5, 3)):
        arrays = {"g": make.normals(*shape), "x": make.normals(*shape)}
        kept, weight = make.normals(2, 3), make.normals(3)
        yield arrays | {"statistics": kept, "weight": weight, "parts": 3}
