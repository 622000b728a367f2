"""Reports from files: runs side by side, damaged files, and the command."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.cli import main
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.errors import ArgumentError, DataError
from tensorflowlite.io import WriteError
from tensorflowlite.nn import functional as F
from tensorflowlite.train import EarlyStopping, Report, Trainer, write_report
from tensorflowlite.train.report.record import read_run
from tensorflowlite.train.report.writing import page_of

from .command import bars, lines, refused, write_csv, write_idx
from .report_pages import check_page


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report.json of a run that hardly learned."""
    folder = train(tmp_path_factory.mktemp("runs") / "run", epochs=1, rate=1e-9)
    return (folder / "report.json").read_text()


def write(text: str) -> Path:
    """Make a run's folder of a report.json."""
    Path("run").mkdir()
    Path("run/report.json").write_text(text)
    return Path("run")


def train(name: Any, *, regression: bool = False, epochs: int = 3, rate: float = 0.01) -> Path:
    """Train in a folder, and return that."""
    folder = Path(name)
    folder.mkdir()
    generator = np.random.default_rng(0)
    x = generator.normal(size=(24, 4)).astype(np.float32)
    y = x.sum(1, keepdims=True) if regression else (x[:, 0] > 0).astype(np.int64)
    tfl.manual_seed(0)
    model = nn.Linear(4, 1 if regression else 2)
    loss: Any = F.mse_loss if regression else F.cross_entropy
    data = DataLoader(TensorDataset(x, y), 8, seed=1)
    Trainer(
        model, optim.SGD(model.parameters(), lr=rate), loss, () if regression else ["accuracy"],
        [Report(folder / "report.html"), EarlyStopping(patience=9)], progress=False,
    ).fit(data, data, epochs=epochs)  # fmt: skip
    return folder


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


# -- drawing again ---------------------------------------------------------------------------------
def test_the_file_gives_the_very_page() -> None:
    folder = train("run")
    first = (folder / "report.html").read_bytes()
    write_report(folder, "again.html")
    assert Path("again.html").read_bytes() == first
    write_report([folder / "report.json"], "again.html")
    assert Path("again.html").read_bytes() == first


