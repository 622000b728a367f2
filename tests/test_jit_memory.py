"""What replays take of memory: a plan that is made once, and static results."""

from __future__ import annotations

import contextvars
import gc
import signal
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


@pytest.mark.parametrize("static", [False, True])
def test_what_an_error_holds_is_not_written_over(static: bool) -> None:
    """The frames of a replay that failed hold its arrays; the next one leaves them alone."""

    def f(x, y):
        a = tfl.exp(x.reshape(1, 16, 16) + tfl.zeros(8, 1, 1))
        s = a.sum(0)
        j = tfl.linalg.inv(y)
        c, d = tfl.sin(s), tfl.tanh(s)
        e = tfl.sin(d)
        h = tfl.cos(e)
        return (e * d * c * h) @ tfl.linalg.inv(x) @ j

    good, bad = tfl.eye(16), tfl.ones(16, 16)  # bad has no inverse
    same = tfl.eye(16)
    jitted = tfl.jit(f, static_outputs=static, fusion="none")
    expected = snapshot(f(good, same))
    for _ in range(RECORDING + 3):
        jitted(good, same)
    errors = []
    for arguments in ((bad, same), (good, bad), (bad, same)):
        with pytest.raises(tfl.errors.TensorflowliteError) as caught:
            jitted(*arguments)
        errors.append(caught)
        held = frame_of(caught)
        before = {name: array.copy() for name, array in held.items()}
        assert len(before) > 2
        assert snapshot(jitted(good, same)) == expected
        assert all(np.array_equal(held[name], before[name]) for name in before)
    del errors, caught, held
    gc.collect()
    for _ in range(3):
        assert snapshot(jitted(good, same)) == expected


def frame_of(caught: Any) -> dict[str, Any]:
    """Return the arrays that a failed replay holds."""
    error = caught.value.__cause__ or caught.value
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != "<recorded program>":
        trace = trace.tb_next
    places = trace.tb_frame.f_locals
    return {name: one for name, one in places.items() if type(one) is np.ndarray}


@pytest.mark.parametrize("static", [False, True])
def test_what_a_signals_handler_makes_is_not_written_over(static: bool) -> None:
    f = tfl.jit(lambda x: tfl.tanh(tfl.sin(tfl.exp(x) * 2) + x).sum(), static_outputs=static)
    x = batch(0, 50000)
    for _ in range(RECORDING + 2):
        expected = snapshot(f(x))
    kept: list[Any] = []
    before = signal.signal(signal.SIGALRM, lambda *_: kept.append(np.full(50000, 7.0, "f4")))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0007)
    try:
        for _ in range(200):
            assert snapshot(f(x)) == expected
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert kept and all((one == 7).all() for one in kept)


def test_older_static_results_may_go_in_too() -> None:
    """Also where a disturbed run has put later ones elsewhere, and as views of other libraries."""
    def f(x):
        return x * 2 + x.mean(), x - 1, x * x

    plain = f
    jitted = tfl.jit(f, static_outputs=True)
    for i in range(RECORDING + 2):
        results = jitted(batch(i, 400))
    old = results[0]
    x, *_ = jitted(batch(9, 400))
    for y in (old, x, tfl.from_dlpack(x), tfl.asarray(np.frombuffer(memoryview(x.array), "f4"))):
        given = tfl.tensor(y.numpy().copy())
        assert snapshot(jitted(y)) == snapshot(plain(given))


def test_only_what_a_program_makes_is_static() -> None:
    """A view of an argument, or of a tensor from outside, isn't written over."""
    w = tfl.ones(4, 4, requires_grad=True)

    @lambda f: tfl.jit(f, static_outputs=True)
    def f(x):
        return w.detach().reshape(16), x.reshape(2, 2), x * 2

    for i in range(RECORDING + 3):
        x = batch(i, 4)
        loss, square = (w * w).sum(), (tfl.tensor(x, requires_grad=True) ** 2).sum()
        _, view, _ = f(x)
        assert np.shares_memory(view.array, x.array) or i == 0
        loss.backward()
        square.backward()


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


