from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("erf")
@call("erfc")
def error_function(make: Maker) -> Iterator[Arguments]:
    yield {"x": make.normals(3, 2, 19)}


@call("softplus")
def softplus(make: Maker) -> Iterator[Arguments]:
    yield {"x": make.normals(3, 2, 19), "beta": 2.0, "threshold": 20.0}
