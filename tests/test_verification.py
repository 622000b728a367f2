"""Gradients verified while a training runs: wrong ones are found and named, right ones pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.core.primitive import registry, watch
from tensorflowlite.core.tape import Deferred
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.debug.rule_checks import find_wrong_rule
from tensorflowlite.debug.wide_checks import find_inexact_call
from tensorflowlite.errors import ArgumentError, GradientError, ShapeError
from tensorflowlite.nn import functional as F
from tensorflowlite.train import Trainer
from tensorflowlite.train.verification import Verifier

from . import backends

HERE = Path(__file__).name


def network() -> nn.Sequential:
    tfl.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2),
        nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3),
    )  # fmt: skip


def loader() -> DataLoader:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(32, 1, 8, 8)).astype(np.float32)
    return DataLoader(TensorDataset(images, rng.integers(0, 3, 32)), batch_size=8, shuffle=True)


def fit(every: int, jit: bool = True, **options: Any) -> dict[str, Any]:
    model = network()
    trainer = Trainer(
        model, optim.AdamW(model.parameters(), lr=1e-2), F.cross_entropy, progress=False, jit=jit,
        verify_gradients=every, **options,
    )  # fmt: skip
    trainer.fit(loader(), epochs=2)
    return {name: value.tolist() for name, value in model.state_dict().items()}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Lets a gradient rule give something else, in all dtypes or in one."""

    def spoil(name: str, change: Callable[[Any], Any], dtype: Any = None) -> None:
        op = registry[name]

        def wrong(rule: Any) -> Any:
            def run(node: Any, g: Any, k: Any, need: Any) -> Any:
                result = rule(node, g, k, need)
                first = g[0] if isinstance(g, list | tuple) else g
                return change(result) if dtype in (None, first.dtype) else result

            return run

        raw = wrong(op.raw) if op.joint else tuple(rule and wrong(rule) for rule in op.raw)
        monkeypatch.setattr(op, "raw", raw)

    yield spoil


def test_nothing_of_the_training_changes() -> None:
    plain = fit(0)
    assert fit(1) == plain and fit(3, jit=False) == plain
    assert fit(2, clip_norm=0.1, l1=1e-3) == fit(0, clip_norm=0.1, l1=1e-3)
    assert watch.wrap is None


def test_on_a_device() -> None:
    model = network()
    trainer = Trainer(
        model, optim.SGD(model.parameters(), lr=0.1), F.cross_entropy, verify_gradients=2,
        device=backends.all_backends()[-1].device, progress=False,
    )  # fmt: skip
    assert len(trainer.fit(loader(), epochs=1)) == 1


def test_every_so_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    verifier = Verifier(model, F.cross_entropy, 3)
    x, y = next(iter(loader()))
    for _ in range(7):
        verifier((x,), y)
    assert verifier.checks == 2
    assert all(p.grad is None for p in model.parameters())
    for every in (-1, True, 1.5):
        with pytest.raises(ArgumentError, match="Trainer: verify_gradients must be an integer of"):
            fit(every)  # type: ignore[arg-type]


@pytest.mark.parametrize("jit", [False, True])
def test_a_wrong_rule_is_named(broken: Callable[..., None], jit: bool) -> None:
    broken("conv_act", lambda found: (found[0], found[1] * 1.2, *found[2:]))
    with pytest.raises(GradientError) as error:
        fit(2, jit)
    text = str(error.value)
    assert text.startswith("fit: the gradients must agree with central differences of the loss in ")
    assert "for parameter '0.weight'; the gradient of convolution for w is " in text
    assert f"module '0'; called in {Path(__file__).parent}/{HERE}:" in text


