"""The CPU suite: ``python -m benchmarks --device cpu --against torch,torch-compile,jax,numpy``.

Each contender has a process of its own, and only one of them works at a time. A row's results are
compared first, from the same weights and data; only what agrees is timed, in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import (
    cpu_results,
    cpu_rows_ops,
    cpu_rows_steps,
    cpu_scaling,
    cpu_suites,
    cuda_results,
    floors,
)
from .contenders import PEERS, Failed, usable_cores
from .cpu_lab import Bench, hired, take
from .cpu_rows_steps import Row
from .measure import machine

SUITES = ("ops", "steps", "overhead", "memory", "scaling")


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
    add("--jit", action="store_true",
        help="ours under jit; the peer eager is ours without")  # fmt: skip
    add("--quick", action="store_true", help="fewer rounds: a look, no result to keep")
    add("--tiny", action="store_true", help="the smallest sizes: only that the code runs")
    add("--threads", type=int, default=len(usable_cores()), metavar="N",
        help="for every contender (default: all cores that this process may use)")  # fmt: skip
    add("--python", action="append", default=[], metavar="NAME=FILE",
        help="the interpreter of a contender that is installed elsewhere")  # fmt: skip
    add("--save", nargs="?", type=Path, const=Path(), metavar="FILE",
        help="write the result; by default benchmarks/results/<date>-cpu-<cpu>.json")  # fmt: skip
    add("--plots", nargs="?", type=Path, const=Path(), metavar="FOLDER",
        help="draw the plots; by default beside the result")  # fmt: skip
    options = parser.parse_args(arguments)
    if options.device != "cpu":
        parser.error(f'--device: must be "cpu" or "cuda", got {options.device!r}')
    options.against = _names(options.against, "--against", PEERS, parser)
    if "eager" in options.against and not options.jit:
        parser.error("--against: eager is ours without --jit, got no --jit")
    options.suite = _names(options.suite, "--suite", SUITES, parser)
    if not options.suite:
        parser.error(f"--suite: must name some of {', '.join(SUITES)}")
    cores = len(usable_cores())
    if not 1 <= options.threads <= cores:
        parser.error(
            f"--threads: must be from 1 to {cores}, the usable cores; got {options.threads}"
        )
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
    bench = Bench(
        options.against, options.threads, options.quick, options.tiny, options.pythons,
        options.jit, lambda text: print(text, flush=True),
    )  # fmt: skip
    path = _path(options)
    content: dict[str, Any] = {"kind": "cpu", "device": "cpu", "started": cuda_results.now()}
    with bench.start("rates") as meter:
        with hired(bench) as versions:
            content.update(_head(bench, options, arguments, versions))
            content["rates"] = meter.ask("measure", **_effort(options))
            print(cpu_results.heading(content))
            _run(bench, options, content, path)
        content["rates"] = floors.better(content["rates"], meter.ask("measure", **_effort(options)))
    whole = options.rows is None and not options.tiny and set(options.suite) == set(SUITES)
    content["whole"] = whole  # not before: a run that is ended early leaves a part
    return _conclude(content, options, path)


def _effort(options: argparse.Namespace) -> dict[str, Any]:
    return {"side": 256, "seconds": 0.01, "most": 2**21} if options.tiny else {}


def _head(bench: Bench, options: argparse.Namespace, arguments: list[str],
          versions: dict[str, dict[str, str]]) -> dict[str, Any]:  # fmt: skip
    return {
        "machine": cpu_results.describe(versions, options.threads), "threads": options.threads,
        "versions": versions, "against": list(bench.against), "suites": options.suite,
        "quick": options.quick, "tiny": options.tiny, "jit": options.jit,
        "whole": False,
        "settings": vars(bench.plan), "command": "python -m benchmarks " + " ".join(arguments),
        "notes": [], "rows": [],
    }  # fmt: skip


def _run(
    bench: Bench, options: argparse.Namespace, content: dict[str, Any], path: Path | None
) -> None:
    """Take the rows of every suite asked for; a file holds each when the next begins."""
    chosen = [
        row for row in rows_of(options.suite) if options.rows is None or row.name in options.rows
    ]
    for row in chosen:
        content["rows"].append(take(bench, row))
        if path is not None:
            cuda_results.write(path, content)
    bench.dismiss()  # what follows starts its own
    if "memory" in options.suite:
        rows = [
            row for row in cpu_rows_steps.ROWS
            if options.rows is None or row.name in options.rows
        ]  # fmt: skip
        content["rows"] += cpu_suites.memory(bench, rows)
    if "scaling" in options.suite:
        content["rows"] += cpu_suites.scaling(bench)
        content["growth"] = cpu_scaling.growth(content["rows"])
    if "overhead" in options.suite:
        try:
            content["overhead"] = cpu_suites.overhead(bench)
        except Failed as failure:
            content["rows"].append({
                "name": "overhead", "title": "overhead", "suite": "overhead", "status": "error",
                "error": str(failure), "contenders": {},
            })  # fmt: skip


def _path(options: argparse.Namespace) -> Path | None:
    """Return where the result goes; None for a run that is only printed."""
    if options.save is None or options.save != Path():
        return options.save
    return cpu_results.default_path(machine(), jit=options.jit)


def _conclude(content: dict[str, Any], options: argparse.Namespace, path: Path | None) -> int:
    """Print the tables; write and draw what was asked for."""
    print(f"\n{cpu_results.table(content)}")
    if path is not None:
        cuda_results.write(path, content)
        print(f"\n{path}")
    if options.plots is not None:
        from . import plots

        stem = path.stem if path is not None else "cpu"
        folder = options.plots
        if folder == Path():
            folder = path.parent if path is not None else cpu_results.FOLDER
        for drawn in plots.draw(content, folder, stem):
            print(drawn)
    bad = [row for row in content["rows"] if row["status"] != "measured"]
    for row in bad:
        print(f"{row['name']}: {row['status']}: {row.get('error', '')}")
    return 1 if bad else 0
