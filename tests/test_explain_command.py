"""`tensorflowlite explain`: its subjects, and what it says of wrong arguments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tensorflowlite.cli import main
from tests.command import bars, refused, write_csv, write_idx


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_classic_network_learns_on_a_page(capsys):
    assert main(["explain", "--json", "story.json", "--steps", "4"]) == 0
    said = capsys.readouterr().out
    assert "open explain.html in a browser" in said and "mean squared error" in said
    story = json.loads(Path("story.json").read_text())
    assert len(story["iterations"]) == 4 and story["parameters"] == ["w1", "b1", "w2", "b2"]
    first = story["iterations"][0]
    operations = [c["operation"] for c in first["calls"] if c["phase"] == "forward"]
    assert operations == [
        "matmul", "add", "sigmoid", "matmul", "add", "sigmoid", "subtract", "square", "mean",
    ]  # fmt: skip
    assert [u["parameter"] for u in first["updates"]] == story["parameters"]
    lines = {source["text"] for source in story["sources"]}
    assert "hidden = tfl.sigmoid(inputs @ w1 + b1)" in lines
    losses = [one["loss"] for one in story["iterations"]]
    assert losses == sorted(losses, reverse=True)
    # By hand: the gradient of the output's bias is the mean of 2 (y - t) y (1 - y).
    calls, values = first["calls"], first["values"]
    output = np.array(values[calls[5]["outputs"][0]]["array"]["values"])
    target = np.array([0.0, 1.0, 1.0, 0.0])
    slope = (2 * (output - target) * output * (1 - output)).mean()
    assert first["updates"][3]["gradient"]["values"][0] == pytest.approx(slope, rel=1e-5)
    assert "<!doctype html>" in Path("explain.html").read_text()[:100].lower()


def test_the_classic_network_by_cross_entropy_as_text(capsys):
    assert main(["explain", "--loss", "cross_entropy", "--steps", "1", "--text"]) == 0
    said = capsys.readouterr().out
    assert "cross-entropy" in said and "= g · out · (1 − out)" in said and "a step by hand" in said


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_the_first_steps_of_the_digits(capsys, model):
    arguments = ["explain", "digits", "--model", model, "--steps", "2", "--batch-size", "4"]
    assert main([*arguments, "--json", "story.json", "--out", "digits.html"]) == 0
    story = json.loads(Path("story.json").read_text())
    assert len(story["iterations"]) == 2
    (update,) = [
        one for one in story["iterations"][0]["updates"] if one["parameter"].endswith("1.weight")
    ][:1]
    assert update["optimizer"] == "AdamW" and update["settings"]["lr"] == 0.002
    assert Path("digits.html").stat().st_size < 3_000_000
    types = {module["type"] for module in story["modules"]}
    assert types >= ({"Conv2d", "BatchNorm2d"} if model == "cnn" else {"Linear", "ReLU"})


def test_a_sample_of_a_run(capsys):
    write_csv(Path("table.csv"))
    train = ["train", "csv", "--data", "table.csv", "--target", "y", "--epochs", "2", "--quiet"]
    assert main([*train, "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["explain", "run", "--sample", "3", "--part", "validation"]) == 0
    said = capsys.readouterr().out
    assert "sample 3 of the validation data; predicted " in said and "it is " in said
    rows = Path("table.csv").read_text().splitlines()
    Path("mine.csv").write_text("\n".join([rows[0], *rows[5:9]]) + "\n")
    for subject in ("run", "run/model.safetensors", "run/checkpoint.safetensors"):
        assert main(["explain", subject, "--data", "mine.csv", "--sample", "1"]) == 0
        assert "sample 1 of 'mine.csv'" in capsys.readouterr().out
    assert "less than the 4 samples of 'mine.csv', got 4" in refused(
        capsys, ["explain", "run", "--data", "mine.csv", "--sample", "4"]
    )
    Path("other.csv").write_text("a,c,y\n1,2,red\n3,4,blue\n")
    assert "--data must have the columns a, b, got a, c" in refused(
        capsys, ["explain", "run", "--data", "other.csv"]
    )
    Path("other.csv").write_text("a,b,y\n1,2,red\n3,4,green\n")
    assert "must have the classes blue, red, got green" in refused(
        capsys, ["explain", "run", "--data", "other.csv"]
    )
    assert "--data and --part exclude each other" in refused(
        capsys, ["explain", "run", "--data", "mine.csv", "--part", "test"]
    )


def test_a_sample_of_a_regression(capsys):
    write_csv(Path("table.csv"), "regression")
    train = ["train", "csv", "--data", "table.csv", "--target", "y", "--epochs", "2", "--quiet"]
    assert main([*train, "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["explain", "run", "--json", "story.json"]) == 0
    said = capsys.readouterr().out
    assert "predicted " in said
    story = json.loads(Path("story.json").read_text())
    rows = [line.split(",") for line in Path("table.csv").read_text().splitlines()[1:]]
    wanted = float(story["title"].rpartition(" ")[2])
    assert any(abs(float(row[2]) - wanted) < 0.06 for row in rows)


def test_a_sample_of_images(capsys):
    write_idx(Path("images"), "train", *bars())
    train = ["train", "idx", "--data", "images", "--epochs", "1", "--quiet", "--out", "run"]
    assert main([*train, "--model", "mlp"]) == 0
    write_idx(Path("mine"), "train", *bars(5, seed=3))
    capsys.readouterr()
    assert main(["explain", "run", "--data", "mine", "--sample", "4"]) == 0
    assert "sample 4 of 'mine'" in capsys.readouterr().out
    images, labels = bars(5)
    write_idx(Path("wide"), "train", np.repeat(images, 2, 2), labels)
    assert "must hold images of shape (8, 8), got (8, 16)" in refused(
        capsys, ["explain", "run", "--data", "wide"]
    )
    write_idx(Path("more"), "train", images, labels + 5)
    assert "must have labels below 2" in refused(capsys, ["explain", "run", "--data", "more"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "the subject must be classic, digits, a run's folder or a checkpoint, got "
                      "'nowhere', which isn't there"),
        (["."], "the folder must be that of a run, got '.'"),
        (["--sample", "3"], "--sample must go with a run, got classic"),
        (["digits", "--loss", "mse"], "--loss must go with classic, got digits"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["digits", "--batch-size", "-1"], "--batch-size must be at least 1, got -1"),
        (["--lr", "nan"], "--lr must be positive, got nan"),
        (["--seed", "-1"], "--seed must be in [0, 2**63), got -1"),
        (["--out", "."], "--out must name a file, got the folder '.'"),
        (["--out", "nowhere/x.html"], "explain: the file must be written whole"),
    ],
)  # fmt: skip
def test_wrong_arguments(capsys, arguments, sentence):
    assert sentence in refused(capsys, ["explain", *arguments])


def test_a_file_that_train_has_not_written(capsys):
    import tensorflowlite as tfl

    tfl.save_safetensors("other.safetensors", {"x": tfl.ones(2)})
    assert "must be one that train wrote, got KeyError" in refused(
        capsys, ["explain", "other.safetensors"]
    )
    Path("damaged.safetensors").write_bytes(b"\xff" * 40)
    assert "damaged.safetensors" in refused(capsys, ["explain", "damaged.safetensors"])


def test_a_folder_of_runs_names_one(capsys):
    for name in ("b", "a"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "model.safetensors").touch()
    assert refused(capsys, ["explain", "runs"]).endswith("; take 'runs/a'")
