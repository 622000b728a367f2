"""Every public name that PyTorch has too: compared with it somewhere, or different by design."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import tensorflowlite as tfl

from . import (
    lines_autograd,
    lines_functions,
    lines_linalg,
    lines_methods,
    lines_modules,
    lines_networks,
    lines_places,
    test_image_modules,
    test_modules,
    test_optim,
    test_optim_schedules,
    test_recurrent,
    test_surface,
)
from .surface import Line, also_known_as, compare_line, found, said, same, shared_names

TABLES = (
    lines_autograd, lines_functions, lines_linalg, lines_methods, lines_modules, lines_networks,
    lines_places,
)  # fmt: skip
LINES: list[Line] = [line for table in TABLES for line in table.LINES]
NAMES = shared_names()
# What is no function, method or class: dtypes and numbers.
VALUES = [
    name for name in NAMES if not name.startswith("Tensor.") and not callable(found(tfl, name))
]
# The same name, but NumPy's meaning, or another thing altogether. docs/coming-from-pytorch.md has
# those that a user may meet.
OTHERWISE = {
    "Tensor.repeat": "each element so many times, as NumPy's; tile lays whole arrays",
    "Tensor.size": "the number of elements, as NumPy's",
    "Tensor.split": "into so many parts, or at indices, as NumPy's; chunk is PyTorch's",
    "Tensor.transpose": "all axes in another order, as NumPy's; two integers raise",
    "Tensor.cuda": "needs a GPU",
    "load": "files of tensors and plain values without pickle",
    "save": "the path first, and without pickle",
    "select": "NumPy's choice among conditions; the method is PyTorch's",
    "split": "into so many parts, or at indices, as NumPy's; chunk is PyTorch's",
    "tril_indices": "of (n, k, m), as NumPy's, and a pair of arrays",
    "triu_indices": "of (n, k, m), as NumPy's, and a pair of arrays",
    **{
        f"cuda.{name}": "what the machine has, which PyTorch without CUDA doesn't see"
        for name in (
            "Event",
            "Stream",
            "current_stream",
            "device_count",
            "empty_cache",
            "is_available",
            "max_memory_allocated",
            "memory_allocated",
            "memory_stats",
            "reset_peak_memory_stats",
            "stream",
            "synchronize",
        )
    },
}


def covered() -> dict[str, str]:
    """Return which test compares a name: the tables that tests draw their cases from."""
    schedules = {
        f"optim.lr_scheduler.{last}"
        for case in test_optim_schedules.CASES.values()
        for last in said(case.__code__)
    }
    tables: dict[str, Any] = {
        "rows": [name for name, _, _ in test_surface.COMPARED],
        "methods of rows": [name for name, _, _ in test_surface.METHOD_PAIRS],
        "lines": [line.name for line in LINES],
        "values": VALUES,
        "modules": [f"nn.{line.name}" for line in test_modules.LAYERS + test_modules.LOSSES],
        "image modules": [f"nn.{case[0]}" for case in test_image_modules.CASES],
        "recurrent modules": [f"nn.{name}" for name, _ in test_recurrent.KINDS],
        "optimizers": [f"optim.{name}" for name in test_optim.TABLE],
        "schedules": schedules,
    }
    return {name: table for table, names in tables.items() for name in names}


def test_every_shared_name_is_compared() -> None:
    held = covered()
    again = also_known_as(NAMES)
    left = [name for name in NAMES if again.get(name, name) not in held and name not in OTHERWISE]
    assert not left, f"{len(left)} names that nothing compares with PyTorch's: {left}"


def test_the_tables_name_what_is_there() -> None:
    assert len(NAMES) > 1000
    assert {line.name for line in LINES} <= set(NAMES)
    assert set(OTHERWISE) <= set(NAMES)
    both = set(OTHERWISE) & set(covered())
    assert not both, f"different by design and yet compared: {both}"


def test_a_line_says_its_name() -> None:
    with pytest.raises(TypeError, match=r"a line of nn\.ReLU must call it"):
        Line("nn.ReLU", lambda kit, x: kit.nn.ReLU6()(x), (), {})


@pytest.mark.parametrize("name", VALUES)
def test_same_values(name: str) -> None:
    same(found(tfl, name), found(torch, name), 1e-15, name, [])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("line", LINES, ids=str)
def test_same_as_pytorch(line: Line, dtype: str) -> None:
    compare_line(line, dtype)
