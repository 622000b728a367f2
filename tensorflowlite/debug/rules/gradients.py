"""TFL4..: gradients that grow or fade."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

from .declare import Limits, Rule

if TYPE_CHECKING:
    from ..findings import Report
    from ..moments import Step


class ExplodingGradients(Rule):
    """Gradients that have grown far beyond those of the first steps, or aren't finite."""

    id = "TFL401"
    name = "exploding-gradients"
    found = "the greatest gradient, of parameter {parameter!r}, is {value:.3g}, {compared}"
    mend = "lower the learning rate, or clip with nn.utils.clip_grad_norm_ (Trainer: clip_norm)"

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._first: weakref.WeakKeyDictionary[Any, list[float]] = weakref.WeakKeyDictionary()

    def before_step(self, step: Step) -> None:
        broken = [p for p in step.parameters if not math.isfinite(step.magnitudes.get(id(p), 0))]
        if broken:
            name = step.name_of(broken[0])
            value = step.magnitudes[id(broken[0])]
            self.tell(step.site, parameter=name, value=value, compared="got one that isn't finite")
            return
        greatest = max(step.magnitudes.values(), default=0.0)
        first = self._first.setdefault(step.optimizer, [])
        if len(first) < self.limits.steps:
            first.append(greatest)
            return
        before = max(first)
        if before and greatest > self.limits.exploding * before:
            largest = max(step.parameters, key=lambda p: step.magnitudes.get(id(p), 0))
            compared = f"got at most {before:.3g} in the first {len(first)} steps"
            self.tell(step.site, parameter=step.name_of(largest), value=greatest, compared=compared)


class VanishingGradients(Rule):
    """Gradients of a layer that fade away beside those of another."""

    id = "TFL402"
    name = "vanishing-gradients"
    found = "the gradient of {parameter!r} is {ratio:.1e} of that of {other!r}, for {steps} steps"
    mend = "use ReLU and its kin, normalisation or residual connections, or another initialisation"

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._faded: weakref.WeakKeyDictionary[Any, dict[int, int]] = weakref.WeakKeyDictionary()

    def before_step(self, step: Step) -> None:
        counts = self._faded.setdefault(step.optimizer, {})
        # Biases before a normalisation have gradients of rounding errors only, rightly.
        weights = [p for p in step.parameters if p.ndim > 1 and id(p) in step.magnitudes]
        if not weights:
            return
        largest = max(weights, key=lambda p: step.magnitudes[id(p)])
        greatest = step.magnitudes[id(largest)]
        for p in weights:
            value = step.magnitudes[id(p)]
            is_faded = 0 < value < self.limits.vanishing * greatest < math.inf
            counts[id(p)] = count = counts.get(id(p), 0) + 1 if is_faded else 0
            if count == self.limits.steps:
                name = step.name_of(p)
                self.tell(step.site, name, parameter=name, other=step.name_of(largest),
                          ratio=value / greatest, steps=count)  # fmt: skip
