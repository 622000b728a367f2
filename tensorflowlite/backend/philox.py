"""Random numbers as a function of (seed, stream, element): the same bits on every device.

The definition, which the native extension and the CUDA kernels keep to the bit:

- Seeds and streams are 0 ... 2**64 - 1. The elements of a stream are 32-bit numbers: element e is
  lane ``e % 4`` of Philox4x32-10 (Salmon, Moraes, Dror, Shaw, 2011) with key
  ``(seed low, seed high)`` and counter ``(block low, block high, stream low, stream high)``, where
  block is ``e // 4`` and low and high are 32-bit halves.
- 64-bit element e is made of the 32-bit elements 2e (lower half) and 2e + 1 (upper half).
- Uniforms: ``(bits >> 8) * 2**-24`` for float32, ``(bits64 >> 11) * 2**-53`` for float64.
- Normals: the inverse of the normal distribution function at p, where p is
  ``((bits >> 9) + 0.5) * 2**-23`` for float32 and ``((bits64 >> 12) + 0.5) * 2**-52`` for float64.
  The inverse is algorithm AS 241 (PPND16; Wichura, 1988) in float64 with the logarithm of
  ``_log_by_series``, rounded at the end where float32 is asked for. Every step is one correctly
  rounded operation of IEEE arithmetic (+ - * / and sqrt), none contracted to a fused multiply-add,
  in the order written here.

``kernels/include/philox.cuh`` says the same in C++. A function takes ``offset``, the first element,
so that a part of a stream can be made alone.

Examples
--------
>>> import numpy as np
>>> whole = normal(seed=1, stream=2, size=10)
>>> bool(np.array_equal(whole[4:7], normal(seed=1, stream=2, size=3, offset=4)))
True
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflowlite.errors import ArgumentError

from .native import extension as native

__all__ = ["normal", "permutation", "randint", "random_bits", "random_bits64", "uniform"]

_Array = npt.NDArray[Any]

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)

# Blocks of four made at a time: the working arrays stay in the second-level cache.
_CHUNK = 1 << 13

# fmt: off
_CENTRAL = (
    (
        2509.0809287301226727, 33430.575583588128105, 67265.770927008700853,
        45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
        133.14166789178437745, 3.387132872796366608,
    ),
    (
        5226.495278852854561, 28729.085735721942674, 39307.89580009271061,
        21213.794301586595867, 5394.1960214247511077, 687.1870074920579083,
        42.313330701600911252, 1.0,
    ),
)
_TAIL = (
    (
        7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
        1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055,
        4.6303378461565452959, 1.42343711074968357734,
    ),
    (
        1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
        0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494,
        2.05319162663775882187, 1.0,
    ),
)
_FAR_TAIL = (
    (
        2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386,
        0.026532189526576123093, 0.29656057182850489123, 1.7848265399172913358,
        5.4637849111641143699, 6.6579046435011037772,
    ),
    (
        2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
        7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
        0.59983220655588793769, 1.0,
    ),
)
# fmt: on
_LOG_SERIES = tuple(2.0 / k for k in range(23, 2, -2))


def random_bits(seed: int, stream: int, size: int, offset: int = 0) -> npt.NDArray[np.uint32]:
    """Elements ``offset ... offset + size - 1`` of a stream.

    Parameters
    ----------
    seed, stream : int
        0 ... 2**64 - 1.
    size, offset : int
        At least 0, and their sum at most 2**62.

    Returns
    -------
    ndarray of uint32, shape (size,)

    Raises
    ------
    ArgumentError
        A ValueError, for an argument out of its range.

    Examples
    --------
    >>> [hex(bits) for bits in random_bits(seed=0, stream=0, size=4)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    seed, stream, size, offset = _checked("random_bits", seed, stream, size, offset)
    if native.module is not None:
        out = np.empty(size, np.uint32)
        native.module.random_bits(seed, stream, offset, out)
        return out
    return _bits(seed, stream, size, offset)


def random_bits64(seed: int, stream: int, size: int, offset: int = 0) -> npt.NDArray[np.uint64]:
    """64-bit elements of a stream, two 32-bit ones each; parameters and errors as ``random_bits``.

    Returns
    -------
    ndarray of uint64, shape (size,)

    Examples
    --------
    >>> hex(random_bits64(seed=0, stream=0, size=1)[0])
    '0xe169c58d6627e8d5'
    """
    seed, stream, size, offset = _checked("random_bits64", seed, stream, size, offset)
    if native.module is not None:
        out = np.empty(2 * size, np.uint32)
        native.module.random_bits(seed, stream, 2 * offset, out)
        return _joined(out)
    return _joined(_bits(seed, stream, 2 * size, 2 * offset))


def uniform(
    seed: int, stream: int, size: int, dtype: npt.DTypeLike = np.float32, offset: int = 0
) -> _Array:
    """Uniform numbers in [0, 1), all multiples of 2**-24 (float32) or 2**-53 (float64).

    Parameters and errors as ``random_bits``; `dtype` is float32 or float64.

    Returns
    -------
    ndarray of `dtype`, shape (size,)

    Examples
    --------
    >>> uniform(seed=0, stream=0, size=2)
    array([0.39904642, 0.88052016], dtype=float32)
    """
    return _floats("uniform", seed, stream, size, dtype, offset, _uniform_from_bits)


def normal(
    seed: int, stream: int, size: int, dtype: npt.DTypeLike = np.float32, offset: int = 0
) -> _Array:
    """Standard normal numbers, each from one uniform; at most 5.3 or 8.3 (float64) in magnitude.

    Parameters and errors as ``random_bits``; `dtype` is float32 or float64.

    Returns
    -------
    ndarray of `dtype`, shape (size,)

    Examples
    --------
    >>> normal(seed=0, stream=0, size=2)
    array([-0.25581595,  1.1775911 ], dtype=float32)
    """
    return _floats("normal", seed, stream, size, dtype, offset, _normal_from_bits)


def randint(
    seed: int, stream: int, size: int, low: int, high: int, offset: int = 0
) -> npt.NDArray[np.int64]:
    """Integers in [low, high): ``low + (bits64 * (high - low) >> 64)``.

    A value's probability differs from ``1 / (high - low)`` by less than 2**-64, so relatively by
    less than 2**-32 for a range below 2**32. Parameters as ``random_bits``.

    Returns
    -------
    ndarray of int64, shape (size,)

    Raises
    ------
    ArgumentError
        Where ``low < high`` doesn't hold, where a value wouldn't fit in int64, or as for
        ``random_bits``.

    Examples
    --------
    >>> randint(seed=0, stream=0, size=5, low=-3, high=3)
    array([ 2,  0, -1, -3, -2])
    """
    low, high = operator.index(low), operator.index(high)
    if not -(2**63) <= low < high <= 2**63:
        raise ArgumentError(
            f"randint: low must be below high, and both within int64, got low={low}, high={high}"
        )
    bits = random_bits64(seed, stream, size, offset)
    span = high - low
    # The product of two 64-bit numbers, by halves; a span of 2**64 leaves the bits as they are.
    if span < 2**64:
        span_low, span_high = np.uint64(span & 0xFFFFFFFF), np.uint64(span >> 32)
        bits_low, bits_high = bits & _MASK, bits >> _HALF
        middle = bits_high * span_low + (bits_low * span_low >> _HALF)
        carried = bits_low * span_high + (middle & _MASK)
        bits = bits_high * span_high + (middle >> _HALF) + (carried >> _HALF)
    # Modulo 2**64, which is right for a negative `low` too.
    return (bits + np.uint64(low % 2**64)).view(np.int64)


def permutation(seed: int, stream: int, n: int) -> npt.NDArray[np.int64]:
    """A permutation of 0 ... n - 1: the order that sorts n 64-bit elements of the stream.

    Parameters and errors as ``random_bits``.

    Returns
    -------
    ndarray of int64, shape (n,)

    Examples
    --------
    >>> permutation(seed=0, stream=0, n=5)
    array([3, 4, 2, 1, 0])
    """
    return np.argsort(random_bits64(seed, stream, n), kind="stable").astype(np.int64, copy=False)


def _checked(op: str, seed: int, stream: int, size: int, offset: int) -> tuple[int, int, int, int]:
    seed, stream = operator.index(seed), operator.index(stream)
    size, offset = operator.index(size), operator.index(offset)
    if not (0 <= seed < 2**64 and 0 <= stream < 2**64):
        raise ArgumentError(
            f"{op}: seed and stream must be in 0 ... 2**64 - 1, got seed={seed}, stream={stream}"
        )
    if size < 0 or offset < 0 or size + offset > 2**62:
        raise ArgumentError(
            f"{op}: size and offset must be at least 0 and add up to at most 2**62, "
            f"got size={size}, offset={offset}"
        )
    return seed, stream, size, offset


def _floats(
    op: str,
    seed: int,
    stream: int,
    size: int,
    dtype: npt.DTypeLike,
    offset: int,
    from_bits: Callable[[_Array], _Array],
) -> _Array:
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ArgumentError(f"{op}: dtype must be float32 or float64, got {dtype}")
    seed, stream, size, offset = _checked(op, seed, stream, size, offset)
    out = np.empty(size, dtype)
    if native.module is not None:
        getattr(native.module, op)(seed, stream, offset, out)
        return out
    for start in range(0, size, 4 * _CHUNK):
        count = min(4 * _CHUNK, size - start)
        if dtype == np.float32:
            bits: _Array = _bits(seed, stream, count, offset + start)
        else:
            bits = _joined(_bits(seed, stream, 2 * count, 2 * (offset + start)))
        out[start : start + count] = from_bits(bits)
    return out


def _bits(seed: int, stream: int, size: int, offset: int) -> npt.NDArray[np.uint32]:
    first = offset // 4
    blocks = (offset + size + 3) // 4 - first
    out = np.empty((blocks, 4), np.uint32)
    for start in range(0, blocks, _CHUNK):
        count = min(_CHUNK, blocks - start)
        counter = np.arange(count, dtype=np.uint64) + np.uint64(first + start)
        philox_blocks(seed, counter, stream, out[start : start + count])
    skipped = offset - 4 * first
    return out.reshape(-1)[skipped : skipped + size]


def philox_blocks(seed: int, block: npt.NDArray[np.uint64], stream: int, out: _Array) -> None:
    """Write the four uint32 of each block of a stream to ``out``, of shape (blocks, 4)."""
    # 32-bit words in 64-bit arrays, so that a product of two is whole.
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    c0, c1 = block & _MASK, block >> _HALF
    c2 = np.full_like(block, stream & 0xFFFFFFFF)
    c3 = np.full_like(block, stream >> 32)
    for _ in range(10):
        c0 *= _MULTIPLIERS[0]
        c2 *= _MULTIPLIERS[1]
        c1 ^= c2 >> _HALF
        c1 ^= np.uint64(key0)
        c3 ^= c0 >> _HALF
        c3 ^= np.uint64(key1)
        c0 &= _MASK
        c2 &= _MASK
        c0, c1, c2, c3 = c1, c2, c3, c0
        key0 = (key0 + _KEY_STEPS[0]) & 0xFFFFFFFF
        key1 = (key1 + _KEY_STEPS[1]) & 0xFFFFFFFF
    out[:, 0], out[:, 1], out[:, 2], out[:, 3] = c0, c1, c2, c3


def _joined(bits: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    # Neighbours in little-endian order are the two halves already.
    little = np.ascontiguousarray(bits, "<u4")
    return little.view("<u8").astype(np.uint64, copy=False)


def _uniform_from_bits(bits: _Array) -> _Array:
    if bits.dtype == np.uint32:
        return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _normal_from_bits(bits: _Array) -> _Array:
    if bits.dtype == np.uint32:
        p = ((bits >> np.uint32(9)).astype(np.float64) + 0.5) * 2.0**-23
    else:
        p = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return _normal_from_probability(p)


def _normal_from_probability(p: _Array) -> _Array:
    q = p - 0.5
    value = q * _ratio(_CENTRAL, 0.180625 - q * q)
    outside = np.flatnonzero(np.abs(q) > 0.425)
    tail = p[outside]
    argument = np.sqrt(-_log_by_series(np.where(tail < 0.5, tail, 1.0 - tail)))
    magnitude = _ratio(_TAIL, argument - 1.6)
    far = np.flatnonzero(argument > 5.0)
    magnitude[far] = _ratio(_FAR_TAIL, argument[far] - 5.0)
    value[outside] = np.where(tail < 0.5, -magnitude, magnitude)
    return value


def _log_by_series(p: _Array) -> _Array:
    """log of positive normal doubles: p = 2**e m with m in [sqrt(1/2), sqrt(2)), and
    log m = 2 atanh((m - 1) / (m + 1)).
    """
    bits = p.view(np.int64)
    exponent = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
    m = (bits - exponent * np.int64(1 << 52)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    return exponent * 0.69314718055994530942 + (2.0 * s + s * (z * _polynomial(_LOG_SERIES, z)))


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], r: _Array) -> _Array:
    return _polynomial(coefficients[0], r) / _polynomial(coefficients[1], r)


def _polynomial(coefficients: tuple[float, ...], x: _Array) -> _Array:
    value = coefficients[0] * x
    value += coefficients[1]
    for coefficient in coefficients[2:]:
        value *= x
        value += coefficient
    return value
