"""That with a profile the same runs: fused gradients, replays of `jit`, the same bits."""

from __future__ import annotations

import gc
import re
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.backend import takes_out
from tensorflowlite.backend.programs.program import exchange_calls
from tensorflowlite.core import tape
from tensorflowlite.core.primitive import exchange_rules
from tensorflowlite.core.primitive import registry as primitives
from tensorflowlite.errors import ShapeError, StateError

from .profiles import batch, check_sums, network, of_kind, step_of


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
    for p, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert p.detach().numpy().tobytes() == other.detach().numpy().tobytes()
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
    after = [p.detach().numpy() for p in model.parameters()]
    assert any((new != old).any() for new, old in zip(after, before, strict=True))


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
        with pytest.raises(Exception) as caught:
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


def test_a_warning_of_jit_is_at_the_users_line() -> None:
    counts = iter(range(100))
    jitted = tfl.jit(lambda x: x * float(next(counts)))
    with tfl.profile(), pytest.warns(RuntimeWarning, match="was recorded 4 times") as told:
        for _ in range(6):
            jitted(tfl.ones(2))
    assert {one.filename for one in told} == {__file__}


def test_changes_in_place_are_written_in_place() -> None:
    implementation = primitives["multiply"].implementations
    before = takes_out(implementation[np.ndarray])
    x = tfl.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1.0
    with tfl.profile() as prof:
        assert takes_out(implementation[np.ndarray]) is before is True
        assert not takes_out(primitives["linear_act"].implementations[np.ndarray])
        line = sys._getframe().f_lineno + 1
        y *= 3.0
        y.sum().backward()
        with pytest.raises(ShapeError, match="multiply_: the result must fit in the changed"):
            y *= tfl.ones((4, 2))
    assert x.grad is not None and x.grad.tolist() == [3.0, 3.0]
    found = [(one.name, one.line) for one in of_kind(prof, "gradient")]
    assert found[:2] == [("sum", line + 1), ("multiply", line)]


# -- what is left ----------------------------------------------------------------------------------
def test_a_profile_keeps_no_model() -> None:
    model = network()
    alive = weakref.ref(model)
    with tfl.profile() as prof:
        model(batch()[0]).sum().backward()
    del model
    gc.collect()
    assert alive() is None
    assert prof.threads and "Linear" in prof.table(by="operation", limit=None)


def test_threads_that_come_in_at_once_have_numbers_of_their_own() -> None:
    class Late(list[Any]):  # in which another thread comes in right after one has
        def append(self, one: Any) -> None:
            super().append(one)
            if len(self) == 2:
                threads[1].start()
                entered.wait(0.2)

    def run(name: str) -> None:
        tfl.exp(tfl.ones(2))
        if name == "1":
            entered.set()

    entered = threading.Event()
    threads = [threading.Thread(target=run, args=(name,), name=name) for name in "01"]
    with tfl.profile() as prof:
        recorder = prof._recorder
        assert recorder is not None
        recorder.threads = Late(recorder.threads)
        threads[0].start()
        threads[0].join()
        threads[1].join()
    found = {prof.threads[one.thread][1] for one in of_kind(prof, "operation", "exp")}
    assert found == {"0", "1"}


def test_it_ends_once() -> None:
    prof = tfl.profile()
    sentence = "profile: it must be on where it ends"
    with pytest.raises(StateError, match=sentence):
        prof.__exit__(None, None, None)
    with prof:
        tfl.exp(tfl.ones(2))
    with pytest.raises(StateError, match=sentence):
        prof.__exit__(None, None, None)
    assert len(of_kind(prof, "operation", "exp")) == 1
