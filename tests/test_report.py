"""Reports of runs: what they hold is what was measured, and the training is the same with them."""

from __future__ import annotations

import base64
import json
import math
import signal
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.errors import ArgumentError, MissingDependencyError, NumericalError
from tensorflowlite.nn import functional as F
from tensorflowlite.ops import random
from tensorflowlite.train import Callback, Checkpoint, EarlyStopping, Report, Trainer
from tensorflowlite.train.report.record import read_run
from tensorflowlite.train.report.steps import KEPT, StepStatistics

from .backends import TestBackend, backend  # noqa: F401
from .report_pages import check_page


def points(count: int = 48, seed: int = 0) -> TensorDataset:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    x = generator.normal(size=(count, 4)) + labels[:, np.newaxis]
    return TensorDataset(x.astype(np.float32), labels)


def loader(count: int = 48, size: int = 8, seed: int = 0) -> DataLoader:
    return DataLoader(points(count, seed), size, shuffle=True, seed=3)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)
    )


def make(*callbacks: Callback, model: nn.Module | None = None, **options: Any) -> Trainer:
    tfl.manual_seed(0)
    model = network() if model is None else model
    optimizer = optim.AdamW(model.parameters(), lr=options.pop("rate", 0.02))
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    given = {"metrics": ["accuracy"], "scheduler": schedule, "progress": False, **options}
    return Trainer(
        model, optimizer, given.pop("loss", F.cross_entropy), callbacks=callbacks, **given
    )


def record(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


class Norms(Callback):
    """Measures each step in NumPy, in float64."""

    priority = -5

    def __init__(self) -> None:
        self.before: dict[str, np.ndarray] = {}
        self.gradient: list[dict[str, float]] = []
        self.ratio: list[dict[str, float]] = []
        self.loss: list[float] = []

    def _values(self, trainer: Trainer) -> dict[str, np.ndarray]:
        held = trainer.model.named_parameters()
        return {name: one.detach().numpy().astype(np.float64) for name, one in held}

    def on_batch_start(self, trainer: Trainer) -> None:
        self.before = self._values(trainer)

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        self.loss.append(loss)
        grads = {n: p.grad.numpy().astype(np.float64) for n, p in trainer.model.named_parameters()}
        self.gradient.append({name: float(np.sqrt((g**2).sum())) for name, g in grads.items()})
        after = self._values(trainer)
        self.ratio.append({
            name: float(np.linalg.norm(after[name] - old) / np.linalg.norm(old))
            if np.linalg.norm(old) else math.nan for name, old in self.before.items()
        })  # fmt: skip


# -- layers ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "options",
    [{}, {"jit": False}, {"clip_norm": 0.05}, {"clip_value": 0.01}, {"l1": 0.01},
     {"scaler": 1024.0}],
    ids=str,
)  # fmt: skip
def test_norms_and_ratios_are_those_of_the_steps(tmp_path: Path, options: dict[str, Any]) -> None:
    norms = Norms()
    if "scaler" in options:
        options = {"scaler": tfl.amp.GradScaler("cpu", init_scale=options["scaler"])}
    trainer = make(norms, Report(tmp_path / "report.html"), **options)
    trainer.fit(loader(), loader(24, seed=1), epochs=4)
    steps = record(tmp_path / "report.json")["steps"]
    assert steps["every"] == 1 and steps["step"] == list(range(1, 25)) and steps["total"] == 24
    assert steps["names"] == [name for name, _ in trainer.model.named_parameters()]
    np.testing.assert_allclose(steps["loss"], norms.loss, rtol=1e-5)
    whole = [math.sqrt(sum(v**2 for v in one.values())) for one in norms.gradient]
    np.testing.assert_allclose(steps["norm"], whole, rtol=1e-4)
    for row, name in enumerate(steps["names"]):
        wanted = [one[name] for one in norms.gradient]
        np.testing.assert_allclose(steps["gradient"][row], wanted, rtol=1e-4, err_msg=name)
        found = [math.nan if value is None else value for value in steps["ratio"][row]]
        np.testing.assert_allclose(found, [one[name] for one in norms.ratio], rtol=1e-3)
    if "clip_norm" in options:
        assert max(steps["norm"]) <= 0.05 * 1.001
        assert "after clipping (clip_norm)" in check_page(tmp_path / "report.html").text
    rates = [0.02] * 12 + [0.01] * 12
    assert steps["rate"] == rates


