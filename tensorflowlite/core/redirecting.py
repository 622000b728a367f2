"""Entry points that ask, at each call, whether to call something else.

An entry point gets no slower by it: while it is redirected its implementations are exchanged for
some that ask. Backward passes, decompositions and changes in place don't ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .primitive import Primitive

Ask = Callable[[], Callable[..., Any] | None]


class Redirected(Exception):
    """Raised by an implementation of a redirected entry point: what to call instead."""

    def __init__(self, instead: Callable[..., Any]) -> None:
        super().__init__()
        self.instead = instead


class _Asking(dict[type, Callable[..., Any]]):
    """Array type to an implementation that asks first."""

    def __init__(self, op: Primitive, ask: Ask) -> None:
        self.op, self.ask = op, ask

    def __missing__(self, array_type: type) -> Callable[..., Any]:
        implementations, ask = self.op.implementations, self.ask

        def implementation(*args: Any) -> Any:
            instead = ask()
            if instead is None:
                return implementations[array_type](*args)
            raise Redirected(instead)

        self[array_type] = implementation
        return implementation


def redirect(call: Any, ask: Ask | None) -> None:
    """Let an entry point ask before each call; None ends that."""
    op = call.primitive
    op.used = op.implementations if ask is None else _Asking(op, ask)
    for replace in op.replacers:
        replace(op.used)
