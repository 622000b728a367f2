"""`jit`: what it refuses, with the line and the way out, and what it leaves when it refuses."""

from __future__ import annotations

import math
import re
import threading
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.errors import (
    ArgumentError,
    CaptureError,
    DtypeError,
    TensorflowliteError,
)
from tensorflowlite.nn import functional as F
from tensorflowlite.transforms.jit import Jitted

from .jit_worlds import batch, bits, seeded

SHAPED = "where|mask|outside"  # the way out where a shape depends on data
READ = "return it|where"
Holder = type("Holder", (), {})


class Setting:
    """A small training setting whose whole state can be looked at."""

    def __init__(self) -> None:
        seeded(1)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
        self.opt = optim.Adam(self.model.parameters(), lr=0.1)
        self.w = tfl.ones(3, requires_grad=True)
        self.state = tfl.zeros(3)
        self.kept: list[Any] = []
        self.holder: Any = Holder()
        self.refused = False  # only then the line is reached

    def tensors(self) -> list[Any]:
        found = [self.w, self.state, *self.model.parameters(), *self.model.buffers()]
        found += [s for p in self.opt.state.values() for s in p.values()]
        found += [group.rate for group in self.opt.param_groups]
        return found + [x.grad for x in found if x.grad is not None]

    def step(self, x: Any) -> Any:
        """As one trains, and as what is refused comes after."""
        self.opt.zero_grad()
        loss = (self.model(x) ** 2).mean()
        loss.backward()
        self.opt.step()
        return loss.detach()


def read_made(s: Any, x: Any) -> Any:
    return x * float((x * 2).sum())  # the line


def read_item(s: Any, x: Any) -> Any:
    return x * (x * 2).sum().item()  # the line


def read_list(s: Any, x: Any) -> Any:
    return x * (x * 2).tolist()[0][0]  # the line


def read_numpy(s: Any, x: Any) -> Any:
    return x * (x * 2).numpy()  # the line


def read_as_array(s: Any, x: Any) -> Any:
    return x * np.asarray(x * 2)  # the line


def read_bool(s: Any, x: Any) -> Any:
    if (x * 2).sum() > 0:  # the line
        return x
    return -x


def read_assert(s: Any, x: Any) -> Any:
    assert tfl.isfinite(x).all()  # the line
    return x * 2


def read_print(s: Any, x: Any) -> Any:
    print(x * 2)  # the line
    return x * 2


def read_format(s: Any, x: Any) -> Any:
    text = f"{x.sum():.3f}"  # the line
    return x * len(text)


def read_math(s: Any, x: Any) -> Any:
    return x * math.sqrt(abs(x.sum()))  # the line


def read_int(s: Any, x: Any) -> Any:
    return x[: int(x.sum())] * 2  # the line


def read_range(s: Any, x: Any) -> Any:
    for _ in range(tfl.argmax(x)):  # the line
        x = x * 2
    return x


def read_max(s: Any, x: Any) -> Any:
    return x * max(x[0, 0], x[0, 1])  # the line


def read_in(s: Any, x: Any) -> Any:
    return x * (x[0, 0] in [x[0, 1], 3.0])  # the line


def read_parameter(s: Any, x: Any) -> Any:
    return x * s.w[0].item()  # the line


def read_parameter_whole(s: Any, x: Any) -> Any:
    return x * s.w.detach().numpy()  # the line


def read_parameter_list(s: Any, x: Any) -> Any:
    return x * s.w.tolist()[0]  # the line


def read_parameter_print(s: Any, x: Any) -> Any:
    print(s.w)  # the line
    return x * 2


def read_parameter_bool(s: Any, x: Any) -> Any:
    if s.state.sum() == 0:  # the line
        return x * 2
    return x


def read_state_float(s: Any, x: Any) -> Any:
    return x * float(s.state[0])  # the line


def read_gradient(s: Any, x: Any) -> Any:
    (x * s.w).sum().backward()
    return x * s.w.grad[0].item()  # the line


def read_dlpack(s: Any, x: Any) -> Any:
    return x * np.from_dlpack(s.state)  # the line


def read_interface(s: Any, x: Any) -> Any:
    return x * np.array(s.state)  # the line


def read_allclose(s: Any, x: Any) -> Any:
    return x * bool(tfl.allclose(x, x))  # the line


def read_equal(s: Any, x: Any) -> Any:
    return x * bool(tfl.array_equal(x, x + 0))  # the line


