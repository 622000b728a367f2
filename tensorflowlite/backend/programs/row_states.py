"""Where the samples of a batch lie in values, and a call as the rules of `row_rules` see it.

A value is *free*, the same for any batch; or it has *rows*; or it is *mixed*: see `programs.rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Rows(NamedTuple):
    """Where the batch lies in a value: along ``axis``, of length ``before * samples * after``."""

    axis: int
    before: int = 1
    after: int = 1


class Mixed(NamedTuple):
    """Nothing is known of a value, and why."""

    reason: str


State = Rows | Mixed | None  # None: free of the batch


class MixesError(Exception):
    """A call takes rows of several samples together: the message says how."""


class Operand:
    """An array among the arguments of a call, at both sizes."""

    __slots__ = ("state", "small", "large")

    def __init__(self, state: State, small: tuple[int, ...], large: tuple[int, ...]) -> None:
        self.state, self.small, self.large = state, small, large

    @property
    def ndim(self) -> int:
        return len(self.small)

    @property
    def rows(self) -> Rows | None:
        return self.state if isinstance(self.state, Rows) else None


class Seen:
    """A call at both sizes: arrays are `Operand`s among ``args`` and ``others``, the larger's."""

    def __init__(self, slot: str, args: tuple[Any, ...], others: tuple[Any, ...],
                 outs: list[tuple[Any, Any]], sizes: tuple[int, int]) -> None:  # fmt: skip
        self.slot, self.args, self.others, self.outs, self.sizes = slot, args, others, outs, sizes
        self.operands = list(_operands(args))

    @property
    def out_ndim(self) -> int:
        return len(self.outs[0][0])

    def attributes(self) -> list[Any]:
        """Return the arguments that are no arrays."""
        return [one for one in self.args if type(one) is not Operand]

    def lone(self) -> tuple[Operand, Rows]:
        """Return the first argument, whose rows alone may depend on the samples."""
        first, *rest = self.operands
        if first.rows is None or any(one.rows for one in rest):
            raise MixesError("an argument besides the first depends on the samples")
        return first, first.rows

    def aligned(self, operands: Sequence[Operand], ndim: int, behind: int = 0) -> Rows:
        """Return where the batch of arrays that broadcast lies in an array of ``ndim`` axes.

        The last ``behind`` axes are no place for it.
        """
        found: Rows | None = None
        for one in operands:
            if one.rows is None:
                continue
            mine = one.rows._replace(axis=one.rows.axis - one.ndim)
            if found is not None and mine != found:
                raise MixesError("the samples lie along different axes of its arguments")
            found = mine
        if found is None or -found.axis <= behind:
            raise MixesError("it works along the axis of the samples")
        return found._replace(axis=found.axis + ndim)

    def by_shape(self, small: Sequence[int], large: Sequence[int]) -> State:
        """Return where the batch lies in what is the same for all samples, by its shapes."""
        axis = differing(small, large)
        if axis is None:
            return None
        after, rest = divmod(small[axis], self.sizes[0])
        if rest or large[axis] != after * self.sizes[1]:
            raise MixesError("its shape depends on the batch size")
        return Rows(axis, 1, after)


def _operands(args: Any) -> Iterator[Operand]:
    for one in args:
        if type(one) is Operand:
            yield one
        elif type(one) in (tuple, list):
            yield from _operands(one)


def differing(small: Sequence[int], large: Sequence[int]) -> int | None:
    """Return the one axis along which two shapes differ; None where none does."""
    axes = [i for i, (one, other) in enumerate(zip(small, large, strict=False)) if one != other]
    if len(small) != len(large) or len(axes) > 1:
        raise MixesError("its shape depends on the batch size")
    return axes[0] if axes else None
