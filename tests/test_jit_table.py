"""`jit` of every operation of the op table, forward and backward, against the operation itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.errors import CaptureError

from .backends import TestBackend
from .fusion_checks import small as small  # a fixture: runs of any size are fused
from .op_properties import mapped
from .op_table import Constant, Row, Sample, all_rows
from .test_vmap_table import _BY_VALUE, arrays_in, drawn, function_of, spread

ROWS = all_rows()
# What can't be recorded, with the reason; each is shown to raise.
REFUSED = dict.fromkeys(
    [*_BY_VALUE.split(), "unique slices", "bincount with weights", "getitem by masks"],
    "the shape depends on data",
)
# Their gradients are of such a shape; the assignment itself is recorded.
FORWARD_ONLY = {"setitem by masks"}
CALLS = 5  # as it is, recorded twice, replayed twice


def moving(sample: Sample) -> list[int]:
    """Return which arrays of a sample, in order, it is differentiated by."""
    found: list[bool] = []
    mapped(
        (sample.args, sample.kwargs),
        lambda a: found.append(not isinstance(a, Constant) and a.dtype in dtypes.inexact),
    )
    return [i for i, moves in enumerate(found) if moves]


def varied(rng: Any, arrays: list[Any]) -> list[Any]:
    """Return other arrays of the same form, each in its row's domain."""
    return [np.copy(spread(rng, a, 2)[1], order="K") if a.ndim else a.copy() for a in arrays]


def whole(run: Any, moves: list[int]) -> Any:
    """Return a function that gives the outputs of an operation and the gradients by its inputs."""

    def step(*xs: Any) -> Any:
        leaves = [x.detach() for x in xs]
        for i in moves:
            leaves[i].requires_grad_()
        outputs = run(*leaves)
        total = None
        for out in outputs:
            if out.requires_grad:
                one = (tfl.abs(out) ** 2 + tfl.real(out)).sum()
                total = one if total is None else total + one
        if total is None:
            return [out.detach() for out in outputs], []
        found = tfl.autograd.grad(total, [leaves[i] for i in moves], allow_unused=True)
        return [out.detach() for out in outputs], list(found)

    return step


def bits(array: Any) -> bytes:
    """Return an array's bytes, whatever its NaN are made of."""
    parts = np.ascontiguousarray(array)
    if parts.dtype.kind == "c":
        parts = parts.view(parts.real.dtype)
    if parts.dtype.kind == "f":
        parts = np.where(np.isnan(parts), parts.dtype.type("nan"), parts)
    return parts.tobytes()


def same(given: Any, expected: Any, backend: TestBackend, where: str) -> None:
    assert (given is None) == (expected is None), where
    if given is None:
        return
    given, expected = backend.host(given.array), backend.host(expected.array)
    assert given.dtype == expected.dtype and given.shape == expected.shape, where
    assert bits(given) == bits(expected), f"{where}: {given} instead of {expected}"


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in REFUSED], ids=repr)
def test_replays_give_the_same_bits(row: Row, backend: TestBackend) -> None:
    rng = np.random.default_rng(8)
    replayed = 0
    samples = drawn(row)
    chosen = {0, len(samples) // 2, len(samples) - 1} if backend.on_host else {0}
    for sample in [samples[i] for i in sorted(chosen)]:
        arrays = arrays_in(sample)
        moves = moving(sample) if row.orders and row.name not in FORWARD_ONLY else []
        step = whole(function_of(row, sample), moves)
        jitted = tfl.jit(step)
        for _ in range(CALLS):
            arrays = varied(rng, arrays)
            with np.errstate(all="ignore"):
                expected = step(*[backend.tensor(a) for a in arrays])
                given = jitted(*[backend.tensor(a) for a in arrays])
            for ours, theirs in zip(given, expected, strict=True):
                for one, other in zip(ours, theirs, strict=True):
                    same(one, other, backend, f"{row.name} {sample}")
        replayed += jitted.cache_info().replayed
    assert replayed, row.name


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_depends_on_values_is_refused(name: str) -> None:
    (row,) = [row for row in ROWS if row.name == name]
    sample: Sample = drawn(row)[0]
    jitted = tfl.jit(function_of(row, sample))
    arrays = arrays_in(sample)
    jitted(*map(tfl.Tensor, arrays))
    with pytest.raises(CaptureError, match=r"jit|depends on values"):
        jitted(*map(tfl.Tensor, arrays))
