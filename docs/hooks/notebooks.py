"""Notebooks as pages: text, code and the committed outputs, without Jupyter's scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"


def pages() -> dict[str, str]:
    """The Markdown of each notebook by its name without the ending."""
    return {path.stem: written(path) for path in sorted(FOLDER.glob("*.ipynb"))}


def written(path: Path) -> str:
    """One notebook as Markdown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [_output(output) for output in cell["outputs"]]
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    """What a cell printed, gave back or drew."""
    data = output.get("data", {})
    if "image/png" in data:
        image = "".join(data["image/png"]).strip()
        return f'<p><img alt="what the code draws" src="data:image/png;base64,{image}"></p>'
    text = "".join(output.get("text") or data["text/plain"])
    return f'```text title="output"\n{text.rstrip()}\n```'
