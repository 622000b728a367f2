"""How the arrays of an element program lie: axes that lie together are joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Layout(NamedTuple):
    """The joined axes of a call: sizes, each array's strides in bytes, how many axes stay.

    With a reduction the reduced axes come last where ``rows``, else first.
    """

    sizes: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kept: int
    rows: bool

    def kept_size(self) -> int:
        """Return how many elements the result has."""
        return math.prod(self.sizes[: self.kept] if self.rows else self.sizes[self.reduced :])

    @property
    def reduced(self) -> int:
        """How many axes are reduced."""
        return len(self.sizes) - self.kept

    def reduced_size(self) -> int:
        """Return how many elements are folded into each of the result's."""
        return math.prod(self.sizes[self.kept :] if self.rows else self.sizes[: self.reduced])


def strides_over(array: Any, ndim: int) -> tuple[int, ...]:
    """Return an array's strides along the common axes: 0 where it is the same all along.

    Examples
    --------
    >>> import numpy
    >>> strides_over(numpy.zeros((3, 1), "f4"), 3)
    (0, 4, 0)
    """
    own = zip(array.shape, array.strides, strict=True)
    return (0,) * (ndim - array.ndim) + tuple([0 if size == 1 else step for size, step in own])


def strides_of_result(array: Any, ndim: int, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return the strides of a reduction's result along the common axes, 0 along the reduced ones.

    Examples
    --------
    >>> import numpy
    >>> strides_of_result(numpy.zeros(3, "f4"), 2, (0,), False)
    (0, 4)
    """
    own = iter(array.strides)
    found = []
    for axis in range(ndim):
        step = next(own) if keepdims or axis not in axes else 0
        found.append(0 if axis in axes else step)
    return tuple(found)


def laid(
    shape: Sequence[int],
    strides: Sequence[Sequence[int]],
    leader: int,
    reduced: Sequence[int] = (),
) -> Layout:
    """Return the layout of arrays with these strides along common axes.

    Parameters
    ----------
    shape
        The common shape.
    strides
        Of each array along each axis, 0 where it is broadcast.
    leader
        The array in whose memory's order the elements are gone through.
    reduced
        The axes that a reduction takes away.

    Examples
    --------
    >>> laid((2, 3, 4), [(48, 16, 4), (0, 0, 4)], 0)
    Layout(sizes=(6, 4), strides=((16, 4), (0, 4)), kept=2, rows=True)
    """
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    axes.sort(key=lambda axis: -abs(strides[leader][axis]))
    gone = frozenset(reduced)
    rows = not axes or axes[-1] in gone or not gone.intersection(axes)
    axes.sort(key=lambda axis: (axis in gone) is rows)
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    groups: list[bool] = []
    for axis in axes:
        size, own = shape[axis], [one[axis] for one in strides]
        joins = bool(sizes) and groups[-1] is (axis in gone) and all(
            outer[-1] == step * size for outer, step in zip(steps, own, strict=True)
        )  # fmt: skip
        if joins:
            sizes[-1] *= size
        else:
            sizes.append(size)
            groups.append(axis in gone)
        for outer, step in zip(steps, own, strict=True):
            outer[len(sizes) - 1 :] = [step]
    return Layout(tuple(sizes), tuple(map(tuple, steps)), groups.count(False), rows)
