from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("softmax")
@call("log_softmax")
def softmax(make: Maker) -> Iterator[Arguments]:
    yield {"x": make.normals(3, 2, 19)}
