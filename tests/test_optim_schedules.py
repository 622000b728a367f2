"""Schedules of the learning rate: numbers by hand, state."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.errors import ArgumentError, StateError


def leaf(values):
    return tfl.tensor(np.array(values, np.float64), requires_grad=True)


def make(lr=1.0):
    return optim.SGD([{"params": [leaf([1.0])]}, {"params": [leaf([1.0])], "lr": lr / 4}], lr=lr)


def rates(optimizer, schedule, count):
    found = []
    for _ in range(count):
        found.append([group["lr"] for group in optimizer.param_groups])
        schedule.step()
    return np.array(found)


def expected(factors):
    return np.outer(factors, [1.0, 0.25])


s = optim.lr_scheduler
HALF_COSINE = [(1 + math.cos(math.pi * i / 4)) / 2 for i in range(10)]
SCHEDULES = [
    (lambda m, o: m.StepLR(o, 3, 0.5), [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]),
    (lambda m, o: m.MultiStepLR(o, [2, 5, 5], 0.5), [1, 1, 0.5, 0.5, 0.5] + [0.125] * 5),
    (lambda m, o: m.ExponentialLR(o, 0.5), [0.5**i for i in range(10)]),
    (lambda m, o: m.LinearLR(o, 0.25, 1.0, 3), [0.25, 0.5, 0.75] + [1.0] * 7),
    (lambda m, o: m.CosineAnnealingLR(o, 4), HALF_COSINE),
    (lambda m, o: m.LambdaLR(o, lambda epoch: 1 / (1 + epoch)), [1 / (1 + i) for i in range(10)]),
    (
        lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.5, 1.0, 2), m.StepLR(o, 2, 0.5)], [4]),
        [0.5, 0.75, 1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25],
    ),
]
SCHEDULE_IDS = ["step", "multistep", "exponential", "linear", "cosine", "lambda", "sequential"]


@pytest.mark.parametrize(("build", "factors"), SCHEDULES, ids=SCHEDULE_IDS)
def test_schedules(build, factors):
    optimizer = make()
    schedule = build(s, optimizer)
    assert schedule.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
    np.testing.assert_allclose(rates(optimizer, schedule, 10), expected(factors), 1e-12, 1e-12)


@pytest.mark.parametrize(("build", "factors"), SCHEDULES, ids=SCHEDULE_IDS)
def test_a_loaded_schedule_goes_on_the_same(build, factors):
    optimizer = make()
    schedule = build(s, optimizer)
    rates(optimizer, schedule, 4)
    state, saved = copy.deepcopy(schedule.state_dict()), copy.deepcopy(optimizer.state_dict())
    assert "optimizer" not in state
    other = make(lr=5.0)
    fresh = build(s, other)
    other.load_state_dict(saved)
    fresh.load_state_dict(state)
    np.testing.assert_array_equal(rates(other, fresh, 6), rates(optimizer, schedule, 6))


def test_schedules_multiply():
    optimizer = make()
    one, two = s.ExponentialLR(optimizer, 0.5), s.StepLR(optimizer, 2, 0.1)
    found = []
    for _ in range(4):
        found.append(optimizer.param_groups[0]["lr"])
        one.step()
        two.step()
    np.testing.assert_allclose(found, [1, 0.5, 0.025, 0.0125])


def test_cosine_keeps_to_its_floor():
    optimizer = make()
    found = rates(optimizer, s.CosineAnnealingLR(optimizer, 3, eta_min=0.1), 7)[:, 0]
    np.testing.assert_allclose(found, [1, 0.775, 0.325, 0.1, 0.325, 0.775, 1.0], 1e-12)


@pytest.mark.parametrize(
    ("options", "figures", "factors"),
    [
        ({"patience": 1}, [3, 2, 2, 2, 2, 2, 1], [1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        ({"patience": 0, "mode": "max"}, [1, 2, 2, 3, 1], [1, 1, 0.1, 0.1, 0.01]),
        ({"patience": 0, "cooldown": 2}, [1, 1, 1, 1, 1], [1, 0.1, 0.1, 0.1, 0.01]),
        ({"patience": 0, "min_lr": 0.05}, [1, 1, 1, 1], [1, 0.1, 0.05, 0.05]),
        ({"patience": 0, "threshold": 0.5, "threshold_mode": "abs"}, [2, 1.6, 1.4], [1, 0.1, 0.1]),
        ({"patience": 0, "threshold": 0.1}, [2, 1.85, 1.7], [1, 0.1, 0.1]),
        ({"patience": 0}, [1, math.nan, math.inf], [1, 0.1, 0.01]),
    ],
)
def test_reduce_on_plateau(options, figures, factors):
    optimizer = optim.SGD([leaf([1.0])], lr=1.0)
    schedule = s.ReduceLROnPlateau(optimizer, **options)
    found = []
    for figure in figures:
        schedule.step(tfl.tensor(figure, dtype=tfl.float64))
        found += schedule.get_last_lr()
    np.testing.assert_allclose(found, factors, 1e-12)
    fresh = s.ReduceLROnPlateau(optim.SGD([leaf([1.0])], lr=1.0))
    fresh.load_state_dict(schedule.state_dict())
    assert fresh.state_dict() == schedule.state_dict()


def test_bad_schedules():
    optimizer = make()
    cases = [
        (lambda: s.StepLR(optimizer, 0), "step_size must be an integer of at least 1, got 0"),
        (lambda: s.StepLR("sgd", 1), "StepLR: an Optimizer is needed, got str"),
        (lambda: s.LinearLR(optimizer, 2.0), "LinearLR: start_factor must lie in (0, 1]"),
        (lambda: s.LambdaLR(optimizer, [abs]), "one function per group is needed, got 1"),
        (lambda: s.ReduceLROnPlateau(optimizer, factor=1.0), "factor must be below 1, got 1.0"),
        (lambda: s.ReduceLROnPlateau(optimizer, mode="up"), "mode must be 'min' or 'max', got"),
        (lambda: s.ReduceLROnPlateau(optimizer, min_lr=[0.0]), "min_lr must be a number or one"),
        (lambda: s.ReduceLROnPlateau(optimizer, threshold_mode="x"), "threshold_mode must be"),
        (lambda: s.SequentialLR(optimizer, [], []), "one rising milestone fewer"),
        (
            lambda: s.SequentialLR(optimizer, [s.ReduceLROnPlateau(optimizer)], []),
            "schedules must need no figure, got a ReduceLROnPlateau",
        ),
        (lambda: s.SequentialLR(optimizer, [s.StepLR(make(), 1)], []), "all schedules must be of"),
        (lambda: s.ChainedScheduler([]), "ChainedScheduler: at least one schedule is needed"),
        (lambda: s.ChainedScheduler([s.StepLR(optimizer, 1)]).step(3), "epoch must be None, got 3"),
        (lambda: s.ConstantLR(optimizer, 2.0), "ConstantLR: factor must lie in [0, 1], got 2.0"),
        (lambda: s.PolynomialLR(optimizer, 0), "total_iters must be an integer of at least 1"),
        (lambda: s.CosineAnnealingWarmRestarts(optimizer, 1.5), "T_0 must be an integer of at"),
        (
            lambda: s.CosineAnnealingWarmRestarts(optimizer, 2).step(-1),
            "epoch must not be negative",
        ),
        (lambda: s.CyclicLR(optimizer, 0.1, [1.0]), "CyclicLR: max_lr must be a number or one per"),
        (lambda: s.CyclicLR(optimizer, 0.1, 1.0, mode="up"), "mode must be 'triangular', 'triang"),
        (
            lambda: s.CyclicLR(optim.Adagrad([leaf([1.0])]), 0.1, 1.0),
            "cycle_momentum needs an optimizer with momentum or betas, got Adagrad",
        ),
        (lambda: s.OneCycleLR(optimizer, 1.0), "total_steps, or epochs and steps_per_epoch, must"),
        (lambda: s.OneCycleLR(optimizer, 1.0, 5, pct_start=2.0), "pct_start must lie in [0, 1]"),
        (lambda: s.OneCycleLR(optimizer, 1.0, 5, anneal_strategy="x"), "must be 'cos' or 'linear'"),
        (
            lambda: rates(optimizer, s.OneCycleLR(optimizer, 1.0, 3), 5),
            "no more than total_steps=3",
        ),
        (lambda: optim.swa_utils.SWALR(optimizer, 0.1, -1), "anneal_epochs must be an integer of"),
        (lambda: s.StepLR(make(), 1, last_epoch=3), "each group must have 'initial_lr', got"),
    ]
    for build, text in cases:
        with pytest.raises(ArgumentError, match=re.escape(text)):
            build()
    schedule = s.StepLR(optimizer, 1)
    with pytest.raises(StateError, match="load_state_dict: the state must fit StepLR, got missing"):
        schedule.load_state_dict(s.ExponentialLR(make(), 0.5).state_dict())


def test_functions_stay_out_of_the_state_and_objects_go_in():
    class Decay:
        def __init__(self):
            self.base = 0.5

        def __call__(self, epoch):
            return self.base**epoch

    schedule = s.LambdaLR(make(), [Decay(), lambda epoch: 1.0])
    schedule.lr_lambdas[0].base = 0.25
    state = schedule.state_dict()
    assert state["lr_lambdas"] == [{"base": 0.25}, None]
    fresh = s.LambdaLR(make(), [Decay(), lambda epoch: 1.0])
    fresh.load_state_dict(state)
    assert fresh.lr_lambdas[0].base == 0.25


# -- averages --------------------------------------------------------------------------------------
def test_the_forms_of_an_average():
    swa = optim.swa_utils
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    values, averages = [1.0, 4.0, 10.0], {}
    forms = {
        "mean": {}, "swa": {"avg_fn": swa.get_swa_avg_fn()},
        "swa lists": {"multi_avg_fn": swa.get_swa_multi_avg_fn()},
        "ema": {"avg_fn": swa.get_ema_avg_fn(0.5)},
        "ema lists": {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.5)},
        "buffers": {"use_buffers": True},
    }  # fmt: skip
    for name, options in forms.items():
        averages[name] = swa.AveragedModel(model, **options)
        for value in values:
            nn.init.constant_(model[0].weight, value)
            nn.init.constant_(model[1].running_mean, value)
            averages[name].update_parameters(model)
    for name, average in averages.items():
        weight = average.module[0].weight
        assert (weight.detach().numpy() == (6.25 if "ema" in name else 5.0)).all(), name
        assert average.n_averaged.item() == 3 and weight.requires_grad
        kept = 5.0 if name == "buffers" else 10.0
        assert average.module[1].running_mean.tolist() == [kept, kept]
    other = swa.AveragedModel(model)
    other.load_state_dict(averages["ema"].state_dict())
    assert other.n_averaged.item() == 3
    assert other.state_dict()["module.0.weight"].tolist() == [[6.25, 6.25], [6.25, 6.25]]
    with pytest.raises(StateError, match="got no 'n_averaged'"):
        other.load_state_dict(model.state_dict())
    with pytest.raises(ArgumentError, match="the model must be as the one averaged, got 1 tensors"):
        other.update_parameters(nn.Linear(2, 2, bias=False))
    with pytest.raises(ArgumentError, match="only one of avg_fn and multi_avg_fn"):
        swa.AveragedModel(model, avg_fn=max, multi_avg_fn=max)
    with pytest.raises(ArgumentError, match=re.escape("decay must lie in [0, 1], got 2")):
        swa.get_ema_avg_fn(2)


def test_statistics_are_computed_anew():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.LayerNorm(2)).eval()
    before = model[0].momentum
    batches = [(tfl.tensor([[0.0, 2.0], [2.0, 4.0]]), None), (tfl.tensor([[4.0, 6.0]] * 2), None)]
    optim.swa_utils.update_bn(batches, optim.swa_utils.AveragedModel(model))
    assert model[0].running_mean.tolist() == [0.0, 0.0], "the copy's are computed"
    optim.swa_utils.update_bn(batches, model)
    assert model[0].running_mean.tolist() == [2.5, 4.5] and model[0].momentum == before
    assert not model.training and model[0].num_batches_tracked.item() == 2
    assert optim.swa_utils.update_bn(iter(()), nn.Linear(1, 1)) is None
