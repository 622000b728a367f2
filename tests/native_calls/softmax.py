from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("softmax")
@call("log_softmax")
def softmax(make: Maker) -> Iterator[Arguments]:
    yield {"x": make.normals(3, 2, 19)}


@call("softmax_gradient")
def softmax_gradient(make: Maker) -> Iterator[Arguments]:
    for logs in (False, True):
        yield {"g": make.normals(3, 2, 19), "out": make.normals(3, 2, 19), "logs": logs}
