"""How the time of a step grows: with batch, width, depth and threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .cpu_rows_steps import WIDTHS, Row, gpt, mlp

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
SIDES = (32, 64, 128, 256, 512, 1024, 2048)
DEPTHS = (2, 4, 8, 16, 32, 64, 128)
# XLA compiles for longer and longer, and says so itself: deep networks are left to the others.
PEERS: dict[str, tuple[str, ...]] = {"depth": ("torch",), "threads": ("torch", "jax")}


def rows(tiny: bool = False) -> dict[str, list[tuple[int, Row]]]:
    """Return the rows of each axis with the length along it."""
    batches, sides, depths = (BATCHES, SIDES, DEPTHS) if not tiny else ((1, 4), (4, 8), (2, 4))
    return {
        "batch": [
            (n, mlp(f"batch-{n}", f"MLP 784-256-128-10, batch {n}", n, WIDTHS)) for n in batches
        ],
        "width": [
            (n, mlp(f"width-{n}", f"MLP of three layers {n} wide, batch 64", 64, (n,) * 4))
            for n in sides
        ],
        "depth": [
            (n, mlp(f"depth-{n}", f"MLP of {n} layers 32 wide, batch 16", 16, (32,) * (n + 1),
                    slack=max(1, (n // 32) ** 2 // 2)))  # rounding grows from layer to layer
            for n in depths
        ],
    }


def thread_rows() -> list[Row]:
    """Return the rows that are run with one thread and with all."""
    return [
        mlp("mlp-256", "MLP 784-256-128-10, batch 256", 256, WIDTHS),
        mlp("mlp-gelu", "MLP 512-2048-512, GELU, batch 512", 512, (512, 2048, 512), "gelu",
            "mse_loss"),
        gpt(128, 8, 64, 4),
    ]  # fmt: skip


def exponent(lengths: Sequence[float], times: Sequence[float]) -> float:
    """Return the slope of log time over log length, by least squares."""
    xs, ys = [math.log(x) for x in lengths], [math.log(y) for y in times]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum(
        (a - x) ** 2 for a in xs
    )


def growth(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how the times of an axis grow, fitted over its upper half, for each contender."""
    found = []
    for axis in ("batch", "width", "depth"):
        measured = [row for row in rows if row.get("axis") == axis and row["status"] == "measured"]
        names = dict.fromkeys(name for row in measured for name in row["ratios"])
        for name in ("tensorflowlite", *names):
            pairs = [
                (row["length"], row["contenders"][name]["median_ms"]) for row in measured
                if "median_ms" in row["contenders"].get(name, {})
            ]  # fmt: skip
            pairs = pairs[len(pairs) // 2 - 1 :] if len(pairs) > 3 else pairs
            if len(pairs) < 2:
                continue
            slope = exponent(*zip(*pairs, strict=True))
            found.append({
                "axis": axis, "contender": name, "exponent": round(slope, 3),
                "text": f"{name}: time grows as {axis}^{slope:.2f} "
                f"from {pairs[0][0]} to {pairs[-1][0]}.",
            })  # fmt: skip
    for one, other in _threads(rows):
        for name, told in one["contenders"].items():
            if "median_ms" not in told:
                continue
            before = one["contenders"][name]["median_ms"]
            after = other["contenders"].get(name, {}).get("median_ms")
            if after is None:
                continue
            found.append({
                "axis": "threads", "contender": name, "row": other["title"],
                "speedup": round(before / after, 3),
                "text": f"{name}, {other['title'].rpartition(', ')[0]}: "
                f"{before / after:.2f} times as fast with {other['length']} threads as with one.",
            })  # fmt: skip
    return found


def _threads(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the pairs of one network's rows with one thread and with more."""
    measured = [row for row in rows if row.get("axis") == "threads" and row["status"] == "measured"]
    base = {row["of"]: row for row in measured if row["length"] == 1}
    return [(base[row["of"]], row) for row in measured if row["length"] > 1 and row["of"] in base]
