"""`strict`: rules that look at a training program while it runs."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ArgumentError, StateError
from .findings import Report
from .moments import Watcher
from .rules import Limits, find_rules, registry

_on: list[Watcher] = []


class strict:
    """Look for mistakes of training programs: a context manager, off by default.

    Each rule tells once per place, by a `StrictWarning` that says what was found, how to mend it,
    and where: softmax before a loss that applies it, labels out of range, steps without new
    gradients, parameters that no optimizer holds or that get no gradient, a model left in
    evaluation mode, float64, dead layers, gradients that explode or vanish, batch norm of one
    sample, data that is never shuffled. ``docs/strict.md`` lists the rules. Functions of `jit` run
    as they are meanwhile, so that all is seen. While it is off it costs nothing. For all threads.

    Parameters
    ----------
    silence : iterable of str
        Rules not to tell of, by id (``"TFL105"``) or name.
    error : bool
        Whether a finding raises `StrictError` instead, at its place.
    steps : int
        After how many steps (or calls) in a row something counts as dead, zero or vanishing, and
        how many the first steps are that later gradients are compared with.
    exploding : float
        Gradients explode that are so many times those of the first steps.
    vanishing : float
        Gradients vanish that are less than this part of the greatest.

    Returns
    -------
    Report
        Of the context: ``report.findings`` lists what was found.

    Raises
    ------
    ArgumentError
        There is no rule of that id or name, or a threshold is out of its domain.
    StateError
        It is on already.

    Examples
    --------
    >>> import warnings
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.nn import functional as F
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Softmax(1))
    >>> with warnings.catch_warnings(), tfl.debug.strict() as report:
    ...     warnings.simplefilter("ignore")
    ...     F.cross_entropy(model(tfl.ones((1, 2))), tfl.tensor([2])).backward()
    >>> print(report.findings[0].sentence.partition(";")[0])
    cross_entropy applies softmax itself, got the output of softmax
    """

    def __init__(
        self,
        silence: Iterable[str] = (),
        *,
        error: bool = False,
        steps: int = 10,
        exploding: float = 1e3,
        vanishing: float = 1e-6,
    ) -> None:
        wanted = [silence] if isinstance(silence, str) else list(silence)
        try:
            self._silent = find_rules(wanted)
        except KeyError as unknown:
            known = ", ".join(f"{key} {rule.name}" for key, rule in sorted(registry.items()))
            raise ArgumentError(
                f"strict: silence must name rules, got {unknown.args[0]!r}; there are {known}"
            ) from None
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ArgumentError(f"strict: steps must be an integer of at least 1, got {steps!r}")
        if not exploding > 1:
            raise ArgumentError(f"strict: exploding must be greater than 1, got {exploding}")
        if not 0 < vanishing < 1:
            raise ArgumentError(f"strict: vanishing must lie in (0, 1), got {vanishing}")
        self._limits = Limits(steps, exploding, vanishing)
        self._error = error

    def __enter__(self) -> Report:
        if _on:
            raise StateError("strict: it must be off, got a context inside another one")
        self._report = Report(self._error)
        rules = [
            rule(self._report, self._limits)
            for key, rule in sorted(registry.items())
            if key not in self._silent
        ]
        watcher = Watcher(rules)
        watcher.start()
        _on.append(watcher)
        return self._report

    def __exit__(self, *exception: object) -> None:
        _on.pop().stop()
