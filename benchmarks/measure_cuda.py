"""Timing on a GPU: events around each call, cold caches, contenders in turn; the CPU's stand-in.

The contenders of a row take turns within each round, so that what a clock or a neighbour does to
the machine happens to all of them. Before each timed call a buffer larger than the second-level
cache is written, outside the timed span; that also gives the host time to hand over the call.
"""

from __future__ import annotations

import contextlib
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

Call = Callable[[], Any]


@dataclass(frozen=True)
class Measurement:
    """The milliseconds of one call: median, 10th and 90th percentile, and how many were taken."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, times: list[float]) -> Measurement:
        """Return the measurement of some times in milliseconds."""
        ordered = sorted(times)
        last = len(ordered) - 1
        return cls(
            statistics.median(ordered),
            ordered[round(0.1 * last)],
            ordered[round(0.9 * last)],
            len(ordered),
        )

    def as_json(self) -> dict[str, Any]:
        """Return what a result file holds of it."""
        return {
            "median_ms": float(f"{self.median:.5g}"),
            "low_ms": float(f"{self.low:.5g}"),
            "high_ms": float(f"{self.high:.5g}"),
            "iterations": self.count,
        }


class Timer(Protocol):
    """Times one call; tests have one of their own."""

    def once(self, call: Call) -> float:
        """Return the milliseconds of a call on cold caches."""

    def many(self, call: Call, number: int) -> float:
        """Return the milliseconds per call of a run of calls, the host's share with them."""

    def synchronize(self) -> None:
        """Wait until the device is done."""


class CudaTimer:
    """CUDA events on CuPy's current stream."""

    def __init__(self, cupy: Any) -> None:
        self._cuda = cupy.cuda
        self._start, self._end = self._cuda.Event(), self._cuda.Event()
        device = self._cuda.runtime.getDevice()
        cache = self._cuda.runtime.getDeviceProperties(device)["l2CacheSize"]
        self._flushed = cupy.empty(max(4 * cache, 2**26), cupy.uint8)
        self._value = 0

    def flush(self) -> None:
        """Write a buffer of four times the second-level cache, several times.

        Half a millisecond of it: the host has handed over the call before its time begins.
        """
        for _ in range(10):
            self._value = (self._value + 1) % 256
            self._flushed.data.memset_async(self._value, self._flushed.nbytes)

    def once(self, call: Call) -> float:
        self.flush()
        self._start.record()
        call()
        self._end.record()
        self._end.synchronize()
        return float(self._cuda.get_elapsed_time(self._start, self._end))

    def many(self, call: Call, number: int) -> float:
        self.synchronize()
        start = time.perf_counter()
        for _ in range(number):
            call()
        self.synchronize()
        return (time.perf_counter() - start) / number * 1e3

    def synchronize(self) -> None:
        self._cuda.runtime.deviceSynchronize()


class CpuTimer:
    """The host's clock, for running the same rows on NumPy."""

    def once(self, call: Call) -> float:
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e3

    def many(self, call: Call, number: int) -> float:
        start = time.perf_counter()
        for _ in range(number):
            call()
        return (time.perf_counter() - start) / number * 1e3

    def synchronize(self) -> None:
        pass


@dataclass(frozen=True)
class Plan:
    """How often a row is timed."""

    iterations: int = 50
    warm_up: int = 3
    number: int = 200  # calls in a run, where the host's share is what a row is about
    least: int = 5
    seconds: float = 20.0  # for all contenders together; no fewer than `least` rounds

    @classmethod
    def quick(cls) -> Plan:
        """Return a plan for a look, or for a test."""
        return cls(iterations=5, warm_up=1, number=5, least=2, seconds=2.0)


def interleaved(
    timer: Timer,
    calls: dict[str, Call],
    plan: Plan,
    hosted: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Time contenders in turn.

    Parameters
    ----------
    timer, calls, plan
        What times, what is timed, and how often.
    hosted
        Time runs of calls by the host's clock: for rows about the host's own work.

    Returns
    -------
    measurements : dict of Measurement
    failed : dict of str
        What the others raised. One that raises is left out of the rounds that follow.
    """
    failed: dict[str, str] = {}
    times: dict[str, list[float]] = {name: [] for name in calls}
    once = (lambda call: timer.many(call, plan.number)) if hosted else timer.once

    def turn(name: str, times_it: bool) -> None:
        try:
            taken = once(calls[name])
        except Exception as error:
            failed[name] = described(error)
        else:
            if times_it:
                times[name].append(taken)

    start = clock()
    for _ in range(plan.warm_up):
        for name in calls:
            if name not in failed:
                turn(name, False)
    rounds = max(plan.least, plan.iterations // 5) if hosted else plan.iterations
    for done in range(rounds):
        if done >= plan.least and clock() - start > plan.seconds:
            break
        for name in calls:
            if name not in failed:
                turn(name, True)
    return {
        name: Measurement.of(taken) for name, taken in times.items() if name not in failed
    }, failed


def described(error: BaseException) -> str:
    """Return an exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


class TimeLimit(Exception):
    """What was to be done took too long."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TimeLimit` in the block once the time is up; no limit off the main thread."""
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not usable or seconds == float("inf"):
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeLimit(f"took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
