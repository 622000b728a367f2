"""`profile`: which operations, modules and lines a program spends its time in."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from ..errors import ArgumentError, StateError
from ..io import WriteError, write_atomically
from .profile_events import Event, events_of
from .profile_recording import Recorder, cost_of_an_event
from .profile_table import KEYS, SORTS, duration, text_of
from .profile_trace import trace_of

_on: list[Recorder] = []
_turn = threading.Lock()


def _off_in_child() -> None:
    for recorder in _on:  # what a forked child does is nothing that its parent sees
        recorder.on = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_off_in_child)


class profile:
    """Take the time of operations, gradients, modules and steps: a context manager.

    Recorded are each operation (dtypes and shapes of what goes in, the module, the line of the
    user's code), each gradient rule (with the module and line of its operation), calls of modules,
    backward passes, steps and ``zero_grad`` of optimizers, waiting for a `DataLoader`, and replays
    of `jit` with the calls of their programs. For all threads. What runs is the same as without
    it, bit for bit; while it is off it costs nothing. Once a GPU is used, each event is an NVTX
    range too, and its time on the GPU is taken with CUDA's events.

    Parameters
    ----------
    trace : path, optional
        Where a trace in Chrome's format is written at the end, also after an exception: Perfetto
        (ui.perfetto.dev) shows it.

    Raises
    ------
    ArgumentError
        ``trace`` is no path.
    WriteError
        At the beginning of the context: nothing can be written at ``trace``.
    StateError
        Another profile is on.

    See Also
    --------
    tensorflowlite.debug.nvtx : ranges for NVIDIA's profilers

    Notes
    -----
    An operation's time is that of its implementation. What Python does around it, and the recording
    itself, is in the self time of the event around it; the table says how much recording took. An
    event takes about 1 KiB of memory, and all are kept: look at some iterations, not at hours. On
    a GPU the host's times are those of handing over the work. A replay that launches CUDA graphs
    has no calls inside.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> with tfl.profile() as prof:
    ...     model(tfl.ones(2, 4)).sum().backward()
    >>> text = prof.table(by="module", sort="total", limit=5)
    >>> print(text.splitlines()[0].split())
    ['module', 'self', 'self', '%', 'total', 'total', '%', 'calls']
    >>> sorted({one.module for one in prof.events if one.kind == "gradient"})
    ['', '0', '1', '2']
    """

    def __init__(self, trace: str | os.PathLike[str] | None = None) -> None:
        if trace is not None and not isinstance(trace, str | os.PathLike):
            raise ArgumentError(
                f"profile: trace must be the path of a file, got {type(trace).__name__}; "
                'profile(trace="trace.json")'
            )
        self._trace = trace
        self._recorder: Recorder | None = None
        self._events: list[Event] = []
        self._state = "new"
        self._cost = 0

    # -- on and off --------------------------------------------------------------------------------
    def __enter__(self) -> profile:
        if self._trace is not None:
            _check_writable(self._trace)
        recorder = Recorder()
        with _turn:
            if _on:
                raise StateError(
                    "profile: it must be off, got a profile while another one is on; a profile is "
                    "for all threads, and one at a time"
                )
            _on.append(recorder)
        self._recorder, self._events, self._state = recorder, [], "running"
        try:
            recorder.start()
        except BaseException:
            _on.remove(recorder)
            self._state = "new"
            raise
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        recorder = self._recorder
        if recorder is None or self._state != "running":
            raise StateError("profile: it must be on where it ends, got one that is off")
        try:
            recorder.stop()
        finally:
            _on.remove(recorder)
        self._state = "done"
        self._events = events_of(recorder)
        self._cost = cost_of_an_event()
        recorder.forget()
        if self._trace is None:
            return
        try:
            self.export_chrome_trace(self._trace)
        except WriteError as problem:
            if kind is None:
                raise
            warnings.warn(str(problem), RuntimeWarning, stacklevel=2)  # the error goes on

    def step(self) -> None:
        """Say that an iteration has ended: the events know in which one they lie.

        Raises
        ------
        StateError
            The profile isn't on.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> with tfl.profile() as prof:
        ...     for _ in range(3):
        ...         y = tfl.exp(tfl.ones(3))
        ...         prof.step()
        >>> [one.iteration for one in prof.events if one.name == "exp"]
        [0, 1, 2]
        """
        if self._recorder is None or self._state != "running":
            raise StateError(
                "profile.step: the profile must be on, got one that is off; call it inside the "
                "with block"
            )
        self._recorder.steps.append(perf_counter_ns())

    # -- to look at --------------------------------------------------------------------------------
    @property
    def events(self) -> list[Event]:
        """All that was recorded, parents before what is inside them."""
        self._check_done("events")
        return self._events

    @property
    def threads(self) -> list[tuple[int, str]]:
        """The number and the name of each thread that was recorded."""
        return [(number, name) for number, name, _ in self._done("threads").threads]

    @property
    def total(self) -> int:
        """The time of all threads in nanoseconds; another thread's is from first to last event."""
        self._check_done("total")
        return sum(one.self_duration for one in self._events)

    @property
    def overhead(self) -> int:
        """How many of them recording took, at the least: the events times what one takes here."""
        self._check_done("overhead")
        return self._cost * len(self._events)

    def table(self, by: str = "module", sort: str = "self", limit: int | None = 20) -> str:
        """Return what took the time, as text.

        Parameters
        ----------
        by : {"module", "operation", "line"}
            What a row is. Gradients belong to the module and the line of their operation.
        sort : {"self", "total", "calls", "name"}
            What comes first: the greatest, or names in their order.
        limit : int, optional
            How many rows are shown; None for all.

        Returns
        -------
        str
            ``self`` is the time without other events inside, and adds up to the whole; ``total``
            has them in it, and of a module also its backward pass. Below it stands what recording
            took.

        Raises
        ------
        ArgumentError
            Another word, or a limit below 1.
        StateError
            The profile hasn't ended.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> with tfl.profile() as prof:
        ...     y = tfl.exp(tfl.ones(1000))
        >>> print(prof.table(by="operation", sort="name", limit=2))  # doctest: +ELLIPSIS
        operation ...
        """
        for name, given, known in (("by", by, KEYS), ("sort", sort, SORTS)):
            if given not in known:
                words = ", ".join(map(repr, known))
                raise ArgumentError(
                    f"profile.table: {name} must be one of {words}, got {given!r:.60}"
                )
        counts = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1
        if limit is not None and not counts:
            raise ArgumentError(
                f"profile.table: limit must be an integer of at least 1 or None, got {limit!r:.60}"
            )
        self._check_done("table")
        return text_of(self._events, by, sort, limit, self._notes())

    def __str__(self) -> str:
        if self._state == "done":
            return self.table()
        recorder = self._recorder
        if self._state == "running" and recorder is not None:
            count = sum(len(records) for _, _, records in recorder.threads)
            return f"profile: on, with {count} events so far"
        return "profile: nothing is recorded yet"

    def __repr__(self) -> str:
        return f"<{str(self).splitlines()[0]}>" if self._state != "done" else (
            f"<profile: {duration(self.total).strip()}, {len(self._events)} events>"
        )

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events as a trace in Chrome's format, whole or not at all.

        Parameters
        ----------
        path : str or path
            The file. Perfetto (ui.perfetto.dev) and ``chrome://tracing`` show it; an arrow leads
            from each operation to its gradient rules.

        Raises
        ------
        ArgumentError
            ``path`` is none.
        WriteError
            It can't be written. The profile is still there.
        StateError
            The profile hasn't ended.

        Examples
        --------
        >>> import json, os, tempfile
        >>> import tensorflowlite as tfl
        >>> with tfl.profile() as prof:
        ...     y = tfl.exp(tfl.ones(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "trace.json")
        ...     prof.export_chrome_trace(path)
        ...     found = json.load(open(path))["traceEvents"]
        >>> [one["name"] for one in found if one.get("cat") == "operation"][-1]
        'exp'
        """
        if not isinstance(path, str | os.PathLike):
            raise ArgumentError(
                "profile.export_chrome_trace: path must be the path of a file, got "
                f"{type(path).__name__}"
            )
        recorder = self._done("export_chrome_trace")
        steps = [one - recorder.began for one in recorder.steps]
        whole = recorder.ended - recorder.began
        content = trace_of(self._events, self.threads, steps, whole, self._notes())
        write_atomically(path, content, op="profile")

    # -- the rest ----------------------------------------------------------------------------------
    def _done(self, name: str) -> Recorder:
        self._check_done(name)
        assert self._recorder is not None
        return self._recorder

    def _check_done(self, name: str) -> None:
        if self._state != "done":
            got = "one that is on" if self._state == "running" else "one that was never on"
            raise StateError(
                f"profile.{name}: the profile must have ended, got {got}; run what is to be looked "
                "at in its with block, and look after it"
            )

    def _notes(self) -> Sequence[str]:
        count, total = len(self._events), self.total
        part = f"{100 * self.overhead / total:.0f} %" if total else "-"
        notes = [
            f"{count} event{'' if count == 1 else 's'}; recording takes "
            f"{duration(self._cost).strip()} or more each, "
            f"{duration(self.overhead).strip()} ({part}) here, in the self times around them"
        ]
        with_calls = {one.parent for one in self._events if one.kind == "call"}
        bare = [
            one.name for place, one in enumerate(self._events)
            if one.kind == "replay" and place not in with_calls
        ]  # fmt: skip
        if bare:
            names = ", ".join(dict.fromkeys(bare))
            notes.append(f"one range each, without the calls inside: {names}")
        return notes


def _check_writable(path: str | os.PathLike[str]) -> None:
    """Raise before anything runs where a file can't be written."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    problem = ""
    if os.path.isdir(target) or not os.path.basename(os.fspath(path)):
        problem = "that is a folder; name a file in it"
    elif not os.path.isdir(folder):
        problem = "there is no such folder; make it first"
    elif not os.access(folder, os.W_OK | os.X_OK):
        problem = "its folder can't be written to; choose another one"
    if problem:
        raise WriteError(
            f"profile: trace must be a file that can be written, got '{path}': {problem}"
        )
