from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("scatter_rows")
def scatter_rows(make: Maker) -> Iterator[Arguments]:
    yield {"rows": make.normals(9, 5), "place": make.integers(-4, 4, 9), "places": 4}
