"""Resuming exactly: the place within an epoch, damaged files, what is kept, signals, full disks."""

from __future__ import annotations

import errno
import itertools
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import tensorflowlite as tfl
from tensorflowlite.cli import main
from tensorflowlite.data import DataLoader
from tensorflowlite.errors import ArgumentError, DataError, DtypeError, StateError, WorkerError
from tensorflowlite.io import WriteError, files, read_metadata
from tensorflowlite.io.seal import is_whole
from tensorflowlite.train import (
    Callback,
    Checkpoint,
    Convergence,
    EarlyStopping,
    MetricsFile,
    Trainer,
    checkpoint,
    curves,
)
from tensorflowlite.train.checkpoint import read_checkpoint

from .command import bars, write_idx
from .resuming import BATCHES, Crash, Send, Stop, check_the_loader_goes_on, loader, make, plain


# -- within an epoch -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("crash", "amp"),
    [(1, None), (2, "bfloat16"), (5, "float16"), (6, None), (9, "float16"), (11, None)],
)
def test_a_crashed_run_goes_on_with_the_next_batch(
    tmp_path: Path, crash: int, amp: str | None
) -> None:
    path, metrics = tmp_path / "checkpoint.safetensors", tmp_path / "metrics.jsonl"

    def trainer(*more: Callback, seed: int = 0) -> Trainer:
        keeper = Checkpoint(path, every_batches=2)
        parts = (EarlyStopping(patience=9), keeper, MetricsFile(metrics), *more)
        return make(*parts, seed=seed, amp=amp)

    with np.errstate(all="ignore"):  # the overflows that the scaler finds
        whole = trainer()
        whole.fit(loader(), loader(), epochs=3)
        expected = plain(read_checkpoint(path))
        kept = metrics.read_text().splitlines()
        for name in os.listdir(tmp_path):
            os.unlink(tmp_path / name)
        with pytest.raises(Stop):
            trainer(Crash(crash)).fit(loader(), loader(), epochs=3)
        if crash > 1:
            state = read_checkpoint(path)
            done = len(state["history"]) * BATCHES + state["batch"]
            assert done == crash - crash % 2
        again = trainer(seed=99 if crash > 1 else 0)
        history = again.fit(loader(), loader(), epochs=3, resume="auto")
    assert history["epoch"] == [1, 2, 3]
    assert plain(read_checkpoint(path)) == expected
    assert len(metrics.read_text().splitlines()) == len(kept) == 3


def test_the_loader_goes_on_within_its_epoch(tmp_path: Path) -> None:
    """With workers: tests/endurance."""
    check_the_loader_goes_on(tmp_path, workers=0)


@pytest.mark.parametrize("kind", ["sampler", "generator", "list", "wrapper"])
def test_orders_and_batches_that_are_drawn_from_the_generator(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "checkpoint.safetensors"

    class Drawn:
        """Its order, or its noise, comes from the library's generator."""

        def __len__(self) -> int:
            return 48 if kind == "sampler" else 6

        def __iter__(self) -> Any:
            if kind == "sampler":
                yield from tfl.random.permutation(48).tolist()
            else:
                for _ in range(6):
                    x = tfl.randn(8, 3)
                    yield x, (x.sum(1) > 0).astype(tfl.int64)

    class First:
        """The first batches of a loader, whose methods it hands through."""

        def __init__(self, loader: DataLoader) -> None:
            self._loader = loader

        def __len__(self) -> int:
            return 4

        def __iter__(self) -> Any:
            return itertools.islice(iter(self._loader), 4)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._loader, name)

    def batches() -> Any:
        if kind == "wrapper":
            return First(loader())
        if kind == "sampler":
            return DataLoader(loader().dataset, 8, sampler=Drawn(), seed=1)
        return Drawn() if kind == "generator" else list(loader())

    make(Checkpoint(path)).fit(batches(), epochs=3)
    expected = plain(read_checkpoint(path))
    with pytest.raises(Stop):
        make(Checkpoint(path, every_batches=1), Crash(10)).fit(batches(), epochs=3)
    make(Checkpoint(path), seed=9).fit(batches(), epochs=3, resume="auto")
    assert plain(read_checkpoint(path)) == expected


