"""Resuming exactly: what a run holds beside its model, and signals at odd moments."""

from __future__ import annotations

import os
import signal
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.errors import ArgumentError, StateError, WorkerError
from tensorflowlite.io import files
from tensorflowlite.nn import functional as F
from tensorflowlite.train import Callback, Checkpoint, Trainer
from tensorflowlite.train.checkpoint import read_checkpoint, write_checkpoint

from .resuming import Crash, Stop, loader, make, plain


# -- what is trained beside the model --------------------------------------------------------------
class Weighted(nn.Module):
    """A loss with a parameter and a buffer of its own."""

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(tfl.zeros(size))
        self.register_buffer("seen", tfl.zeros(()))

    def forward(self, output: tfl.Tensor, target: tfl.Tensor) -> tfl.Tensor:
        self.seen += 1
        return (F.cross_entropy(output, target) * tfl.exp(-self.weight) + self.weight).sum()


def with_loss(*callbacks: Callback, seed: int = 0, size: int = 1) -> tuple[Trainer, nn.Parameter]:
    """Return a Trainer whose optimizer also has parameters of the loss and of nothing else."""
    tfl.manual_seed(seed)
    model, loss, scale = nn.Linear(3, 2), Weighted(size), nn.Parameter(tfl.ones(2))
    parameters = [*model.parameters(), *loss.parameters(), scale]
    model.register_forward_hook(lambda module, inputs, output: output * scale)
    optimizer = optim.SGD(parameters, lr=0.1, momentum=0.9)
    return Trainer(model, optimizer, loss, callbacks=callbacks, jit=False), scale


def test_parameters_outside_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with_loss(Checkpoint(path))[0].fit(loader(), epochs=3)
    expected = plain(read_checkpoint(path))
    with pytest.raises(Stop):
        with_loss(Checkpoint(path, every_batches=1), Crash(9))[0].fit(loader(), epochs=3)
    trainer, scale = with_loss(Checkpoint(path), seed=9)
    trainer.fit(loader(), epochs=3, resume="auto")
    assert plain(read_checkpoint(path)) == expected
    assert trainer.loss.seen.item() == 18 and scale.tolist() != [1, 1]
    trainer, _ = with_loss(size=2)
    with pytest.raises(StateError, match="the loss must be as in the checkpoint, got Weighted, wh"):
        trainer.fit(loader(), epochs=4, resume=path)
    plainly = Trainer(trainer.model, trainer.optimizer, F.cross_entropy)
    with pytest.raises(StateError, match="the optimizer's parameter 2, which isn't the model's, m"):
        plainly.fit(loader(), epochs=4, resume=path)


def test_a_schedule_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"

    def trainer(number: int, *callbacks: Callback, seed: int = 0) -> Trainer:
        tfl.manual_seed(seed)
        model = nn.Linear(3, 2)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        parts = [optim.lr_scheduler.ConstantLR(optimizer) for _ in range(number)]
        schedule = optim.lr_scheduler.SequentialLR(optimizer, parts, [*range(1, number)])
        return Trainer(model, optimizer, F.cross_entropy, (), callbacks, scheduler=schedule)

    trainer(3, Checkpoint(path)).fit(loader(), epochs=2)
    other = trainer(2, seed=9)
    before = plain(other.state_dict())
    with pytest.raises(StateError, match="the scheduler must be as in the checkpoint, got Sequent"):
        other.fit(loader(), epochs=3, resume=path)
    assert plain(other.state_dict()) == before


@pytest.mark.parametrize(
    ("state", "got"),
    [({}, "a dict of nothing"), ({"0.weight": 1}, "a dict of '0.weight'"), (None, "None")],
)
def test_states_of_something_else(state: Any, got: str) -> None:
    with pytest.raises(StateError, match=f"that Trainer.state_dict returned, got {got}; that of a"):
        make().load_state_dict(state)


# -- files -----------------------------------------------------------------------------------------
def test_files_of_others_stay(tmp_path: Path) -> None:
    path, copy = tmp_path / "model.safetensors", tmp_path / "model-100.safetensors"
    make(Checkpoint(path, keep=1)).fit(loader(), epochs=1)
    path.rename(copy)
    others = [tmp_path / f"model-{number}.safetensors" for number in (2, 3)]
    others[0].write_bytes(b"mine")
    tfl.save_safetensors(others[1], {"mine": tfl.ones(1)})
    before = {one: one.read_bytes() for one in (copy, *others)}
    for _ in range(2):  # neither is there a run to go on with, nor do they go
        trainer = make(Checkpoint(path))
        assert len(trainer.fit(loader(), epochs=3, resume="auto")) == 3
        assert before == {one: one.read_bytes() for one in before}
        make(Checkpoint(path)).fit(loader(), epochs=2)
        assert before == {one: one.read_bytes() for one in before}
        path.unlink()
        (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(ArgumentError, match=r"names of the states before must be free, got .*-2\."):
        make(Checkpoint(path, keep=3)).fit(loader(), epochs=1)
    assert not path.exists()
    with pytest.raises(ArgumentError, match="Checkpoint: metadata must be text by name, got 'lr'"):
        Checkpoint(path, metadata={"lr": 0.1})  # type: ignore[dict-item]
    for best in ("model.safetensors", "./model-1.safetensors"):
        with pytest.raises(ArgumentError, match="best must be another file than those of the stat"):
            Checkpoint("model.safetensors", best)


def test_paths_of_other_kinds(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "checkpoint.safetensors")
    make(Checkpoint(path)).fit(loader(), epochs=2)
    assert len(os.listdir(tmp_path)) == 2
    assert len(make().fit(loader(), epochs=3, resume=path)) == 3
    for wrong in (True, 3, ["x"]):
        with pytest.raises(ArgumentError, match='fit: resume must be "auto", a path or None, got'):
            make().fit(loader(), epochs=3, resume=wrong)
        with pytest.raises(ArgumentError, match="Trainer: resume must be"):
            make(resume=wrong)
    # A link that was made before the first run, to another disk say.
    os.symlink(tmp_path / "elsewhere.safetensors", tmp_path / "link.safetensors")
    for epochs in (2, 3):
        keeper = Checkpoint(tmp_path / "link.safetensors")
        assert len(make(keeper).fit(loader(), epochs=epochs, resume="auto")) == epochs
    assert os.path.islink(keeper.path) and (tmp_path / "elsewhere-1.safetensors").exists()


def test_a_large_state_is_copied_twice_at_most(tmp_path: Path) -> None:
    """By the format's package, and with its metadata in order and the seal."""
    state = {"weight": tfl.zeros(1 << 20)}
    write_checkpoint(tmp_path / "checkpoint.safetensors", state)
    tracemalloc.start()
    try:
        write_checkpoint(tmp_path / "checkpoint.safetensors", state)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * 4 * (1 << 20)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_write_one_file(tmp_path: Path) -> None:
    """Neither fails since the other moved a state before, and each file is whole."""
    target = tmp_path / "state"
    previous = [tmp_path / f"state-{number}" for number in (1, 2)]

    def write(letter: bytes) -> None:
        for number in range(150):
            files.write_atomically(target, letter * 1000, previous=previous)
            if number % 10 == 0:
                files.remove_stale(str(target))

    child = os.fork()
    if not child:
        try:
            write(b"a")
        except BaseException:
            os._exit(1)
        os._exit(0)
    write(b"b")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for one in tmp_path.iterdir():
        assert one.read_bytes() in (b"a" * 1000, b"b" * 1000)
    assert {target, previous[0]} <= set(tmp_path.iterdir())


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