def test_a_run_without_its_file_has_its_curves() -> None:
    folder = Path("old")
    folder.mkdir()
    records = [
        {"epoch": n, "loss": 1 / n, "validation_loss": None if n == 2 else 2 / n, "seconds": 0.5}
        for n in (1, 2, 3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    config = {"task": "idx", "options": {"lr": 0.1}, "versions": {"numpy": "2.0"}}
    (folder / "config.json").write_text(json.dumps(config))
    write_report("old", "page.html")
    page = check_page(Path("page.html"))
    assert ["3", "0.3333", "0.6667"] in page.rows and ["2", "0.5", "–"] in page.rows
    assert ["lr", "0.1"] in page.rows and ["numpy", "2.0"] in page.rows
    assert "no report.json" in page.text and "Not finite in some epochs" in page.text


# -- side by side ----------------------------------------------------------------------------------
def test_runs_side_by_side() -> None:
    one, two = train("one"), train("two", rate=0.5, epochs=5)
    write_report([one, two], "both.html")
    page = check_page(Path("both.html"))
    records = [record(folder) for folder in (one, two)]
    last = [run["history"][-1]["validation_loss"] for run in records]
    row = ["validation loss, last", *(f"{value:.4g}" for value in last)]
    assert row in page.rows and ["epochs", "3", "5"] in page.rows
    best = [run["history"][run["best"] - 1]["accuracy"] for run in records]
    assert ["accuracy, best epoch", *(f"{value:.4g}" for value in best)] in page.rows
    # The better one stands in bold, the settings that differ are marked, and no others.
    cells = re.findall(r'<th scope="row">validation loss, last</th>(.*?)</tr>', page.source)[0]
    assert re.findall('class="([^"]*)"', cells) == ["n", "n top"]
    marked = re.findall(r'<tr class="differs"><th scope="row">(.*?)</th>', page.source)
    assert marked == ["learning rate", "epochs"]
    assert ["learning rate", "0.01", "0.5"] in page.rows
    # Curves of both on common axes, with numbers that are theirs.
    for epoch in range(5):
        cell = f"{records[0]['history'][epoch]['loss']:.4g}" if epoch < 3 else "–"
        assert [str(epoch + 1), cell, f"{records[1]['history'][epoch]['loss']:.4g}"] in page.rows
    drawn = page.source.split("<h3>Loss, validation</h3>")[1].split("</svg>")[0]
    assert "var(--series-1)" in drawn and "var(--series-2)" in drawn


def test_runs_of_different_kinds_say_what_is_missing() -> None:
    folders = [train("classes"), train("numbers", regression=True)]
    Path("old").mkdir()
    Path("old/metrics.jsonl").write_text('{"epoch": 1, "loss": 0.5, "f1_score": 0.25}\n')
    write_report([*folders, "old"], "all.html")
    page = check_page(Path("all.html"))
    assert "numbers has no accuracy, no validation accuracy, no f1 score." in page.text
    assert "old has no accuracy, no validation loss, no validation accuracy, no times" in page.text
    assert "their losses don't compare" in page.text
    assert ["f1 score, last", "–", "–", "0.25"] in page.rows
    assert "Not measured by classes, numbers." in page.text
    assert "not recorded" in page.text


def test_many_runs_and_equal_names() -> None:
    for place in range(11):
        folder = Path(str(place)) / "same"
        folder.mkdir(parents=True)
        text = "".join(f'{{"epoch": {n}, "loss": {n + place}}}\n' for n in (1, 2))
        (folder / "metrics.jsonl").write_text(text)
    write_report([f"{place}/same" for place in range(11)], "all.html")
    page = check_page(Path("all.html"))
    assert "same (1)" in page.text and "same (11)" in page.text
    assert page.source.count('class="swatch dashed"') == 3


def test_a_long_run_stays_small(written: str) -> None:
    folder = write(written)
    found = json.loads(written)
    found["history"] = [
        {"epoch": n, "loss": 1 / n, "validation_loss": math.sin(n) ** 2} for n in range(1, 20001)
    ]
    rows = [[abs(math.sin(n * k)) for n in range(1, 201)] for k in range(1, 65)]
    steps = list(range(1, 201))
    found["steps"] |= {
        "names": [f"{'layer.' * 20}{k}.weight" for k in range(64)], "step": steps,
        "gradient": rows, "ratio": rows, **dict.fromkeys(("loss", "rate", "norm"), steps),
    }  # fmt: skip
    (folder / "report.json").write_text(json.dumps(found))
    write_report(folder, "long.html")
    page = check_page(Path("long.html"))
    assert "(each 100th row, and the last)" in page.text and "20,000" in page.text


# -- files that are damaged, or were changed -------------------------------------------------------
def change(**parts: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda run: run.update(parts)


def put(value: Any, *path: Any) -> Callable[[dict[str, Any]], Any]:
    def at(run: Any) -> None:
        for key in path[:-1]:
            run = run[key]
        run[path[-1]] = value

    return at


PICTURE = {"data": "iVBORw0KGgo=", "width": 8, "height": 8}


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (change(history="x"), "history"), (change(history=[1]), "history[0]"),
        (change(history=[{"epoch": 2}]), "history: the epochs"),
        (put("0.5", "history", 0, "loss"), "history[0].loss"),
        (put([], "history", 0, "<b>"), "history[0].<b>"),
        (change(best=9), "best"), (change(best=-1), "best"), (change(best=True), "best"),
        (change(name=3), "name"), (change(times=[{}]), "times[0].epoch"),
        (put([1], "steps", "step"), "steps.loss"), (put([[1.0]], "steps", "ratio"), "steps.ratio"),
        (put(1e301, "steps", "norm", 0), "steps.norm[0]"),
        (put([[1, 2], [3]], "predictions", "confusion"), "predictions.confusion"),
        (put([[1, -2], [3, 4]], "predictions", "confusion"), "predictions.confusion[0][1]"),
        (put("ranking", "predictions", "kind"), "predictions.kind"),
        (put([[1]], "predictions", "points"), "predictions.points"),
        (put(7, "predictions", "worst", 0, "true"), "predictions.worst[0].true"),
        (put({**PICTURE, "data": '"><script>'}, "predictions", "worst", 0, "picture"), "picture"),
        (put({**PICTURE, "data": "R0lGODlh"}, "predictions", "worst", 0, "picture"), "picture"),
        (put({**PICTURE, "width": 10**9}, "predictions", "worst", 0, "picture"), "picture"),
        (put("8 × 8", "model", "modules", 0, "shape"), "model.modules[0].shape"),
        (change(environment={"python": ["x"]}), "environment.python"),
        (change(configuration=[]), "configuration"), (change(notes="x"), "notes"),
    ],
)  # fmt: skip
def test_values_that_no_run_writes(written: str, damage: Any, place: str, capsys: Any) -> None:
    found = json.loads(written)
    assert found["predictions"]["worst"]
    damage(found)
    write(json.dumps(found))
    said = refused(capsys, ["report", "run"])
    assert said.startswith("report: the file must be as the run wrote it, got another value at ")
    assert place in said and "'run/report.json' is damaged or was changed" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got no JSON"), (b"{", "got no JSON"), (b"\xff\xfe\x00", "got no JSON"),
        (b"[" * 100_000, "got no JSON"), (b'{"a": NaN}', "got no JSON"),
        (b'{"a": 1, "a": 2}', "got no JSON"), (b"[1]", "got other JSON"),
        (b"{}", "got other JSON"),
        (b'{"format": "tensorflowlite.report", "version": 2}', "format version 1, got 2"),
        (b'{"format": "tensorflowlite.report", "version": 1}', "got another value at 'name'"),
    ],
)  # fmt: skip
def test_files_that_are_none(content: bytes, said: str, capsys: Any) -> None:
    Path("run").mkdir()
    Path("run/report.json").write_bytes(content)
    assert said in refused(capsys, ["report", "run"])