def test_another_loader_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stop):
        make(Checkpoint(path, every_batches=1), Crash(8)).fit(loader(), epochs=2)
    trainer = make()
    before = plain(dict(trainer.model.state_dict()))
    with pytest.raises(StateError, match="must have the seed of the run, 5, got 6; make it with"):
        trainer.fit(loader(seed=6), epochs=2, resume=path)
    with pytest.raises(StateError, match="must give 6 batches in an epoch, as before, got 12: the"):
        trainer.fit(loader(batch_size=4), epochs=2, resume=path)
    ordered = DataLoader(loader().dataset, 8, seed=5)
    with pytest.raises(StateError, match="have shuffle=True, as before, got False: the run stopp"):
        trainer.fit(ordered, epochs=2, resume=path)
    assert plain(dict(trainer.model.state_dict())) == before


def test_another_clip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    make(Checkpoint(path)).fit(loader(), epochs=1)
    with pytest.warns(RuntimeWarning, match=r"isn't as it was.*: clip_norm 1.0 in the place of N"):
        make(clip_norm=1.0).fit(loader(), epochs=2, resume=path)


def test_why_a_run_stopped_is_kept(tmp_path: Path) -> None:
    """A run killed after its last checkpoint and before its end doesn't train on."""
    path = tmp_path / "checkpoint.safetensors"

    class Enough(Callback):
        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            if record["epoch"] == 2:
                trainer.stop("enough")

    for stopper in (Enough(), Convergence(0.999999)):
        make(stopper, Checkpoint(path)).fit(loader(), epochs=9)
        again = make(stopper, Checkpoint(path), seed=9)
        history = again.fit(loader(), epochs=9, resume="auto")
        assert len(history) == 2
        assert history.reason == "enough" or history.reason.startswith("converged")


# -- resume="auto" ---------------------------------------------------------------------------------
def test_auto_begins_where_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    assert len(make(Checkpoint(path), resume="auto").fit(loader(), epochs=1)) == 1
    trainer = make(Checkpoint(path), resume="auto", seed=9)
    assert trainer.fit(loader(), epochs=2)["epoch"] == [1, 2]
    with pytest.raises(ArgumentError, match="must have a Checkpoint among the callbacks, whose fi"):
        make().fit(loader(), epochs=1, resume="auto")
    with pytest.raises(DataError, match="must name a readable file"):
        make(Checkpoint(path)).fit(loader(), epochs=1, resume=tmp_path / "nothing")


# -- damaged files ---------------------------------------------------------------------------------
def written(folder: Path, epochs: int = 3, **options: Any) -> Path:
    path = folder / "checkpoint.safetensors"
    make(Checkpoint(path, **options)).fit(loader(), epochs=epochs)
    return path


def test_any_safetensors_reader_reads_it(tmp_path: Path) -> None:
    path = written(tmp_path, metadata={"run": "mine"})
    found = safetensors.numpy.load_file(path)
    assert found["model.0.weight"].shape == (8, 3)
    assert found["optimizer.slots.0.weight.exp_avg"].shape == (8, 3)
    header = read_metadata(path)
    assert header["run"] == "mine" and header["tensorflowlite.checkpoint"] == "2"
    assert is_whole(path.read_bytes())
    assert len(tfl.load(path)["history"]) == 3


