"""Pages from what runs measured: one run's, or several side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ...errors import ArgumentError, DataError
from ...io import write_atomically
from ..curves import require_matplotlib
from .record import CONFIG, FILE, METRICS, read_run

FilePath = str | os.PathLike[str]


def write_report(runs: FilePath | Sequence[FilePath], path: FilePath) -> None:
    """Write a page about a run, or about several side by side, as one HTML file.

    Parameters
    ----------
    runs : str, path, or sequence of them
        Folders in which `Report` left its ``report.json``, or such files. Of a folder with a
        ``metrics.jsonl`` alone the curves are shown. The page of several runs has their curves on
        common axes, their results, and how their settings differ.
    path : str or path
        The page. It needs no network and no JavaScript.

    Raises
    ------
    ArgumentError
        Where there is no such run, or the page would be written over its files.
    DataError
        Where a file is damaged, or no epoch was measured.
    WriteError
        Where the page can't be written.
    MissingDependencyError
        Where matplotlib isn't installed.

    Examples
    --------
    >>> import os, tempfile
    >>> from tensorflowlite.train import write_report
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(os.path.join(folder, "metrics.jsonl"), "w") as file:
    ...         _ = file.write('{"epoch": 1, "loss": 0.5}')
    ...     write_report(folder, os.path.join(folder, "report.html"))
    ...     sorted(os.listdir(folder))
    ['metrics.jsonl', 'report.html']
    """
    places = [runs] if isinstance(runs, str | os.PathLike) else list(runs)
    if not places:
        raise ArgumentError("report: at least one run must be named, got none")
    _check_apart(places, path)
    require_matplotlib("report")
    found = [read_run(place) for place in places]
    for place, run in zip(places, found, strict=True):
        if not run["history"] and not run["steps"]["step"]:
            raise DataError(
                f"report: a run must have measured something, got no epoch and no step in '{place}'"
            )
    write_atomically(path, page_of(found).encode(), op="report")


def _check_apart(places: Sequence[FilePath], path: FilePath) -> None:
    """Raise where the page would be written over what a run has measured."""
    target = os.path.realpath(os.fsdecode(path))
    for place in map(os.fsdecode, places):
        held = [place, *(os.path.join(place, name) for name in (FILE, METRICS, CONFIG))]
        if target in map(os.path.realpath, held):
            raise ArgumentError(
                f"report: the page must be a file of its own, got '{target}', which holds what "
                "the run measured; take 'report.html'"
            )


def page_of(runs: list[dict[str, Any]]) -> str:
    """Return the page of runs as HTML."""
    if len(runs) == 1:
        from .single import single

        return single(runs[0])
    from .comparison import comparison

    return comparison(runs)
