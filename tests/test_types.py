"""Type stubs: they are up to date, hold every method, and the examples for the checker run."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import tensorflowlite as tfl
from tensorflowlite.ops import methods

from . import stubs, typing_examples

GENERATED = stubs.stubs()


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_stub_is_up_to_date(path: Path) -> None:
    assert path.is_file(), f"{path} is missing; run: python -m tests.stubs"
    written = path.read_text(encoding="utf-8")
    assert written == GENERATED[path], f"{path} is stale; run: python -m tests.stubs"


def test_no_other_stub() -> None:
    assert set(stubs.PACKAGE.rglob("*.pyi")) == set(GENERATED)
    assert {path.stem for path in GENERATED} >= {"tensor", "elementwise", "reduction"}
    assert (stubs.PACKAGE / "py.typed").is_file()


def test_the_stub_of_tensor_holds_every_attribute() -> None:
    text = GENERATED[stubs.PACKAGE / "core" / "tensor.pyi"]
    (tensor,) = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and node.name == "Tensor"
    ]
    held = {node.name for node in tensor.body if isinstance(node, ast.FunctionDef)}
    held |= {
        node.target.id
        for node in tensor.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    own = {name for name in vars(tfl.Tensor) if not name.startswith("__")}
    assert own | set(methods.METHODS) <= held


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_signatures_fit(path: Path) -> None:
    """The parameters of a function's stub are those that it takes."""
    module = importlib.import_module(
        ".".join(path.relative_to(stubs.PACKAGE.parent).with_suffix("").parts)
    )
    for node in ast.parse(GENERATED[path]).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            given = inspect.signature(getattr(module, node.name)).parameters
            if node.name.endswith("_slot"):  # takes any arguments
                continue
            a = node.args
            named = [one.arg for one in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
            variadic = {one.arg for one in (a.vararg, a.kwarg) if one}
            assert set(given) == {*named, *variadic}, node.name
            kinds = {name: p.kind for name, p in given.items()}
            assert all(kinds[one.arg] is inspect.Parameter.POSITIONAL_ONLY for one in a.posonlyargs)


@pytest.mark.parametrize("name", ["operators", "methods", "functions", "modes", "networks"])
def test_typing_examples_run(name: str) -> None:
    getattr(typing_examples, name)()


@pytest.mark.parametrize("mistake", typing_examples.mistakes())
def test_what_a_checker_refuses_raises(mistake: object) -> None:
    with pytest.raises((TypeError, AttributeError)):
        mistake()  # type: ignore[operator]
