"""Programs of `jit` as CUDA graphs, on the shadow device with graphs that are recorded there."""

from __future__ import annotations

import gc
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.backend import backend_for
from tensorflowlite.backend.cuda import graph as cuda_graph
from tensorflowlite.backend.cuda.graph_plan import plan, prepared
from tensorflowlite.backend.programs.program import Call, Program, Ref, Value
from tensorflowlite.errors import ShapeError
from tensorflowlite.nn import functional as F

from . import fake_graphs, host_kernels, shadow
from .fake_graphs import FakeGraphs
from .jit_worlds import check, state_of

# As it is, recorded twice, replayed: as it is, aside, recorded, launched from then on.
BEFORE, CALLS = 5, 11


@pytest.fixture
def graphs() -> Iterator[FakeGraphs]:
    with fake_graphs.installed() as found:
        yield found


@pytest.fixture
def with_kernels() -> Iterator[FakeGraphs]:
    if reason := host_kernels.why_not():
        pytest.skip(reason)
    with fake_graphs.installed(kernels=True) as found:
        yield found


def batch(i: int, *shape: int) -> tfl.Tensor:
    rng = np.random.default_rng([i, *shape])
    return tfl.tensor(rng.standard_normal(shape).astype(np.float32)).to("shadow")


def values(x: Any) -> Any:
    return x.to("cpu").numpy().tolist()


def counts(graphs: FakeGraphs) -> dict[str, int]:
    return {name: graphs.log.count(name) for name in ("record", "launch", "abandon")}


def mlp(*between: Any) -> Any:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), *between, nn.Linear(5, 2)).to("shadow")


OPTIMIZERS: dict[str, Any] = {
    "AdamW": lambda p: optim.AdamW(p, lr=0.05),
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "Lion": lambda p: optim.Lion(p, lr=0.01),
}


# ---- training


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_step_is_one_graph(name: str, with_kernels: FakeGraphs) -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = OPTIMIZERS[name](model.parameters())

        @jit
        def step(x: Any, target: Any) -> Any:
            opt.zero_grad()
            loss = F.mse_loss(model(x), target)
            loss.backward()
            opt.step()
            return loss

        for i in range(30):
            yield step(batch(i, 4, 3), batch(i, 4, 2)), state_of(model, opt)

    check(world, 27)
    assert counts(with_kernels) == {"record": 1, "launch": 30 - BEFORE, "abandon": 0}


def test_gradients_that_are_added_to(graphs: FakeGraphs) -> None:
    def world(jit: Any) -> Any:
        model = mlp()

        @jit
        def add(x: Any) -> None:
            (model(x) ** 2).mean().backward()

        for i in range(CALLS):
            add(batch(i, 4, 3))
            yield state_of(model)
            if i % 3 == 2:
                for p in model.parameters():
                    p.grad.zero_()

    check(world, 7)
    assert counts(graphs)["launch"] > 3


def test_the_learning_rate_is_read_on_the_device(with_kernels: FakeGraphs) -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.AdamW(model.parameters(), lr=0.1)
        schedule = optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.5)

        @jit
        def step(x: Any) -> Any:
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        for i in range(CALLS):
            yield step(batch(i, 4, 3)), state_of(model, opt)
            schedule.step()

    check(world, CALLS - 3)
    assert counts(with_kernels)["record"] == 1


def test_a_step_that_a_value_leaves_out_stands_between_graphs(with_kernels: FakeGraphs) -> None:
    def world(jit: Any) -> Any:
        model = mlp()
        opt = optim.AdamW(model.parameters(), lr=0.1)
        scaler = tfl.amp.GradScaler("cuda", init_scale=2.0**10, growth_interval=3)

        @jit
        def step(x: Any) -> Any:
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            scaler.scale(loss).backward()
            scaler.step(opt)
            scaler.update()
            return loss

        for i in range(16):
            x = batch(i, 4, 3)
            if i in (9, 12):
                x = x * float("inf")
            yield step(x), state_of(model, opt), scaler.get_scale()

    with np.errstate(all="ignore"):
        check(world, 10)
    assert counts(with_kernels)["launch"] > 9
    assert not counts(with_kernels)["abandon"]


