from __future__ import annotations

from collections.abc import Iterator

from . import Arguments, Maker, call


@call("instruction_set")
@call("instruction_sets")
@call("num_threads")
@call("blas_threads")
@call("activations")
@call("epilogues")
def nothing(make: Maker) -> Iterator[Arguments]:
    yield {}


@call("use_instruction_set")
def use_instruction_set(make: Maker) -> Iterator[Arguments]:
    yield {"name": "generic"}


@call("set_num_threads")
@call("set_blas_threads")
def count(make: Maker) -> Iterator[Arguments]:
    yield {"count": 2}


@call("adopt_blas")
def adopt_blas(make: Maker) -> Iterator[Arguments]:
    yield {"path": "there is no such library"}