def shaped_nonzero(s: Any, x: Any) -> Any:
    return tfl.nonzero(x > 0)  # the line


def shaped_mask(s: Any, x: Any) -> Any:
    return x[x > 0]  # the line


def shaped_unique(s: Any, x: Any) -> Any:
    return tfl.unique(x)  # the line


def shaped_argwhere(s: Any, x: Any) -> Any:
    return tfl.argwhere(x > 0)  # the line


def changed_argument(s: Any, x: Any) -> Any:
    x += 1  # the line
    return x * 2


def changed_element(s: Any, x: Any) -> Any:
    x[0] = 1.0  # the line
    return x * 2


def changed_view(s: Any, x: Any) -> Any:
    x[1:].mul_(2)  # the line
    return x * 2


def rate_written(s: Any, x: Any) -> Any:
    s.opt.param_groups[0]["lr"] = 0.5  # the line
    return x * 2


def rate_scheduled(s: Any, x: Any) -> Any:
    s.schedule.step()  # the line
    return x * 2


LINES = {
    READ: [read_made, read_item, read_list, read_numpy, read_as_array, read_bool, read_assert,
           read_print, read_format, read_math, read_int, read_range, read_max, read_in,
           read_parameter, read_parameter_whole, read_parameter_list, read_parameter_print,
           read_parameter_bool, read_state_float, read_gradient, read_dlpack, read_interface,
           read_allclose, read_equal],
    SHAPED: [shaped_nonzero, shaped_mask, shaped_unique, shaped_argwhere],
    "return the new value|outside of the function": [
        changed_argument, changed_element, changed_view],
    "outside|between": [rate_written, rate_scheduled],
}  # fmt: skip


# -- what is found at the end, where no line of the user's is left to name -------------------------
def requires_grad_made(s: Any, x: Any) -> Any:
    return x * s.w


def requires_grad_leaf(s: Any, x: Any) -> Any:
    return (x * 2).requires_grad_()


def changing_result(s: Any, x: Any) -> Any:
    s.kept.append(0)
    return x * 2, len(s.kept)


def rebound_data(s: Any, x: Any) -> Any:
    y = x * s.w.detach()
    s.w.data = s.w.detach() * 2
    return y


def rebound_set(s: Any, x: Any) -> Any:
    y = x * s.state
    s.state.set_(tfl.ones(3))
    return y


def rebound_unseen(s: Any, x: Any) -> Any:
    s.state.set_((x * 2)[0])
    return x * 2


def rebound_unseen_data(s: Any, x: Any) -> Any:
    s.w.data = (x * 2)[0]
    return x * 2


def escapes_to_list(s: Any, x: Any) -> Any:
    s.kept.append(x * 2)
    return x * 3


def escapes_to_attribute(s: Any, x: Any) -> Any:
    s.holder.last = (x * 2).sum()
    return x * 3


def escapes_to_module(s: Any, x: Any) -> Any:
    s.model.last = x.mean(0)
    return x * 3


def escapes_as_history(s: Any, x: Any) -> Any:
    s.kept.append((x * s.w).sum())
    return x * 3


def escapes_as_constant(s: Any, x: Any) -> Any:
    s.holder.zeros = tfl.zeros(3)
    s.holder.zeros += x[0]
    return x * 3


def escapes_in_closure(s: Any, x: Any) -> Any:
    y = x * 2
    s.kept.append(lambda: y)
    return x * 3


ENDS = {
    r"backward\(\) inside|detach\(\)|no_grad\(\)": [requires_grad_made, requires_grad_leaf],
    "return a tensor": [changing_result],
    "in place": [rebound_data, rebound_set, rebound_unseen, rebound_unseen_data],
    "return it|write into": [
        escapes_to_list, escapes_to_attribute, escapes_to_module, escapes_as_history,
        escapes_as_constant, escapes_in_closure],
}  # fmt: skip
CASES = [
    pytest.param(function, way, marked, id=function.__name__)
    for group, marked in ((LINES, True), (ENDS, False))
    for way, functions in group.items()
    for function in functions
]


def clean(s: Setting) -> None:
    """Everything outside is as after a plain failing step."""
    for x in s.tensors():
        assert type(x.array) is np.ndarray, x.array
        assert x.is_leaf
    with tfl.no_grad():
        s.model.eval()(tfl.ones(2, 3))
    s.model.train()
    assert math.isfinite(s.w.sum().item())


