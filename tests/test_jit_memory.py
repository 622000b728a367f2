"""What replays take of memory: a plan that is made once, and static results."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from benchmarks import cpu_data, cpu_models, cpu_rows_steps
from tensorflowlite import nn, optim

from .jit_worlds import CALLS, batch, snapshot, state_of

ROWS = {row.name: cpu_rows_steps.tiny(row) for row in cpu_rows_steps.ROWS}
RECORDING = 3  # calls before the first replay


@pytest.fixture(autouse=True)
def planned(native_module: ModuleType) -> Iterator[None]:
    if not tfl.cpu.memory_stats():
        pytest.skip("TENSORFLOWLITE_MEMORY_CACHE=0 leaves memory to NumPy")
    yield


def stepped(spec: Any, **options: Any) -> tuple[Any, Any, Any]:
    """Return a row's step, jitted where there are options, its model, and its arguments."""
    tfl.manual_seed(0)
    model = cpu_models.build(tfl, spec)
    opt = optim.AdamW(model.parameters(), lr=0.01)
    loss_of = cpu_models.loss_of(tfl, spec)

    def step(x, target):
        opt.zero_grad()
        loss = loss_of(model(x), target)
        loss.backward()
        opt.step()
        return loss

    arguments = list(map(tfl.tensor, cpu_data.batch(spec)))
    return (tfl.jit(step, **options) if options else step), model, arguments


@pytest.mark.parametrize("name", ROWS)
def test_static_results_make_a_replay_allocate_nothing(name: str) -> None:
    """On the steps of the table; the values are those of the step itself."""
    step, model, arguments = stepped(ROWS[name].spec, static_outputs=True)
    plain, other, _ = stepped(ROWS[name].spec)
    for _ in range(RECORDING + 4):
        loss, expected = step(*arguments), plain(*arguments)
        assert snapshot([loss, state_of(model)]) == snapshot([expected, state_of(other)])
    found = step.memory_stats()
    assert found["allocations"] == 0 and found["requests"] > 15 and found["traced"] == 1


@pytest.mark.parametrize("name", ROWS)
def test_else_only_results_are_allocated(name: str) -> None:
    step, model, arguments = stepped(ROWS[name].spec, static_outputs=False)
    for _ in range(RECORDING + 3):
        step(*arguments)
    found = step.memory_stats()
    assert found["allocations"] == 1 + len(list(model.parameters()))  # the loss, the gradients
    results = sum(p.grad.nbytes for p in model.parameters()) + 4
    assert found["lasting_bytes"] == results


def test_replays_without_static_results_keep_what_came_before() -> None:
    @tfl.jit
    def f(x):
        return x * 2 + 1, (x.reshape(2, 50) * 3)[1:]

    given = [batch(i, 100) for i in range(CALLS)]
    results = [f(x) for x in given]
    for x, (y, z) in zip(given, results, strict=True):
        assert np.array_equal(y.numpy(), x.numpy() * 2 + 1)
        assert np.array_equal(z.numpy(), (x.numpy().reshape(2, 50) * 3)[1:])


def test_static_results_lie_where_the_last_ones_lay() -> None:
    f = tfl.jit(lambda x: tfl.exp(x) * 2, static_outputs=True)
    results = [f(batch(i, 1000)) for i in range(RECORDING + 4)]
    places = [one.array.ctypes.data for one in results[-3:]]
    assert len(set(places)) == 1
    assert snapshot(results[-1]) == snapshot(results[-2]) != snapshot(results[0])
    assert np.array_equal(results[-1].numpy(), np.exp(batch(RECORDING + 3, 1000).numpy()) * 2)


def test_a_static_result_may_go_in_again() -> None:
    def f(h, x):
        return (h + x) * (h - x.mean()) + h

    static = tfl.jit(f, static_outputs=True)
    h = expected = batch(50, 300)
    for i in range(RECORDING + 5):
        h, expected = static(h, batch(i, 300)), f(expected, batch(i, 300))
        assert snapshot(h) == snapshot(expected)
    view = h[10:] * 1  # of another shape: another recording
    assert snapshot(static(h.reshape(3, 100), view[0])) is not None


