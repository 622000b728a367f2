"""One row of the CPU suite: the contenders' processes, what they must agree on, their times."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import cpu_rows_ops, cpu_rows_steps
from .agreement import compare
from .contender_base import LeftOut
from .contenders import OURS, Failed, Plan, Process, Timing, timed
from .cpu_rows_steps import Row


class Wrong(Exception):
    """Contenders whose results differ; the text says which and by how much."""


@dataclass
class Bench:
    """The contenders of a run and how they are measured."""

    against: list[str]
    threads: int
    quick: bool = False
    tiny: bool = False
    pythons: dict[str, str] = field(default_factory=dict)
    jit: bool = False
    say: Callable[[str], None] = print
    workers: dict[str, Process] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        return Plan.quick() if self.quick else Plan()

    def start(self, name: str, threads: int | None = None) -> Process:
        """Return a new process of a contender."""
        maker = f"{OURS}-jit" if name == OURS and self.jit else name
        return Process(maker, threads or self.threads, self.pythons.get(name))

    def hire(self) -> dict[str, dict[str, str]]:
        """Start every contender; say which can't be had. Return the versions of those that can."""
        self.workers = {OURS: self.start(OURS)}
        for name in list(self.against):
            try:
                self.workers[name] = self.start(name)
            except (LeftOut, Failed) as reason:
                self.say(f"{name}: {reason}; it is left out")
                self.against.remove(name)
        return {name: worker.versions for name, worker in self.workers.items()}

    def dismiss(self) -> None:
        """End every process."""
        for worker in self.workers.values():
            worker.close()
        self.workers = {}

    def replace(self, name: str) -> None:
        """Start a contender anew, after its process failed."""
        self.workers.pop(name).close()
        self.workers[name] = self.start(name)

    def sized(self, row: Row) -> Row:
        """Return a row, or its smallest form."""
        if not self.tiny:
            return row
        return (cpu_rows_ops if row.spec["kind"] == "op" else cpu_rows_steps).tiny(row)


@contextlib.contextmanager
def hired(bench: Bench) -> Iterator[dict[str, dict[str, str]]]:
    """Start a run's contenders, and end them."""
    try:
        yield bench.hire()
    finally:
        bench.dismiss()


# -- one row ---------------------------------------------------------------------------------------
def prepared(bench: Bench, row: Row, told: dict[str, Any]) -> dict[str, Process]:
    """Build a row everywhere and compare; return who takes part.

    Raises
    ------
    Wrong
        The data, or what was computed, differ.
    Failed
        Ours raised.
    """
    ours = bench.workers[OURS]
    digest = ours.ask("build", spec=row.spec)
    expected = ours.ask("outcome")
    taking = {OURS: ours}
    for name in bench.against:
        worker = bench.workers[name]
        try:
            if worker.ask("build", spec=row.spec) != digest:
                raise Wrong(f"{name}: it started from other data")
            found = worker.ask("outcome")
        except LeftOut as reason:
            told.setdefault(name, {})["left_out"] = str(reason)
            continue
        except Failed as failure:
            told.setdefault(name, {})["error"] = str(failure)
            bench.replace(name)
            continue
        checks = compare(row.spec, expected, found)
        worst = max(checks, key=lambda check: check.error / max(check.tolerance, 1e-30))
        told.setdefault(name, {})["compared"] = {"arrays": len(checks), "worst": worst.as_json()}
        for check in checks:
            if not check.right:
                raise Wrong(
                    f"{name} and ours differ: {check.what}: relative error {check.error:.3g}, "
                    f"tolerance {check.tolerance:g}"
                )
        taking[name] = worker
    return taking


def take(bench: Bench, row: Row) -> dict[str, Any]:
    """Take one row of times; whatever goes wrong is recorded."""
    row = bench.sized(row)
    told: dict[str, Any] = {OURS: {}}
    record: dict[str, Any] = {
        "name": row.name, "title": row.title, "suite": row.suite, "status": "measured",
        "headline": row.headline, "operations": row.operations, "bytes": row.bytes,
        "contenders": told,
    }  # fmt: skip
    start = time.perf_counter()
    try:
        taking = prepared(bench, row, told)
        timing = timed(taking, bench.plan)
    except Wrong as reason:
        record.update(status="wrong", error=str(reason))
    except (Failed, LeftOut) as reason:
        record.update(status="error", error=str(reason), trace=getattr(reason, "__notes__", []))
        for name in list(bench.workers):
            bench.replace(name)
    else:
        _put(record, timing)
    record["seconds"] = round(time.perf_counter() - start, 2)
    bench.say(spoken(record))
    return record


def _put(record: dict[str, Any], timing: Timing) -> None:
    """Put a row's times into its record."""
    times = timing.times
    for name, measured in times.items():
        record["contenders"][name].update(measured.as_json())
    record["ratios"] = {
        name: float(f"{_paired(times[OURS].seconds, times[name].seconds):.4g}")
        for name in times if name != OURS
    }  # fmt: skip
    record["elsewhere"] = round(timing.elsewhere, 3)
    record["rounds_tried"] = timing.rounds
    if timing.disturbed:
        record["disturbed_turns"] = timing.disturbed


def _paired(ours: list[float], theirs: list[float]) -> float:
    """Return the median over the rounds of ours over theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def spoken(row: dict[str, Any]) -> str:
    """Return a row in one line."""
    if row["status"] != "measured":
        return f"{row['name']:20} {row['status']}: {row.get('error', '')}"
    parts = []
    for name, told in row["contenders"].items():
        if "median_ms" in told:
            text = f"{name} {told['median_ms']:.4g} ms"
            if name in row["ratios"]:
                text += f" (ours / it {row['ratios'][name]:.2f})"
        else:
            text = f"{name}: {told.get('left_out') or told.get('error')}"
        parts.append(text)
    if row["elsewhere"] > Plan.quiet:
        parts.append(f"[{row['elsewhere']:.0%} of the machine was busy elsewhere]")
    return f"{row['name']:20} {'  '.join(parts)}"
