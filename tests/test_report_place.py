"""Where a report goes is looked at before the training, and costs no training after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tensorflowlite.errors import ArgumentError
from tensorflowlite.train import Callback, Report, Trainer

from .test_report import loader, make


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("missing/report.html", "Report: the folder of the page must exist, got "),
        ("folder", "Report: path must name the page, got the folder "),
    ],
)
def test_a_place_for_no_page_is_refused_before_the_training(
    tmp_path: Path, where: str, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    trainer = make(Report(tmp_path / where))
    with pytest.raises(ArgumentError, match=said):
        trainer.fit(loader(), epochs=1)
    assert len(trainer.history) == 0


class Away(Callback):
    """Takes a folder away while a training runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_epoch_start(self, trainer: Trainer, epoch: int, batches: int | None) -> None:
        self.folder.rmdir()


def test_what_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    trainer = make(Away(tmp_path / "folder"), Report(tmp_path / "folder/report.html"))
    with pytest.warns(RuntimeWarning, match="Report: the report wasn't written: report: ") as told:
        history = trainer.fit(loader(), epochs=1)
    assert len(told) == 1 and len(history) == 1 and trainer.callbacks[-1].written is False


def test_a_page_in_this_folder_needs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Report("report.html")).fit(loader(), epochs=1)
    assert Path("report.html").is_file() and Path("report.json").is_file()


def test_data_are_batches() -> None:
    with pytest.raises(ArgumentError, match="data must be batches, as of a DataLoader, got int"):
        Report("report.html", data=3)  # type: ignore[arg-type]
