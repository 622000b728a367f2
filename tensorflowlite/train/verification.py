"""Gradients held to central differences while a training runs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import runtime
from ..backend import dtypes
from ..core.primitive import exchange_rules
from ..core.tensor import Tensor
from ..debug.rule_checks import find_wrong_rule
from ..debug.wide_checks import find_inexact_call
from ..errors import GradientError
from ..ops import random
from ..ops.creation import asarray
from ..ops.reduction import sum as total
from ..transforms.tree import map_leaves

_STEP = 1e-5  # of the parameters' magnitude
# How far gradients may be from the differences, as a part of their size along the direction.
_TOLERANCES = {dtypes.float64: 1e-5, dtypes.float32: 2e-2}
_OF_HALF = 0.2
_ROUNDINGS = 64
_TOGETHER = (
    "no operation by itself is shown to be at fault; look at layers that hand their gradient over "
    "unevaluated"
)
_TRIES = 4  # directions: along some a wrong gradient happens to be right


class Verifier:
    """Verifies a model's gradients at every ``every``-th call: those of its loss on the batch.

    The gradients are those of a copy of the model, so that nothing of the training is touched, and
    are compared with differences of the loss in float64: along one random direction of all
    parameters, and along one of a single parameter, another one each time.
    """

    def __init__(self, model: Any, loss: Callable[[Any, Any], Any], every: int) -> None:
        self.model, self.loss, self.every = model, loss, every
        self.calls = self.checks = 0

    def __call__(self, inputs: tuple[Any, ...], target: Any) -> None:
        """Raise `GradientError` if this call's gradients are wrong."""
        self.calls += 1
        if self.calls % self.every:
            return
        first = next((p for p in self.model.parameters() if p.requires_grad), None)
        if first is None:
            return
        number, self.checks = self.checks, self.checks + 1
        state = random.get_state(first.device)
        try:
            _Check(self, inputs, target, state, number).run()
        finally:
            random.set_state(state, first.device)


