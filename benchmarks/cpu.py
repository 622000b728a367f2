"""The CPU suite: ``python -m benchmarks --device cpu --against torch,torch-compile,jax,numpy``.

Each contender has a process of its own, and only one of them works at a time. A row's results are
compared first, from the same weights and data; only what agrees is timed, in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import cpu_results, cpu_rows_ops, cpu_rows_steps, cuda_results, floors
from .agreement import compare
from .contender_base import LeftOut
from .contenders import OURS, PEERS, Failed, Plan, Process, timed, usable_cores
from .cpu_rows_steps import Row

SUITES = ("ops", "steps", "overhead", "memory", "scaling")


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
    say: Callable[[str], None] = print
    workers: dict[str, Process] = field(default_factory=dict)
    threads_of_workers: int = 0

    @property
    def plan(self) -> Plan:
        return Plan.quick() if self.quick else Plan()

    def start(self, name: str, threads: int | None = None) -> Process:
        """Return a new process of a contender."""
        return Process(name, threads or self.threads, self.pythons.get(name))

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
        times, disturbed = timed(taking, bench.plan)
    except Wrong as reason:
        record.update(status="wrong", error=str(reason))
    except (Failed, LeftOut) as reason:
        record.update(status="error", error=str(reason), trace=getattr(reason, "__notes__", []))
        for name in list(bench.workers):
            bench.replace(name)
    else:
        for name, measured in times.items():
            told[name].update(measured.as_json())
        record["ratios"] = {
            name: float(f"{_paired(times[OURS].seconds, times[name].seconds):.4g}")
            for name in times if name != OURS
        }  # fmt: skip
        if disturbed:
            record["disturbed_turns"] = disturbed
    record["seconds"] = round(time.perf_counter() - start, 2)
    return record


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
    return f"{row['name']:20} {'  '.join(parts)}"


# -- the program -----------------------------------------------------------------------------------
def rows_of(suites: Sequence[str]) -> list[Row]:
    """Return the rows of times of some suites."""
    rows: list[Row] = []
    if "steps" in suites:
        rows += cpu_rows_steps.ROWS
    if "ops" in suites:
        rows += cpu_rows_ops.ROWS
    return rows


def _names(text: str, option: str, known: Sequence[str], parser: argparse.ArgumentParser,
           ) -> list[str]:  # fmt: skip
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"{option}: must be of {', '.join(known)}, got {', '.join(unknown)}")
    return list(dict.fromkeys(names))


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options; exit with a message where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--device", default="cpu", help='"cpu"; with "cuda" the CUDA suite runs')
    add("--against", default="torch", metavar="NAME,...", help=f"of {', '.join(PEERS)}")
    add("--suite", default=",".join(SUITES), metavar="NAME,...", help=f"of {', '.join(SUITES)}")
    add("--rows", metavar="NAME,...", help="only these rows of ops, steps and memory")
    add("--quick", action="store_true", help="fewer rounds: a look, no result to keep")
    add("--tiny", action="store_true", help="the smallest sizes: only that the code runs")
    add("--threads", type=int, default=len(usable_cores()), metavar="N",
        help="for every contender (default: all cores that this process may use)")  # fmt: skip
    add("--python", action="append", default=[], metavar="NAME=FILE",
        help="the interpreter of a contender that is installed elsewhere")  # fmt: skip
    add("--save", nargs="?", type=Path, const=Path(), metavar="FILE",
        help="write the result; by default to benchmarks/results/<date>-cpu-<machine>.json")  # fmt: skip
    add("--plots", nargs="?", type=Path, const=Path(), metavar="FOLDER",
        help="draw the plots; by default beside the result")  # fmt: skip
    options = parser.parse_args(arguments)
    if options.device != "cpu":
        parser.error(f'--device: must be "cpu" or "cuda", got {options.device!r}')
    options.against = _names(options.against, "--against", PEERS, parser)
    options.suite = _names(options.suite, "--suite", SUITES, parser)
    if not options.suite:
        parser.error(f"--suite: must name some of {', '.join(SUITES)}")
    cores = len(usable_cores())
    if not 1 <= options.threads <= cores:
        parser.error(f"--threads: must be from 1 to {cores}, the usable cores; got {options.threads}")
    options.pythons = {}
    for text in options.python:
        name, _, file = text.partition("=")
        if name not in PEERS or not Path(file).is_file():
            parser.error(f"--python: must be NAME=FILE with a name of {', '.join(PEERS)} and an "
                         f"interpreter, got {text!r}")  # fmt: skip
        options.pythons[name] = file
    known = [row.name for row in rows_of(("ops", "steps"))]
    if options.rows is not None:
        options.rows = _names(options.rows, "--rows", known, parser)
        if not options.rows:
            parser.error(f"--rows: must name rows among {', '.join(known)}")
    return options


def main(arguments: list[str]) -> int:
    """Run the suite; 1 where a row was wrong or raised."""
    options = parse(arguments)
    bench = Bench(options.against, options.threads, options.quick, options.tiny, options.pythons)
    chosen = [
        row for row in rows_of(options.suite) if options.rows is None or row.name in options.rows
    ]
    content: dict[str, Any] = {"kind": "cpu", "device": "cpu", "started": cuda_results.now()}
    with bench.start("rates") as meter, hired(bench) as versions:
        content.update(
            machine=cpu_results.describe(versions, options.threads), threads=options.threads,
            versions=versions, against=list(bench.against), quick=options.quick,
            tiny=options.tiny, whole=options.rows is None and len(options.suite) == len(SUITES),
            settings=vars(bench.plan), command="python -m benchmarks " + " ".join(arguments),
            rates=meter.ask("measure"), notes=[], rows=[],
        )  # fmt: skip
        print(cpu_results.heading(content))
        for row in chosen:
            taken = take(bench, row)
            content["rows"].append(taken)
            print(spoken(taken), flush=True)
        content["rates"] = floors.better(content["rates"], meter.ask("measure"))
    return _conclude(content, options)


def _conclude(content: dict[str, Any], options: argparse.Namespace) -> int:
    """Print the tables; write what was asked for."""
    print(f"\n{cpu_results.table(content)}")
    if options.save is not None:
        path = options.save
        if path == Path():
            path = cpu_results.default_path(content["machine"])
        cuda_results.write(path, content)
        print(f"\n{path}")
    bad = [row for row in content["rows"] if row["status"] != "measured"]
    for row in bad:
        print(f"{row['name']}: {row['status']}: {row.get('error', '')}")
    return 1 if bad else 0
