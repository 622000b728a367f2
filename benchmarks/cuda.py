"""The CUDA suite: ``python -m benchmarks --device cuda --against torch,cupy,cublaslt``.

First the ceilings that this machine reaches, then a row at a time: our result is compared with a
reference in higher precision, and only where it is right the contenders are timed in turn. Every
row is in the result file when the next begins. ``python -m benchmarks cuda --device cpu`` runs the
same rows, small, on NumPy: its figures mean nothing but that the code runs.
"""

from __future__ import annotations

import argparse
import contextlib
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tensorflowlite.errors import DeviceError

from . import cuda_layers, cuda_products, cuda_results
from .cuda_lab import OURS, PEERS, Bar, Case, Check, Lab, LeftOut, Row, open_lab
from .measure_cuda import Measurement, described, interleaved, limited

ROWS: tuple[Row, ...] = (
    *cuda_products.CEILINGS, *cuda_products.ROWS, *cuda_layers.ROWS,
)  # fmt: skip


class _Wrong(Exception):
    """A result outside its tolerance; the text says which."""


def _judge(bar: Bar, row: dict[str, Any], case: Case, times: dict[str, Measurement],
           ceilings: dict[str, float]) -> dict[str, Any]:  # fmt: skip
    """Return what was found of a bar, or why nothing was."""
    judged: dict[str, Any] = {"of": bar.of, "least": bar.least, "stretch": bar.stretch}
    ours = times[OURS].median
    found = None
    if bar.of == "copy":
        if "copy" in ceilings:
            found = case.bytes / (ours / 1e3) / ceilings["copy"]
    elif bar.of == "matmul":
        if "matmul" in ceilings:
            found = case.operations / (ours / 1e3) / ceilings["matmul"]
    elif bar.of == "operations":
        found = case.operations / (ours / 1e3)
    elif bar.of in times:
        found = times[bar.of].median / ours
    if found is None:
        told = row["contenders"].get(bar.of, {})
        why = told.get("left_out") or told.get("error") or "it wasn't measured"
        return {**judged, "found": None, "why": why}
    judged["found"] = float(f"{found:.4g}")
    judged["met"] = found >= bar.least
    if bar.stretch is not None:
        judged["stretch_met"] = found >= bar.stretch
    return judged


def _prepared(lab: Lab, row: Row, case: Case, record: dict[str, Any]) -> dict[str, Any]:
    """Return the contenders' calls; what can't run is told in the record."""
    calls: dict[str, Any] = {}
    told = record["contenders"]
    if case.ours is not None:
        calls[OURS] = case.ours
    for name, make in case.peers.items():
        if row.ceiling is None and name not in lab.against:
            continue
        try:
            with limited(lab.compile_seconds if name == "torch-compile" else float("inf")):
                made = make()
                call, check = made if isinstance(made, tuple) else (made, None)
                if name == "torch-compile":
                    for _ in range(3):
                        call()
                    lab.timer.synchronize()
            if check is not None:
                _hold(check(), told.setdefault(name, {}))
        except LeftOut as reason:
            told[name] = {"left_out": str(reason)}
        except Exception as error:
            told.setdefault(name, {})["error"] = described(error)
        else:
            calls[name] = call
    return calls


def _hold(checks: list[Check], record: dict[str, Any]) -> None:
    record["checks"] = [check.as_json() for check in checks]
    for check in checks:
        if not check.right:
            raise _Wrong(
                f"{check.what}: relative error {check.error:.3g}, tolerance {check.tolerance:g}"
            )


def take(lab: Lab, row: Row) -> dict[str, Any]:
    """Take one row: check, then time; whatever it raises is recorded."""
    record: dict[str, Any] = {"name": row.name, "title": row.title, "status": "measured"}
    record["contenders"] = {}
    start = time.perf_counter()
    try:
        case = row.build(lab)
        if case.note:
            record["note"] = case.note
        _hold(case.checks(), record)
        calls = _prepared(lab, row, case, record)
        times, failed = interleaved(lab.timer, calls, lab.plan, case.hosted)
        for name, error in failed.items():
            record["contenders"].setdefault(name, {})["error"] = error
        for name, measured in times.items():
            record["contenders"].setdefault(name, {}).update(measured.as_json())
        if ways := lab.ways():
            record["products"] = ways
        _conclude(lab, row, case, record, times)
    except LeftOut as reason:
        record.update(status="left out", error=str(reason))
    except _Wrong as reason:
        record.update(status="wrong", error=str(reason))
    except Exception as error:
        record.update(status="error", error=described(error), traceback=traceback.format_exc())
    record["seconds"] = round(time.perf_counter() - start, 2)
    return record


