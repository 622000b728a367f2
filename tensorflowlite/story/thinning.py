"""Making a story small enough for a page."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

LARGEST = 2_700_000  # bytes of JSON: with its program a page stays below 3 MB

Data = dict[str, Any]


def thinned(data: Data, largest: int) -> Data:
    """Return the data, less what makes it larger than so many bytes: the least needed first."""
    if _size(data) <= largest:
        return data
    data = copy.deepcopy(data)
    for what, leave_out in _STEPS:
        while True:
            more = leave_out(data)
            if _size(data) <= largest:
                data["notes"].append(f"To keep the page small, {what} left out.")
                return data
            if not more:
                break
    data["notes"].append("The page is large: even without numbers there is this much to tell.")
    return data


def _size(data: Data) -> int:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "replace"))


def _arrays(part: Any) -> Iterator[Data]:
    """Yield every array that is told of."""
    if isinstance(part, list):
        for one in part:
            yield from _arrays(one)
    elif isinstance(part, dict):
        if "dtype" in part and "shape" in part:
            yield part
        else:
            for one in part.values():
                yield from _arrays(one)


def _without(*keys: str, within: str = "iterations") -> Callable[[Data], bool]:
    def leave_out(data: Data) -> bool:
        parts = data["iterations"]
        if within != "iterations":
            parts = [one[within] for one in data["iterations"]]
        for array in _arrays(parts):
            for key in keys:
                array.pop(key, None)
        return False

    return leave_out


def _middle(data: Data) -> bool:
    """Leave out half of the iterations between the first and the last; say if there are more."""
    before = data["iterations"]
    if len(before) <= 2:
        return False
    wanted = {one["iteration"] for one in data["reasons"]}  # by index
    kept = [
        one for i, one in enumerate(before)
        if i in (0, len(before) - 1) or one["index"] in wanted or i % 2 == 0
    ]  # fmt: skip
    if len(kept) == len(before):
        kept = [
            one for i, one in enumerate(before)
            if i in (0, len(before) - 1) or one["index"] in wanted
        ]  # fmt: skip
    if len(kept) == len(before):
        return False
    data["iterations"] = kept
    return True


def _locals(data: Data) -> bool:
    for one in data["iterations"]:
        for flow in one["flows"]:
            for part in flow["parts"]:
                part["local"] = None
    return False


def _all_but_norms(data: Data) -> bool:
    for array in _arrays(data["iterations"]):
        for key in ("min", "max", "mean", "std", "zeros", "values"):
            array.pop(key, None)
    return False


_STEPS: tuple[tuple[str, Callable[[Data], bool]], ...] = (
    ("heat maps of gradients are", _without("heat", within="flows")),
    ("heat maps are", _without("heat")),
    ("histograms of gradients are", _without("histogram", within="flows")),
    ("heat maps, histograms of gradients and iterations between first and last are", _middle),
    ("heat maps, all histograms and iterations between first and last are", _without("histogram")),
    ("pictures, local derivatives and iterations between first and last are", _locals),
    ("pictures, local derivatives, small tensors' values and iterations are", _without("values")),
    ("all numbers but norms are", _all_but_norms),
)
