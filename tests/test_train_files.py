"""What a training run leaves behind, and going on from it."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.errors import (
    ArgumentError,
    DataError,
    MissingDependencyError,
    NumericalError,
    StateError,
)
from tensorflowlite.io import WriteError
from tensorflowlite.nn import functional as F
from tensorflowlite.train import (
    Callback,
    Checkpoint,
    Curves,
    EarlyStopping,
    History,
    MetricsFile,
    Progress,
    TensorBoard,
    Trainer,
    plot_curves,
)


class Network(nn.Module):
    """A network with all that a checkpoint must keep: paths, buffers, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8, 2)

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return self.head(self.drop(self.encoder(x)))


def loader(count: int = 48, batch_size: int = 8) -> DataLoader:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, count)
    points = random.normal(size=(count, 3)) + labels[:, np.newaxis]
    data = TensorDataset(points.astype(np.float32), labels)
    return DataLoader(data, batch_size, shuffle=True, seed=5)


def make(*callbacks: Callback, seed: int = 0, kind: str = "adamw") -> Trainer:
    tfl.manual_seed(seed)
    model = Network()
    if kind == "adamw":
        optimizer: Any = optim.AdamW(model.parameters(), lr=0.02)
    else:
        optimizer = optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    return Trainer(model, optimizer, F.cross_entropy, ["accuracy"], callbacks, scheduler=schedule)


def same_end(x: Trainer, y: Trainer) -> None:
    """Two runs ended alike to the last bit."""

    def plain(trainer: Trainer) -> list[dict[str, Any]]:
        return [{**record, "seconds": 0} for record in trainer.history.records]

    assert plain(x) == plain(y)
    for name, tensor in x.model.state_dict().items():
        assert np.array_equal(tensor.numpy(), y.model.state_dict()[name].numpy()), name
    for one, other in zip(x.optimizer.state.values(), y.optimizer.state.values(), strict=True):
        assert all(np.array_equal(one[name].numpy(), other[name].numpy()) for name in one)
    assert tfl.random.get_state() == tfl.random.get_state()


class Interrupt(Callback):
    """Presses Ctrl-C after so many batches."""

    def __init__(self, batches: int, times: int = 1) -> None:
        self.left, self.times = batches, times

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- resuming --------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "checkpoint.safetensors"
    whole = make(EarlyStopping(patience=50), kind=kind)
    whole.fit(loader(), loader(), epochs=7)
    first = make(EarlyStopping(patience=50), Checkpoint(path), kind=kind)
    first.fit(loader(), loader(), epochs=3)
    second = make(EarlyStopping(patience=50), Checkpoint(path), seed=99, kind=kind)
    second.fit(loader(), loader(), epochs=7, resume=path)
    assert second.history["epoch"] == [1, 2, 3, 4, 5, 6, 7]
    same_end(whole, second)


@pytest.mark.parametrize("batches", [2, 6, 9, 12, 14])
def test_ctrl_c_leaves_a_checkpoint_between_two_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], batches: int
) -> None:
    path, metrics = tmp_path / "checkpoint.safetensors", tmp_path / "metrics.jsonl"
    whole = make()
    whole.fit(loader(), loader(), epochs=4)
    first = make(MetricsFile(metrics), Checkpoint(path, every=3), Interrupt(batches))
    with pytest.raises(KeyboardInterrupt):
        first.fit(loader(), loader(), epochs=4)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    done = (batches - 1) // 6  # the last step of an epoch isn't the end of it
    assert capsys.readouterr().err == (
        f"fit: interrupted in epoch {done + 1}; '{path}' holds a checkpoint to resume from\n"
    )
    assert len(lines(metrics)) == len(first.history) == done
    second = make(MetricsFile(metrics), Checkpoint(path), seed=99)
    second.fit(loader(), loader(), epochs=4, resume=path)
    assert [line["epoch"] for line in lines(metrics)] == [1, 2, 3, 4]
    same_end(whole, second)


def test_a_second_ctrl_c_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    trainer = make(Checkpoint(path), Interrupt(8, times=2))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(loader(), epochs=4)
    state = tfl.load(path)
    assert len(state["history"]) == 1 and state["batch"] == 0


