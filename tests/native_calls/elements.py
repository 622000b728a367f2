from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tensorflowlite.backend.native import extension as native

from . import Arguments, Maker, call

BOOL = np.dtype("bool")


def parts_of(dtype: Any) -> Arguments:
    """A program with a constant, parameters, two outputs and a reduction."""
    kind = dtype.name
    steps = [
        ("add", kind, [0, 1], []),
        ("constant", kind, [], [0.5]),
        ("less", kind, [2, 3], []),
        ("softplus", kind, [2], [2.0, 20.0]),
        ("where", kind, [4, 5, 0], []),
    ]
    return {
        "inputs": [dtype, dtype],
        "steps": steps,
        "outputs": [(6, dtype), (4, BOOL)],
        "reduction": ("sum", 5, dtype, [0], False),
    }


@call("prepare_elements")
def prepare(make: Maker) -> Iterator[Arguments]:
    yield parts_of(make.dtype)
    yield {**parts_of(make.dtype), "reduction": None}


def arguments(make: Maker) -> Arguments:
    assert native.module is not None
    program = native.module.prepare_elements(**parts_of(make.dtype))
    # Both inputs are of the whole shape: one huge without memory then has nothing to meet.
    arrays = [make.normals(5, 7), make.normals(5, 7)]
    outs = [make.empty(5, 7), make.empty(5, 7, dtype=BOOL), make.empty(7)]
    return {"program": program, "arrays": arrays, "outs": outs}


@call("bind_elements")
def bind(make: Maker) -> Iterator[Arguments]:
    yield arguments(make)


@call("run_elements", writes=("outs",))
def run(make: Maker) -> Iterator[Arguments]:
    yield arguments(make)
