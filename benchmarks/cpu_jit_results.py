"""What the README says of `jit` on a CPU: the newest result of ``python -m benchmarks --jit``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import cpu_results, cpu_rows_steps, cuda_results

BEGIN, END = "<!-- benchmarks:cpu-jit -->", "<!-- /benchmarks:cpu-jit -->"
_SUITES = ("steps", "memory")


def is_jit_result(content: Any) -> bool:
    """Whether a file's content is a result of all steps and their memory under `jit`."""
    if not isinstance(content, dict) or content.get("kind") != "cpu" or not content.get("jit"):
        return False
    found = {(row.get("suite"), row.get("name")) for row in content.get("rows", ())}
    wanted = {(suite, row.name) for suite in _SUITES for row in cpu_rows_steps.ROWS}
    return wanted <= found and not content.get("quick") and not content.get("tiny")


def block(folder: Path = cuda_results.FOLDER) -> str:
    """Return what the README's block says: the newest result, or that there is none."""
    path = cuda_results.newest_of(folder, is_jit_result)
    if path is None:
        return cpu_results.NOT_YET
    content = json.loads(path.read_text(encoding="utf-8"))
    name = f"benchmarks/results/{path.name}"
    return (
        f"{cpu_results.heading(content)}. `eager` is ours without `jit` ([{name}]({name})).\n\n"
        f"{cpu_results.table(content, _SUITES)}"
    )


def with_block(text: str, folder: Path = cuda_results.FOLDER) -> str:
    """Return a document with its block brought up to date."""
    return cuda_results.within(text, BEGIN, END, block(folder))