class _Check:
    """One batch, at the parameters as they are."""

    def __init__(
        self, of: Verifier, inputs: tuple[Any, ...], target: Any, state: Any, number: int
    ) -> None:
        self.loss, self.state, self.number = of.loss, state, number
        self.random = np.random.default_rng(number)  # the training's own random numbers stay
        self.given = inputs, target
        self.wide_given = map_leaves(_widened, self.given)
        self.model, self.wide = copy.deepcopy(of.model), copy.deepcopy(of.model).double()
        self.names = [name for name, p in self.model.named_parameters() if p.requires_grad]
        wide = dict(self.wide.named_parameters())
        self.values = {name: wide[name].detach().clone() for name in self.names}
        self.parameters = {name: wide[name] for name in self.names}
        both = [*self.model.buffers(), *self.wide.buffers()]
        self.buffers = [(one, one.detach().clone()) for one in both]
        self.gradients: dict[str, np.ndarray] = {}
        self.tolerance = self.noise = 0.0

    def run(self) -> None:
        """Compare, and raise where they disagree."""
        if not self._take_gradients(self.model, self.given):
            return
        names = list(self.gradients)
        for chosen in (names, [names[self.number % len(names)]]):
            wrong = self._disagreement(chosen)
            if wrong:
                self._judge(chosen, wrong)

    def _take_gradients(self, model: Any, given: Any) -> bool:
        """Let a model's gradients be those that are compared; return whether there are any."""
        if not self._differentiate(model, given):
            return False
        self.gradients = _gradients(model)
        dtypes_of = {p.dtype for p in model.parameters()}
        self.tolerance = max(_TOLERANCES.get(dtype, _OF_HALF) for dtype in dtypes_of)
        eps = max(float(dtypes.float_limits(dtype).eps) for dtype in dtypes_of)
        sizes = [np.linalg.norm(g * self._scale(name)) for name, g in self.gradients.items()]
        self.noise = _ROUNDINGS * eps * float(max(sizes, default=0.0))
        return bool(sizes) and math.isfinite(self.noise)

    def _differentiate(self, model: Any, given: Any) -> bool:
        """Set the gradients of a model at the parameters; return whether the loss had any."""
        model.zero_grad()
        self._move({}, 0.0)
        self._restore_buffers()
        random.set_state(self.state, next(iter(model.parameters())).device)
        with runtime.set_mode(grad=True):
            loss = self.loss(model(*given[0]), given[1])
            if loss.size != 1 or not loss.requires_grad or not math.isfinite(float(loss)):
                return False  # which is told of elsewhere
            loss.backward()
        return True

    def _disagreement(self, names: Sequence[str]) -> str:
        """Return what both sides say along a random direction of some parameters; "" if the same.

        At a kink, where the differences to both sides differ, nothing can be said, nor where those
        of a larger step differ: then something on the way isn't computed in float64.
        """
        directions = {name: self._direction(name) for name in names}
        terms = [self.gradients[name] * v for name, v in directions.items()]
        given = float(sum(one.sum() for one in terms))
        size = math.sqrt(sum(float((one * one).sum()) for one in terms))
        below, here, above = (self._value(directions, h) for h in (-_STEP, 0.0, _STEP))
        wanted = (above - below) / (2 * _STEP)
        roundings = _ROUNDINGS * float(np.finfo(np.float64).eps) * abs(here) / _STEP
        # What cancels out in the gradient of one (a bias before batch norm) are roundings as well.
        allowed = self.tolerance * max(size, abs(wanted)) + roundings + self.noise
        if not math.isfinite(wanted) or abs(given - wanted) <= allowed:
            return ""
        bend = abs((above - here) - (here - below)) / _STEP
        further = self._value(directions, 10 * _STEP) - self._value(directions, -10 * _STEP)
        unsure = max(bend, abs(further / (20 * _STEP) - wanted))
        if abs(given - wanted) <= 2 * unsure:
            return ""
        return f"got {given:.6g} where those give {wanted:.6g}"

    def _direction(self, name: str) -> np.ndarray:
        return self.random.choice([-1.0, 1.0], self.values[name].shape) * self._scale(name)

    def _scale(self, name: str) -> float:
        """Return how large a parameter's elements are, by which steps along it are measured."""
        value = asarray(self.values[name], device="cpu").numpy()
        return float(np.sqrt((value * value).mean())) or 1e-2

    def _restore_buffers(self) -> None:
        with runtime.set_mode(grad=False):
            for buffer, before in self.buffers:
                buffer[...] = before

    def _value(self, directions: dict[str, np.ndarray], step: float) -> float:
        """Return the loss in float64 at parameters moved along directions."""
        self._move(directions, step)
        self._restore_buffers()
        random.set_state(self.state, next(iter(self.parameters.values())).device)
        with runtime.set_mode(grad=False):
            return float(total(self.loss(self.wide(*self.wide_given[0]), self.wide_given[1])))

    def _move(self, directions: dict[str, np.ndarray], step: float) -> None:
        with runtime.set_mode(grad=False):
            for name, p in self.parameters.items():
                moved = self.values[name]
                if step and name in directions:
                    moved = moved + asarray(directions[name] * step, device=p.device)
                p[...] = moved

    # -- where it comes from -----------------------------------------------------------------------
    def _judge(self, names: Sequence[str], wrong: str) -> None:
        """Raise for gradients that disagree, unless roundings alone explain it.

        Those are large where numbers that are nearly equal are subtracted: at a loss of nearly
        zero, say. In float64 such gradients agree, and each operation by itself is right.
        """
        if self._take_gradients(self.wide, self.wide_given):
            again = next(filter(None, (self._disagreement(names) for _ in range(_TRIES))), "")
            if again:
                raise GradientError(self._told(*self._halved(names, again), self._wrong_rule()))
        self._take_gradients(self.model, self.given)

        def own() -> None:
            self._differentiate(self.model, self.given)

        at_fault = find_inexact_call(own) or self._deferral(own)
        if at_fault:
            raise GradientError(self._told(*self._halved(names, wrong), at_fault))

    def _halved(self, names: Sequence[str], wrong: str) -> tuple[Sequence[str], str]:
        """Return the fewest parameters whose gradients disagree, and what is said of them."""
        while len(names) > 1:
            middle = len(names) // 2
            for half in [names[:middle], names[middle:]] * _TRIES:
                text = self._disagreement(half)
                if text:
                    names, wrong = half, text
                    break
            else:
                break  # only together
        return names, wrong

    def _told(self, names: Sequence[str], wrong: str, at_fault: str) -> str:
        which = f"parameter '{names[0]}'" if len(names) == 1 else f"{len(names)} parameters"
        return (
            "fit: the gradients must agree with central differences of the loss in float64, "
            f"{wrong}, for {which}; {at_fault}"
        )

    def _wrong_rule(self) -> str:
        rule = find_wrong_rule(
            lambda: self._differentiate(self.wide, self.wide_given), self.random
        )
        return _TOGETHER if rule is None else str(rule)

    def _deferral(self, own: Callable[[], Any]) -> str:
        """Return what is to say where gradients handed over unevaluated make the difference."""
        restore = exchange_rules(lambda op, rule: rule)
        try:
            own()
        finally:
            restore()
        for name, g in _gradients(self.model).items():
            apart = np.linalg.norm((g - self.gradients[name]) * self._scale(name))
            if apart > self.tolerance * np.linalg.norm(g * self._scale(name)) + self.noise:
                return _TOGETHER
        return ""


def _gradients(model: Any) -> dict[str, np.ndarray]:
    return {
        name: asarray(p.grad.detach(), dtype=dtypes.float64, device="cpu").numpy()
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is not None
    }


def _widened(leaf: Any) -> Any:
    if isinstance(leaf, Tensor) and leaf.dtype in dtypes.real_inexact:
        return asarray(leaf, dtype=dtypes.float64)
    return leaf
