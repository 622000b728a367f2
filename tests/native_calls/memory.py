from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("memory_stats")
@call("empty_cache")
@call("reset_peak_memory")
def nothing(make: Maker) -> Iterator[Arguments]:
    yield {}


@call("limit_cache")
def limit_cache(make: Maker) -> Iterator[Arguments]:
    yield {"bytes": 1 << 20}


@call("use_memory_cache")
def use_memory_cache(make: Maker) -> Iterator[Arguments]:
    yield {"use": True}
