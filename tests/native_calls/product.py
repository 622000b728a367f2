from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("product", writes=("out",))
def product(make: Maker) -> Iterator[Arguments]:
    x, y = make.normals(5, 7), make.normals(7, 3)
    yield {"x": x, "y": y, "out": make.empty(5, 3)}
    yield {"x": make.normals(7, 5).T, "y": make.normals(7, 9)[:, 2:5], "out": make.empty(5, 3)}


@call("transposed")
def transposed(make: Maker) -> Iterator[Arguments]:
    yield {"x": make.normals(19, 37)}
