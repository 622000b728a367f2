"""Memory that runs out: one error that says what was asked for, and who has the rest."""

from __future__ import annotations

import doctest
import gc
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.backend import backend_for
from tensorflowlite.cli.main import _sentence
from tensorflowlite.core import shortage
from tensorflowlite.core.entry import primitive
from tensorflowlite.core.primitive import look_up_again
from tensorflowlite.data import DataLoader
from tensorflowlite.errors import DeviceError, OutOfMemoryError

from . import fake_cupy
from .fake_cupy import FakeCupy

HUGE = 1 << 50  # float32: 4 PiB, more than a process can address
ASKED = "must have room for 4.00 PiB, got too little"


@pytest.fixture
def cupy() -> Iterator[FakeCupy]:
    with fake_cupy.installed() as module:
        yield module


def huge() -> tfl.Tensor:
    """So many elements in a few bytes."""
    return tfl.broadcast_to(tfl.ones(1), (HUGE,))


def error_of(call: Any) -> OutOfMemoryError:
    with pytest.raises(OutOfMemoryError) as caught:
        call()
    assert isinstance(caught.value, MemoryError) and isinstance(caught.value, DeviceError)
    assert type(caught.value.__cause__) is not OutOfMemoryError
    return caught.value


def origins(error: OutOfMemoryError) -> dict[tuple[int, ...], str]:
    """What the report says of each shape, which are all different here."""
    found = {}
    for line in error.report.splitlines()[1:]:
        shape, _, origin = line[line.index("(") :].partition(")")
        found[tuple(int(n) for n in shape[1:].split(",") if n.strip())] = origin.strip()
    return found


