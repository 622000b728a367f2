"""Spoils good calls of the native extension; run as a program, for a crash ends the process.

``python -m tests.native_fuzz LAST [PAIRS]`` makes every call of tests/native_calls with one of its
arguments spoiled in every way, and PAIRS calls of each with two of them. A call must return, or
raise one of ``ALLOWED``; after an error no array has changed, and after a return none but those
that the function writes. The file LAST holds the last call that was begun.
"""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

import tensorflowlite as tfl
from tensorflowlite.backend.native import extension as native
from tensorflowlite.errors import TensorflowliteError

from .native_calls import Arguments, Array, Call, Maker, arrays_in, load

ALLOWED = (TypeError, ValueError, OverflowError, IndexError, TensorflowliteError)
ERRORS_PRINTED = 20

Spoil = Callable[[Maker, Any], Any]


def _of_dtype(dtype: Any) -> Spoil:
    def spoil(make: Maker, x: Array) -> Array:
        if np.dtype(dtype).hasobject:
            return np.zeros(x.shape, dtype)
        array = make.empty(*x.shape, dtype=dtype)
        array.view(np.uint8)[...] = 0
        return array

    return spoil


def _strided(make: Maker, x: Array, step: int) -> Array:
    wide = make.empty(*x.shape[:-1], abs(step) * x.shape[-1], dtype=x.dtype)
    view = wide[..., ::step]
    view[...] = x
    return view


def _unaligned(make: Maker, x: Array) -> Array:
    memory = make.empty(x.nbytes + 1, dtype=np.uint8)
    array = memory[1:].view(x.dtype).reshape(x.shape)
    array[...] = x
    return array


def _read_only(make: Maker, x: Array) -> Array:
    array = make.filled(x, x.dtype)
    array.flags.writeable = False
    return array


def _repeated(make: Maker, x: Array) -> Array:
    """The same element everywhere, and writeable."""
    return np.lib.stride_tricks.as_strided(make.empty(1, dtype=x.dtype), x.shape, (0,) * x.ndim)


def _column_order(make: Maker, x: Array) -> Array:
    array = make.empty(*x.shape[::-1], dtype=x.dtype).transpose()
    array[...] = x
    return array


def _value_everywhere(value: float) -> Spoil:
    def spoil(make: Maker, x: Array) -> Array:
        array = make.like(x)
        with np.errstate(all="ignore"):
            array[...] = np.asarray(value).astype(x.dtype)
        return array

    return spoil


