"""Good calls of every function of the native extension, which tests/test_native_fuzz.py spoils.

A file here has the functions of one ``csrc/*_module.cpp``. For each a maker, marked with ``@call``,
yields arguments that the function takes, by name:

    @call("scale", writes=("out",))
    def scale(make: Maker) -> Iterator[Arguments]:
        x = make.normals(4, 6)
        yield {"x": x, "factor": 2.0, "out": make.like(x)}

``writes`` names the arguments that the function may change; where such an argument is a sequence
that holds inputs too, ``inputs`` finds those.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Arguments = dict[str, Any]

GUARD = 64  # bytes on either side of an array
GUARD_VALUE = 0xA5


def arrays_in(value: Any) -> list[Array]:
    """Return an argument's arrays."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, (list, tuple)):
        return [array for each in value for array in arrays_in(each)]
    return []


class Maker:
    """Makes arrays between guards.

    Parameters
    ----------
    generator
        Where values come from.
    dtype
        Of the floating arrays.
    """

    def __init__(self, generator: np.random.Generator, dtype: Any = np.float32) -> None:
        self.generator, self.dtype = generator, np.dtype(dtype)
        self._buffers: list[Array] = []

    def empty(self, *shape: int, dtype: Any = None) -> Array:
        """Return an array whose bytes are all 0x7F, so that it shows whether it was written."""
        dtype = np.dtype(self.dtype if dtype is None else dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        buffer = np.full(size + 2 * GUARD, GUARD_VALUE, np.uint8)
        self._buffers.append(buffer)
        inner = buffer[GUARD : GUARD + size]
        inner[:] = 0x7F
        return inner.view(dtype).reshape(shape)

    def filled(self, values: Any, dtype: Any = None) -> Array:
        """Return an array with these values."""
        values = np.asarray(values)
        array = self.empty(*values.shape, dtype=dtype)
        array[...] = values
        return array

    def normals(self, *shape: int, dtype: Any = None) -> Array:
        return self.filled(self.generator.standard_normal(shape), dtype)

    def integers(self, low: int, high: int, *shape: int, dtype: Any = np.int64) -> Array:
        return self.filled(self.generator.integers(low, high, shape), dtype)

    def like(self, array: Array) -> Array:
        return self.empty(*array.shape, dtype=array.dtype)

    def contents(self) -> bytes:
        """Return all bytes of the arrays, and of what is between and beside them."""
        return b"".join(self._buffers)

    def memory(self, start: int, size: int) -> Array | None:
        """Return the bytes at an address; None where they aren't in an array and its guards."""
        for buffer in self._buffers:
            first = start - buffer.ctypes.data
            if first >= 0 and first + size <= buffer.size:
                return buffer[first : first + size]
        return None

    def count(self) -> int:
        return len(self._buffers)

    def forget(self, count: int) -> None:
        """Forget all arrays but the first ones."""
        del self._buffers[count:]


Make = Callable[[Maker], Iterator[Arguments]]
Inputs = Callable[[Arguments], list[Any]]


@dataclass(frozen=True)
class Call:
    """A function's maker of good arguments, and what the function may change of them."""

    make: Make
    writes: tuple[str, ...] = ()
    inputs: Inputs = lambda arguments: []

    def written(self, arguments: Arguments) -> list[Array]:
        """Return the arrays that the function may change."""
        inputs = {id(array) for array in self.inputs(arguments)}
        found = [array for key in self.writes for array in arrays_in(arguments.get(key))]
        return [array for array in found if id(array) not in inputs]


CALLS: dict[str, Call] = {}


def call(name: str, **more: Any) -> Callable[[Make], Make]:
    """Mark the maker of a function's good arguments; the rest is for its `Call`."""

    def enter(make: Make) -> Make:
        assert name not in CALLS, f"two makers for {name}"
        CALLS[name] = Call(make, **more)
        return make

    return enter


def load() -> dict[str, Call]:
    """Return the calls of all files here."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return CALLS
