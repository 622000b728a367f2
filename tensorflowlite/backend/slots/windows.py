"""How the window of a convolution or a pooling slides over an image of any number of axes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

Lengths = tuple[int, ...]  # one per axis
Padding = tuple[tuple[int, int], ...]  # before and behind, per axis
_ALL = (slice(None), slice(None))  # images and channels


class Tap(NamedTuple):
    """One element of the window, as keys of arrays that begin with images and channels.

    Which outputs read inside the image there, and what they read; ``column`` is the place of those
    outputs in an array (images, channels, *window, *outputs).
    """

    out: tuple[slice, ...]
    image: tuple[slice, ...]
    column: tuple[Any, ...]


def out_length(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int,
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


def out_lengths(size: Sequence[int], kernel: Lengths, stride: Lengths, padding: Padding,
                dilation: Lengths, ceil: bool = False) -> Lengths:  # fmt: skip
    """Return how many windows fit along each axis."""
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    return tuple([out_length(*axis, ceil) for axis in axes])


def _spans(size: int, count: int, offset: int, stride: int) -> tuple[slice, slice]:
    """Output ``o`` reads at ``o * stride + offset``: return the outputs and places inside."""
    first = max(0, -(offset // stride))
    last = min(count, (size - 1 - offset) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    begin = first * stride + offset
    return slice(first, last), slice(begin, begin + (last - first - 1) * stride + 1, stride)


def taps(size: Sequence[int], count: Lengths, kernel: Lengths, stride: Lengths, padding: Padding,
         dilation: Lengths) -> list[Tap]:  # fmt: skip
    """Return the taps of a window, the last axis fastest."""
    spans = [
        [
            _spans(size[a], count[a], i * dilation[a] - padding[a][0], stride[a])
            for i in range(kernel[a])
        ]
        for a in range(len(kernel))
    ]
    found = []
    for place in itertools.product(*[range(length) for length in kernel]):
        pairs = [spans[a][i] for a, i in enumerate(place)]
        out = tuple([one for one, _ in pairs])
        image = tuple([one for _, one in pairs])
        found.append(Tap(_ALL + out, _ALL + image, (*_ALL, *place, *out)))
    return found
