"""Every notebook runs from a clean kernel and gives what stands in it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.notebooks import NOTEBOOKS, executed, told


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_stands_in_it(path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    assert all(cell.execution_count for cell in kept.cells if cell.cell_type == "code")
    assert told(executed(path)) == told(kept)
