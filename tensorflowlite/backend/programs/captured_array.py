"""Arrays whose operations are written down: what `jit` records with.

A `CapturedArray` holds an array of a library and its number in the program that is recorded. It is
an array type like any other, with a backend (`capture`) that has every slot: a slot runs on the
arrays inside and is written down. Operations, gradient rules and the tape work on it without
knowing. What would read a value, or compute beside the slots, raises.
"""

from __future__ import annotations

from typing import Any

from ...errors import CaptureError
from ..array_operators import attach
from ..base import by_array_type


class CapturedArray:
    """An array of a program that is recorded.

    ``base`` is the array whose memory a view shares; where that is none of the program's, whatever
    the array inside has as its base.
    """

    __slots__ = ("value", "capture", "index", "base", "__weakref__")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]
    __iter__ = None

    def __init__(self, capture: Any, value: Any, index: int, base: Any) -> None:
        self.capture, self.value, self.index, self.base = capture, value, index, base

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def dtype(self) -> Any:
        return self.value.dtype

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def nbytes(self) -> int:
        return self.value.nbytes

    @property
    def itemsize(self) -> int:
        return self.value.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        return self.value.strides

    @property
    def flags(self) -> Any:
        return self.value.flags

    def astype(self, dtype: Any, copy: bool = True) -> CapturedArray:
        if not copy and self.dtype == dtype:
            return self
        return _backend().cast(self, dtype)

    def copy(self) -> CapturedArray:
        return _backend().copy(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not Ellipsis:
            raise CaptureError("jit: a captured array is assigned to as a whole")
        _backend().fill_from(self, value)

    def __repr__(self) -> str:
        return f"captured(%{self.index}, {self.dtype.name} {tuple(self.shape)})"


def _backend() -> Any:
    return by_array_type[CapturedArray]


def unreadable(what: str, array: Any) -> str:
    """Return what to say where a value is asked for."""
    return (
        f"{what}: a value can't be read inside jit, whose replays would not see it, got "
        f"{array.dtype.name} {tuple(array.shape)}; return it and read it outside, or use "
        "where(...) instead of if"
    )


attach(
    CapturedArray,
    lambda slot, function, *operands: _backend().run(slot, function, operands),
    lambda what, array: CaptureError(unreadable(what, array)),
)
