"""Ctrl-C, taken between two steps instead of in the midst of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class InterruptGuard:
    """Hold back the first Ctrl-C until it is asked for; a second one is raised at once.

    Only in the main thread, and only where Python's own handler is in place: elsewhere nothing is
    changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self.between_steps = False  # whether it was taken where all in memory is whole
        self._before: Any = None

    def __enter__(self) -> InterruptGuard:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """Raise KeyboardInterrupt where Ctrl-C was pressed."""
        if self.requested:
            self.between_steps = True
            raise KeyboardInterrupt
