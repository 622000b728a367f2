"""``python -m benchmarks sanitize``: compute-sanitizer's four tools over ``check-kernels --small``.

The results are called clean only if every tool ran, saw kernels, and found nothing. Where it
refuses the device, its row says so and the others go on; the exit status is 1 only for findings.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import cuda_results

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
ROOT = Path(__file__).resolve().parents[1]

# What it prints where it can't look at a device at all.
_REFUSED = re.compile(
    r"device not supported|failed to initialize|unable to (?:initialize|attach)|not supported on "
    r"this|no attachable process|insufficient permission|internal sanitizer error",
    re.IGNORECASE,
)
_SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (?:error|hazard)", re.IGNORECASE)
_FOUND = 99  # the exit status that the sanitizer is asked for where it finds something

Run = Callable[[Sequence[str], float], tuple[int | None, str]]


def find_sanitizer() -> str | None:
    """Return compute-sanitizer's path; None where it isn't installed."""
    found = shutil.which("compute-sanitizer")
    if found:
        return found
    for root in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if root and (path := Path(root, "bin", "compute-sanitizer")).is_file():
            return str(path)
    return None


def run_command(command: Sequence[str], seconds: float) -> tuple[int | None, str]:
    """Run a command; return its exit status (None where the time was up) and what it printed."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        cwd=ROOT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            text = process.communicate(timeout=seconds)[0]
            return process.returncode, text
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the program that it runs, too
            return None, process.communicate()[0]


def command_of(sanitizer: str, tool: str, checks: Path, seed: int) -> list[str]:
    """Return the command of one tool."""
    options = ["--no-pool", "--seed", str(seed), "--save", str(checks)]
    if tool == "initcheck":  # what is filled counts as written
        options.append("--no-poison")
    return [
        sanitizer, "--tool", tool, "--error-exitcode", str(_FOUND), "--print-limit", "20",
        sys.executable, "-m", "benchmarks", "check-kernels", "--small", *options,
    ]  # fmt: skip


def judge(tool: str, status: int | None, text: str, checks: dict[str, Any]) -> dict[str, Any]:
    """Return one tool's row: clean, found, refused, failed or "out of time"."""
    rows = checks.get("rows", [])
    launches = sum(row["launches"] for row in rows)
    failed = [row["slot"] for row in rows if row["status"] != "PASS"]
    row: dict[str, Any] = {"tool": tool, "slots": len(rows), "launches": launches}
    summary = _SUMMARY.findall(text)
    count = int(summary[-1]) if summary else None
    tail = "\n".join(text.splitlines()[-40:])
    if count or status == _FOUND:
        refused = _REFUSED.search(text) and not launches
        return {**row, "status": "refused" if refused else "found", "errors": count, "output": tail}
    if status is None:
        return {**row, "status": "out of time", "output": tail}
    if _REFUSED.search(text) and (count is None or not launches):
        return {**row, "status": "refused", "output": tail}
    if status != 0 or count is None or not launches:
        why = f"check-kernels fails under it: {', '.join(failed)}" if failed else (
            f"exit status {status}, {'no summary' if count is None else 'a summary'}, "
            f"{launches} launches"
        )  # fmt: skip
        return {**row, "status": "failed", "error": why, "output": tail}
    return {**row, "status": "clean", "errors": 0}


def take(
    record: cuda_results.Record, sanitizer: str, tools: Sequence[str], budget: float, seed: int,
    run: Run = run_command, say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.perf_counter,
) -> list[dict[str, Any]]:  # fmt: skip
    """Run the tools in turn, each with its share of the time that is left; record each."""
    start = clock()
    rows = []
    for place, tool in enumerate(tools):
        left = budget - (clock() - start)
        if left <= 0:
            row: dict[str, Any] = {"tool": tool, "status": "not taken", "launches": 0}
        else:
            with tempfile.TemporaryDirectory() as folder:
                checks = Path(folder, "checks.json")
                status, text = run(
                    command_of(sanitizer, tool, checks, seed), left / (len(tools) - place)
                )
                try:
                    found = json.loads(checks.read_text(encoding="utf-8"))
                except (OSError, ValueError):
                    found = {}
            row = judge(tool, status, text, found)
        row["seconds"] = round(clock() - start, 1)
        record.add(row)
        rows.append(row)
        say(f"{tool:10} {row['status']:12} {row['launches']:6} launches  {row.get('error', '')}")
        if row["status"] in ("found", "failed", "refused"):
            say(row.get("output", ""))
    return rows


def main(arguments: list[str]) -> int:
    """Run the tools; 1 where one found something, or failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sanitize")
    parser.add_argument("--tools", default=",".join(TOOLS), metavar="NAME,...")
    parser.add_argument("--budget", type=float, default=420.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", metavar="FILE", type=Path)
    options = parser.parse_args(arguments)
    tools = options.tools.split(",")
    if not set(tools) <= set(TOOLS):
        parser.error(f"--tools: must be of {', '.join(TOOLS)}, got {options.tools}")
    if not options.budget > 0:
        parser.error(f"--budget: must be positive, got {options.budget:g}")
    sanitizer = find_sanitizer()
    machine = cuda_results.describe(_cupy())
    head = {"kind": "sanitize", "started": cuda_results.now(), "machine": machine, "clean": False}
    record = cuda_results.Record(
        options.save or cuda_results.default_path("sanitize", machine), head
    )
    if sanitizer is None:
        print("sanitize: compute-sanitizer wasn't found on the PATH nor under CUDA_HOME; not clean")
        record.set(error="compute-sanitizer wasn't found")
        return 0
    rows = take(record, sanitizer, tools, options.budget, options.seed)
    clean = set(tools) == set(TOOLS) and all(row["status"] == "clean" for row in rows)
    record.set(clean=clean)
    print(f"{'clean' if clean else 'not clean'}; {record.path}")
    return 1 if any(row["status"] in ("found", "failed") for row in rows) else 0


def _cupy() -> Any:
    """Return CuPy where a GPU can be used, to describe it."""
    from tensorflowlite.backend.cuda import devices as cuda

    if cuda.why_not():
        return None
    import cupy

    return cupy
