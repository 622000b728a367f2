"""``tensorflowlite report``: the page of a run, or of several side by side."""

from __future__ import annotations

from pathlib import Path

from ..errors import ArgumentError
from ..train import write_report
from .folders import REPORT

_COMPARISON = "comparison.html"


def report(runs: list[str], out: str | None) -> int:
    """Write the page and say where it is."""
    if out is None:
        first = Path(runs[0])
        page = (first if first.is_dir() else first.parent) / REPORT
        page = page if len(runs) == 1 else Path(_COMPARISON)
    else:
        page = Path(out)
        if page.is_dir():
            raise ArgumentError(
                f"report: --out must name a file, got the folder '{out}'; take '{page / REPORT}'"
            )
    write_report(runs, page)
    print(page)
    return 0