@pytest.mark.parametrize(
    ("name", "change", "parameter", "place"),
    [
        ("batch_norm", lambda r: (r[0], r[1] * 1.2, *r[2:]), "'1.weight'", "batch_norm for param"),
        ("dropout", lambda r: (r[0] * 1.2, *r[1:]), "", "dropout for x"),
        ("max_pool", lambda r: (r[0] * 1.2, *r[1:]), "", "max_pool for x"),
    ],
)
def test_other_forms_of_rules(
    broken: Callable[..., None], name: str, change: Any, parameter: str, place: str
) -> None:
    def scaled(found: Any) -> Any:
        if isinstance(found, Deferred):  # handed to the convolution before it, unevaluated
            found.g = found.g * 1.2  # type: ignore[attr-defined]
            return found
        return None if found is None else found * 1.2

    broken(name, change if registry[name].joint else scaled)
    with pytest.raises(GradientError, match=f"parameter.*{parameter}.*the gradient of {place}"):
        fit(1)


def test_a_rule_that_is_wrong_in_one_dtype(broken: Callable[..., None]) -> None:
    broken("reshape", lambda found: found * 1.2, dtype=np.float32)
    with pytest.raises(GradientError, match=r"the gradient of reshape, beside itself in float64: "):
        fit(1)


def test_a_gradient_that_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    tanh, linear = registry["tanh"], registry["linear_act"]
    payload = (tanh.defers or {})[linear]

    def wrong(*args: Any) -> Any:
        found = payload(*args)  # type: ignore[misc]
        found.saved = found.saved * 0.5
        return found

    monkeypatch.setitem(tanh.defers, linear, wrong)  # type: ignore[arg-type]
    with pytest.raises(GradientError, match="no operation by itself is shown to be at fault"):
        fit(1)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: nn.Linear(3, 2), tfl.zeros(4, 3)),  # at the kink of what follows
        (lambda: nn.Linear(3, 2).double(), tfl.ones((4, 3), dtype=tfl.float64)),
        (lambda: nn.Linear(3, 2).bfloat16(), tfl.ones((4, 3), dtype=tfl.bfloat16)),
        (lambda: nn.Sequential(nn.Linear(3, 2).requires_grad_(False)), tfl.ones(4, 3)),
    ],
)
def test_quiet_where_gradients_are_right(make: Callable[[], Any], x: tfl.Tensor) -> None:
    tfl.manual_seed(0)
    model = make()
    if x.dtype == tfl.float32 and model.__class__ is nn.Linear:
        nn.init.zeros_(model.bias)

    def loss(output: Any, y: Any) -> tfl.Tensor:
        return F.relu(output).square().sum() + output.relu().sum()

    verifier = Verifier(model, loss, 1)
    for _ in range(3):
        verifier((x,), tfl.zeros(4))


def test_roundings_are_no_mistake() -> None:
    """A loss of nearly zero: float32 has few digits of the gradient, and rightly so."""
    tfl.manual_seed(0)
    model = nn.Linear(3, 2)
    model.weight.set_(model.weight.detach() * 30)
    x = tfl.randn(40, 3)
    y = model(x).detach().argmax(1)
    sure = (model(x).detach()[:, 0] - model(x).detach()[:, 1]).abs() > 12
    verifier = Verifier(model, F.cross_entropy, 1)
    for _ in range(4):
        verifier((x[sure],), y[sure])


def test_what_others_tell_of_is_left_to_them() -> None:
    model = network()
    trainer = Trainer(
        model, optim.SGD(model.parameters(), lr=0.1), lambda output, y: output, verify_gradients=1
    )
    with pytest.raises(ShapeError, match="fit: the loss must be one number"):
        trainer.fit(loader(), epochs=1)


def test_the_two_finders() -> None:
    x = tfl.randn(4, 3).double().requires_grad_()
    random = np.random.default_rng(0)

    def run() -> None:
        y = tfl.concat([x, (x * 2).T.reshape(4, 3)]).softmax(1)
        (F.relu(y - 0.3).sum() + y.max(axis=1).sum() + (y @ y.T).tril().sum()).backward()

    assert find_wrong_rule(run, random) is None and find_inexact_call(run) == ""
    assert watch.wrap is None
    with pytest.raises(ZeroDivisionError):
        find_wrong_rule(lambda: 1 // 0, random)
    with pytest.raises(ZeroDivisionError):
        find_inexact_call(lambda: 1 // 0)
    assert watch.wrap is None
