"""All that is random about data: the order of an epoch, splits, and draws for single samples.

Each is a stream of Philox under the seed (``backend/philox.py``), numbered by what it is for, the
epoch and the draw. Nothing depends on the number of workers, on batches, or on what ran before.
The purpose is the highest byte of the stream's number, so that the streams which other parts of
the library count from zero are never met.
"""

from __future__ import annotations

import math

import numpy as np

from ..backend.philox import permutation, philox_blocks
from ..errors import ArgumentError

_SHUFFLE, _SPLIT, _AUGMENT = 1 << 56, 2 << 56, 3 << 56
_DRAWS = 1 << 16  # streams that an epoch has for the draws of one sample


def check_seed(op: str, seed: int) -> int:
    """Return a seed that Philox takes, or raise an ``ArgumentError`` in the name of ``op``."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 64:
        raise ArgumentError(f"{op}: seed must be an integer from 0 to 2**64 - 1, got {seed!r}")
    return int(seed)


def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """Return the permutation, int64 (size,), in which an epoch visits the samples."""
    return permutation(seed, _SHUFFLE | epoch, size)


def split_order(seed: int, size: int) -> np.ndarray:
    """Return the permutation, int64 (size,), that a random split cuts into parts."""
    return permutation(seed, _SPLIT, size)


class SampleRandom:
    """Random numbers for the samples of one batch; each sample's depend on it alone.

    What a sample gets is a function of the seed, the epoch, the sample's index in the data set,
    and how many draws were made before. So it is the same in any batch, order, process or number
    of workers.

    Parameters
    ----------
    seed : int
        The seed of the loader.
    epoch : int
        The epoch, from 0.
    indices : array of int, (N,)
        The index in the data set of each sample of the batch.

    Examples
    --------
    >>> from tensorflowlite.data import SampleRandom
    >>> whole = SampleRandom(0, 0, [5, 6, 7]).uniform()
    >>> part = SampleRandom(0, 0, [7]).uniform()
    >>> bool(whole[2] == part[0])
    True
    """

    def __init__(self, seed: int, epoch: int, indices: np.ndarray | list[int]) -> None:
        self._seed = check_seed("SampleRandom", seed)
        self._stream = _AUGMENT | epoch * _DRAWS
        self._indices = np.asarray(indices, dtype=np.uint64)
        self._draws = 0

    def __len__(self) -> int:
        return len(self._indices)

    def uniform(self, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Draw float32 (N, *shape) from [0, 1)."""
        bits = self._bits(math.prod(shape)) >> np.uint32(8)
        values = bits.astype(np.float32) * np.float32(2.0**-24)
        return values.reshape(len(self), *shape)

    def integers(self, low: int, high: int, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Draw int64 (N, *shape) from low to high - 1; the span may be up to 2**24.

        Examples
        --------
        >>> from tensorflowlite.data import SampleRandom
        >>> SampleRandom(0, 0, [5, 6, 7]).integers(-2, 3, (2,)).shape
        (3, 2)
        """
        if not 0 < high - low <= 1 << 24:
            raise ArgumentError(
                f"SampleRandom.integers: high - low must be from 1 to 2**24, got {low} and {high}"
            )
        # The upper half of bits * span: uneven by less than span / 2**32.
        bits = self._bits(math.prod(shape)).astype(np.uint64)
        values = (bits * np.uint64(high - low) >> np.uint64(32)).astype(np.int64) + low
        return values.reshape(len(self), *shape)

    def _bits(self, count: int) -> np.ndarray:
        """Return uint32 (N, count). A sample's block in a stream holds four; each is one draw."""
        rows = -(-count // 4)
        if self._draws + rows > _DRAWS:
            raise ArgumentError(
                f"SampleRandom: a sample may have {4 * _DRAWS} random numbers in an epoch, got a "
                "request for more; draw a seed per sample for a generator of your own"
            )
        bits = np.empty((rows, len(self), 4), np.uint32)
        for row in bits:
            philox_blocks(self._seed, self._indices, self._stream + self._draws, row)
            self._draws += 1
        return bits.swapaxes(0, 1).reshape(len(self), 4 * rows)[:, :count]
