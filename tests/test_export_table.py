"""`export` of every operation of the op table: the same bits from the file as from the function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import CaptureError

from .backends import TestBackend
from .op_table import Row
from .test_jit_table import REFUSED, ROWS, same, varied
from .test_vmap_table import arrays_in, drawn, function_of

# Draws, and paths to views: neither is part of what a function for inference does.
_NAMELESS = """
    clear_view dropout place_view random_integers random_keep random_normal random_permutation
    random_stream random_uniform read_view
"""
NAMELESS = set(_NAMELESS.split())
CALLS = 3  # one by one, then twice as a program


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name not in {*REFUSED, *NAMELESS}], ids=repr
)
def test_a_file_gives_the_same_bits(row: Row, backend: TestBackend, tmp_path: Path) -> None:
    path = tmp_path / "program"
    rng = np.random.default_rng(8)
    samples = drawn(row)
    chosen = {0, len(samples) // 2, len(samples) - 1} if backend.on_host else {0}
    for sample in [samples[i] for i in sorted(chosen)]:
        arrays = arrays_in(sample)
        run = function_of(row, sample)
        if row.name == "to_device" and not backend.on_host:
            with pytest.raises(CaptureError, match="must run on one device"):
                tfl.export(run, path, *map(backend.tensor, arrays))
            continue
        with np.errstate(all="ignore"):
            tfl.export(run, path, *map(backend.tensor, arrays))
            program = tfl.load_program(path, device=backend.device)
            for _ in range(CALLS):
                expected = expecting(run, arrays, backend)
                given = program(*map(backend.tensor, arrays))
                for one, other in zip(given, expected, strict=True):
                    same(one, other, backend, f"{row.name} {sample}")
                arrays = list(map(_as_before, arrays, varied(rng, arrays)))


def _as_before(array: Any, values: Any) -> Any:
    """Return values that lie in memory as an array does: what is a view depends on that."""
    out = np.empty_like(array)
    out[...] = values
    return out


def expecting(run: Any, arrays: Any, backend: TestBackend) -> Any:
    with tfl.no_grad():
        return run(*map(backend.tensor, arrays))


@pytest.mark.parametrize("name", sorted(NAMELESS))
def test_what_a_file_cant_name_is_refused(name: str, tmp_path: Path) -> None:
    (row,) = [row for row in ROWS if row.name == name]
    sample = drawn(row)[0]
    with pytest.raises(CaptureError, match=f"^export: every operation must be one .* got {name}"):
        tfl.export(
            function_of(row, sample), tmp_path / "program", *map(tfl.Tensor, arrays_in(sample))
        )
