"""Result files of the CPU suite, read back: tables, summaries, and the README's block."""

from __future__ import annotations

import contextlib
import json
import math
import platform
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import cuda_results
from .contenders import OURS, Plan
from .floors import floor_seconds
from .measure import machine

FOLDER = cuda_results.FOLDER
BEGIN, END = "<!-- benchmarks:cpu -->", "<!-- /benchmarks:cpu -->"
NOT_YET = "Not yet measured."


def describe(versions: dict[str, dict[str, str]], threads: int) -> dict[str, Any]:
    """Return the machine, and each contender's versions."""
    found = machine()
    for one in versions.values():
        for name, version in one.items():
            found.setdefault(name, version)
    governor = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    with contextlib.suppress(OSError):
        found["huge_pages"] = governor.read_text().strip()
    return {**found, "system": platform.platform(), "threads": threads}


def default_path(
    machine: dict[str, Any], folder: Path | None = None, jit: bool = False
) -> Path:
    """Return ``results/<date>-<cpu>.json``, numbered where there is one already."""
    folder = FOLDER if folder is None else folder
    name = re.sub(r"[^a-z0-9]+", "-", str(machine["cpu"]).lower()).strip("-")
    stem = f"{cuda_results.now()[:10]}-cpu-{name}{'-jit' * jit}"
    numbered = (f"{stem}{number and f'-{number}'}.json" for number in ("", *range(2, 1000)))
    return next(folder / name for name in numbered if not (folder / name).exists())


# -- figures ---------------------------------------------------------------------------------------
def ratio(row: dict[str, Any], peer: str) -> float | None:
    """Return the median over the rounds of our time over a peer's."""
    found = row.get("ratios", {}).get(peer)
    return None if found is None else float(found)


def share(content: dict[str, Any], row: dict[str, Any]) -> float | None:
    """Return the floor's share of our time."""
    ours = row.get("contenders", {}).get(OURS, {}).get("median_ms")
    if ours is None or "operations" not in row or "rates" not in content:
        return None
    return floor_seconds(content["rates"], row["operations"], row["bytes"]) * 1e3 / ours


def summary(content: dict[str, Any], peer: str = "torch") -> dict[str, Any] | None:
    """Return geometric mean, greatest ratio and its row over the headline's rows."""
    rows = [
        row for row in content["rows"]
        if row.get("headline") and "ratios" in row and row["suite"] in ("steps", "ops")
    ]  # fmt: skip
    found = {row["name"]: value for row in rows if (value := ratio(row, peer)) is not None}
    if not found:
        return None
    worst = max(found, key=found.__getitem__)
    mean = math.exp(statistics.fmean(math.log(value) for value in found.values()))
    return {"rows": len(found), "mean": mean, "worst": found[worst], "worst_row": worst}


# -- text ------------------------------------------------------------------------------------------
def _time(told: dict[str, Any]) -> str:
    if "median_ms" not in told:
        return "—"
    values = [told[name] for name in ("median_ms", "low_ms", "high_ms")]
    small = values[0] < 1
    median, low, high = (_three(value * 1e3 if small else value) for value in values)
    return f"{median} {'µs' if small else 'ms'} ({low}–{high})"


