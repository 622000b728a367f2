from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("scatter_rows", writes=("out",))
def scatter_rows(make: Maker) -> Iterator[Arguments]:
    rows, place = make.normals(9, 5), make.integers(-4, 4, 9)
    yield {"rows": rows, "place": place, "out": make.empty(4, 5)}
