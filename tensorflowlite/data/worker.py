"""What a worker process does: it loads the data set once, then makes a batch for every task."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from .fetch import Fetcher
from .shared import PickledFile, SharedBlock, pack


class Task(NamedTuple):
    """One batch to make: the samples ``order[start:stop]`` of an epoch."""

    round: int  # counts the iterations of the loader
    epoch: int
    start: int
    stop: int
    slot: int  # which of the worker's blocks takes the batch
    order_size: int
    order_generation: int


class Batch(NamedTuple):
    """A batch that lies in the block of its task's slot."""

    round: int
    outline: Any
    generation: int


class Failure(NamedTuple):
    """An exception while making a batch, or at the start of the worker (``round`` is None)."""

    round: int | None
    summary: str  # the exception's type and text
    place: str  # which sample or batch
    traceback: str


class Ready(NamedTuple):
    """The worker has its data set and waits for tasks."""


def order_block(name: str, *, owner: bool) -> SharedBlock:
    """Return the block in which the loader writes the order of an epoch."""
    return SharedBlock(f"{name}o", owner=owner)


def batch_blocks(name: str, worker: int, slots: int, *, owner: bool) -> list[SharedBlock]:
    """Return the blocks in which a worker writes its batches, in turn."""
    return [SharedBlock(f"{name}w{worker}s{slot}", owner=owner) for slot in range(slots)]


def main(
    connection: Connection, path: str, name: str, worker: int, slots: int, trace: str
) -> None:
    """Serve the loader until it goes away."""
    # Where a crash was, and where a worker is that doesn't answer, the loader reads there.
    traces = os.open(trace, os.O_WRONLY | os.O_APPEND)  # for as long as the process lives
    faulthandler.enable(traces, all_threads=False)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, traces, all_threads=False)
    # Ctrl-C reaches every process of the terminal; the loader's process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # glibc gives blocks of this size and less back to the system at every free, until one as
    # large was freed: without it, each array of a batch is mapped and paged in anew.
    np.empty(24 << 20, np.uint8)
    try:
        fetcher = PickledFile.load(path)
    except Exception as error:
        connection.send(_failure(None, error))
    else:
        connection.send(Ready())
        with suppress(EOFError, OSError):  # the loader's process is gone
            _serve(connection, fetcher, name, worker, slots)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: what still maps shared memory would complain on its way out.
    os._exit(0)


def _serve(connection: Connection, fetcher: Fetcher, name: str, worker: int, slots: int) -> None:
    order = order_block(name, owner=False)
    blocks = batch_blocks(name, worker, slots, owner=False)
    while True:
        task = connection.recv()
        if task is None:
            return
        block = blocks[task.slot]
        # Pickled here, as a batch may hold what can't be: that, too, is a failure of the batch.
        # Sending stays outside: only its errors mean that the loader's process is gone.
        try:
            outline = pack(fetcher(task.epoch, _indices(order, task)), block)
            reply = pickle.dumps(Batch(task.round, outline, block.generation))
        except Exception as error:
            reply = pickle.dumps(_failure(task.round, error))
        connection.send_bytes(reply)


def _indices(order: SharedBlock, task: Task) -> np.ndarray:
    order.open(task.order_generation)
    whole: np.ndarray = np.ndarray((task.order_size,), np.int64, buffer=order.buffer)
    return whole[task.start : task.stop].copy()


def _failure(round_: int | None, error: Exception) -> Failure:
    notes = getattr(error, "__notes__", ["handing over a batch"])
    summary = "".join(traceback.format_exception_only(error)).split("\n", 1)[0]
    return Failure(round_, summary, notes[-1], traceback.format_exc())
