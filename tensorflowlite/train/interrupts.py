"""Ctrl-C and SIGTERM, taken between two steps instead of in the midst of one."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any


class Terminated(SystemExit):
    """The end of a training that SIGTERM asked for; the process's exit code is 143."""


class InterruptGuard:
    """Hold back the first Ctrl-C, and SIGTERM, until they are asked for.

    A Ctrl-C after one of them is raised at once. Only in the main thread, and only where Python's
    own handlers are in place: elsewhere nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = 0  # the signal that came first
        self.between_steps = False  # whether it was taken where all in memory is whole
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():
            for number, usual in (
                (signal.SIGINT, signal.default_int_handler),
                (signal.SIGTERM, signal.SIG_DFL),
            ):
                if signal.getsignal(number) is usual:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A fork, of a data pipeline's workers say: its signals do what they did before.
            self.__exit__()
            os.kill(os.getpid(), number)
            return
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = self.requested or number

    def check(self) -> None:
        """Raise KeyboardInterrupt where Ctrl-C was pressed, `Terminated` where SIGTERM came."""
        if self.requested:
            self.between_steps = True
            if self.requested == signal.SIGTERM:
                raise Terminated(128 + self.requested)
            raise KeyboardInterrupt
