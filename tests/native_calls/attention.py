from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tensorflowlite.backend.native import extension as native

from . import Arguments, Array, Maker, call


def inputs(make: Maker) -> Iterator[tuple[Array, Array, Array, Arguments]]:
    """Yield queries, keys and values, and what else a call has."""
    plain = make.normals(2, 3, 5, 4), make.normals(2, 3, 7, 4), make.normals(2, 3, 7, 6)
    yield *plain, {"mask": None, "causal": True, "scale": 0.5}
    counts = make.integers(0, 2, 2, 1, 5, 7, dtype=np.bool_)
    yield *plain, {"mask": counts, "causal": False, "scale": 0.5}
    added = make.normals(1, 3, 1, 7)
    yield *plain, {"mask": added, "causal": True, "scale": -1.0}
    grouped = make.normals(3, 2, 5, 4), make.normals(3, 1, 9, 4), make.normals(3, 1, 9, 4)
    yield *grouped, {"mask": None, "causal": False, "scale": 1.0}
    rows = make.normals(6, 3, 4).swapaxes(0, 1)
    yield rows, rows, rows, {"causal": False, "scale": 1.0}


@call("attention_forward")
def attention_forward(make: Maker) -> Iterator[Arguments]:
    for query, key, value, rest in inputs(make):
        yield {"query": query, "key": key, "value": value, **rest}


@call("attention_backward")
def attention_backward(make: Maker) -> Iterator[Arguments]:
    module = native.module
    assert module is not None
    for query, key, value, rest in inputs(make):
        out, sums = module.attention_forward(query, key, value, **rest)
        given = {"y": make.normals(*out.shape), "query": query, "key": key, "value": value}
        yield given | {"out": make.filled(out), "sums": make.filled(sums)} | rest
