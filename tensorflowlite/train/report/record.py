"""The file of a report: what was measured, as JSON; written whole, and read with care."""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import re
import struct
from pathlib import Path
from typing import Any

from ...errors import ArgumentError, DataError
from ...io.files import parse_json
from ..history import higher_is_better
from .pictures import SIGNATURE

FORMAT, VERSION = "tensorflowlite.report", 1
FILE = "report.json"
METRICS, CONFIG = "metrics.jsonl", "config.json"  # what a run without a report may have
_LARGEST = 64 << 20  # bytes
_MOST = 100_000  # epochs, and elements of any list
_SIDE = 512
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


# -- forms -----------------------------------------------------------------------------------------

_NUMBER, _MAYBE, _TEXT, _COUNT, _FLAG, _PLAIN = "number", "maybe", "text", "count", "flag", "plain"
_PICTURE = {"data": _TEXT, "width": _COUNT, "height": _COUNT}
_WORST = {"index": _COUNT, "true": _MAYBE, "predicted": _MAYBE, "loss": _MAYBE,
          "values": [_MAYBE], "picture": ("optional", _PICTURE)}  # fmt: skip
_FORMS: dict[str, Any] = {
    "name": _TEXT, "reason": _TEXT, "monitor": _TEXT, "planned": _COUNT, "best": _COUNT,
    "history": [("map", _MAYBE)],
    "times": [{"epoch": _COUNT, "samples": _COUNT, "loading": _NUMBER, "step": _NUMBER,
               "validation": _NUMBER, "rest": _NUMBER}],
    "steps": {"every": _COUNT, "total": _COUNT, "by_module": _FLAG, "names": [_TEXT],
              "step": [_COUNT], "loss": [_MAYBE], "rate": [_MAYBE], "norm": [_MAYBE],
              "gradient": [[_MAYBE]],
              "ratio": [[_MAYBE]]},
    "predictions": ("optional", {
        "part": _TEXT, "kind": _TEXT, "samples": _COUNT, "cut": _FLAG,
        "measures": ("map", _MAYBE), "classes": [_TEXT], "confusion": [[_COUNT]],
        "points": [[_MAYBE]], "worst": [_WORST], "features": [_TEXT],
    }),
    "model": ("optional", {
        "kind": _TEXT, "total": _COUNT, "trainable": _COUNT, "left_out": _COUNT,
        "modules": [{"path": _TEXT, "kind": _TEXT, "shape": ("optional", [_COUNT]),
                     "parameters": _COUNT}],
    }),
    "configuration": ("map", _PLAIN), "environment": ("map", _TEXT), "notes": [_TEXT],
}  # fmt: skip


# What is drawn or listed whole: the most of it that a run writes, with room to grow.
_LENGTHS = {
    "steps.names": 256, "steps.step": 1000, "predictions.worst": 100, "predictions.points": 10_000,
    "predictions.confusion": 200, "model.modules": 2000, "configuration": 1000,
    "environment": 200, "notes": 100,
}  # fmt: skip


def _fits(value: Any, form: Any, path: str) -> None:
    """Raise a ``ValueError`` with the path unless a value is of a form."""
    if isinstance(form, str):
        if not _is(value, form):
            raise ValueError(path)
    elif isinstance(form, list):
        if not isinstance(value, list) or len(value) > _MOST:
            raise ValueError(path)
        for place, one in enumerate(value):
            _fits(one, form[0], f"{path}[{place}]")
    elif isinstance(form, tuple):
        if form[0] == "optional":
            if value is not None:
                _fits(value, form[1], path)
            return
        if not isinstance(value, dict) or len(value) > _MOST:
            raise ValueError(path)
        for key, one in value.items():
            _fits(one, form[1], f"{path}.{key}")
    else:
        if not isinstance(value, dict):
            raise ValueError(path)
        for key, inner in form.items():
            inside = f"{path}.{key}" if path else key
            if key not in value:
                raise ValueError(inside)
            _fits(value[key], inner, inside)


