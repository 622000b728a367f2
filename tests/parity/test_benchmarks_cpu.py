"""Every row of the CPU suite, small: ours and PyTorch's eager mode agree from the same start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from benchmarks import cpu, cpu_rows_ops, cpu_rows_steps
from benchmarks.agreement import compare
from benchmarks.contender_modules import Modules

ROWS = {
    row.name: (cpu_rows_ops if row.suite == "ops" else cpu_rows_steps).tiny(row)
    for row in cpu.rows_of(("ops", "steps"))
}


@pytest.mark.parametrize("name", ROWS)
def test_ours_and_pytorch_agree(name: str) -> None:
    spec = ROWS[name].spec
    ours = Modules(tfl, lambda tensor: np.array(tensor.detach().numpy())).build(spec)
    theirs = Modules(torch, lambda tensor: tensor.detach().numpy().copy(), fused=True).build(spec)
    assert ours.digest == theirs.digest
    checks = compare(spec, ours.outcome(), theirs.outcome())
    assert checks and [check for check in checks if not check.right] == []
