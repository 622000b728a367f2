"""The contenders' processes as the program sees them: questions, turns, agreement."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contender_base import LeftOut
from .contender_worker import receive, send
from .cpu_load import Elsewhere

START = Path(__file__).resolve().with_name("start.py")
OURS = "tensorflowlite"
PEERS = ("torch", "torch-compile", "jax", "numpy", "eager")


class Failed(Exception):
    """A contender raised, or its process ended; the text says which."""


def usable_cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def environment(threads: int) -> dict[str, str]:
    """Return a worker's environment: the same number of threads for every library."""
    found = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        found[name] = str(threads)
    found["JAX_PLATFORMS"] = "cpu"
    return found


class Process:
    """One contender in its own process; it works only while a question waits for its answer.

    Parameters
    ----------
    name
        A key of `contender_worker.MAKERS`.
    threads
        How many it may use. XLA counts the cores that it may run on, so that each worker is kept
        to as many cores.
    python
        The interpreter, where a library is installed in another environment.
    """

    def __init__(self, name: str, threads: int, python: str | None = None) -> None:
        self.name = name
        cores = usable_cores()[:threads]
        libc = ctypes.CDLL(None)

        def prepare() -> None:
            os.sched_setaffinity(0, cores)
            libc.prctl(1, signal.SIGKILL)  # don't outlive the program

        self._process = subprocess.Popen(
            [python or sys.executable, str(START), "contender_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(threads),
            preexec_fn=prepare if sys.platform == "linux" else None,
        )  # fmt: skip
        try:
            self.versions: dict[str, str] = self.ask("open", name=name, threads=threads)
        except BaseException:
            self.close()
            raise

    def ask(self, question: str, **arguments: Any) -> Any:
        """Return a worker's answer.

        Raises
        ------
        LeftOut
            It has no implementation.
        Failed
            It raised, or it is gone.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            send(self._process.stdin, (question, arguments))  # type: ignore[arg-type]
            kind, answer = receive(self._process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError):
            status = self._process.wait()
            raise Failed(f"{self.name}: its process ended with status {status}") from None
        if kind == "left out":
            raise LeftOut(answer)
        if kind == "error":
            text, trace = answer
            failure = Failed(f"{self.name}: {text}")
            failure.add_note(trace)
            raise failure
        return answer

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def busy(self) -> bool:
        """Whether a thread of it is on a core, or waits for one."""
        folder = Path(f"/proc/{self._process.pid}/task")
        try:
            for task in folder.iterdir():
                if (task / "stat").read_text().rpartition(")")[2].split()[0] == "R":
                    return True
        except OSError:
            pass  # a thread that has just ended, or no such folder on this system
        return False

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # it is gone, and a question is still unsent
                    stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def at_rest(others: Sequence[Process], seconds: float = 1.0) -> bool:
    """Wait until the others' threads sleep: some spin for a while after their work is done."""
    end, quiet = time.perf_counter() + seconds, 0
    while quiet < 3:
        quiet = 0 if any(other.busy() for other in others) else quiet + 1
        if time.perf_counter() > end:
            return False
        time.sleep(0.001)
    return True


@dataclass(frozen=True)
class Plan:
    """How often a row is timed."""

    rounds: int = 15
    turn_seconds: float = 0.1  # of one contender in one round
    warm_seconds: float = 0.3
    most: int = 500  # calls in a turn
    quiet: float = 0.05  # the share of all cores' time that others may take in a round
    repeats: int = 3  # so many rounds are tried for one that is kept
    seconds: float = 30.0  # for a row's rounds; no fewer than `least`
    least: int = 5

    @classmethod
    def quick(cls) -> Plan:
        """Return a plan for a look, or for a test."""
        return cls(rounds=3, turn_seconds=0.02, warm_seconds=0.02, most=20, repeats=1)


@dataclass(frozen=True)
class Times:
    """The seconds per call of each round."""

    seconds: list[float]
    number: int

    def as_json(self) -> dict[str, Any]:
        """Return median and quartiles in milliseconds."""
        low, median, high = quartiles(self.seconds)
        return {
            **{key: float(f"{value * 1e3:.5g}") for key, value in
               (("median_ms", median), ("low_ms", low), ("high_ms", high))},
            "rounds": len(self.seconds), "calls_per_round": self.number,
        }  # fmt: skip


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high


@dataclass(frozen=True)
class Timing:
    """A row's times, and how quiet the machine was."""

    times: dict[str, Times]
    elsewhere: float  # the share of all cores' time that others took, in the rounds kept
    rounds: int  # that were tried
    disturbed: int  # turns that began while another contender's threads were still running


def timed(workers: dict[str, Process], plan: Plan) -> Timing:
    """Time what the workers have built, in turn within each round.

    A round in which other processes were at work is repeated, until the plan's time or number of
    rounds is spent; then the quietest are kept.
    """
    everyone = list(workers.values())
    numbers, disturbed = {}, 0
    for name, worker in workers.items():
        at_rest([other for other in everyone if other is not worker])
        fastest = worker.ask("warm", seconds=plan.warm_seconds, least=3)
        numbers[name] = max(1, min(plan.most, round(plan.turn_seconds / max(fastest, 1e-9))))
    elsewhere = Elsewhere(worker.pid for worker in everyone)
    names, rounds, start = list(workers), [], time.perf_counter()
    for place in range(plan.rounds * plan.repeats):
        seconds = {}
        elsewhere.share()
        for name in names if place % 2 == 0 else reversed(names):
            disturbed += not at_rest([other for other in everyone if other is not workers[name]])
            seconds[name] = workers[name].ask("run", number=numbers[name])
        rounds.append((elsewhere.share() or 0.0, seconds))
        if sum(share <= plan.quiet for share, _ in rounds) >= plan.rounds:
            break
        if len(rounds) >= plan.least and time.perf_counter() - start > plan.seconds:
            break
    kept = sorted(rounds, key=lambda one: one[0])[: plan.rounds]
    times = {name: Times([one[name] for _, one in kept], numbers[name]) for name in names}
    share = statistics.fmean(share for share, _ in kept)
    return Timing(times, share, len(rounds), disturbed)
