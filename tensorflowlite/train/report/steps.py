"""The statistics of layers: norms of gradients, and how far a step moves each parameter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import runtime
from ...core.tensor import Tensor
from ...nn.utils import get_total_norm

KEPT = 200  # the most steps of a run that are kept
_ROWS = 64  # the most rows that a report has of them
_NONE = -1.0  # in the place of a norm where there is no gradient


class StepStatistics:
    """What some of a run's steps did to each parameter, or to each module of a large model.

    Of the steps 1, 1 + every, 1 + 2 * every, ... the norm of the gradient, the norm of the
    parameter before the step and that of its change are kept. Where there are more than `KEPT` of
    them, ``every`` doubles, and each second one goes.
    """

    def __init__(self) -> None:
        self.step = 0  # how many steps are done
        self.names: list[str] = []
        self.by_module = False
        self._clear()
        self._parameters: list[Any] = []
        self._rows = np.zeros(0, np.int64)
        self._before: list[Any] | None = None
        self.problem: Exception | None = None  # why no more steps are measured

    def fail(self, problem: Exception) -> None:
        """Measure no more steps."""
        self.problem, self._before = problem.with_traceback(None), None

    def _clear(self) -> None:
        self.every = 1
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.rates: list[float] = []
        # Of each step and row the squared norms of gradient, change and values before; `_NONE`
        # where there is no gradient.
        self.squares: list[np.ndarray] = []

    def begin(self, model: Any, total: int | None) -> None:
        """Look at a model; ``total`` is how many steps there will be, where that is known."""
        held = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
        self._parameters = [parameter for _, parameter in held]
        names, self._rows = rows_of([name for name, _ in held])
        if self.steps and names != self.names:  # another model than the one resumed
            self._clear()
        self.names, self.by_module = names, len(names) < len(held)
        if not self.steps and total:
            self.every = -(-total // KEPT)

    def before_step(self) -> None:
        """Keep the parameters where the next step is to be measured."""
        if self.step % self.every == 0 and self.problem is None:
            with runtime.set_mode(grad=False):
                self._before = [_copy(parameter) for parameter in self._parameters]

    def after_step(self, loss: float, rate: float) -> None:
        """Measure the step that was taken, where its beginning was kept."""
        self.step += 1
        before, self._before = self._before, None
        if before is None:
            return
        with runtime.set_mode(grad=False), np.errstate(all="ignore"):
            found = [
                _squares(parameter, old)
                for parameter, old in zip(self._parameters, before, strict=True)
            ]
        table = np.array(found, np.float64).reshape(-1, 3)
        self.steps.append(self.step)
        self.losses.append(loss)
        self.rates.append(rate)
        self.squares.append(self._joined(table) if self.by_module else table)
        if len(self.steps) > KEPT:
            self._thin()

    def _joined(self, table: np.ndarray) -> np.ndarray:
        """Return the sums over the parameters of each row; those without a gradient add none."""
        count, having = len(self.names), table[:, 0] != _NONE
        with np.errstate(all="ignore"):
            sums = [
                np.bincount(
                    self._rows, np.where(having, column, 0) if place == 0 else column, count
                )
                for place, column in enumerate(table.T)
            ]
        joined = np.stack(sums, 1)
        joined[np.bincount(self._rows, having, count) == 0, 0] = _NONE
        return joined

    def norms(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the norm of all gradients, that of each row, and each row's ratio, by steps."""
        squares = np.array(self.squares, np.float64).reshape(len(self.steps), len(self.names), 3)
        gradient, change, values = (squares[:, :, place] for place in range(3))
        none = gradient == _NONE
        with np.errstate(all="ignore"):
            whole = np.sqrt(np.where(none, 0, gradient).sum(1))
            own = np.sqrt(np.where(none, np.nan, gradient))
            # A parameter of zeros that moves has no ratio, and one that nothing moves has 0.
            ratio = np.where(change == 0, 0.0, np.sqrt(change) / np.sqrt(values))
        return whole, own, ratio

    def _thin(self) -> None:
        self.every *= 2
        kept = [place for place, step in enumerate(self.steps) if (step - 1) % self.every == 0]
        for name in ("steps", "losses", "rates", "squares"):
            column = getattr(self, name)
            setattr(self, name, [column[place] for place in kept])

    # -- keeping ---------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        return {
            "every": self.every,
            "step": self.step,
            "names": list(self.names),
            "steps": np.array(self.steps, np.int64),
            "losses": np.array(self.losses, np.float64),
            "rates": np.array(self.rates, np.float64),
            "squares": np.array(self.squares, np.float64).reshape(
                len(self.steps), len(self.names), 3
            ),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.every, self.step, self.names = state["every"], state["step"], list(state["names"])
        self.steps = [int(step) for step in np.asarray(state["steps"])]
        self.losses = [float(loss) for loss in np.asarray(state["losses"])]
        self.rates = [float(rate) for rate in np.asarray(state["rates"])]
        self.squares = [np.array(table) for table in np.asarray(state["squares"])]

    def describe(self) -> dict[str, Any]:
        """Return what a report's file keeps."""
        whole, own, ratio = self.norms()
        return {
            "every": self.every,
            "total": self.step,
            "by_module": self.by_module,
            "names": list(self.names),
            "step": list(self.steps),
            "loss": _rounded(self.losses),
            "rate": _rounded(self.rates),
            "norm": _rounded(whole),
            "gradient": [_rounded(column) for column in own.T],
            "ratio": [_rounded(column) for column in ratio.T],
        }