@pytest.mark.parametrize(("refused", "way", "marked"), CASES)
def test_it_is_refused_with_the_line_and_the_way_out(
    refused: Any, way: str, marked: bool, capsys: Any
) -> None:
    s = Setting()
    s.schedule = optim.lr_scheduler.StepLR(s.opt, 100)  # type: ignore[attr-defined]

    def function(x: Any) -> Any:
        s.step(x)
        return refused(s, x)

    x = batch(0, 4, 3)
    jitted = tfl.jit(function)
    if refused is not read_gradient:
        jitted(x)  # as it is
    else:
        jitted(batch(1, 4, 3))
    message = ""
    for _ in range(2):  # what isn't the same twice is found at the second recording
        try:
            jitted(x)
        except CaptureError as error:
            message = str(error)
            break
    assert message, "nothing was refused"
    assert re.search(way, message), message
    if marked:
        assert "# the line" in message and refused.__name__ in message, message
    clean(s)
    # Jit refuses again; what is fine goes on, jitted or not.
    with pytest.raises(CaptureError):
        for _ in range(2):
            jitted(x)
    clean(s)
    fine = tfl.jit(s.step)
    losses = [fine(x).item() for _ in range(6)]
    assert fine.cache_info().replayed and all(map(math.isfinite, losses))
    s.step(x)
    clean(s)


def test_a_refused_step_leaves_nothing_of_itself() -> None:
    """All memory and all gradients are as before the call; not as after half of a step."""

    s = Setting()

    def function(x: Any) -> Any:
        s.state.add_(1)
        s.step(x)
        (s.w * x).sum().backward()
        tfl.rand(3)
        return x * x.sum().item()

    call = tfl.jit(function)
    call(batch(0, 4, 3))
    before, generator = [bits(x) for x in s.tensors()], tfl.random.get_state()
    for i in range(3):
        with pytest.raises(CaptureError):
            call(batch(i, 4, 3))
        assert [bits(x) for x in s.tensors()] == before
        assert tfl.random.get_state() == generator
        clean(s)


def test_a_history_from_outside_is_refused() -> None:
    w = tfl.ones(3, requires_grad=True)
    h = w * 2
    jitted = tfl.jit(lambda x: (x * h).sum().backward())
    h2 = h.detach()
    jitted(batch(0, 3))
    h = w * 2
    with pytest.raises(CaptureError, match=r"no history.*detach\(\).*in .*test_jit\.py"):
        jitted(batch(0, 3))
    assert type(w.array) is type(h.array) is type(h2.array) is np.ndarray
    (h * 2).sum().backward()
    w.grad = None
    inside = tfl.jit(lambda x: (x * w * 2).sum().backward())
    for _ in range(5):
        w.grad = None
        inside(batch(0, 3))
    assert w.grad.tolist() == (batch(0, 3) * 2).tolist()


def test_the_same_tensor_twice_is_refused() -> None:
    jitted = tfl.jit(lambda a, b: a * 2 + b)
    x = batch(0, 3)
    jitted(x, x)
    with pytest.raises(CaptureError, match=r"given twice.*copy"):
        jitted(x, x)
    assert type(x.array) is np.ndarray
    for i in range(4):
        y = batch(i, 3)
        assert jitted(x, y).tolist() == (x * 2 + y).tolist()


def test_one_array_in_two_tensors_is_refused_or_right() -> None:
    jitted = tfl.jit(lambda a, b: a * 2 + b)
    x = batch(0, 3)
    for _ in range(5):
        try:
            assert jitted(x, x.detach()).tolist() == (x * 3).tolist()
        except CaptureError as error:
            assert "twice" in str(error)


def test_an_argument_that_cant_be_hashed_is_refused() -> None:
    jitted = tfl.jit(lambda a, b: a * 2)
    with pytest.raises(DtypeError, match=r"hashable.*ndarray.*asarray"):
        jitted(batch(0, 3), np.ones(3))
    with pytest.raises(DtypeError, match=r"hashable.*set"):
        jitted(batch(0, 3), {1, 2})


def test_another_threads_use_is_refused() -> None:
    s = Setting()
    found: list[Any] = []

    def function(x: Any) -> Any:
        y = x * 2

        def other() -> None:
            try:
                found.append((y * 2).sum())
            except Exception as error:
                found.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return y

    jitted = tfl.jit(function)
    jitted(batch(0, 3))
    jitted(batch(0, 3))
    assert type(found[0]) is tfl.Tensor
    assert type(found[1]) is CaptureError
    assert "thread" in str(found[1]) and "return it" in str(found[1])
    clean(s)


