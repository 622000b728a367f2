"""The suites ``memory``, ``scaling`` and ``overhead`` of the CPU's benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import cpu_rows_steps, cpu_scaling
from .contender_base import LeftOut
from .contenders import OURS, START, Failed, environment
from .cpu_lab import Bench, hired, take
from .cpu_rows_steps import Row

# Calls whose peak is taken, after those in which a library compiles or records.
STEPS, FIRST = 3, 6


# -- memory ----------------------------------------------------------------------------------------
def _peaks(bench: Bench, name: str, row: Row) -> dict[str, int]:
    """Return the bytes above the process's size with the model built, in a fresh process.

    ``above_bytes`` of the later calls, ``first_bytes`` of the first ones, in which a library may
    compile or record. A step of a tiny network comes before: code that is loaded late isn't memory
    of the step. The optimizer's state counts: some libraries make it in the first step.
    """
    with bench.start(name) as worker:
        small = cpu_rows_steps.tiny(row)
        worker.ask("build", spec=small.spec)
        worker.ask("warm", seconds=0.0, least=5)
        worker.ask("build", spec=bench.sized(row).spec)
        found = worker.ask("memory", first=FIRST, calls=STEPS)
    return {
        name: max(0, found[peak] - found["before"])
        for name, peak in (("above_bytes", "peak"), ("first_bytes", "first_peak"))
    }


def memory_row(bench: Bench, row: Row) -> dict[str, Any]:
    """Take a row's peak memory for every contender."""
    told: dict[str, Any] = {}
    record: dict[str, Any] = {
        "name": row.name, "title": row.title, "suite": "memory", "status": "measured",
        "contenders": told, "ratios": {},
    }  # fmt: skip
    for name in (OURS, *bench.against):
        try:
            told[name] = _peaks(bench, name, row)
        except LeftOut as reason:
            told[name] = {"left_out": str(reason)}
        except Failed as failure:
            told[name] = {"error": str(failure)}
            if name == OURS:
                record.update(status="error", error=str(failure))
                break
        if name != OURS and told[name].get("above_bytes"):
            ratio = told[OURS]["above_bytes"] / told[name]["above_bytes"]
            record["ratios"][name] = float(f"{ratio:.4g}")
    return record


def spoken(row: dict[str, Any]) -> str:
    """Return a row of memory in one line."""
    parts = [
        f"{name} {told['above_bytes'] / 1e6:.1f} MB" if "above_bytes" in told
        else f"{name}: {told.get('left_out') or told.get('error')}"
        for name, told in row["contenders"].items()
    ]  # fmt: skip
    parts += [f"(ours / {name} {ratio:.2f})" for name, ratio in row["ratios"].items()]
    return f"{row['name']:20} {'  '.join(parts)}"


def memory(bench: Bench, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Take the memory of some rows."""
    for row in rows:
        taken = memory_row(bench, row)
        bench.say(spoken(taken))
        yield taken


# -- scaling ---------------------------------------------------------------------------------------
def _alone(bench: Bench, peers: Sequence[str], threads: int, work: Callable[[Bench], Any]) -> Any:
    """Run some rows with some of the peers, and threads of their own."""
    part = Bench(
        [name for name in bench.against if name in peers], threads, bench.quick, bench.tiny,
        bench.pythons, bench.jit, bench.say,
    )  # fmt: skip
    with hired(part):
        return work(part)


def scaling(bench: Bench) -> list[dict[str, Any]]:
    """Take the rows of every axis."""
    found = []
    for axis, rows in cpu_scaling.rows(bench.tiny).items():

        def along(part: Bench, axis: str = axis, rows: Any = rows) -> list[dict[str, Any]]:
            return [
                {**take(part, row), "suite": "scaling", "axis": axis, "length": length}
                for length, row in rows
            ]

        found += _alone(bench, cpu_scaling.PEERS.get(axis, bench.against), bench.threads, along)
    for threads in sorted({1, bench.threads}):

        def with_threads(part: Bench) -> list[dict[str, Any]]:
            return [
                {
                    **take(part, row), "suite": "scaling", "axis": "threads",
                    "length": part.threads, "of": row.name,
                    "title": f"{row.title}, {part.threads} thread{'s' * (part.threads > 1)}",
                }
                for row in cpu_scaling.thread_rows()
            ]  # fmt: skip

        found += _alone(bench, cpu_scaling.PEERS["threads"], threads, with_threads)
    return found


# -- overhead --------------------------------------------------------------------------------------
def overhead(bench: Bench) -> dict[str, Any]:
    """Run the program of that name in a process of its own; return its result."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "overhead.json"
        done = subprocess.run(
            [sys.executable, str(START), "overhead", "--save", str(path)],
            env=environment(1), capture_output=True, text=True,
        )  # fmt: skip
        bench.say(done.stdout.rstrip())
        if done.returncode != 0:
            raise Failed(f"overhead: {done.stderr.strip()[-400:] or done.stdout[-400:]}")
        result = json.loads(path.read_text())
    return {name: result[name] for name in ("operations", "chain") if name in result}
