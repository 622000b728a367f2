"""Streams and events of a GPU, with PyTorch's names, over CuPy's."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ...errors import ArgumentError
from ..base import backend_for
from .memory import on_device


def _cupy() -> Any:
    """Return CuPy; raise DeviceError, with the command that mends it, where no GPU can be used."""
    return backend_for("cuda").namespace


class Stream:
    """A queue of work on a GPU, beside the default one.

    As a context manager it is the stream of what is called inside, as in CuPy: operations, copies
    and kernels. Two streams run side by side: let one wait for the other where it reads what the
    other writes.

    Parameters
    ----------
    device : int, str or Device, optional
        The GPU; by default the current one.
    priority : int
        Lower numbers come first.

    Attributes
    ----------
    cupy_stream
        CuPy's object.

    Raises
    ------
    DeviceError
        No GPU can be used.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> if tfl.cuda.is_available():
    ...     side = tfl.cuda.Stream()
    ...     with side:
    ...         x = tfl.ones(3, device="cuda")
    ...         made = side.record_event()
    ...     tfl.cuda.current_stream().wait_event(made)
    ...     tfl.cuda.current_stream().wait_stream(side)  # the same, for all that it was given
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        cupy = _cupy()
        with on_device(cupy, device):
            self.cupy_stream = cupy.cuda.Stream(non_blocking=True, priority=priority)

    @property
    def cuda_stream(self) -> int:
        """The handle of CUDA's runtime."""
        handle: int = self.cupy_stream.ptr
        return handle

    def synchronize(self) -> None:
        """Wait on the host until all its work is done."""
        self.cupy_stream.synchronize()

    def query(self) -> bool:
        """Return whether all its work is done."""
        return bool(self.cupy_stream.done)

    def record_event(self, event: Event | None = None) -> Event:
        """Record an event, a new one by default, and return it."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let the work to come wait for an event."""
        self.cupy_stream.wait_event(event.cupy_event)

    def wait_stream(self, stream: Stream) -> None:
        """Let the work to come wait for what another stream has been given so far."""
        self.wait_event(stream.record_event())

    def __enter__(self) -> Stream:
        self.cupy_stream.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.cupy_stream.__exit__(*exception)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.cuda_stream == other.cuda_stream

    def __hash__(self) -> int:
        return hash(self.cuda_stream)

    def __repr__(self) -> str:
        return f"Stream(cuda_stream={self.cuda_stream:#x})"


def current_stream(device: Any = None) -> Stream:
    """Return the stream that a GPU's operations go to now.

    Parameters
    ----------
    device : int, str or Device, optional
        The GPU; by default the current one.

    Raises
    ------
    DeviceError
        No GPU can be used.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> if tfl.cuda.is_available():
    ...     tfl.cuda.current_stream().synchronize()
    """
    cupy = _cupy()
    found = Stream.__new__(Stream)
    with on_device(cupy, device):
        found.cupy_stream = cupy.cuda.get_current_stream()
    return found


def stream(stream: Stream | None) -> AbstractContextManager[Any]:
    """Return a context in which a stream is the current one; None changes nothing.

    Raises
    ------
    DeviceError
        No GPU can be used.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> if tfl.cuda.is_available():
    ...     with tfl.cuda.stream(tfl.cuda.Stream()):
    ...         x = tfl.ones(3, device="cuda")
    """
    _cupy()
    return nullcontext() if stream is None else stream


class Event:
    """A mark in a stream: to wait for it, and to take the time between two.

    Parameters
    ----------
    enable_timing : bool
        Whether `elapsed_time` can be asked.
    blocking : bool
        Whether ``synchronize`` lets the thread sleep instead of spinning.

    Attributes
    ----------
    cupy_event
        CuPy's object.

    Raises
    ------
    DeviceError
        No GPU can be used.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> if tfl.cuda.is_available():
    ...     start, end = (tfl.cuda.Event(enable_timing=True) for _ in range(2))
    ...     start.record()
    ...     x = tfl.ones((1000, 1000), device="cuda").sum()
    ...     end.record()
    ...     end.synchronize()  # the host waits; end.wait() lets a stream do so
    ...     milliseconds = start.elapsed_time(end)
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        cupy = _cupy()
        self._timed = bool(enable_timing)
        self._recorded = False
        self.cupy_event = cupy.cuda.Event(block=blocking, disable_timing=not enable_timing)

    def record(self, stream: Stream | None = None) -> None:
        """Put the mark behind what a stream, by default the current one, has been given so far."""
        self.cupy_event.record(None if stream is None else stream.cupy_stream)
        self._recorded = True

    def wait(self, stream: Stream | None = None) -> None:
        """Let the work to come of a stream, by default the current one, wait for the mark."""
        (current_stream() if stream is None else stream).wait_event(self)

    def query(self) -> bool:
        """Return whether all work before the mark is done."""
        return bool(self.cupy_event.done)

    def synchronize(self) -> None:
        """Wait on the host until all work before the mark is done."""
        self.cupy_event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Return the milliseconds from this mark to a later one; both must have been reached.

        Raises
        ------
        ArgumentError
            An event without timing, or one that wasn't recorded.
        """
        for name, event in (("this event", self), ("end_event", end_event)):
            if not event._timed:
                raise ArgumentError(
                    f"elapsed_time: {name} must take the time, got one without; make it by "
                    "Event(enable_timing=True)"
                )
            if not event._recorded:
                raise ArgumentError(
                    f"elapsed_time: {name} must have been recorded, got one that wasn't; call "
                    "record() first"
                )
        elapsed: float = _cupy().cuda.get_elapsed_time(self.cupy_event, end_event.cupy_event)
        return elapsed
