"""Schedules against PyTorch's, with two groups, as rates and momenta; and their states."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tensorflowlite import optim

ours, theirs = optim.lr_scheduler, torch.optim.lr_scheduler
pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")


class Factor:
    """A function with a state of its own."""

    def __init__(self, base):
        self.base = base

    def __call__(self, epoch):
        return self.base**epoch


CASES = {
    "lambda": lambda m, o: m.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "lambdas": lambda m, o: m.LambdaLR(o, [Factor(0.9), lambda epoch: epoch + 1]),
    "multiplicative": lambda m, o: m.MultiplicativeLR(o, lambda epoch: 0.9 + 0.01 * epoch),
    "step": lambda m, o: m.StepLR(o, 7, 0.5),
    "multistep": lambda m, o: m.MultiStepLR(o, [20, 5, 5, 33], 0.5),
    "constant": lambda m, o: m.ConstantLR(o, 0.25, 8),
    "linear": lambda m, o: m.LinearLR(o, 0.25, 0.75, 9),
    "linear defaults": lambda m, o: m.LinearLR(o),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.93),
    "polynomial": lambda m, o: m.PolynomialLR(o, 40, 2.0),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 9, 0.01),
    "warm restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 6, 1, 0.01),
    "longer restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2),
    "cyclic": lambda m, o: m.CyclicLR(o, 0.1, 1.0, 5),
    "cyclic 2": lambda m, o: m.CyclicLR(o, [0.1, 0.2], [1.0, 2.0], 4, 9, mode="triangular2",
                                        base_momentum=0.7, max_momentum=0.95),
    "cyclic range": lambda m, o: m.CyclicLR(o, 0.1, 1.0, 5, 3, mode="exp_range", gamma=0.97,
                                            cycle_momentum=False),
    "cyclic function": lambda m, o: m.CyclicLR(o, 0.1, 1.0, 5, scale_fn=Factor(0.9)),
    "cyclic iterations": lambda m, o: m.CyclicLR(o, 0.1, 1.0, 5, scale_mode="iterations",
                                                 scale_fn=lambda x: 1 / (1 + x)),
    "one cycle": lambda m, o: m.OneCycleLR(o, 1.0, 60),
    "one cycle, three phases": lambda m, o: m.OneCycleLR(
        o, [1.0, 0.5], epochs=10, steps_per_epoch=6, three_phase=True, anneal_strategy="linear",
        pct_start=0.25, base_momentum=0.6, max_momentum=0.9, div_factor=10.0),
    "one cycle, rates only": lambda m, o: m.OneCycleLR(o, 1.0, 55, cycle_momentum=False),
    "sequential": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, 1.0, 5), m.CosineAnnealingLR(o, 20), m.ExponentialLR(o, 0.9)],
        [6, 30]),
    "sequential 2": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o, 0.1, 4), m.StepLR(o, 3, 0.5), m.PolynomialLR(o, 10, 1.5),
            m.MultiStepLR(o, [2, 4], 0.1), m.LambdaLR(o, lambda epoch: 0.9**epoch)],
        [5, 17, 30, 38]),
    "sequential of restarts": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, 1.0, 5), m.CosineAnnealingWarmRestarts(o, 4, 2)], [6]),
    "chained": lambda m, o: m.ChainedScheduler(
        [m.ConstantLR(o, 0.1, 4), m.ExponentialLR(o, 0.95), m.StepLR(o, 10, 0.5)]),
    "chained sequence": lambda m, o: m.ChainedScheduler(
        [m.SequentialLR(o, [m.ConstantLR(o, 0.5, 4), m.ExponentialLR(o, 0.95)], [9]),
         m.StepLR(o, 10, 0.5)]),
}  # fmt: skip
# These know the rate of every epoch, and so can start from any.
CLOSED = ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine",
          "warm restarts", "longer restarts"]  # fmt: skip


def optimizer(module, library, beta=False):
    a, b = ((tfl.ones if library is tfl else torch.ones)(1, requires_grad=True) for _ in "ab")
    groups = [{"params": [a]}, {"params": [b], "lr": 0.25}]
    return module.AdamW(groups, lr=1.0) if beta else module.SGD(groups, lr=1.0, momentum=0.9)


def both(beta=False):
    return optimizer(optim, tfl, beta), optimizer(torch.optim, torch, beta)


def figures(one):
    found = []
    for group in one.param_groups:
        found += [group["lr"], group.get("momentum", 0.0), *group.get("betas", ())]
    return found


def agree(one, two, a, b, count=1):
    for _ in range(count):
        np.testing.assert_allclose(figures(one), figures(two), 1e-12, 1e-15)
        np.testing.assert_allclose(a.get_last_lr(), b.get_last_lr(), 1e-12, 1e-15)
        a.step()
        b.step()


@pytest.mark.parametrize("beta", [False, True], ids=["momentum", "betas"])
@pytest.mark.parametrize("name", CASES)
def test_schedules(name, beta):
    one, two = both(beta)
    agree(one, two, CASES[name](ours, one), CASES[name](theirs, two), 50)


@pytest.mark.parametrize("name", CASES)
def test_states_go_from_pytorch_and_back(name):
    one, two = both()
    a, b = CASES[name](ours, one), CASES[name](theirs, two)
    for _ in range(11):
        b.step()
    one.load_state_dict(two.state_dict())
    a.load_state_dict(b.state_dict())
    agree(one, two, a, b, 11)
    fresh = optimizer(torch.optim, torch)
    c = CASES[name](theirs, fresh)
    state = one.state_dict()
    state["state"] = {}
    fresh.load_state_dict(state)
    c.load_state_dict(a.state_dict())
    agree(one, fresh, a, c, 11)


@pytest.mark.parametrize("name", CLOSED)
def test_epochs_can_be_named(name):
    one, two = both()
    a, b = CASES[name](ours, one), CASES[name](theirs, two)
    for epoch in (3, 12, 40, 0, 5):
        a.step(epoch)
        b.step(epoch)
        np.testing.assert_allclose(figures(one), figures(two), 1e-12, 1e-15)
    agree(one, two, a, b, 3)


def test_restarts_within_an_epoch():
    one, two = both()
    a = ours.CosineAnnealingWarmRestarts(one, 3, 2)
    b = theirs.CosineAnnealingWarmRestarts(two, 3, 2)
    for i in range(100):
        a.step(i / 7)
        b.step(i / 7)
        np.testing.assert_allclose(figures(one), figures(two), 1e-12, 1e-15)


RESUMED = {
    "step": lambda m, o, e: m.StepLR(o, 7, 0.5, e),
    "multistep": lambda m, o, e: m.MultiStepLR(o, [20, 5, 5, 33], 0.5, e),
    "constant": lambda m, o, e: m.ConstantLR(o, 0.25, 12, e),
    "linear": lambda m, o, e: m.LinearLR(o, 0.25, 0.75, 30, e),
    "exponential": lambda m, o, e: m.ExponentialLR(o, 0.93, e),
    "polynomial": lambda m, o, e: m.PolynomialLR(o, 40, 2.0, e),
    "cosine": lambda m, o, e: m.CosineAnnealingLR(o, 9, 0.01, e),
    "restarts": lambda m, o, e: m.CosineAnnealingWarmRestarts(o, 6, 1, 0.01, e),
    "lambda": lambda m, o, e: m.LambdaLR(o, lambda epoch: 1 / (1 + epoch), e),
    "multiplicative": lambda m, o, e: m.MultiplicativeLR(o, lambda epoch: 0.9, e),
    "cyclic": lambda m, o, e: m.CyclicLR(o, 0.1, 1.0, 5, last_epoch=e),
    "one cycle": lambda m, o, e: m.OneCycleLR(o, 1.0, 60, last_epoch=e),
}


@pytest.mark.parametrize("name", RESUMED)
def test_resuming_from_an_epoch(name):
    one, two = both()
    a, b = RESUMED[name](ours, one, -1), RESUMED[name](theirs, two, -1)
    agree(one, two, a, b, 8)
    agree(one, two, RESUMED[name](ours, one, 7), RESUMED[name](theirs, two, 7), 20)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 1, "mode": "max", "cooldown": 3, "factor": 0.7},
        {"patience": 3, "threshold_mode": "abs", "min_lr": [0.01, 0.1], "factor": 0.5},
        {"patience": 3, "threshold_mode": "abs", "mode": "max", "eps": 0.01},
    ],
)
def test_reduce_on_plateau(options):
    values = np.abs(np.cumsum(np.random.default_rng(2).normal(size=200))) + 1
    one, two = both()
    a, b = ours.ReduceLROnPlateau(one, **options), theirs.ReduceLROnPlateau(two, **options)
    for i, value in enumerate(values):
        a.step(float(value))
        b.step(float(value))
        np.testing.assert_allclose(figures(one), figures(two), 1e-12)
        if i == 50:
            fresh = ours.ReduceLROnPlateau(one)
            fresh.load_state_dict(b.state_dict())
            assert fresh.state_dict() == {**a.state_dict(), "default_min_lr": b.default_min_lr}
            b.load_state_dict(a.state_dict())
            a = fresh


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 5])
def test_averaging_rates(strategy, epochs):
    one, two = both()
    a = optim.swa_utils.SWALR(one, [0.05, 0.1], epochs, strategy)
    b = torch.optim.swa_utils.SWALR(two, [0.05, 0.1], epochs, strategy)
    agree(one, two, a, b, 4)
    a.load_state_dict(b.state_dict())
    b.load_state_dict(a.state_dict())
    agree(one, two, a, b, 10)


ENDINGS = ("LR", "Plateau", "Restarts", "ChainedScheduler")


@pytest.mark.parametrize("name", [name for name in dir(theirs) if name.endswith(ENDINGS)])
def test_signatures(name):
    """The same parameters by name, kind, order and default value."""
    one = inspect.signature(getattr(ours, name)).parameters
    two = inspect.signature(getattr(theirs, name)).parameters
    assert [(p.name, p.kind, p.default) for p in one.values()] == [
        (p.name, p.kind, p.default) for p in two.values()
    ]


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("form", ["mean", "ema", "ema lists"])
def test_averaged_models(form, use_buffers):
    def options(module):
        return {
            "mean": {},
            "ema": {"avg_fn": module.get_ema_avg_fn(0.9)},
            "ema lists": {"multi_avg_fn": module.get_ema_multi_avg_fn(0.9)},
        }[form]

    rng = np.random.default_rng(0)
    one = tfl.nn.Sequential(tfl.nn.Linear(3, 4), tfl.nn.BatchNorm1d(4))
    two = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    a = optim.swa_utils.AveragedModel(one, use_buffers=use_buffers, **options(optim.swa_utils))
    b = torch.optim.swa_utils.AveragedModel(
        two, use_buffers=use_buffers, **options(torch.optim.swa_utils)
    )
    for _ in range(10):
        state = {
            name: rng.integers(0, 9) if not value.ndim else rng.normal(size=value.shape)
            for name, value in one.state_dict().items()
        }
        one.load_state_dict({k: tfl.tensor(v) for k, v in state.items()})
        two.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
        a.update_parameters(one)
        b.update_parameters(two)
    assert list(a.state_dict()) == list(b.state_dict())
    for name, value in b.state_dict().items():
        # float32; the count of batches is whole and averaged in float: one apart where it is cut.
        near = 1 if name.endswith("tracked") else 1e-6
        np.testing.assert_allclose(a.state_dict()[name].numpy(), value.numpy(), near, near)
    batches = [rng.normal(size=(5, 3)).astype(np.float32) for _ in range(3)]
    optim.swa_utils.update_bn([tfl.tensor(x) for x in batches], a)
    torch.optim.swa_utils.update_bn([torch.tensor(x) for x in batches], b)
    for name, value in b.module[1].state_dict().items():
        np.testing.assert_allclose(
            a.module[1].state_dict()[name].numpy(), value.numpy(), 2e-5, 1e-6
        )
