"""The overhead program: its floor computes what the tape does, and its check can fail."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import tensorflowlite as tfl
from benchmarks import overhead


def test_the_chain_by_hand_has_the_gradients_of_the_tape():
    a = overhead.operands()
    x, w = (tfl.tensor(a, requires_grad=True) for _ in range(2))
    overhead.run(tfl, [x, w])
    of_x, of_w = overhead.chain_by_hand(a, a)
    np.testing.assert_allclose(x.grad.numpy(), of_x, rtol=1e-5)
    np.testing.assert_allclose(w.grad.numpy(), of_w, rtol=1e-5)


@pytest.mark.parametrize("budget", [1e-6, 1e6])
def test_the_check_fails_where_the_chain_is_over_its_budget(monkeypatch, capsys, budget):
    monkeypatch.setattr(overhead, "operations", dict)
    monkeypatch.setattr(overhead, "FLOOR_BUDGET", budget)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert overhead.main(["--check"]) == (budget < 1)
    said = capsys.readouterr().out
    assert ("over budget: chain:" in said) == (budget < 1) and "NumPy by hand" in said
