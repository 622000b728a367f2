"""The CPU backend: NumPy, with the native extension's kernels where it is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from ..errors import DtypeError, ShapeError
from . import cpu as cpu  # gives NumPy's arrays their memory
from . import dtypes
from . import threads as threads  # lets BLAS run on the kernels' threads
from .base import Backend, as_array, by_array_type, register
from .native import slots as native_slots
from .slots import library as library_slots

ndarray = numpy.ndarray
host_array = numpy.asarray  # for results of NumPy: makes its scalars 0-d arrays


def settled(result: Any, like: Any, crosses: bool) -> Any:
    """Return what a gradient rule gave as an array.

    Where the incoming gradient ``like`` is one of a batch and the rule didn't use it, the result
    becomes one too, unless the operation leads out of the batch.
    """
    result = as_array(result)
    if type(like) is tuple:
        like = next((one for one in like if one is not None), None)
    if type(result) is not type(like) and not crosses:
        backend = by_array_type.get(type(like))
        if backend is not None and backend.join is not None:
            return backend.settle(result, like)
    return result


class NumpyBackend(Backend):
    """NumPy's arrays."""

    def owns_memory(self, array: Any) -> bool:
        return bool(array.flags.owndata)

    def executor(
        self, program: Any, inputs: Any, static_outputs: bool
    ) -> Callable[..., Any] | None:
        from .programs.planned import executor

        return executor(program, static_outputs)

    def release_unused(self) -> None:
        from . import cpu

        cpu.empty_cache()


# Every family of slots is listed in library_slots: add a new family there.
def _slot(name: str) -> Callable[..., Any]:
    return getattr(numpy_backend, name)


_library = library_slots.slots(numpy)
numpy_backend = NumpyBackend(
    "cpu",
    numpy,
    numpy.ndarray,
    {**_library, **native_slots.slots(_slot)},
    library_slots.finder(numpy, _library),
)
register(numpy_backend)


def is_quiet() -> bool:
    """Whether NumPy's warnings of infinities and NaN are off on this thread."""
    return set(numpy.geterr().values()) == {"ignore"}


def takes_out(function: Any) -> bool:
    """Whether an implementation takes the array to write to as ``out``, or says that it does."""
    return type(function).__name__ == "ufunc" or getattr(function, "takes_out", False) is True


def index_array(values: Any) -> Any:
    """Return a list (or a bool) used as an index as an array; an empty list holds integers."""
    array = numpy.asarray(values)
    return array.astype(numpy.int64) if array.size == 0 else array


def from_data(name: str, data: Any, dtype: Any = None) -> Any:
    """Return Python data as an array of the default dtype of its kind (or of ``dtype``)."""
    if isinstance(data, numpy.ndarray):
        return numpy.asarray(data)
    if hasattr(data, "__array_interface__") or hasattr(data, "__dlpack__"):
        return numpy.asarray(data)
    plain = _without_tensors(data)
    try:
        array = numpy.asarray(plain)
    except ValueError:  # NumPy's own words ask for a dtype of objects
        raise ShapeError(
            f"{name}: nested data must be rectangular, got sequences of unequal lengths or depths"
        ) from None
    if array.dtype.kind not in "biufcV":
        raise DtypeError(f"{name}: data must be numbers, got {data!r:.60}")
    if dtype is not None and array.dtype.kind == "c" and dtype.kind not in "cb":
        raise DtypeError(f"{name}: complex data can't become real, got {array.dtype} -> {dtype}")
    keeps = isinstance(data, numpy.generic)
    wanted = dtype or (array.dtype if keeps else dtypes.default_for(array))
    return array.astype(wanted, copy=False)


def _without_tensors(data: Any) -> Any:
    if isinstance(data, list | tuple):
        return [_without_tensors(item) for item in data]
    return data.tolist() if hasattr(data, "tolist") else data
