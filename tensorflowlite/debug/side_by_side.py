"""Two runs of a function, compared operation by operation: on two devices, or in two dtypes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..backend import as_array, backend_of, dtypes, is_array
from ..core.primitive import Primitive, exchange_rules, registry, watch
from ..core.tensor import Tensor
from ..errors import ArgumentError, StateError
from ..nn import Module
from ..ops import random
from ..ops.creation import asarray
from ..runtime import mode, tick
from ..transforms.sites import Site
from ..transforms.tree import map_leaves

_SKIPPED = frozenset(["cast", "to_device", "identity"])  # what one side alone may need
_ROUNDINGS = 64  # how many roundings of what went in may remain where the rest cancels out


class Disagreement(NamedTuple):
    """The first operation whose results differ.

    Attributes
    ----------
    number : int
        How many operations agreed before it.
    operation : str
        Its name; ``"gradient of ..."`` for a gradient rule.
    first, second : numpy.ndarray
        Its results on the two sides; None where a side came to its end, or did something else.
    difference : float
        The greatest difference of two elements, as a part of the greatest element.
    what : str
        What differs, in words.
    place : str
        Where the operation was called, and in which module.
    """

    number: int
    operation: str
    first: Any
    second: Any
    difference: float
    what: str
    place: str

    def __str__(self) -> str:
        place = f"; {self.place}" if self.place else ""
        return f"lockstep: operation {self.number}, {self.operation}: {self.what}{place}"


class _Result(NamedTuple):
    name: str
    arrays: tuple[Any, ...]  # on the host
    scale: float  # the greatest magnitude of what went in
    place: str


class _Stop(BaseException):
    """Ends the second run where it disagrees; no `except Exception` on the way takes it."""

    def __init__(self, found: Disagreement) -> None:
        super().__init__()
        self.found = found


class _Side:
    """A run that is watched: ``take`` gets every result."""

    def __init__(self, take: Callable[[_Result], None]) -> None:
        self._take = take
        self._sites: dict[int, Site] = {}  # by the ticks of the nodes

    def run(self, function: Callable[[], Any]) -> None:
        watch.start(self._wrap)
        restore = exchange_rules(self._watched)
        try:
            function()
        finally:
            restore()
            watch.stop(self._wrap)

    def _wrap(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        op = registry.get(name)
        if op is None or name in _SKIPPED:
            return run

        def watched(*args: Any, **options: Any) -> Any:
            scale = scale_of(args)  # before: some change their arguments
            result = run(*args, **options)
            site = Site()
            found = result[0] if op.keeps_residual else result
            self._take(_Result(op.called, tuple(on_host(found)), scale, described(site)))
            self._sites[tick() + 1] = site  # a node takes the tick after this one
            return result

        return watched

    def _watched(self, op: Primitive, rule: Any) -> Any:
        if op.name in _SKIPPED:
            return rule

        def run(node: Any, g: Any, k: Any, need: Any) -> Any:
            result = rule(node, g, k, need)
            scale = scale_of(g if isinstance(g, tuple | list) else [g])
            site = self._sites.get(node.born)
            place = "" if site is None else described(site)
            name = f"gradient of {op.called}"
            self._take(_Result(name, tuple(on_host(result)), scale, place))
            return result

        return run


def described(site: Site) -> str:
    """Return where an operation was called, and in which module."""
    path = site.path()
    module = f"module {path!r}; " if path else ""
    return f"{module}called in {site}" if site.file else module.rstrip("; ")


def _arrays(values: Any) -> Iterator[Any]:
    for one in values if isinstance(values, tuple | list) else [values]:
        if isinstance(one, tuple | list):
            yield from _arrays(one)
        elif isinstance(one, Tensor):
            yield one.array
        elif is_array(one):
            yield one
        elif one is not None and hasattr(one, "dtype"):
            yield as_array(one)  # a scalar stands for an array without axes


def on_host(values: Any) -> Iterator[Any]:
    """Yield copies of the arrays among results, on the host."""
    for array in _arrays(values):
        yield backend_of(array).to_host(array).copy()


def scale_of(values: Any) -> float:
    """Return the greatest finite magnitude of the floats among arguments."""
    found = 0.0
    for array in _arrays(values):
        if array.size and array.dtype in dtypes.inexact:
            host = abs(_wide(backend_of(array).to_host(array)))
            found = max(found, float(host[host < math.inf].max(initial=0.0)))
    return found


def _wide(host: Any) -> Any:
    return host.astype(dtypes.float32) if host.dtype in dtypes.half else host


# -- comparing -------------------------------------------------------------------------------------
def difference(a: Any, b: Any, scale: float, tolerance: float | None) -> tuple[float, str]:
    """Return how far two results differ, and what to say of it; "" where they agree."""
    if a.shape != b.shape:
        return math.inf, f"the shapes must be the same, got {a.shape} and {b.shape}"
    if not a.size:
        return 0.0, ""
    if a.dtype not in dtypes.inexact or b.dtype not in dtypes.inexact:
        count = int((a != b).sum())
        return float(count), f"{count} of {a.size} elements differ" if count else ""
    eps = max(float(dtypes.float_limits(one.dtype).eps) for one in (a, b))
    a, b = _wide(a), _wide(b)
    same = (a == b) | ((a != a) & (b != b))  # infinities and NaN as well
    apart = abs(a[~same] - b[~same])
    if not apart.size:
        return 0.0, ""
    worst = float(apart.max()) if (apart == apart).all() else math.inf
    finite = [float(abs(one)[abs(one) < math.inf].max(initial=0.0)) for one in (a, b)]
    relative = worst / max(finite) if max(finite) else math.inf
    allowed = math.sqrt(eps) if tolerance is None else tolerance
    if relative <= allowed or worst <= _ROUNDINGS * eps * scale:
        return relative, ""
    return relative, (
        f"the results differ by {worst:.3g}, {relative:.2g} of the greatest element, where "
        f"{allowed:.2g} is allowed"
    )


class _Comparison:
    """Holds the second side's results to the first's, one by one."""

    def __init__(self, first: list[_Result], tolerance: float | None) -> None:
        self.first, self.tolerance, self.index = first, tolerance, 0

    def take(self, found: _Result) -> None:
        index, self.index = self.index, self.index + 1
        if index >= len(self.first):
            text = f"the first side has ended, got {found.name} on the second"
            raise _Stop(Disagreement(index, found.name, None, _alone(found), math.inf, text,
                                     found.place))  # fmt: skip
        wanted = self.first[index]
        if wanted.name != found.name or len(wanted.arrays) != len(found.arrays):
            text = f"the sides must do the same, got {found.name} on the second"
            raise _Stop(Disagreement(index, wanted.name, _alone(wanted), _alone(found), math.inf,
                                     text, wanted.place))  # fmt: skip
        for a, b in zip(wanted.arrays, found.arrays, strict=True):
            scale = max(wanted.scale, found.scale)
            apart, text = difference(a, b, scale, self.tolerance)
            if text:
                raise _Stop(Disagreement(index, found.name, a, b, apart, text, found.place))

    def end(self) -> Disagreement | None:
        """Return what is wrong when the second side has come to its end."""
        if self.index == len(self.first):
            return None
        left = self.first[self.index]
        text = f"the second side has ended, got {left.name} on the first"
        return Disagreement(
            self.index, left.name, _alone(left), None, math.inf, text, left.place
        )


def _alone(result: _Result) -> Any:
    return result.arrays[0] if result.arrays else None


def compare_runs(
    first: Callable[[], Any], second: Callable[[], Any], tolerance: float | None = None
) -> Disagreement | None:
    """Return the first operation, or gradient rule, whose results differ in two runs.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.debug.side_by_side import compare_runs
    >>> x = tfl.ones(3)
    >>> compare_runs(lambda: tfl.exp(x + 1), lambda: tfl.exp(x + 2)).operation
    'add'
    """
    results: list[_Result] = []
    _Side(results.append).run(first)
    comparison = _Comparison(results, tolerance)
    try:
        _Side(comparison.take).run(second)
    except _Stop as stop:
        return stop.found
    return comparison.end()


# -- two devices -----------------------------------------------------------------------------------
def lockstep(
    function: Callable[..., Any],
    inputs: Any,
    devices: Sequence[Any] = ("cpu", "cuda"),
    *,
    tolerance: float | None = None,
) -> Disagreement | None:
    """Run a function on two devices and stop at the first operation that disagrees.

    The results of all operations of the first run are kept on the host, and those of the second
    compared with them as it goes; so are the gradients that rules give, where the function calls
    ``backward``. Random numbers are the same on both sides.

    Parameters
    ----------
    function : callable
        Called as ``function(*inputs)`` on either side. What it uses besides (a model, say) must
        be among the inputs, or be the function itself, to be moved.
    inputs : tuple
        Tensors and modules, nested in tuples, lists and dicts. Modules are copied, so that nothing
        is changed.
    devices : pair of str
        The two sides.
    tolerance : float, optional
        The greatest difference allowed, as a part of the greatest element of a result; by default
        the root of the rounding unit of its dtype.

    Returns
    -------
    Disagreement or None
        The operation, with both values; None where all agree.

    Raises
    ------
    ArgumentError
        There aren't two devices, or the function can't be called.
    StateError
        It is called inside `vmap`, or where something is recorded.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> from tensorflowlite.nn import functional as F
    >>> def step(model, x, y):
    ...     F.cross_entropy(model(x), y).backward()
    >>> inputs = nn.Linear(3, 2), tfl.ones((4, 3)), tfl.tensor([0, 1, 0, 1])
    >>> print(tfl.debug.lockstep(step, inputs, devices=("cpu", "cpu")))
    None
    """
    if not callable(function):
        raise ArgumentError(
            f"lockstep: function must be callable, got {type(function).__name__}; the order is "
            "lockstep(function, inputs)"
        )
    if isinstance(devices, str) or len(devices) != 2:
        raise ArgumentError(f"lockstep: devices must be two, got {devices!r}")
    if mode.levels or mode.capture is not None:
        raise StateError("lockstep: it must run by itself, got a call inside vmap or jit")
    given = inputs if isinstance(inputs, tuple | list) else (inputs,)
    states = [random.get_state(device) for device in devices]

    def side(device: Any) -> Callable[[], Any]:
        def move(leaf: Any) -> Any:
            if isinstance(leaf, Module):
                return copy.deepcopy(leaf).to(device)
            if isinstance(leaf, Tensor):
                moved = asarray(leaf.detach(), device=device).clone()
                return moved.requires_grad_(leaf.requires_grad)
            return leaf

        moved = map_leaves(move, (function, list(given)))

        def run() -> None:
            random.set_state(states[0], device)
            moved[0](*moved[1])

        return run

    try:
        return compare_runs(side(devices[0]), side(devices[1]), tolerance)
    finally:
        for state, device in zip(states, devices, strict=True):
            random.set_state(state, device)
