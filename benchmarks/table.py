"""``python -m benchmarks table FILE``: a result file of the CPU or CUDA suite as Markdown.

``--readme`` writes the newest results into the README's blocks instead.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from . import cpu_jit_results, cpu_results, cuda_results

# The suites that keep results, by the kind that their files name.
SUITES: dict[str, Any] = {"cpu": cpu_results, "cuda": cuda_results}
README = Path(__file__).resolve().parents[1] / "README.md"


def main(arguments: list[str]) -> int:
    """Print a table, or bring the README's up to date."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks table")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE")
    parser.add_argument("--readme", action="store_true", help="write the README's block")
    options = parser.parse_args(arguments)
    if options.readme == (options.file is not None):
        parser.error("either FILE or --readme must be given")
    if options.readme:
        text = README.read_text(encoding="utf-8")
        for results in (cpu_results, cpu_jit_results, cuda_results):
            text = results.with_block(text)
        README.write_text(text, encoding="utf-8")
        return 0
    try:
        content = json.loads(options.file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"{options.file}: must be a result file, got {error}")
    results = SUITES.get(content.get("kind")) if isinstance(content, dict) else None
    if results is None:
        parser.error(f"{options.file}: must be a result of the CPU or CUDA suite, got another file")
    print(f"{results.heading(content)}\n\n{results.table(content)}")
    print(cuda_results.remarks(content))
    return 0
