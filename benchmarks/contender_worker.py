"""A contender's process, which `contenders.Process` starts.

Messages come in on standard input and answers go out on what was standard output, both pickled;
the process sleeps in ``read`` between them. Only the contender's own library is imported.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import struct
import sys
import time
import traceback
from typing import Any, BinaryIO

from .contender_base import Case, Contender, LeftOut
from .cpu_memory import give_back, peak_of, reset_peak, resident_of

# Where each contender is made, and by which function of its threads.
MAKERS = {
    "tensorflowlite": ("contender_modules", "tensorflowlite"),
    "tensorflowlite-jit": ("contender_modules", "tensorflowlite_jit"),
    "eager": ("contender_modules", "tensorflowlite"),
    "torch": ("contender_modules", "torch"),
    "torch-compile": ("contender_modules", "torch_compile"),
    "jax": ("contender_jax", "jax"),
    "numpy": ("contender_numpy", "numpy"),
    "rates": ("floors", "Rates"),
}


def make(name: str, threads: int) -> Any:
    """Return a contender by its name."""
    module, function = MAKERS[name]
    return getattr(importlib.import_module(f"{__package__}.{module}"), function)(threads)


def receive(stream: BinaryIO) -> Any:
    """Return the next message; raise `EOFError` where the other side is gone."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError("the other process is gone")
    return pickle.loads(stream.read(struct.unpack("<Q", head)[0]))


def send(stream: BinaryIO, message: Any) -> None:
    """Send a message."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(struct.pack("<Q", len(body)) + body)
    stream.flush()


class Server:
    """Answers what the program asks; the case at hand is kept between the questions."""

    def __init__(self) -> None:
        self.contender: Contender | None = None
        self.case: Case | None = None

    def open(self, name: str, threads: int) -> dict[str, str]:
        self.contender = make(name, threads)
        return self.contender.versions()

    def build(self, spec: dict[str, Any]) -> str:
        self.case = None
        gc.collect()
        assert self.contender is not None
        self.case = self.contender.build(spec)
        return self.case.digest

    def outcome(self) -> dict[str, Any]:
        assert self.case is not None
        return self.case.outcome()

    def warm(self, seconds: float, least: int) -> float:
        """Call until the time is up; return the seconds of the fastest call."""
        assert self.case is not None
        self.case.renew()
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < least or time.perf_counter() - start < seconds:
            before = time.perf_counter()
            self.case.call()
            times.append(time.perf_counter() - before)
        return min(times)

    def run(self, number: int) -> float:
        """Return the seconds per call of a run; one call before it isn't counted."""
        assert self.case is not None
        call = self.case.call
        self.case.renew()
        call()
        start = time.perf_counter()
        for _ in range(number):
            call()
        return (time.perf_counter() - start) / number

    def memory(self, first: int, calls: int) -> dict[str, int]:
        """Return the bytes resident before any call, and the most in the first ones and later."""
        assert self.case is not None
        gc.collect()
        if self.contender is not None:
            self.contender.release()
        give_back()
        reset_peak()
        before = resident_of()
        self.case.renew()
        peaks = []
        for number in (first, calls):
            for _ in range(number):
                self.case.call()
            peaks.append(peak_of())
            reset_peak()
        return {"before": before, "first_peak": peaks[0], "peak": peaks[1]}

    def measure(self, **how: Any) -> dict[str, Any]:
        """Return the rates of products and copies, where this process measures them."""
        return self.contender.measure(**how)  # type: ignore[union-attr]

    def answer(self, question: tuple[str, dict[str, Any]]) -> tuple[str, Any]:
        name, arguments = question
        try:
            return "done", getattr(self, name)(**arguments)
        except LeftOut as reason:
            return "left out", str(reason)
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            return "error", (text, traceback.format_exc())


def main(arguments: list[str]) -> int:
    """Answer until the other side closes its end."""
    del arguments
    # What a library prints must not end up among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions = sys.stdin.buffer
    server = Server()
    while True:
        try:
            question = receive(questions)
        except EOFError:
            return 0
        send(answers, server.answer(question))