def test_of_long_runs_some_steps_are_kept(tmp_path: Path) -> None:
    norms = Norms()
    trainer = make(norms, Report(tmp_path / "report.html"))
    trainer.fit(loader(48, 4), epochs=45)
    steps = record(tmp_path / "report.json")["steps"]
    assert steps["every"] == 3 and steps["step"] == list(range(1, 541, 3))
    np.testing.assert_allclose(steps["loss"], norms.loss[::3], rtol=1e-5)


def test_where_the_length_is_unknown_the_steps_are_thinned(tmp_path: Path) -> None:
    class Unsized:
        def __iter__(self) -> Any:
            return iter(loader(48, 4))

    norms = Norms()
    trainer = make(norms, Report(tmp_path / "report.html"))
    trainer.fit(Unsized(), epochs=36)  # 432 steps
    steps = record(tmp_path / "report.json")["steps"]
    assert steps["every"] == 4 and steps["step"] == list(range(1, 433, 4))
    assert len(steps["step"]) <= KEPT
    np.testing.assert_allclose(steps["loss"], norms.loss[::4], rtol=1e-5)
    wanted = [one["0.weight"] for one in norms.gradient[::4]]
    np.testing.assert_allclose(steps["gradient"][0], wanted, rtol=1e-4)


def test_large_models_are_shown_by_module(tmp_path: Path) -> None:
    tfl.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4)) for _ in range(20)]
    model = nn.Sequential(*blocks, nn.Linear(4, 3))
    norms = Norms()
    trainer = make(norms, Report(tmp_path / "report.html"), model=model)
    trainer.fit(loader(), epochs=2)
    steps = record(tmp_path / "report.json")["steps"]
    assert steps["by_module"] and len(steps["names"]) == 61
    held = [f"{name}.{kind}" for name in ("0.0",) for kind in ("weight", "bias")]
    wanted = [math.sqrt(sum(one[name] ** 2 for name in held)) for one in norms.gradient]
    np.testing.assert_allclose(steps["gradient"][steps["names"].index("0.0")], wanted, rtol=1e-4)
    assert "of each module" in check_page(tmp_path / "report.html").text


def test_parameters_without_gradients_and_frozen_ones() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].bias.requires_grad_(False)
    with tfl.no_grad():
        model[1].bias[...] = 0
    statistics = StepStatistics()
    statistics.begin(model, 10)
    statistics.before_step()
    model[0].weight.grad = tfl.full((3, 3), 1e30)  # its square is too large for float32
    model[1].bias.grad = tfl.tensor([3.0, math.inf, 0.0])
    with tfl.no_grad():
        model[1].bias[...] = 1
    statistics.after_step(0.5, 0.1)
    found = statistics.describe()
    assert found["names"] == ["0.weight", "1.weight", "1.bias"]
    assert found["gradient"] == [[pytest.approx(3e30)], [None], [None]]
    assert found["ratio"] == [[0.0], [0.0], [None]]


def test_statistics_on_every_backend(backend: TestBackend) -> None:  # noqa: F811
    for dtype in (tfl.float32, tfl.float16, tfl.bfloat16):
        tfl.manual_seed(0)
        model = nn.Linear(4, 3).to(backend.device).to(dtype)
        statistics = StepStatistics()
        statistics.begin(model, None)
        statistics.before_step()
        old = model.weight.detach().cpu().numpy().astype(np.float64)
        model.weight.grad = tfl.full((3, 4), 300.0, dtype=dtype, device=backend.device)
        with tfl.no_grad():
            model.weight *= 2
        statistics.after_step(1.0, 0.1)
        found = statistics.describe()
        assert found["gradient"] == [[pytest.approx(300 * math.sqrt(12), rel=1e-2)], [None]]
        assert found["ratio"][0][0] == pytest.approx(1.0, rel=1e-2) and old.any()


# -- the training is the same ----------------------------------------------------------------------
@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("interrupted", [False, True])
def test_the_training_has_the_same_bits(tmp_path: Path, jit: bool, interrupted: bool) -> None:
    ends = []
    for reporting in (False, True):
        callbacks: list[Callback] = [EarlyStopping(patience=20)]
        callbacks += [Report(tmp_path / "report.html")] if reporting else []
        callbacks += [Interrupt(17)] if interrupted else []
        trainer = make(*callbacks, jit=jit)
        validation = DataLoader(points(24, 1), 7, shuffle=True)
        if interrupted:
            with pytest.raises(KeyboardInterrupt):
                trainer.fit(loader(), validation, epochs=5)
        else:
            trainer.fit(loader(), validation, epochs=5)
        state = trainer.model.state_dict()
        again = [batch[1].numpy() for batch in validation]
        ends.append((
            {name: tensor.numpy().copy() for name, tensor in state.items()},
            [{**one, "seconds": 0} for one in trainer.history.records],
            random.get_states(), np.concatenate(again),
            {name: p.grad.numpy().copy() for name, p in trainer.model.named_parameters()},
            [module.training for module in trainer.model.modules()],
        ))  # fmt: skip
    for one, other in zip(*ends, strict=True):
        np.testing.assert_equal(one, other)


