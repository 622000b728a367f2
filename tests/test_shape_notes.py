"""The note on an error of shapes: the module, what it takes, and the way that the input came."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import ArgumentError, ShapeError

HERE = Path(__file__).name


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1)
        )
        self.head = nn.Sequential(nn.Linear(36, 20), nn.Tanh(), nn.Linear(10, 3))

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        h = self.body(x)
        return self.head(h)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(4, 5)

    def forward(self, x: tfl.Tensor) -> tfl.Tensor:
        h = self.wide(x)
        return x + h


def note(model: Any, *inputs: Any) -> list[str]:
    with pytest.raises(ShapeError) as error:
        model(*inputs)
    (text,) = error.value.__notes__
    return text.replace(f"{Path(__file__).parent}/", "").split("\n")


def test_the_way_of_the_input() -> None:
    line = Net.forward.__code__.co_firstlineno + 2
    assert note(Net(), tfl.randn(2, 1, 8, 8)) == [
        "in model.head.2, Linear(in_features=10, out_features=3, bias=True) with weight (3, 10), "
        "bias (3,), which got (2, 20)",
        "called with shapes: model (2, 1, 8, 8) > model.head (2, 36)",
        "the input came this way: (2, 1, 8, 8) -> convolution of 'body.0' (2, 4, 6, 6) -> "
        "relu (2, 4, 6, 6) -> max_pool (2, 4, 3, 3) -> reshape (2, 36) -> dropout (2, 36) -> "
        "linear of 'head.0' (2, 20) -> tanh (2, 20)",
        f"at {HERE}:{line} there are x (2, 1, 8, 8), h (2, 36)",
    ]


def test_without_a_graph_the_modules_tell() -> None:
    with tfl.no_grad():
        lines = note(Net(), tfl.randn(2, 1, 8, 8))
    assert [line.partition(" ")[0] for line in lines] == ["in", "called", "at"]
    assert lines[1] == "called with shapes: model (2, 1, 8, 8) > model.head (2, 36)"


def test_in_a_forward_of_the_users() -> None:
    line = Residual.forward.__code__.co_firstlineno + 2
    assert note(nn.Sequential(Residual()), tfl.ones((2, 4))) == [
        "in model.0, Residual(), which got (2, 4)",
        "called with shapes: model (2, 4)",
        f"at {HERE}:{line} there are x (2, 4), h (2, 5)",
    ]


def test_a_module_alone_and_what_its_input_came_from() -> None:
    x = tfl.ones((2, 3), requires_grad=True)
    y = tfl.concat([(x * 2).T.reshape(3, 2), x[:, 0].reshape(1, 2)]).sum(0)
    lines = note(nn.Linear(5, 1), y)
    assert lines[0].startswith("in model, Linear(in_features=5") and lines[0].endswith("got (2,)")
    assert lines[1] == (
        "the input came this way: (2, 3) -> multiply (2, 3) -> permute_dims (3, 2) -> "
        "reshape (3, 2) -> concat (4, 2) -> sum (2,)"
    )


def test_only_errors_of_shapes_and_never_another_error() -> None:
    class Odd(nn.Linear):
        def extra_repr(self) -> str:
            raise ZeroDivisionError

    with pytest.raises(ShapeError, match="linear: the last axis") as error:
        Odd(2, 2)(tfl.ones((1, 3)))
    assert not hasattr(error.value, "__notes__")

    class Refusing(nn.Module):
        def forward(self, x: Any) -> Any:
            raise ArgumentError("refusing: no")

    with pytest.raises(ArgumentError) as other:
        Refusing()(1)
    assert not hasattr(other.value, "__notes__")


def test_a_call_that_succeeds_has_no_part_in_it() -> None:
    sys.modules.pop("tensorflowlite.nn.shape_notes", None)
    nn.Linear(2, 2)(tfl.ones((1, 2)))
    assert "tensorflowlite.nn.shape_notes" not in sys.modules
