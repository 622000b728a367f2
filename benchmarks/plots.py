"""Plots of a CPU result: bars of ratios, and time against batch, width, depth and threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .contenders import OURS, PEERS
from .cpu_results import peers_of, ratio

COLOURS = {
    OURS: "#d95f02", "torch": "#7570b3", "torch-compile": "#1b9e77", "jax": "#4c78a8",
    "numpy": "#888888", "eager": "#333333",
}  # fmt: skip
MARKERS = {OURS: "o", "torch": "s", "torch-compile": "^", "jax": "D", "numpy": "v", "eager": "P"}


def _figures() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw(content: dict[str, Any], folder: Path, stem: str) -> Iterator[Path]:
    """Draw what a result has rows of; yield the files.

    Parameters
    ----------
    content
        A result of the CPU suite.
    folder, stem
        Where the files go, and how their names begin.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in content["rows"] if row["status"] == "measured"]
    groups = {
        "ratios": ("time", [row for row in rows if row["suite"] in ("steps", "ops")]),
        "memory": ("peak memory", [row for row in rows if row["suite"] == "memory"]),
    }
    for name, (what, chosen) in groups.items():
        chosen = [row for row in chosen if row.get("ratios")]
        if chosen:
            path = folder / f"{stem}-{name}.png"
            ratios(content, chosen, what, path)
            yield path
    if any(row["suite"] == "scaling" for row in rows):
        path = folder / f"{stem}-scaling.png"
        scaling(content, [row for row in rows if row["suite"] == "scaling"], path)
        yield path


def _subtitle(content: dict[str, Any]) -> str:
    machine = content.get("machine", {})
    versions = [f"{name} {machine[name]}" for name in ("numpy", "torch", "jax") if name in machine]
    threads = f"{content.get('threads', '?')} threads"
    return ", ".join([str(machine.get("cpu", "?")), threads, *versions])


TICKS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)


def ratios(content: dict[str, Any], rows: list[dict[str, Any]], what: str, path: Path) -> None:
    """Draw our time, or memory, over each peer's: a group of bars for each row."""
    pyplot = _figures()
    names = [name for name in PEERS if name in peers_of(rows)]
    height = 1.5 + len(rows) * (0.14 + 0.14 * len(names))
    figure, axes = pyplot.subplots(figsize=(9, height), layout="constrained")
    thick, everything = 0.84 / len(names), [0.5, 1.5]
    for place, name in enumerate(names):
        found = [(y, value) for y, row in enumerate(rows) if (value := ratio(row, name))]
        ys = [y - 0.42 + (place + 0.5) * thick for y, _ in found]
        values = [value for _, value in found]
        everything += values
        axes.barh(ys, [value - 1 for value in values], thick * 0.92, left=1.0,
                  color=COLOURS[name], label=f"ours / {name}")  # fmt: skip
        for y, value in zip(ys, values, strict=True):
            less = value < 1
            axes.annotate(f"{value:.2f}", (value, y), (-3 if less else 3, 0), va="center",
                          ha="right" if less else "left", textcoords="offset points",
                          fontsize=7)  # fmt: skip
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    low, high = min(everything) / 1.5, max(everything) * 1.5
    axes.set_xlim(low, high)
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.get_xaxis().set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"our {what} over the peer's: left of 1 ours is less")
    axes.set_title(_subtitle(content), fontsize=9)
    figure.legend(fontsize=8, loc="outside lower center", ncols=len(names))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


LABELS = {
    "batch": "batch (MLP 784-256-128-10)", "width": "width (three layers, batch 64)",
    "depth": "layers (32 wide, batch 16)",
}  # fmt: skip


def scaling(content: dict[str, Any], rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the time of a step against batch, width and depth, log-log; what threads bring."""
    pyplot = _figures()
    figure, panels = pyplot.subplots(2, 2, figsize=(11, 8.4), layout="constrained")
    for axes, (axis, label) in zip(panels.flat, LABELS.items(), strict=False):
        _lines(axes, [row for row in rows if row.get("axis") == axis], axis, label, content)
    _speed_ups(panels[1, 1], [
        fit for fit in content.get("growth", ()) if fit["axis"] == "threads"
    ])  # fmt: skip
    figure.suptitle(_subtitle(content), fontsize=10)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _lines(axes: Any, rows: list[dict[str, Any]], axis: str, label: str,
           content: dict[str, Any]) -> None:  # fmt: skip
    slopes = {
        fit["contender"]: fit["exponent"]
        for fit in content.get("growth", ())
        if fit["axis"] == axis
    }
    for name in (OURS, *PEERS):
        points = [
            (row["length"], row["contenders"][name]) for row in rows
            if "median_ms" in row["contenders"].get(name, {})
        ]  # fmt: skip
        if not points:
            continue
        text = name + (f", {axis}^{slopes[name]:.2f}" if name in slopes else "")
        axes.plot([x for x, _ in points], [told["median_ms"] for _, told in points],
                  marker=MARKERS[name], markersize=4, color=COLOURS[name], label=text)  # fmt: skip
        axes.fill_between([x for x, _ in points], [told["low_ms"] for _, told in points],
                          [told["high_ms"] for _, told in points],
                          color=COLOURS[name], alpha=0.2)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    from matplotlib.ticker import LogLocator, NullFormatter

    lengths = sorted({row["length"] for row in rows})
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.get_yaxis().set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.get_yaxis().set_major_formatter("{x:g}")
    axes.get_yaxis().set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)
    axes.set_ylabel("ms per step")
    axes.grid(alpha=0.3, which="major")
    if rows:
        axes.legend(fontsize=8)


def _speed_ups(axes: Any, fits: list[dict[str, Any]]) -> None:
    """Draw how many times as fast each network is with more threads than one."""
    titles = list(dict.fromkeys(fit["row"] for fit in fits))
    names = list(dict.fromkeys(fit["contender"] for fit in fits))
    thick = 0.8 / max(1, len(names))
    for place, name in enumerate(names):
        found = [(titles.index(fit["row"]), fit["speedup"]) for fit in fits
                 if fit["contender"] == name]  # fmt: skip
        xs = [x - 0.4 + (place + 0.5) * thick for x, _ in found]
        values = [value for _, value in found]
        axes.bar(xs, values, thick * 0.92, color=COLOURS[name], label=name)
        for x, value in zip(xs, values, strict=True):
            axes.annotate(f"{value:.2f}", (x, value), (0, 2), textcoords="offset points",
                          ha="center", fontsize=8)  # fmt: skip
    axes.axhline(1.0, color="black", linewidth=1)
    axes.margins(y=0.3)
    axes.set_xticks(range(len(titles)), [t.replace(", ", "\n") for t in titles], fontsize=8)
    axes.set_ylabel("times as fast as with one thread")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    if fits:
        axes.legend(fontsize=8, ncols=len(names), loc="upper center")
