"""Random programs in CUDA graphs on the shadow device, split at random, against the programs alone.

``TENSORFLOWLITE_FUZZ=500`` runs so many; ``TENSORFLOWLITE_FUZZ_SEED`` says where to begin.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.cuda import graph as cuda_graph
from tensorflowlite.backend.cuda import graph_plan as cuda_graph_plan

from . import fake_graphs, host_kernels, test_jit_fuzz

COUNT = int(os.environ.get("TENSORFLOWLITE_FUZZ", "40"))
FIRST = int(os.environ.get("TENSORFLOWLITE_FUZZ_SEED", "0"))
# What may run apart, beside what must.
SLOTS = """
    add multiply sum getitem reshape tanh matmul setitem assign copy clone where mean subtract
    divide linear_act zeros_like broadcast_to concat read_view clear_view power maximum exp sum_to
    cast empty_strided stack getitem_arrays setitem_arrays dropout random_uniform place mT
    permute_dims
"""


class OnDevice:
    """The package, which makes its tensors on the shadow device."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(tfl, name)
        if name == "tensor":
            return self._tensor
        if name not in ("rand", "zeros", "ones", "arange", "full"):
            return found
        return lambda *args, **options: found(*args, **{"device": "shadow", **options})

    @staticmethod
    def _tensor(*args: Any, requires_grad: bool = False, **options: Any) -> Any:
        made = tfl.tensor(*args, **options).to("shadow")
        return made.requires_grad_() if requires_grad else made


def test_random_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_jit_fuzz, "tfl", OnDevice())
    monkeypatch.setattr(test_jit_fuzz, "CALLS", 8)
    monkeypatch.setattr(cuda_graph_plan, "LEAST", 1)
    compared, failures = 0, []
    with (
        fake_graphs.installed(kernels=not host_kernels.why_not()) as graphs,
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        for seed in range(FIRST, FIRST + COUNT):
            program, rng = test_jit_fuzz.Program(seed), np.random.default_rng(seed)
            apart = rng.choice(SLOTS.split(), int(rng.integers(9)), replace=False).tolist()
            monkeypatch.setattr(cuda_graph, "NEVER", cuda_graph_plan.NEVER | set(apart))
            try:
                expected, _ = program.played()
            except Exception:
                continue  # such as a value that backward needs, changed in place
            compared += 1
            try:
                given, _ = program.played("exact")
            except Exception as error:
                failures.append(f"seed {seed}, {apart} apart: {type(error).__name__}: {error}")
                continue
            pairs = zip(given, expected, strict=True)
            wrong = [i for i, (ours, theirs) in enumerate(pairs) if ours != theirs]
            if wrong:
                failures.append(f"seed {seed}, {apart} apart: other bits in calls {wrong}")
    launched = graphs.log.count("launch")
    assert not failures, "\n".join(failures)
    assert compared > COUNT // 2 and launched > 5 * compared
