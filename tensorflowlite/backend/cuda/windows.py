"""Sliding windows as kernels take them (``kernels/include/windows.cuh``)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..slots.windows import Lengths, Padding

# From so many elements on indices have 64 bits. Threads beyond the last element are counted too.
NARROW = 2**31 - 2**16
# Squares of strides are indices.
_MOST_STRIDE = 2**15


def divisor(number: int) -> list[int]:
    """Return ``Divisor`` of a number of at least 1, as words of 64 bits.

    Examples
    --------
    >>> divisor(1), divisor(3)
    ([1, 0], [3, 10021590358])
    """
    shift = (number - 1).bit_length()
    if number >= 2**31:
        return [number, 0]  # only 64 bits hold what is divided by it
    factor = -(-(1 << (32 + shift)) // number) - 2**32
    return [number, factor | shift << 32]


def axis(size: int, count: int, kernel: int, stride: int, padding: tuple[int, int],
         dilation: int) -> list[int]:  # fmt: skip
    """Return ``Axis`` as words of 64 bits."""
    common = math.gcd(dilation, stride)
    step, back = stride // common, dilation // common
    inverse = pow(back, -1, step) if step > 1 else 0
    return [
        size, count, kernel, stride, *padding, dilation, *divisor(common), *divisor(step), back,
        inverse,
    ]  # fmt: skip


def over_three(kernel: Lengths, stride: Lengths, padding: Padding, dilation: Lengths
               ) -> tuple[Lengths, Lengths, Padding, Lengths]:  # fmt: skip
    """Return a window over one to three axes as one over three.

    Examples
    --------
    >>> over_three((3,), (2,), ((1, 1),), (1,))
    ((1, 1, 3), (1, 1, 2), ((0, 0), (0, 0), (1, 1)), (1, 1, 1))
    """
    missing = 3 - len(kernel)
    ones = (1,) * missing
    return ones + kernel, ones + stride, ((0, 0),) * missing + padding, ones + dilation


def usable(stride: Lengths, padding: Padding) -> bool:
    """Return whether kernels take such strides and paddings."""
    return max(stride) < _MOST_STRIDE and min(min(pair) for pair in padding) >= 0


def index_type(*counts: int) -> str:
    """Return the type of indices below these numbers.

    Examples
    --------
    >>> index_type(5, 2**30), index_type(2**31)
    ('int', 'long long')
    """
    return "int" if max(counts) < NARROW else "long long"


def farthest(size: Sequence[int], count: Lengths, kernel: Lengths, stride: Lengths,
             padding: Padding, dilation: Lengths) -> int:  # fmt: skip
    """Return a number that no position along an axis of the padded image passes."""
    return max(
        max(n, m * s) + sum(pads) + k * d
        for n, m, k, s, pads, d in zip(size, count, kernel, stride, padding, dilation, strict=True)
    )