def _conclude(lab: Lab, row: Row, case: Case, record: dict[str, Any],
              times: dict[str, Measurement]) -> None:  # fmt: skip
    """Put rates and verdicts into a record; a ceiling's best rate is the ceiling."""
    for name, measured in times.items():
        told, seconds = record["contenders"][name], measured.median / 1e3
        if case.operations:
            told["tflops"] = float(f"{case.operations / seconds / 1e12:.4g}")
        if case.bytes:
            told["gb_per_s"] = float(f"{case.bytes / seconds / 1e9:.4g}")
    if row.ceiling is not None:
        if not times:
            record.update(status="error", error="no contender ran")
            return
        best = min(measured.median for measured in times.values()) / 1e3
        lab.ceilings[row.ceiling] = (case.bytes or case.operations) / best
        return
    if OURS not in times:
        record.update(status="error", error=record["contenders"][OURS]["error"])
        return
    record["bars"] = [_judge(bar, record, case, times, lab.ceilings) for bar in row.bars]


def run(lab: Lab, rows: Sequence[Row], record: cuda_results.Record, budget: float,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = time.perf_counter) -> None:  # fmt: skip
    """Take rows until the time is up; what remains is recorded as not taken."""
    start = clock()
    for row in rows:
        if clock() - start >= budget:
            record.add({
                "name": row.name, "title": row.title, "status": "not taken",
                "error": f"the budget of {budget:g} s was spent", "contenders": {},
            })  # fmt: skip
            continue
        taken = take(lab, row)
        record.add(taken)
        if row.ceiling is not None:
            record.set(ceilings=dict(lab.ceilings))
        say(f"{taken['name']:24} {taken['status']:9} {taken['seconds']:7.1f} s  "
            + "  ".join(_short(taken)))  # fmt: skip
        try:
            lab.clear()
        except Exception as error:  # a kernel broke the device: the rows that follow say so too
            say(f"after {taken['name']}: {described(error)}")


def _short(taken: dict[str, Any]) -> list[str]:
    if taken["status"] != "measured":
        return [taken.get("error", "")]
    return [
        f"{name} {told['median_ms']:.4g} ms" if "median_ms" in told
        else f"{name}: {told.get('left_out') or told.get('error')}"
        for name, told in taken["contenders"].items()
    ]  # fmt: skip


def chosen(names: str | None) -> list[Row]:
    """Return the rows of a list of names; the ceilings come first, asked for or not.

    Raises
    ------
    ValueError
        A name that no row has.
    """
    if names is None:
        return list(ROWS)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = [row.name for row in ROWS]
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise ValueError(f"--rows: must name rows among {', '.join(known)}, got {names!r}")
    return [row for row in ROWS if row.ceiling is not None or row.name in wanted]


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options; exit with a message where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--device", required=True, help='"cuda", "cuda:1", or "cpu" for a run of the code')
    add("--against", default="", metavar="NAME,...", help=f"of {', '.join(PEERS)}")
    add("--rows", metavar="NAME,...", help="only these, after the ceilings")
    add("--quick", action="store_true", help="fewer iterations")
    add("--scale", type=float, help="factor of all lengths (1; on a CPU 1/128)")
    add("--save", metavar="FILE", type=Path, help="by default benchmarks/results/<date>-<gpu>.json")
    add("--budget", type=float, default=float("inf"), metavar="SECONDS",
        help="rows that would begin later are recorded as not taken")  # fmt: skip
    add("--compile-budget", type=float, default=90.0, metavar="SECONDS",
        help="how long torch.compile may take for a row")  # fmt: skip
    options = parser.parse_args(arguments)
    options.against = tuple(name.strip() for name in options.against.split(",") if name.strip())
    unknown = [name for name in options.against if name not in PEERS]
    if unknown:
        parser.error(f"--against: must be of {', '.join(PEERS)}, got {', '.join(unknown)}")
    for name in ("budget", "compile_budget", "scale"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            parser.error(f"--{name.replace('_', '-')}: must be positive, got {value:g}")
    try:
        options.rows = chosen(options.rows)
    except ValueError as error:
        parser.error(str(error))
    return options


def main(arguments: list[str]) -> int:
    """Run the suite; 1 where a row was wrong or raised."""
    options = parse(arguments)
    try:
        lab = open_lab(
            options.device, options.against, options.quick, options.scale, options.compile_budget
        )
    except DeviceError as error:
        print(error)
        return 2
    machine = cuda_results.describe(lab.xp if lab.on_gpu else None)
    head = {
        "kind": "cuda", "device": options.device, "started": cuda_results.now(), "machine": machine,
        "against": list(options.against), "quick": options.quick, "scale": lab.scale,
        "whole": len(options.rows) == len(ROWS),
        "seed": lab.seed, "command": "python -m benchmarks " + " ".join(arguments),
    }  # fmt: skip
    path = options.save or cuda_results.default_path("", machine)
    record = cuda_results.Record(path, head)
    print(cuda_results.heading(record.content))
    for name in options.against:
        if name.startswith("torch") and lab.torch is None:
            print(f"{name}: PyTorch for this device isn't installed; it is left out")
    try:
        run(lab, options.rows, record, options.budget)
    finally:
        with contextlib.suppress(Exception):  # a broken device can't be described
            record.set(machine_after=cuda_results.describe(lab.xp if lab.on_gpu else None))
        print(f"\n{cuda_results.table(record.content)}\n\n{path}")
    bad = [row for row in record.content["rows"] if row["status"] in ("wrong", "error")]
    return 1 if bad else 0
