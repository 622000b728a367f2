"""The slots of products once more for each way that there is, so that none hides behind another.

Of a small problem the first candidate that works is taken, of a large one the fastest: the others
would never be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

SLOTS = ("matmul", "linear_act", "product_activation_gradient", "product_gated_gradient")

# What the names of a way's candidates are like.
WAYS = {
    "cublaslt": r"cublaslt .*",
    "unfused": "unfused",
    **{f"hopper {columns}": f"hopper {columns}" for columns in (256, 192, 128)},
    **{f"tiles {size}": f"tiles {size}" for size in ("128x128", "64x64")},
    **{f"tiles {size} split": rf"tiles {size} split \d+" for size in ("128x128", "64x64")},
}


class ByWay:
    """A slot that does its products one way, where that takes them.

    Parameters
    ----------
    slot
        The slot.
    gemm
        The dispatcher that it asks.
    pattern
        What the names of the way's candidates match.
    """

    def __init__(self, slot: Callable[..., Any], gemm: Any, pattern: str) -> None:
        self._slot, self._gemm, self._pattern = slot, gemm, pattern
        self.used = 0  # problems that the way took

    def __call__(self, *args: Any) -> Any:
        gemm, every = self._gemm, type(self._gemm).candidates
        gemm.forget()
        gemm.candidates = lambda problem: self._of_way(list(every(gemm, problem)))
        try:
            return self._slot(*args)
        finally:
            del gemm.candidates
            gemm.forget()

    def _of_way(self, candidates: list[Any]) -> list[Any]:
        found = [one for one in candidates if re.fullmatch(self._pattern, one.name)]
        self.used += bool(found)
        return found or candidates


def slots(table: dict[str, Any]) -> Iterator[tuple[str, ByWay]]:
    """Yield the slots of products in a table by each way, named after both."""
    gemm = getattr(table.get("matmul"), "gemm", None)
    if gemm is None:
        return
    for way, pattern in WAYS.items():
        for name in SLOTS:
            yield f"{name} by {way}", ByWay(table[name], gemm, pattern)
