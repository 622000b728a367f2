"""What runs in float32 also where products run in half precision, and what rounds once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ...backend import dtypes
from ...core.tensor import Tensor
from ...ops.gradient import cast as _cast
from ...runtime import shared

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _wide(value: Any) -> Any:
    half = type(value) is Tensor and value.dtype in dtypes.half
    return _cast(value, dtypes.float32) if half else value


def in_float32(function: _Function) -> _Function:
    """Make a function of several steps round half precision once, at its end.

    Tensors in half precision become float32, and the result has the dtype of the first tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn.functional.precision import in_float32
    >>> third = in_float32(lambda x: x / 3)
    >>> third(tfl.ones(1, dtype=tfl.float16)).dtype.name
    'float16'
    """

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        for value in (*args, *options.values()):
            if type(value) is Tensor:
                if value.dtype not in dtypes.half:
                    break
                wide = {key: _wide(one) for key, one in options.items()}
                return _cast(function(*map(_wide, args), **wide), value.dtype)
        return function(*args, **options)

    return cast(_Function, run)


def in_full_precision(function: _Function) -> _Function:
    """Let a loss made of several operations run in float32 inside of `amp.autocast`.

    In half precision it rounds once, at its end.
    """
    once = in_float32(function)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if not shared.casting:
            return once(*args, **kwargs)
        from ...ops import amp

        args = amp.widened(args)
        kwargs = dict(zip(kwargs, amp.widened(tuple(kwargs.values())), strict=True))
        return function(*args, **kwargs)

    return cast(_Function, run)
