"""`tfl.profile`: what it finds and where, that the same runs with it, and that nothing is left."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.autograd import Function, detect_anomaly
from tensorflowlite.backend.program import exchange_calls
from tensorflowlite.core import tape
from tensorflowlite.core.primitive import exchange_rules, watch
from tensorflowlite.core.primitive import registry as primitives
from tensorflowlite.data import DataLoader, TensorDataset
from tensorflowlite.debug import profile_recording, profiling, strict
from tensorflowlite.debug.profile_events import Event
from tensorflowlite.debug.profile_table import duration, rows_of
from tensorflowlite.errors import ArgumentError, StateError
from tensorflowlite.io import WriteError
from tensorflowlite.nn import functional as F
from tensorflowlite.programs.loaded import LoadedProgram
from tensorflowlite.transforms import jit_recording
from tensorflowlite.transforms.jit import Jitted
from tensorflowlite.transforms.jit_recording import Recording

from . import fake_cupy

HERE = __file__
CHECKOUT = Path(__file__).resolve().parents[1]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        hidden = self.first(x).relu()
        return tfl.exp(self.second(hidden))


EXP = Block.forward.__code__.co_firstlineno + 2


def network(seed: int = 0) -> nn.Module:
    tfl.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), Block())


def batch() -> tuple[tfl.Tensor, tfl.Tensor]:
    rng = np.random.default_rng(3)
    x = tfl.tensor(rng.standard_normal((4, 5)), dtype="float32")
    return x, tfl.tensor(rng.integers(0, 3, 4))


def step_of(model: nn.Module, optimizer: optim.Optimizer) -> Any:
    def step(x: tfl.Tensor, y: tfl.Tensor) -> tfl.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def profiled_step(steps: int = 2) -> tfl.profile:
    model = network()
    step = step_of(model, optim.Adam(model.parameters()))
    with tfl.profile() as prof:
        for _ in range(steps):
            step(*batch())
            prof.step()
    return prof


def check_sums(prof: tfl.profile) -> None:
    """Events lie in their parents, one beside the other; self times add up to the whole."""
    events = prof.events
    ends: dict[int, int] = {}
    inside = [0] * len(events)
    for one in events:
        assert one.duration >= 0 and one.self_duration >= 0
        if one.parent is None:
            assert one.kind == "thread"
            continue
        parent = events[one.parent]
        assert parent.thread == one.thread
        assert one.start >= ends.get(one.parent, parent.start)
        ends[one.parent] = one.start + one.duration
        assert ends[one.parent] <= parent.start + parent.duration
        inside[one.parent] += one.duration
    for one, part in zip(events, inside, strict=True):
        assert one.self_duration == one.duration - part
    whole = sum(one.duration for one in events if one.parent is None)
    assert prof.total == whole == sum(one.self_duration for one in events)
    for by in ("module", "operation", "line"):
        rows = rows_of(events, by)
        assert sum(row.own for row in rows) == whole
        assert all(row.own <= row.total <= whole for row in rows)


def of_kind(prof: tfl.profile, kind: str, name: str = "") -> list[Event]:
    return [one for one in prof.events if one.kind == kind and name in ("", one.name)]


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
    again = [one for one in of_kind(prof, "module", "Linear")]
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


# -- the same runs ---------------------------------------------------------------------------------
def test_results_have_the_same_bits() -> None:
    def run(on: bool) -> list[bytes]:
        model = network()
        optimizer = optim.Adam(model.parameters())
        step = step_of(model, optimizer)
        found = []
        if on:
            with tfl.profile():
                found += [step(*batch()).numpy().tobytes() for _ in range(3)]
        else:
            found += [step(*batch()).numpy().tobytes() for _ in range(3)]
        return found + [p.detach().numpy().tobytes() for p in model.parameters()]

    assert run(True) == run(False)


def convolutional(seed: int = 0) -> nn.Module:
    tfl.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 8), nn.ReLU(),
        nn.Linear(8, 3),
    )  # fmt: skip


@pytest.mark.parametrize("make", [network, convolutional])
def test_the_same_implementations_run(make: Any) -> None:
    """A recording has each raw call: with the profile they are those without, fused ones too."""
    x, y = batch()
    if make is convolutional:
        x = tfl.tensor(np.random.default_rng(1).standard_normal((4, 1, 8, 8)), dtype="float32")

    def calls() -> str:
        model = make()
        step = tfl.jit(step_of(model, optim.SGD(model.parameters(), lr=0.1)))
        for _ in range(3):
            step(x, y)
        return step.explain()

    plain = calls()
    with tfl.profile() as prof:
        assert calls() == plain
    check_sums(prof)
    restore = exchange_rules(lambda op, rule: rule)
    try:
        assert calls() != plain  # without deferral others run
    finally:
        restore()
    assert calls() == plain


def test_deferral_that_is_agreed_on_meanwhile_stays() -> None:
    made = tape.Primitive(
        "late", ("x",), (lambda g: g,), form="unary", registered=False
    )  # fmt: skip
    exp = primitives["exp"]
    before = exp.defers
    restore = exchange_rules(lambda op, rule: rule, deferring=True)
    try:
        tape.defer(exp, made, lambda g: g)
    finally:
        restore()
    try:
        assert exp.defers is not None and made in exp.defers
    finally:
        exp.defers = before
        if before is not None:
            before.pop(made, None)


def test_operations_that_come_in_later_have_their_rules_exchanged() -> None:
    seen: list[str] = []

    def watched(op: Any, rule: Any) -> Any:
        def run(*args: Any) -> Any:
            seen.append(op.name)
            return rule(*args)

        return run

    restore = exchange_rules(watched)
    try:
        late = tape.Primitive("late_one", ("x",), (lambda g: g,), form="unary")
        raw = late.raw
        raw[0](None, 1, None, None)
    finally:
        restore()
        primitives.pop("late_one")
    assert seen == ["late_one"] and late.raw is not raw


# -- jit -------------------------------------------------------------------------------------------
def test_replays_are_replayed() -> None:
    model, twin = network(), network()
    plain = step_of(twin, optim.Adam(twin.parameters()))
    jitted = tfl.jit(step_of(model, optim.Adam(model.parameters())))
    x, y = batch()
    for _ in range(4):
        jitted(x, y)
        plain(x, y)
    run = jitted._newest()._run  # type: ignore[union-attr]
    before = {part: dict(part.__globals__) for part in run.parts}
    with tfl.profile() as prof:
        for _ in range(2):
            jitted(x, y)
    plain(x, y)
    plain(x, y)
    assert [p.detach().numpy().tobytes() for p in model.parameters()] == [
        p.detach().numpy().tobytes() for p in twin.parameters()
    ]
    info = jitted.cache_info()
    assert (info.replayed, info.recorded, info.eager) == (3, 2, 1)
    replays = of_kind(prof, "replay")
    assert [one.name for one in replays] == ["jit replay: step"] * 2
    assert replays[0].module == "(jit replay: step)"
    calls = [one.name for one in of_kind(prof, "call")]
    listed = re.findall(r"= (\w+)\(|^(\w+)\(", jitted.explain(), re.MULTILINE)
    names = [one or other for one, other in listed]
    assert calls == names * 2
    assert all(prof.events[one.parent or 0].kind == "replay" for one in of_kind(prof, "call"))
    assert not of_kind(prof, "operation")
    check_sums(prof)
    for part, names_before in before.items():
        assert all(part.__globals__[key] is one for key, one in names_before.items())
    assert "one range each" not in str(prof)
    jitted(x, y)


def test_what_is_recorded_and_first_replayed_inside() -> None:
    model = network()
    jitted = tfl.jit(step_of(model, optim.SGD(model.parameters(), lr=0.1)))
    with tfl.profile() as prof:
        for _ in range(6):
            jitted(*batch())
    assert jitted.cache_info().replayed == 3 and jitted.cache_info().recorded == 2
    replays = [i for i, one in enumerate(prof.events) if one.kind == "replay"]
    counts = [sum(one.parent == i for one in of_kind(prof, "call")) for i in replays]
    assert len(counts) == 3 and len(set(counts)) == 1 and counts[0] > 5
    part = jitted._newest().parts[0]  # type: ignore[union-attr]
    kept = [one for key, one in part.__globals__.items() if re.fullmatch(r"f\d+", key)]
    assert kept and not any(type(one).__name__ == "_Exchanged" for one in kept)
    # Those that choose by form have settled, as without the profile.
    assert not any(getattr(one, "__name__", "") == "first" for one in kept)
    before = [p.detach().numpy().copy() for p in model.parameters()]
    jitted(*batch())
    assert any((p.detach().numpy() != old).any() for p, old in zip(model.parameters(), before, strict=True))


def test_an_error_in_a_replay_is_the_same() -> None:
    jitted = tfl.jit(lambda x: tfl.exp(x) @ tfl.sin(x))
    for _ in range(4):
        jitted(tfl.ones((2, 2)))
    (part,) = jitted._newest().parts  # type: ignore[union-attr]

    def failing(call: Any, run: Any) -> Any:
        def fail(*args: Any) -> Any:
            raise ValueError("broken")

        return fail if call.slot == "matmul" else run

    def raised() -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            jitted(tfl.ones((2, 2)))
        return str(caught.value)

    restore = exchange_calls(part, failing)
    plain = raised()
    with tfl.profile() as prof:
        assert raised() == plain and "matmul" in plain
    restore()
    check_sums(prof)
    assert jitted(tfl.ones((2, 2))).shape == (2, 2)


def test_a_loaded_program_is_one_range(tmp_path: Path) -> None:
    path = tmp_path / "program.safetensors"
    with tfl.profile():
        tfl.export(lambda x: tfl.exp(x) * 2, path, tfl.ones(3))  # not hindered
    program = tfl.load_program(path)
    with tfl.profile() as prof:
        program(tfl.ones(3))
    assert [one.name for one in of_kind(prof, "replay")] == ["loaded program"]
    assert "one range each, without the calls inside: loaded program" in prof.table()


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
    assert Mine.step.__code__.co_filename == HERE


# -- what it shows ---------------------------------------------------------------------------------
def test_the_table() -> None:
    prof = profiled_step()
    text = prof.table(by="operation", sort="total", limit=3)
    lines = text.splitlines()
    assert lines[0].split()[0] == "operation" and set(lines[1]) == {"-"}
    assert lines[2].startswith("(outside)") and "100.0 %" in lines[2]
    assert re.match(r"\(\d+ more\)", lines[5]) and lines[7].startswith("all ")
    ends = {len(line) for line in lines[2:5]}
    assert len(ends) == 1  # columns are aligned
    assert "recording takes about" in lines[-1] and prof.overhead > 0
    assert str(prof) == prof.table("module")
    assert repr(prof).startswith("<profile: ")
    names = [line.split("  ")[0] for line in prof.table("module", "name", None).splitlines()]
    listed = names[2 : names.index("all") - 1]
    assert listed == sorted(listed) and "2.first" in listed
    calls = [int(line.split()[-1]) for line in prof.table(sort="calls").splitlines()[2:8]]
    assert calls == sorted(calls, reverse=True)
    assert "return tfl.exp(self.second(hidden))" in prof.table(by="line", limit=None)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"), (999, "999 ns"), (1000, "1.00 us"), (9_996, "10.0 us"), (99_960, "100 us"),
        (999_600, "1.00 ms"), (1_234_000, "1.23 ms"), (2_500_000_000, "2.50 s "),
    ],
)  # fmt: skip
def test_durations(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


def test_bad_input(tmp_path: Path) -> None:
    prof = profiled_step(1)
    with pytest.raises(ArgumentError, match="by must be one of 'module', 'operation', 'line', got"):
        prof.table(by="layer")
    with pytest.raises(ArgumentError, match="sort must be one of 'self', 'total', .*got 'time'"):
        prof.table(sort="time")
    for limit in (0, -1, 2.5, True, "all"):
        with pytest.raises(ArgumentError, match="limit must be an integer of at least 1 or None"):
            prof.table(limit=limit)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="trace must be the path of a file, got function"):
        tfl.profile(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="path must be the path of a file, got int"):
        prof.export_chrome_trace(3)  # type: ignore[arg-type]
    new = tfl.profile()
    assert str(new) == "profile: nothing is recorded yet" and repr(new)[0] == "<"
    with pytest.raises(StateError, match="profile.table: .* got one that was never on"):
        new.table()
    with pytest.raises(StateError, match="profile.step: the profile must be on"):
        new.step()
    with new:
        assert str(new).startswith("profile: on, with ")
        for look in (lambda: new.events, lambda: new.total, lambda: new.table()):
            with pytest.raises(StateError, match="must have ended, got one that is on"):
                look()
        with pytest.raises(StateError, match="got one that is on"):
            new.export_chrome_trace(tmp_path / "trace.json")
    with pytest.raises(StateError, match="profile.step: the profile must be on"):
        new.step()


# -- traces ----------------------------------------------------------------------------------------
def check_trace(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Hold a trace to Chrome's format."""
    assert set(content) == {"traceEvents", "displayTimeUnit", "otherData"}
    found = content["traceEvents"]
    named = {one["tid"] for one in found if one["ph"] == "M" and one["name"] == "thread_name"}
    slices: dict[int, list[tuple[float, float]]] = {}
    starts, ends = {}, {}
    for one in found:
        assert isinstance(one["name"], str) and isinstance(one["pid"], int)
        assert isinstance(one["tid"], int)
        if one["ph"] == "M":
            assert isinstance(one["args"]["name"], str)
            continue
        assert one["tid"] in named and one["ts"] >= 0
        if one["ph"] == "X":
            assert one["dur"] >= 0 and isinstance(one["args"], dict)
            slices.setdefault(one["tid"], []).append((one["ts"], one["ts"] + one["dur"]))
        else:
            assert one["ph"] in "sf" and one["cat"] == one["name"] == "gradient"
            (starts if one["ph"] == "s" else ends)[one["id"]] = one
            assert one["ph"] == "s" or one["bp"] == "e"
    assert starts.keys() == ends.keys()
    for key, one in starts.items():
        assert one["ts"] < ends[key]["ts"]
        for end in (one, ends[key]):  # an arrow needs a slice that it begins and ends in
            assert any(low <= end["ts"] <= high for low, high in slices[end["tid"]])
    for of_row in slices.values():  # one lies in another or beside it
        open_ones: list[float] = []
        for low, high in sorted(of_row, key=lambda one: (one[0], -one[1])):
            while open_ones and open_ones[-1] <= low + 1e-6:
                open_ones.pop()
            assert not open_ones or high <= open_ones[-1] + 1e-6
            open_ones.append(high)
    return [one for one in found if one["ph"] == "X"]