def test_no_damaged_byte_goes_unnoticed(tmp_path: Path) -> None:
    path = written(tmp_path, epochs=1)
    content = path.read_bytes()
    draw = random.Random(0)
    header = 8 + int.from_bytes(content[:8], "little")
    seal = content.index(b'"tensorflowlite.seal"')
    places = {*range(8), *range(seal, seal + 95), *draw.sample(range(header), 80)}
    places |= {header, len(content) - 1, *draw.sample(range(header, len(content)), 60)}
    for place in sorted(places):
        damaged = bytearray(content)
        damaged[place] ^= draw.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])
        path.write_bytes(damaged)
        with pytest.raises(DataError) as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value), place
    for damaged in (content[:-1], content[: header + 5], content[:20], b"", content + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            read_checkpoint(path)
    path.write_bytes(content)
    assert len(read_checkpoint(path)["history"]) == 1


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    whole = written(tmp_path, epochs=4)
    expected = plain(read_checkpoint(whole))
    for name in os.listdir(tmp_path):
        os.unlink(tmp_path / name)
    path = written(tmp_path, keep=3)
    older = [tmp_path / f"checkpoint-{number}.safetensors" for number in (1, 2)]
    assert [len(read_checkpoint(one)["history"]) for one in (path, *older)] == [3, 2, 1]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.warns(RuntimeWarning) as told:
        make(Checkpoint(path, keep=3)).fit(loader(), epochs=4, resume="auto")
    assert [str(one.message) for one in told] == [
        "resume: the newest checkpoint can't be used: the file must be as it was written, got "
        f"another checksum; '{path}' is damaged; the run goes on from the one before, "
        f"'{older[0]}', with 2 epochs and 0 batches done"
    ]
    assert plain(read_checkpoint(path)) == expected
    # What was damaged took no whole one's place.
    assert [len(read_checkpoint(one)["history"]) for one in (path, *older)] == [4, 3, 2]


def test_where_all_are_damaged_it_says_so(tmp_path: Path) -> None:
    path = written(tmp_path)
    for one in tmp_path.iterdir():
        one.write_bytes(one.read_bytes()[:-1])
    trainer = make(Checkpoint(path))
    before = plain(dict(trainer.model.state_dict()))
    with pytest.raises(DataError, match=r"checkpoint.safetensors' is truncated"):
        trainer.fit(loader(), epochs=4, resume="auto")
    assert plain(dict(trainer.model.state_dict())) == before
    path.unlink()
    (tmp_path / "checkpoint-1.safetensors").unlink()
    assert len(trainer.fit(loader(), epochs=1, resume="auto")) == 1


def test_a_newest_file_that_is_gone(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.unlink()
    with pytest.warns(RuntimeWarning, match="No such file.*; the run goes on from the one before"):
        assert len(make(Checkpoint(path)).fit(loader(), epochs=4, resume="auto")) == 4


def test_a_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "VERSION", 3)
        checkpoint.write_checkpoint(path, read_checkpoint(path))
    with pytest.raises(DataError) as caught:  # no older one in its place
        make(Checkpoint(path)).fit(loader(), epochs=4, resume="auto")
    assert str(caught.value) == (
        "resume: the checkpoint must have a format of at most version 2, got version 3; "
        f"'{path}' was written by a newer tensorflowlite: update this one"
    )


def test_another_run_s_states_are_not_gone_back_to(tmp_path: Path) -> None:
    """A run that begins anew takes the place of all that one left, with its first checkpoint."""
    path = written(tmp_path, keep=3)
    with pytest.raises(Stop):
        make(Checkpoint(path, keep=3), Crash(3)).fit(loader(), epochs=2)
    assert len(os.listdir(tmp_path)) == 3 and len(read_checkpoint(path)["history"]) == 3
    make(Checkpoint(path, keep=3)).fit(loader(), epochs=1)
    assert os.listdir(tmp_path) == [path.name] and len(read_checkpoint(path)["history"]) == 1


# -- what is kept ----------------------------------------------------------------------------------
@pytest.mark.parametrize("links", [True, False])
def test_the_newest_and_the_best_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def link(*given: Any) -> None:
            raise OSError(errno.EPERM, "no links")

        monkeypatch.setattr(os, "link", link)
    path = written(tmp_path, epochs=5, keep=3, best=tmp_path / "best.safetensors")
    names = ["checkpoint.safetensors", "checkpoint-1.safetensors", "checkpoint-2.safetensors"]
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "best.safetensors"])
    assert [len(read_checkpoint(tmp_path / name)["history"]) for name in names] == [5, 4, 3]
    for one in tmp_path.iterdir():
        one.unlink()
    make(Checkpoint(path, keep=1)).fit(loader(), epochs=3)
    assert os.listdir(tmp_path) == ["checkpoint.safetensors"]


@pytest.mark.parametrize("options", [{"keep": 0}, {"every_batches": 0}, {"keep": True}], ids=str)
def test_bad_numbers(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ArgumentError, match=f"Checkpoint: {name} must be an integer of at least 1"):
        Checkpoint("x", **options)