def test_random_numbers_go_on(with_kernels: FakeGraphs) -> None:
    def world(jit: Any) -> Any:
        model = mlp(nn.Dropout(0.4))

        @jit
        def step(x: Any) -> Any:
            noise = tfl.random.normal(shape=(4, 3), device="shadow")
            model.zero_grad()
            out = model(x + noise)
            (out**2).mean().backward()
            return out.detach(), tfl.rand(5, device="shadow")

        for _ in range(CALLS):
            yield step(batch(1, 4, 3)), state_of(model), tfl.rand(2, device="shadow")

    check(world, CALLS - 3)
    assert counts(with_kernels) == {"record": 1, "launch": CALLS - BEFORE, "abandon": 0}


def test_a_counter_that_the_host_reads_splits(graphs: FakeGraphs) -> None:
    """The library's random numbers: the recording breaks off there, without a number drawn."""

    def world(jit: Any) -> Any:
        @jit
        def step(x: Any) -> Any:
            y = tfl.tanh(x * 2) + 1
            z = y + tfl.rand(4, 3, device="shadow")
            return tfl.sin(z * 2) + tfl.cos(z)

        for i in range(CALLS):
            yield step(batch(i, 4, 3))

    check(world, CALLS - 3)
    assert counts(graphs) == {"record": 2, "launch": 2 * (CALLS - BEFORE - 1), "abandon": 1}


# ---- what goes in and comes out


def step_of(x: Any) -> Any:
    y = tfl.tanh(x * 2) + 1
    return y, y[0], y.reshape(-1)


def test_inputs_of_other_addresses_are_copied(graphs: FakeGraphs) -> None:
    step = tfl.jit(step_of)
    kept = [batch(i, 4, 3) for i in range(CALLS)]
    before = [values(x) for x in kept]
    for x in kept:
        assert values(step(x)[0]) == values(step_of(x)[0])
    assert [values(x) for x in kept] == before
    assert counts(graphs)["record"] == 1


def test_an_input_that_stays_is_read_where_it_lies(graphs: FakeGraphs) -> None:
    step, x = tfl.jit(step_of), batch(0, 4, 3)
    for i in range(CALLS):
        x[...] = batch(i, 4, 3)
        assert values(step(x)[0]) == values(step_of(x)[0])
    (recording,) = next(iter(step._keys.values())).ready
    (graph,) = recording._run._graphs.values()
    assert not graph.feeds
    other = batch(7, 4, 3)  # another one comes: recorded anew, and the first one is left alone
    before = values(x)
    for one in (other, batch(8, 4, 3), x, other):
        assert values(step(one)[0]) == values(step_of(one)[0])
    assert values(x) == before
    assert counts(graphs)["record"] == 2


def test_outputs_outlive_the_next_replay(graphs: FakeGraphs) -> None:
    step = tfl.jit(step_of)
    found = [step(batch(i, 4, 3)) for i in range(CALLS)]
    for i, (y, row, flat) in enumerate(found):
        expected = values(step_of(batch(i, 4, 3))[0])
        assert values(y) == expected and values(row) == expected[0]
        assert values(flat) == [one for line in expected for one in line]
    y, row, _ = found[-1]
    row.add_(1.0)  # they go on sharing memory, as without graphs
    assert values(y)[0] == values(row)
    again = step(batch(0, 4, 3))
    assert values(again[0]) == values(found[0][0])


def test_arrays_with_gaps_aren_t_copied(graphs: FakeGraphs) -> None:
    """A copy would lie otherwise, so that what is a copy of it now were a view."""

    def world(jit: Any) -> Any:
        @jit
        def step(x: Any) -> Any:
            flat, z = x.reshape(-1), tfl.tanh(x) * 2 + 1
            return flat, z * z + 1

        for i in range(CALLS):
            yield step(batch(i, 4, 6)[:, ::2])

    check(world, CALLS - 3)
    assert counts(graphs)["launch"] == CALLS - BEFORE


def test_constants_that_the_program_changes_start_anew(graphs: FakeGraphs) -> None:
    def world(jit: Any) -> Any:
        @jit
        def step(x: Any) -> Any:
            total = tfl.zeros(3, device="shadow")
            total += x.sum(0)
            total[1] = 5.0
            return total, x + total

        for i in range(CALLS):
            yield step(batch(i, 4, 3))

    check(world, CALLS - 3)
    assert counts(graphs) == {"record": 1, "launch": CALLS - BEFORE, "abandon": 0}