def test_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    model = network()
    step = step_of(model, optim.SGD(model.parameters(), lr=0.1))
    with tfl.profile(trace=path) as prof:
        for _ in range(3):
            step(*batch())
            prof.step()
    content = json.loads(path.read_bytes())
    slices = check_trace(content)
    assert len(slices) == len(prof.events) + 4
    (first, *_) = [one for one in slices if one["name"] == "exp" and one["cat"] == "operation"]
    assert first["args"]["module"] == "2" and first["args"]["shapes"] == ["float32 (4, 3)"]
    assert first["args"]["line"].endswith(f"test_profile.py:{EXP}, in forward")
    flows = [one for one in content["traceEvents"] if one["ph"] == "s"]
    assert len(flows) == len(of_kind(prof, "gradient"))
    iterations = [one["name"] for one in slices if one["cat"] == "iteration"]
    assert iterations == [f"iteration {i}" for i in range(4)]
    assert [one.name for one in tmp_path.iterdir()] == ["trace.json"]
    assert "recording takes about" in content["otherData"]["notes"][0]


def test_names_of_any_kind(tmp_path: Path) -> None:
    name = '"</script><b>\n\u2028é\\'
    Odd = type(name, (nn.Module,), {"forward": lambda self, x: tfl.exp(x)})  # noqa: N806
    path = tmp_path / "trace.json"
    with tfl.profile(trace=str(path)) as prof:
        Odd()(tfl.ones(2))
    slices = check_trace(json.loads(path.read_text()))
    assert [one["name"] for one in slices if one["cat"] == "module"] == [name]
    assert '"</script><b>??é\\' in prof.table() and len(prof.table().splitlines()) == 7