CALLS = [
    ("add", lambda: huge() + 1),
    ("exp", lambda: tfl.exp(huge())),
    ("maximum", lambda: tfl.maximum(huge(), tfl.zeros(1))),
    ("cumulative_sum", lambda: tfl.cumulative_sum(huge())),
    ("zeros", lambda: tfl.zeros(HUGE)),
    ("full", lambda: tfl.full((HUGE,), 2.0)),
    ("ones_like", lambda: tfl.ones_like(huge())),
    ("empty", lambda: tfl.empty(HUGE)),
    ("concat", lambda: tfl.concat([huge()[: HUGE // 2], huge()[: HUGE // 2]])),
    ("where", lambda: tfl.where(tfl.tensor(True), huge(), tfl.zeros(1))),
]


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_every_operation_tells(name: str, call: Any) -> None:
    error = error_of(call)
    first, _, report = str(error).partition("\n")
    assert first.startswith(f"{name}: cpu {ASKED}")
    assert first.endswith(
        "; use smaller batches, drop tensors that are no longer needed, or compute under no_grad()"
    )
    assert report == error.report


def test_the_figures_are_those_of_the_cpu(native_module: Any) -> None:
    x = tfl.zeros((3 << 18, 4))
    text = str(error_of(lambda: huge() + 1))
    used = shortage.size_of(tfl.cpu.memory_stats()["used_bytes"])
    assert f"got too little: {used} in use by arrays, " in text
    assert f"   12.00 MiB  float32 {x.shape}  made outside of the graph" in text


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(300, 400)
        self.register_buffer("scale", tfl.ones((1, 401)))
        self.last = Last()

    def forward(self, x: Any) -> Any:
        return self.last(tfl.tanh(self.inner(x)))


class Last(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.sum() * tfl.exp(huge())


def test_whose_the_memory_is() -> None:
    gc.collect()  # what other tests have left
    model = Block()
    x = tfl.ones((500, 300))
    (model.inner(x[:2]) ** 2).sum().backward()
    squares = tfl.ones((601, 602)).requires_grad_()
    kept = squares * squares
    freed = tfl.ones((90, 1)).requires_grad_() * tfl.ones((1, 91))
    freed.sum().backward()
    optimizer = tfl.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    optimizer.step()
    error = error_of(lambda: model(x))
    assert str(error).split("\n")[0].endswith("under no_grad(); module 'last'")
    found = origins(error)
    assert found[(500, 400)].startswith("made by tanh")
    told = found[(500, 300)].replace("Block '", "'")  # as where another test has left a model
    assert told in ("made outside of the graph", "saved by linear_act in 'inner'")
    assert found[(601, 602)] == "made by multiply" or found[(601, 602)] == "a leaf"
    assert found[(90, 91)] == "made by an operation whose history was freed"
    text = error.report.replace("Block '", "'")
    assert "float32 (400, 300)  the parameter 'inner.weight'" in text
    assert "float32 (400, 300)  the gradient of 'inner.weight'" in text
    assert "float32 (400, 300)  SGD's momentum_buffer of 'inner.weight'" in text
    assert kept.shape == (601, 602)


def test_the_largest_come_first_and_memory_counts_once() -> None:
    gc.collect()  # what other tests have left
    x = tfl.ones((1000, 1000))
    views = [x[i:] for i in range(5)]
    small = [tfl.ones(2) for _ in range(20)]
    lines = error_of(lambda: huge() + 1).report.splitlines()
    assert lines[0].startswith("the largest of ") and len(lines) == 11
    assert sum("(1000, 1000)" in line for line in lines) == 1
    counts = [line.split()[:2] for line in lines[1:]]
    units = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    sizes = [float(number) * units[unit] for number, unit in counts]
    assert sizes == sorted(sizes, reverse=True)
    assert len(views) + len(small) == 25


def test_two_models_are_told_apart() -> None:
    gc.collect()  # what other tests have left
    first, second = nn.Linear(310, 410), Block()
    text = error_of(lambda: huge() + 1).report
    assert f"float32 {first.weight.shape}  the parameter Linear 'weight'" in text
    assert f"float32 {second.inner.weight.shape}  the parameter Block 'inner.weight'" in text


def test_the_backward_pass_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(node: Any, g: Any, k: Any, need: Any) -> Any:
        return g + np.broadcast_to(np.float32(1), (HUGE,))

    monkeypatch.setattr(primitive("exp"), "raw", (rule,))
    x = tfl.ones(1).requires_grad_()
    weight = tfl.ones((70, 71)).requires_grad_()
    y = (x.exp() * weight).sum()
    error = error_of(lambda: y.backward(retain_graph=True))
    assert str(error).startswith(f"backward of exp: cpu {ASKED}")
    assert "(70, 71)" in error.report
    monkeypatch.undo()
    y.backward()  # nothing is left of the pass that failed
    np.testing.assert_allclose(x.grad.numpy(), 70 * 71 * np.e, rtol=1e-6)


def test_gradients_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(node: Any, g: Any, k: Any, need: Any) -> Any:
        raise MemoryError

    x = tfl.ones((80, 81)).requires_grad_()
    with monkeypatch.context() as patch:
        patch.setattr(primitive("exp"), "raw", (rule,))
        earlier = x * 2
        y = earlier + x.exp()
        error = error_of(lambda: y.backward(tfl.ones((80, 81))))
    assert str(error).startswith("backward of exp: cpu must have room for the result, got too")
    assert "float32 (80, 81)  a gradient on its way to multiply" in error.report


def test_keeping_gradients_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> Any:
        raise MemoryError

    x, seed = tfl.ones(3).requires_grad_(), tfl.ones((3, 1))
    y = x.reshape(3, 1)
    with monkeypatch.context() as patch:
        patch.setattr(backend_for("cpu"), "empty_strided", full)
        error = error_of(lambda: y.backward(seed, retain_graph=True))
    assert str(error).startswith("backward: cpu must have room for the result")
    assert x.grad is None
    y.backward(seed)
    assert x.grad.tolist() == [1, 1, 1]


# ---- a GPU


def test_figures_of_a_gpu(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> Any:
        raise fake_cupy.OutOfMemoryError(5 << 30, 1 << 30)

    monkeypatch.setitem(backend_for("cuda").slots, "exp", full)
    look_up_again()
    block = cupy.cuda.alloc(3 << 20)
    x = tfl.ones((30, 31), device="cuda")
    host = tfl.ones((3000, 31))
    error = error_of(lambda: tfl.exp(x))
    assert str(error).startswith(
        "exp: cuda:0 must have room for 5.00 GiB, got too little: 3.00 MiB in use by arrays, "
        "3.00 MiB held, with what waits for new ones, 3.00 GiB free on the device, 4.00 GiB in all"
    )
    assert "(30, 31)  made outside of the graph" in error.report
    plain = error_of(lambda: tfl.zeros(HUGE, device="cuda"))  # the same one, without its number
    assert str(plain).startswith("zeros: cuda must have room for 4.00 PiB, got too little: ")
    assert "(30, 31)  made outside of the graph" in plain.report
    assert str(host.shape) not in error.report and block.size == 3 << 20


def test_moving_to_a_gpu_tells(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> Any:
        raise fake_cupy.OutOfMemoryError(1 << 30, 0)

    elsewhere = tfl.ones((30, 31), device="cuda")
    for name in ("asarray", "empty"):
        monkeypatch.setattr(cupy, name, full, raising=False)
    monkeypatch.setattr(cupy.arenas, "empty", full)
    x = tfl.ones(3)
    for call in (
        lambda: x.to("cuda:1"),
        lambda: tfl.tensor([1.0, 2.0], device="cuda:1"),
        lambda: tfl.arange(3, device="cuda:1"),
        lambda: next(iter(DataLoader(np.ones(3), device="cuda:1"))),
    ):
        error = error_of(call)
        assert ": cuda:1 must have room for 1.00 GiB, got too" in str(error)
        assert error.report == "no tensors are alive there"
    assert elsewhere.device == "cuda:0"


# ---- the error itself


def test_the_error_travels() -> None:
    error = OutOfMemoryError("exp: no room", "rows")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "exp: no room\nrows" and again.report == "rows"
    assert str(OutOfMemoryError("exp: no room")) == "exp: no room"


def test_the_command_says_it_in_one_line() -> None:
    told = _sentence(OutOfMemoryError("exp: no room", "a\nb"))
    assert told == "exp: no room; lower --batch-size"


def test_sizes() -> None:
    assert doctest.testmod(shortage).failed == 0
    assert shortage.size_of(0) == "0 bytes" and shortage.size_of(HUGE * HUGE).endswith(" PiB")
    assert shortage.report(backend_for("cpu"), tfl.zeros(1).device).startswith("the largest of ")
