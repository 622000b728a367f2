"""Fused runs that change arrays in place: against the function itself, at every call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.programs.fusion_steps import EXACT

from .fusion_checks import small as small  # a fixture: groups of any size
from .jit_worlds import CALLS, check


@pytest.mark.parametrize("fusion", ["exact", "all"])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
@pytest.mark.parametrize("fold", ["sum", "max", "min"])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_a_reduction_of_what_is_overwritten(
    small: None, fusion: str, dtype: str, fold: str, axis: Any
) -> None:
    """It reads what was there before."""

    def world(jit: Any) -> Any:
        x = tfl.tensor((np.arange(96).reshape(8, 12) % 37).astype(dtype))

        @lambda f: tfl.jit(f, fusion=fusion) if jit is not plain else f
        def f():
            c = x.clone()
            d = x * 2
            x.sub_(1)
            return c, d, getattr(tfl, fold)(c, axis=axis)

        for _ in range(CALLS):
            yield f(), x

    def plain(f: Any) -> Any:
        return f

    expected = [[one.numpy().copy() for one in (*ys, x)] for ys, x in map(flat, world(plain))]
    given = [[one.numpy().copy() for one in (*ys, x)] for ys, x in map(flat, world(tfl.jit))]
    for ours, theirs in zip(given, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert np.array_equal(one, other)


def flat(pair: Any) -> Any:
    """Copy what a call gave, before the next one changes it."""
    results, x = pair
    return [one.clone() for one in results], x.clone()


def test_overlapping_targets(small: None) -> None:
    """Two views of one memory are written one after the other."""

    def world(jit: Any) -> Any:
        base = tfl.zeros(9)
        first, second = base[:-1], base[1:]

        @jit
        def f(z):
            t = z + 1
            first[...] = t
            second[...] = t * 2
            return t - 3

        for i in range(CALLS):
            yield f(tfl.arange(8) + float(i)), base, first, second

    check(world, 1)


def test_what_depends_on_the_sign_of_nan_is_not_exact() -> None:
    assert not EXACT & {"signbit", "copysign"}
