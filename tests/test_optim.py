"""Optimizers: numbers derived by hand and by the textbook, groups, state."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.errors import ArgumentError, DtypeError, StaleValueError, StateError

ALL = (
    optim.SGD, optim.Adam, optim.AdamW, optim.NAdam, optim.RAdam, optim.Adamax, optim.Adagrad,
    optim.Adadelta, optim.RMSprop, optim.ASGD, optim.Lion, optim.LAMB, optim.Adafactor,
)  # fmt: skip
SHAPES = [(7, 5), (5,), (150, 130), (2, 3, 4), ()]
SETTINGS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.7), "eps": 1e-3, "maximize": True}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True}),
]
IDS = [f"{name}-{'-'.join(options)}" for name, options in SETTINGS]


def leaf(values, dtype=np.float64):
    return tfl.tensor(np.array(values, dtype), requires_grad=True)


def values(tensor):
    return tensor.detach().numpy()


def reference(name, options, history, start, dtype=np.float64):
    """Return a parameter after its gradients, one of which may be None, by the textbook."""
    o = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.01 if name == "AdamW" else 0.0,
         "nesterov": False, "maximize": False, "betas": (0.9, 0.999), "eps": 1e-8,
         "amsgrad": False, **options}  # fmt: skip
    p, steps = start.astype(dtype), 0
    buffer = m = v = top = np.zeros_like(p)
    for g in history:
        if g is None:
            continue
        steps += 1
        g = -g.astype(dtype) if o["maximize"] else g.astype(dtype)
        if name == "AdamW":
            p = p * (1 - o["lr"] * o["weight_decay"])
        else:
            g = g + o["weight_decay"] * p
        if name == "SGD":
            if o["momentum"]:
                later = o["momentum"] * buffer + (1 - o["dampening"]) * g
                buffer = g if steps == 1 else later
                g = g + o["momentum"] * buffer if o["nesterov"] else buffer
            p = p - o["lr"] * g
            continue
        b1, b2 = o["betas"]
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        top = np.maximum(top, v)
        used = top if o["amsgrad"] else v
        spread = np.sqrt(used / (1 - b2**steps)) + o["eps"]
        p = p - o["lr"] * (m / (1 - b1**steps)) / spread
    return p


def histories(dtype, skip):
    rng = np.random.default_rng(3)
    starts = [np.asarray(rng.normal(size=shape)).astype(dtype) for shape in SHAPES]
    steps = [
        [
            None if skip and (i + j) % 3 == 0 else np.asarray(rng.normal(size=s)).astype(dtype)
            for j, s in enumerate(SHAPES)
        ]
        for i in range(8)
    ]
    return starts, steps


def run(name, options, starts, steps):
    parameters = [tfl.tensor(a, requires_grad=True) for a in starts]
    optimizer = getattr(optim, name)(parameters, **options)
    for gradients in steps:
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = None if g is None else tfl.tensor(g)
        optimizer.step()
    return parameters, optimizer


@pytest.mark.parametrize("skip", [False, True], ids=["all", "some"])
@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=IDS)
def test_against_the_textbook(name, options, skip):
    starts, steps = histories(np.float64, skip)
    parameters, _ = run(name, options, starts, steps)
    for j, (p, start) in enumerate(zip(parameters, starts, strict=True)):
        expected = reference(name, options, [step[j] for step in steps], start)
        np.testing.assert_allclose(values(p), expected, 1e-12, 1e-13)


@pytest.mark.parametrize("dtype", [tfl.float16, tfl.bfloat16], ids=str)
@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=IDS)
def test_half_precision_is_computed_in_float32(name, options, dtype):
    options = {**options, "eps": 1e-3} if name != "SGD" else options
    start = np.linspace(-1, 1, 6).reshape(2, 3).astype(dtype)
    g = np.linspace(2, -1, 6).reshape(2, 3).astype(dtype)
    (p,), _ = run(name, options, [start], [[g]])
    assert p.dtype == dtype
    expected = reference(name, options, [g], start).astype(dtype)
    wide = np.float64
    unit = 2.0**-10 if dtype == tfl.float16 else 2.0**-7
    np.testing.assert_allclose(values(p).astype(wide), expected.astype(wide), unit, unit)


def test_by_hand():
    p = leaf([1.0, -2.0])
    optimizer = optim.SGD([p], lr=0.5, momentum=0.5)
    for expected in ([0.5, -2.5], [-0.25, -3.25], [-1.125, -4.125]):
        p.grad = tfl.tensor(np.ones(2))
        optimizer.step()
        assert p.tolist() == expected
    # Adam's first step is lr times the sign of the gradient; AdamW shrinks by lr * decay first.
    p = leaf([1.0, -2.0])
    p.grad = tfl.tensor(np.array([10.0, -0.1]))
    optim.AdamW([p], lr=0.5, weight_decay=0.2, eps=0.0).step()
    np.testing.assert_allclose(values(p), [1 * 0.9 - 0.5, -2 * 0.9 + 0.5], 1e-14)


def test_complex_parameters():
    start, g = np.array([1 + 2j, -1j]), np.array([1 - 1j, 2 + 0j])
    (p,), _ = run("SGD", {"lr": 0.5, "momentum": 0.9}, [start], [[g], [g]])
    np.testing.assert_allclose(values(p), start - 0.5 * g - 0.5 * 1.9 * g)
    (p,), _ = run("AdamW", {"lr": 0.1, "weight_decay": 0.0, "eps": 0.0}, [start], [[g]])
    np.testing.assert_allclose(values(p).real, start.real - 0.1 * np.sign(g.real))
    np.testing.assert_allclose(values(p).imag[:1], start.imag[:1] - 0.1 * np.sign(g.imag[:1]))


def test_a_transposed_parameter():
    memory = np.arange(6.0).reshape(2, 3)
    p = tfl.asarray(memory.T).requires_grad_()
    (p * tfl.tensor(np.arange(6.0).reshape(3, 2))).sum().backward()
    optim.AdamW([p], lr=0.5, weight_decay=0.0, eps=1e-12).step()
    expected = np.arange(6.0).reshape(2, 3).T - 0.5 * (np.arange(6).reshape(3, 2) > 0)
    np.testing.assert_allclose(values(p), expected, 1e-9)


def test_the_step_is_seen_by_the_tape():
    p = leaf([1.0, 2.0])
    optimizer = optim.SGD([p], lr=0.1)
    loss = (p * p).sum()
    p.grad = tfl.tensor(np.ones(2))
    optimizer.step()
    with pytest.raises(StaleValueError):
        loss.backward()


def test_the_learning_rate_is_a_number_and_an_array():
    p = leaf([1.0])
    optimizer = optim.SGD([p], lr=0.5)
    group = optimizer.param_groups[0]
    rate = group.rate
    assert type(group["lr"]) is float and rate.item() == 0.5 and rate.dtype == tfl.float64
    group["lr"] = 0.25
    assert group.rate is rate and rate.item() == 0.25 == group["lr"]
    group.update(lr=0.125, momentum=0.5)
    assert rate.item() == 0.125 and group["momentum"] == 0.5
    group |= {"lr": 1.0}
    assert rate.item() == 1.0
    p.grad = tfl.tensor(np.ones(1))
    optimizer.step()
    assert p.tolist() == [0.0]
    assert optimizer.state[p]["momentum_buffer"].tolist() == [1.0], "made when first needed"


def test_state_is_made_in_the_constructor():
    p, q = leaf([1.0]), leaf([[2.0, 3.0]])
    state = optim.AdamW([p, q], amsgrad=True).state
    assert set(state[q]) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
    assert state[q]["exp_avg"].shape == (1, 2) and state[p]["step"] is state[q]["step"]
    assert state[p]["step"].dtype == tfl.int64 and state[p]["step"].shape == ()
    assert not optim.SGD([p]).state.get(p), "plain descent has no state"


def test_parameters_that_sit_out_count_their_own_steps():
    p, q, frozen = leaf([1.0]), leaf([1.0]), tfl.tensor([1.0])
    optimizer = optim.Adam([p, q, frozen], lr=0.1)
    for _ in range(3):
        p.grad = tfl.tensor(np.ones(1))
        optimizer.step()
    assert optimizer.state[p]["step"].item() == 3 and optimizer.state[q]["step"].item() == 0
    assert q.tolist() == [1.0] and frozen not in optimizer.state
    q.grad = tfl.tensor(np.ones(1))
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 4 and optimizer.state[q]["step"].item() == 1
    np.testing.assert_allclose(values(q), [0.9], 1e-7)
    frozen.requires_grad_()
    frozen.grad = tfl.tensor([1.0])
    optimizer.step()
    assert optimizer.state[frozen]["step"].item() == 1
    np.testing.assert_allclose(values(frozen), [0.9], 1e-6)


def test_groups():
    p, q, r = leaf([1.0]), leaf([1.0]), leaf([1.0])
    optimizer = optim.SGD([{"params": [p]}, {"params": q, "lr": 0.5}], lr=0.25)
    optimizer.add_param_group({"params": [r], "lr": 1.0})
    for one in (p, q, r):
        one.grad = tfl.tensor(np.ones(1))
    optimizer.step()
    assert [one.item() for one in (p, q, r)] == [0.75, 0.5, 0.0]
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.item() == 0
    optimizer.zero_grad()
    assert p.grad is None
    assert "Parameter Group 2\n    dampening: 0.0\n" in repr(optimizer)
    assert "    lr: 1.0\n    maximize: False\n" in repr(optimizer)


def test_closure():
    p = leaf([2.0])
    optimizer = optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tfl.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert p.item() == 1.0


@pytest.mark.parametrize("kind", ALL)
def test_bad_arguments(kind):
    p, name = leaf([1.0]), kind.__name__
    cases = [
        (lambda: kind([p], lr=-0.1), ArgumentError, f"{name}: lr must not be negative, got -0.1"),
        (lambda: kind([p], lr=math.nan), ArgumentError, "lr must not be negative, got nan"),
        (lambda: kind([p], lr="fast"), DtypeError, f"{name}: lr must be a number, got 'fast'"),
        (lambda: kind([p], weight_decay=-1), ArgumentError,
         f"{name}: weight_decay must not be negative, got -1"),
        (lambda: kind([]), ArgumentError,
         f"{name}: parameters must hold at least one tensor, got none"),
        (lambda: kind(nn.ReLU().parameters()), ArgumentError,
         f"{name}: parameters must hold at least one tensor, got none"),
        (lambda: kind([{"params": []}]), ArgumentError, "a group must hold at least one tensor"),
        (lambda: kind(p), DtypeError, "parameters must be an iterable of tensors, got a Tensor"),
        (lambda: kind([1.0]), DtypeError, f"{name}: parameters must be tensors, got float"),
        (lambda: kind([p, p]), ArgumentError, "each parameter must occur once, got float64 (1,)"),
        (lambda: kind([p * 2]), ArgumentError, "parameters must be leaves"),
        (lambda: kind([("a", p), leaf([1.0])]), ArgumentError, "either all parameters have names"),
    ]  # fmt: skip
    for make, error, text in cases:
        with pytest.raises(error, match=re.escape(text)):
            make()
    with pytest.raises(ArgumentError, match="lr must not be negative, got -1"):
        kind([p]).param_groups[0]["lr"] = -1


def test_bad_hyperparameters():
    p = leaf([1.0])
    with pytest.raises(ArgumentError, match=r"Adam: betas\[1\] must lie in \[0, 1\), got 1.0"):
        optim.Adam([p], betas=(0.9, 1.0))
    with pytest.raises(ArgumentError, match=r"AdamW: betas must be two numbers, got 0\.9"):
        optim.AdamW([p], betas=0.9)
    with pytest.raises(ArgumentError, match="AdamW: eps must not be negative, got -1"):
        optim.AdamW([p], eps=-1)
    with pytest.raises(ArgumentError, match="SGD: nesterov needs momentum and no dampening"):
        optim.SGD([p], nesterov=True)


# -- state dicts -----------------------------------------------------------------------------------
def trained(name, options, count=3, named=False):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    with tfl.no_grad():
        for p in model.parameters():
            p[...] = rng.normal(size=p.shape)
    given = model.named_parameters() if named else model.parameters()
    optimizer = getattr(optim, name)(given, **options)
    push(model, optimizer, count)
    return model, optimizer


def push(model, optimizer, count):
    x = tfl.tensor(np.linspace(-1, 1, 15).reshape(5, 3))
    for _ in range(count):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=IDS)
def test_a_loaded_state_goes_on_the_same(name, options):
    model, optimizer = trained(name, options)
    other, fresh = trained(name, {"lr": 3.0}, count=0)
    other.load_state_dict(model.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    before = {p: dict(s) for p, s in fresh.state.items()}
    fresh.load_state_dict(state)
    for p, old in before.items():
        for key, tensor in old.items():
            assert fresh.state[p][key] is tensor, "the arrays stay: a recorded step goes on"
    assert fresh.param_groups[0]["lr"] == options["lr"] == fresh.param_groups[0].rate.item()
    push(model, optimizer, 2)
    push(other, fresh, 2)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(values(p), values(q))


def test_the_form_of_a_state_dict():
    _, optimizer = trained("AdamW", {"lr": 0.1}, named=True)
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert list(state["state"]) == [0, 1, 2, 3]
    assert set(state["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert state["state"][0]["step"].item() == 3
    (group,) = state["param_groups"]
    assert group["params"] == [0, 1, 2, 3] and group["lr"] == 0.1
    assert group["param_names"] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert type(group) is dict
    assert trained("SGD", {"lr": 0.1})[1].state_dict()["state"] == {}


def test_states_that_do_not_fit_change_nothing():
    _, optimizer = trained("AdamW", {"lr": 0.1})
    before = copy.deepcopy(optimizer.state_dict())

    def refused(state, text):
        with pytest.raises(StateError, match=re.escape(text)):
            optimizer.load_state_dict(state)
        now = optimizer.state_dict()
        assert now["param_groups"] == before["param_groups"]
        for i, one in before["state"].items():
            for key, tensor in one.items():
                assert now["state"][i][key].tolist() == tensor.tolist()

    refused({}, "load_state_dict: the state must fit AdamW, got a dict with 'state' and")
    _, smaller = trained("AdamW", {"lr": 0.1})
    state = copy.deepcopy(smaller.state_dict())
    state["param_groups"][0]["params"] = [0, 1, 2]
    refused(state, "got groups of [3] parameters for groups of [4]")
    state = copy.deepcopy(smaller.state_dict())
    state["param_groups"][0]["lr"] = 7.0
    state["state"][1]["exp_avg"] = tfl.zeros(9)
    state["state"][0]["step"] = tfl.zeros(2)
    refused(state, "got step of parameter 0 (2,) for (4, 3); exp_avg of parameter 1 (9,) for (4,)")
    state = copy.deepcopy(smaller.state_dict())
    state["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ArgumentError, match="AdamW: lr must not be negative"):
        optimizer.load_state_dict(state)
    assert optimizer.state_dict()["param_groups"] == before["param_groups"]


def test_a_model_cast_after_the_optimizer_was_made_goes_on():
    model, optimizer = trained("AdamW", {"lr": 0.1}, count=1)
    model.float()
    x = tfl.tensor(np.linspace(-1, 1, 15).reshape(5, 3).astype(np.float32))
    optimizer.zero_grad()
    model(x).sum().backward()
    optimizer.step()
    assert all(optimizer.state[p]["exp_avg"].dtype == tfl.float32 for p in model.parameters())
    assert all(p.dtype == tfl.float32 for p in model.parameters())


def test_one_call_updates_a_whole_group(monkeypatch):
    from tensorflowlite.ops.optimizers import descent as rules

    calls = []
    real = rules._adam
    monkeypatch.setattr(rules, "_adam", lambda *args: calls.append(len(args)) or real(*args))
    trained("AdamW", {"lr": 0.1}, count=2)
    assert len(calls) == 2 and calls[0] == 2 + 4 * 4 + 7


def test_a_copy_of_model_and_optimizer_goes_on_by_itself():
    model, optimizer = trained("AdamW", {"lr": 0.1})
    other, fresh = copy.deepcopy((model, optimizer))
    assert fresh.param_groups[0].rate is not optimizer.param_groups[0].rate
    before = [values(p).copy() for p in model.parameters()]
    push(other, fresh, 2)
    for p, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(values(p), old)
    push(model, optimizer, 2)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(values(p), values(q))
    fresh.param_groups[0]["lr"] = 0.5
    assert optimizer.param_groups[0]["lr"] == 0.1 == optimizer.param_groups[0].rate.item()


@pytest.mark.parametrize("make", ALL)
def test_a_module_is_not_its_parameters(make):
    with pytest.raises(DtypeError, match=r"got the module Linear; use its parameters\(\)$"):
        make(nn.Linear(1, 1), lr=0.1)