def _of_shape(change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Spoil:
    return lambda make, x: make.empty(*change(x.shape), dtype=x.dtype)


DTYPES = [
    "?", "i1", "u1", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", "c8", "c16", ">f4", ">f8",
    ">u4", ">i8", "S4", "U2", "M8[s]", "V4", "f4,i4", "O", ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
]  # fmt: skip
JUNK: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a text": lambda: "gelu",
    "an empty text": lambda: "",
    "half a letter": lambda: "\ud800",
    "bytes": lambda: b"\x00\xff",
    "an object": object,
    "a type": lambda: np.float32,
    "a list": lambda: [1.0, 2.0],
    "an empty list": list,
    "a nested list": lambda: [[1.0], [2.0, 3.0]],
    "a dictionary": lambda: {"z": 1},
    "a function": lambda: len,
    "a scalar": lambda: np.float32(1),
    "an array": lambda: np.ones(3, np.float32),
    "a memory view": lambda: memoryview(b"1234"),
    "a tensor": lambda: tfl.ones(3),
    "True": lambda: True,
    "a fraction": lambda: 0.5,
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "a complex number": lambda: 1j,
    **{str(n): (lambda n=n: n) for n in (0, 1, -1, 2**31, -(2**31), 2**32, 2**53)},
    **{str(n): (lambda n=n: n) for n in (2**62, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64)},
    "10**30": lambda: 10**30,
}
ARRAYS: dict[str, Spoil] = {
    **{f"of dtype {np.dtype(dtype)}": _of_dtype(dtype) for dtype in DTYPES},
    "longer": _of_shape(lambda shape: (*shape[:-1], shape[-1] + 1)),
    "shorter": _of_shape(lambda shape: (*shape[:-1], max(shape[-1] - 1, 0))),
    "taller": _of_shape(lambda shape: (shape[0] + 1, *shape[1:])),
    "less tall": _of_shape(lambda shape: (max(shape[0] - 1, 0), *shape[1:])),
    "with an axis more": _of_shape(lambda shape: (*shape, 1)),
    "with an axis before": _of_shape(lambda shape: (1, *shape)),
    "with an axis less": _of_shape(lambda shape: shape[:-1]),
    "of 30 axes": _of_shape(lambda shape: (1,) * 30),
    "flat": _of_shape(lambda shape: (int(np.prod(shape)),)),
    "of reversed shape": _of_shape(lambda shape: shape[::-1]),
    "of no axis": _of_shape(lambda shape: ()),
    "of one element": _of_shape(lambda shape: (1,) * len(shape)),
    "empty": _of_shape(lambda shape: (0,)),
    "empty in every axis": _of_shape(lambda shape: (0,) * len(shape)),
    "empty in the first axis": _of_shape(lambda shape: (0, *shape[1:])),
    "empty in the last axis": _of_shape(lambda shape: (*shape[:-1], 0)),
    "huge without memory": lambda make, x: np.broadcast_to(x.reshape(-1)[:1], (2**40,)),
    "huge in its axes": lambda make, x: np.broadcast_to(
        x.reshape(-1)[:1], (2 ** (58 // x.ndim),) * x.ndim
    ),
    "empty and huge": lambda make, x: np.empty((0, 2**61 // x.itemsize), x.dtype),
    "backwards": lambda make, x: _strided(make, x, -1),
    "every other": lambda make, x: _strided(make, x, 2),
    "every other backwards": lambda make, x: _strided(make, x, -2),
    "upside down": lambda make, x: make.filled(x, x.dtype)[::-1],
    "in column order": _column_order,
    "one element repeated": _repeated,
    "read-only": _read_only,
    "unaligned": _unaligned,
    "masked": lambda make, x: np.ma.masked_array(x),
    "of NaN": _value_everywhere(float("nan")),
    "of infinity": _value_everywhere(float("inf")),
    "of minus 1": _value_everywhere(-1),
    "of huge numbers": _value_everywhere(2.0**62),
}
LISTS: dict[str, Spoil] = {
    "without its last": lambda make, x: x[:-1],
    "with its first again": lambda make, x: x + x[:1],
    "with its first twice": lambda make, x: x[:1] + x[:1] + x[2:],
    "with its last first": lambda make, x: x[-1:] + x[1:],
    "twice": lambda make, x: x + x,
    "backwards": lambda make, x: x[::-1],
    "in a list": lambda make, x: list(x),
    "in a tuple": lambda make, x: tuple(x),
    "in a generator": lambda make, x: (each for each in x),
    "nested": lambda make, x: type(x)([x]),
}


def _shared(make: Maker, x: Array, other: Array, at: str) -> Array:
    """Memory of another argument, one element on or at its end: it overlaps partly."""
    low, high = np.lib.array_utils.byte_bounds(other)
    start = low + x.itemsize if at == "in" else high - x.nbytes
    memory = make.memory(start, x.nbytes)
    return other if memory is None else memory.view(x.dtype).reshape(x.shape)


def ways(value: Any, others: list[Array]) -> Iterator[tuple[str, Spoil]]:
    """Yield the ways to spoil an argument: what they are called, and what makes the value."""
    for name, junk in JUNK.items():
        yield name, lambda make, x, junk=junk: junk()
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return
        yield from ARRAYS.items()
        for i, other in enumerate(others):
            if other is not value:
                yield f"array {i}", lambda make, x, other=other: other
            for at in ("in", "at the end of"):
                yield (
                    f"{at} array {i}",
                    lambda make, x, other=other, at=at: _shared(make, x, other, at),
                )
    elif isinstance(value, (list, tuple)):
        yield from LISTS.items()
        for i in sorted({0, len(value) // 2, len(value) - 1}) if value else ():
            for name, spoil in ways(value[i], others):
                yield (
                    f"{name} at {i}",
                    lambda make, x, i=i, spoil=spoil: _replaced(x, i, spoil(make, x[i])),
                )


def _replaced(sequence: Any, i: int, value: Any) -> Any:
    return type(sequence)([*sequence[:i], value, *sequence[i + 1 :]])


def _overlap(one: Array, other: Array) -> bool:
    """Whether two arrays share memory and aren't the same, element by element."""
    same = one.ctypes.data == other.ctypes.data and one.strides == other.strides
    return not (same and one.shape == other.shape) and np.shares_memory(one, other)


class Fuzzer:
    """Makes calls and collects what was wrong with them."""

    def __init__(self, last: str) -> None:
        self._last = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.wrong: list[str] = []
        self.returned = self.refused = 0

    def call(self, name: str, call: Call, arguments: Arguments, make: Maker, what: str) -> None:
        """Make one call; `what` says how it is spoiled, and is "" where it isn't."""
        text = f"{name}({what or 'as it should be'})"
        os.pwrite(self._last, text.encode("utf-8", "replace").ljust(400)[:400], 0)
        before = make.contents()
        written = call.written(arguments)
        kept = [array.copy() for array in written if array.nbytes < 1 << 20]
        references = sys.getrefcount(written[0]) if written else 0
        try:
            result = getattr(native.module, name)(**arguments)
        except ALLOWED:
            self.refused += 1
            if not what:
                self.wrong.append(f"{text}: was refused: {sys.exc_info()[1]}")
            if make.contents() != before:
                self.wrong.append(f"{text}: raised, but changed an array")
        except Exception as error:
            self.wrong.append(f"{text}: raised {type(error).__name__}: {error}")
        else:
            self._after_return(text, call, arguments, written, kept, result)
            result = None
            if make.contents() != before:
                self.wrong.append(f"{text}: changed memory that isn't its output")
        if written and sys.getrefcount(written[0]) != references:
            self.wrong.append(f"{text}: keeps or loses a reference")

    def _after_return(
        self,
        text: str,
        call: Call,
        arguments: Arguments,
        written: list[Array],
        kept: list[Array],
        result: Any,
    ) -> None:
        self.returned += 1
        for array in arrays_in(result):
            array.tobytes()
        for key in call.writes:
            if arguments.get(key) is not None and not arrays_in(arguments[key]):
                self.wrong.append(f"{text}: took {key} as an output")
        inputs = [array for key in arguments for array in arrays_in(arguments[key])]
        if any(_overlap(one, other) for one in written for other in inputs):
            self.wrong.append(f"{text}: took an output that overlaps another argument")
        # Outputs get back what they held: any other change is one too many. Arrays without memory
        # of their own size are never taken, so that all were kept.
        for array, copy in zip(written, kept, strict=True):
            if array.flags.writeable:
                array[...] = copy
            elif array.tobytes() != copy.tobytes():
                self.wrong.append(f"{text}: changed a read-only array")


def good_calls(call: Call, dtype: Any) -> list[tuple[Maker, Arguments]]:
    """Return the good calls of a function, each with arrays of its own."""
    count = sum(1 for _ in call.make(Maker(np.random.default_rng(0), dtype)))
    found = []
    for i in range(count):
        make = Maker(np.random.default_rng(i), dtype)
        found.append((make, list(call.make(make))[i]))
    return found


def _spoiled(make: Maker, arguments: Arguments, spoils: dict[str, Spoil]) -> tuple[Arguments, int]:
    """Return arguments of which some are spoiled, and how many buffers there were before."""
    count = make.count()
    values = {key: spoil(make, arguments[key]) for key, spoil in spoils.items()}
    return arguments | values, count


def fuzz(fuzzer: Fuzzer, name: str, call: Call, pairs: int) -> None:
    chance = random.Random(name)
    for dtype in (np.float32, np.float64):
        for make, arguments in good_calls(call, dtype):
            fuzzer.call(name, call, arguments, make, "")
            others = arrays_in(list(arguments.values()))
            every = {key: list(ways(value, others)) for key, value in arguments.items()}
            chosen = [{key: way} for key in every for way in every[key]]
            for _ in range(pairs if len(every) > 1 else 0):
                keys = chance.sample(sorted(every), 2)
                chosen.append({key: chance.choice(every[key]) for key in keys})
            for spoils in chosen:
                values, count = _spoiled(
                    make, arguments, {key: spoil for key, (_, spoil) in spoils.items()}
                )
                what = ", ".join(f"{key}: {way}" for key, (way, _) in spoils.items())
                fuzzer.call(name, call, values, make, what)
                make.forget(count)
            for key in arguments:
                without = {other: value for other, value in arguments.items() if other != key}
                fuzzer.call(name, call, without, make, f"without {key}")
            fuzzer.call(name, call, arguments | {"unknown": 1}, make, "unknown: 1")


def main(last: str, pairs: str = "60") -> int:
    module = native.module
    assert module is not None, native.why_not()
    warnings.simplefilter("ignore")
    # A TypeError has all arguments in its text: most of the time would go there.
    np.set_printoptions(override_repr=lambda array: f"array({array.dtype})")
    fuzzer = Fuzzer(last)
    for name, call in sorted(load().items()):
        fuzz(fuzzer, name, call, int(pairs))
        module.set_num_threads(2)
        module.use_instruction_set(module.instruction_sets()[0])
    for text in fuzzer.wrong[:ERRORS_PRINTED]:
        print(text.encode("ascii", "backslashreplace").decode())
    print(f"{fuzzer.returned} returned, {fuzzer.refused} refused, {len(fuzzer.wrong)} wrong")
    return 1 if fuzzer.wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
