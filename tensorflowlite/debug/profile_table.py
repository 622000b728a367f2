"""The table of a profile: what took the time, by module, by operation or by line."""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .profile_events import Event

KEYS = ("module", "operation", "line")
SORTS = ("self", "total", "calls", "name")
_WIDEST = 68
_OUTSIDE = "(outside)"
_WORK = ("operation", "gradient", "call")


class Row(NamedTuple):
    """One line of the table; nanoseconds. ``device`` is None where no GPU was timed."""

    name: str
    own: int
    total: int
    calls: int
    device: int | None


def rows_of(events: Sequence[Event], by: str) -> list[Row]:
    """Return a row per module, operation or line. Their own times add up to the whole."""
    key = {"module": _module, "operation": _operation, "line": _line}[by]
    keys = [key(one) for one in events]
    own: dict[str, int] = dict.fromkeys(keys, 0)
    total, calls = dict(own), dict(own)
    device: dict[str, int | None] = dict.fromkeys(keys)
    timed_around = _timed_around(events)
    for place, (one, name) in enumerate(zip(events, keys, strict=True)):
        own[name] += one.self_duration
        if by == "module":
            calls[name] += one.kind not in (*_WORK, "thread", "jit")
            for scope in dict.fromkeys(one.modules or (_OUTSIDE,)):
                total[scope] = total.get(scope, 0) + one.self_duration
        else:
            calls[name] += 1
            if not _is_inside_another(events, keys, place):
                total[name] += one.duration
        if one.device_duration is not None and not timed_around[place]:
            device[name] = (device[name] or 0) + one.device_duration
    # A module that was entered before the profile began has no event of its own.
    return [
        Row(name, own.get(name, 0), total[name], calls.get(name, 0), device.get(name))
        for name in total
    ]


def _is_inside_another(events: Sequence[Event], keys: Sequence[str], place: int) -> bool:
    """Whether an event lies in another one of its row: then that has its time already."""
    parent = events[place].parent
    while parent is not None:
        if keys[parent] == keys[place]:
            return True
        parent = events[parent].parent
    return False


def _timed_around(events: Sequence[Event]) -> list[bool]:
    """Return for each event whether its time on a GPU counts with another one, or is no work."""
    within: list[bool] = []
    found = []
    for one in events:
        inside = one.parent is not None and within[one.parent]
        work = one.kind in (*_WORK, "replay")
        found.append(inside or not work)
        within.append(inside or work)
    return found


def _module(event: Event) -> str:
    return event.module or _OUTSIDE


def _operation(event: Event) -> str:
    if event.kind == "operation" or event.kind in ("replay", "jit", "step", "zero_grad", "data"):
        return event.name
    if event.kind == "thread":
        return _OUTSIDE
    words = {"gradient": "gradient", "module": "module", "call": "replayed", "backward": "pass"}
    return f"{event.name} ({words[event.kind]})"


def _line(event: Event) -> str:
    if not event.line:
        return _OUTSIDE
    return f"{_short(event.file)}:{event.line} {linecache.getline(event.file, event.line).strip()}"


def _short(file: str) -> str:
    try:
        relative = os.path.relpath(file)
    except ValueError:  # on another drive
        return file
    return file if relative.startswith("..") else relative


# -- text ------------------------------------------------------------------------------------------
def duration(nanoseconds: float) -> str:
    """Return a time with three digits and its unit.

    Examples
    --------
    >>> duration(1234567), duration(999.7e3), duration(87)
    ('1.23 ms', '1.00 ms', '87 ns')
    """
    for unit, size in (("s ", 1e9), ("ms", 1e6), ("us", 1e3)):
        value = nanoseconds / size
        if value >= 0.9995:
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {unit}"
    return f"{nanoseconds:.0f} ns"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def text_of(
    events: Sequence[Event], by: str, sort: str, limit: int | None, notes: Iterable[str]
) -> str:
    """Return the table as text."""
    whole = sum(one.self_duration for one in events)
    rows = rows_of(events, by)
    order: dict[str, Callable[[Row], object]] = {
        "self": lambda row: -row.own,
        "total": lambda row: -row.total,
        "calls": lambda row: -row.calls,
        "name": lambda row: row.name,
    }
    rows.sort(key=order[sort])  # type: ignore[arg-type]
    shown = rows if limit is None else rows[:limit]
    on_gpu = any(row.device is not None for row in rows)
    header = [by, "self", "self %", "total", "total %", "calls"] + ["GPU"] * on_gpu
    lines = [
        [
            _fitting(row.name), duration(row.own), _percent(row.own, whole), duration(row.total),
            _percent(row.total, whole), str(row.calls),
        ] + ([("-" if row.device is None else duration(row.device))] if on_gpu else [])
        for row in shown
    ]  # fmt: skip
    rest = len(rows) - len(shown)
    if rest:
        others = sum(row.own for row in rows[len(shown) :])
        lines.append([f"({rest} more)", duration(others), _percent(others, whole)])
    lines.append(["all", duration(whole), _percent(whole, whole)])
    table = [header, *[line + [""] * (len(header) - len(line)) for line in lines]]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    text = ["  ".join(_aligned(line, widths)).rstrip() for line in table]
    ruler = "-" * sum(widths, 2 * (len(widths) - 1))
    text[1:1] = [ruler]
    text[-1:-1] = [ruler]
    return "\n".join([*text, *notes])


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [line[0].ljust(widths[0])] + [
        cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
    ]


def _fitting(name: str) -> str:
    # A name is one line of printable text, whatever a class or a file is called.
    name = "".join([one if one.isprintable() else "?" for one in name])
    return name if len(name) <= _WIDEST else name[: _WIDEST - 3] + "..."
