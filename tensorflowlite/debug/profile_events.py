"""The events of a profile, as users see them, made of what was written down."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, NamedTuple

from ..nn import Module
from .profile_recording import Record, Recorder


class Event(NamedTuple):
    """Something that took time. Times are nanoseconds.

    Attributes
    ----------
    name : str
        Of the operation, the class of the module, or what else it is.
    kind : str
        ``"operation"``, ``"gradient"`` (the rule of an operation), ``"module"``, ``"backward"``,
        ``"step"``, ``"zero_grad"``, ``"data"`` (waiting for a loader), ``"jit"`` (a call of such a
        function), ``"replay"`` (of a recorded program), ``"call"`` (in a replay) or ``"thread"``:
        the profile itself, as one thread saw it, in which all else lies.
    module : str
        The path of the module; of a gradient, that of its operation. In parentheses what else it
        belongs to, as ``"(SGD.step)"``; ``""`` outside of all.
    modules : tuple of str
        That and what is around it, the outermost first.
    file, line, function : str, int, str
        The line of the user's code; of a gradient, that of its operation. ``""`` and 0 where there
        is none.
    shapes : tuple of str
        Dtypes and shapes of what goes in, of the first eight arrays.
    thread : int
        The place of its thread in ``prof.threads``.
    start, duration, self_duration : int
        From the beginning of the profile; the last one without the events inside.
    parent : int or None
        The place of the event around it in ``prof.events``.
    forward : int or None
        Of a gradient, the place of its operation.
    iteration : int
        How often `profile.step` had been called.
    device_duration : int or None
        On a GPU, between its beginning and its end in the queue of work.
    device_start : int or None
        From the first mark in that queue.
    """

    name: str
    kind: str
    module: str
    modules: tuple[str, ...]
    file: str
    line: int
    function: str
    shapes: tuple[str, ...]
    thread: int
    start: int
    duration: int
    self_duration: int
    parent: int | None
    forward: int | None
    iteration: int
    device_duration: int | None
    device_start: int | None


class _Labels:
    """The labels of scopes: a module's path, the class of one that is in no other."""

    def __init__(self) -> None:
        self._of_module: dict[int, str] = {}
        self._taken: set[str] = set()
        self._paths: dict[int, dict[int, str]] = {}
        self._of_scope: dict[int, tuple[str, ...]] = {}

    def of(self, scope: Any) -> tuple[str, ...]:
        """Return the labels of a scope and those around it, the outermost first."""
        chain = []
        while scope is not None and id(scope) not in self._of_scope:
            chain.append(scope)
            scope = scope[0]
        labels: tuple[str, ...] = () if scope is None else self._of_scope[id(scope)]
        for one in reversed(chain):
            what = one[1]
            label = self._module(one) if isinstance(what, Module) else f"({what})"
            self._of_scope[id(one)] = labels = (*labels, label)
        return labels

    def _module(self, scope: Any) -> str:
        module = scope[1]
        found = self._of_module.get(id(module))
        if found is not None:
            return found
        outer, root = scope[0], module
        while outer is not None and isinstance(outer[1], Module):
            outer, root = outer[0], outer[1]
        paths = self._paths.get(id(root))
        if paths is None:
            paths = {id(one): path for path, one in root.named_modules()}
            self._paths[id(root)] = paths
        path = paths.get(id(module), "")
        label = path or type(module).__name__
        if path and label in self._taken:
            label = f"{type(root).__name__}.{path}"
        plain, number = label, 1
        while label in self._taken:
            number += 1
            label = f"{plain} ({number})"
        self._taken.add(label)
        self._of_module[id(module)] = label
        return label


def events_of(recorder: Recorder) -> list[Event]:
    """Return what was written down as events, parents before what is inside them."""
    records: list[Record] = [one for _, _, found in recorder.threads for one in found]
    last, began = recorder.ended, recorder.began
    for number, one in enumerate(records):
        one.number = number
        one.start = min(one.start, last)
        if one.kind == "thread":
            one.end = 0 if number else last  # another thread's is as long as what is inside
        elif not one.end or one.end > last:  # under way in another thread
            one.end = last
    inside = [0] * len(records)
    for one in reversed(records):
        if one.kind == "thread":
            one.end = max(one.end, one.start)
        if one.parent is not None:
            one.parent.end = max(one.parent.end, one.end)
            inside[one.parent.number] += one.end - one.start
    labels = _Labels()
    timing = recorder.timing
    events = []
    for one in records:
        scopes = labels.of(one.scope)
        start = end = None
        if one.marks is not None:
            start, end = (*one.marks, None)[:2]
        code = one.code
        duration = one.end - one.start
        events.append(
            Event(
                one.name, one.kind, scopes[-1] if scopes else "", scopes,
                "" if code is None else code.co_filename, one.line,
                "" if code is None else code.co_name,
                tuple([f"{dtype} {tuple(shape)}" for dtype, shape in one.shapes]),
                one.thread, one.start - began, duration, duration - inside[one.number],
                None if one.parent is None else one.parent.number,
                None if one.forward is None else one.forward.number,
                bisect_right(recorder.steps, one.start),
                None if start is None else timing.between(start, end),
                None if start is None else timing.since_first(start),
            )
        )  # fmt: skip
    return events
