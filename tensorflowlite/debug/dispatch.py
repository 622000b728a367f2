"""Telling which implementations decline their arguments, and what runs instead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..backend.base import choices
from ..errors import ArgumentError
from .reasons import reason_of

_logger = logging.getLogger("tensorflowlite.dispatch")


class _Teller:
    """Writes each choice to the logger, once."""

    def __init__(self) -> None:
        self._looked_at: set[Any] = set()
        self._told: set[str] = set()

    def asking(
        self, slot: str, accepts: Callable[..., bool], instead: str
    ) -> Callable[..., bool]:
        """Return what answers as ``accepts`` does, and tells of arguments that are declined."""

        def ask(*args: Any) -> bool:
            taken = accepts(*args)
            kind = (slot, tuple(map(_described, args)))
            if not taken and kind not in self._looked_at:
                self._looked_at.add(kind)
                reason = reason_of(accepts, args) or f"got {', '.join(kind[1])}"
                self._tell(f"{slot}: the implementation declines, as {reason}; {instead} runs")
            return taken

        return ask

    def chose(self, what: str, way: str) -> None:
        """Tell how a matrix product is done."""
        self._tell(f"{what}: {way} was chosen")

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            _logger.info(text)


def _described(value: Any) -> str:
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):  # a dtype has a shape too
        return repr(value)
    return f"{value.dtype} {tuple(value.shape)}"


class _State:
    """Whether the log is on, and what it has changed of the logger."""

    on = False
    level = logging.NOTSET
    handler: logging.Handler | None = None


def _set(on: bool) -> None:
    if on == _State.on:
        return
    _State.on = on
    if on:
        _State.level = _logger.level
        if not _logger.isEnabledFor(logging.INFO):
            _logger.setLevel(logging.INFO)
        if not _logger.hasHandlers():  # the program hasn't said where its logs go
            _State.handler = logging.StreamHandler()
            _logger.addHandler(_State.handler)
        choices.watch(_Teller())
        return
    choices.watch(None)
    _logger.setLevel(_State.level)
    if _State.handler is not None:
        _logger.removeHandler(_State.handler)
        _State.handler = None


class log:
    """Write to the `logging` module which implementations were chosen, from the call on.

    With ``"dispatch"`` the logger ``tensorflowlite.dispatch`` tells, once per operation and reason,
    that an implementation of our own (a kernel, the native extension) declines its arguments, which
    condition they don't meet, and what runs instead: the array library's function or the
    decomposition into other operations. Of matrix products on a GPU it tells which way each goes.
    Messages go to the standard error stream where the program hasn't set up logging. While it is
    off it costs nothing. As a context manager it is on, or off, until the end; for all threads.

    Parameters
    ----------
    what : {"dispatch"}
        What to tell of.
    on : bool
        Whether to tell.

    Raises
    ------
    ArgumentError
        Another word.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> with tfl.debug.log("dispatch"):
    ...     y = tfl.tanh(tfl.ones(3))
    """

    def __init__(self, what: str = "dispatch", on: bool = True) -> None:
        if what != "dispatch":
            raise ArgumentError(f"log: what must be 'dispatch', got {what!r}")
        self._before = _State.on
        _set(bool(on))

    def __enter__(self) -> None:
        """Stay as the call has set it."""

    def __exit__(self, *exception: object) -> None:
        _set(self._before)
