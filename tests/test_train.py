"""The Trainer: the loop, what stops it, what it measures."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.errors import (
    ArgumentError,
    DtypeError,
    NumericalError,
    ShapeError,
)
from tensorflowlite.nn import functional as F
from tensorflowlite.train import (
    Callback,
    Convergence,
    EarlyStopping,
    History,
    Trainer,
    accuracy,
    mean_absolute_error,
    r2_score,
)

from .backends import TestBackend, backend  # noqa: F401


def blobs(count: int = 60, seed: int = 0) -> TensorDataset:
    """Two classes of points that a line parts."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    points = random.normal(size=(count, 3)) + 4 * labels[:, np.newaxis]
    return TensorDataset(points.astype(np.float32), labels)


def loader(count: int = 60, batch_size: int = 16, seed: int = 0) -> DataLoader:
    return DataLoader(blobs(count, seed), batch_size, shuffle=True, seed=1)


def network(seed: int = 0) -> nn.Module:
    tfl.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


def make(model: nn.Module | None = None, **options: Any) -> Trainer:
    model = network() if model is None else model
    rate = options.pop("lr", 0.01)
    optimizer = options.pop("optimizer", None) or optim.AdamW(model.parameters(), lr=rate)
    return Trainer(model, optimizer, options.pop("loss", F.cross_entropy), **options)


def sgd() -> optim.SGD:
    """An optimizer of another model."""
    return optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)


