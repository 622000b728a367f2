"""Arrays with a batch axis that nobody sees: what `vmap` computes with.

A `BatchedArray` stands for one sample's array and holds those of all samples, with the batch as the
first axis of ``value``; its shape is the sample's. It belongs to a `Level`, one call of `vmap`, and
``value`` may be a batched array of a level further out. It is an array type like any other, with a
backend (`levels`) that has every slot: operations, gradient rules and the tape work on it without
knowing, and where nothing is batched nothing is paid.

An array that doesn't depend on the sample is held once, without a batch axis (``batched`` is
false). Unbatched arrays of other types mix in; those of the level with the highest number decide.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ...errors import BatchingError
from ..array_operators import attach
from ..base import as_array, by_array_type
from ..numpy_backend import numpy_backend

_numbers = itertools.count(1)


class Level:
    """One call of `vmap`: the size of its batch, and what random numbers do in it."""

    __slots__ = ("number", "size", "randomness")

    def __init__(self, size: int, randomness: str = "error") -> None:
        self.number, self.size, self.randomness = next(_numbers), size, randomness

    def __repr__(self) -> str:
        return f"Level({self.number}, size={self.size})"


class BatchedStrides(tuple[int, ...]):
    """Strides of one sample's array, never equal to those of an array that isn't batched."""

    levels: tuple[Level, ...]

    def __eq__(self, other: object) -> bool:
        return type(other) is BatchedStrides and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


class _Flags:
    """The layout of a batched array: nothing is promised about it."""

    forc = c_contiguous = f_contiguous = False
    writeable = True


class BatchedArray:
    """One array per sample of a batch, seen as the array of one sample.

    ``base`` is the array that a view was made from; ``lent`` says that the memory is that of an
    array outside of `vmap`, and ``draws`` that it is the state of a generator.
    """

    __slots__ = ("value", "level", "batched", "base", "lent", "draws", "__weakref__")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]
    __iter__ = None
    flags = _Flags()

    def __init__(self, level: Level, value: Any, batched: bool, lent: bool = False) -> None:
        self.level, self.value, self.batched, self.lent = level, value, batched, lent
        self.base: BatchedArray | None = None
        self.draws = False

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.value.shape
        return shape[1:] if self.batched else shape

    @property
    def ndim(self) -> int:
        return self.value.ndim - self.batched

    @property
    def dtype(self) -> Any:
        return self.value.dtype

    @property
    def size(self) -> int:
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def strides(self) -> BatchedStrides:
        strides = self.value.strides
        found = BatchedStrides(strides[1:] if self.batched else strides)
        found.levels = levels_of(self)
        return found

    def astype(self, dtype: Any, copy: bool = True) -> BatchedArray:
        if not copy and self.dtype == dtype:
            return self
        return _backend().cast(self, dtype)

    def copy(self) -> BatchedArray:
        return _backend().copy(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not Ellipsis:
            raise BatchingError("vmap: a batched array is assigned to as a whole")
        copied = _backend().copy(value)
        self.value, self.batched = copied.value, copied.batched

    def __repr__(self) -> str:
        return f"batched({self.value!r})" if self.batched else f"shared({self.value!r})"


def _backend() -> Any:
    return by_array_type[BatchedArray]


def unreadable(what: str, array: Any) -> str:
    """Return what to say where the value of a batched array is asked for."""
    return (
        f"{what}: a value can't be read inside vmap, where it stands for a whole batch, got "
        f"{array.dtype.name} {tuple(array.shape)}; use where(...) instead of if, and return values "
        "to read them outside"
    )


attach(
    BatchedArray,
    lambda slot, function, *operands: getattr(_backend(), slot)(*operands),
    lambda what, array: BatchingError(unreadable(what, array)),
)


def unwritable(name: str, target: Any) -> str:
    """Return what to say where values of a batch would go into a tensor that isn't batched."""
    return (
        f"vmap: {name} can't write a value for each sample into a tensor that all samples share, "
        f"got {target.dtype.name} {tuple(target.shape)}; use the out-of-place form, or make the "
        "tensor from a batched one: zeros_like(x)"
    )


