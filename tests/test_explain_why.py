"""Stories know where a gradient was lost: the operation and the line."""

from __future__ import annotations

import inspect
import warnings

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.errors import ArgumentError
from tensorflowlite.nn import functional as F


class Net(nn.Module):
    """Three layers, with something between them."""

    def __init__(self, between):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)
        self.spare = nn.Linear(2, 2)
        self.between = between

    def forward(self, x):
        return self.last(self.between(self.first(x)))


def cut_by_detach(h):
    return (h * 2).detach() + 1  # here: cut_by_detach


def dead(h):
    return F.relu(h - 100)  # here: dead


def saturated(h):
    return F.sigmoid(h + 60)  # here: saturated


def nearly_saturated(h):
    return F.sigmoid(h + 14)  # here: nearly_saturated


def to_integers(h):
    return (h * 10).astype(tfl.int32).astype(tfl.float32)  # here: to_integers


def unrecorded(h):
    with tfl.no_grad():
        h = tfl.sin(h)  # here: unrecorded
        return h * 2


def not_a_number(h):
    return tfl.log(h - 1000)  # here: not_a_number


def infinite_slope(h):
    return tfl.sqrt(h * 0)  # here: infinite_slope


def exploding(h):
    return h * 1e6  # here: exploding


FAULTS = [
    (cut_by_detach, "cut", "detach"), (dead, "zero", "relu"), (saturated, "zero", "sigmoid"),
    (nearly_saturated, "vanished", "sigmoid"), (to_integers, "cut", "cast"),
    (unrecorded, "cut", "sin"), (not_a_number, "nan", "log"), (infinite_slope, "nan", "sqrt"),
    (exploding, "exploded", "multiply"),
]  # fmt: skip


def line_of(function):
    lines, first = inspect.getsourcelines(function)
    (place,) = [i for i, line in enumerate(lines) if f"# here: {function.__name__}" in line]
    return first + place


@pytest.mark.parametrize(("between", "state", "operation"), FAULTS)
def test_why_names_the_operation_and_the_line(between, state, operation):
    tfl.manual_seed(0)
    model = Net(between)
    x, y = tfl.randn(5, 3), tfl.tensor([0, 1, 0, 1, 1])
    with warnings.catch_warnings(), tfl.explain() as story:
        warnings.simplefilter("ignore")
        loss = F.cross_entropy(model(x), y) if state != "exploded" else model(x).sum()
        loss.backward()
    for asked in ("first.weight", model.first.weight):
        reason = story.why(asked)
        assert (reason.state, reason.operation) == (state, operation), reason
        assert reason.file.endswith("test_explain_why.py") and reason.line == line_of(between)
        assert f"{reason.line}" in reason.sentence and operation in reason.sentence
    if state not in ("nan",):
        assert reason.path[-1] == ("linear" if state != "cut" else operation)


def test_why_of_parameters_that_nothing_uses():
    model = Net(F.relu)
    model.spare.requires_grad_(False)
    model.idle = nn.Linear(2, 2)
    model.last.bias.requires_grad_(False)
    with tfl.explain() as story:
        x = tfl.ones((2, 3))
        aside = model.idle(tfl.ones((1, 2)))  # its result is dropped
        (model(x) ** 2).mean().backward()
    assert aside is not None
    assert story.why("spare.weight").state == "unused"
    assert story.why("idle.weight").state == "unused"
    assert "doesn't reach the loss" in story.why("idle.weight").sentence
    assert story.why("last.bias").state == "frozen"
    assert story.why("last.weight").state == "healthy"


@pytest.mark.parametrize("noisy", [False, True])
def test_a_generators_gradient_comes_through_what_it_made_before_the_others_step(noisy):
    tfl.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))
    dropout = nn.Dropout(0.5 if noisy else 0.0)
    critic = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), dropout, nn.Linear(4, 1))
    makers = optim.SGD(generator.parameters(), lr=0.1), optim.SGD(critic.parameters(), lr=0.1)
    with tfl.explain() as story:
        for _ in range(3):
            real, made = tfl.randn(8, 2), generator(tfl.randn(8, 2))
            makers[1].zero_grad()
            (critic(made.detach()).mean() - critic(real).mean()).backward()
            makers[1].step()
            made.mean().item()  # looking at it is no step
            makers[0].zero_grad()
            (-critic(made).mean()).backward()
            makers[0].step()
    iterations = story.data["iterations"]
    assert len(iterations) == 3
    for one in iterations:
        assert len(one["passes"]) == 2 and len(one["updates"]) == 8
        assert all(flow["call"] is not None for flow in one["flows"])
    assert [(one["path"], one["type"]) for one in story.data["modules"]] == [
        ("", "Sequential"), ("0", "Linear"), ("1", "Tanh"), ("2", "Linear"),
        ("critic", "Sequential"), ("critic.0", "Linear"), ("critic.1", "Tanh"),
        ("critic.2", "Dropout"), ("critic.3", "Linear"),
    ]  # fmt: skip
    assert story.why("0.weight").state == story.why("critic.0.weight").state == "healthy"
    reason = story.why(generator[0].weight)
    assert reason.parameter == "0.weight" and reason.path.count("linear") == 4
    found = [
        part["product"]["norm"] for flow in iterations[-1]["flows"] for part in flow["parts"]
        if part["value"] is not None
        and iterations[-1]["values"][part["value"]]["name"] == "0.weight"
    ]  # fmt: skip
    assert found == [pytest.approx(tfl.linalg.norm(generator[0].weight.grad).item(), rel=1e-5)]