def _three(value: float) -> str:
    """Return a number with three digits, and no power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def peers_of(rows: list[dict[str, Any]]) -> list[str]:
    """Return the contenders of some rows but ours, in the order of their first row."""
    names: list[str] = []
    for row in rows:
        names += [n for n in row.get("contenders", {}) if n not in names and n != OURS]
    return names


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"


def times_table(content: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return rows of times: ours, the peers, our time over each peer's, the floor's share."""
    names = peers_of(rows)
    heads = ["", "ours", *names, *(f"ours / {name}" for name in names), "share of the floor"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        told = row.get("contenders", {})
        if row["status"] != "measured":
            cells = [f"{row['status']}: {row.get('error', '')}", *[""] * (len(heads) - 2)]
        else:
            cells = [_time(told.get(name, {})) for name in (OURS, *names)]
            cells += [_number(ratio(row, name)) for name in names]
            cells.append(_number(share(content, row)))
        texts = [row["title"], *cells]
        lines.append("| " + " | ".join(text.replace("|", "/") for text in texts) + " |")
    return "\n".join(lines)


def memory_table(rows: list[dict[str, Any]]) -> str:
    """Return rows of peak memory above the model's, and of that of the first calls in brackets."""
    names = peers_of(rows)
    heads = ["", "ours", *names, *(f"ours / {name}" for name in names)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        told = row.get("contenders", {})
        cells = [_bytes(told.get(name, {})) for name in (OURS, *names)]
        cells += [_number(ratio(row, name)) for name in names]
        lines.append("| " + " | ".join([row["title"], *cells]) + " |")
    if any("first_bytes" in one for row in rows for one in row.get("contenders", {}).values()):
        lines.append("\nIn brackets: of the first calls, in which a library may compile or record.")
    return "\n".join(lines)


def _bytes(told: dict[str, Any]) -> str:
    if "above_bytes" not in told:
        return "—"
    first = f" ({told['first_bytes'] / 1e6:.1f})" if "first_bytes" in told else ""
    return f"{told['above_bytes'] / 1e6:.1f} MB{first}"


TITLES = {
    "steps": "Training steps", "ops": "Operations, forward and backward",
    "memory": "Peak memory of a step, above the process's size with the model built",
    "scaling": "Growth",
}  # fmt: skip


def headline(content: dict[str, Any]) -> str:
    """Return the sentence about the headline's rows; "" where none was measured."""
    sentences = []
    for peer in peers_of(content["rows"]):
        found = summary(content, peer)
        if found is not None:
            sentences.append(
                f"Ours / {peer} over {found['rows']} rows: geometric mean {found['mean']:.2f}, "
                f"greatest {found['worst']:.2f} ({found['worst_row']})."
            )
    return " ".join(sentences)


def busy(content: dict[str, Any]) -> str:
    """Return the sentence about rows that were timed on a busy machine; "" where none was."""
    names = [row["name"] for row in content["rows"] if row.get("elsewhere", 0) > Plan.quiet]
    if not names:
        return ""
    return f"The machine was busy elsewhere while these were timed: {', '.join(names)}."


def table(content: dict[str, Any], suites: Sequence[str] = tuple(TITLES)) -> str:
    """Return a result as tables in Markdown, one for each suite."""
    parts = []
    for suite in suites:
        title = TITLES[suite]
        rows = [row for row in content["rows"] if row["suite"] == suite]
        if not rows:
            continue
        text = memory_table(rows) if suite == "memory" else times_table(content, rows)
        parts.append(f"{title}:\n\n{text}")
    parts.append("\n".join(f"- {fit['text']}" for fit in content.get("growth", ())))
    parts.append(busy(content))
    return "\n\n".join(filter(None, [headline(content), *parts]))


def heading(content: dict[str, Any]) -> str:
    """Return one line about where and when a result was taken."""
    found = content.get("machine", {})
    rates = content.get("rates")
    parts = [
        str(found.get("cpu", "?")), f"{content.get('threads', '?')} threads",
        *[f"{name} {found[name]}" for name in ("numpy", "torch", "jax") if found.get(name)],
        str(content.get("started", ""))[:10],
    ]  # fmt: skip
    if rates:
        parts.append(f"products {rates['matmul'] / 1e9:.0f} GFLOP/s")
        parts.append(f"copies {rates['copy'][-1][1] / 1e9:.0f} GB/s")
    return ", ".join(parts)


# -- the README's block ----------------------------------------------------------------------------
def is_cpu_result(content: Any) -> bool:
    """Whether a file's content is a result of all suites on a CPU, in full length."""
    return (
        isinstance(content, dict)
        and content.get("kind") == "cpu"
        and content.get("whole") is True
        and not content.get("jit")
        and content.get("quick") is False
    )


def newest(folder: Path = FOLDER) -> Path | None:
    """Return the newest whole result of a CPU in a folder; None where there is none."""
    return cuda_results.newest_of(folder, is_cpu_result)


def _plots(path: Path) -> str:
    """Return the plots that lie beside a result, as pictures in Markdown."""
    names = ("ratios", "memory", "scaling")
    drawn = [f"{path.stem}-{name}.png" for name in names]
    return "".join(
        f"\n\n![{name}](benchmarks/results/{file})"
        for name, file in zip(names, drawn, strict=True) if (path.parent / file).is_file()
    )  # fmt: skip


def block(folder: Path = FOLDER) -> str:
    """Return what the README's block says: the newest result of a CPU, or that there is none."""
    path = newest(folder)
    if path is None:
        return NOT_YET
    content = json.loads(path.read_text(encoding="utf-8"))
    return (
        f"{heading(content)}. Median and quartiles; ratios are medians over the rounds "
        f"([benchmarks/results/{path.name}](benchmarks/results/{path.name})).\n\n"
        f"{table(content, ('steps', 'ops', 'memory'))}{_plots(path)}"
    )


def with_block(text: str, folder: Path = FOLDER) -> str:
    """Return a document with its block brought up to date."""
    return cuda_results.within(text, BEGIN, END, block(folder))