def held_by(step: Any, arguments: Any) -> int:
    """Return what the process has for arrays after some steps: also what waits for the next one."""
    for _ in range(RECORDING + 3):
        step(*arguments)
    gc.collect()
    tfl.cpu.empty_cache()
    for _ in range(3):
        step(*arguments)
    return tfl.cpu.memory_stats()["held_bytes"]


def test_what_is_left_of_other_sizes_goes_with_the_plan() -> None:
    """Before blocks are shared each size has its own; a later replay holds fewer bytes."""
    row = next(one for one in cpu_rows_steps.ROWS if one.name == "gpt-128")
    step, _, arguments = stepped(row.spec, static_outputs=False)
    held = []
    tfl.cpu.empty_cache()
    for _ in range(RECORDING + 4):
        step(*arguments)
        held.append(tfl.cpu.memory_stats()["held_bytes"])
    assert held[-1] == held[-2] < held[0]


@pytest.mark.parametrize("name", ["cnn-32", "gpt-128", "mlp-1024"])
def test_the_peak_is_no_higher_than_the_steps_own(name: str) -> None:
    """In the sizes of the table: of what the process holds, beside what lives all the time."""
    row = next(one for one in cpu_rows_steps.ROWS if one.name == name)
    peaks = []
    for options in ({}, {"static_outputs": False}):
        gc.collect()
        before = tfl.cpu.memory_stats()["used_bytes"]
        step, model, arguments = stepped(row.spec, **options)
        peaks.append(held_by(step, arguments) - before)
        del step, model, arguments
    assert peaks[1] <= peaks[0]


def test_what_recording_took_is_given_back() -> None:
    """It copies what the step changes, to roll back: neither that nor its cycles stay."""
    model = nn.Linear(700, 700)
    optimizer = optim.Adam(model.parameters())
    x = batch(0, 2, 700)

    @tfl.jit
    def step(x):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    step(x)
    gc.collect()
    gc.disable()
    try:
        tfl.cpu.empty_cache()
        used = tfl.cpu.memory_stats()["used_bytes"]
        for _ in range(RECORDING):
            step(x)
            assert tfl.cpu.memory_stats()["used_bytes"] <= used
    finally:
        gc.enable()
    found = tfl.cpu.memory_stats()
    assert found["held_bytes"] - used < 2 * model.weight.nbytes


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


def test_static_outputs_is_a_bool() -> None:
    with pytest.raises(tfl.errors.ArgumentError, match="static_outputs must be True or False, got"):
        tfl.jit(tfl.sin, static_outputs="yes")


def test_large_arrays_of_programs_in_turn_and_in_threads() -> None:
    """Their blocks are of one cache, each of a size that another array had; results are kept."""

    def of(rows: int) -> Any:
        def f(x):
            tall = tfl.concat([x, x * 0.5, x - 1], axis=0)
            y = tall[: 2 * rows] * 0.25 + tall[rows:]
            middle = y.cumsum(axis=0)[rows // 2 :]
            z = tfl.zeros(rows + rows // 4, 90) + middle[: rows + rows // 4]
            return z[:rows] * x, (z + 1)[rows // 8 :], (tall * y.sum(axis=0))[::3] + 0

        return f

    def work(seed: int, steps: list[Any], wrong: list[Any]) -> None:
        kept = []
        for i in range(40):
            rows, plain, step = steps[(seed + i) % 3]
            x = tfl.tensor(batch(seed * 100 + i, rows * 90).numpy().reshape(rows, 90))
            kept.append((step(x), plain(x)))
            tfl.full((rows + 7 * i, 90), float("nan"))
            for found, expected in kept[-4 + i % 3 :]:
                if snapshot(found) != snapshot(expected):
                    wrong.append((seed, i))

    steps = [(rows, of(rows), tfl.jit(of(rows), static_outputs=False)) for rows in (100, 173, 310)]
    wrong: list[Any] = []
    work(0, steps, wrong)
    threads = [  # NumPy's memory is chosen by context: theirs is the cache's, too
        threading.Thread(target=contextvars.copy_context().run, args=(work, seed, steps, wrong))
        for seed in (1, 2, 3)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong
    assert all(step.memory_stats()["requests"] > 5 for _, _, step in steps)
