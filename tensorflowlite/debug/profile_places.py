"""Where an event happened: the user's line, and the modules around the start of a profile."""

from __future__ import annotations

import sys
from typing import Any

from ..nn import Module
from ..runtime import is_ours

_USERS, _OURS, _RECORDING = range(3)
_kinds: dict[str, int] = {}  # by file, without "<...>", which may hold anybody's code
_EVENTS = frozenset(["run", "call", "watched", "apply"])  # there, what an event is around


def mark_recording(file: str) -> None:
    """Say in which file the functions are that record events."""
    _kinds[file] = _RECORDING


def user_line(parent: Any) -> tuple[Any, int]:
    """Return the code and the line of the user's innermost frame.

    Where none lies between an event and the one around it, ``parent``, it is that one's: of a
    gradient rule, the line of its operation.
    """
    frame: Any = sys._getframe(3)  # of what called the function that records
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        kind = _kinds.get(file)
        if kind is None:
            kind = _OURS if is_ours(frame) else _USERS
            if not file.startswith("<"):
                _kinds[file] = kind
        if kind == _USERS:
            return code, frame.f_lineno
        if kind == _RECORDING and parent.code is not None and code.co_name in _EVENTS:
            return parent.code, parent.line
        frame = frame.f_back
    return None, 0


def here_and_around() -> Any:
    """Return the scope of the modules that are being called in this thread."""
    found = []
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "__call__" and isinstance(frame.f_locals.get("self"), Module):
            found.append(frame.f_locals["self"])
        frame = frame.f_back
    scope: Any = None
    for module in reversed(found):
        scope = (scope, module)
    return scope