class Interrupt(Callback):
    """Presses Ctrl-C after so many batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


# -- resuming, and ends ----------------------------------------------------------------------------
@pytest.mark.parametrize("batches", [4, 6, 15])
def test_a_resumed_run_has_the_report_of_a_whole_one(tmp_path: Path, batches: int) -> None:
    whole = Report(tmp_path / "whole.html")
    make(whole).fit(loader(), loader(24, seed=1), epochs=5)
    path = tmp_path / "checkpoint.safetensors"
    first = Report(tmp_path / "run.html")
    with pytest.raises(KeyboardInterrupt):
        make(first, Checkpoint(path), Interrupt(batches)).fit(
            loader(), loader(24, seed=1), epochs=5
        )
    broken = record(tmp_path / "run.json")
    assert broken["reason"] == "interrupted" and broken["steps"]["total"] == batches
    assert "Stopped: interrupted." in check_page(tmp_path / "run.html").text
    trainer = make(Report(tmp_path / "run.html"), Checkpoint(path))
    trainer.fit(loader(), loader(24, seed=1), epochs=5, resume=path)
    found, wanted = record(tmp_path / "run.json"), record(tmp_path / "whole.json")
    for name in ("steps", "predictions", "best", "reason"):
        assert found[name] == wanted[name], name
    assert [one["samples"] for one in found["times"]] == [48] * 5
    for one, entry in zip(found["times"], found["history"], strict=True):
        parts = one["loading"] + one["step"] + one["validation"]
        assert one["step"] > 0 and parts <= entry["seconds"] * 1.01 + 1e-4
    assert found["notes"] == []


def test_a_run_that_died_goes_on_with_its_report(tmp_path: Path) -> None:
    class Die(Callback):
        def on_batch_end(self, trainer: Trainer, loss: float) -> None:
            if len(trainer.history) == 3 and trainer.batch == 3:
                raise MemoryError

    whole, path = Report(tmp_path / "whole.html"), tmp_path / "checkpoint.safetensors"
    make(whole).fit(loader(), epochs=5)
    with pytest.raises(MemoryError):
        make(Report(tmp_path / "run.html"), Checkpoint(path), Die()).fit(loader(), epochs=5)
    assert record(tmp_path / "run.json")["reason"] == "MemoryError"
    trainer = make(Report(tmp_path / "run.html"), Checkpoint(path))
    trainer.fit(loader(), epochs=5, resume=path)
    found, wanted = record(tmp_path / "run.json"), record(tmp_path / "whole.json")
    assert found["steps"] == wanted["steps"] and len(found["times"]) == 5


def test_threads_write_their_reports_at_once(tmp_path: Path) -> None:
    def run(name: str) -> None:
        trainers[name].fit(loader(), loader(24, seed=1), epochs=2)

    trainers = {name: make(Report(tmp_path / f"{name}.html", name="x")) for name in "abcd"}
    threads = [threading.Thread(target=run, args=name) for name in trainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in trainers:
        assert "font-size: 9.5px" in check_page(tmp_path / f"{name}.html").source


def test_a_report_may_join_a_run_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    make(Checkpoint(path)).fit(loader(), epochs=2)
    make(Report(tmp_path / "report.html"), Checkpoint(path)).fit(loader(), epochs=4, resume=path)
    found = record(tmp_path / "report.json")
    assert len(found["history"]) == 4 and [one["epoch"] for one in found["times"]] == [3, 4]
    assert found["steps"]["step"] == list(range(13, 25))
    assert "The first 2 epochs were trained without a report" in found["notes"][0]
    check_page(tmp_path / "report.html")


def test_a_second_fit_begins_anew(tmp_path: Path) -> None:
    trainer = make(Report(tmp_path / "report.html"))
    trainer.fit(loader(), epochs=3)
    trainer.fit(loader(), epochs=2)
    found = record(tmp_path / "report.json")
    assert found["steps"]["total"] == 12 and len(found["times"]) == 2


def test_an_error_leaves_a_report(tmp_path: Path) -> None:
    class Spoil(Callback):
        def on_batch_start(self, trainer: Trainer) -> None:
            if len(trainer.history) == 2:
                with tfl.no_grad():
                    trainer.model[4].bias[...] = math.nan

    trainer = make(Spoil(), Report(tmp_path / "report.html"))
    with pytest.raises(NumericalError):
        trainer.fit(loader(), loader(24, seed=1), epochs=4)
    found = record(tmp_path / "report.json")
    assert found["reason"].startswith("NumericalError: fit: the loss must be finite, got nan")
    assert len(found["history"]) == 2
    assert "NumericalError" in check_page(tmp_path / "report.html").text


def test_a_full_disk_costs_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Any, content: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tensorflowlite.train.report.callback.write_atomically", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert len(make(Report(tmp_path / "report.html")).fit(loader(), epochs=1)) == 1


def test_matplotlib_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r'Report: .*pip install "tensorflowlite\[t'):
        Report("report.html")


def test_arguments_that_are_wrong() -> None:
    with pytest.raises(ArgumentError, match="kind must be 'classification', 'regression' or None"):
        Report("report.html", kind="ranking")
    with pytest.raises(ArgumentError, match=r"path must name the page, got 'report\.json'"):
        Report("report.json")


# -- predictions -----------------------------------------------------------------------------------
def test_confusion_and_worst_mistakes(tmp_path: Path) -> None:
    validation = points(40, seed=1)
    trainer = make(Report(tmp_path / "report.html", classes=["ant", "bee", "cat"]))
    trainer.fit(loader(), DataLoader(validation, 7, shuffle=True), epochs=2)
    found = record(tmp_path / "report.json")["predictions"]
    x, labels = validation.arrays
    scores = trainer.predict(x).numpy().astype(np.float64)
    chosen = scores.argmax(1)
    counts = np.zeros((3, 3), int)
    for true, predicted in zip(labels, chosen, strict=True):
        counts[true, predicted] += 1
    assert found["confusion"] == counts.tolist() and found["classes"] == ["ant", "bee", "cat"]
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    losses = -np.log(chances[np.arange(40), labels])
    order = [int(n) for n in np.argsort(-losses, kind="stable") if chosen[n] != labels[n]][:24]
    assert order and [one["index"] for one in found["worst"]] == order
    for one in found["worst"]:
        place = one["index"]
        assert (one["true"], one["predicted"]) == (labels[place], chosen[place])
        assert one["loss"] == pytest.approx(losses[place], rel=1e-4)
        assert one["chance"] == pytest.approx(chances[place, chosen[place]], rel=1e-4)
        np.testing.assert_allclose(one["values"], x[place], rtol=1e-5)
    measured = trainer.evaluate(DataLoader(validation, 7))
    assert found["measures"] == {name: float(f"{v:.6g}") for name, v in measured.items()}
    page = check_page(tmp_path / "report.html")
    assert f"{np.trace(counts)} of 40 are right" in page.text
    rows = [row for row in page.rows if row[0] == "bee" and len(row) == 4]
    told = [str(count) if count else ("0" if n == 1 else "·") for n, count in enumerate(counts[1])]
    assert rows[0] == ["bee", *told]
    assert rows[1][1] == str(counts[1].sum())


def test_the_best_weights_are_what_is_looked_at(tmp_path: Path) -> None:
    stopping = EarlyStopping(patience=1)
    trainer = make(stopping, Report(tmp_path / "report.html"), loss=F.cross_entropy)
    data = loader(24, seed=1)
    trainer.fit(loader(), data, epochs=30)
    found = record(tmp_path / "report.json")
    measured = trainer.evaluate(data)
    assert found["predictions"]["measures"]["loss"] == pytest.approx(measured["loss"], rel=1e-5)
    assert found["best"] == stopping.best_epoch
    assert found["history"][found["best"] - 1]["validation_loss"] == min(
        one["validation_loss"] for one in found["history"]
    )


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 200, 120), (8, 8)])
def test_pictures_are_the_samples(tmp_path: Path, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(12, *shape)).astype(np.float32)
    data = DataLoader(TensorDataset(x, generator.integers(0, 3, 12)), 4)
    tfl.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 3))
    make(Report(tmp_path / "report.html"), model=model, rate=1e-9).fit(data, data, epochs=1)
    found = record(tmp_path / "report.json")["predictions"]["worst"]
    page = check_page(tmp_path / "report.html")
    pictures = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) == len(found) > 0
    for one, source in zip(found, pictures, strict=True):
        pixels = decode(base64.b64decode(source.removeprefix("data:image/png;base64,")))
        sample = x[one["index"]].astype(np.float64)
        sample = sample[..., np.newaxis] if sample.ndim == 2 else sample.transpose(1, 2, 0)
        if shape == (3, 200, 120):  # blocks of three pixels a side
            sample = sample[:198].reshape(66, 3, 40, 3, 3).mean((1, 3))
        low, high = sample.min(), sample.max()
        np.testing.assert_allclose(pixels, (sample - low) / (high - low) * 255, atol=0.51)


def decode(content: bytes) -> np.ndarray:
    """The pixels of a PNG file of unfiltered rows."""
    width, height = (int.from_bytes(content[a : a + 4], "big") for a in (16, 20))
    channels = {0: 1, 2: 3, 6: 4}[content[25]]
    start = content.index(b"IDAT") + 4
    raw = np.frombuffer(zlib.decompress(content[start:]), np.uint8)
    rows = raw.reshape(height, 1 + width * channels)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, channels)


def test_regression(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 2)).astype(np.float32)
    y = (3 * x[:, :1] - x[:, 1:] + generator.normal(size=(40, 1))).astype(np.float32)
    data = DataLoader(TensorDataset(x, y), 8)
    tfl.manual_seed(0)
    report = Report(tmp_path / "report.html", features=["height", "width"])
    trainer = make(report, model=nn.Linear(2, 1), loss=F.mse_loss, metrics=())
    trainer.fit(data, data, epochs=3)
    found = record(tmp_path / "report.json")["predictions"]
    predicted = trainer.predict(x).numpy()[:, 0].astype(np.float64)
    assert found["kind"] == "regression" and len(found["points"]) == 40
    np.testing.assert_allclose(np.array(found["points"])[:, 1], predicted, rtol=1e-4, atol=1e-5)
    errors = abs(predicted - y[:, 0])
    assert [one["index"] for one in found["worst"]] == np.argsort(-errors)[:24].tolist()
    assert found["measures"]["rmse"] == pytest.approx(math.sqrt((errors**2).mean()), rel=1e-4)
    page = check_page(tmp_path / "report.html")
    assert "Predicted against true" in page.text
    assert ["sample", "true", "predicted", "error", "height", "width"] in page.rows


@pytest.mark.parametrize("column", [True, False])
def test_two_classes_by_one_score(tmp_path: Path, column: bool) -> None:
    x, labels = points(40).arrays
    y = (labels > 0).astype(np.float32)
    model = nn.Linear(4, 1) if column else nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    data = DataLoader(TensorDataset(x, y[:, np.newaxis] if column else y), 8)
    loss = F.binary_cross_entropy_with_logits
    trainer = make(Report(tmp_path / "report.html"), model=model, loss=loss, metrics=())
    trainer.fit(data, data, epochs=2)
    found = record(tmp_path / "report.json")["predictions"]
    chosen = trainer.predict(x).numpy().reshape(-1) > 0
    wanted = [[int(((y == a) & (chosen == b)).sum()) for b in (0, 1)] for a in (0, 1)]
    assert found["confusion"] == wanted
    check_page(tmp_path / "report.html")


def test_outputs_that_are_neither(tmp_path: Path) -> None:
    data = DataLoader(TensorDataset(*(np.ones((8, 5), np.float32),) * 2), 4)
    report = Report(tmp_path / "report.html")
    make(report, model=nn.Linear(5, 5), loss=F.mse_loss, metrics=()).fit(data, data, epochs=1)
    found = record(tmp_path / "report.json")
    assert found["predictions"]["kind"] == "" and found["predictions"]["measures"]["loss"] > 0
    assert "the outputs are (4, 5) and the targets (4, 5)" in found["notes"][0]
    check_page(tmp_path / "report.html")


def test_many_classes_are_drawn(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    data = TensorDataset(generator.normal(size=(90, 4)).astype(np.float32), np.arange(90) % 30)
    make(Report(tmp_path / "report.html"), model=nn.Linear(4, 30)).fit(
        DataLoader(data, 9), DataLoader(data, 9), epochs=1
    )
    page = check_page(tmp_path / "report.html")
    assert "The pairs that are confused most" in page.text and "of 30 classes" in page.source


def test_a_model_that_fails_at_the_end_costs_the_predictions_alone(tmp_path: Path) -> None:
    class Once:
        """Gives other shapes the second time."""

        times = 0

        def __iter__(self) -> Any:
            self.times += 1
            return iter([(tfl.ones((2, 4 if self.times == 1 else 5)), tfl.tensor([0, 1]))])

    make(Report(tmp_path / "report.html")).fit(loader(), Once(), epochs=1)
    found = record(tmp_path / "report.json")
    assert found["predictions"] is None and "ShapeError" in found["notes"][0]
    assert "the model failed on the validation data" in check_page(tmp_path / "report.html").text


# -- the page --------------------------------------------------------------------------------------
def test_one_epoch_and_no_validation(tmp_path: Path) -> None:
    make(Report(tmp_path / "report.html")).fit(loader(), epochs=1)
    page = check_page(tmp_path / "report.html")
    assert "1 of 1 epochs." in page.text and "no validation data" in page.text


def test_nan_in_the_history(tmp_path: Path) -> None:
    class Script(Callback):
        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            record["validation_loss"] = [1.0, math.nan, math.inf][record["epoch"] - 1]
            record["odd"] = math.nan
            record["note"], record["step"] = "<b>", np.float32(0.5)

    make(Script(), Report(tmp_path / "report.html")).fit(loader(), epochs=3)
    found = record(tmp_path / "report.json")
    assert [one["validation_loss"] for one in found["history"]] == [1.0, None, None]
    assert found["best"] == 1
    assert "note" not in found["history"][0] and found["history"][0]["step"] == 0.5
    page = check_page(tmp_path / "report.html")
    assert "Not finite in some epochs" in page.text and "nothing finite" in page.source
    assert read_run(tmp_path / "report.json") == found


HOSTILE = "<script>alert(1)</script>\"'&$x^2$\x00\u202e</title>"


def test_names_that_look_like_html(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.ModuleDict({HOSTILE.replace(".", ""): nn.Linear(4, 3)})

        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            return next(iter(self.inner.values()))(x)

    def score(output: Any, target: Any) -> float:
        return 0.5

    score.__name__ = HOSTILE
    report = Report(
        tmp_path / "report.html", classes=[HOSTILE, "b", "c"], features=[HOSTILE], name=HOSTILE,
        part=HOSTILE, config={HOSTILE: HOSTILE}, data=loader(24, seed=2),
    )  # fmt: skip
    make(report, model=Odd(), metrics=[score]).fit(loader(), loader(24, seed=1), epochs=2)
    page = check_page(tmp_path / "report.html")
    assert "\x00" not in page.source and "\u202e" not in page.source
    assert page.text.count("<script>alert(1)</script>") > 8
    make(report, model=Odd(), metrics=[score]).fit(loader(), loader(24, seed=1), epochs=2)
    assert check_page(tmp_path / "report.html").text.count("$x^2$") > 5


def test_the_page_has_the_numbers_and_the_machine(tmp_path: Path) -> None:
    report = Report(tmp_path / "report.html", config={"note": "first try"})
    trainer = make(report)
    trainer.fit(loader(), loader(24, seed=1), epochs=3)
    page = check_page(tmp_path / "report.html")
    for one in trainer.history.records:
        row = [str(one["epoch"]), f"{one['loss']:.4g}", f"{one['validation_loss']:.4g}"]
        assert row in page.rows
    for row in (["note", "first try"], ["optimizer", "AdamW"], ["loss", "cross_entropy"],
                ["batch size", "8"], ["seed", "0"], ["learning rate", "0.02"], ["jit", "yes"],
                ["numpy", np.__version__], ["tensorflowlite", tfl.__version__],
                ["0", "Linear", "7 × 8", "40"]):  # fmt: skip
        assert row in page.rows or row == ["0", "Linear", "7 × 8", "40"]
    assert any(row[:2] == ["0", "Linear"] and row[3] == "40" for row in page.rows)
    assert "prefers-color-scheme: dark" in page.source


def test_it_says_nothing_to_the_user_and_leaves_matplotlib_alone(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    matplotlib.rcParams["font.size"] = 40
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make(Report(tmp_path / "a.html", name="x", classes="日本語")).fit(loader(), epochs=1)
        assert matplotlib.rcParams["font.size"] == 40
    finally:
        matplotlib.rcParams.update(before)
    assert "font-size: 9.5px" in (tmp_path / "a.html").read_text()
