"""The house's rules, read from the source: floors, who imports what, and how long files are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tensorflowlite"
FLOORS = {
    "errors": 0, "runtime": 0, "version": 0, "backend": 1, "core": 2, "ops": 3, "transforms": 4,
    "io": 4, "nn": 5, "optim": 5, "data": 5, "programs": 5, "debug": 6, "story": 6, "train": 7,
    "distributed": 7, "cli": 8,
}  # fmt: skip
# Re-exports only: they may look at every floor, and only the top floors may look at them.
PUBLIC = {"__init__", "linalg", "fft", "random", "autograd", "cuda", "cpu", "amp", "einops"}
NUMPY_ROOMS = ("backend", "io")


class Import(NamedTuple):
    target: tuple[str, ...]  # below tensorflowlite; what is outside starts with "/"
    line: int
    runs: bool  # not under `if TYPE_CHECKING`


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def files() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if not p.parts[-2].startswith("_"))


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts


def imports_of(path: Path) -> Iterator[Import]:
    """Yield what a file imports, at its top and inside functions."""
    tree = parsed(path)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for branch in node.body
        for inner in ast.walk(branch)
    }
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(tree):
        runs = id(node) not in typing_only
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(_target(alias.name.split(".")), node.lineno, runs)
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                above = package[: len(package) - node.level + 1]
                for alias in node.names:
                    yield Import(_deepest((*above, *base), alias.name), node.lineno, runs)
            else:
                for alias in node.names:
                    target = _target(base)
                    outside = target[:1] == ("/",)
                    yield Import(
                        target if outside else _deepest(target, alias.name), node.lineno, runs
                    )


def _target(name: list[str]) -> tuple[str, ...]:
    return tuple(name[1:]) if name[0] == "tensorflowlite" else ("/", *name)


def _deepest(module: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return the module that ``from module import name`` loads."""
    place = PACKAGE.joinpath(*module, name)
    return (*module, name) if place.with_suffix(".py").exists() or place.is_dir() else module


def floor_of(module: tuple[str, ...]) -> int:
    if not module or module[0] in PUBLIC:
        return 8
    assert module[0] in FLOORS, f"{'.'.join(module)} stands on no floor of the house"
    return FLOORS[module[0]]


def is_public(path: Path) -> bool:
    return path.parent == PACKAGE and path.stem in PUBLIC


INSIDE = [path for path in files() if not is_public(path)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", INSIDE, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    """A file imports from its own folder and from lower floors, also where it imports late."""
    here = module_of(path)
    wrong = [
        f"{name_of(path)}:{one.line} imports {'.'.join(one.target) or 'tensorflowlite'}"
        for one in imports_of(path)
        if one.target[:1] != ("/",)
        and one.target[:1] != here[:1]
        and floor_of(one.target) >= floor_of(here)
        and not (
            here[0] in ("train", "cli", "debug")
            and floor_of(one.target) == 8
            and here[0] != one.target[:1]
        )
    ]
    assert wrong == []


@pytest.mark.parametrize("path", INSIDE, ids=name_of)
def test_private_names_stay_in_their_folder(path: Path) -> None:
    here = module_of(path)
    wrong = [
        f"{name_of(path)}:{node.lineno} imports {alias.name}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
        and (node.level != 1 or len(here) < 2)
    ]
    assert wrong == []


def test_no_folder_has_cycles() -> None:
    graph: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for path in files():
        if path.parent == PACKAGE:
            continue
        here = module_of(path)
        mine = {one.target for one in imports_of(path) if one.runs and one.target[:1] == here[:1]}
        graph[here] = {target for target in mine if target != here}
    # A folder's __init__ gathers its files; they import each other directly, never through it.
    assert not [
        f"{a} imports its folder" for a, found in graph.items() for b in found if a[: len(b)] == b
    ]
    done: set[tuple[str, ...]] = set()
    for start in graph:
        _walk(start, graph, (), done)


def _walk(here: tuple[str, ...], graph: dict[tuple[str, ...], set[tuple[str, ...]]],
          way: tuple[tuple[str, ...], ...], done: set[tuple[str, ...]]) -> None:  # fmt: skip
    assert here not in way, "a cycle: " + " -> ".join(".".join(one) for one in (*way, here))
    if here not in done:
        for target in graph.get(here, ()):
            _walk(target, graph, (*way, here), done)
        done.add(here)


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_who_imports_array_libraries(path: Path) -> None:
    """Only backend/ imports cupy; up to floor 4 only backend/ and io/ import numpy."""
    here = module_of(path)
    outside = {one.target[1] for one in imports_of(path) if one.target[:1] == ("/",)}
    if here[0] != "backend":
        assert not outside & {"cupy", "cupyx", "cuda"}
        assert not outside & {"torch", "tensorflow", "jax"}
    if here[0] not in NUMPY_ROOMS and (is_public(path) or floor_of(here) < 5):
        assert not outside & {"numpy", "ml_dtypes"}
    if floor_of(here) < 4 or is_public(path):
        assert not outside & {"matplotlib", "sklearn", "tqdm", "safetensors"}


@pytest.mark.parametrize("path", [p for p in INSIDE if module_of(p)[0] != "backend"], ids=name_of)
def test_no_comparison_with_cuda(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            texts = [
                s.value for s in sides if isinstance(s, ast.Constant) and isinstance(s.value, str)
            ]
            assert not any(t.startswith("cuda") for t in texts), f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "startswith":
            assert '"cuda' not in ast.unparse(node).replace("'", '"'), (
                f"{name_of(path)}:{node.lineno}"
            )


@pytest.mark.parametrize(
    "path", [p for p in INSIDE if module_of(p)[0] in ("nn", "optim")], ids=name_of
)
def test_networks_and_optimizers_touch_no_arrays(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and node.attr == "array":
            library = isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy")
            assert library, f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", [p for p in files() if is_public(p)], ids=name_of)
def test_public_modules_are_re_exports(path: Path) -> None:
    """No logic: a docstring, imports, names."""
    for node in parsed(path).body:
        plain = isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        lazy = isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__")
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        assert plain or text or lazy or checking, f"{name_of(path)}:{node.lineno}"


def test_no_file_is_longer_than_600_lines() -> None:
    kinds = ("*.py", "*.cpp", "*.hpp", "*.inl", "*.cu", "*.cuh")
    rooms = ("tensorflowlite", "tests", "benchmarks", "csrc", "kernels")
    long = {
        name_of(path): count
        for room in rooms
        for kind in kinds
        for path in (ROOT / room).rglob(kind)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert long == {}


def test_methods_are_attached_in_one_place() -> None:
    """Nobody but ops/methods.py sets attributes of Tensor."""
    for path in INSIDE:
        if module_of(path) == ("ops", "methods"):
            continue
        for node in ast.walk(parsed(path)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "setattr"
            ):
                assert ast.unparse(node.args[0]) != "Tensor", f"{name_of(path)}:{node.lineno}"
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    assert not ast.unparse(target).startswith("Tensor."), (
                        f"{name_of(path)}:{node.lineno}"
                    )
