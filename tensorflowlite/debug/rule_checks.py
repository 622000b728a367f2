"""Finding the operation whose gradient rule is wrong: each held to its own differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..backend import as_array, backend_of, changing, dtypes, is_array
from ..core import tape
from ..core.primitive import Primitive, exchange_rules, registry, traced, watch
from ..core.tensor import wrap
from ..runtime import set_mode, tick
from ..transforms.sites import Site

_STEP = 1e-6
_BESIDE = 1e-2
_TOLERANCE = 1e-4  # of the sums of magnitudes


class WrongRule(NamedTuple):
    """A gradient rule that disagrees with central differences.

    Attributes
    ----------
    operation, input : str
        The operation, and which of its inputs the gradient is for.
    given, wanted : float
        What the rule gives along a random direction, and what the differences do.
    place : str
        Where the operation was called, and in which module.
    """

    operation: str
    input: str
    given: float
    wanted: float
    place: str

    def __str__(self) -> str:
        place = f"; {self.place}" if self.place else ""
        return (
            f"the gradient of {self.operation} for {self.input} is {self.given:.6g} along a random "
            f"direction, where central differences are {self.wanted:.6g}{place}"
        )


class _Found(BaseException):
    """Ends the run; no `except Exception` on the way takes it."""

    def __init__(self, rule: WrongRule) -> None:
        super().__init__()
        self.rule = rule


class _Made(NamedTuple):
    """A call of an operation that made a node."""

    run: Callable[..., Any]
    args: tuple[Any, ...]
    changes: tuple[int, ...]  # which of them it changes: a random state, say
    site: Site


class _Checker:
    def __init__(self, random: Any) -> None:
        self.random = random  # NumPy's generator: the program's own random numbers stay
        self.made: dict[int, _Made] = {}  # by the ticks of the nodes
        self.inside = False  # a check: then nothing is checked

    def wrap(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        changes = changing.get(name, ())
        if name not in registry or not isinstance(changes, tuple) or 0 in changes:
            return run

        def watched(*args: Any, **options: Any) -> Any:
            if options or self.inside:  # with options it changes its first argument
                return run(*args, **options)
            kept = tuple([_copy(x) for x in args])
            result = run(*args)
            made = _Made(run, kept, changes, Site())
            self.made[tick() + 1] = made  # a node takes the tick after this one
            return result

        return watched

    def watched(self, op: Primitive, rule: Any) -> Any:
        place = None if op.joint else _place_of(op, rule)

        def run(node: Any, g: Any, k: Any, need: Any) -> Any:
            result = rule(node, g, k, need)
            made = self.made.get(node.born)
            if made is not None and not self.inside:
                results = list(result) if place is None else [None] * place + [result]
                self.check(op, made, g, k, results)
            return result

        return run

    def check(self, op: Primitive, made: _Made, g: Any, k: Any, results: Sequence[Any]) -> None:
        """Raise if a result isn't what the implementation's differences give."""
        names = op.input_names(len(results))
        for i, (name, r) in enumerate(zip(names, results, strict=True)):
            x = made.args[i]
            if not is_array(r) or not is_array(x) or x.dtype != dtypes.float64 or not x.size:
                continue
            r = k.sum_to(r, x.shape) if r.shape != x.shape else r
            disagrees, given, wanted = self.compare(op, made, g, i, x, r)
            if disagrees is None:  # at a kink, as of a maximum of equal numbers: look beside it
                beside = x + _BESIDE * self.like(x)
                disagrees, given, wanted = self.compare(
                    op, made, g, i, beside, self.gradient(op, made, g, i, beside)
                )
            if disagrees:
                path = made.site.path()
                place = f"module {path!r}; called in {made.site}" if path else f"{made.site}"
                raise _Found(WrongRule(op.called, name, given, wanted, place))

    def compare(self, op: Primitive, made: _Made, g: Any, i: int, x: Any, r: Any) -> Any:
        """Return whether a gradient disagrees, None at a kink; what it gives, what is wanted."""
        v = self.like(x)
        below, here, above = [
            self.value(op, made, i, x + step * v if step else x, g) for step in (-_STEP, 0.0, _STEP)
        ]
        wanted = _total(above, -1, below) / (2 * _STEP)
        given = _sum(r * v)
        allowed = _TOLERANCE * max(_magnitude(above, below) / (2 * _STEP), _sum(abs(r * v)))
        bend = abs(_total(above, -1, here) - _total(here, -1, below)) / _STEP
        apart = abs(given - wanted)
        return None if allowed < apart <= 2 * bend else apart > allowed, given, wanted

    def like(self, x: Any) -> Any:
        """Return random numbers of an array's shape, where it lies."""
        drawn = as_array(self.random.standard_normal(x.shape))
        return backend_of(x).from_host(drawn, backend_of(x).device_of(x))

    def gradient(self, op: Primitive, made: _Made, g: Any, i: int, x: Any) -> Any:
        """Return what the operation's rule gives at another input."""
        several = isinstance(g, tuple | list)
        inputs: list[Any] = [wrap(_copy(one), None) if is_array(one) else one for one in made.args]
        self.inside = True
        try:
            with set_mode(grad=True):
                inputs[i] = wrap(x, None).requires_grad_()
                found = getattr(traced, op.name)(*inputs)
                outputs = list(found) if isinstance(found, tuple) else [found]
                pairs = [
                    (y, wrap(one, None))
                    for y, one in zip(outputs, g if several else [g], strict=True)
                    if one is not None and y.requires_grad
                ]
                ys, ones = zip(*pairs, strict=True)
                return tape.grad(ys, [inputs[i]], ones)[0].array  # type: ignore[union-attr]
        finally:
            self.inside = False

    def value(self, op: Primitive, made: _Made, i: int, x: Any, g: Any) -> list[Any]:
        """Return the outputs at another input, times what came in for them."""
        args = [_copy(one) if j in made.changes else one for j, one in enumerate(made.args)]
        args[i] = x
        found = made.run(*args)
        outputs = found[0] if op.keeps_residual else found
        several = isinstance(outputs, tuple | list)
        gs = g if isinstance(g, tuple | list) else [g]
        pairs = zip(outputs if several else [outputs], gs, strict=True)
        return [y * one for y, one in pairs if one is not None and y.dtype == dtypes.float64]


