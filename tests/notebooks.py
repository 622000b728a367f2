"""The notebooks of the documentation: running them from clean kernels.

``python -m tests.notebooks`` runs each (it needs the extra ``docs``) and writes its outputs anew.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((CHECKOUT / "docs" / "notebooks").glob("*.ipynb"))


def executed(path: Path) -> Any:
    """A notebook with the outputs of a run from a clean kernel, in a temporary folder."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    os.environ["PYTHONPATH"] = os.pathsep.join(
        part for part in (str(CHECKOUT), os.environ.get("PYTHONPATH")) if part
    )
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": folder}}, record_timing=False
        ).execute()
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def told(notebook: Any) -> list[list[str]]:
    """What each code cell printed or gave back, as text; of a picture that there is one."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found.append([_text(output) for output in cell.outputs])
    return found


def _text(output: Any) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return "a picture"
    return str(output.get("text") or data.get("text/plain") or output)


def main() -> None:
    import nbformat

    for path in NOTEBOOKS:
        nbformat.write(executed(path), path)
        print(path.relative_to(CHECKOUT))


if __name__ == "__main__":
    sys.exit(main())
