"""What this machine reaches: the rate of big products, and of copies within each cache.

A row's floor is its products at the one rate and the bytes that it must touch at the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

SIDE = 2048
# Bytes read and written by a copy: in the second-level caches, in the third, and in memory.
WORKING_SETS = (2**19, 2**21, 2**23, 2**25, 2**28)


def best(call: Callable[[], Any], seconds: float) -> float:
    """Return the seconds of the fastest call."""
    end, found = time.perf_counter() + seconds, float("inf")
    while True:
        start = time.perf_counter()
        call()
        now = time.perf_counter()
        found = min(found, now - start)
        if now > end:
            return found


class Rates:
    """Measures the rates with NumPy in a process of its own."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def measure(
        self, side: int = SIDE, seconds: float = 0.4, most: int = WORKING_SETS[-1]
    ) -> dict[str, Any]:
        """Return the operations per second of a product, and pairs of bytes and bytes per second.

        A copy of n bytes touches 2 n: they are read and written. No more than `most` are touched.
        """
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal((side, side), np.float32) for _ in range(2))
        out = np.empty_like(a)
        matmul = 2.0 * side**3 / best(lambda: np.matmul(a, b, out=out), 2 * seconds)
        return {
            "matmul": matmul, "side": side,
            "copy": [[size, self.copy(size, seconds)] for size in WORKING_SETS if size <= most],
        }  # fmt: skip

    def copy(self, size: int, seconds: float) -> float:
        """Return the bytes touched per second by copies of one working set, all threads at work."""
        parts = [
            (np.ones(size // 2 // self.threads, np.uint8),
             np.ones(size // 2 // self.threads, np.uint8)) for _ in range(self.threads)
        ]  # fmt: skip
        repeats = max(1, 2**24 // size)

        def work(pair: tuple[np.ndarray, np.ndarray]) -> None:
            for _ in range(repeats):
                np.copyto(*pair)

        with ThreadPoolExecutor(self.threads) as pool:
            took = best(lambda: list(pool.map(work, parts)), seconds / 2)
        touched = 2 * sum(one.nbytes for one, _ in parts)
        return touched * repeats / took


def better(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the greater of each rate of two measurements."""
    pairs = zip(one["copy"], other["copy"], strict=True)
    return {
        "matmul": max(one["matmul"], other["matmul"]), "side": one["side"],
        "copy": [[first[0], max(first[1], second[1])] for first, second in pairs],
    }  # fmt: skip


def copy_rate(rates: dict[str, Any], touched: float) -> float:
    """Return the rate of copies that touch so much, between the sizes measured by interpolation."""
    sizes, found = (np.array(column, float) for column in zip(*rates["copy"], strict=True))
    return float(np.interp(np.log(max(touched, 1.0)), np.log(sizes), found))


def floor_seconds(rates: dict[str, Any], operations: float, touched: float) -> float:
    """Return the least seconds that a row can take at these rates."""
    return operations / rates["matmul"] + touched / copy_rate(rates, touched)
