"""The code blocks of the documents: reading them, and running those of one page.

``python -m tests.documents docs/jit.md`` runs a page's blocks in order, in one namespace and in a
temporary folder, and compares what they print with the ``text`` block that follows; blocks with
``>>>`` run as doctests. In a page may stand, each in a comment of its own:

- ``<!-- setup`` and lines of Python ``-->``: they run too, and aren't shown;
- ``<!-- block: gpu; why -->`` before a block that only a GPU can run: ``--gpu`` runs it;
- ``<!-- block: shown; why -->`` before a ``text`` block that no block before it prints.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = sorted((CHECKOUT / "docs").rglob("*.md"))
PATTERN = re.compile(
    r"^<!-- setup\n(?P<setup>.*?)^-->$"
    r"|(?:^<!-- block: (?P<marker>\w+); (?P<why>[^\n]+) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block of a page: its language ("setup" where it is hidden), text, line and marker."""

    language: str
    text: str
    line: int
    marker: str
    why: str
    follows: bool  # whether only blank lines stand between it and the block before


def blocks(path: Path) -> list[Block]:
    """The blocks of a page in order."""
    text = path.read_text(encoding="utf-8")
    found = []
    end = 0
    for match in PATTERN.finditer(text):
        hidden = match["setup"] is not None
        body = match["setup"] if hidden else match["text"]
        start = match.start("setup" if hidden else "text")
        found.append(
            Block(
                "setup" if hidden else match["language"].strip(),
                body,
                text.count("\n", 0, start) + 1,
                match["marker"] or "",
                match["why"] or "",
                bool(found) and not text[end : match.start()].strip(),
            )
        )
        end = match.end()
    return found


def run(path: Path, gpu: bool = False) -> int:
    """Run a page's Python; returns how many blocks ran, raises at the first that fails."""
    names: dict[str, Any] = {"__name__": "__main__"}
    found = blocks(path)
    count = 0
    for place, block in enumerate(found):
        if block.language not in ("python", "setup") or (block.marker == "gpu" and not gpu):
            continue
        count += block.language == "python"
        if ">>>" in block.text:
            _doctest(path, block, names)
            continue
        after = found[place + 1] if place + 1 < len(found) else None
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Lines of the page stand in tracebacks.
            code = "\n" * (block.line - 1) + block.text
            exec(compile(code, str(path), "exec"), names)
        text = after is not None and after.language == "text" and after.follows
        if text and not after.marker and not matches(after.text, printed.getvalue()):
            raise AssertionError(
                f"{path.name}:{block.line}: printed\n{printed.getvalue()}\nbut the page has\n"
                f"{after.text}"
            )
    return count


def matches(expected: str, printed: str) -> bool:
    """Whether a program printed what a page shows; ``...`` stands for anything."""
    checker = doctest.OutputChecker()
    return checker.check_output(expected.rstrip() + "\n", printed.rstrip() + "\n", doctest.ELLIPSIS)


def _doctest(path: Path, block: Block, names: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(block.text, names, path.name, str(path), block.line)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    outcome = runner.run(test, out=report.write, clear_globs=False)
    names.update(test.globs)
    if outcome.failed or not outcome.attempted:
        raise AssertionError(f"{path.name}:{block.line}: {report.getvalue()}")


def main(arguments: list[str]) -> None:
    page = Path(arguments[0]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        count = run(page, gpu="--gpu" in arguments)
        os.chdir(CHECKOUT)
    print(f"{count} blocks ran")


if __name__ == "__main__":
    main(sys.argv[1:])
