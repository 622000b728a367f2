"""Resuming exactly: what a run holds beside its model, and signals at odd moments."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import WorkerError
from tensorflowlite.train import Callback, Checkpoint, Trainer
from tensorflowlite.train.checkpoint import read_checkpoint

from .resuming import Crash, Stop, loader, make, plain


# -- what is drawn, and who stops ------------------------------------------------------------------
class Drawn:
    """Batches from the library's generator; at one of them a signal may come."""

    def __init__(self, signal_at: int = 0, failing: bool = False) -> None:
        self.left, self.failing = signal_at, failing

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Any:
        for _ in range(3):
            x = tfl.randn(8, 3)
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGTERM)
                if self.failing:
                    raise WorkerError("DataLoader: worker 0 must stay alive, got SIGTERM")
            yield x, (x.sum(1) > 0).astype(tfl.int64)


class Noise(Callback):
    """Draws when a run and when an epoch begins, and needs the epoch's number in its steps."""

    def on_fit_start(self, trainer: Trainer) -> None:
        tfl.rand(1)

    def on_epoch_start(self, trainer: Trainer, epoch: int, batches: int | None) -> None:
        self.factor = 1 - 0.1 * tfl.rand(1).item()

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        with tfl.no_grad():
            next(trainer.model.parameters()).mul_(self.factor)


@pytest.mark.parametrize("where", ["validation", "first batch", "after a step", "epoch's end"])
def test_what_is_drawn_is_drawn_once(tmp_path: Path, where: str) -> None:
    path = tmp_path / "checkpoint.safetensors"

    def run(train: Drawn, validation: Drawn, seed: int = 0) -> None:
        keeper = Checkpoint(path, every_batches=2)
        make(Noise(), keeper, seed=seed, resume="auto").fit(train, validation, epochs=3)

    run(Drawn(), Drawn())
    expected = plain(read_checkpoint(path))
    path.unlink()
    (tmp_path / "checkpoint-1.safetensors").unlink()
    with pytest.raises(SystemExit):
        if where == "validation":
            run(Drawn(), Drawn(signal_at=5))
        else:
            number = {"first batch": 4, "after a step": 5, "epoch's end": 6}[where]
            run(Drawn(number, failing=where == "first batch"), Drawn())
    run(Drawn(), Drawn(), seed=9)
    assert plain(read_checkpoint(path)) == expected


@pytest.mark.parametrize("crash", [8, 9])
def test_a_stop_within_an_epoch_is_kept(tmp_path: Path, crash: int) -> None:
    """Where the run crashes after it: the epoch under way is finished, and no other begins."""
    path = tmp_path / "checkpoint.safetensors"

    class Budget(Callback):
        def on_batch_end(self, trainer: Trainer, loss: float) -> None:
            if len(trainer.history) == 1 and trainer.batch == 2:
                trainer.stop("the time is over")

    make(Budget(), Checkpoint(path)).fit(loader(), epochs=5)
    expected = plain(read_checkpoint(path))
    with pytest.raises(Stop):
        make(Budget(), Checkpoint(path, every_batches=1), Crash(crash)).fit(loader(), epochs=5)
    again = make(Budget(), Checkpoint(path), seed=9)
    history = again.fit(loader(), epochs=5, resume="auto")
    assert history["epoch"] == [1, 2] and history.reason == "the time is over"
    assert plain(read_checkpoint(path)) == expected


# -- signals ---------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_ends_by_the_signals_that_it_gets() -> None:
    """A pipeline's workers, forked while the training holds signals back."""
    ends = []

    class Forks(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            reader, writer = os.pipe()
            child = os.fork()
            if not child:
                os.write(writer, b"up")
                time.sleep(20)
                os._exit(0)
            os.read(reader, 2)
            os.kill(child, signal.SIGTERM)
            ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            os.close(reader)
            os.close(writer)

    assert len(make(Forks()).fit(loader(), epochs=1)) == 1
    assert ends == [-signal.SIGTERM]


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_after_the_last_step_is_not_lost(
    tmp_path: Path, number: int, ending: type[BaseException]
) -> None:
    """The run is over then: its checkpoint stands, and the program doesn't go on."""
    path = tmp_path / "checkpoint.safetensors"

    class Late(Callback):
        def on_fit_end(self, trainer: Trainer) -> None:
            signal.raise_signal(number)

    trainer = make(Checkpoint(path), Late())
    with pytest.raises(ending):
        trainer.fit(loader(), epochs=2)
    assert trainer.history.reason == "all 2 epochs were run"
    assert len(read_checkpoint(path)["history"]) == 2
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
