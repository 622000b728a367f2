"""A profile as a trace in Chrome's format, which Perfetto and ``chrome://tracing`` show."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .profile_events import Event

_ITERATIONS, _DEVICE = 1, 2  # rows of their own, beside those of threads


def trace_of(
    events: Sequence[Event], threads: Sequence[tuple[int, str]], steps: Sequence[int], whole: int,
    notes: Sequence[str],
) -> bytes:  # fmt: skip
    """Return the file's content.

    Parameters
    ----------
    events
        All of them.
    threads
        The number and the name of each thread.
    steps
        When an iteration ended.
    whole
        How long the profile was.
    notes
        What a reader should know.
    """
    process = os.getpid()
    # A thread's own number may be one of the rows': process and thread are the same on Linux.
    rows = {place: place + 10 for place in range(len(threads))}
    found: list[dict[str, Any]] = [_named("process_name", process, 0, "tensorflowlite")]
    for place, (number, name) in enumerate(threads):
        found.append(_named("thread_name", process, rows[place], f"{name} ({number})"))
    for place, one in enumerate(events):
        at = {"pid": process, "tid": rows[one.thread]}
        found.append(
            {
                "ph": "X", "name": one.name, "cat": one.kind, **at, "ts": one.start / 1e3,
                "dur": one.duration / 1e3, "args": _told(one),
            }
        )  # fmt: skip
        if one.forward is not None:
            origin = events[one.forward]
            # Both ends lie inside of their events, else they would belong to what is around.
            flow = {"cat": "gradient", "name": "gradient", "id": place, "pid": process}
            found.append(
                {**flow, "ph": "s", "tid": rows[origin.thread], "ts": _middle(origin)}
            )
            found.append(
                {**flow, "ph": "f", "bp": "e", "tid": rows[one.thread], "ts": _middle(one)}
            )
    found += _iterations(process, steps, whole)
    found += _on_device(process, events)
    content = {
        "traceEvents": found,
        "displayTimeUnit": "ms",
        "otherData": {"made by": "tensorflowlite", "notes": list(notes)},
    }
    return json.dumps(content, allow_nan=False).encode("ascii")


def _named(what: str, process: int, row: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": row, "args": {"name": name}}


def _middle(event: Event) -> float:
    return (event.start + event.duration / 2) / 1e3


def _told(event: Event) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if event.module:
        told["module"] = event.module
    if event.line:
        told["line"] = f"{event.file}:{event.line}, in {event.function}"
    if event.shapes:
        told["shapes"] = list(event.shapes)
    if event.device_duration is not None:
        told["GPU ms"] = event.device_duration / 1e6
    return told


def _iterations(process: int, steps: Sequence[int], whole: int) -> list[dict[str, Any]]:
    if not steps:
        return []
    found = [_named("thread_name", process, _ITERATIONS, "iterations")]
    bounds = [0, *steps, whole]
    for number, (start, end) in enumerate(pairwise(bounds)):
        found.append(
            {
                "ph": "X", "name": f"iteration {number}", "cat": "iteration", "pid": process,
                "tid": _ITERATIONS, "ts": start / 1e3, "dur": (end - start) / 1e3, "args": {},
            }
        )  # fmt: skip
    return found


def _on_device(process: int, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return what a GPU did, by its own clock: the first mark is where its event began."""
    timed = [one for one in events if one.device_duration is not None]
    if not timed:
        return []
    first = min(timed, key=lambda one: one.device_start or 0)
    offset = first.start - (first.device_start or 0)
    found = [_named("thread_name", process, _DEVICE, "GPU")]
    for one in timed:
        if one.kind in ("operation", "gradient", "call", "replay"):
            found.append(
                {
                    "ph": "X", "name": one.name, "cat": f"GPU {one.kind}", "pid": process,
                    "tid": _DEVICE, "ts": (offset + (one.device_start or 0)) / 1e3,
                    "dur": (one.device_duration or 0) / 1e3, "args": _told(one),
                }
            )  # fmt: skip
    return found
