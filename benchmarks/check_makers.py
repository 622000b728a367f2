"""What samples of slots are made of: random arrays, shapes and layouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from tensorflowlite.backend import Backend, dtypes
from tensorflowlite.ops.activation_gradients import ACTIVATIONS

HALVES = (dtypes.float16, dtypes.bfloat16)
FLOATS = (*HALVES, dtypes.float32, dtypes.float64)


@dataclass(frozen=True)
class Sample:
    """The arguments of one call, on the host.

    ``exact``: what comes out must be equal. ``same_dtype``: the reference is computed in the
    arguments' own dtypes, where widening them would ask for something else. ``factor`` widens the
    tolerance of the dtype, ``absolute`` adds to it, one number per result: both for results that
    are sums of parts larger than themselves.
    """

    label: str
    args: tuple[Any, ...]
    exact: bool = False
    same_dtype: bool = False
    factor: float = 1.0
    absolute: tuple[float, ...] = ()


class Maker:
    """Random arrays for the samples of one slot.

    Parameters
    ----------
    generator
        Draws the numbers.
    small
        Whether shapes are tiny and each code path comes once.
    reference
        The library's slots on NumPy, for what samples are made of (statistics, outputs).
    """

    def __init__(self, generator: Any, small: bool, reference: Backend) -> None:
        self.generator, self.small, self.reference = generator, small, reference

    def normal(self, shape: tuple[int, ...], dtype: Any, std: float = 1.0) -> Any:
        return numpy.asarray(self.generator.standard_normal(shape) * std, dtype)

    def whole(self, shape: tuple[int, ...], dtype: Any, least: int = -1, most: int = 1) -> Any:
        """Return small integers, whose sums of products are exact."""
        return self.generator.integers(least, most, shape, endpoint=True).astype(dtype)

    def indices(self, below: int, shape: tuple[int, ...]) -> Any:
        return self.generator.integers(0, below, shape)

    def state(self, seed: int = 2**40 + 3, stream: int = 5) -> Any:
        return numpy.array([seed, stream], dtypes.uint64)

    def floats(self) -> tuple[Any, ...]:
        """Return the dtypes; two of them for a small run."""
        return (dtypes.bfloat16, dtypes.float32) if self.small else FLOATS

    def activations(self) -> tuple[str, ...]:
        """Return the fused activations; for a small run one from its output, one not."""
        return ("leaky_relu", "gelu_tanh") if self.small else tuple(ACTIVATIONS)

    def pick(self, small: list[Any], more: list[Any]) -> list[Any]:
        """Return the first list for a small run, else both."""
        return small if self.small else [*small, *more]

    def matrices(self) -> list[tuple[int, ...]]:
        """Return shapes (rows, columns): whole packs, ragged, one row, one column, longer ones."""
        return self.pick([(5, 32), (3, 13)], [(1, 8), (33, 1), (130, 256), (257, 129), (64, 2050)])


Samples = Iterator[Sample]


def label_of(*parts: Any) -> str:
    return " ".join(str(part) for part in parts)


def layouts(x: Any) -> Iterator[tuple[str, Any]]:
    """Yield a matrix as it is, transposed in memory, and with gaps between its elements."""
    yield "C order", x
    yield "transposed", numpy.asfortranarray(x)
    yield "gaps", numpy.repeat(x, 2, -1)[..., ::2]
