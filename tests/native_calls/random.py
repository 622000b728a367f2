from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import Arguments, Maker, call


@call("random_bits", writes=("out",))
def random_bits(make: Maker) -> Iterator[Arguments]:
    yield {"seed": 1, "stream": 2, "offset": 3, "out": make.empty(9, dtype=np.uint32)}


@call("uniform", writes=("out",))
@call("normal", writes=("out",))
def floats(make: Maker) -> Iterator[Arguments]:
    yield {"seed": 1, "stream": 2, "offset": 3, "out": make.empty(9)}


@call("dropout", writes=("out", "keep"))
def dropout(make: Maker) -> Iterator[Arguments]:
    x, keep = make.normals(9), make.empty(9, dtype=np.bool_)
    numbers = {"seed": 1, "stream": 2, "threshold": 1 << 30, "scale": 1.5}
    yield numbers | {"x": x, "out": make.like(x), "keep": keep}
    yield numbers | {"x": x, "out": x, "keep": keep}