@pytest.mark.parametrize("tenths", range(10))
def test_files_that_are_cut_short(written: str, tenths: int) -> None:
    folder = write(written[: len(written) * tenths // 10])
    with pytest.raises(DataError, match="got no JSON"):
        write_report(folder, "page.html")
    assert not Path("page.html").exists()


@pytest.mark.parametrize(
    "text", ["{}\n", "[1]\n", '{"epoch": 1, "loss": "<b>"}\n', '{"epoch": 1}\n{"epoch": 3}\n', "x"]
)
def test_metrics_that_are_damaged(text: str, capsys: Any) -> None:
    Path("run").mkdir()
    Path("run/metrics.jsonl").write_text(text)
    assert "must be the records of epochs in their order" in refused(capsys, ["report", "run"])
    Path("run/metrics.jsonl").write_text('{"epoch": 1, "loss": 1}\n')
    Path("run/config.json").write_text('{"options": 3}')
    assert "the config.json of a run must be as it was" in refused(capsys, ["report", "run"])


def test_any_changed_byte_gives_a_page_or_a_sentence(written: str) -> None:
    generator = np.random.default_rng(0)
    refused, drawn = 0, 0
    for _ in range(150):
        content = bytearray(written.encode())
        for place in generator.integers(0, len(content), generator.integers(1, 4)):
            content[place] = generator.choice(list(b'0123456789-eE."{}[],:<>&ntx\xff'))
        Path("report.json").write_bytes(content)
        try:
            run = read_run("report.json")
        except DataError as error:
            refused += 1
            assert str(error).startswith("report: ") and "\n" not in str(error)
            continue
        drawn += 1
        if drawn < 12:
            Path("page.html").write_text(page_of([run]), encoding="utf-8")
            check_page(Path("page.html"))
    assert refused > 20 and drawn > 9


def test_a_file_can_ask_for_little(written: str, capsys: Any) -> None:
    for parts in (
        {"names": ["x"] * 300, "gradient": [[1.0]] * 300, "ratio": [[1.0]] * 300, "step": [1],
         "loss": [1], "rate": [1], "norm": [1]},
        {"names": [], "gradient": [], "ratio": [], "step": [1] * 2000, "loss": [1] * 2000,
         "rate": [1] * 2000, "norm": [1] * 2000},
    ):  # fmt: skip
        found = json.loads(written)
        found["steps"] |= parts
        Path("x.json").write_text(json.dumps(found))
        assert "at 'steps." in refused(capsys, ["report", "x.json"])
    found = json.loads(written)
    found["history"] = [{"epoch": 1, **{f"m{n}": 1.0 for n in range(3000)}}]
    found["name"] = "long" * 100_000
    Path("x.json").write_text(json.dumps(found))
    write_report("x.json", "page.html")
    page = check_page(Path("page.html"))
    assert "Of 3000 measures the first 24 are drawn." in page.text
    write_report(["x.json", "x.json"], "page.html")
    check_page(Path("page.html"))


def test_a_changed_file_runs_nothing(written: str) -> None:
    folder = write(written)
    found = json.loads(written)
    bad = '"><script>alert(1)</script><svg onload=alert(1)>'
    found |= {"name": bad, "reason": bad, "notes": [bad], "configuration": {bad: bad},
              "environment": {bad: bad, "tensorflowlite": bad}}  # fmt: skip
    found["history"] = [{**one, bad: 0.5} for one in found["history"]]
    found["steps"]["names"] = [bad, bad + "2"]
    found["predictions"] |= {"part": bad, "classes": [bad, bad], "measures": {bad: 1.0}}
    found["model"]["modules"][0] |= {"path": bad, "kind": bad}
    (folder / "report.json").write_text(json.dumps(found))
    write_report(folder, "page.html")
    write_report([folder, folder], "both.html")
    for name in ("page.html", "both.html"):
        assert "<script>alert(1)</script>" in check_page(Path(name)).text


def test_wrong_arguments(written: str) -> None:
    with pytest.raises(ArgumentError, match="at least one run must be named, got none"):
        write_report([], "page.html")
    Path("empty").mkdir()
    Path("empty/metrics.jsonl").write_text("")
    with pytest.raises(DataError, match="a run must have measured something, got no epoch"):
        write_report("empty", "page.html")
    with pytest.raises(WriteError, match="make the folder first"):
        write_report(write(written), "missing/page.html")


def test_the_documents_example() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "reports.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    exec(program, {})
    page = check_page(Path("report.html"))
    assert "below" in page.text and Path("report.json").exists()


# -- the command -----------------------------------------------------------------------------------
def test_training_writes_a_report_of_the_test(capsys: pytest.CaptureFixture[str]) -> None:
    write_idx(Path("bars"), "t10k", *bars())
    command = ["train", "idx", "--data", "bars", "--epochs", "4", "--lr", "0.01"]
    assert main([*command, "--out", "run"]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"report\s+run/report.html", rows[-1])
    page = check_page(Path("run/report.html"))
    found = record(Path("run"))
    accuracy = found["predictions"]["measures"]["accuracy"]
    assert last == f"test accuracy: {accuracy:.4f}" and found["predictions"]["part"] == "test"
    assert found["history"] == [
        {name: float(f"{value:.6g}") for name, value in one.items()}
        for one in lines(Path("run/metrics.jsonl"))
    ]
    assert ["task", "idx"] in page.rows and ["batch size", "64"] in page.rows
    assert ["samples.training", "86"] in page.rows
    assert (
        main(["train", "idx", "--data", "bars", "--epochs", "6", "--resume", "--out", "run"]) == 0
    )
    steps = record(Path("run"))["steps"]
    assert steps["step"] == list(range(1, 13)) and len(record(Path("run"))["times"]) == 6


def test_reports_of_tables(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(Path("table.csv"), "regression")
    command = ["train", "csv", "--data", "table.csv", "--target", "y", "--epochs", "3", "--quiet"]
    assert main([*command, "--out", "numbers"]) == 0
    rmse = capsys.readouterr().out.splitlines()[-1]
    found = record(Path("numbers"))["predictions"]
    assert rmse == f"test rmse: {found['measures']['rmse']:.4g}"  # in the table's units
    assert found["features"] == ["a", "b"]
    check_page(Path("numbers/report.html"))
    write_csv(Path("table.csv"))
    assert main([*command, "--out", "classes"]) == 0
    assert record(Path("classes"))["predictions"]["classes"] == ["blue", "red"]
    capsys.readouterr()
    assert main(["report", "numbers", "classes"]) == 0
    assert capsys.readouterr().out == "comparison.html\n"
    check_page(Path("comparison.html"))


def test_the_command_says_where_the_page_is(
    written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(written)
    assert main(["report", "run"]) == 0
    assert capsys.readouterr().out == "run/report.html\n" and Path("run/report.html").exists()
    assert main(["report", "run", "--out", "here.html"]) == 0
    assert capsys.readouterr().out == "here.html\n" and Path("here.html").exists()


def test_the_command_refuses_in_a_sentence(
    written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(written)
    Path("other").mkdir()
    assert "got no file or folder 'none'" in refused(capsys, ["report", "run", "none"])
    assert "got the folder 'other' without; name" in refused(capsys, ["report", "other"])
    assert "got the folder '.' without; take 'run'" in refused(capsys, ["report", "."])
    assert "make the folder first" in refused(capsys, ["report", "run", "--out", "no/page.html"])
    said = refused(capsys, ["report", "run", "--out", "other"])
    assert (
        said == "report: --out must name a file, got the folder 'other'; take 'other/report.html'"
    )
    assert "arguments are required: RUN" in refused(capsys, ["report"], status=2)
    Path("run/report.json").write_text("{}")
    assert "got other JSON" in refused(capsys, ["report", "run"])