def test_a_parameter_is_looked_at_in_the_last_step_of_its_own_optimizer():
    first, second = nn.Linear(2, 1), nn.Linear(2, 1)
    with tfl.explain() as story:
        for model in (first, second):
            optimizer = optim.SGD(model.parameters(), lr=0.1)
            model(tfl.ones((4, 2))).sum().backward()
            optimizer.step()
    assert story.why("weight").state == story.why("second.weight").state == "healthy"
    assert len(story) == 2


def test_a_gradient_that_no_step_takes_is_told_of():
    model = Net(F.relu)
    optimizer = optim.SGD(model.last.parameters(), lr=0.1)
    with tfl.explain() as story:
        model(tfl.ones((4, 3))).sum().backward()
        optimizer.step()
    assert story.why("first.weight").sentence.endswith("; no optimizer that took a step has it")
    assert story.why("last.weight").sentence.endswith("operations")

    with tfl.explain() as story:
        model(tfl.ones((4, 3))).sum().backward()
        optimizer.zero_grad()
        optimizer.step()
    assert story.why("last.weight").sentence.endswith("; at its optimizer's step it was gone")


def test_a_bias_before_a_batch_norm_cannot_matter():
    tfl.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    with tfl.explain() as story:
        (model(tfl.randn(4, 1, 6, 6)) ** 2).mean().backward()
    reason = story.why("0.bias")
    assert reason.state in ("vanished", "zero")
    assert reason.state == "zero" or "takes away what a bias adds" in reason.sentence
    assert story.why("0.weight").state == "healthy"


def test_what_is_computed_after_a_step_from_data_alone_is_the_next_one():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with tfl.explain() as story:
        x = tfl.ones((4, 2)) * 2  # a result, but of data alone
        total = tfl.zeros(())
        state = tfl.zeros((4, 1))
        for _ in range(3):
            optimizer.zero_grad()
            state = state.detach() + model(x)
            loss = (state**2).mean()
            loss.backward()
            optimizer.step()
            total = total + loss
    assert [len(one["passes"]) for one in story.data["iterations"]] == [1, 1, 1]


def test_models_of_one_class_have_names_of_their_own():
    models = [nn.Linear(2, 2) for _ in range(4)]
    with tfl.explain() as story:
        h = tfl.ones((1, 2))
        for model in models[:3]:
            h = model(h)
        (h.detach() + models[3](h.detach())).sum().backward()
    names = story.data["parameters"]
    assert len(names) == len(set(names)) == 8
    assert [story.why(model.weight).state for model in models] == ["cut"] * 3 + ["healthy"]


def test_weights_that_are_clipped_after_a_step_belong_to_it():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with tfl.explain() as story:
        for _ in range(2):
            optimizer.zero_grad()
            model(tfl.ones((4, 2))).sum().backward()
            optimizer.step()
            with tfl.no_grad():
                for p in model.parameters():
                    p.clamp_(-0.01, 0.01)
    assert len(story) == 2
    for one in story.data["iterations"]:
        phases = [call["phase"] for call in one["calls"] if call["operation"] == "clip"]
        assert phases and set(phases) == {"update"}
    assert story.data["parameters"] == ["weight", "bias"]  # not the loop's variable
    assert story.why("weight").state == "healthy"


def test_an_evaluation_after_a_step_is_not_part_of_it():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with tfl.explain() as story:
        model(tfl.ones((4, 2))).sum().backward()
        optimizer.step()
        with tfl.no_grad():
            model(tfl.ones((4, 2)))
    assert [len(one["passes"]) for one in story.data["iterations"]] == [1, 0]


def test_a_parameter_that_was_given_another_array_is_found():
    w = tfl.tensor([1.0, 2.0], requires_grad=True)
    with tfl.explain() as story:
        (w * w).sum().backward()
        w.data = w.data - 0.1 * w.grad
    assert story.why(w).state == "healthy"


def test_why_of_operations_without_derivatives():
    w = tfl.tensor([1.5, -2.5], requires_grad=True)
    with tfl.explain() as story:
        (tfl.argmax(w) * tfl.ones((1,)).requires_grad_()).sum().backward()
    reason = story.why("w")
    assert reason.state == "cut" and reason.operation == "argmax"


def test_a_step_without_backward_says_so(tmp_path):
    model = nn.Linear(2, 1)
    with tfl.explain() as story:
        model(tfl.ones((1, 2)))
    assert story.why("weight").state == "no backward"
    assert any("backward" in note for note in story.data["notes"])
    story.to_html(tmp_path / "story.html")
    assert "backward" in story.to_text()


def test_nothing_at_all(tmp_path):
    with tfl.explain() as story:
        pass
    assert len(story) == 0 and "Nothing was recorded" in story.to_text()
    story.to_html(tmp_path / "story.html")
    with pytest.raises(ArgumentError, match="must be one of the story's, got 'w'; they are none"):
        story.why("w")
