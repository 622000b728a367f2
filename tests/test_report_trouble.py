"""A training is worth more than its report: whatever fails in that, the training doesn't."""

from __future__ import annotations

import base64
import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.errors import ArgumentError, DataError
from tensorflowlite.nn import functional as F
from tensorflowlite.ops import random
from tensorflowlite.train import Callback, Report, Trainer, write_report
from tensorflowlite.train.report import callback as callback_module
from tensorflowlite.train.report import steps
from tensorflowlite.train.report.record import read_run

from .test_report import loader, make, network, record


def fail(error: BaseException) -> Any:
    def failing(*args: Any) -> Any:
        raise error

    return failing


def bits(trainer: Trainer) -> list[bytes]:
    return [value.numpy().tobytes() for value in trainer.model.state_dict().values()]


def test_a_trainer_is_saved_before_its_first_step(tmp_path: Path) -> None:
    trainer = make(Report(tmp_path / "report.html"))
    state = trainer.state_dict()
    other = make(Report(tmp_path / "report.html"))
    other.load_state_dict(state)
    other.fit(loader(), epochs=1)
    assert len(record(tmp_path / "report.json")["steps"]["step"]) == 6


@pytest.mark.parametrize("name", ["_copy", "_squares"])
def test_measuring_that_fails_ends_the_measuring_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plain = make()
    plain.fit(loader(), epochs=2)
    own, calls = getattr(steps, name), []

    def failing(*args: Any) -> Any:
        calls.append(1)
        if len(calls) > 6 * 3:  # of three steps, one for each parameter
            raise MemoryError("no memory")
        return own(*args)

    monkeypatch.setattr(steps, name, failing)
    report = Report(tmp_path / "report.html")
    trainer = make(report)
    trainer.fit(loader(), epochs=2)
    assert bits(trainer) == bits(plain) and report.written
    found = record(tmp_path / "report.json")
    assert found["steps"]["step"] == [1, 2, 3] and found["steps"]["total"] == 12
    sentence = "Measuring steps failed, and no more of them were: MemoryError: no memory."
    assert sentence in found["notes"] and sentence in (tmp_path / "report.html").read_text()


def test_ctrl_c_while_the_page_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    class Last(Callback):
        priority = 99

        def close(self, trainer: Trainer) -> None:
            closed.append(self)

    monkeypatch.setattr(callback_module, "page_of", fail(KeyboardInterrupt()))
    report, last = Report(tmp_path / "report.html"), Last()
    trainer = make(report, last)
    before = list(trainer.callbacks)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(loader(), epochs=2, tolerance=1e-9)
    assert closed == [last] and trainer.callbacks == before and trainer.loaders == (None, None)
    assert trainer.history.reason and len(trainer.history) == 2
    assert (tmp_path / "report.json").exists() and not report.written


def test_the_trainings_own_error_is_what_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_module, "page_of", fail(ValueError("no ink")))
    trainer = make(Report(tmp_path / "report.html"), loss=fail(ZeroDivisionError("own")), jit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ZeroDivisionError, match="own") as raised:
            trainer.fit(loader(), epochs=1)
    assert raised.value.__notes__ == ["Report: the report wasn't written: ValueError: no ink"]


