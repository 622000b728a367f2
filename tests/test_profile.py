"""`tfl.profile`: what it finds and where, and that nothing of it is left."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.autograd import Function, detect_anomaly
from tensorflowlite.core import tape
from tensorflowlite.core.primitive import registry as primitives
from tensorflowlite.core.primitive import watch
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.debug import profile_recording, profiling, strict
from tensorflowlite.debug.profile_table import rows_of
from tensorflowlite.errors import StateError
from tensorflowlite.nn import functional as F
from tensorflowlite.programs.loaded import LoadedProgram
from tensorflowlite.transforms import jit_recording
from tensorflowlite.transforms.jit import Jitted
from tensorflowlite.transforms.jit_recording import Recording

from .profiles import EXP, HERE, batch, check_sums, network, of_kind, profiled_step

CHECKOUT = Path(__file__).resolve().parents[1]


# -- what it finds, and where ----------------------------------------------------------------------
def test_times_add_up() -> None:
    prof = profiled_step()
    check_sums(prof)
    assert prof.events[0].kind == "thread" and prof.events[0].duration == prof.total
    kinds = {one.kind for one in prof.events}
    assert kinds == {
        "thread", "zero_grad", "module", "operation", "backward", "gradient", "step",
    }  # fmt: skip


def test_operations_are_at_their_module_and_line() -> None:
    prof = profiled_step()
    exps = of_kind(prof, "operation", "exp")
    assert [(one.module, one.line, one.file) for one in exps] == [("2", EXP, HERE)] * 2
    assert exps[0].function == "forward" and exps[0].shapes == ("float32 (4, 3)",)
    assert exps[0].modules == ("Sequential", "2")
    called = [(one.name, one.module) for one in of_kind(prof, "module")][:5]
    assert called == [
        ("Sequential", "Sequential"), ("Linear", "0"), ("Tanh", "1"), ("Block", "2"),
        ("Linear", "2.first"),
    ]  # fmt: skip
    for one in of_kind(prof, "operation"):
        assert one.parent is not None
        around = prof.events[one.parent]
        if around.kind == "module":
            assert around.module == one.module
    (adam, _) = of_kind(prof, "operation", "adam_step")
    assert adam.module == "(Adam.step)"
    assert [one.iteration for one in exps] == [0, 1]


def test_gradients_are_at_their_operations() -> None:
    prof = profiled_step()
    gradients = of_kind(prof, "gradient")
    assert len({one.name for one in gradients}) >= 4
    for one in gradients:
        assert one.forward is not None
        forward = prof.events[one.forward]
        assert (forward.kind, forward.name) == ("operation", one.name)
        assert (forward.module, forward.line) == (one.module, one.line)
        assert forward.iteration == one.iteration
        assert one.parent is not None and prof.events[one.parent].kind == "backward"
    (first, _) = [one for one in gradients if one.name == "exp"]
    assert (first.module, first.line) == ("2", EXP)
    modules = {one.module for one in gradients if one.name == "linear_act"}
    assert modules == {"0", "2.first", "2.second"}


def test_a_module_has_its_backward_pass_in_its_total() -> None:
    prof = profiled_step()
    rows = {row.name: row for row in rows_of(prof.events, "module")}
    inside = [one for one in prof.events if one.modules[:2] == ("Sequential", "2")]
    assert any(one.kind == "gradient" for one in inside)
    assert rows["2"].total == sum(one.self_duration for one in inside)
    assert rows["2"].calls == 2 and rows["2.first"].calls == 2
    assert rows["2"].own == sum(one.self_duration for one in inside if one.module == "2")


def test_what_calls_itself_is_counted_once() -> None:
    class Nested(nn.Module):
        def __init__(self, inner: nn.Module | None) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            return tfl.sin(x) if self.inner is None else self.inner(x)

    model = Nested(Nested(Nested(None)))
    with tfl.profile() as prof:
        model(tfl.ones(3))
    row = next(row for row in rows_of(prof.events, "operation") if row.name == "Nested (module)")
    outer = of_kind(prof, "module")[0]
    assert row.calls == 3 and row.total == outer.duration and outer.module == "Nested"


def test_modules_of_one_name_in_two_models() -> None:
    one, other = network(0), network(1)
    with tfl.profile() as prof:
        one(batch()[0])
        other(batch()[0])
    labels = [event.module for event in of_kind(prof, "module")]
    assert len(set(labels)) == len(labels) == 12
    assert labels[1] == "0" and labels[7] == "Sequential.0"


def test_inside_of_a_module() -> None:
    found: list[tfl.profile] = []

    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.ReLU()

        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            with tfl.profile() as prof:
                y = self.inner(tfl.exp(x))
            found.append(prof)
            return y

    nn.Sequential(Looking())(tfl.ones(3))
    assert [(one.name, one.module) for one in found[0].events[1:]] == [
        ("exp", "0"), ("ReLU", "0.inner"), ("relu", "0.inner"),
    ]  # fmt: skip


def test_loaders_and_their_waiting() -> None:
    x, y = batch()
    loader = DataLoader(TensorDataset(x.numpy(), y.numpy()), batch_size=2)
    with tfl.profile() as prof:
        sizes = [len(one) for one, _ in loader]
        for _ in loader:
            break
    waits = of_kind(prof, "data")
    assert sizes == [2, 2] and len(waits) == 6  # begun twice; two batches and the end; one
    assert {one.module for one in waits} == {"(DataLoader)"}
    check_sums(prof)


def test_custom_functions_checkpoints_and_higher_orders() -> None:
    class Cube(Function):
        @staticmethod
        def forward(ctx: Any, x: tfl.Tensor) -> tfl.Tensor:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            (x,) = ctx.saved_tensors
            return grads[0] * 3 * x * x

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            return Cube.apply(tfl.checkpoint(self.inner, x))

    model, x = Model(), tfl.ones((1, 2), requires_grad=True)
    with tfl.profile() as prof:
        model(x).sum().backward()
        y = tfl.sin(x).sum()
        (first,) = tfl.autograd.grad(y, [x], create_graph=True)
        first.sum().backward()
    check_sums(prof)
    (cube,) = of_kind(prof, "gradient", "Cube")
    assert cube.module == "Model" and cube.forward is not None
    assert prof.events[cube.forward].name == "Cube"
    again = of_kind(prof, "module", "Linear")
    assert [one.module for one in again] == ["inner", "inner"]  # computed again in the pass
    # What a recorded rule calls belongs to the operation's line, and so do its own gradients.
    (sine,), (inside,) = of_kind(prof, "gradient", "sin"), of_kind(prof, "operation", "cos")
    (higher,) = of_kind(prof, "gradient", "cos")
    assert inside.line == higher.line == sine.line > 0
    assert prof.events[inside.parent or 0] is sine


def test_what_raises_has_its_time() -> None:
    model = network()
    with tfl.profile() as prof, pytest.raises(tfl.errors.ShapeError):
        model(tfl.ones((2, 7)))
    check_sums(prof)
    assert [one.name for one in of_kind(prof, "module")] == ["Sequential", "Linear"]
    with pytest.raises(ZeroDivisionError), tfl.profile() as prof:
        tfl.exp(tfl.ones(2))
        raise ZeroDivisionError
    assert len(of_kind(prof, "operation", "exp")) == 1


# -- on and off ------------------------------------------------------------------------------------
def places() -> list[Any]:
    """What is exchanged while it is on."""
    kinds = [optim.Optimizer, *optim.Optimizer.__subclasses__()]
    ops = [primitives[name] for name in ("linear_act", "relu", "add", "exp")]
    array = np.ndarray
    return [
        tape._run, vars(nn.Module)["__call__"], vars(nn.Module)["zero_grad"],
        vars(DataLoader)["__iter__"], vars(optim.Optimizer)["__init__"],
        vars(optim.Optimizer)["zero_grad"], vars(optim.Optimizer)["step"],
        vars(optim.LBFGS)["step"], vars(Jitted)["__call__"], vars(Recording)["replay"],
        jit_recording.runner, vars(LoadedProgram)["__call__"], vars(Function)["apply"],
        *[op.implementations[array] for op in ops], *[op.raw for op in ops],
        *[op.run_traced for op in ops], watch.wrap, *[op.defers for op in ops if op.defers],
        *[vars(kind).get("step") for kind in kinds],
    ]  # fmt: skip


def test_off_it_leaves_nothing() -> None:
    before = places()
    count = 13 + 4 + 4 + 4 + 1
    with tfl.profile():
        inside = places()
    assert all(one is other for one, other in zip(places(), before, strict=True))
    changed = [one is not other for one, other in zip(inside, before, strict=True)]
    assert all(changed[:count])
    with pytest.raises(ZeroDivisionError), tfl.profile():
        raise ZeroDivisionError
    assert all(one is other for one, other in zip(places(), before, strict=True))
    assert not watch.inspects and profiling._on == []


def test_a_start_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = places()

    def fail(*args: Any, **options: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr(profile_recording, "exchange_rules", fail)
    with pytest.raises(RuntimeError, match="no"), tfl.profile():
        pass
    assert all(one is other for one, other in zip(places(), before, strict=True))
    monkeypatch.undo()
    with tfl.profile() as prof:
        tfl.exp(tfl.ones(2))
    assert len(of_kind(prof, "operation", "exp")) == 1


def test_one_at_a_time() -> None:
    prof = tfl.profile()
    sentence = "profile: it must be off, got a profile while another one is on"
    with prof:
        for other in (tfl.profile(), prof):
            with pytest.raises(StateError, match=sentence), other:
                pass
        caught: list[Exception] = []

        def enter() -> None:
            try:
                with tfl.profile():
                    pass
            except StateError as error:
                caught.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        tfl.exp(tfl.ones(2))
    assert len(caught) == 1 and len(of_kind(prof, "operation", "exp")) == 1
    with prof:  # once more, anew
        tfl.sin(tfl.ones(2))
    assert [one.name for one in of_kind(prof, "operation")][-1] == "sin"
    assert not of_kind(prof, "operation", "exp")


def test_all_threads_are_seen() -> None:
    models = [network(seed) for seed in range(3)]

    def work(model: nn.Module) -> None:
        for _ in range(5):
            F.cross_entropy(model(batch()[0]), batch()[1]).backward()

    with tfl.profile() as prof:
        threads = [threading.Thread(target=work, args=(m,), name=f"w{i}") for i, m in
                   enumerate(models[1:])]  # fmt: skip
        for thread in threads:
            thread.start()
        work(models[0])
        for thread in threads:
            thread.join()
    check_sums(prof)
    assert len(prof.threads) == 3 and {name for _, name in prof.threads} >= {"w0", "w1"}
    by_thread = {}
    for one in of_kind(prof, "gradient"):
        by_thread[one.thread] = by_thread.get(one.thread, 0) + 1
    assert len(by_thread) == 3 and len(set(by_thread.values())) == 1


def test_a_thread_that_goes_on_afterwards() -> None:
    inside, done = threading.Event(), threading.Event()

    class Waiting(nn.Module):
        def forward(self, x: tfl.Tensor) -> tfl.Tensor:
            inside.set()
            done.wait(30)
            return tfl.exp(x)

    thread = threading.Thread(target=Waiting(), args=(tfl.ones(2),))
    with tfl.profile() as prof:
        thread.start()
        assert inside.wait(30)
    done.set()
    thread.join()
    (waiting,) = of_kind(prof, "module", "Waiting")
    assert waiting.duration > 0 and not of_kind(prof, "operation", "exp")
    check_sums(prof)


def test_a_loader_that_goes_on_afterwards() -> None:
    x, y = batch()
    loader = DataLoader(TensorDataset(x.numpy(), y.numpy()), batch_size=2)
    with tfl.profile() as prof:
        batches = iter(loader)
        next(batches)
    count = len(prof.events)
    assert len(next(batches)) == 2 and next(batches, None) is None
    assert len(prof.events) == count


@pytest.mark.parametrize("inner", [strict, detect_anomaly, tfl.profile])
def test_together_with_what_inspects(inner: Any) -> None:
    """Strict and detect_anomaly see what is inside of a function of jit, also with a profile."""
    before = places()
    jitted = tfl.jit(lambda x: tfl.exp(x))
    for _ in range(4):
        jitted(tfl.ones(2))
    outer = strict if inner is tfl.profile else tfl.profile
    with outer() as first, inner() as second:
        jitted(tfl.ones(2))
    prof = second if inner is tfl.profile else first
    assert jitted.cache_info().replayed == 1
    assert len(of_kind(prof, "operation", "exp")) == 1
    assert all(one is other for one, other in zip(places(), before, strict=True))


def test_an_optimizer_with_a_step_of_its_own() -> None:
    with tfl.profile() as prof:
        class Mine(optim.SGD):
            def step(self, closure: Any = None) -> Any:
                return super().step(closure)

        p = nn.Parameter(tfl.ones(2))
        mine = Mine([p], lr=0.1)
        p.sum().backward()
        original = mine.step
        original()
    assert [one.name for one in of_kind(prof, "step")] == ["Mine.step"]
    assert Mine.step.__code__.co_filename == __file__
