"""The log of choices: each reason once, in words, and nothing left of it when it is off."""

from __future__ import annotations

import doctest
import gc
import logging
import sys
import weakref
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import base
from tensorflowlite.backend.base import Backend, accepting, guarded
from tensorflowlite.backend.cuda.gemm import Gemm
from tensorflowlite.debug import dispatch, reasons
from tensorflowlite.errors import ArgumentError

from .test_cuda_gemm import PROBLEM

LIMIT = 4


def takes_small(x: Any, *rest: Any) -> bool:
    most = LIMIT
    if x.ndim > 2:
        return False
    return bool(x.dtype == np.float32 and x.size <= most and all(one for one in rest))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    caplog.set_level(logging.INFO, "tensorflowlite.dispatch")
    texts: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("tensorflowlite.dispatch")
    logger.addHandler(handler)
    yield texts
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((np.zeros(5, np.float32),), "x.size <= most doesn't hold"),
        ((np.zeros(2),), "x.dtype == np.float32 doesn't hold"),
        ((np.zeros((1, 1, 1)),), "x.ndim > 2 holds"),
        ((np.zeros(2, np.float32), 1, 0), "all((one for one in rest)) doesn't hold"),
        ((np.zeros(2, np.float32), 1), ""),
    ],
)
def test_the_reason_is_the_condition(args: Any, reason: str) -> None:
    before = sys.gettrace()
    assert reasons.reason_of(takes_small, args) == reason
    assert sys.gettrace() is before


def test_reasons_that_cannot_be_told() -> None:
    assert reasons.reason_of(len, ((),)) == ""  # type: ignore[arg-type]
    assert reasons.reason_of(eval("lambda x: False"), (1,)) == ""
    assert doctest.testmod(reasons).failed == 0


def test_each_reason_once(told: list[str]) -> None:
    half = guarded("half", lambda x: "kernel", takes_small, lambda x: "library")
    small, large = np.zeros(2, np.float32), np.zeros(5, np.float32)
    assert half(large) == "library" and told == []
    with tfl.debug.log("dispatch"):
        assert (half(small), half(large), half(large)) == ("kernel", "library", "library")
        assert half(np.zeros(6, np.float32)) == "library"
        assert half(np.zeros(2)) == "library"
    assert told == [
        "half: the implementation declines, as x.size <= most doesn't hold; "
        "the library's slot runs",
        "half: the implementation declines, as x.dtype == np.float32 doesn't hold; "
        "the library's slot runs",
    ]
    assert half(np.zeros((3, 3))) == "library" and len(told) == 2


def test_what_is_made_while_it_is_on(told: list[str]) -> None:
    with tfl.debug.log():
        made = guarded("made", lambda x: 1, takes_small, lambda x: 2, "the decomposition")
        assert made(np.zeros(9)) == 2
    assert len(told) == 1 and told[0].endswith("; the decomposition runs")


def test_a_backend_says_what_runs(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base.decompositions, "lonely", lambda k, x: "decomposed")
    slots = {name: accepting(lambda x: "kernel", takes_small) for name in ("lonely", "copy")}
    backend = Backend("nowhere", np, list, slots, SimpleNamespace(copy=np.copy).__getattribute__)
    with tfl.debug.log():
        assert backend.lonely(np.zeros(2)) == "decomposed"
        backend.copy(np.zeros(2))
    endings = [text.rpartition("; ")[2] for text in told]
    assert endings == ["the decomposition runs", "the library's slot runs"]


def test_the_native_extension_tells(told: list[str], native_module: ModuleType) -> None:
    x = tfl.ones((4, 8), dtype="float32")[:, ::2]
    half = x.astype(tfl.float16)
    with tfl.debug.log("dispatch"):
        tfl.nn.functional.softmax(half, dim=-1)
    assert any(text.startswith("softmax: the implementation declines, as ") for text in told)


def test_arguments_that_are_dtypes(told: list[str], native_module: ModuleType) -> None:
    x, target = tfl.ones((3, 4), dtype="float16"), tfl.tensor([0, 1, 2])
    with tfl.debug.log("dispatch"):
        loss = tfl.nn.functional.cross_entropy(x, target)
    assert loss.dtype == tfl.float16
    assert any("cross_entropy" in text for text in told)


def test_nothing_is_left(told: list[str]) -> None:
    """Off, what chooses is what was there before: the very function that decides."""
    choose = guarded("half", lambda x: 1, takes_small, lambda x: 2)
    names = choose.__code__.co_freevars
    cell = dict(zip(names, choose.__closure__ or (), strict=True))["accepts"]

    def decides() -> Any:
        return cell.cell_contents

    assert decides() is takes_small
    with tfl.debug.log():
        assert decides() is not takes_small
        with tfl.debug.log("dispatch", on=False):
            assert decides() is takes_small
        assert decides() is not takes_small
    assert decides() is takes_small
    tfl.debug.log()
    assert decides() is not takes_small
    tfl.debug.log(on=False)
    assert decides() is takes_small
    alive = weakref.ref(choose)
    del choose
    gc.collect()
    assert alive() is None


def test_logging_that_nobody_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("tensorflowlite.dispatch")
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        half = guarded("half", lambda x: 1, takes_small, lambda x: 2)
        with tfl.debug.log():
            half(np.zeros(9))
        assert logger.handlers == [] and logger.level == logging.NOTSET
    finally:
        root.handlers = handlers
    assert capsys.readouterr().err.startswith("half: the implementation declines, as ")


def test_products_tell_which_way_they_go(told: list[str]) -> None:
    blas, driver = SimpleNamespace(identity=lambda: ""), SimpleNamespace(device=lambda: 0)
    queue = SimpleNamespace(capturing=lambda: False)
    gemm = Gemm(np, blas, driver, queue)  # type: ignore[arg-type]
    way = SimpleNamespace(name="a way", run=lambda operands: ("done",))
    asked: list[Any] = []

    def candidates(problem: Any) -> list[Any]:
        asked.append(problem)
        return [way]

    gemm.sources.append(SimpleNamespace(version="1", candidates=candidates))  # type: ignore[arg-type]
    early, late = PROBLEM._replace(m=2), PROBLEM._replace(m=5)
    operands: Any = SimpleNamespace(bias=None)
    gemm.run(early, operands)
    with tfl.debug.log():
        for one in (early, late, early, late):
            assert gemm.run(one, operands) == ("done",)
        assert gemm.chosen() == {early: "a way", late: "a way"}
    assert [text.partition(" ")[2].partition(" ")[2] for text in told] == [
        "2x8x3 float32: a way was chosen", "5x8x3 float32: a way was chosen",
    ]  # fmt: skip
    gemm.run(late, operands)
    assert gemm.chosen() == {early: "a way", late: "a way"}
    assert asked == [early, late] and len(told) == 2


def test_other_words() -> None:
    with pytest.raises(ArgumentError, match=r"^log: what must be 'dispatch', got 'memory'$"):
        tfl.debug.log("memory")
    assert not dispatch._State.on