def levels_of(array: Any) -> tuple[Level, ...]:
    """Return the levels of an array, from the outermost to the innermost."""
    found: list[Level] = []
    while type(array) is BatchedArray:
        found.append(array.level)
        array = array.value
    return tuple(found[::-1])


def depends_on(array: Any, level: Level) -> bool:
    """Whether an array differs from sample to sample of a level."""
    while type(array) is BatchedArray:
        if array.level is level:
            return array.batched
        array = array.value
    return False


def physical(array: Any) -> Any:
    """Return the array of a library that a batched array holds in the end."""
    while type(array) is BatchedArray:
        array = array.value
    return array


# -- samples, one by one ---------------------------------------------------------------------------
class PerSample:
    """What an implementation keeps for backward, if it is no array: one for each sample."""

    __slots__ = ("level", "items")

    def __init__(self, level: Level, items: list[Any]) -> None:
        self.level, self.items = level, items


def backend_for_values(values: Sequence[Any]) -> Any:
    """Return the backend that runs on these arrays, some of which may be batched further out."""
    found = None
    for value in values:
        kind = type(value)
        if kind is BatchedArray or kind is PerSample:
            return _backend()
        if found is None and kind in by_array_type:
            found = by_array_type[kind]
    return numpy_backend if found is None else found


def loop(k: Any, name: str, level: Level, flags: Sequence[bool], *values: Any) -> Any:
    """Run an operation on one sample after the other: right for all of them."""
    run = getattr(k, name)
    if not level.size:
        return _of_no_samples(k, run, flags, values)
    results = [
        run(*[pick(v, i) if f else v for v, f in zip(values, flags, strict=True)])
        for i in range(level.size)
    ]
    return joined(name, level, results)


def pick(value: Any, index: int) -> Any:
    if type(value) is PerSample:
        return value.items[index]
    return backend_for_values((value,)).getitem(value, index)


def _of_no_samples(k: Any, run: Any, flags: Any, values: Any) -> Any:
    """Return results for an empty batch: of the shapes that a sample of ones gives."""
    one = [
        k.ones_like(k.zeros_for(v, v.shape[1:], v.dtype)) if f else v
        for v, f in zip(values, flags, strict=True)
    ]
    return _emptied(k, run(*one))


def _emptied(k: Any, result: Any) -> Any:
    if isinstance(result, tuple | list):
        return tuple([_emptied(k, one) for one in result])
    if result is None:
        return None
    return k.zeros_for(result, (0, *result.shape), result.dtype)


def joined(name: str, level: Level, results: list[Any]) -> Any:
    """Return the results of all samples as one, with the batch in front."""
    first = results[0]
    if isinstance(first, tuple | list):
        if any(len(one) != len(first) for one in results):
            raise BatchingError(_uneven(name, f"{len(first)} arrays"))
        return tuple([joined(name, level, list(parts)) for parts in zip(*results, strict=True)])
    if first is None:
        return None
    if not hasattr(first, "shape"):
        return PerSample(level, results)
    if any(one.shape != first.shape for one in results):
        raise BatchingError(_uneven(name, str(tuple(first.shape))))
    return backend_for_values(results).stack(*[as_array(one) for one in results], 0)


def _uneven(name: str, first: str) -> str:
    return (
        f"vmap: {name} must give every sample a result of one shape, got {first} and others; use "
        "where(...) and shapes that don't depend on values"
    )


def check_randomness(name: str, level: Level) -> None:
    """Raise where random numbers are drawn inside a `vmap` that doesn't say what that means."""
    if level.randomness == "error":
        raise BatchingError(
            f"vmap: {name} draws random numbers; say whether they are the same for every sample: "
            "vmap(..., randomness='different') or 'same'"
        )
