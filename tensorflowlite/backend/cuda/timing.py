"""Marks in a GPU's queue of work, and the time between them."""

from __future__ import annotations

from typing import Any

from ..base import by_device_type


def find() -> Timing | None:
    """Return what times the GPU's work; None where no GPU has been used so far."""
    backend = by_device_type.get("cuda")
    return None if backend is None else Timing(backend.namespace)


class Timing:
    """Marks on the current streams.

    Parameters
    ----------
    cupy
        The array library.
    """

    def __init__(self, cupy: Any) -> None:
        self._cuda = cupy.cuda
        self._first: dict[int, Any] = {}  # by device, what other marks are placed by

    def mark(self) -> tuple[int, Any] | None:
        """Return a mark behind the work that the current stream has; None while it is recorded."""
        stream = self._cuda.get_current_stream()
        capturing = getattr(stream, "is_capturing", None)
        if capturing is not None and capturing():
            return None
        device = self._cuda.runtime.getDevice()
        event = self._cuda.Event()
        event.record(stream)
        self._first.setdefault(device, event)
        return device, event

    def between(self, start: tuple[int, Any] | None, end: tuple[int, Any] | None) -> int | None:
        """Return the nanoseconds between two marks of one device, after waiting for the second."""
        if start is None or end is None or start[0] != end[0]:
            return None
        end[1].synchronize()
        return round(self._cuda.get_elapsed_time(start[1], end[1]) * 1e6)

    def since_first(self, mark: tuple[int, Any]) -> int:
        """Return the nanoseconds from the first mark of its device."""
        found = self.between((mark[0], self._first[mark[0]]), mark)
        return 0 if found is None else found