def test_a_model_that_always_draws(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            return F.dropout(self.inner(x), 0.5, training=True)

    states = []
    for callbacks in ([], [Report(tmp_path / "report.html")]):
        tfl.manual_seed(0)
        model = Noisy()
        trainer = make(*callbacks, model=model)
        trainer.fit(loader(), loader(24, seed=1), epochs=2)
        states.append((bits(trainer), random.get_states()))
    assert states[0] == states[1]


def test_so_many_classes_that_a_table_of_them_would_fill_the_memory(tmp_path: Path) -> None:
    x, y = tfl.tensor(np.eye(4, dtype=np.float32)), tfl.tensor([0, 1, 2, 149_999])
    for count, kind, said in ((90_000, "classification", 0), (150_000, "", 1)):
        model = nn.Linear(4, count)
        trainer = Trainer(
            model, optim.SGD(model.parameters(), lr=0.1), F.cross_entropy, progress=False,
            callbacks=[Report(tmp_path / "report.html")],
        )  # fmt: skip
        labels = y.clip(0, count - 1)
        trainer.fit([(x, labels)], [(x, labels)], epochs=1)
        found = read_run(tmp_path / "report.json")
        assert found["predictions"]["kind"] == kind and found["predictions"]["confusion"] == []
        told = [one for one in found["notes"] if "at most 100,000 classes" in one]
        assert len(told) == said


def test_inputs_whose_batch_lies_along_another_axis(tmp_path: Path) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            return self.linear(x).mean(0)

    x = tfl.tensor(np.random.default_rng(0).normal(size=(2, 8, 4)).astype(np.float32))
    y = tfl.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    make(Report(tmp_path / "report.html"), model=Last()).fit([(x, y)], [(x, y)], epochs=1)
    found = record(tmp_path / "report.json")["predictions"]
    assert found["kind"] == "classification" and np.sum(found["confusion"]) == 8
    assert found["worst"] and all(one["values"] == [] for one in found["worst"])


def test_errors_that_are_not_finite(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 1)

        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            y = self.linear(x)
            return y if self.training else y * float("inf")

    x = tfl.tensor(np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    trainer = make(Report(tmp_path / "report.html"), model=Odd(), loss=F.mse_loss, metrics=[])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit([(x, x[:, :1])], [(x, x[:, :1])], epochs=1)
    found = record(tmp_path / "report.json")["predictions"]
    assert found["kind"] == "regression" and found["measures"]["rmse"] is None


def test_a_picture_that_says_it_is_huge(tmp_path: Path) -> None:
    images = tfl.tensor(np.random.default_rng(0).normal(size=(12, 1, 8, 8)).astype(np.float32))
    y = tfl.tensor([0, 1, 2] * 4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    make(Report(tmp_path / "report.html"), model=model).fit([(images, y)], [(images, y)], epochs=1)
    run = read_run(tmp_path / "report.json")
    (first, *_) = run["predictions"]["worst"]
    content = bytearray(base64.b64decode(first["picture"]["data"]))
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    first["picture"]["data"] = base64.b64encode(content).decode()
    (tmp_path / "report.json").write_text(json.dumps(run))
    with pytest.raises(DataError, match=r"predictions.worst\[0\].picture"):
        read_run(tmp_path / "report.json")


def test_numbers_that_have_classes(tmp_path: Path) -> None:
    x = tfl.tensor(np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    trainer = make(
        Report(tmp_path / "report.html"), model=nn.Linear(4, 1), loss=F.mse_loss, metrics=[]
    )
    trainer.fit([(x, x[:, :1])], [(x, x[:, :1])], epochs=1)
    run = read_run(tmp_path / "report.json")
    run["predictions"]["classes"] = ["a", "b"]
    (tmp_path / "report.json").write_text(json.dumps(run))
    with pytest.raises(DataError, match=r"predictions\.classes"):
        read_run(tmp_path / "report.json")


def test_batches_of_different_classes(tmp_path: Path) -> None:
    class Fewer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 5)

        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            return self.linear(x)[:, : len(x)]

    x = tfl.tensor(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    y = tfl.tensor([0, 1, 2, 0, 1])
    data = [(x, y), (x[:3], y[:3])]
    make(Report(tmp_path / "report.html"), model=Fewer()).fit(data, data, epochs=1)
    found = record(tmp_path / "report.json")
    assert found["predictions"]["kind"] == "" and found["predictions"]["samples"] == 8
    assert "of 3 classes, those before of 5" in "".join(found["notes"])


@pytest.mark.parametrize("path", ["", ".", "run/", "run/.."])
def test_a_page_needs_a_name(path: str) -> None:
    with pytest.raises(ArgumentError, match=r"path must name the page, got '.*; take '.*html'"):
        Report(path)
    with pytest.raises(ArgumentError, match="path must be that of the page, got int"):
        Report(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["report.json", "metrics.jsonl", "config.json", "linked.json"])
def test_no_page_is_written_over_a_run(tmp_path: Path, name: str) -> None:
    make(Report(tmp_path / "report.html")).fit(loader(), epochs=1)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "loss": 0.5}')
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "linked.json").symlink_to(tmp_path / "report.json")
    before = (tmp_path / name).read_bytes()
    for run in (tmp_path, tmp_path / "report.json"):
        if name in ("report.json", "linked.json") or run.is_dir():
            with pytest.raises(ArgumentError, match="the page must be a file of its own"):
                write_report(run, tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    write_report(tmp_path, tmp_path / "report.html")
