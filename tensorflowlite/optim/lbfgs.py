"""L-BFGS: a quasi-Newton method that evaluates the loss several times per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, StateError
from ..ops.creation import asarray, zeros_like
from ..ops.elementwise import abs as absolute
from ..ops.elementwise import imag, real
from ..ops.joining import concat, stack
from ..ops.reduction import max as greatest
from ..ops.reduction import sum as total
from ..runtime import set_mode
from .optimizer import Optimizer, number
from .wolfe import Point, search

_LISTS = ("old_dirs", "old_stps", "ro", "al")


def _dot(x: Tensor, y: Tensor) -> float:
    return float(total(x * y))


class LBFGS(Optimizer):
    """L-BFGS, which knows the curvature from the last gradients: for smooth losses of all data.

    A step needs a ``closure`` that computes the loss and its gradients anew; it is called up to
    ``max_eval`` times. There is one group of parameters, on one device.

    Parameters
    ----------
    params : iterable of Tensor, or of (name, Tensor)
        The parameters.
    lr : float
        The length of a step, or what a line search starts from.
    max_iter : int
        How many directions a step goes along.
    max_eval : int, optional
        How often a step evaluates the loss; by default ``max_iter * 5 // 4``.
    tolerance_grad : float
        Stop where no element of the gradient is greater.
    tolerance_change : float
        Stop where loss and parameters change by less.
    history_size : int
        How many gradients are remembered.
    line_search_fn : {None, "strong_wolfe"}
        How to choose the length of a step: ``lr`` itself, or a search.

    Raises
    ------
    ArgumentError
        A hyperparameter is out of its domain, or there are no parameters, or several groups.

    References
    ----------
    Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989;
    Nocedal and Wright, "Numerical optimization", 2006, sections 3.5 and 7.2.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import optim
    >>> p = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((p - 3) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    5.0
    >>> [round(one, 3) for one in p.tolist()]
    [3.0, 3.0]
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self.param_groups:
            raise ArgumentError("LBFGS: there must be one group of parameters, got several")
        super().add_param_group(param_group)

    def check(self, group: Mapping[str, Any]) -> None:
        for key in ("lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change"):
            number(self._name, key, group[key])
        if group["history_size"] < 1:
            raise ArgumentError(
                f"{self._name}: history_size must be at least 1, got {group['history_size']}"
            )
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ArgumentError(
                f"{self._name}: line_search_fn must be None or 'strong_wolfe', got "
                f"{group['line_search_fn']!r}"
            )

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ()

    # -- parameters and gradients as one vector --------------------------------------------------
    def _gradient(self) -> Tensor:
        pieces = []
        for p in self.param_groups[0]["params"]:
            g = zeros_like(p.detach()) if p.grad is None else p.grad.detach()
            if g.dtype.kind == "c":
                g = stack([real(g), imag(g)], axis=-1)
            pieces.append(g.reshape((-1,)))
        return concat(pieces)

    def _move(self, length: float, direction: Tensor) -> None:
        start = 0
        for p in self.param_groups[0]["params"]:
            if p.dtype.kind == "c":
                pairs = direction[start : start + 2 * p.size].reshape((*p.shape, 2))
                change = pairs[..., 0] + pairs[..., 1] * 1j
                start += 2 * p.size
            else:
                change = direction[start : start + p.size].reshape(p.shape)
                start += p.size
            p += change * length

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[float, Tensor]:
        with set_mode(grad=True):
            loss = closure()
        return float(loss), self._gradient()

    # -- the step --------------------------------------------------------------------------------
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Go along up to ``max_iter`` directions.

        Parameters
        ----------
        closure : callable
            Computes the loss and its gradients anew, and returns the loss.

        Returns
        -------
        What the first call of ``closure`` returned.

        Raises
        ------
        ArgumentError
            There is no closure.
        """
        if closure is None:
            raise ArgumentError("LBFGS: a step needs a closure that returns the loss, got None")
        return super().step(closure)

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        assert closure is not None
        with set_mode(grad=True):
            first = closure()
        with set_mode(grad=False):
            self._iterate(closure, float(first), self._gradient())
        return first

    def _iterate(self, closure: Callable[[], Any], loss: float, gradient: Tensor) -> None:
        group = self.param_groups[0]
        state: dict[str, Any] = self.state.setdefault(group["params"][0], {})
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)
        evaluations = 1
        if float(greatest(absolute(gradient))) <= group["tolerance_grad"]:
            return
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            self._choose_direction(state, gradient, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"] = gradient, loss
            direction = state["d"]
            length = group["lr"]
            if state["n_iter"] == 1:
                length *= min(1.0, 1.0 / float(total(absolute(gradient))))
            state["t"] = length
            slope = _dot(gradient, direction)
            if slope > -group["tolerance_change"]:
                return
            previous = loss
            if group["line_search_fn"]:
                start = Point(0.0, loss, gradient, slope)
                found, used = self._search(closure, start, length, group["max_eval"] - evaluations)
                loss, gradient, length = found.loss, found.gradient, found.length
                state["t"] = length
                self._move(length, direction)
            else:
                self._move(length, direction)
                used = 0
                if iteration < group["max_iter"]:
                    loss, gradient = self._evaluate(closure)
                    used = 1
            evaluations += used
            state["func_evals"] += used
            if (
                iteration == group["max_iter"]
                or evaluations >= group["max_eval"]
                or float(greatest(absolute(gradient))) <= group["tolerance_grad"]
                or float(greatest(absolute(direction))) * length <= group["tolerance_change"]
                or abs(loss - previous) < group["tolerance_change"]
            ):
                return

    def _search(
        self, closure: Callable[[], Any], start: Point, length: float, most: int
    ) -> tuple[Point, int]:
        """Find a length along the present direction, from ``start``; the parameters stay."""
        parameters = self.param_groups[0]["params"]
        kept = [p.detach().clone() for p in parameters]
        direction = self.state[parameters[0]]["d"]

        def at(t: float) -> Point:
            self._move(t, direction)
            loss, gradient = self._evaluate(closure)
            for p, old in zip(parameters, kept, strict=True):
                p[...] = old
            return Point(t, loss, gradient, _dot(gradient, direction))

        widest = float(greatest(absolute(direction)))
        tolerance = self.param_groups[0]["tolerance_change"]
        return search(at, start, length, widest, tolerance, most)

    def _choose_direction(self, state: dict[str, Any], gradient: Tensor, most: int) -> None:
        """Take the newest pair of changes in; set ``d`` to minus the inverse Hessian's product."""
        if state["n_iter"] == 1:
            state.update(d=-gradient, old_dirs=[], old_stps=[], ro=[], H_diag=1.0, al=[None] * most)
            return
        change, step = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = _dot(change, step)
        pairs = [state[name] for name in ("old_dirs", "old_stps", "ro")]
        if curvature > 1e-10:
            for kept, new in zip(pairs, (change, step, 1.0 / curvature), strict=True):
                if len(kept) == most:
                    kept.pop(0)
                kept.append(new)
            state["H_diag"] = curvature / _dot(change, change)
        history = list(zip(*pairs, strict=True))
        shares: list[float] = []
        q = -gradient
        for y, s, weight in reversed(history):
            shares.append(_dot(s, q) * weight)
            q = q - y * shares[-1]
        q = q * state["H_diag"]
        for (y, s, weight), share in zip(history, reversed(shares), strict=True):
            q = q + s * (share - _dot(y, q) * weight)
        state["d"] = q

    # -- states: they are of all parameters, and stand with the first ----------------------------
    def _load(self, state_dict: Mapping[str, Any]) -> None:
        given = dict(state_dict) if isinstance(state_dict, Mapping) else {}
        own = given.get("state", {})
        _, groups = self._read({**given, "state": {}} if "state" in given else given)
        first = self.param_groups[0]["params"][0]
        saved = own.get(groups[0]["params"][0])
        size = sum([p.size * (2 if p.dtype.kind == "c" else 1) for p in self._parameters()])
        read = None if saved is None else {k: self._read_state(k, v) for k, v in saved.items()}
        for name, value in (read or {}).items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, Tensor) and one.shape != (size,):
                    raise StateError(
                        f"load_state_dict: the state must fit LBFGS, got {name} {one.shape} for "
                        f"({size},)"
                    )
        for key, value in groups[0].items():
            if key not in ("params", "param_names"):
                self.param_groups[0][key] = value
        self.state.pop(first, None)
        if read is not None:
            self.state[first] = read

    def _read_state(self, name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._read_state("", one) for one in value]
        if value is None or isinstance(value, int | float):
            return value
        array = asarray(value).detach()
        if not array.ndim:
            return array.item()
        first = self.param_groups[0]["params"][0]
        dtype = real(first.detach()).dtype
        return asarray(array, dtype=dtype, device=first.device).clone()
