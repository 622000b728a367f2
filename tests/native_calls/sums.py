from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("row_totals", writes=("out",))
def row_totals(make: Maker) -> Iterator[Arguments]:
    yield {"x": make.normals(9, 5), "out": make.empty(9), "divisor": 5.0}
    yield {"x": make.normals(2, 3000), "out": make.empty(2), "divisor": 1.0}