def test_an_error_of_the_users_comes_through() -> None:
    s = Setting()
    fails = False

    def function(x: Any) -> Any:
        loss = s.step(x)
        if fails:
            raise KeyError("mine")
        return loss

    jitted = tfl.jit(function)
    for fail in [True, True, False, False, False, True, False, False]:
        fails = fail
        if fail:
            with pytest.raises(KeyError, match="mine"):
                jitted(batch(0, 4, 3))
        else:
            jitted(batch(0, 4, 3))
        clean(s)
    assert jitted.cache_info().replayed >= 1


def test_an_error_of_the_frameworks_comes_through_as_it_is() -> None:
    w = tfl.ones(3)
    for function in (
        lambda x: x @ tfl.ones(5), lambda x: x + tfl.ones(5), lambda x: x[9],
        lambda x: F.linear(x, tfl.ones(2, 9)), lambda x: x.reshape(7) + w,
    ):  # fmt: skip
        with pytest.raises(TensorflowliteError) as expected:
            function(batch(0, 3))
        jitted = tfl.jit(function)
        for _ in range(3):
            with pytest.raises(type(expected.value)) as given:
                jitted(batch(0, 3))
            assert str(given.value) == str(expected.value)
    assert type(w.array) is np.ndarray


# -- what there is to look at ----------------------------------------------------------------------
def test_calls_are_counted() -> None:
    calls = []
    jitted = tfl.jit(lambda x: calls.append(1) or x * 2)
    for i in range(7):
        jitted(batch(i, 3))
    assert jitted.cache_info() == (4, 2, 1, 1) and len(calls) == 3
    jitted(batch(0, 4))
    assert jitted.cache_info() == (4, 2, 2, 1)
    jitted.cache_clear()
    jitted(batch(0, 3))
    assert jitted.cache_info() == (4, 2, 3, 0)


def test_the_program_can_be_read() -> None:
    w = tfl.ones(3)

    def named(x: Any) -> Any:
        w.add_(1)
        return tfl.sin(x) * w

    jitted = tfl.jit(named)
    assert "nothing is recorded" in jitted.explain() and jitted.__name__ == "named"
    for i in range(3):
        jitted(batch(i, 3))
    assert "sin(" in jitted.explain() and "changes" in jitted.explain()


def test_a_function_recorded_again_and_again_is_told() -> None:
    settings = [0]

    def function(x: Any) -> Any:
        return x * k

    k = 0
    jitted = tfl.jit(function)
    with pytest.warns(RuntimeWarning) as found:
        for i in range(24):
            k = i
            assert jitted(batch(0, 3)).tolist() == (batch(0, 3) * i).tolist()
    assert len(found) == 2
    assert all("recorded" in str(one.message) and "function" in str(one.message) for one in found)
    assert all(one.filename == __file__ for one in found), [one.filename for one in found]
    assert settings == [0]


def test_it_is_a_decorator_with_and_without_brackets() -> None:
    @tfl.jit
    def one(x: Any) -> Any:
        """Said."""
        return x * 2

    @tfl.jit()
    def two(x: Any) -> Any:
        return x * 2

    assert type(one) is type(two) is Jitted and one.__doc__ == "Said."
    with pytest.raises(ArgumentError, match="callable"):
        tfl.jit(3)


def test_it_decorates_methods() -> None:
    class Doubling:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        @tfl.jit
        def double(self, x: Any) -> Any:
            return x * self.factor

    for factor in (2.0, 3.0):
        one = Doubling(factor)
        for i in range(5):
            assert one.double(batch(i, 3)).tolist() == (batch(i, 3) * factor).tolist()


def test_many_forms_are_forgotten_again() -> None:
    jitted = tfl.jit(lambda x, k: x * k)
    for _ in range(3):
        for k in range(70):
            assert jitted(tfl.ones(2), k).tolist() == [k, k]
    assert jitted.cache_info().programs <= 64


def test_an_array_of_numpy_is_not_changed_behind_its_back() -> None:
    state = np.zeros(3, np.float32)

    def step(x):
        t = tfl.asarray(state)
        t += x
        return t * 2

    jitted = tfl.jit(step)
    jitted(tfl.ones(3))
    with pytest.raises(CaptureError, match="copy it"):
        jitted(tfl.ones(3))
    assert state.tolist() == [1.0, 1.0, 1.0]
