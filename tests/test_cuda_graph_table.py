"""Every operation of the op table in CUDA graphs: recorded on the shadow device, and launched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tensorflowlite.backend import backend_for
from tensorflowlite.backend.cuda import graph_plan as cuda_graph_plan

from . import fake_graphs, test_jit_table
from .backends import TestBackend
from .op_table import Row


@pytest.fixture(scope="module")
def graphs() -> Iterator[fake_graphs.FakeGraphs]:
    with fake_graphs.installed() as found:
        yield found


ROWS = [row for row in test_jit_table.ROWS if row.name not in test_jit_table.REFUSED]


@pytest.mark.parametrize("row", ROWS, ids=repr)
def test_graphs_give_the_same_bits(
    row: Row, graphs: fake_graphs.FakeGraphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graph_plan, "LEAST", 1)
    monkeypatch.setattr(test_jit_table, "CALLS", 7)
    shadow = TestBackend("shadow")
    shadow.backend = backend_for("shadow")
    test_jit_table.test_replays_give_the_same_bits(row, shadow)
    # What runs apart is known before, but for random numbers of the library, read on the host.
    apart = {"attention_dropout", "dropout"}
    if row.name not in apart and not row.name.startswith("random"):
        assert "abandon" not in graphs.log
    graphs.log.clear()
