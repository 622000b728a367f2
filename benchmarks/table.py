"""``python -m benchmarks table FILE``: a result file of the CUDA suite as Markdown.

``--readme`` writes the newest result into the README's block instead.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from . import cuda_results

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
        README.write_text(
            cuda_results.with_block(README.read_text(encoding="utf-8")), encoding="utf-8"
        )
        return 0
    try:
        content = json.loads(options.file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"{options.file}: must be a result file, got {error}")
    if not isinstance(content, dict) or content.get("kind") != "cuda":
        parser.error(f"{options.file}: must be a result of the CUDA suite, got another file")
    print(f"{cuda_results.heading(content)}\n\n{cuda_results.table(content)}")
    print(cuda_results.remarks(content))
    return 0
