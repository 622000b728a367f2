"""Whether two contenders computed the same: losses, gradients, parameters after some steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import cpu_data
from .contender_base import STEPS, Outcome
from .cpu_data import Spec

# Relative errors. Values and gradients are compared in the norm over a whole array: rounding may
# turn single elements at a kink of ReLU or a tie of max pooling; a wrong element of a million
# is an error of 1e-3.
TOLERANCE = {"out": 2e-5, "loss": 2e-5, "gradient": 1e-4, "parameter": 2e-2, "kept": 2e-2}
# Adam divides by a gradient's size: where it is rounding alone, so is the direction of the change.
DECIDED = 1e-3


@dataclass(frozen=True)
class Comparison:
    """One array of one contender beside another's."""

    what: str
    error: float
    tolerance: float

    @property
    def right(self) -> bool:
        return self.error <= self.tolerance  # not so for NaN

    def as_json(self) -> dict[str, Any]:
        error = self.error if np.isfinite(self.error) else None
        return {"what": self.what, "error": error, "tolerance": self.tolerance}


def distance(one: np.ndarray, other: np.ndarray, least: float = 0.0) -> float:
    """Return the norm of a difference over the other's norm; infinity where shapes differ."""
    if one.shape != other.shape:
        return float("inf")
    wide = other.astype(np.float64)
    found = float(np.linalg.norm((one - wide).ravel()))
    if found == 0.0:
        return 0.0
    return found / max(float(np.linalg.norm(wide.ravel())), least)


def compare(spec: Spec, ours: Outcome, theirs: Outcome) -> list[Comparison]:
    """Return the comparisons of everything that a contender returned with ours."""
    if ours.keys() != theirs.keys():
        missing = sorted(ours.keys() ^ theirs.keys())
        return [Comparison(f"only one of the two returned {', '.join(missing)}", np.inf, 0.0)]
    # A bias before softmax or a norm has no gradient but rounding.
    sizes = [
        float(np.linalg.norm(array.ravel().astype(np.float64))) / max(array.size, 1) ** 0.5
        for name, array in theirs.items() if name.startswith("gradient:")
    ]  # fmt: skip
    least = 1e-4 * max(sizes, default=0.0)
    start = cpu_data.parameters(spec) if spec["kind"] == "step" else {}
    found = []
    for name, other in theirs.items():
        one, kind = ours[name], name.partition(":")[0]
        tolerance = TOLERANCE[kind] * spec.get("slack", 1)
        if kind == "parameter":
            leaf = name.partition(":")[2]
            error = _movement(one, other, start[leaf], theirs[f"gradient:{leaf}"])
        elif kind == "loss":  # it may come near zero: beside the first
            error = distance(one, other, abs(float(theirs["loss:0"])))
        elif kind == "gradient":
            error = distance(one, other, least * max(other.size, 1) ** 0.5)
        else:
            error = distance(one, other)
        found.append(Comparison(name, error, tolerance))
    return found


def _movement(one: np.ndarray, other: np.ndarray, start: np.ndarray,
              gradient: np.ndarray) -> float:  # fmt: skip
    """Return the relative error of a parameter's change, where its gradient decided it."""
    if one.shape != other.shape:
        return float("inf")
    size = np.abs(gradient)
    decided = size > DECIDED * size.max(initial=0.0)
    if not np.isfinite(one).all():
        return float("inf")
    least = STEPS * 1e-3 * 1e-2
    return distance((one - start)[decided], (other - start)[decided], least)