def values(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def test_the_loop_learns_and_keeps_records() -> None:
    trainer = make(metrics=["accuracy"])
    history = trainer.fit(loader(), loader(30, seed=1), epochs=12)
    assert len(history) == 12 and history.reason == "all 12 epochs were run"
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert history["validation_accuracy"][-1] > 0.95
    assert history.names == [
        "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate",
        "seconds",
    ]  # fmt: skip
    assert history["epoch"] == list(range(1, 13)) and history.seconds > 0
    assert history["learning_rate"] == [0.01] * 12


def test_means_are_weighted_by_the_samples() -> None:
    data = TensorDataset(np.zeros((5, 3), np.float32), np.array([0, 0, 0, 0, 1]))
    model = nn.Linear(3, 2)
    with tfl.no_grad():
        model.weight[...] = 0
        model.bias[...] = tfl.tensor([2.0, 0.0])
    trainer = make(model, metrics=["accuracy"])
    found = trainer.evaluate(DataLoader(data, batch_size=4))
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert found["loss"] == pytest.approx((4 * right + wrong) / 5, rel=1e-6)
    assert found["accuracy"] == pytest.approx(0.8)


def test_evaluation_uses_no_dropout_and_keeps_the_modes() -> None:
    model = network()
    model[0].eval()
    trainer = make(model)
    before = values(model)
    first = trainer.evaluate(loader())
    assert first == trainer.evaluate(loader())
    assert [module.training for module in model.modules()] == [True, False, True, True, True]
    for name, value in values(model).items():
        assert np.array_equal(value, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_predict_takes_arrays_tensors_and_loaders() -> None:
    trainer = make()
    points = blobs().arrays[0]
    expected = trainer.model.eval()(tfl.tensor(points)).detach().numpy()
    trainer.model.train()
    for data in (points, tfl.tensor(points), DataLoader(blobs(), 7), DataLoader(points, 9)):
        found = trainer.predict(data, batch_size=11)
        assert not found.requires_grad
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert trainer.model.training


def test_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: tfl.Tensor, y: tfl.Tensor) -> tfl.Tensor:
            return self.layer(x) + self.layer(y)

    ones = np.ones((4, 2), np.float32)
    data = DataLoader(TensorDataset(ones, ones, np.array([0, 1, 0, 1])), 2)
    trainer = make(Two())
    assert len(trainer.fit(data, epochs=2)) == 2
    assert trainer.predict(data).shape == (4, 2)


# -- what stops it ---------------------------------------------------------------------------------
class Script(Callback):
    """Puts given values into the records, as if they had been measured."""

    priority = -1

    def __init__(self, name: str, numbers: list[float]) -> None:
        self.name, self.numbers = name, numbers

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        record[self.name] = self.numbers[record["epoch"] - 1]


class Keep(Callback):
    """Keeps the model's values of each epoch."""

    def __init__(self) -> None:
        self.kept: list[dict[str, np.ndarray]] = []

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        self.kept.append(values(trainer.model))


def test_early_stopping_restores_the_best_epoch() -> None:
    script = Script("validation_loss", [5.0, 3.0, 3.5, 2.95, 4.0, 1.0])
    keep, stopping = Keep(), EarlyStopping(patience=3, min_delta=0.1)
    trainer = make(callbacks=[stopping, keep, script])
    history = trainer.fit(loader(), epochs=9)
    assert len(history) == 5 and stopping.best_epoch == 2 and stopping.best_value == 3.0
    assert history.reason == "no better validation_loss than 3 (epoch 2) in 3 epochs"
    for name, value in values(trainer.model).items():
        assert np.array_equal(value, keep.kept[1][name])
        assert name != "0.weight" or not np.array_equal(value, keep.kept[4][name])


def test_early_stopping_without_restoring_and_with_more_is_better() -> None:
    keep = Keep()
    stopping = EarlyStopping("validation_accuracy", patience=1, restore_best=False)
    script = Script("validation_accuracy", [0.5, 0.7, 0.7, 0.9])
    trainer = make(callbacks=[stopping, keep, script])
    assert len(trainer.fit(loader(), epochs=9)) == 3 and stopping.best_epoch == 2
    assert np.array_equal(values(trainer.model)["0.weight"], keep.kept[2]["0.weight"])


def test_early_stopping_when_nothing_is_finite() -> None:
    script = Script("validation_loss", [math.nan] * 5)
    history = make(callbacks=[EarlyStopping(patience=2), script]).fit(loader(), epochs=5)
    assert history.reason == "validation_loss was not finite in 2 epochs"


def test_a_second_fit_begins_anew() -> None:
    stopping = EarlyStopping(patience=1)
    script = Script("validation_loss", [1.0, 2.0])
    trainer = make(callbacks=[stopping, script])
    assert len(trainer.fit(loader(), epochs=5)) == 2
    assert len(trainer.fit(loader(), epochs=5)) == 2 and stopping.best_epoch == 1


def test_convergence() -> None:
    script = Script("loss", [1.0, 0.9, 0.899, 0.5])
    history = make(callbacks=[script]).fit(loader(), epochs=4, tolerance=0.01)
    assert len(history) == 3
    assert history.reason == (
        "converged: the training loss changed by at most 0.01 of itself, from 0.9 to 0.899"
    )


def test_a_callback_stops_and_is_told_everything_in_order() -> None:
    seen: list[str] = []

    class Listen(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            seen.append("fit")

        def on_epoch_start(self, trainer: Trainer, epoch: int, batches: int | None) -> None:
            seen.append(f"epoch {epoch} of {batches}")

        def on_batch_end(self, trainer: Trainer, loss: float) -> None:
            seen.append("batch")

        def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
            trainer.stop("enough")
            trainer.stop("a later reason")

        def on_fit_end(self, trainer: Trainer) -> None:
            seen.append("end")

        def close(self, trainer: Trainer) -> None:
            seen.append("close")

    history = make(callbacks=[Listen()]).fit(loader(20, 10), epochs=3)
    assert history.reason == "enough"
    assert seen == ["fit", "epoch 1 of 2", "batch", "batch", "end", "close"]


# -- what it minimises and how ---------------------------------------------------------------------
def test_l1_shrinks_the_parameters_and_stays_out_of_the_loss() -> None:
    model = network()
    trainer = make(model, optimizer=optim.SGD(model.parameters(), lr=0.01), l1=1.0)
    sizes = [sum(abs(value).sum() for value in values(model).values())]
    first = trainer.fit(loader(), epochs=5)
    sizes.append(sum(abs(value).sum() for value in values(model).values()))
    assert sizes[1] < 0.8 * sizes[0]
    model.eval()
    plain = make(network(), lr=1e-9).fit(loader(), epochs=1)
    assert first["loss"][0] < 1.5 * plain["loss"][0]


@pytest.mark.parametrize("how", ["clip_norm", "clip_value"])
def test_gradients_are_clipped(how: str) -> None:
    model = network()
    before = values(model)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    trainer = make(model, optimizer=optimizer, **{how: 1e-3})
    trainer.fit(DataLoader(blobs(16), 16), epochs=1)
    changes = [value - before[name] for name, value in values(model).items()]
    norm = math.sqrt(sum(float((change**2).sum()) for change in changes))
    largest = max(float(abs(change).max()) for change in changes)
    found = norm if how == "clip_norm" else largest
    assert found == pytest.approx(1e-3, rel=1e-2)


def test_schedules_step_after_each_epoch() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    history = make(model, optimizer=optimizer, scheduler=schedule).fit(loader(), epochs=5)
    assert history["learning_rate"] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_plateau_schedules_see_the_validation_loss() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=1e-6)
    schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    trainer = make(model, optimizer=optimizer, scheduler=schedule)
    rates = trainer.fit(loader(), loader(), epochs=6)["learning_rate"]
    assert rates[0] == 1e-6 and rates[-1] < 1e-6


# -- losses that aren't finite ---------------------------------------------------------------------
class Logarithm(nn.Module):
    """Gives NaN for what is negative."""

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return tfl.log(x)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.log = Logarithm()

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        return self.log(self.norm(x))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_nan_names_the_first_layer_and_changes_no_parameter() -> None:
    tfl.manual_seed(0)
    model = nn.Sequential(Encoder(), nn.Linear(3, 2))
    calls: list[nn.Module] = []
    trainer = make(model)
    before = values(model)
    handle = model[1].register_forward_hook(lambda module, args, output: calls.append(module))
    with pytest.raises(NumericalError) as caught:
        trainer.fit(loader(), epochs=3)
    handle.remove()
    assert str(caught.value) == (
        "fit: the loss must be finite, got nan in epoch 1, batch 1: module '0.log' (Logarithm) was "
        "the first to give a value that isn't finite; lower the learning rate or clip the gradients"
    )
    (note,) = caught.value.__notes__  # there was no healthy step
    assert re.match(r"log: the result must be finite, got \d+ NaN in float32 \(16, 3\) of x ", note)
    assert " float32 (16, 3) in [" in note and note.endswith("; module '0.log'")
    after = values(model)
    for name, _ in model.named_parameters():
        assert np.array_equal(after[name], before[name])
    # One forward pass trained the running statistics; the one that searched did not.
    assert after["0.norm.num_batches_tracked"] == 1 and len(calls) == 2


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_nan_in_the_data_the_parameters_and_the_loss() -> None:
    points, labels = blobs(8).arrays
    points = points.copy()
    points[3, 1] = math.nan
    with pytest.raises(NumericalError, match="the batch's input is not finite before the first"):
        make().fit(DataLoader(TensorDataset(points, labels), 8), epochs=1)
    model = network()
    with tfl.no_grad():
        model[3].bias[0] = math.inf
    with pytest.raises(NumericalError, match=r"parameter '3\.bias' is not finite since the last"):
        make(model).fit(loader(), epochs=1)

    def broken(output: tfl.Tensor, target: tfl.Tensor) -> tfl.Tensor:
        return (output * 0.0).sum() / 0.0

    with pytest.raises(NumericalError, match=r"of finite outputs; check .* or lower the l") as at:
        make(loss=broken).fit(loader(), epochs=1)
    assert at.value.__notes__[0].startswith("divide: the result must be finite, got 1 NaN in")


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_the_last_healthy_step_is_named() -> None:
    model = network()
    losses: list[float] = []

    def worse(output: tfl.Tensor, target: tfl.Tensor) -> tfl.Tensor:
        return F.cross_entropy(output, target) / (1.0 if len(losses) < 3 else 0.0)

    trainer = make(model, loss=worse, callbacks=[Noting(losses)], jit=False)
    with pytest.raises(NumericalError) as caught:
        trainer.fit(loader(), epochs=2)
    operation, healthy = caught.value.__notes__
    assert operation.startswith("divide: the result must be finite, got 1 infinite in float32 ()")
    assert healthy == f"the last healthy step: epoch 1, batch 3, loss {losses[2]:g}"


class Noting(Callback):
    def __init__(self, losses: list[float]) -> None:
        self.losses = losses

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        self.losses.append(loss)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_a_nan_that_only_dropout_makes() -> None:
    calls: list[int] = []

    class Sometimes(nn.Module):
        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            calls.append(1)
            return x / 0.0 if len(calls) == 1 else x

    model = nn.Sequential(nn.Linear(3, 2), Sometimes())
    with pytest.raises(NumericalError, match="it came out finite when the batch ran again"):
        make(model).fit(loader(), epochs=1)


# -- bad arguments ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: make().fit(loader(), epochs=0), ArgumentError,
         "fit: epochs must be an integer of at least 1, got 0"),
        (lambda: make().fit(loader(), epochs=2.5), ArgumentError, "got 2.5"),
        (lambda: make().fit([], epochs=1), ArgumentError,
         "fit: the loader must give at least one batch in every epoch, got none; an iterator"),
        (lambda: make().fit(iter(loader()), epochs=2), ArgumentError, "got none; an iterator"),
        (lambda: make().evaluate([]), ArgumentError, "evaluate: the loader must give at least"),
        (lambda: make().predict([]), ArgumentError, "predict: the loader must give at least"),
        (lambda: make().fit([np.zeros((2, 3), np.float32)]), DtypeError,
         "fit: a batch must be a tuple of inputs and a target, got Tensor"),
        (lambda: Trainer(sgd(), nn.Linear(2, 2), F.mse_loss), DtypeError,
         "Trainer: model must be a Module, got SGD; the order is Trainer(model, optimizer, loss)"),
        (lambda: Trainer(nn.Linear(2, 2), "adam", F.mse_loss), DtypeError,
         "Trainer: optimizer must be an Optimizer, got 'adam'; make one of model.parameters()"),
        (lambda: Trainer(nn.Linear(2, 2), sgd(), F.mse_loss), ArgumentError,
         "the optimizer must hold parameters of the model, got none of its 2; make it of"),
        (lambda: make(loss=nn.CrossEntropyLoss), DtypeError, "; use CrossEntropyLoss()"),
        (lambda: make(loss="mse"), DtypeError, "a function of output and target, got 'mse'"),
        (lambda: make(loss=nn.CrossEntropyLoss(reduction="none")).fit(loader(), epochs=1),
         ShapeError, "fit: the loss must be one number, got shape (16,); reduce it with mean()"),
        (lambda: make(loss=nn.CrossEntropyLoss(reduction="none")).evaluate(loader()),
         ShapeError, "evaluate: the loss must be one number, got shape (16,)"),
        (lambda: make(metrics=["precision"]), ArgumentError, "got 'precision'"),
        (lambda: make(metrics=["accuracy", accuracy]), ArgumentError, "got 'accuracy' twice"),
        (lambda: make(l1=-1.0), ArgumentError, "l1 must be finite and not negative, got -1.0"),
        (lambda: make(clip_norm=0.0), ArgumentError, "clip_norm must be positive or None, got 0.0"),
        (lambda: EarlyStopping(patience=0), ArgumentError,
         "EarlyStopping: patience must be an integer of at least 1, got 0"),
        (lambda: EarlyStopping(min_delta=-1), ArgumentError, "min_delta must not be negative"),
        (lambda: Convergence(0.0), ArgumentError, "tolerance must lie between 0 and 1, got 0.0"),
        (lambda: make(callbacks=[EarlyStopping("f1")]).fit(loader(), epochs=1), ArgumentError,
         "monitor: the measure must be one of epoch, loss, learning_rate, seconds, got 'f1'"),
        (lambda: History([{"loss": 1.0}])["accuracy"], ArgumentError, "must be one of loss, got"),
        (lambda: accuracy(tfl.ones((2, 3)), tfl.ones((3,))), ShapeError,
         "accuracy: output must be scores (N, C)"),
        (lambda: mean_absolute_error(tfl.ones((2, 1)), tfl.ones(2)), ShapeError,
         "mean_absolute_error: output and target must have one shape, got (2, 1) and (2,)"),
    ],
)  # fmt: skip
def test_bad_arguments(call: Any, error: type, text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_r2_of_a_constant() -> None:
    assert r2_score(tfl.ones(3), tfl.ones(3)) == 1.0
    assert r2_score(tfl.zeros(3), tfl.ones(3)) == 0.0
    assert r2_score(tfl.tensor([2.0, 2.0, 2.0]), tfl.tensor([1.0, 2.0, 3.0])) == pytest.approx(0.0)


def test_the_device_path(backend: TestBackend) -> None:  # noqa: F811
    """Model, optimizer states and batches go to the device; the results are those of the CPU."""
    histories = []
    for device in ("cpu", backend.device):
        model = network()
        model[2].p = 0.0  # a device counts its own random streams
        optimizer = optim.AdamW(model.named_parameters(), lr=0.01)
        trainer = make(
            model, optimizer=optimizer, metrics=["accuracy"], device=device, clip_norm=1.0, l1=1e-4
        )
        histories.append(trainer.fit(loader(), loader(), epochs=2))
        assert {str(parameter.device) for parameter in model.parameters()} == {str(device)}
        assert trainer.predict(blobs().arrays[0]).device == "cpu"
        slot = optimizer.state[model[0].weight]["exp_avg"]
        assert slot.device == device
    for name in ("loss", "validation_loss", "accuracy"):
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-4)
