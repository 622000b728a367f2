"""Batches: their parts, their device, their number of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError
from ..ops.creation import asarray


def split(op: str, batch: Any) -> tuple[tuple[Any, ...], Any]:
    """Return the inputs and the target of a batch: its last part."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        got = f"{len(batch)} part" if isinstance(batch, (tuple, list)) else type(batch).__name__
        raise DtypeError(
            f"{op}: a batch must be a tuple of inputs and a target, got {got}; "
            "a data set of pairs gives such batches"
        )
    return tuple(batch[:-1]), batch[-1]


def inputs_of(batch: Any) -> tuple[Any, ...]:
    """Return the inputs of a batch that may or may not have a target."""
    if not isinstance(batch, (tuple, list)):
        return (batch,)
    return tuple(batch[:-1]) if len(batch) > 1 else tuple(batch)


def to_device(tree: Any, device: Any) -> Any:
    """Return a batch with its tensors and arrays on a device."""
    if isinstance(tree, (tuple, list)):
        return type(tree)(to_device(part, device) for part in tree)
    if isinstance(tree, dict):
        return {key: to_device(part, device) for key, part in tree.items()}
    return asarray(tree, device=device)


def count(batch: Any) -> int:
    """Return the number of samples in a batch: the length of its first tensor."""
    if isinstance(batch, (tuple, list)):
        return count(batch[0])
    if isinstance(batch, dict):
        return count(next(iter(batch.values())))
    return len(batch) if batch.ndim else 1


def slices(array: Any, size: int) -> Iterator[tuple[Tensor]]:
    """Yield an array in pieces of so many samples."""
    for start in range(0, len(array), size):
        yield (array[start : start + size],)


def length(loader: Any) -> int | None:
    """Return how many batches a loader has, where it tells."""
    try:
        return len(loader)
    except TypeError:
        return None


def require_batches(op: str, number: int) -> None:
    """Raise where a loader gave nothing."""
    if not number:
        raise ArgumentError(
            f"{op}: the loader must give at least one batch in every epoch, got none; "
            "an iterator is used up after one, a DataLoader isn't"
        )
