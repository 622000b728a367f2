"""Faults of many kinds under a story: in nets, between those that look on, and in itself."""

from __future__ import annotations

import inspect
import itertools
import warnings

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.core.primitive import Primitive, exchange_rules, registry, watch
from tensorflowlite.core.tape import Pass
from tensorflowlite.debug import profile, strict
from tensorflowlite.errors import ShapeError
from tensorflowlite.nn import functional as F
from tensorflowlite.story import recording
from tensorflowlite.story.formulas import formulas_of, text_of

X = tfl.ones((3, 4))


def told(step):
    with warnings.catch_warnings(), tfl.explain() as story:
        warnings.simplefilter("ignore")
        tfl.manual_seed(0)
        step()
    return story


def line_of(step, text):
    lines, first = inspect.getsourcelines(step)
    return next(first + i for i, line in enumerate(lines) if text in line and "lines" not in line)


# -- why -------------------------------------------------------------------------------------------
def test_parameters_made_in_the_step_have_their_names():
    def step():
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
        w = tfl.randn(4, 4).requires_grad_()
        with tfl.no_grad():
            h = X @ w  # lost
        model(h).sum().backward()

    story = told(step)
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        assert story.why(name).state == "healthy", story.why(name)
    assert story.why("w").state == "cut" and story.why("w").line == line_of(step, "# lost")


def test_parameters_that_were_made_alike_are_told_apart():
    def step():
        model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(4)])
        with tfl.no_grad():
            for layer in model:
                layer.weight[...] = tfl.eye(4)
        model(X).sum().backward()

    story = told(step)
    assert {r["state"] for r in story.data["reasons"]} == {"healthy"}
    for call in story.data["iterations"][0]["calls"]:
        if call["operation"] == "linear":
            module = story.data["modules"][call["module"]]["path"]
            value = story.data["iterations"][0]["values"][call["inputs"][1]["value"]]
            assert value["name"] == f"{module}.weight"


def test_a_detached_branch_beside_a_living_one():
    def step():
        first, second = nn.Linear(4, 4), nn.Linear(4, 4)
        a, b = first.weight, second.weight
        h = X @ a
        h = h + F.relu(h @ b).detach()
        h.sum().backward()

    story = told(step)
    assert story.why("a").state == "healthy"
    assert story.why("b").state == "cut" and story.why("b").operation == "detach"


def test_a_dead_branch_beside_a_living_one():
    def step():
        w = tfl.randn(4, 4).requires_grad_()
        h = X @ w
        (F.relu(h - 100).sum() + h.sum()).backward()

    assert told(step).why("w").state == "healthy"


def test_the_fault_is_in_the_trunk_not_in_the_dead_branch():
    def step():
        w = tfl.randn(4, 4).requires_grad_()
        h = (X @ w) * 0  # here
        (F.relu(h - 100) + h * 3).sum().backward()

    reason = told(step).why("w")
    assert reason.state == "zero" and reason.operation == "multiply"
    assert reason.line == line_of(step, "# here")


def test_hooks_and_terms_that_cancel():
    def hooked():
        w = tfl.ones(4).requires_grad_()
        h = w * 2
        h.register_hook(lambda g: g * 0)
        h.sum().backward()

    def cancelling():
        w = tfl.ones(4).requires_grad_()
        h = w * 2
        (h - h).sum().backward()

    for step, word in ((hooked, "a hook makes zero of it"), (cancelling, "cancel")):
        reason = told(step).why("w")
        assert reason.state == "zero" and word in reason.sentence
        assert reason.line == line_of(step, "h = w * 2")


def test_a_zero_through_one_of_several_outputs():
    def step():
        w = tfl.randn(4, 4).requires_grad_()
        first, _ = tfl.split(w * 0, 2)  # here
        first.sum().backward()

    def from_one():
        w = tfl.zeros((3, 2)).requires_grad_()
        _, r = tfl.linalg.qr(w + tfl.eye(3)[:, :2])
        (r * tfl.triu(tfl.zeros((2, 2)))).sum().backward()

    reason = told(step).why("w")
    assert reason.state == "zero" and reason.line == line_of(step, "# here")
    assert told(from_one).why("w").state == "zero"