def test_a_scaler_must_be_one() -> None:
    with pytest.raises(DtypeError, match="Trainer: scaler must be a GradScaler or None, got int"):
        make(scaler=3)
    with pytest.raises(ArgumentError, match="dtype must be float16 or bfloat16"):
        make(amp="float32")


def test_stale_temporaries_go_and_others_stay(tmp_path: Path) -> None:
    """What a killed process left goes; what a living one writes, and other files, stay."""
    path = tmp_path / "checkpoint.safetensors"
    stale = [tmp_path / f".checkpoint.safetensors.0123456{digit}.tmp" for digit in "789"]
    others = [tmp_path / ".checkpoint.safetensors.tmp", tmp_path / ".model.x.01234567.tmp"]
    for one in (*stale, *others):
        one.write_bytes(b"begun")
    with files._temporary(str(path)) as (file, held):
        make(Checkpoint(path, keep=1)).fit(loader(), epochs=1)
        assert os.path.exists(held)
        file.write(b"")
        os.unlink(held)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, *(one.name for one in others)])


# -- full disks and folders that can't be written to -----------------------------------------------
@pytest.mark.parametrize("what", ["write", "fsync", "replace"])
def test_a_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = written(tmp_path, epochs=1, keep=1)
    before = path.read_bytes()

    def full(*given: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if what == "write":
        real = os.fdopen

        def fdopen(*given: Any) -> Any:
            real(*given).close()
            return real(os.open("/dev/full", os.O_WRONLY), "wb")

        monkeypatch.setattr(os, "fdopen", fdopen)
    else:
        monkeypatch.setattr(os, what, full)
    with pytest.raises(WriteError) as caught:
        make(Checkpoint(path)).fit(loader(), epochs=3, resume=path)
    assert str(caught.value) == (
        "save: the file must be written whole, got 'No space left on device' for "
        f"'{path}'; what stood there before is unchanged"
    )
    assert path.read_bytes() == before
    assert set(os.listdir(tmp_path)) == {"checkpoint.safetensors"}


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, epochs=1, keep=1)
    before, real = path.read_bytes(), os.open

    def read_only(name: Any, flags: int, *given: Any) -> int:  # which root may write to
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(name, flags, *given)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(WriteError, match=r"got 'Permission denied' for .* before is unchanged$"):
        make(Checkpoint(path)).fit(loader(), epochs=3, resume=path)
    assert path.read_bytes() == before
    with pytest.raises(WriteError, match="make the folder first"):
        make(Checkpoint(tmp_path / "no" / "folder")).fit(loader(), epochs=1)


# -- signals ---------------------------------------------------------------------------------------
def test_sigterm_leaves_a_checkpoint_between_two_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    make(Checkpoint(path)).fit(loader(), epochs=2)
    expected = plain(read_checkpoint(path))
    with pytest.raises(SystemExit) as caught:
        make(Checkpoint(path), Send(8, signal.SIGTERM, signal.SIGTERM)).fit(loader(), epochs=2)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert f"interrupted in epoch 2; '{path}' holds a checkpoint" in capsys.readouterr().err
    assert read_checkpoint(path)["batch"] == 2
    make(Checkpoint(path)).fit(loader(), epochs=2, resume="auto")
    assert plain(read_checkpoint(path)) == expected