def _place_of(op: Primitive, rule: Any) -> int:
    rules = [*enumerate(op.raw), *enumerate(op.run_traced)]
    return next(i for i, one in rules if one is rule)


def _copy(x: Any) -> Any:
    return backend_of(x).copy(x) if is_array(x) else x


def _sum(array: Any) -> float:
    total = array.sum()
    return float(backend_of(total).to_host(total)) if is_array(total) else float(total)


def _total(first: list[Any], sign: int, second: list[Any]) -> float:
    return sum(_sum(a + sign * b) for a, b in zip(first, second, strict=True))


def _magnitude(first: list[Any], second: list[Any]) -> float:
    return sum(_sum(abs(a - b)) for a, b in zip(first, second, strict=True))


def find_wrong_rule(function: Callable[[], Any], random: Any) -> WrongRule | None:
    """Return the first gradient rule of a backward pass that disagrees with differences.

    Parameters
    ----------
    function : callable
        Computes in float64, and calls ``backward``.
    random : numpy.random.Generator
        For the directions.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.debug.rule_checks import find_wrong_rule
    >>> x = tfl.ones(3, dtype=tfl.float64, requires_grad=True)
    >>> print(find_wrong_rule(lambda: tfl.tanh(x).sum().backward(), np.random.default_rng(0)))
    None
    """
    checker = _Checker(random)
    watch.start(checker.wrap)
    restore = exchange_rules(checker.watched)
    try:
        function()
    except _Found as found:
        return found.rule
    finally:
        restore()
        watch.stop(checker.wrap)
    return None
