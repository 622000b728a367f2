"""The worker processes of a loader, seen from the loader's process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import IO, Any

import numpy as np

from ..errors import ArgumentError, WorkerError
from . import worker
from .fetch import Fetcher
from .shared import PickledFile, unpack

_NO_MAIN_GUARD = 77  # the exit code of a worker that came by another loader at import
_HINTS = {
    "SIGKILL": "the system may have run out of memory: use fewer workers or smaller batches",
    "SIGBUS": "/dev/shm may be full, or a mapped file was cut short: enlarge it or use smaller "
    "batches",
}
_PATIENCE = 1.0  # seconds for workers to finish before they are ended, or to say where they are
_START = 60.0  # seconds for them to start, at least, where there is a timeout


class WorkerPool:
    """Processes that make batches in turn: batch ``j`` of a round is made by worker ``j % count``.

    Each has a pipe of its own for tasks and replies, which are small, and one block of shared
    memory for each batch that it may be ahead. As no lock is shared, a worker that is killed
    can't take the others with it.
    """

    def __init__(
        self, fetcher: Fetcher, count: int, prefetch_factor: int, timeout: float = 0.0
    ) -> None:
        self._timeout = timeout or None
        self._traces: list[IO[bytes]] = []  # what workers write there when they crash, or are asked
        self._fetcher = fetcher
        self._count = count
        self._slots = prefetch_factor
        self._round = 0
        self._owner = os.getpid()
        self._processes: list[Any] = []
        self._connections: list[Connection] = []

    def run(self, epoch: int, order: np.ndarray, batch_size: int) -> Iterator[Any]:
        """Yield the batches of an epoch that visits the samples in ``order``, as NumPy arrays."""
        if not self._processes:
            self._start()
        self._round += 1
        this_round = self._round
        self._order.reserve(max(order.nbytes, 1))
        np.ndarray(order.shape, np.int64, buffer=self._order.buffer)[...] = order
        batches = -(-len(order) // batch_size)
        ahead = min(self._count * self._slots, batches)

        def send(number: int) -> None:
            task = worker.Task(
                this_round,
                epoch,
                number * batch_size,
                min((number + 1) * batch_size, len(order)),
                number // self._count % self._slots,
                len(order),
                self._order.generation,
            )
            with suppress(OSError):  # it has ended: receiving tells how
                self._connections[number % self._count].send(task)

        for number in range(ahead):
            send(number)
        for number in range(batches):
            if self._round != this_round:
                raise WorkerError(
                    "DataLoader: with num_workers one iteration can be under way at a time, got "
                    "another one or close() in between; make a second loader"
                )
            which, slot = number % self._count, number // self._count % self._slots
            reply = self._receive(which, this_round)
            block = self._blocks[which][slot]
            block.open(reply.generation)
            batch = unpack(reply.outline, block)
            if number + ahead < batches:
                send(number + ahead)
            yield batch

    def _receive(self, which: int, this_round: int) -> worker.Batch:
        while True:
            reply = self._next_reply(which, "preparing batches", self._timeout)
            # What an iteration that was left early had ordered comes first; it is dropped.
            if reply.round != this_round:
                continue
            if isinstance(reply, worker.Failure):
                raise WorkerError(
                    f"DataLoader: {reply.place} must succeed, got {reply.summary} in worker "
                    f"{which}; its traceback:\n{reply.traceback}"
                )
            return reply

    def _next_reply(self, which: int, doing: str, timeout: float | None) -> Any:
        connection, process = self._connections[which], self._processes[which]
        try:
            # The pipe alone isn't enough: what the worker started may hold its other end.
            ready = wait([connection, process.sentinel], timeout)
            if connection in ready or connection.poll():
                return connection.recv()
            if not ready:
                raise WorkerError(self._late_message(which, doing, timeout))
        except (EOFError, OSError):
            pass  # it has ended
        except BaseException:
            self.close()  # Ctrl-C may have come in the middle of a reply
            raise
        process.join(_PATIENCE)
        message = _end_message(which, process.exitcode, doing, self._count)
        message += _with_trace(self._trace(which))
        self.close()
        raise WorkerError(message)

    def _late_message(self, which: int, doing: str, timeout: float | None) -> str:
        """Say that a worker takes too long, and where in its code it is."""
        trace = ""
        if hasattr(signal, "SIGUSR1"):
            with suppress(OSError):  # it ends just now
                os.kill(self._processes[which].pid, signal.SIGUSR1)
            deadline = time.monotonic() + _PATIENCE
            while time.monotonic() < deadline and not trace.endswith("\n"):
                time.sleep(0.01)
                trace = self._trace(which)
        return (
            f"DataLoader: worker {which} must answer within {timeout:g} s, got nothing "
            f"while {doing}; raise timeout if it is only slow" + _with_trace(trace)
        )

    def _trace(self, which: int) -> str:
        """Return the tracebacks that a worker has written."""
        if which >= len(self._traces):
            return ""
        file = self._traces[which]
        file.seek(0)
        return file.read().decode(errors="replace")

    def _start(self) -> None:
        # Python raises a RuntimeError of many lines here, in every worker. This process is one of
        # them: it says so by its exit code, and the loader that started it by one sentence.
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise SystemExit(_NO_MAIN_GUARD)
        if _main_file().startswith("<"):
            raise WorkerError(
                f"DataLoader: with num_workers={self._count} the script must be a file, which "
                f"workers can import, got {_main_file()}; save it, or use num_workers=0"
            )
        payload = self._pickled()
        context = multiprocessing.get_context("spawn")
        name = f"tfl{os.getpid():x}_{secrets.token_hex(4)}"
        self._order = worker.order_block(name, owner=True)
        self._blocks = [
            worker.batch_blocks(name, which, self._slots, owner=True)
            for which in range(self._count)
        ]
        try:
            for which in range(self._count):
                here, there = context.Pipe()
                self._connections.append(here)
                trace = _trace_file()
                self._traces.append(trace)
                process = context.Process(
                    target=worker.main,
                    args=(there, payload.path, name, which, self._slots, trace.name),
                    name=f"DataLoader worker {which}",
                    daemon=True,
                )
                process.start()
                self._processes.append(process)
                there.close()
            for which in range(self._count):
                least = self._timeout and max(self._timeout, _START)
                reply = self._next_reply(which, "starting", least)
                if isinstance(reply, worker.Failure):
                    raise WorkerError(
                        "DataLoader: workers must be able to load the data set, collate_fn and "
                        f"transform, got {reply.summary} in worker {which}; define classes and "
                        "functions in a file that workers can import; its traceback:\n"
                        f"{reply.traceback}"
                    )
        except BaseException:
            self.close()
            raise
        finally:
            payload.remove()
            for one in self._traces:  # who has it open keeps it
                with suppress(OSError):
                    os.unlink(one.name)

    def _pickled(self) -> PickledFile:
        try:
            return PickledFile(self._fetcher)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            problem = error
        for name in ("dataset", "collate", "transform"):
            try:
                pickle.dumps(getattr(self._fetcher, name), protocol=5)
            except Exception as error:
                what = "collate_fn" if name == "collate" else name
                raise ArgumentError(
                    f"DataLoader: {what} must be picklable to be sent to workers, got: {error}; "
                    "define classes and functions at the top level of a module, open files in "
                    "__getitem__, or use num_workers=0"
                ) from None
        raise problem

    def close(self) -> None:
        """End the workers and remove the shared memory; a later round starts new ones."""
        if not self._connections or os.getpid() != self._owner:
            return  # nothing is there, or this is a fork, whose parent still uses the workers
        processes, self._processes = self._processes, []
        connections, self._connections = self._connections, []
        self._round += 1
        for connection in connections:
            with suppress(OSError):  # it has ended already
                connection.send(None)
            connection.close()
        traces, self._traces = self._traces, []
        for trace in traces:
            trace.close()
        deadline = time.monotonic() + _PATIENCE
        ended = processes
        for end in ("join", "terminate", "kill"):
            for process in processes:
                if end != "join":
                    getattr(process, end)()
                process.join(max(0.0, deadline - time.monotonic()))
            processes = [process for process in processes if process.is_alive()]
            deadline = time.monotonic() + _PATIENCE
        for process in ended:
            with suppress(ValueError):  # not even SIGKILL has ended it
                process.close()
        for block in (self._order, *(block for blocks in self._blocks for block in blocks)):
            block.close()


def _main_file() -> str:
    """Return the path of the running script; "<stdin>" and "" where there is none."""
    return getattr(sys.modules.get("__main__"), "__file__", None) or ""


def _trace_file() -> Any:
    return tempfile.NamedTemporaryFile(prefix="tensorflowlite_", delete=False)


def _with_trace(trace: str) -> str:
    return f"; its traceback:\n{trace.rstrip()}" if trace else ""


def _end_message(which: int, code: int | None, doing: str, count: int) -> str:
    if code == _NO_MAIN_GUARD:
        script = _main_file()
        return (
            f"DataLoader: a script that uses num_workers={count} must start below "
            f"`if __name__ == \"__main__\":`, got a loader that runs when '{script}' is imported, "
            "as every worker does; move the code there"
        )
    end, hint = f"an end with exit code {code}", "what it printed stands above"
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        end = f"an end by {name}"
        hint = _HINTS.get(name, hint)
    return (
        f"DataLoader: worker {which} must stay alive, got {end} while {doing}; {hint}, or use "
        "num_workers=0"
    )
