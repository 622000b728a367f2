"""How the window of a convolution or a pooling slides over an image."""

from __future__ import annotations

from typing import NamedTuple

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]  # (above, below), (left, right)


class Tap(NamedTuple):
    """One element of the window: which outputs read inside the image there, and what they read."""

    row: int
    column: int
    out: tuple[slice, slice]
    image: tuple[slice, slice]


def out_length(size: int, kernel: int, stride: int, padding: Pair, dilation: int,
               ceil: bool = False) -> int:  # fmt: skip
    """Return how many windows fit along an axis.

    With ``ceil`` also the one that hangs over the far edge, if it starts inside the image or the
    padding before it.
    """
    room = size + sum(padding) - dilation * (kernel - 1) - 1
    count = max(0, (room + (stride - 1 if ceil else 0)) // stride + 1)
    if ceil and (count - 1) * stride >= size + padding[0]:
        count -= 1
    return count


def _spans(size: int, count: int, offset: int, stride: int) -> tuple[slice, slice]:
    """Output ``o`` reads at ``o * stride + offset``: return the outputs and places inside."""
    first = max(0, -(offset // stride))
    last = min(count, (size - 1 - offset) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    begin = first * stride + offset
    return slice(first, last), slice(begin, begin + (last - first - 1) * stride + 1, stride)


def taps(size: Pair, count: Pair, kernel: Pair, stride: Pair, padding: Padding,
         dilation: Pair) -> list[Tap]:  # fmt: skip
    """Return the taps of a window, row by row."""
    spans = [
        [
            _spans(size[a], count[a], i * dilation[a] - padding[a][0], stride[a])
            for i in range(kernel[a])
        ]
        for a in (0, 1)
    ]
    return [
        Tap(i, j, (rows[0], columns[0]), (rows[1], columns[1]))
        for i, rows in enumerate(spans[0])
        for j, columns in enumerate(spans[1])
    ]