def test_thousands_of_events(tmp_path: Path) -> None:
    x = tfl.ones(2)
    with tfl.profile(trace=tmp_path / "trace.json") as prof:
        for _ in range(5000):
            x = x * 1.0
    check_sums(prof)
    assert len(of_kind(prof, "operation", "multiply")) == 5000
    check_trace(json.loads((tmp_path / "trace.json").read_text()))


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    ran = []
    for path, hint in (
        (tmp_path / "none" / "trace.json", "there is no such folder"),
        (tmp_path, "that is a folder"),
        (f"{tmp_path}/", "that is a folder"),
    ):
        with pytest.raises(WriteError, match=f"profile: trace must be .*: {hint}"):
            with tfl.profile(trace=path):
                ran.append(path)
    assert ran == [] and profiling._on == []
    folder = tmp_path / "gone"
    folder.mkdir()
    prof = tfl.profile(trace=folder / "trace.json")
    with pytest.raises(WriteError, match="profile: the file must be written whole"), prof:
        tfl.exp(tfl.ones(2))
        folder.rmdir()
    assert len(of_kind(prof, "operation", "exp")) == 1  # it isn't lost
    prof.export_chrome_trace(tmp_path / "trace.json")
    check_trace(json.loads((tmp_path / "trace.json").read_text()))
    folder.mkdir()
    with pytest.raises(ZeroDivisionError), pytest.warns(RuntimeWarning, match="written whole"):
        with prof:
            folder.rmdir()
            raise ZeroDivisionError


