"""Where in the user's code something happened."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from typing import Any

from ..runtime import is_ours


def _described(file: str, line: int, function: str) -> str:
    source = linecache.getline(file, line).strip()
    where = f"{file}:{line}, in {function}"
    return f"{where}: {source}" if source else where


def user_frames() -> Iterator[Any]:
    """Yield the frames of the user's own code, the innermost first."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if not is_ours(frame) and not frame.f_code.co_filename.startswith("<frozen"):
            yield frame
        frame = frame.f_back


def user_line(error: BaseException) -> str:
    """Return the innermost line of the user's own code that an error came through; "" if none."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if not is_ours(frame) and not frame.f_code.co_filename.startswith("<"):
            found = _described(frame.f_code.co_filename, trace.tb_lineno, frame.f_code.co_name)
        trace = trace.tb_next
    return found


class Site:
    """Where an operation was called: the user's line, and the modules around it."""

    __slots__ = ("file", "line", "function", "modules")

    def __init__(self) -> None:
        self.file, self.line, self.function = "", 0, ""
        self.modules: tuple[Any, Any] | None = None  # the innermost and the outermost
        frame: Any = sys._getframe(2)
        while frame is not None:
            code = frame.f_code
            if not is_ours(frame):
                if not self.file:
                    self.file, self.line = code.co_filename, frame.f_lineno
                    self.function = code.co_name
            elif code.co_name == "__call__":
                module = frame.f_locals.get("self")
                if hasattr(module, "named_modules"):
                    inner = module if self.modules is None else self.modules[0]
                    self.modules = (inner, module)
            frame = frame.f_back

    def path(self) -> str:
        """Return the path of the module that called the operation; "" outside of any."""
        if self.modules is None:
            return ""
        inner, outer = self.modules
        return next((path for path, one in outer.named_modules() if one is inner), "")

    def __str__(self) -> str:
        return _described(self.file, self.line, self.function)
