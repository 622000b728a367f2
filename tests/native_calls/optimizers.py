from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import Arguments, Array, Maker, call

KINDS = {"sgd": 2, "adam": 4, "adam_amsgrad": 5}
SHAPES = [(5, 7), (3,), (2, 2, 2)]


def tensors(make: Maker, kinds: int) -> tuple[Array, ...]:
    return tuple(make.normals(*shape) for _ in range(kinds) for shape in SHAPES)


@call("optimizer_rules")
def nothing(make: Maker) -> Iterator[Arguments]:
    yield {}


@call("accepts_step")
def accepts_step(make: Maker) -> Iterator[Arguments]:
    yield {"tensors": tensors(make, 4), "kinds": 4}


def gradients(arguments: Arguments) -> list[Any]:
    rule, everything = arguments.get("rule"), arguments.get("tensors")
    kinds = KINDS.get(rule, 0) if isinstance(rule, str) else 0
    if not isinstance(everything, tuple) or not kinds or len(everything) % kinds:
        return []
    count = len(everything) // kinds
    return list(everything[count : 2 * count])


@call("optimizer_step", writes=("tensors",), inputs=gradients)
def optimizer_step(make: Maker) -> Iterator[Arguments]:
    plain = [1.0, 0.0, 0.99, 0.1]
    yield {"rule": "sgd", "tensors": tensors(make, 2), "constants": plain}
    adam = [1.0, 0.1, 1.0, 0.1, 0.99, 0.01, 1.5, 1e-8]
    yield {"rule": "adam", "tensors": tensors(make, 4), "constants": adam}
    amsgrad = {"rule": "adam_amsgrad", "tensors": tensors(make, 5)}
    yield amsgrad | {"constants": adam * len(SHAPES)}
