"""Memory shared with workers: blocks for batches, and one file for the data set."""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from .collate import host_array, is_tensor, map_leaves

_ALIGNMENT = 64
_OUT_OF_BAND = 1 << 16  # smaller buffers are pickled with the rest


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class SharedBlock:
    """A named piece of shared memory that one process writes and others read.

    It grows under a new name: the number at its end is the generation, which the writer tells the
    readers. The owner, which is always the loader's process, removes the names.
    """

    def __init__(self, name: str, *, owner: bool) -> None:
        self.generation = 0
        self._name = name
        self._owner = owner
        self._memory: SharedMemory | None = None

    @property
    def buffer(self) -> memoryview:
        """The bytes of the current generation."""
        assert self._memory is not None and self._memory.buf is not None, "not open"
        return self._memory.buf

    def reserve(self, size: int) -> None:
        """Make room for ``size`` bytes; for the writer."""
        if self._memory is not None and self._memory.size >= size:
            return
        self._drop()
        capacity = max(1 << 16, 1 << (size - 1).bit_length())
        _check_space(size)
        self._memory = SharedMemory(
            f"{self._name}g{self.generation + 1}", create=True, size=capacity
        )
        self.generation += 1

    def open(self, generation: int) -> None:
        """Go to the writer's current generation; for the readers."""
        if generation == self.generation:
            return
        # The owner goes through those that it was never told of, to remove their names.
        for step in range(self.generation + 1 if self._owner else generation, generation + 1):
            self._drop()
            self._memory = SharedMemory(f"{self._name}g{step}")
            self.generation = step

    def close(self) -> None:
        """Let go of the memory; the owner also removes its name."""
        # A worker that was killed, or whose batch nobody took, may have made more than it told.
        with suppress(FileNotFoundError, ValueError):  # no such name, or one without memory yet
            while self._owner:
                self.open(self.generation + 1)
        self._drop()

    def _drop(self) -> None:
        memory, self._memory = self._memory, None
        if memory is None:
            return
        memory.close()
        if self._owner:
            # The resource tracker of a process that was ended may have come first.
            with suppress(FileNotFoundError):
                memory.unlink()


def _check_space(size: int) -> None:
    # Linux gives out a file in a full /dev/shm gladly, and ends the process that writes to it.
    if os.path.isdir("/dev/shm"):
        room = os.statvfs("/dev/shm")
        if size > room.f_bavail * room.f_frsize:
            raise OSError(
                f"shared memory must have {size} bytes free, got {room.f_bavail * room.f_frsize}; "
                "enlarge /dev/shm, or use smaller batches, fewer workers or num_workers=0"
            )


@dataclass(frozen=True)
class _Placed:
    """Where an array lies in a block."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def view(self, buffer: memoryview) -> np.ndarray:
        return np.ndarray(self.shape, self.dtype, buffer=buffer, offset=self.offset)


def pack(batch: Any, block: SharedBlock) -> Any:
    """Write the arrays of a batch into the block; return the batch with their places instead."""
    arrays: list[tuple[_Placed, np.ndarray]] = []
    end = 0

    def place(leaf: Any) -> Any:
        nonlocal end
        if is_tensor(leaf):
            leaf = host_array(leaf)
        if not isinstance(leaf, np.ndarray) or leaf.dtype.hasobject:
            return leaf
        placed = _Placed(end, leaf.shape, leaf.dtype)
        arrays.append((placed, leaf))
        end = _aligned(end + leaf.nbytes)
        return placed

    outline = map_leaves(place, batch)
    block.reserve(max(end, 1))
    for placed, array in arrays:
        placed.view(block.buffer)[...] = array
    return outline


def unpack(outline: Any, block: SharedBlock) -> Any:
    """Return the batch with copies of its arrays: the block is written to again."""

    def lift(leaf: Any) -> Any:
        return leaf.view(block.buffer).copy() if isinstance(leaf, _Placed) else leaf

    return map_leaves(lift, outline)


class PickledFile:
    """An object in a temporary file, from which processes load it without copies of its arrays.

    Raises whatever pickling raises. The large buffers lie aligned behind the pickle, and every
    process maps them copy on write: they are in memory once, unless a process changes them.
    """

    def __init__(self, value: Any) -> None:
        buffers: list[memoryview] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < _OUT_OF_BAND:
                return True
            buffers.append(raw)
            return False

        content = pickle.dumps(value, protocol=5, buffer_callback=keep)
        descriptor, self.path = tempfile.mkstemp(prefix="tensorflowlite-")
        with os.fdopen(descriptor, "wb") as file:
            try:
                pickle.dump((len(content), [raw.nbytes for raw in buffers]), file)
                for piece in (memoryview(content), *buffers):
                    file.seek(_aligned(file.tell()))
                    file.write(piece)
            except BaseException:
                self.remove()
                raise

    def remove(self) -> None:
        """Delete the file. Processes that have loaded it keep what they mapped."""
        with suppress(OSError):  # gone already, or mapped where the system minds that
            os.unlink(self.path)

    @staticmethod
    def load(path: str) -> Any:
        """Return the object in the file ``path``."""
        with open(path, "rb") as file:
            content_size, sizes = pickle.load(file)
            position = _aligned(file.tell())
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        content = mapped[position : position + content_size]
        buffers = []
        position += content_size
        for size in sizes:
            position = _aligned(position)
            buffers.append(mapped[position : position + size])
            position += size
        return pickle.loads(content, buffers=buffers)
