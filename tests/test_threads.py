"""Grad mode per thread and as decorator, and backward passes in several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import runtime
from tensorflowlite.autograd import enable_grad, inference_mode, is_grad_enabled, no_grad

from .backends import TestBackend


def in_thread(function: Callable[[], Any]) -> Any:
    """Return what a function returns in a thread of its own; raise what it raises."""
    found: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return found[0]


@pytest.fixture(autouse=True)
def default_mode() -> Any:
    yield
    assert is_grad_enabled()
    assert runtime.shared.special == 0, "a thread's mode wasn't taken back"


def records() -> bool:
    x = tfl.tensor([1.0], requires_grad=True)
    return (x * 2.0).requires_grad


def test_modes_nest() -> None:
    assert records()
    with no_grad():
        assert not records() and not is_grad_enabled()
        with enable_grad():
            assert records() and is_grad_enabled()
            with inference_mode():
                assert not records()
            assert records()
        assert not records()
    assert records()


def test_one_mode_object_used_twice_and_inside_itself() -> None:
    off = no_grad()
    for _ in range(2):
        with off:
            with off:
                assert not records()
            assert not records()
        assert records()


def test_an_exception_takes_the_mode_back() -> None:
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert records()


def test_decorators() -> None:
    @no_grad()
    def called() -> bool:
        return records()

    @no_grad
    def bare() -> bool:
        """Its docstring stays."""
        return records()

    assert not called() and not bare()
    assert bare.__name__ == "bare" and bare.__doc__ == "Its docstring stays."
    assert records()


def test_a_decorated_function_that_calls_itself() -> None:
    @no_grad()
    def nested(depth: int) -> bool:
        return records() if depth == 0 else nested(depth - 1)

    assert not nested(3)


def test_a_decorated_generator_runs_without_recording() -> None:
    """Its body runs between the calls of next: there it mustn't record, and outside it may."""

    @no_grad()
    def steps() -> Any:
        yield records()
        yield records()

    found = []
    for inside in steps():
        found.append((inside, records()))
    assert found == [(False, True), (False, True)]


def test_a_decorated_generator_is_sent_and_thrown_values() -> None:
    closed = []

    @no_grad()
    def steps() -> Any:
        try:
            sent = yield records()
            try:
                yield sent
            except KeyError as error:
                yield (type(error), records())
            return "result"
        finally:
            closed.append(records())

    generator = steps()
    assert next(generator) is False
    assert generator.send("value") == "value"
    assert generator.throw(KeyError()) == (KeyError, False)
    with pytest.raises(StopIteration, match="result"):
        next(generator)
    unfinished = steps()
    next(unfinished)
    unfinished.close()
    assert closed == [False, False] and records()


def test_a_generator_with_a_mode_inside() -> None:
    def steps() -> Any:
        with no_grad():
            yield records()
        yield records()

    assert list(steps()) == [False, True]


def test_a_new_thread_records_whatever_another_does() -> None:
    with no_grad():
        assert in_thread(records)
        assert not records()
    assert records()


def test_a_threads_mode_is_its_own() -> None:
    entered, go_on = threading.Event(), threading.Event()
    inside: list[bool] = []

    def run() -> None:
        with no_grad():
            entered.set()
            go_on.wait(10)
            inside.append(records())

    thread = threading.Thread(target=run)
    thread.start()
    entered.wait(10)
    assert records()
    go_on.set()
    thread.join()
    assert inside == [False]


def test_inplace_changes_and_views_follow_the_mode(backend: TestBackend) -> None:
    x = backend.leaf(np.ones(3))
    with no_grad():
        y = x * 2.0
        y *= x
        x *= 3.0
        x[0] = 7.0
    assert not y.requires_grad and x.is_leaf
    np.testing.assert_array_equal(backend.host(x), [7.0, 3.0, 3.0])


def test_inference_mode_registers_no_views(backend: TestBackend) -> None:
    y = backend.leaf(np.ones(3)) * 2.0
    with inference_mode():
        v = y[:2]
    assert v.base is None and y.base is None


def test_requires_grad_can_be_asked_for_without_recording() -> None:
    with no_grad():
        x = tfl.tensor([1.0], requires_grad=True)
        assert x.requires_grad and not (x * 2.0).requires_grad
    (x * 2.0).sum().backward()
    assert x.grad.item() == 2.0


def test_backward_runs_without_recording_and_inside_no_grad(backend: TestBackend) -> None:
    x = backend.leaf(np.ones(3))
    y = (x * x).sum()
    with no_grad():
        y.backward(retain_graph=True)
        assert not x.grad.requires_grad
        (g,) = tfl.autograd.grad(y, x, create_graph=True)
        assert g.requires_grad, "create_graph asks for recording, as in PyTorch"
        assert not is_grad_enabled()


def test_hooks_run_without_recording_unless_the_pass_is_recorded(backend: TestBackend) -> None:
    x = backend.leaf(np.ones(3))
    modes: list[bool] = []
    x.register_hook(lambda g: modes.append(is_grad_enabled()))
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(create_graph=True)
    assert modes == [False, True]


def test_graphs_in_many_threads() -> None:
    """Threads build and walk graphs of their own, one in two of them under no_grad at times."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(3, 3)) for _ in range(8)]
    found: dict[int, Any] = {}
    start = threading.Barrier(8)

    def run(i: int) -> None:
        start.wait()
        for _ in range(50):
            x = tfl.tensor(arrays[i], requires_grad=True)
            y = x
            for step in range(10):
                if i % 2 and step == 5:
                    with no_grad():
                        assert not (y * 2.0).requires_grad
                y = tfl.tanh(y @ x) + y
            v = y[0]
            v *= 2.0
            y.sum().backward()
            found.setdefault(i, []).append(x.grad.numpy())

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, gradients in found.items():
        assert len(gradients) == 50
        for g in gradients:
            np.testing.assert_array_equal(g, gradients[0], err_msg=f"thread {i}")
    assert len(found) == 8


def test_backward_in_another_thread_than_forward(backend: TestBackend) -> None:
    x = backend.leaf(np.arange(3.0))
    y = (x * x).sum()
    in_thread(y.backward)
    np.testing.assert_array_equal(backend.host(x.grad), [0.0, 2.0, 4.0])