def test_nan_in_data_and_in_a_parameter():
    spoilt = tfl.ones((3, 4))
    spoilt[0, 0] = float("nan")
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    with tfl.explain() as story:
        model(spoilt).sum().backward()
    reason = story.why("0.weight")
    assert reason.state == "nan" and "input spoilt has NaN itself" in reason.sentence
    with tfl.no_grad():
        model[1].weight[0, 0] = float("nan")
    with tfl.explain() as story:
        model(X).sum().backward()
    reason = story.why("0.weight")
    assert reason.state == "nan" and "parameter 1.weight has NaN itself" in reason.sentence
    assert story.why("1.weight").state == "healthy"


def test_the_rule_of_what_a_mask_hides():
    def step():
        w = tfl.zeros(4).requires_grad_()
        h = tfl.log(w * 1)  # here
        tfl.where(w > 0, h, w).sum().backward()

    reason = told(step).why("w")
    assert (reason.state, reason.operation) == ("nan", "log")
    assert reason.line == line_of(step, "# here") and "rule" in reason.sentence


def test_vanishing_and_exploding_step_by_step():
    def vanishing():
        layers = [layer for _ in range(30) for layer in (nn.Linear(4, 4), nn.Sigmoid())]
        nn.Sequential(*layers)(X).sum().backward()

    def underflowing():
        layers = [layer for _ in range(300) for layer in (nn.Linear(4, 4), nn.Sigmoid())]
        nn.Sequential(*layers)(X).sum().backward()

    def exploding():
        w = tfl.ones((3, 4)).requires_grad_()
        h = w * 1
        for _ in range(50):
            h = h * 3
        h.sum().backward()

    reason = told(vanishing).why("0.weight")
    assert reason.state == "vanished" and "step by step" in reason.sentence
    reason = told(underflowing).why("0.weight")
    assert reason.state == "vanished" and "smaller and smaller" in reason.sentence
    reason = told(exploding).why("w")
    assert reason.state == "exploded" and "step by step" in reason.sentence


def test_means_and_sums_of_many_are_healthy():
    def averaged():
        model = nn.Linear(4, 4)
        F.mse_loss(model(tfl.randn(60000, 4)), tfl.zeros((60000, 4))).backward()

    def summed():
        model = nn.Linear(4, 4)
        model(tfl.randn(60000, 4)).square().sum().backward()

    for step in (averaged, summed):
        assert {r["state"] for r in told(step).data["reasons"]} == {"healthy"}


