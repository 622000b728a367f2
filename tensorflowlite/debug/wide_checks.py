"""Finding the operation that computes inexactly: each held to float64 on the same inputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ..backend import changing, dtypes, is_array
from ..core.nodes import JointNode
from ..core.primitive import Primitive, exchange_rules, registry, watch
from ..runtime import tick
from ..transforms.sites import Site
from .side_by_side import described, difference, on_host, scale_of

_NARROW = dtypes.real_inexact - {dtypes.float64}


class _Found(BaseException):
    """Ends the run; no `except Exception` on the way takes it."""


class _Checker:
    def __init__(self) -> None:
        self.sites: dict[int, Site] = {}  # by the ticks of the nodes

    def wrap(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        op = registry.get(name)
        changes = changing.get(name, ())
        if op is None or name == "cast" or not isinstance(changes, tuple) or 0 in changes:
            return run

        def watched(*args: Any, **options: Any) -> Any:
            if options:  # it changes its first argument
                return run(*args, **options)
            given = [_copy(x) if i in changes else x for i, x in enumerate(args)]
            result = run(*args)
            if any(map(_is_narrow, args)):
                wide = run(*map(_widened, given))
                first, second = (r[0] if op.keeps_residual else r for r in (result, wide))
                site = Site()
                self.compare(op.called, first, second, scale_of(args), site)
                self.sites[tick() + 1] = site  # a node takes the tick after this one
            return result

        return watched

    def watched(self, op: Primitive, rule: Any) -> Any:
        if op.tensors:  # a user's own, or one that runs operations: those are looked at
            return rule

        def run(node: Any, g: Any, k: Any, need: Any) -> Any:
            wide = _wide_node(node)
            result = rule(node, g, k, need)
            if any(map(_is_narrow, g if isinstance(g, tuple | list) else [g])):
                given = tuple(map(_widened, g)) if isinstance(g, tuple | list) else _widened(g)
                site = self.sites.get(node.born)
                name = f"the gradient of {op.called}"
                self.compare(name, result, rule(wide, given, k, need), scale_of([g]), site)
            return result

        return run

    def compare(self, name: str, first: Any, second: Any, scale: float, site: Any) -> None:
        """Raise if a result isn't what float64 gives."""
        for a, b in zip(on_host(first), on_host(second), strict=True):
            if a.dtype not in _NARROW or b.dtype != dtypes.float64:
                continue
            text = difference(a, b, scale, None)[1]
            if text:
                place = "" if site is None else f"; {described(site)}"
                raise _Found(f"{name}, beside itself in float64: {text}{place}")


def _is_narrow(x: Any) -> bool:
    return is_array(x) and x.dtype in _NARROW


def _widened(x: Any) -> Any:
    if isinstance(x, tuple | list):
        return type(x)(map(_widened, x))
    return x.astype(dtypes.float64) if _is_narrow(x) else x


def _copy(x: Any) -> Any:
    return x.copy() if is_array(x) else x


def _wide_node(node: Any) -> Any:
    """Return a node whose saved arrays are those of another one, in float64."""
    wide = copy.copy(node)
    names = ("saved", "out", "residual") if type(node) is JointNode else ("s0", "s1", "out")
    for name in names:
        value = getattr(node, name, None)
        if value is not None:
            setattr(wide, name, _widened(value))
    return wide


def find_inexact_call(function: Callable[[], Any]) -> str:
    """Return which operation or gradient rule of a run is inexact, in words; "" where none is.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.debug.wide_checks import find_inexact_call
    >>> x = tfl.ones(3, requires_grad=True)
    >>> find_inexact_call(lambda: tfl.tanh(x).sum().backward())
    ''
    """
    checker = _Checker()
    watch.start(checker.wrap)
    restore = exchange_rules(checker.watched)
    try:
        function()
    except _Found as found:
        return str(found)
    finally:
        restore()
        watch.stop(checker.wrap)
    return ""