def test_memory_of_a_parameter_that_was_exchanged(graphs: FakeGraphs) -> None:
    p, step = batch(0, 3), None

    @tfl.jit
    def step(x: Any) -> Any:  # noqa: F811
        return tfl.tanh(x * p) + p * 2

    for i in range(CALLS):
        step(batch(i, 4, 3))
    p.array._array = p.array._array * 3  # the array's identity says nothing of it
    x = batch(1, 4, 3)
    assert values(step(x)) == values(tfl.tanh(x * p) + p * 2)
    assert counts(graphs)["record"] == 2


def test_arrays_of_the_host_stay_outside(graphs: FakeGraphs) -> None:
    host = tfl.tensor([1.0, 2.0, 3.0])

    @tfl.jit
    def step(x: Any, y: Any) -> Any:
        return tfl.tanh(x * 2) + 1, (y + host) * 2

    for i in range(CALLS):
        y = tfl.tensor([float(i), 0.0, 1.0])
        first, second = step(batch(i, 4, 3), y)
        assert values(first) == values(tfl.tanh(batch(i, 4, 3) * 2) + 1)
        assert values(second) == values((y + host) * 2)
    assert counts(graphs)["launch"] == CALLS - BEFORE


# ---- what can't be recorded


def split(x: Any) -> Any:
    y = tfl.tanh(x * 2) + 1
    order = tfl.sort(y, -1)
    order[0] = 3.0  # made apart, and changed: no graph has a copy of it
    z = order * 2
    return tfl.sin(z + y) * z, order


def test_a_slot_of_the_table_splits(graphs: FakeGraphs) -> None:
    def world(jit: Any) -> Any:
        step = jit(split)
        for i in range(CALLS):
            yield step(batch(i, 4, 3))

    check(world, CALLS - 3)
    assert not counts(graphs)["abandon"]
    step = tfl.jit(split)
    for i in range(CALLS):
        step(batch(i, 4, 3))
    told = step.explain().splitlines()
    assert "calls 1 to 3: a CUDA graph" in told
    assert [line for line in told if line.startswith("calls 4") and "as they are (sort, " in line]
    assert told[-1].endswith(": a CUDA graph")