def test_a_stale_static_result_is_seen_by_a_backward() -> None:
    f = tfl.jit(lambda x: x * 2, static_outputs=True)
    for i in range(RECORDING + 2):
        y = f(batch(i, 5))
    w = tfl.ones(5, requires_grad=True)
    loss = (w * y).sum()
    f(batch(9, 5))
    with pytest.raises(tfl.errors.TensorflowliteError, match=r"changed in place .*static"):
        loss.backward()


def test_a_static_result_outlives_its_program() -> None:
    f = tfl.jit(lambda x: x + 1, static_outputs=True)
    for i in range(RECORDING + 3):
        y = f(batch(i, 20000))
    used = tfl.cpu.memory_stats()["used_bytes"]
    f.cache_clear()
    del f
    gc.collect()
    others = [tfl.zeros(20000) for _ in range(8)]
    assert np.array_equal(y.numpy(), batch(RECORDING + 2, 20000).numpy() + 1)
    del y, others
    gc.collect()
    assert tfl.cpu.memory_stats()["used_bytes"] < used


def test_an_error_leaves_no_plan_behind() -> None:
    """What an interrupted replay holds isn't written over by the next one."""
    @tfl.jit
    def f(x):
        y = x * 2
        return tfl.linalg.inv(y + 1) @ y

    good, bad = tfl.eye(3), tfl.full((3, 3), -0.5)  # y + 1 has no inverse
    expected = f(good).numpy()
    for _ in range(RECORDING + 2):
        f(good)
    for _ in range(3):
        with pytest.raises(tfl.errors.TensorflowliteError) as caught:
            f(bad)
        assert np.array_equal(f(good).numpy(), expected)
    del caught
    assert np.array_equal(f(good).numpy(), expected)
    assert np.zeros(5).sum() == 0  # NumPy's own arrays are nobody's plan


def test_threads_replay_one_program_at_one_time() -> None:
    for static in (False, True):
        f = tfl.jit(lambda x: (x * 2 + 1).sum() + x.mean(), static_outputs=static)
        for i in range(RECORDING + 2):
            f(batch(i, 500))
        wrong: list[Any] = []

        def work(seed: int, f: Any = f, wrong: list[Any] = wrong, static: bool = static) -> None:
            for i in range(30):
                x = batch(seed + i, 500)
                if not static and snapshot(f(x)) != snapshot((x * 2 + 1).sum() + x.mean()):
                    wrong.append(i)
                f(x)

        threads = [threading.Thread(target=work, args=(100 * t,)) for t in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert not wrong


def peak_of(step: Any, arguments: Any) -> int:
    for _ in range(RECORDING + 3):
        step(*arguments)
    gc.collect()
    tfl.cpu.empty_cache()
    tfl.cpu.reset_peak_memory_stats()
    for _ in range(3):
        step(*arguments)
    return tfl.cpu.memory_stats()["peak_bytes"]


@pytest.mark.parametrize("name", ["cnn-32", "gpt-128", "mlp-1024"])
def test_the_peak_is_no_higher_than_the_steps_own(name: str) -> None:
    """In the sizes of the table: of each step beside what lives all the time."""
    row = next(one for one in cpu_rows_steps.ROWS if one.name == name)
    peaks = []
    for options in ({}, {"static_outputs": False}):
        gc.collect()
        before = tfl.cpu.memory_stats()["used_bytes"]
        step, model, arguments = stepped(row.spec, **options)
        peaks.append(peak_of(step, arguments) - before)
        del step, model, arguments
    assert peaks[1] <= peaks[0]


def test_gradients_go_before_the_program_runs() -> None:
    """Two sets of them are never there at one time, as in the step itself."""
    model = nn.Linear(1000, 1000, bias=False)
    x = batch(0, 2, 1000)

    @tfl.jit
    def step(x):
        model.zero_grad()
        model(x).sum().backward()

    for _ in range(RECORDING + 2):
        step(x)
    used = tfl.cpu.memory_stats()["used_bytes"]
    tfl.cpu.reset_peak_memory_stats()
    step(x)
    assert tfl.cpu.memory_stats()["peak_bytes"] - used < model.weight.nbytes // 2
