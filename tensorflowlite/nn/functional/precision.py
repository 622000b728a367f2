"""What runs in float32 also where products run in half precision."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ...runtime import shared

_Function = TypeVar("_Function", bound=Callable[..., Any])


def in_full_precision(function: _Function) -> _Function:
    """Let a loss made of several operations run in float32 inside of `amp.autocast`."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if shared.casting:
            from ...ops import amp

            args = amp.widened(args)
            kwargs = dict(zip(kwargs, amp.widened(tuple(kwargs.values())), strict=True))
        return function(*args, **kwargs)

    return cast(_Function, run)
