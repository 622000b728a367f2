"""Optimizers beyond Adam: algorithms of papers, hooks, L-BFGS, what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import optim
from tensorflowlite.errors import ArgumentError, DtypeError, StateError

EVERY = [
    optim.SGD, optim.Adam, optim.AdamW, optim.NAdam, optim.RAdam, optim.Adamax, optim.Adagrad,
    optim.Adadelta, optim.RMSprop, optim.Rprop, optim.ASGD, optim.Lion, optim.LAMB,
    optim.Adafactor, optim.Muon,
]  # fmt: skip


def leaf(values):
    return tfl.tensor(np.array(values, np.float64), requires_grad=True)


def lion(history, p, rate, beta1, beta2, decay):
    """Chen et al. 2023, program 1."""
    m = np.zeros_like(p)
    for g in history:
        update = np.sign(beta1 * m + (1 - beta1) * g) + decay * p
        p, m = p - rate * update, beta2 * m + (1 - beta2) * g
    return p


def lamb(history, p, rate, beta1, beta2, eps, decay):
    """You et al. 2020, algorithm 2, with the identity for phi."""
    m = v = np.zeros_like(p)
    for t, g in enumerate(history, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        r = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        update = r + decay * p
        p = p - rate * np.linalg.norm(p) / np.linalg.norm(update) * update
    return p


@pytest.mark.parametrize("maximize", [False, True])
def test_algorithms_of_papers(maximize):
    rng = np.random.default_rng(0)
    start, steps = rng.normal(size=(5, 4)), list(rng.normal(size=(50, 5, 4)))
    signed = [-g if maximize else g for g in steps]
    for kind, options, expected in (
        (optim.Lion, {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1},
         lion(signed, start, 0.01, 0.8, 0.95, 0.1)),
        (optim.LAMB, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
         lamb(signed, start, 0.01, 0.8, 0.95, 1e-3, 0.1)),
    ):  # fmt: skip
        p = tfl.tensor(start, requires_grad=True)
        optimizer = kind([p], **options, maximize=maximize)
        for g in steps:
            p.grad = tfl.tensor(g)
            optimizer.step()
        np.testing.assert_allclose(p.detach().numpy(), expected, 1e-12, 1e-13)


def test_lamb_leaves_zero_parameters_their_first_step():
    p = leaf([0.0, 0.0])
    p.grad = tfl.tensor(np.array([1.0, -2.0]))
    optim.LAMB([p], lr=0.1, weight_decay=0.0, eps=0.0).step()
    np.testing.assert_allclose(p.detach().numpy(), [-0.1, 0.1], 1e-12)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_optimizer_goes_down_and_restores_its_state(kind):
    target = np.array([[1.0, -2.0], [0.5, 3.0]])
    p = tfl.zeros(2, 2, dtype=tfl.float64).requires_grad_()
    rate = {"Adadelta": 30.0, "Adafactor": 0.5, "Muon": 0.1, "Adagrad": 0.5}.get(
        kind.__name__, 0.05
    )
    optimizer = kind([p], lr=rate)

    def loss():
        return ((p - tfl.tensor(target)) ** 2).sum()

    def go(count, optimizer):
        for _ in range(count):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

    before = loss().item()
    go(60, optimizer)
    assert loss().item() < 0.5 * before
    kept, state = p.detach().clone(), optimizer.state_dict()
    other = kind([p], lr=1.0)
    other.load_state_dict(state)
    go(3, optimizer)
    expected = p.detach().clone()
    with tfl.no_grad():
        p[...] = kept
    # The optimizer's own arrays stand in its state dict, and have gone on: load them anew.
    fresh = kind([p], lr=1.0)
    fresh.load_state_dict(other.state_dict())
    go(3, fresh)
    np.testing.assert_array_equal(p.detach().numpy(), expected.numpy())


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_halves_and_float32_keep_their_dtype(kind):
    for dtype in (tfl.float16, tfl.bfloat16, tfl.float32):
        p = tfl.ones(3, 2, dtype=dtype).requires_grad_()
        p.grad = tfl.full((3, 2), 0.5, dtype=dtype)
        optimizer = kind([p], lr=0.1)
        optimizer.step()
        assert p.dtype == dtype and np.isfinite(p.detach().numpy().astype(np.float64)).all()
        for name, state in optimizer.state[p].items():
            assert state.dtype == dtype or name in ("step", "mu_product", "eta", "mu")


def test_a_model_cast_later_keeps_the_scalars_exact():
    p = leaf([1.0, 2.0])
    optimizer = optim.ASGD([p], lr=0.1)
    p.grad = tfl.tensor(np.ones(2))
    optimizer.step()
    p.set_(p.detach().float())
    p.grad = tfl.ones(2)
    optimizer.step()
    assert optimizer.state[p]["ax"].dtype == tfl.float32
    assert optimizer.state[p]["eta"].dtype == tfl.float64


# -- what is refused -------------------------------------------------------------------------------
def test_bad_hyperparameters():
    p, matrix = leaf([1.0]), leaf([[1.0]])
    cases = [
        (lambda: optim.Adadelta([p], rho=2), "Adadelta: rho must lie in [0, 1], got 2"),
        (lambda: optim.Rprop([p], etas=(2, 3)), "etas must lie in (0, 1) and above 1, got 2"),
        (lambda: optim.Rprop([p], etas=0.5), "Rprop: etas must be two numbers, got 0.5"),
        (lambda: optim.Adafactor([p], d=0.5), "Adafactor: d must be at least 1, got 0.5"),
        (lambda: optim.Adafactor([p], eps=1.0), "Adafactor: eps must be two numbers, got 1.0"),
        (lambda: optim.Adafactor([p], beta2_decay=1), "beta2_decay must be at most 0, got 1"),
        (lambda: optim.Muon([p]), "Muon: parameters must be matrices, got one of shape (1,)"),
        (lambda: optim.Muon([matrix], adjust_lr_fn="x"), "Muon: adjust_lr_fn must be None, 'ori"),
        (lambda: optim.Muon([matrix], ns_steps=100), "ns_steps must lie in [0, 100), got 100"),
        (lambda: optim.Muon([matrix], ns_coefficients=(1,)), "must be three numbers, got (1,)"),
        (lambda: optim.LBFGS([p], history_size=0), "LBFGS: history_size must be at least 1, got 0"),
        (lambda: optim.LBFGS([p], line_search_fn="x"), "line_search_fn must be None or 'strong"),
        (lambda: optim.LBFGS([{"params": p}, {"params": matrix}]), "must be one group of param"),
        (lambda: optim.LBFGS([p]).step(), "LBFGS: a step needs a closure that returns the loss"),
        (lambda: optim.Lion([p], betas=(1.0, 0.9)), "Lion: betas[0] must lie in [0, 1), got 1.0"),
        (lambda: optim.NAdam([p], momentum_decay=-1), "NAdam: momentum_decay must not be negative"),
    ]  # fmt: skip
    for make, text in cases:
        with pytest.raises(ArgumentError, match=re.escape(text)):
            make()
    for kind in EVERY:
        if kind not in (optim.Lion, optim.LAMB, optim.Adafactor, optim.Muon):
            with pytest.raises(ArgumentError, match="differentiable must be False, got True"):
                kind([p], differentiable=True)


def test_what_is_no_closure_and_complex_parameters():
    with pytest.raises(DtypeError, match="SGD: closure must be a function that returns the loss"):
        optim.SGD([leaf([1.0])]).step(3.0)
    for kind in (optim.Adafactor, optim.Muon):
        with pytest.raises(DtypeError, match="parameters must be real, got complex128"):
            kind([tfl.zeros(2, 2, dtype=tfl.complex128).requires_grad_()])


def test_pytorchs_switches_are_kept():
    optimizer = optim.AdamW([leaf([1.0])], foreach=True, capturable=True, fused=False)
    group = optimizer.state_dict()["param_groups"][0]
    assert group["foreach"] is True and group["capturable"] is True and group["fused"] is False


# -- hooks -----------------------------------------------------------------------------------------
def test_hooks_run_in_order_and_can_be_removed():
    p, seen = leaf([1.0]), []
    optimizer = optim.SGD([p], lr=1.0)

    def closure():
        seen.append("closure")
        p.grad = tfl.tensor(np.ones(1))
        return 5.0

    def before(one, args, kwargs):
        seen.append(("before", one is optimizer, args, kwargs))
        return (closure,), {}

    handles = [
        optimizer.register_step_pre_hook(before),
        optimizer.register_step_post_hook(lambda *given: seen.append("after")),
        optimizer.register_state_dict_pre_hook(lambda one: seen.append("first")),
        optimizer.register_state_dict_pre_hook(lambda one: seen.append("zeroth"), prepend=True),
        optimizer.register_state_dict_post_hook(lambda one, state: {**state, "extra": 1}),
        optimizer.register_load_state_dict_pre_hook(
            lambda one, state: {k: v for k, v in state.items() if k != "extra"}
        ),
        optimizer.register_load_state_dict_post_hook(lambda one: seen.append("loaded")),
    ]
    assert optimizer.step() == 5.0 and p.item() == 0.0
    assert seen == [("before", True, (), {}), "closure", "after"]
    state = optimizer.state_dict()
    assert state["extra"] == 1 and seen[-2:] == ["zeroth", "first"]
    optimizer.load_state_dict(state)
    assert seen[-1] == "loaded"
    for handle in handles:
        handle.remove()
    count = len(seen)
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert len(seen) == count


# -- L-BFGS ----------------------------------------------------------------------------------------
def test_lbfgs_finds_the_minimum_of_a_quadratic_form():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    form, point = tfl.tensor(root @ root.T + np.eye(6)), tfl.tensor(rng.normal(size=6))
    x = tfl.zeros(6, dtype=tfl.float64).requires_grad_()
    optimizer = optim.LBFGS([x], max_iter=60, tolerance_change=0.0, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (x - point) @ form @ (x - point)
        loss.backward()
        return loss

    optimizer.step(closure)
    # The gradient is below 1e-7 at the end, and the form's least eigenvalue above 1.
    np.testing.assert_allclose(x.detach().numpy(), point.numpy(), 0, 1e-7)
    assert optimizer.state[x]["func_evals"] >= optimizer.state[x]["n_iter"] > 6
    with pytest.raises(StateError, match=re.escape("got d (6,) for (5,)")):
        optim.LBFGS([leaf(np.zeros(5))]).load_state_dict(optimizer.state_dict())
    with pytest.raises(StateError, match="a dict with 'state' and 'param_groups' is needed"):
        optimizer.load_state_dict({})


def test_lbfgs_takes_complex_parameters_as_pairs():
    z = tfl.zeros(3, dtype=tfl.complex128).requires_grad_()
    target = tfl.tensor(np.array([1 + 2j, -1j, 3 + 0j]))
    optimizer = optim.LBFGS([z], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (tfl.abs(z - target) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(z.detach().numpy(), target.numpy(), 0, 1e-7)


def test_an_optimizer_with_a_step_of_its_own():
    class Halving(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.5})

        def step(self, closure=None):
            with tfl.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        state = self.state[p]
                        state["count"] = state.get("count", 0) + 1
                        p.mul_(group["lr"])

    p = leaf([4.0, 8.0])
    optimizer = Halving([p])
    for _ in range(2):
        optimizer.step()
    assert p.tolist() == [1.0, 2.0] and optimizer.state[p]["count"] == 2
    assert optimizer.param_groups[0]["lr"] == 0.5