def _is(value: Any, form: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (abs(value) > 1e300 or not math.isfinite(value)):
        return form == _PLAIN and isinstance(value, int)
    if form == _COUNT:
        return number and isinstance(value, int) and 0 <= value < 2**63
    if form == _NUMBER:
        return number
    if form == _MAYBE:
        return value is None or number
    if form == _TEXT:
        return isinstance(value, str)
    if form == _FLAG:
        return isinstance(value, bool)
    return value is None or number or isinstance(value, str | bool)


def _check(run: dict[str, Any]) -> None:
    """Raise a ``ValueError`` where the parts of a run don't belong together."""
    _fits(run, _FORMS, "")
    for path, most in _LENGTHS.items():
        held = run
        for key in path.split("."):
            held = (held or {}).get(key) or {}
        if len(held) > most:
            raise ValueError(path)
    epochs = [record.get("epoch") for record in run["history"]]
    if epochs != list(range(1, len(epochs) + 1)):
        raise ValueError("history: the epochs")
    if run["best"] > len(epochs):
        raise ValueError("best")
    steps = run["steps"]
    length, rows = len(steps["step"]), len(steps["names"])
    for name in ("loss", "rate", "norm"):
        if len(steps[name]) != length:
            raise ValueError(f"steps.{name}")
    for name in ("gradient", "ratio"):
        if len(steps[name]) != rows or any(len(row) != length for row in steps[name]):
            raise ValueError(f"steps.{name}")
    found = run["predictions"]
    if found is None:
        return
    size = len(found["classes"])
    if found["kind"] not in ("", "classification", "regression"):
        raise ValueError("predictions.kind")
    if found["kind"] != "classification" and (found["classes"] or found["confusion"]):
        raise ValueError("predictions.classes")
    if found["confusion"] and [len(row) for row in found["confusion"]] != [size] * size:
        raise ValueError("predictions.confusion")
    if any(len(point) != 2 for point in found["points"]):
        raise ValueError("predictions.points")
    for place, one in enumerate(found["worst"]):
        if found["kind"] == "classification":
            for name in ("true", "predicted"):
                if not isinstance(one[name], int) or not 0 <= one[name] < size:
                    raise ValueError(f"predictions.worst[{place}].{name}")
            for name in ("chance", "chance_true"):
                _fits(one.get(name, ""), _MAYBE, f"predictions.worst[{place}].{name}")
        if one["picture"] is not None:
            _check_picture(one["picture"], f"predictions.worst[{place}].picture")


def _check_picture(picture: dict[str, Any], path: str) -> None:
    sides = (picture["width"], picture["height"])
    if not 0 < min(sides) <= max(sides) <= _SIDE or not picture["data"].isascii():
        raise ValueError(path)
    try:
        content = base64.b64decode(picture["data"], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(path) from None
    # What a browser takes memory for is what the picture's own head says.
    head = SIGNATURE + struct.pack(">I4sII", 13, b"IHDR", *sides)
    if not content.startswith(head):
        raise ValueError(path)


# -- files -----------------------------------------------------------------------------------------
def encode(run: dict[str, Any]) -> bytes:
    """Return the bytes of a report's file."""
    whole = {"format": FORMAT, "version": VERSION, **run}
    text = json.dumps(whole, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def read_run(place: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what was measured in a run: of its folder, or of its ``report.json``.

    A folder that has no such file, but the ``metrics.jsonl`` of a training, gives what that holds.

    Raises
    ------
    ArgumentError
        Where there is no such run.
    DataError
        Where its files can't be read, or are damaged.
    """
    path = Path(os.fsdecode(place))
    if path.is_dir():
        if (path / FILE).is_file():
            return _read(path / FILE)
        if (path / METRICS).is_file():
            return _from_metrics(path)
        inside = [file.parent for name in (FILE, METRICS) for file in path.glob(f"*/{name}")]
        take = f"take '{min(inside)}'" if inside else "name the folder that a training wrote"
        raise ArgumentError(
            f"report: a run must have a {FILE} or a {METRICS}, got the folder '{path}' without; "
            f"{take}"
        )
    if not path.exists():
        raise ArgumentError(f"report: the run must exist, got no file or folder '{path}'")
    return _read(path)


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise DataError(f"report: the file of a run must be a plain one, got '{path}'")
        if path.stat().st_size > _LARGEST:
            raise DataError(
                f"report: the file must have at most {_LARGEST >> 20} MiB, got "
                f"{path.stat().st_size >> 20} MiB; '{path}' isn't what a run wrote"
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"report: the file must be one that can be read, got '{error.strerror}' for '{path}'"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    content = _bytes(path)
    try:
        run = parse_json(content)
    except (ValueError, RecursionError):
        raise DataError(
            f"report: the file must be the {FILE} of a run, got no JSON; '{path}' is damaged, or "
            "another file"
        ) from None
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise DataError(
            f"report: the file must be the {FILE} of a run, got other JSON; '{path}' is another "
            "file"
        )
    if run.get("version") != VERSION:
        raise DataError(
            f"report: the {FILE} must have format version {VERSION}, got "
            f"{run.get('version')!s:.20}; '{path}' was written by another tensorflowlite"
        )
    try:
        _check(run)
    except ValueError as error:
        raise DataError(
            f"report: the file must be as the run wrote it, got another value at "
            f"'{error!s:.120}'; '{path}' is damaged or was changed"
        ) from None
    return run


def _from_metrics(folder: Path) -> dict[str, Any]:
    path = folder / METRICS
    records, last = [], 0
    for number, line in enumerate(_bytes(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
            _fits(record, ("map", _MAYBE), "")
            if record.get("epoch") != last + 1:
                raise ValueError("epoch")
        except (ValueError, RecursionError):
            raise DataError(
                f"report: the lines of {METRICS} must be the records of epochs in their order, got "
                f"another one in line {number} of '{path}'"
            ) from None
        last = record["epoch"]
        records.append(record)
        if last > _MOST:
            raise DataError(f"report: {METRICS} must have at most {_MOST} epochs, got more")
    run = empty(folder.resolve().name or str(folder))
    run["history"] = records
    monitor = "validation_loss" if any("validation_loss" in one for one in records) else "loss"
    run["monitor"], run["best"] = monitor, best_epoch(records, monitor)
    run["notes"] = [f"This run has no {FILE}: what is here was read from its {METRICS}."]
    if (folder / CONFIG).is_file():
        run |= _from_config(folder / CONFIG)
    return run


def _from_config(path: Path) -> dict[str, Any]:
    from .environment import plain

    try:
        config = parse_json(_bytes(path))
        parts = {name: config.get(name) or {} for name in ("options", "versions")}
        found = plain({"task": config.get("task"), **parts["options"]})
        versions = {str(name): str(value) for name, value in parts["versions"].items()}
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise DataError(
            f"report: the {CONFIG} of a run must be as it was written, got a damaged one; '{path}'"
        ) from None
    return {"configuration": found, "environment": versions}


def empty(name: str) -> dict[str, Any]:
    """Return a run of which nothing is known."""
    return {
        "name": name, "reason": "", "monitor": "loss", "planned": 0, "best": 0, "history": [],
        "times": [],
        "steps": {"every": 1, "total": 0, "by_module": False, "names": [], "step": [], "loss": [],
                  "rate": [], "norm": [], "gradient": [], "ratio": []},
        "predictions": None, "model": None, "configuration": {}, "environment": {}, "notes": [],
    }  # fmt: skip


def best_epoch(records: list[dict[str, Any]], monitor: str) -> int:
    """Return the epoch of the best value, the first of equals; 0 where none is finite."""
    sign = -1.0 if higher_is_better(monitor) else 1.0
    found = [
        (sign * value, record["epoch"])
        for record in records
        if (value := record.get(monitor)) is not None and math.isfinite(value)
    ]
    return int(min(found)[1]) if found else 0


def safe(text: str) -> str:
    """Return text without characters that XML knows not, or that turn the writing around."""
    return _UNSAFE.sub("\ufffd", text)
