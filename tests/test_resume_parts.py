"""Resuming exactly: what a run holds beside its model, and signals at odd moments."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tensorflowlite.train import Callback, Checkpoint, Trainer
from tensorflowlite.train.checkpoint import read_checkpoint

from .resuming import loader, make


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