def test_a_trace_of_what_raised(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with pytest.raises(ZeroDivisionError), tfl.profile(trace=path):
        tfl.exp(tfl.ones(2))
        raise ZeroDivisionError
    assert "exp" in {one["name"] for one in check_trace(json.loads(path.read_text()))}


# -- GPUs ------------------------------------------------------------------------------------------
@pytest.fixture
def cupy() -> Iterator[fake_cupy.FakeCupy]:
    with fake_cupy.installed() as found:
        yield found


def test_ranges_and_times_of_a_gpu(cupy: fake_cupy.FakeCupy, tmp_path: Path) -> None:
    x = tfl.ones((2, 3), device="cuda", requires_grad=True)
    path = tmp_path / "trace.json"
    with tfl.profile(trace=path) as prof:
        nn.Tanh()(x).sum().backward()
    ranges = [name for name in cupy.ranges if name != "end"]
    assert ranges == [one.name for one in prof.events[1:]]
    assert len(cupy.ranges) == 2 * len(ranges) and {"Tanh", "tanh", "backward"} <= set(ranges)
    assert all(one.device_duration == 1_500_000 for one in prof.events[1:])
    assert prof.events[0].device_duration is None
    header, _, *rows = prof.table(by="operation", limit=None).splitlines()
    assert header.split()[-1] == "GPU"
    told = {row.split("  ")[0]: row.split()[-2:] for row in rows}
    assert told["tanh"] == ["1.50", "ms"] and told["Tanh (module)"][-1] == "-"
    slices = json.loads(path.read_text())["traceEvents"]
    assert [one["name"] for one in slices if one.get("cat") == "GPU operation"] == ["tanh", "sum"]


def test_a_gpu_that_is_used_first_inside(cupy: fake_cupy.FakeCupy) -> None:
    from tensorflowlite.backend import base

    backend = base.by_device_type.pop("cuda")
    with tfl.profile() as prof:
        tfl.exp(tfl.ones(2))
        base.by_device_type["cuda"] = backend
        tfl.sin(tfl.ones(2, device="cuda"))
    timed = {one.name for one in prof.events if one.device_duration is not None}
    assert "sin" in timed and "exp" not in timed and "sin" in cupy.ranges


def test_nothing_is_recorded_on_a_stream_that_is_captured(
    cupy: fake_cupy.FakeCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_cupy.Stream, "is_capturing", lambda self: True, raising=False)
    made: list[Any] = []
    monkeypatch.setattr(fake_cupy.Event, "record", lambda self, stream=None: made.append(self))
    with tfl.profile() as prof:
        tfl.exp(tfl.ones(2, device="cuda"))
    assert not made and all(one.device_duration is None for one in prof.events)


def test_without_a_gpu_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, tensorflowlite as tfl\n"
        "assert not [m for m in sys.modules if m.startswith('tensorflowlite.debug')]\n"
        "assert 'profile' in dir(tfl) and 'profile' in dir(tfl.debug)\n"
        "assert 'tensorflowlite.debug.profiling' not in sys.modules\n"
        "with tfl.profile() as prof:\n    tfl.exp(tfl.ones(2))\n"
        "assert tfl.debug.profile is tfl.profile and 'exp' in prof.table('operation')\n"
        "for name in ('cuda_nvtx', 'cuda_timing'):\n"
        "    assert 'tensorflowlite.backend.' + name not in sys.modules, name\n"
        "assert 'cupy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=CHECKOUT)


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
def test_a_forked_child_records_nothing() -> None:
    program = (
        "import os, tensorflowlite as tfl\n"
        "with tfl.profile() as prof:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        count = str(prof)\n"
        "        tfl.exp(tfl.ones(2))\n"
        "        os._exit(0 if str(prof) == count else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    tfl.exp(tfl.ones(2))\n"
        "assert 'exp' in prof.table('operation')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=CHECKOUT)


def test_the_documented_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (CHECKOUT / "docs" / "profiling.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "example.py", "exec"), names)
    check_trace(json.loads((tmp_path / "trace.json").read_text()))
