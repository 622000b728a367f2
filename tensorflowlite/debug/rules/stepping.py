"""TFL2..: which gradients an optimizer's step has, and which parameters it holds."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

from ...core.tensor import Tensor
from ...optim import Optimizer
from ...runtime import changed, owner_of
from .declare import Limits, Rule

if TYPE_CHECKING:
    from ..findings import Report
    from ..moments import Step

_AGAIN = 2  # steps without a gradient before a parameter is told of


class StepWithoutGradients(Rule):
    """A step before any backward pass, or after the gradients were dropped."""

    id = "TFL201"
    name = "step-without-gradients"
    found = "{optimizer}.step() was called, got no gradient for any of its {count} parameters"
    mend = "call backward() between zero_grad() and step(), on a loss that depends on them"

    def before_step(self, step: Step) -> None:
        if step.parameters and not any(p.grad is not None for p in step.parameters):
            optimizer = type(step.optimizer).__name__
            self.tell(step.site, optimizer=optimizer, count=len(step.parameters))


class StepTwice(Rule):
    """A second step with the gradients of the one before."""

    id = "TFL202"
    name = "step-twice"
    found = "{optimizer}.step() was called again, got the gradients that it has used already"
    mend = "call backward() before each step, and step() once per backward"

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._used: weakref.WeakKeyDictionary[Any, tuple[int, dict[int, Any]]]
        self._used = weakref.WeakKeyDictionary()

    def before_step(self, step: Step) -> None:
        used = self._used.get(step.optimizer)
        given = [p for p in step.parameters if p.grad is not None]
        if used is None or not given:
            return
        backwards, marks = used
        reached = step.watcher.reached
        if any(reached.get(p.node, 0) > backwards for p in given):
            return
        if all(_is_mark(marks.get(id(p)), p.grad) for p in given):
            self.tell(step.site, optimizer=type(step.optimizer).__name__)

    def after_step(self, step: Step) -> None:
        marks = {id(p): _mark(p.grad) for p in step.parameters if p.grad is not None}
        self._used[step.optimizer] = step.watcher.backwards, marks


def _mark(grad: Any) -> tuple[weakref.ref[Tensor], int]:
    return weakref.ref(grad), changed.get(id(owner_of(grad.array)), 0)


def _is_mark(mark: Any, grad: Any) -> bool:
    """Whether a gradient is the one that was marked, and hasn't been changed since."""
    return mark is not None and mark[0]() is grad and _mark(grad)[1] == mark[1]


class NotInAnOptimizer(Rule):
    """A trainable parameter that gets gradients, but that no optimizer holds."""

    id = "TFL203"
    name = "not-in-an-optimizer"
    found = "backward() gives parameter {parameter!r} a gradient, got no optimizer that holds it"
    mend = "add it to an optimizer, or freeze it with requires_grad_(False)"

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._backwards = 0  # how many there were at the last step
        self._judged: set[Any] = set()  # leaves

    def before_step(self, step: Step) -> None:
        watcher = step.watcher
        since, self._backwards = self._backwards, watcher.backwards
        held = watcher.held()
        unheld = [x for x, last in list(watcher.reached.items()) if last > since and x not in held]
        if not unheld:
            return
        names = watcher.names()
        unheld = [leaf for leaf in unheld if leaf in names and leaf not in self._judged]
        if not unheld:
            return
        # One that was made earlier may hold it, and have its turn later.
        watcher.optimizers.update(one for one in gc.get_objects() if isinstance(one, Optimizer))
        held = watcher.held()
        for leaf in unheld:
            self._judged.add(leaf)
            if leaf not in held:
                self.tell(step.site, names[leaf], parameter=names[leaf])


class NoGradient(Rule):
    """A parameter of an optimizer that never gets a gradient."""

    id = "TFL204"
    name = "no-gradient"
    found = "{optimizer} holds parameter {parameter!r}, got no gradient for it in {steps} steps"
    mend = "use it in the loss (is it detached on the way?), or leave it out of the optimizer"

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._without: weakref.WeakKeyDictionary[Any, dict[int, int]] = weakref.WeakKeyDictionary()

    def before_step(self, step: Step) -> None:
        counts = self._without.setdefault(step.optimizer, {})
        if not any(p.grad is not None for p in step.parameters):
            return  # another rule's
        for p in step.parameters:
            if p.grad is not None:
                counts[id(p)] = -1  # for good
            elif counts.get(id(p), 0) >= 0:
                counts[id(p)] = count = counts.get(id(p), 0) + 1
                if count == _AGAIN:
                    name = step.name_of(p)
                    optimizer = type(step.optimizer).__name__
                    self.tell(step.site, name, optimizer=optimizer, parameter=name, steps=count)


class ZeroGradient(Rule):
    """A parameter whose gradient has been zero at every step."""

    id = "TFL205"
    name = "zero-gradient"
    found = "the gradient of parameter {parameter!r} was zero in all of {steps} steps"
    mend = "look for what cuts it off: a dead activation, a mask, a product with zero"

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._zeros: weakref.WeakKeyDictionary[Any, dict[int, int]] = weakref.WeakKeyDictionary()

    def before_step(self, step: Step) -> None:
        counts = self._zeros.setdefault(step.optimizer, {})
        magnitudes = step.magnitudes
        for p in step.parameters:
            count = counts.get(id(p), 0)
            if count < 0 or id(p) not in magnitudes:
                continue
            if magnitudes[id(p)] != 0:
                counts[id(p)] = -1  # for good
                continue
            counts[id(p)] = count + 1
            if count + 1 == self.limits.steps:
                name = step.name_of(p)
                self.tell(step.site, name, parameter=name, steps=count + 1)