def test_views_of_what_stands_for_another(
    graphs: FakeGraphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass lets the first sort stand for the second; views of the second are the first one's."""
    monkeypatch.setattr(cuda_graph, "NEVER", cuda_graph.NEVER | {"reshape"})

    def world(jit: Any) -> Any:
        @jit
        def step(x: Any) -> Any:
            first, second = tfl.sort(x, -1), tfl.sort(x, -1)
            flat = second.reshape(-1)
            return tfl.sin(first) + tfl.cos(first) * 2, tfl.sin(flat) * 2 + tfl.cos(flat)

        for i in range(CALLS):
            yield step(batch(i, 4, 3))

    check(world, CALLS - 3)
    assert counts(graphs)["launch"] == CALLS - BEFORE


def a_value(kind: str = "made", root: int | None = None) -> Value:
    return Value(kind, (2,), np.dtype(np.float32), (4,), root, kind)


def a_call(slot: str, args: tuple[int, ...], out: int, *writes: int, **rest: Any) -> Call:
    return Call(slot, len, tuple(map(Ref, args)), Ref(out), writes, **rest)


def test_what_a_call_returns_as_it_was_given_is_not_computed_again() -> None:
    values = (a_value("input"), a_value(), a_value(root=1), a_value(root=1))
    calls = (
        a_call("sin", (0,), 1), a_call("add", (1, 0, 1), 2, 1), a_call("reshape", (2,), 3),
        a_call("sin", (0,), 1),
    )  # fmt: skip
    program = Program(calls, values, {}, {}, (0,), (2, 3, 0))
    found = plan(prepared(program), lambda call: False)
    assert found.copied == {1} and set(found.end.inputs) == {0, 1}
    assert [call.slot for call in found.end.calls] == ["identity", "reshape"]
    assert found.graphs == 1


def test_parts_of_a_program() -> None:
    """What comes from a foreign place, an object, and a flag keep their calls apart."""
    values = (
        a_value("input"), a_value("outside"), *[a_value() for _ in range(4)],
        a_value("object")._replace(dtype=None), *[a_value() for _ in range(8)],
    )  # fmt: skip
    calls = (
        a_call("sin", (0,), 2), *[a_call("sin", (i,), i + 1) for i in (2, 3, 4)],
        a_call("made", (5,), 6), a_call("taken", (6,), 7), a_call("elsewhere", (1,), 8),
        a_call("sin", (8,), 9), a_call("left out", (5,), 10, unless=5),
        a_call("cos", (5,), 11), *[a_call("cos", (i,), i + 1) for i in (11, 12, 13)],
    )  # fmt: skip
    program = Program(calls, values, {1: np.zeros(2)}, {}, (0,), (14, 7))
    found = plan(prepared(program), lambda call: False, foreign=[1])
    assert [(part.recorded, [call.slot for call in part.calls]) for part in found.parts] == [
        (True, ["sin"] * 4), (False, ["made", "taken", "elsewhere", "sin", "left out"]),
        (True, ["cos"] * 4),
    ]  # fmt: skip
    first, second, last = found.parts
    assert first.ins == (0,) and first.outs == (5,) and first.gone == (0, 2, 3, 4)
    assert second.ins == (5,) and second.outs == (7,)
    assert last.ins == (5,) and last.outs == (14,) and 5 in last.gone
    assert found.copied == {14} and found.end.inputs == (14, 7)


def refusing(monkeypatch: pytest.MonkeyPatch, *names: str, how: str = "raise") -> list[str]:
    """Let slots of the shadow device refuse to be recorded; return the names as they do."""
    backend, met = backend_for("shadow"), []
    for name in names:
        before = getattr(backend, name)

        def slot(*args: Any, name: str = name, before: Any = before) -> Any:
            taker = shadow.taking.by
            if taker is not None:
                met.append(name)
                if how == "raise":
                    raise NotImplementedError(f"calling {name} during capture is unsupported")
                if how == "upload":
                    return before(*args) + backend.namespace.asarray(np.zeros((), np.float32))
                taker.ended = f"{name} has waited"
            return before(*args)

        monkeypatch.setitem(backend.__dict__, name, slot)
    return met


@pytest.mark.parametrize("how", ["raise", "upload", "end"])
def test_a_slot_that_refuses_splits(
    graphs: FakeGraphs, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    met = refusing(monkeypatch, "floor", how=how)
    p = batch(3, 3)

    def run(x: Any, p: Any) -> Any:
        y = tfl.tanh(x * 2) + 1
        with tfl.no_grad():
            p.add_(1.0)
        z = tfl.floor(y * 3)
        return tfl.sin(z) * 2 + p

    step, q = tfl.jit(lambda x: run(x, p)), p.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(CALLS):
            assert values(step(batch(i, 4, 3))) == values(run(batch(i, 4, 3), q))
            assert values(p) == values(q)  # changed once
    assert met == ["floor"]
    assert counts(graphs) == {"record": 2, "launch": 2 * (CALLS - BEFORE - 1), "abandon": 1}
    assert "floor" in step.explain().splitlines()[-2]


def test_nothing_is_kept_where_too_little_is_left(
    graphs: FakeGraphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, "floor")
    step = tfl.jit(lambda x: tfl.sin(tfl.floor(tfl.tanh(x) * 3)) * 2)
    for i in range(CALLS):
        step(batch(i, 4, 3))
    assert counts(graphs) == {"record": 0, "launch": 0, "abandon": 1} and not graphs.pools
    told = step.explain().splitlines()[-1]
    assert told.startswith("no CUDA graphs: floor: NotImplementedError: calling floor")


def test_too_many_refuse(graphs: FakeGraphs, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, "floor", "ceil", "trunc", "rint", "round")
    p = batch(3, 3)

    def run(x: Any, p: Any) -> Any:
        with tfl.no_grad():
            p.add_(1.0)
        a = tfl.floor(tfl.tanh(x * 5) + p)
        b = tfl.ceil(tfl.sin(a) * 3 - 1)
        c = tfl.trunc(tfl.cos(b) * 3 - 1)
        d = tfl.round(tfl.exp(c) * 3 - 1)
        return tfl.sin(d) * 2 + p

    step, q = tfl.jit(lambda x: run(x, p)), p.clone()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(CALLS):
            assert values(step(batch(i, 4, 3))) == values(run(batch(i, 4, 3), q))
            assert values(p) == values(q)
    (warning,) = caught
    assert issubclass(warning.category, RuntimeWarning) and warning.filename == __file__
    text = str(warning.message)
    assert text.startswith("jit: round can't be recorded as a CUDA graph, got NotImplementedError")
    assert not graphs.pools and not graphs.graphs
    assert "no CUDA graphs: " in step.explain()


def test_a_graph_that_can_t_be_made(graphs: FakeGraphs) -> None:
    graphs.instantiates = False
    step = tfl.jit(step_of)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(CALLS):
            assert values(step(batch(i, 4, 3))[0]) == values(step_of(batch(i, 4, 3))[0])
    assert [str(one.message) for one in caught] == [
        "jit: a program can't be recorded as a CUDA graph, got RuntimeError: "
        "cudaErrorInvalidValue: instantiation; the program's calls run one by one"
    ]
    assert not graphs.pools


def test_few_calls_are_no_graph(graphs: FakeGraphs) -> None:
    step = tfl.jit(lambda x: (tfl.tanh(x) * 2).reshape(-1)[1:])
    for i in range(CALLS):
        step(batch(i, 4, 3))
    assert graphs.log == [] and step.explain().endswith("\nno CUDA graphs")


def test_an_error_in_a_replay_is_the_operations_own(
    graphs: FakeGraphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, bad = backend_for("shadow"), []
    before = backend.sort

    def sort(x: Any, *rest: Any) -> Any:
        if bad:
            raise ValueError("shapes don't match")
        return before(x, *rest)

    monkeypatch.setitem(backend.__dict__, "sort", sort)
    step = tfl.jit(split)
    for i in range(CALLS):
        step(batch(i, 4, 3))
    bad.append(True)
    with pytest.raises((ShapeError, ValueError)) as caught:
        step(batch(0, 4, 3))
    assert str(caught.value).startswith("sort")
    bad.clear()
    assert values(step(batch(0, 4, 3))[1]) == values(split(batch(0, 4, 3))[1])


def test_work_that_others_record_runs_as_it_is(graphs: FakeGraphs) -> None:
    step = tfl.jit(step_of)
    for i in range(CALLS):
        step(batch(i, 4, 3))
    launched = counts(graphs)["launch"]
    graphs.busy = True
    assert values(step(batch(1, 4, 3))[0]) == values(step_of(batch(1, 4, 3))[0])
    assert counts(graphs)["launch"] == launched


# ---- threads, and the end


def test_two_threads(graphs: FakeGraphs) -> None:
    step = tfl.jit(step_of)
    for i in range(3):
        step(batch(i, 4, 3))
    wrong: list[Any] = []

    def work(first: int) -> None:
        for i in range(first, first + 40):
            found = step(batch(i, 4, 3))
            if values(found[0]) != values(step_of(batch(i, 4, 3))[0]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong and counts(graphs)["launch"] > 100


def test_forgotten_programs_leave_nothing(graphs: FakeGraphs) -> None:
    step = tfl.jit(split)
    for i in range(CALLS):
        step(batch(i, 4, 3))
    assert len(graphs.graphs) == 2 and len(graphs.pools) == 1
    waits = graphs.log.count("wait")
    gc.disable()  # nothing is left to cycles
    try:
        step.cache_clear()
        assert not graphs.graphs and not graphs.pools
    finally:
        gc.enable()
    assert graphs.log.count("wait") == waits + 1


def test_who_watches_hears_of_it(graphs: FakeGraphs, caplog: pytest.LogCaptureFixture) -> None:
    step = tfl.jit(step_of)
    with caplog.at_level(logging.INFO, "tensorflowlite.dispatch"), tfl.debug.log("dispatch"):
        for i in range(CALLS):
            step(batch(i, 4, 3))
    assert [text for text in caplog.messages if "jit" in text] == [
        "a jit program of 5 calls: CUDA graphs (1) of 5 calls was chosen"
    ]
