"""`export` and `load_program`: what is refused, and calls of a program."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import (
    ArgumentError,
    CaptureError,
    DeviceError,
    DtypeError,
    GradientError,
    ShapeError,
)
from tensorflowlite.programs.loaded import LoadedProgram

from .jit_worlds import batch, snapshot


# -- what is refused -------------------------------------------------------------------------------
class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", tfl.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls.add_(1)
        return x * self.calls


def refusals() -> Iterator[Any]:
    x, total = batch(0, 4, 3), tfl.zeros(3)
    dropout, norm = nn.Dropout(0.5), nn.Sequential(nn.BatchNorm1d(3))
    made: list[Any] = []
    leaf = tfl.zeros(3, requires_grad=True)

    def trains(x: Any) -> Any:
        with tfl.enable_grad():
            (x * leaf).sum().backward()
        return x

    def grows(x: Any) -> Any:
        made.append(1)
        return x + len(made)

    yield dropout, x, "got a change of the state of the random numbers; call model.eval()"
    yield norm, x, r"running_mean of BatchNorm1d, float32 \(3,\), .*call model.eval\(\) before"
    yield Counting(), x, r"calls of Counting, float32 \(\)"
    yield lambda x: total.add_(x.sum(0)) + x, x, r"got a change of a tensor, float32 \(3,\)"
    yield lambda x: x.add_(1), x, "export: an argument must not be changed in place"
    yield trains, x, "gradients of parameters"
    yield grows, x, "the same in two calls"
    yield lambda x: x if x.sum() > 0 else -x, x, r"bool: a value can't be read.*test_export.py"
    yield lambda x: x[x > 0], x, "the shape of the result depends on values"
    yield lambda x: tfl.tensor(np.random.default_rng().random(3)) + x, x, "made anew at each call"
    yield lambda x: [x, object], x, "^export: the results must be tensors or plain values, got type"
    yield lambda x: {1.5: x}, x, "^export: the keys of dicts must be text or integers, got 1.5"


@pytest.mark.parametrize(("function", "x", "text"), [pytest.param(*one) for one in refusals()])
def test_refused_and_nothing_changed(function: Any, x: Any, text: str, tmp_path: Path) -> None:
    tfl.manual_seed(1)
    tfl.rand(1)
    before, state = x.numpy().copy(), tfl.random.get_state()
    buffers = [one.numpy().copy() for one in getattr(function, "buffers", list)()]
    with pytest.raises(CaptureError, match=text):
        tfl.export(function, tmp_path / "program", x)
    np.testing.assert_array_equal(x.numpy(), before)
    assert tfl.random.get_state() == state
    for one, was in zip(getattr(function, "buffers", list)(), buffers, strict=True):
        np.testing.assert_array_equal(one.numpy(), was)
    assert not list(tmp_path.iterdir())


def test_a_model_in_training_mode_exports_after_eval(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    x = batch(0, 5, 3)
    with pytest.raises(CaptureError, match=r"random numbers, running_mean of BatchNorm1d"):
        tfl.export(model, tmp_path / "program", x)
    tfl.export(model.eval(), tmp_path / "program", x)
    assert snapshot(tfl.load_program(tmp_path / "program")(x)) == snapshot(model(x))


def test_an_export_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "program"

    def outer(x: Any) -> Any:
        tfl.export(tfl.sin, path, x)
        return x

    for run in (tfl.vmap(outer), tfl.jit(outer)):
        with pytest.raises(CaptureError, match=r"^export: a function must be recorded by itself"):
            for _ in range(2):  # jit runs the first one as it is
                run(tfl.ones((2, 3)))
    with pytest.raises(ArgumentError, match=r"^export: an argument must be .* at args\[0\]"):
        tfl.export(tfl.sin, path, np.zeros(3))


def test_a_jitted_function_and_one_that_requires_grad(tmp_path: Path) -> None:
    weight = tfl.ones(3, requires_grad=True)
    tfl.export(tfl.jit(lambda x: x * weight), tmp_path / "program", tfl.ones(3, requires_grad=True))
    program = tfl.load_program(tmp_path / "program")
    assert program(tfl.ones(3)).tolist() == [1, 1, 1]
    with pytest.raises(GradientError, match=r"^LoadedProgram: args\[0\] must not require grad"):
        program(weight)
    with tfl.no_grad():
        assert not program(weight).requires_grad
    for transform in (tfl.vmap, tfl.jit):
        run = transform(program)
        with pytest.raises((CaptureError, ShapeError), match="LoadedProgram: "):
            for _ in range(3):
                run(tfl.ones((2, 3)) if transform is tfl.vmap else tfl.ones(3))


# -- calls -----------------------------------------------------------------------------------------
@pytest.fixture
def program(tmp_path: Path) -> LoadedProgram:
    def run(x: Any, pair: Any, power: float, *, y: Any) -> Any:
        return (x + pair["a"]) ** power + y

    path = tmp_path / "program"
    tfl.export(run, path, tfl.ones((2, 3)), {"a": tfl.ones(3)}, 2.0, y=tfl.ones(()))
    return tfl.load_program(path)


A, B, Y = tfl.ones((2, 3)), tfl.ones(3), tfl.ones(())
WRONG_CALLS: list[Any] = [
    ((A, {"a": B}, 2.0), {}, ArgumentError, "must be given as they were recorded, 3 pos.*, y, got"),
    ((A, {"a": B}), {"y": Y}, ArgumentError, "got 2 positional, y"),
    ((A, {"b": B}, 2.0), {"y": Y}, ArgumentError, r"args\[1\]: the trees must be built alike"),
    ((A, {"a": B}, 3.0), {"y": Y}, ArgumentError, "must be as it was recorded, 2.0, got 3.0"),
    ((A, {"a": B}, 2), {"y": Y}, ArgumentError, "must be as it was recorded, 2.0, got 2"),
    ((B, {"a": B}, 2.0), {"y": Y}, ShapeError, r"args\[0\] must have the shape \(2, 3\) .* \(3,\)"),
    ((A, {"a": B.astype(tfl.float64)}, 2.0), {"y": Y}, DtypeError,
     r"args\[1\]\['a'\] must be float32 as it was recorded, got float64; cast it"),
    ((A, {"a": B.numpy()}, 2.0), {"y": Y}, DtypeError, "must be a Tensor, got ndarray"),
    ((A, {"a": B}, 2.0), {"y": B}, ShapeError, r"kwargs\['y'\] must have the shape \(\)"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "kwargs", "kind", "text"), WRONG_CALLS)
def test_wrong_calls(program: Any, args: Any, kwargs: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=f"^LoadedProgram.*{text}"):
        program(*args, **kwargs)
    assert program(A, {"a": B}, 2.0, y=Y).tolist() == [[5] * 3] * 2


def test_tensors_of_another_device(program: Any) -> None:
    with pytest.raises(DeviceError, match="must be on cpu, got shadow:0; move it, or the program"):
        program(A.to("shadow"), {"a": B}, 2.0, y=Y)


def test_inputs_may_lie_in_any_way(program: Any) -> None:
    wide = tfl.asarray(np.asfortranarray(np.arange(12.0, dtype=np.float32).reshape(4, 3)))
    for x in (wide[::2], wide[::-2], wide[:2], A):
        expected = (x + B) ** 2.0 + Y
        for _ in range(2):
            assert snapshot(program(x, {"a": B}, 2.0, y=Y)) == snapshot(expected)


def test_one_tensor_for_two_arguments(tmp_path: Path) -> None:
    tfl.export(lambda x, y: x * 2 + y, tmp_path / "program", tfl.ones(3), tfl.ones(3))
    program = tfl.load_program(tmp_path / "program")
    x = tfl.tensor([1.0, 2.0, 3.0])
    for _ in range(2):
        assert program(x, x).tolist() == [3, 6, 9]
    ordered = OrderedDict(x=x)
    tfl.export(lambda tree: tree["x"] + 1, tmp_path / "program", ordered)
    assert tfl.load_program(tmp_path / "program")({"x": x}).tolist() == [2, 3, 4]
