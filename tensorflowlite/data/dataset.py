"""Data sets: what has a length and gives samples by index, and the ways to part one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, OutOfRangeError, ShapeError
from .collate import host_array
from .sampling import check_seed, split_order


class Dataset(ABC):
    """A set of samples with a length and an index; the base of a class of your own.

    A sample is an array, a tensor, a number, or a tuple, list or dict of these. The loader takes
    any object with ``__len__`` and ``__getitem__``; this class only says so.

    A data set may also define ``take(indices)``, with ``indices`` int64 (batch,): it returns the
    whole batch, as arrays with the batch as first axis, and spares a call per sample.

    Examples
    --------
    >>> from tensorflowlite.data import Dataset
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...
    ...     def __getitem__(self, index):
    ...         return float(index), float(index) ** 2
    >>> Squares()[3]
    (3.0, 9.0)
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Any:
        """Return the sample at ``index``."""


class TensorDataset(Dataset):
    """Arrays that share their first axis; a sample is the tuple of their rows.

    Parameters
    ----------
    *arrays : array or tensor
        NumPy arrays or tensors on the CPU, each (N, ...). They are shared, not copied.

    Raises
    ------
    ShapeError
        Where an array has no first axis or the lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data import TensorDataset
    >>> data = TensorDataset(np.zeros((4, 2), np.float32), np.array([0, 1, 2, 3]))
    >>> len(data), data[2][1].item()
    (4, 2)
    >>> data.take(np.array([3, 0]))[1].tolist()
    [3, 0]
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise ArgumentError("TensorDataset: at least one array is needed, got none")
        self.arrays = tuple(host_array(array) for array in arrays)
        shapes = ", ".join(str(array.shape) for array in self.arrays)
        if any(array.ndim == 0 for array in self.arrays):
            raise ShapeError(f"TensorDataset: every array must have a first axis, got {shapes}")
        if len({len(array) for array in self.arrays}) > 1:
            raise ShapeError(
                f"TensorDataset: the first axes must have one length, got shapes {shapes}"
            )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(array[index] for array in self.arrays)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the rows at ``indices``, int64 (batch,), of every array."""
        return tuple(array[indices] for array in self.arrays)


class Subset(Dataset):
    """The samples of a data set at the given indices, in their order.

    Parameters
    ----------
    dataset : Dataset
        Where the samples come from.
    indices : sequence of int
        Which ones.

    Raises
    ------
    OutOfRangeError
        Where an index isn't one of the data set.

    Examples
    --------
    >>> from tensorflowlite.data import Subset
    >>> part = Subset("abcdef", [4, 1])
    >>> len(part), part[0]
    (2, 'e')
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64).reshape(-1)
        size = len(dataset)
        outside = self.indices[(self.indices < 0) | (self.indices >= size)]
        if outside.size:
            raise OutOfRangeError(
                f"Subset: every index must be from 0 to {size - 1}, got {outside[0]}"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]


def random_split(
    dataset: Any,
    lengths: Sequence[int] | Sequence[float],
    seed: int = 0,
    *,
    stratify: Any = None,
) -> list[Subset]:
    """Part a data set at random; no sample is in two parts.

    Parameters
    ----------
    dataset : Dataset
        What to part.
    lengths : sequence of int or of float
        The sizes of the parts, which add up to the size of the data set; or fractions, which add
        up to 1. What rounding down leaves over goes to the first parts, one sample each.
    seed : int
        The same seed always gives the same parts.
    stratify : array of int, optional
        The class of every sample, (N,): each part then holds the classes in the same proportions,
        to within a sample.

    Returns
    -------
    list of Subset
        One for each length.

    Raises
    ------
    ArgumentError
        Where the lengths are negative or don't add up.
    ShapeError
        Where ``stratify`` hasn't one class for each sample.

    Examples
    --------
    >>> from tensorflowlite.data import random_split
    >>> train, test = random_split(range(10), [0.8, 0.2])
    >>> len(train), len(test)
    (8, 2)
    >>> sorted([*train, *test])
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    size = len(dataset)
    counts = _counts(list(lengths), size)
    order = split_order(check_seed("random_split", seed), size)
    if stratify is not None:
        order = _interleave(order, host_array(stratify))
    ends = np.cumsum(counts)
    return [
        Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)
    ]


def _counts(lengths: list[Any], size: int) -> list[int]:
    if any(not math.isfinite(length) or length < 0 for length in lengths) or not lengths:
        raise ArgumentError(
            f"random_split: the lengths must be finite and not negative, got {lengths}"
        )
    if all(isinstance(length, (int, np.integer)) for length in lengths) and sum(lengths) == size:
        return [int(length) for length in lengths]
    if not math.isclose(sum(lengths), 1.0, abs_tol=1e-6):
        raise ArgumentError(
            f"random_split: the lengths must add up to the {size} samples, or to 1 as fractions, "
            f"got {lengths}, which add up to {sum(lengths):g}"
        )
    # A hair is added, or 0.7 * 10 would round down to 6.
    counts = [math.floor(size * length + 1e-9) for length in lengths]
    left = size - sum(counts)
    nonzero = [part for part, length in enumerate(lengths) if length > 0]
    for step in range(left):
        counts[nonzero[step % len(nonzero)]] += 1
    return counts


def _interleave(order: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Spread every class evenly over the order, so that each cut of it has the same mixture."""
    if classes.shape != order.shape:
        raise ShapeError(
            f"random_split: stratify must hold one class for each sample, {order.shape}, got "
            f"{classes.shape}"
        )
    ordered = classes[order]
    place = np.empty(len(order))
    for value in np.unique(ordered):
        members = np.flatnonzero(ordered == value)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    result: np.ndarray = order[np.argsort(place, kind="stable")]
    return result
