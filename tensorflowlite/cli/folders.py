"""The folder of a run: a new one, one to go on with, or one to write over."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, DataError
from ..io import WriteError, write_atomically
from ..io.files import temporaries
from ..train.checkpoint import earlier

MODEL = "model.safetensors"
METRICS = "metrics.jsonl"
CONFIG = "config.json"
CURVES = "curves.png"
REPORT, RECORD = "report.html", "report.json"
CHECKPOINT = "checkpoint.safetensors"
_FILES = (MODEL, METRICS, CONFIG, CURVES, REPORT, RECORD, CHECKPOINT)
_RUNS = "runs"


def check_free(out: str | None, overwrite: bool) -> None:
    """Raise where ``--out`` names something that a new run would spoil."""
    if out is None:
        return
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(
            f"train: --out must name a folder, got the file '{out}'; name another one"
        )
    held = _held(folder)
    if held and not overwrite:
        more = ", ..." if len(held) > 3 else ""
        raise ArgumentError(
            f"train: --out must name a new or an empty folder, got '{out}' with "
            f"{', '.join(held[:3])}{more}; add --resume to go on with its run, or --overwrite"
        )


def _held(folder: Path) -> list[str]:
    """Return what is in a folder, but for what a killed process had begun to write."""
    return sorted(set(os.listdir(folder)) - set(temporaries(folder))) if folder.is_dir() else []


def make(out: str | None, task: str, model: str) -> Path:
    """Return the run's folder, made and free of the files of a run.

    Without ``out`` it is ``runs/TASK-MODEL-NNN`` with the next free number. Of a folder that is
    written over only the files of a run are taken away.
    """
    try:
        if out is None:
            return _next_free(f"{task}-{model}")
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        older = [Path(path) for path in earlier(folder / CHECKPOINT)]
        for path in [*(folder / name for name in _FILES), *older]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(
            f"train: the folder of the run must be one that can be made, got '{error.strerror}' "
            f"for '{out or error.filename}'; name another with --out"
        ) from error
    return folder


def _next_free(name: str) -> Path:
    runs = Path(_RUNS)
    runs.mkdir(exist_ok=True)
    number = 1 + max(_numbers(name), default=0)
    while True:
        folder = runs / f"{name}-{number:03d}"
        try:
            # mkdir decides between two runs that begin at once.
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def _numbers(name: str) -> list[int]:
    runs = Path(_RUNS)
    if not runs.is_dir():
        return []
    matches = (re.fullmatch(re.escape(name) + r"-(\d+)", entry) for entry in os.listdir(runs))
    return [int(match[1]) for match in matches if match]


def find(out: str | None, task: str, model: str, where: str) -> Path | None:
    """Return the folder of the run to resume, None where there is none yet.

    It is ``out``, the folder of the checkpoint ``where``, or the newest of the task and model.
    """
    if where != "auto" and not Path(where).is_file() and not earlier(where):
        what = "the folder" if Path(where).is_dir() else "no file"
        raise ArgumentError(
            f"train: --resume must name a checkpoint's file or nothing, got {what} '{where}'; that "
            "of a run is named by --out"
        )
    if out is None and where != "auto":
        return Path(where).parent
    if out is None:
        name = f"{task}-{model}"
        with_run = [
            n for n in _numbers(name) if (Path(_RUNS) / f"{name}-{n:03d}" / CONFIG).exists()
        ]
        return Path(_RUNS) / f"{name}-{max(with_run):03d}" if with_run else None
    folder = Path(out)
    if where != "auto" or any((folder / name).is_file() for name in (CONFIG, CHECKPOINT)):
        return folder
    held = _held(folder)
    if held:
        raise ArgumentError(
            f"train: --resume must find a run in '{out}', got a folder with "
            f"{', '.join(held[:3])}{', ...' if len(held) > 3 else ''} and no {CONFIG}; name that "
            "of a run, or a new one"
        )
    return None


def read_config(folder: Path, task: str) -> dict[str, Any]:
    """Return the ``config.json`` of a run of the task."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found, _, _ = config["task"], config["options"], config["source"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"train: --resume must find the {CONFIG} of a run, got {type(error).__name__} for "
            f"'{path}'; it is missing or damaged"
        ) from None
    if found != task:
        raise ArgumentError(
            f"train: --resume must name a run of the same task, got a run of {found} in "
            f"'{folder}'; type: tensorflowlite train {found} --resume"
        )
    return dict(config)


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write ``config.json``."""
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / CONFIG, text.encode(), op="config")
