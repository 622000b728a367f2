"""How tests hold fused programs to the same programs unfused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import backend_of
from tensorflowlite.backend.programs import fusion as program_fusion
from tensorflowlite.backend.programs.capture import Capture
from tensorflowlite.backend.programs.passes import optimized
from tensorflowlite.backend.programs.program import Program, compiled, listing
from tensorflowlite.transforms.jit_recording import record

from .element_samples import same_bits

FUSED = "fused_elements"
F4 = np.dtype("f4")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuse groups of any size."""
    monkeypatch.setattr(program_fusion, "LEAST", 1)


def drawn(*shape: int, seed: int = 3, dtype: Any = F4) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def recorded(function: Callable[..., Any], *arrays: Any) -> Program:
    xs = [tfl.Tensor(a) for a in arrays]
    with np.errstate(all="ignore"):
        found = record(function, xs, tuple(xs), {})[1]
    assert found is not None
    return found.program


def slots(program: Program) -> list[str]:
    return [call.slot for call in program.calls]


def fused(program: Program, fusion: str = "exact") -> Program:
    return optimized(program, program_fusion.passes(fusion))


def host(array: Any) -> Any:
    return backend_of(array).to_host(array)


def hold(before: Program, after: Program, *arrays: Any, tolerance: float = 0.0) -> None:
    """Both programs, run on these arrays, give the same and leave the same outside."""
    outside = [
        array for i, array in before.held.items()
        if before.values[i].kind == "outside" and hasattr(array, "copy")
    ]  # fmt: skip
    start = [array.copy() for array in outside]
    seen = []
    for program in (before, after):
        for array, old in zip(outside, start, strict=True):
            array[...] = old
        with np.errstate(all="ignore"):
            outputs = [host(one).copy() for one in compiled(program)(*arrays)]
        seen.append([*outputs, *[host(one).copy() for one in outside]])
    for one, other in zip(*seen, strict=True):
        assert one.strides == other.strides
        if tolerance:
            assert one.dtype == other.dtype
            np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)
        else:
            assert same_bits(other, one), (one, other)


def check(
    function: Callable[..., Any], *arrays: Any, groups: int, rest: tuple[str, ...] = (),
    fusion: str = "exact", tolerance: float = 0.0,
) -> Program:  # fmt: skip
    """Hold a function's program to itself fused: so many groups, and these other calls."""
    before = optimized(recorded(function, *arrays))
    after = fused(before, fusion)
    found = slots(after)
    assert found.count(FUSED) == groups, listing(after)
    assert tuple(slot for slot in found if slot != FUSED) == rest, listing(after)
    hold(before, after, *arrays, tolerance=tolerance)
    return after


def only(program: Program) -> Any:
    """Return the element program of the one fused call."""
    (call,) = [call for call in program.calls if call.slot == FUSED]
    return call.run.program


def built(function: Callable[..., Any], *arrays: Any) -> Program:
    """Return a program of slots that a function calls on a recording."""
    capture = Capture()
    inputs = [capture.enter("input", array) for array in arrays]
    with np.errstate(all="ignore"):
        outputs = function(capture, *inputs)
    outputs = outputs if type(outputs) is tuple else (outputs,)
    return capture.program(
        tuple([one.index for one in inputs]), tuple([one.index for one in outputs])
    )