def test_ctrl_c_during_validation(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"

    class Validation:
        def __iter__(self) -> Any:
            signal.raise_signal(signal.SIGINT)
            return iter(loader())

    whole = make()
    whole.fit(loader(), loader(), epochs=2)
    first = make(Checkpoint(path))
    with pytest.raises(KeyboardInterrupt):
        first.fit(loader(), Validation(), epochs=2)
    assert first.model.training
    second = make(seed=99)
    second.fit(loader(), loader(), epochs=2, resume=path)
    same_end(whole, second)


def test_other_threads_train_without_touching_signals(tmp_path: Path) -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(len(make().fit(loader(), epochs=2))))
    thread.start()
    thread.join()
    assert found == [2]


def test_a_process_that_gets_ctrl_c(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\n"
        "import numpy as np\n"
        "from tensorflowlite import nn, optim\n"
        "from tensorflowlite.nn import functional as F\n"
        "from tensorflowlite.train import Callback, Checkpoint, Trainer\n"
        "class Slow(Callback):\n"
        "    def on_batch_end(self, trainer, loss):\n"
        "        print('step', flush=True)\n"
        "        time.sleep(0.05)\n"
        "model = nn.Linear(2, 2)\n"
        "optimizer = optim.SGD(model.parameters(), lr=0.1)\n"
        "batches = [(np.ones((2, 2), np.float32), np.array([0, 1]))] * 5\n"
        "Trainer(model, optimizer, F.cross_entropy,\n"
        "        callbacks=[Slow(), Checkpoint(sys.argv[1])]).fit(batches, epochs=10**6)\n"
    )
    path = tmp_path / "checkpoint.safetensors"
    process = subprocess.Popen(
        [sys.executable, str(script), str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"'{path}' holds a checkpoint to resume from" in errors
    assert tfl.load(path)["batch"] >= 1 or tfl.load(path)["history"]


def test_early_stopping_goes_on_with_its_count_and_weights(tmp_path: Path) -> None:
    class Worse(Callback):
        priority = -1

        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            record["loss"] = float(record["epoch"])

    path = tmp_path / "checkpoint.safetensors"
    whole = make(EarlyStopping("loss", patience=4), Worse())
    whole.fit(loader(), epochs=9)
    first = make(EarlyStopping("loss", patience=4), Worse(), Checkpoint(path))
    first.fit(loader(), epochs=3)
    second = make(EarlyStopping("loss", patience=4), Worse(), Checkpoint(path), seed=9)
    history = second.fit(loader(), epochs=9, resume=path)
    assert len(history) == 5 and history.reason.endswith("(epoch 1) in 4 epochs")
    same_end(whole, second)
    third = make(EarlyStopping("loss", patience=4), Worse(), seed=9)
    assert len(third.fit(loader(), epochs=9, resume=path)) == 5
    same_end(whole, third)


def test_a_run_that_is_over_isn_t_trained_again(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    first = make(Checkpoint(path))
    first.fit(loader(), epochs=2)
    second = make(seed=7)
    assert len(second.fit(loader(), epochs=2, resume=path)) == 2
    same_end(first, second)


# -- the file --------------------------------------------------------------------------------------
def test_slots_stand_under_the_paths_of_the_parameters(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    make(Checkpoint(path)).fit(loader(), epochs=1)
    tensors = tfl.load_safetensors(path)
    for parameter in ("encoder.0.weight", "encoder.1.bias", "head.weight"):
        shape = tensors[f"model.{parameter}"].shape
        for slot in ("exp_avg", "exp_avg_sq"):
            assert tensors[f"optimizer.slots.{parameter}.{slot}"].shape == shape
    assert tensors["model.encoder.1.running_mean"].shape == (8,)


def test_a_checkpoint_fits_an_optimizer_of_another_order(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    first = make(Checkpoint(path))
    first.fit(loader(), epochs=1)
    model = Network()
    optimizer = optim.AdamW(list(model.parameters())[::-1], lr=0.02)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2)
    other = Trainer(model, optimizer, F.cross_entropy, scheduler=schedule)
    other.load_state_dict(tfl.load(path))
    for name, parameter in first.model.named_parameters():
        expected = first.optimizer.state[parameter]["exp_avg"].numpy()
        found = optimizer.state[model.get_parameter(name)]["exp_avg"].numpy()
        assert np.array_equal(expected, found)


def other(model: nn.Module, kind: Any = optim.AdamW, schedule: bool = True, **options: Any) -> Any:
    """Return a maker of Trainers that aren't those of `make`."""
    of = options.pop("of", model)
    optimizer = kind(of.parameters(), lr=0.1)
    if schedule:
        options["scheduler"] = optim.lr_scheduler.StepLR(optimizer, step_size=2)
    return lambda: Trainer(model, optimizer, F.cross_entropy, **options)


class Wider(Network):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)


MISFITS = [
    (other(Wider()), "load_state_dict: the state must fit Wider"),
    (other(nn.Linear(3, 2)), "must hold the optimizer's parameters in the same groups"),
    (other(nn.Sequential(network := Network()), of=network.head), "in the same groups"),
    (other(Network(), optim.SGD), "the optimizer must be as in the checkpoint, AdamW, got SGD"),
    (other(Network(), schedule=False), "the scheduler must be as in the checkpoint, StepLR, got n"),
    (other(Network(), amp="float16"), "the scaler must be as in the checkpoint, none, got GradSc"),
]  # fmt: skip


def test_checkpoints_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    make(Checkpoint(path)).fit(loader(), epochs=1)
    for misfit, text in MISFITS:
        trainer = misfit()
        before = [parameter.detach().numpy().copy() for parameter in trainer.model.parameters()]
        with pytest.raises(StateError) as caught:
            trainer.fit(loader(), epochs=2, resume=path)
        assert text in str(caught.value) and "\n" not in str(caught.value)
        after = [parameter.detach().numpy() for parameter in trainer.model.parameters()]
        assert all(map(np.array_equal, before, after))
    tfl.save(path, {"weights": tfl.ones(1)})
    with pytest.raises(DataError, match="resume: the file must be a checkpoint of the Trainer"):
        make().fit(loader(), epochs=2, resume=path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="is truncated or no safetensors file"):
        make().fit(loader(), epochs=2, resume=path)
    with pytest.raises(ArgumentError, match="Checkpoint: every must be an integer of at least 1"):
        Checkpoint(path, every=0)


def test_the_best_model_and_every_so_many_epochs(tmp_path: Path) -> None:
    path, best = tmp_path / "checkpoint.safetensors", tmp_path / "model.safetensors"
    written: list[int] = []

    class Watch(Callback):
        priority = 90

        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            written.append(len(tfl.load(path)["history"]) if path.exists() else 0)

    class Losses(Callback):
        priority = -1

        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            record["loss"] = [3.0, 1.0, 2.0, 2.5, 4.0][record["epoch"] - 1]
            if record["epoch"] == 2:
                kept.update({k: v.clone() for k, v in trainer.model.state_dict().items()})

    kept: dict[str, tfl.Tensor] = {}
    keeper = Checkpoint(path, best, every=2, metadata={"classes": "ab"})
    make(keeper, Watch(), Losses()).fit(loader(), epochs=5)
    assert written == [0, 2, 2, 4, 5] and len(tfl.load(path)["history"]) == 5
    saved = tfl.load_safetensors(best)
    assert all(np.array_equal(saved[name].numpy(), kept[name].numpy()) for name in kept)
    Network().load_state_dict(saved)


def test_a_nan_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"

    class Spoil(Callback):
        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            if record["epoch"] == 2:
                with tfl.no_grad():
                    trainer.model.head.weight[0, 0] = math.nan

    with pytest.raises(NumericalError) as caught:
        make(Checkpoint(path, every=1), Spoil(), MetricsFile(tmp_path / "metrics.jsonl")).fit(
            loader(), epochs=5
        )
    assert str(caught.value).endswith(f"; the checkpoint before it is kept in '{path}'")
    assert "in epoch 3, batch 1: parameter 'head.weight' is not finite" in str(caught.value)
    assert len(lines(tmp_path / "metrics.jsonl")) == 2


def test_a_checkpoint_that_would_hold_nan_is_not_written_over_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"

    class Spoil(Callback):
        steps = 0

        def on_batch_end(self, trainer: Trainer, loss: float) -> None:
            self.steps += 1
            if self.steps == 18:  # the last of the third epoch
                with tfl.no_grad():
                    trainer.model.head.bias[0] = math.inf

    with pytest.raises(NumericalError) as caught:
        make(Checkpoint(path), Spoil()).fit(loader(), epochs=5)
    assert str(caught.value) == (
        "fit: the parameters must be finite, got 'head.bias' with NaN or infinity after epoch 3; "
        "lower the learning rate or clip the gradients; the checkpoint before it is kept in "
        f"'{path}'"
    )
    state = tfl.load(path)
    assert len(state["history"]) == 2
    assert all(np.isfinite(tensor.numpy()).all() for tensor in state["model"].values())


def test_a_full_disk_while_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    replace = os.replace

    def full(source: str, target: str) -> None:
        if path.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteError, match=r"save: .*'No space left on device'.* is unchanged"):
        make(Checkpoint(path)).fit(loader(), epochs=3)
    assert len(tfl.load(path)["history"]) == 1
    assert os.listdir(tmp_path) == ["checkpoint.safetensors"]


# -- what it says ----------------------------------------------------------------------------------
def test_metrics_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    seen: list[int] = []

    class Watch(Callback):
        priority = 90

        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            record["odd"] = math.nan
            seen.append(len(lines(path)))

    class Odd(Callback):
        priority = -1

        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            record["odd"] = math.nan

    history = make(MetricsFile(path), Watch(), Odd()).fit(loader(), loader(), epochs=3)
    assert seen == [1, 2, 3]  # written when the epoch is over, not when the run is
    found = lines(path)
    assert [line["loss"] for line in found] == history["loss"]
    assert [line["odd"] for line in found] == [None] * 3


def test_a_resumed_metrics_file_is_brought_back_to_the_checkpoint(tmp_path: Path) -> None:
    path, checkpoint = tmp_path / "metrics.jsonl", tmp_path / "checkpoint.safetensors"
    first = make(MetricsFile(path), Checkpoint(checkpoint, every=2))
    with pytest.raises(RuntimeError, match="crash"):
        first.callbacks.append(Crash(epoch=3))
        first.fit(loader(), epochs=5)
    assert len(lines(path)) == 3
    make(MetricsFile(path), Checkpoint(checkpoint)).fit(loader(), epochs=5, resume=checkpoint)
    assert [line["epoch"] for line in lines(path)] == [1, 2, 3, 4, 5]


class Crash(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        if record["epoch"] == self.epoch:
            raise RuntimeError("crash")


def test_progress_is_quiet_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    make().fit(loader(), epochs=1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("bar", [True, False], ids=["tqdm", "no tqdm"])
def test_progress_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, bar: bool
) -> None:
    if not bar:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    trainer = make()
    assert isinstance(trainer.callbacks[0], Progress)
    trainer.callbacks[0].enabled = True
    trainer.fit(loader(), loader(), epochs=2)
    errors = capsys.readouterr().err
    assert ("epoch 2/2:   0%" in errors) == bar
    assert "epoch 2/2: loss 0." in errors and "validation accuracy" in errors


def test_curves(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    make(Curves(path)).fit(loader(), loader(), epochs=3)
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
    path.unlink()
    with pytest.raises(RuntimeError, match="crash"):
        make(Curves(path), Crash(2)).fit(loader(), epochs=3)
    assert path.exists()
    with pytest.raises(ArgumentError, match="must hold at least one epoch"):
        plot_curves(History(), path)


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, int]] = []

    class SummaryWriter:
        """What is used of tensorboardX's writer."""

        def __init__(self, folder: str, purge_step: int) -> None:
            assert folder == str(tmp_path)
            written.append(("purge", purge_step))

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            assert math.isfinite(value)
            written.append((tag, step))

        def flush(self) -> None:
            written.append(("flush", 0))

        def close(self) -> None:
            written.append(("close", 0))

    package = types.ModuleType("tensorboardX")
    package.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", package)
    make(TensorBoard(tmp_path)).fit(loader(), loader(), epochs=1)
    assert written == [
        ("purge", 1), ("training/loss", 1), ("training/accuracy", 1), ("validation/loss", 1),
        ("validation/accuracy", 1), ("training/learning_rate", 1), ("training/seconds", 1),
        ("flush", 0), ("close", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "use", "command"),
    [
        ("matplotlib.figure", lambda: Curves("x.png"), 'pip install "tensorflowlite[train]"'),
        ("tensorboardX", lambda: TensorBoard("x"), 'pip install "tensorflowlite[tensorboard]"'),
    ],
    ids=["matplotlib", "tensorboardX"],
)
def test_missing_packages(
    monkeypatch: pytest.MonkeyPatch, module: str, use: Any, command: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError) as caught:
        use()
    assert command in str(caught.value) and "\n" not in str(caught.value)
