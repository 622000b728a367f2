"""The command, end to end on small generated files."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.cuda import nvrtc
from tensorflowlite.backend.native import extension as native
from tensorflowlite.cli import main
from tensorflowlite.cli.training import Run, load_model
from tensorflowlite.io import read_metadata
from tensorflowlite.train import Trainer

from .command import bars, lines, write_csv, write_idx

FILES = {
    "model.safetensors", "metrics.jsonl", "config.json", "curves.png", "report.html", "report.json",
}  # fmt: skip
CHECKPOINTS = {"checkpoint.safetensors", "checkpoint-1.safetensors"}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def idx(tmp_path: Path) -> str:
    write_idx(tmp_path / "bars", "t10k", *bars())
    return str(tmp_path / "bars")


def test_idx_writes_its_files_and_its_table(
    idx: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["train", "idx", "--data", idx, "--epochs", "6", "--lr", "0.01"]) == 0
    output = capsys.readouterr()
    assert output.err == ""  # no terminal, no progress
    rows = output.out.splitlines()
    names = [re.split(r"\s{2,}", row)[0] for row in rows[:-1]]
    assert names == [
        "run", "device", "data", "parameters", "epochs", "training time", "best epoch",
        "validation accuracy", "test loss", "report",
    ]  # fmt: skip
    assert "86 training, 10 validation, 24 test" in rows[2]
    assert re.search(r"6 of 6; all 6 epochs were run$", rows[4])
    found = re.fullmatch(r"test accuracy: (\d\.\d{4})", rows[-1])
    assert found is not None and float(found[1]) > 0.9
    folder = tmp_path / "runs" / "idx-cnn-001"
    assert {path.name for path in folder.iterdir()} == FILES | CHECKPOINTS
    assert [line["epoch"] for line in lines(folder / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "config.json").read_text())
    assert config["options"]["lr"] == 0.01 and config["options"]["seed"] == 0
    assert config["samples"] == {"training": 86, "validation": 10, "test": 24}


def test_runs_are_numbered_and_seeds_repeat(
    idx: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["train", "idx", "--data", idx, "--model", "mlp", "--epochs", "2", "--quiet"]
    for seed in ("3", "3", "4"):
        assert main([*command, "--seed", seed]) == 0
    runs = tmp_path / "runs"
    assert sorted(path.name for path in runs.iterdir()) == [f"idx-mlp-00{n}" for n in (1, 2, 3)]
    models = [tfl.load_safetensors(path / "model.safetensors") for path in sorted(runs.iterdir())]
    weights = [model["1.weight"].numpy() for model in models]
    assert np.array_equal(weights[0], weights[1]) and not np.array_equal(weights[0], weights[2])
    (runs / "idx-mlp-007").mkdir()
    assert main(command) == 0
    assert (runs / "idx-mlp-008" / "model.safetensors").exists()


def test_the_parts_do_not_overlap(idx: str) -> None:
    from tensorflowlite.cli.tasks import read_idx

    whole = bars()[0].reshape(120, -1)
    for seed in range(3):
        task = read_idx(idx, seed)
        parts = [
            part[0].reshape(len(part[0]), -1) for part in (task.train, task.validation, task.test)
        ]
        rows = {tuple(row) for part in parts for row in part}
        assert len(rows) == len({tuple(row) for row in whole}) == sum(map(len, parts))
        # Statistics are of the training part alone.
        scaled = parts[0].astype(np.float64) / 255
        assert task.config["mean"] == pytest.approx([scaled.mean()], rel=1e-5)
        assert task.config["std"] == pytest.approx([scaled.std()], rel=1e-5)


def test_a_folder_with_two_pairs_is_not_split_for_the_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_idx(tmp_path / "two", "train", *bars(100))
    write_idx(tmp_path / "two", "t10k", *bars(30, seed=1))
    assert main(["train", "idx", "--data", "two", "--model", "mlp", "--epochs", "1"]) == 0
    assert "90 training, 10 validation, 30 test" in capsys.readouterr().out


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_option(idx: str, tmp_path: Path, optimizer: str) -> None:
    command = [
        "train", "idx", "--data", idx, "--model", "mlp", "--device", "cpu", "--epochs", "2",
        "--batch-size", "16", "--lr", "0.01", "--optimizer", optimizer, "--weight-decay", "0.001",
        "--l1", "0.0001", "--dropout", "0.1", "--seed", "5", "--patience", "2",
        "--tolerance", "0.0001", "--workers", "0", "--out", "here/run", "--quiet",
    ]  # fmt: skip
    assert main(command) == 0
    options = json.loads(Path("here/run/config.json").read_text())["options"]
    assert options == {
        "model": "mlp", "device": "cpu", "epochs": 2, "batch_size": 16, "lr": 0.01,
        "optimizer": optimizer, "weight_decay": 0.001, "l1": 0.0001, "dropout": 0.1, "seed": 5,
        "patience": 2, "tolerance": 0.0001, "workers": 0,
    }  # fmt: skip


def test_worker_processes_give_the_same_model(idx: str) -> None:
    command = ["train", "idx", "--data", idx, "--model", "mlp", "--epochs", "2"]
    assert main([*command, "--out", "a"]) == 0
    assert main([*command, "--out", "b", "--workers", "1"]) == 0
    a, b = (tfl.load_safetensors(f"{name}/model.safetensors") for name in "ab")
    assert all(np.array_equal(a[name].numpy(), b[name].numpy()) for name in a)


def test_it_says_why_it_stopped(idx: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "idx", "--data", idx, "--model", "mlp"]
    assert main([*command, "--lr", "1e-12", "--tolerance", "0.5"]) == 0
    assert "2 of 60; converged: the training loss changed by at most 0.5" in capsys.readouterr().out
    assert main([*command, "--lr", "0.01", "--patience", "1"]) == 0
    assert re.search(r"no better validation_loss than .* in 1 epochs", capsys.readouterr().out)


# -- tables ----------------------------------------------------------------------------------------
def test_csv_classification_and_predicting_with_what_was_saved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_csv(Path("table.csv"))
    command = ["train", "csv", "--data", "table.csv", "--target", "y", "--epochs", "40"]
    assert main([*command, "--out", "run"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert float(last.removeprefix("test accuracy: ")) > 0.85
    model, config = load_model(Path("run"))
    assert config["data"]["classes"] == ["blue", "red"]
    assert config["data"]["features"] == ["a", "b"]
    rows = np.array([[80.0, 0.0], [20.0, 0.0]], np.float32)
    mean, std = (np.array(config["data"][name], np.float32) for name in ("mean", "std"))
    scores = model(tfl.tensor((rows - mean) / std)).detach().numpy()
    assert [config["data"]["classes"][place] for place in scores.argmax(1)] == ["red", "blue"]
    assert json.loads(read_metadata("run/model.safetensors")["tensorflowlite.config"]) == config


def test_csv_regression(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(Path("table.csv"), "regression")
    command = ["train", "csv", "--data", "table.csv", "--target", "y", "--epochs", "60"]
    assert main([*command, "--out", "run", "--dropout", "0"]) == 0
    *_, r2, rmse = capsys.readouterr().out.splitlines()
    assert float(r2.removeprefix("test r2: ")) > 0.9
    # The target spreads by 30; the error is in its units.
    assert 0.01 < float(rmse.removeprefix("test rmse: ")) < 12
    config = json.loads(Path("run/config.json").read_text())
    assert config["data"]["classes"] is None and config["data"]["target_std"] > 20


def test_the_kind_of_a_target_may_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{n % 7},{n % 3}" for n in range(60)]
    Path("table.csv").write_text("x,y\n" + "\n".join(rows) + "\n")
    command = ["train", "csv", "--data", "table.csv", "--target", "y", "--epochs", "1"]
    assert main(command) == 0
    assert "test accuracy: " in capsys.readouterr().out
    assert main([*command, "--kind", "regression"]) == 0
    assert "test rmse: " in capsys.readouterr().out


# -- digits ----------------------------------------------------------------------------------------
def test_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", "--model", "mlp", "--epochs", "15"]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    assert re.match(r"run\s+runs/digits-mlp-001$", rows[0])
    assert float(last.removeprefix("test accuracy: ")) > 0.9


# -- resuming --------------------------------------------------------------------------------------
def same_models(x: str, y: str) -> bool:
    a, b = (tfl.load_safetensors(f"{name}/model.safetensors") for name in (x, y))
    return all(np.array_equal(a[name].numpy(), b[name].numpy()) for name in a)


def test_an_interrupted_run_goes_on(
    idx: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", "idx", "--data", idx, "--model", "mlp", "--epochs", "6"]
    command += ["--batch-size", "16"]
    assert main([*command, "--out", "whole"]) == 0
    capsys.readouterr()
    step, steps = Trainer._step, []

    def interrupted(self: Trainer, epoch: int, batch: object) -> float:
        steps.append(epoch)
        if len(steps) == 15:
            signal.raise_signal(signal.SIGINT)
        return step(self, epoch, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        assert main([*command, "--out", "run"]) == 130
    output = capsys.readouterr()
    assert output.out == "" and "Traceback" not in output.err
    assert "interrupted in epoch 3; 'run/checkpoint.safetensors' holds a checkpoint" in output.err
    assert len(lines(Path("run/metrics.jsonl"))) == 2 and Path("run/curves.png").exists()
    assert main(["train", "idx", "--data", idx, "--model", "mlp", "--resume", "--out", "run"]) == 0
    assert [line["epoch"] for line in lines(Path("run/metrics.jsonl"))] == [1, 2, 3, 4, 5, 6]
    assert same_models("run", "whole")


def test_resuming_the_newest_run_for_more_epochs(
    idx: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "idx", "--data", idx, "--model", "mlp"]
    assert main([*command, "--epochs", "2"]) == 0
    assert main([*command, "--epochs", "4", "--resume"]) == 0
    assert re.search(r"epochs\s+4 of 4;", capsys.readouterr().out)
    assert [path.name for path in Path("runs").iterdir()] == ["idx-mlp-001"]
    assert len(lines(Path("runs/idx-mlp-001/metrics.jsonl"))) == 4
    config = json.loads(Path("runs/idx-mlp-001/config.json").read_text())
    assert config["options"]["epochs"] == 4
    # What is over isn't trained again, and its table is shown once more.
    assert main([*command, "--resume"]) == 0
    assert "test accuracy: " in capsys.readouterr().out


def test_overwrite_takes_away_the_files_of_a_run_alone(idx: str) -> None:
    command = ["train", "idx", "--data", idx, "--model", "mlp", "--out", "run"]
    assert main([*command, "--epochs", "3"]) == 0
    Path("run/notes.txt").write_text("mine")
    assert main([*command, "--epochs", "1", "--overwrite"]) == 0
    assert len(lines(Path("run/metrics.jsonl"))) == 1
    assert Path("run/notes.txt").read_text() == "mine"


def test_an_empty_folder_may_be_used(idx: str) -> None:
    Path("empty").mkdir()
    assert main(["train", "idx", "--data", idx, "--epochs", "1", "--out", "empty"]) == 0


# -- the rest of the command -----------------------------------------------------------------------
def test_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["doctor"]) == 0
    rows = dict(
        re.split(r"\s{2,}", row, maxsplit=1) for row in capsys.readouterr().out.splitlines()
    )
    assert rows["numpy"] == np.__version__ and rows["tensorflowlite"] == tfl.__version__
    assert rows["gpu"].startswith("usable: cuda:0" if tfl.cuda.is_available() else "not usable: ")
    loaded = native.module is not None
    assert rows["native extension"].startswith("loaded (" if loaded else "not loaded: ")
    compiler = nvrtc.compiler()
    told = "NVRTC {}.{}".format(*compiler.version) if compiler else nvrtc.why_not()
    assert rows["kernel compiler"] == told
    assert Path(rows["kernel cache"]).is_absolute()
    monkeypatch.setattr(native, "module", None)
    monkeypatch.setattr(native, "why_not", lambda: "no C++ compiler: g++ isn't installed")
    monkeypatch.setattr(
        "tensorflowlite.backend.cuda.devices.why_not", lambda: "CuPy isn't installed; run"
    )
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert "not loaded: no C++ compiler: g++ isn't installed\n" in output
    assert "not usable: CuPy isn't installed; run\n" in output


def test_bench_hands_over_its_arguments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    assert main(["bench"]) == 2
    assert "overhead" in capsys.readouterr().out


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tensorflowlite {tfl.__version__}\n"
    assert main(["train", "digits", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--model", "--batch-size", "--weight-decay", "--tolerance", "--resume"):
        assert option in text


def test_the_default_networks_have_batch_norm_and_dropout() -> None:
    from tensorflowlite.cli import networks

    description = networks.describe("cnn", (1, 8, 8), 10, 0.2)
    kinds = {type(module).__name__ for module in networks.build(description).modules()}
    assert {"Conv2d", "BatchNorm2d", "Dropout", "Linear"} <= kinds
    assert Run.__doc__