def rows_of(names: list[str]) -> tuple[list[str], np.ndarray]:
    """Return the names of the rows, and the row of each parameter.

    A row is a parameter; of a model with many of them the module that holds it, or one that holds
    that.
    """
    rows = list(names)
    if len(rows) > _ROWS:
        rows = [name.rpartition(".")[0] or name for name in names]
    depth = max((row.count(".") for row in rows), default=0)
    while len(dict.fromkeys(rows)) > _ROWS and depth > 0:
        rows = [".".join(row.split(".")[:depth]) for row in rows]
        depth -= 1
    unique = list(dict.fromkeys(rows))
    if len(unique) > _ROWS:
        unique = [*unique[: _ROWS - 1], "(others)"]
    last = len(unique) - 1
    places = {name: place for place, name in enumerate(unique)}
    return unique, np.array([places.get(row, last) for row in rows], np.int64)


def rounded(value: float | None) -> float | None:
    """Return a number with six significant digits, None where it isn't finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _rounded(values: Any) -> list[float | None]:
    return [rounded(float(value)) for value in values]


def _copy(parameter: Any) -> Any:
    array = parameter.array
    return array.copy() if _is_plain(array) else parameter.detach().clone()


def _is_plain(array: Any) -> bool:
    """Whether NumPy alone measures an array: ten times as fast as operations on small ones."""
    return isinstance(array, np.ndarray) and array.dtype.char in "fd"


def _squares(parameter: Any, before: Any) -> tuple[float, float, float]:
    """Return the squared norms of the gradient, of the change, and of the values before."""
    gradient = parameter.grad
    if isinstance(before, np.ndarray):
        change = parameter.array - before
        own = _NONE if gradient is None else _square(gradient.array)
        return own, _square(change), _square(before)
    own = _NONE if gradient is None else _norm(gradient.detach()) ** 2
    return own, _norm(parameter.detach() - before) ** 2, _norm(before) ** 2


def _square(array: Any) -> float:
    if not _is_plain(array):
        return _norm(Tensor(array)) ** 2
    flat = array.ravel(order="K")
    total = float(flat.dot(flat))
    if not math.isfinite(total):  # a square may be too large for float32 where the value isn't
        wide = flat.astype(np.float64)
        total = float(wide.dot(wide))
    return total


def _norm(x: Tensor) -> float:
    return float(get_total_norm([x]))
