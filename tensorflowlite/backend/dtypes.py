"""The dtypes, the one table of default dtypes, and the promotion of scalars.

dtypes are ``numpy.dtype`` instances; bfloat16 is that of ``ml_dtypes``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy

from ..errors import DtypeError

bool_ = numpy.dtype(numpy.bool_)
int8 = numpy.dtype(numpy.int8)
int16 = numpy.dtype(numpy.int16)
int32 = numpy.dtype(numpy.int32)
int64 = numpy.dtype(numpy.int64)
uint8 = numpy.dtype(numpy.uint8)
uint16 = numpy.dtype(numpy.uint16)
uint32 = numpy.dtype(numpy.uint32)
uint64 = numpy.dtype(numpy.uint64)
float16 = numpy.dtype(numpy.float16)
bfloat16 = numpy.dtype(ml_dtypes.bfloat16)
float32 = numpy.dtype(numpy.float32)
float64 = numpy.dtype(numpy.float64)
complex64 = numpy.dtype(numpy.complex64)
complex128 = numpy.dtype(numpy.complex128)

supported = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip
half = frozenset((float16, bfloat16))
inexact = frozenset((float16, bfloat16, float32, float64, complex64, complex128))
real_inexact = frozenset((float16, bfloat16, float32, float64))

# What tensor(), zeros(), linspace(), random.* ... make of Python data of each kind.
default = {"b": bool_, "i": int64, "f": float32, "c": complex64}
_real_of: dict[numpy.dtype[Any], numpy.dtype[Any]] = {complex64: float32, complex128: float64}
_complex_of: dict[numpy.dtype[Any], numpy.dtype[Any]] = {float32: complex64, float64: complex128}
_kinds = {bool: "b", int: "i", float: "f", complex: "c"}


def is_inexact(dtype: numpy.dtype[Any]) -> bool:
    """Whether a tensor of this dtype can carry gradients: the float and complex dtypes."""
    return dtype in inexact


def as_dtype(dtype: Any) -> numpy.dtype[Any]:
    """Return the ``numpy.dtype`` for a dtype, a scalar type, a name or a Python type.

    ``float``, ``int`` and ``complex`` mean the default dtypes of their kind.
    """
    if isinstance(dtype, type) and dtype in _kinds:
        return default[_kinds[dtype]]
    if dtype == "bfloat16":
        return bfloat16
    try:
        found = numpy.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found not in supported:
        names = ", ".join(d.name for d in supported)
        raise DtypeError(f"dtype: must be one of {names}, got {dtype!r}") from None
    return found


def default_for(values: numpy.ndarray[Any, Any]) -> numpy.dtype[Any]:
    """Return the default dtype for an array that NumPy made of Python numbers."""
    kind = values.dtype.kind
    return default["i" if kind == "u" else kind] if kind in "biufc" else values.dtype


def real_of(dtype: numpy.dtype[Any]) -> numpy.dtype[Any]:
    """Return the dtype of the real part."""
    return _real_of.get(dtype, dtype)


def complex_of(dtype: numpy.dtype[Any]) -> numpy.dtype[Any]:
    """Return the complex dtype whose parts have the real dtype ``dtype``."""
    return _complex_of.get(dtype, dtype)


def accumulator(dtype: numpy.dtype[Any]) -> numpy.dtype[Any]:
    """Return the dtype in which sums of ``dtype`` are accumulated."""
    return float32 if dtype in half else dtype


def promote(*types: numpy.dtype[Any]) -> numpy.dtype[Any]:
    """Return the dtype that arrays of these dtypes promote to.

    NEP 50, with bfloat16 in float16's place; the two of them give float32.
    """
    result = types[0]
    for other in types[1:]:
        if result == other:
            continue
        if bfloat16 not in (result, other):
            result = numpy.result_type(result, other)
            continue
        rest = other if result == bfloat16 else result
        if rest.kind in "biu":
            as_float16 = numpy.result_type(float16, rest)
            result = bfloat16 if as_float16 == float16 else as_float16
        else:
            result = numpy.result_type(float32, rest)
    return result


def with_scalar(dtype: numpy.dtype[Any], value: complex) -> numpy.dtype[Any]:
    """Return the dtype of an array of ``dtype`` combined with a weak Python number (NEP 50)."""
    if dtype == bfloat16:
        return complex64 if type(value) is complex else bfloat16
    return numpy.result_type(dtype, value)


class FloatLimits(NamedTuple):
    """The limits of a float dtype, as Python numbers.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> limits = tfl.finfo(tfl.float16)
    >>> limits.bits, limits.max, limits.dtype.name
    (16, 65504.0, 'float16')
    """

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    tiny: float
    resolution: float
    dtype: numpy.dtype[Any]


def float_limits(dtype: numpy.dtype[Any]) -> FloatLimits:
    """Return the limits of a float dtype, by the library that defines it."""
    if dtype not in real_inexact:
        raise DtypeError(f"finfo: the dtype must be a float or complex one, got {dtype}")
    found: Any = ml_dtypes.finfo(dtype) if dtype == bfloat16 else numpy.finfo(dtype)
    normal = float(found.smallest_normal)
    return FloatLimits(
        int(found.bits), float(found.eps), float(found.max), float(found.min), normal, normal,
        float(found.resolution), dtype,
    )  # fmt: skip


class IntegerLimits(NamedTuple):
    """The limits of an integer dtype.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> limits = tfl.iinfo(tfl.uint8)
    >>> limits.bits, limits.min, limits.max
    (8, 0, 255)
    """

    bits: int
    max: int
    min: int
    dtype: numpy.dtype[Any]


def integer_limits(dtype: numpy.dtype[Any]) -> IntegerLimits:
    """Return the limits of an integer dtype."""
    if dtype.kind not in "iu":
        raise DtypeError(f"iinfo: the dtype must be an integer one, got {dtype}")
    found = numpy.iinfo(dtype)
    return IntegerLimits(int(found.bits), int(found.max), int(found.min), dtype)
