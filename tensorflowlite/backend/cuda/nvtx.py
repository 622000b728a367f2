"""Named ranges that NVIDIA's profilers show. Without a GPU, or before its first use, nothing."""

from __future__ import annotations

from contextlib import ContextDecorator
from typing import Any

from ..base import by_device_type


def _library() -> Any:
    """Return CuPy's NVTX; None where there is nothing to mark."""
    backend = by_device_type.get("cuda")
    return None if backend is None else getattr(backend.namespace.cuda, "nvtx", None)


def range_push(msg: str) -> None:
    """Begin a range; it ends with the `range_pop` that belongs to it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.nvtx.range_push("step")
    >>> tfl.cuda.nvtx.range_pop()
    """
    library = _library()
    if library is not None:
        library.RangePush(msg)


def range_pop() -> None:
    """End the innermost range of this thread.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.cuda.nvtx.range_push("step")
    >>> tfl.cuda.nvtx.range_pop()
    """
    library = _library()
    if library is not None:
        library.RangePop()


class range(ContextDecorator):
    """A range: a context manager, and a decorator of functions.

    Parameters
    ----------
    msg : str
        The name that the profiler shows.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> with tfl.cuda.nvtx.range("forward"):
    ...     y = tfl.ones(3) * 2
    >>> @tfl.cuda.nvtx.range("step")
    ... def step(x):
    ...     return x * 2
    """

    def __init__(self, msg: str) -> None:
        self._msg = msg
        self._entered: list[bool] = []  # the GPU may be used first in the middle of a range

    def __enter__(self) -> range:
        self._entered.append(_library() is not None)
        if self._entered[-1]:
            range_push(self._msg)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._entered.pop():
            range_pop()
