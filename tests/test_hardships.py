"""What a machine does to a run: a disk that fills up, a folder that goes, a clock that jumps."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tensorflowlite.io import WriteError
from tensorflowlite.train import Callback, MetricsFile
from tensorflowlite.train import logs as logs_module

from .resuming import loader, make


class Filling:
    """A file on a disk with room for so many characters more."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def __enter__(self) -> Filling:
        return self

    def __exit__(self, *exception: object) -> None:
        self.file.close()

    def tell(self) -> int:
        return int(self.file.tell())

    def write(self, text: str) -> None:
        self.file.write(text[: self.room])
        self.file.flush()
        if len(text) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(text)


def test_metrics_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends with one sentence; what is in the file are whole lines."""
    path = tmp_path / "metrics.jsonl"
    room = [10_000, 10]

    def opened(*given: Any, **named: Any) -> Filling:
        return Filling(open(*given, **named), room.pop(0))

    monkeypatch.setattr(logs_module, "open", opened, raising=False)
    with pytest.raises(WriteError) as caught:
        make(MetricsFile(path)).fit(loader(), epochs=3)
    assert str(caught.value) == (
        f"metrics: the line of epoch 2 must be written, got 'No space left on device' for '{path}'"
        "; the epochs before are in the file"
    )
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1]


def test_a_folder_that_goes_within_the_run(tmp_path: Path) -> None:
    class Remove(Callback):
        priority = 0

        def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
            shutil.rmtree(tmp_path / "run")

    path = tmp_path / "run" / "metrics.jsonl"
    path.parent.mkdir()
    with pytest.raises(WriteError, match="the line of epoch 1 must be written, got 'No such file"):
        make(MetricsFile(path), Remove()).fit(loader(), epochs=2)


@pytest.mark.parametrize("step", [-3600.0, 0.0])
def test_a_clock_that_goes_back_or_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: float
) -> None:
    """Durations are never negative, and the run is what it would have been."""

    def without_seconds(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: x for key, x in one.items() if key != "seconds"} for one in records]

    expected = without_seconds(make().fit(loader(), epochs=3).records)
    now = [1e9]

    def clock() -> float:
        now[0] += step
        return now[0]

    for name in ("time", "perf_counter"):
        monkeypatch.setattr(time, name, clock)
    history = make(MetricsFile(tmp_path / "metrics.jsonl")).fit(loader(), epochs=3)
    assert [one["seconds"] for one in history.records] == [0.0] * 3 and history.seconds == 0.0
    assert without_seconds(history.records) == expected