def test_ctrl_c_after_sigterm_takes_effect_at_once(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        make(Checkpoint(path), Send(8, signal.SIGTERM, signal.SIGINT)).fit(loader(), epochs=2)
    assert read_checkpoint(path)["batch"] == 0


def test_a_signal_while_the_last_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C then leaves the checkpoint before, SIGTERM waits until it is written."""
    for number, ending, batch in (
        (signal.SIGINT, KeyboardInterrupt, 0),
        (signal.SIGTERM, KeyboardInterrupt, 2),
    ):
        path = tmp_path / f"{number}.safetensors"
        real, first = os.fsync, Send(8, signal.SIGINT)

        def fsync(given: int, number: int = number, first: Send = first, real: Any = real) -> None:
            if first.left <= 0:
                signal.raise_signal(number)
            real(given)

        with monkeypatch.context() as patch, pytest.raises(ending):
            patch.setattr(os, "fsync", fsync)
            make(Checkpoint(path), first).fit(loader(), epochs=2)
        assert read_checkpoint(path)["batch"] == batch
        assert not list(tmp_path.glob(".*.tmp"))


def test_workers_that_sigterm_ends_as_well(tmp_path: Path) -> None:
    """A signal to the whole group is one to go on from, not the workers' failure."""
    path = tmp_path / "checkpoint.safetensors"

    class Workers:
        """A loader whose workers die when the signal comes."""

        def __iter__(self) -> Any:
            for number, batch in enumerate(loader()):
                if number == 4:
                    if self.signalled:
                        signal.raise_signal(signal.SIGTERM)
                    raise WorkerError("DataLoader: worker 0 must stay alive, got SIGTERM")
                yield batch

        signalled = True

    with pytest.raises(SystemExit):
        make(Checkpoint(path)).fit(Workers(), epochs=2)
    assert read_checkpoint(path)["batch"] == 4
    Workers.signalled = False
    with pytest.raises(WorkerError):
        make().fit(Workers(), epochs=2)


@pytest.fixture
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn, which takes most of a short command's time."""
    monkeypatch.setattr(curves, "plot_curves", lambda *given, **options: None)


@pytest.mark.usefixtures("without_curves")
def test_the_command_ends_with_the_signal_s_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here within this process; tests/endurance sends it to another."""
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "bars", "t10k", *bars())
    step = Trainer._step

    def signalled(trainer: Trainer, *given: Any) -> float:
        signal.raise_signal(signal.SIGTERM)
        return step(trainer, *given)

    monkeypatch.setattr(Trainer, "_step", signalled)
    command = ["train", "idx", "--data", "bars", "--model", "mlp", "--quiet", "--out", "run"]
    assert main([*command, "--resume"]) == 143
    assert capsys.readouterr().err == (
        "fit: interrupted in epoch 1; 'run/checkpoint.safetensors' holds a checkpoint to resume "
        "from\ntensorflowlite: terminated\n"
    )
    assert read_checkpoint(tmp_path / "run" / "checkpoint.safetensors")["batch"] == 1


# -- the command -----------------------------------------------------------------------------------
@pytest.mark.usefixtures("without_curves")
def test_the_command_begins_where_there_is_no_run_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "bars", "t10k", *bars())
    command = ["train", "idx", "--data", "bars", "--model", "mlp", "--epochs", "1", "--resume"]
    assert main(command) == 0
    assert capsys.readouterr().err == "train: there is no run to go on with yet; it begins\n"
    folder = tmp_path / "runs" / "idx-mlp-001"
    # Killed before its first checkpoint, or while the first file was written.
    for name in set(os.listdir(folder)) - {"config.json"}:
        (folder / name).unlink()
    assert main(command) == 0 and (folder / "checkpoint.safetensors").exists()
    assert os.listdir(tmp_path / "runs") == ["idx-mlp-001"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.json.01234567.tmp").write_text("{")
    assert main([*command, "--out", "run"]) == 0
    assert not list((tmp_path / "run").glob(".*.tmp"))


@pytest.mark.usefixtures("without_curves")
def test_the_command_goes_on_from_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "bars", "t10k", *bars())
    command = ["train", "idx", "--data", "bars", "--model", "mlp", "--out", "run", "--epochs"]
    assert main([*command, "2"]) == 0
    before, newest = (Path(f"run/checkpoint{part}.safetensors") for part in ("-1", ""))
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-9])
    capsys.readouterr()
    assert main([*command, "3", "--resume"]) == 0
    errors = capsys.readouterr().err
    assert errors.startswith("tensorflowlite: resume: the newest checkpoint can't be used: ")
    assert errors.count("\n") == 1 and "'run/checkpoint-1.safetensors', with 1 epochs" in errors
    newest.write_bytes(whole)
    assert main([*command, "3", "--resume", str(before)]) == 0
    assert len(read_checkpoint(newest)["history"]) == 3
    for wrong, got in (("run", "the folder 'run'"), ("nothing", "no file 'nothing'")):
        assert main([*command, "3", "--resume", wrong]) == 1
        assert f"--resume must name a checkpoint's file or nothing, got {got}" in (
            capsys.readouterr().err
        )
