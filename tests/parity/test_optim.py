"""Optimizers, their states and the schedules against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tensorflowlite as tfl
from tensorflowlite import optim
from tests.test_optim import IDS, SETTINGS, histories, leaf, run, values
from tests.test_optim_schedules import SCHEDULE_IDS, SCHEDULES, make, rates

s = optim.lr_scheduler


# -- optimizers ------------------------------------------------------------------------------------
@pytest.mark.parametrize("skip", [False, True], ids=["all", "some"])
@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=IDS)
def test_optimizers(name, options, skip):
    starts, steps = histories(np.float32, skip)
    parameters, _ = run(name, options, starts, steps)
    theirs = [torch.tensor(a, requires_grad=True) for a in starts]
    other = getattr(torch.optim, name)(theirs, **options)
    for gradients in steps:
        for p, g in zip(theirs, gradients, strict=True):
            p.grad = None if g is None else torch.tensor(g)
        other.step()
    for p, q in zip(parameters, theirs, strict=True):
        np.testing.assert_allclose(values(p), q.detach().numpy(), 2e-6, 2e-6)


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=IDS)
def test_states_go_from_pytorch_and_back(name, options):
    starts, steps = histories(np.float64, False)
    theirs = [torch.tensor(a, requires_grad=True) for a in starts]
    other = getattr(torch.optim, name)(theirs, **options)

    def feed(gradients):
        for p, g in zip(theirs, gradients, strict=True):
            p.grad = torch.tensor(g)
        other.step()

    for gradients in steps[:3]:
        feed(gradients)
    parameters = [tfl.tensor(p.detach().numpy(), requires_grad=True) for p in theirs]
    optimizer = getattr(optim, name)(parameters)
    optimizer.load_state_dict(other.state_dict())

    def both(gradients):
        feed(gradients)
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = tfl.tensor(g)
        optimizer.step()
        for p, q in zip(parameters, theirs, strict=True):
            np.testing.assert_allclose(values(p), q.detach().numpy(), 1e-12, 1e-13)

    both(steps[3])
    state = optimizer.state_dict()
    state["state"] = {
        i: {key: torch.tensor(t.numpy()) for key, t in one.items()}
        for i, one in state["state"].items()
    }
    other.load_state_dict(state)
    both(steps[4])


# -- schedules -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("build", "factors"), SCHEDULES, ids=SCHEDULE_IDS)
@pytest.mark.filterwarnings("ignore:Detected call of", "ignore:The epoch parameter")
def test_schedules(build, factors):
    other = torch.optim.SGD(
        [{"params": [torch.ones(1, requires_grad=True)]},
         {"params": [torch.ones(1, requires_grad=True)], "lr": 0.25}], lr=1.0,
    )  # fmt: skip
    theirs = rates(other, build(torch.optim.lr_scheduler, other), 30)
    optimizer = make()
    np.testing.assert_allclose(rates(optimizer, build(s, optimizer), 30), theirs, 1e-9, 1e-12)


def test_reduce_on_plateau():
    figures = np.abs(np.cumsum(np.random.default_rng(2).normal(size=200))) + 1
    for options in (
        {"patience": 2},
        {"patience": 1, "mode": "max", "cooldown": 3, "factor": 0.7},
        {"patience": 3, "threshold_mode": "abs", "min_lr": 0.01, "factor": 0.5},
    ):
        ours = optim.SGD([leaf([1.0])], lr=1.0)
        theirs = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        one = s.ReduceLROnPlateau(ours, **options)
        two = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
        for figure in figures:
            one.step(float(figure))
            two.step(float(figure))
            a, b = ours.param_groups[0]["lr"], theirs.param_groups[0]["lr"]
            assert a == pytest.approx(b, rel=1e-12)
