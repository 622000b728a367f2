"""Schedules of the learning rate: numbers by hand, state."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import optim
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
        (lambda: s.StepLR(make(), 1, last_epoch=3), "each group must have 'initial_lr', got"),
    ]
    for build, text in cases:
        with pytest.raises(ArgumentError, match=re.escape(text)):
            build()
    schedule = s.StepLR(optimizer, 1)
    with pytest.raises(StateError, match="load_state_dict: the state must fit StepLR, got missing"):
        schedule.load_state_dict(s.ExponentialLR(make(), 0.5).state_dict())
