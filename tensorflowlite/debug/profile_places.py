"""Where an event happened: the user's line, and the modules around the start of a profile."""

from __future__ import annotations

import sys
from typing import Any

from ..nn import Module
from ..transforms.sites import is_ours

_ours: dict[str, bool] = {}  # by file; "<...>" is none


def user_line(rule: Any, rule_code: Any) -> tuple[Any, int]:
    """Return the code and the line of the user's innermost frame.

    What a gradient rule calls is at the line of its forward operation, unless code of the user's is
    in between, as a function of `checkpoint` is.
    """
    frame: Any = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        ours = _ours.get(file)
        if ours is None:
            ours = is_ours(frame)
            if not file.startswith("<"):  # such may hold anybody's code
                _ours[file] = ours
        if not ours:
            return code, frame.f_lineno
        if rule is not None and code is rule_code:
            return rule.code, rule.line
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