def test_a_scaled_loss_is_no_explosion():
    model = nn.Linear(4, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scaler = tfl.amp.GradScaler()
    with tfl.explain() as story:
        scaler.scale(model(X).mean()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert story.why("weight").state == "healthy"
    assert len(story) == 1
    (update, _) = story.data["iterations"][0]["updates"]
    assert update["gradient"]["values"] == [1.0] * 4


def test_a_backward_pass_through_vmap_leaves_a_note():
    w = tfl.ones(4).requires_grad_()
    with tfl.explain() as story:
        tfl.vmap(lambda row: row * 3)((w * 2).reshape(2, 2)).sum().backward()
    assert w.grad.tolist() == [6.0] * 4
    assert [note for note in story.data["notes"] if "vmap" in note] == story.data["notes"]


def test_primitives_that_come_late_are_watched_too():
    seen = []

    def watched(op, rule):
        seen.append(op.name)
        return rule

    restore = exchange_rules(watched)
    try:
        Primitive("late_for_the_story", ("x",), (lambda g: g,), form="unary")
        assert seen[-1] == "late_for_the_story"
    finally:
        restore()
        registry.pop("late_for_the_story", None)


# -- steps -----------------------------------------------------------------------------------------
def test_steps_with_a_closure_are_told_once():
    w = tfl.ones(4).requires_grad_()
    optimizer = optim.LBFGS([w], lr=0.1, max_iter=3)

    def closure():
        optimizer.zero_grad()
        loss = ((w - 2) ** 2).sum()
        loss.backward()
        return loss

    with tfl.explain() as story:
        optimizer.step(closure)
        optimizer.step(closure)
    updates = [u for one in story.data["iterations"] for u in one["updates"]]
    assert [u["optimizer"] for u in updates] == ["LBFGS", "LBFGS"]
    assert {u["parameter"] for u in updates} == {"w"} and story.data["parameters"] == ["w"]


# -- complex numbers -------------------------------------------------------------------------------
def test_jacobians_of_real_results_of_complex_inputs():
    z = tfl.tensor([1 + 2j, 3 - 1j]).requires_grad_()
    with tfl.explain() as story:
        (z.real * tfl.tensor([1.0, 2.0])).sum().backward()
    assert z.grad is not None
    flow = next(f for f in story.data["iterations"][0]["flows"] if f["operation"] == "real")
    assert flow["parts"][0]["local"]["array"]["dtype"] == "complex64"


# -- those that look on ----------------------------------------------------------------------------
def state():
    rules = {name: (op.raw, op.run_traced, op.defers) for name, op in registry.items()}
    return Pass.run, tfl.Tensor.detach, optim.SGD.step, rules, watch.wrap


def test_stories_end_in_any_order():
    contexts = [tfl.explain, strict, profile, tfl.autograd.detect_anomaly]
    before = state()
    for order in itertools.permutations(range(4), 2):
        for leaving in (order, order[::-1]):
            entered = {i: contexts[i]() for i in order}
            given = {i: one.__enter__() for i, one in entered.items()}
            w = tfl.ones((4, 2)).requires_grad_()
            optimizer = optim.SGD([w], lr=0.1)
            F.relu(X @ w).sum().backward()
            optimizer.step()
            for i in leaving:
                entered[i].__exit__(None, None, None)
            assert state() == before, (order, leaving)
            if 0 in order:
                (told_of,) = given[0].data["iterations"]
                assert len(told_of["flows"]) == 3 and len(told_of["updates"]) == 1


@pytest.mark.parametrize("place", ["value", "call", "_mark"])
def test_what_cannot_be_recorded_is_a_note(place, monkeypatch):
    """The step goes on as if nobody looked, and its own errors keep their words."""

    def failing(*args, **kwargs):
        raise ValueError("no room for this")

    w = tfl.ones((4, 2)).requires_grad_()
    optimizer = optim.SGD([w], lr=0.1)
    monkeypatch.setattr(recording.Recorder, place, failing)
    with tfl.explain() as story:
        F.relu(X @ w).sum().backward()
        optimizer.step()
        with pytest.raises(ShapeError, match="matmul"):
            X @ tfl.ones((3, 2))
    assert w.grad.tolist() == [[3.0, 3.0]] * 4
    assert w.tolist() == [[pytest.approx(0.7)] * 2] * 4
    assert recording.failures and all("no room" in str(one) for one in recording.failures)
    assert any("gap" in note and "no room for this" in note for note in story.data["notes"])
    recording.failures.clear()


# -- formulas --------------------------------------------------------------------------------------
def test_losses_of_single_samples_are_not_divided_by_their_number():
    for name in ("softmax_cross_entropy", "nll_loss"):
        (formula,) = formulas_of(registry[name])
        assert "mean" not in formula["text"]


def test_formulas_say_constants_and_branches():
    assert formulas_of(registry["log2"])[0]["text"] == "g / (x · ln 2)"
    assert formulas_of(registry["floor"])[0]["text"] == "0"
    assert text_of(branching) == "if mode:\n    result: g\ng · 2"


def branching(g, mode):
    if mode:
        return g
    return g * 2
