"""How a batch comes about, the same in the loader's own process and in its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DtypeError
from .collate import default_collate, host_array, is_tensor
from .dataset import Subset
from .sampling import SampleRandom


@dataclass
class Rows:
    """An array as a data set."""

    array: np.ndarray

    def __getitem__(self, index: int) -> Any:
        return self.array[index]

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Return the rows at ``indices``."""
        rows: np.ndarray = self.array[indices]
        return rows


@dataclass
class Fetcher:
    """Makes the batch of given samples: load, collate, transform. All on the host.

    An exception leaves with a note that says which sample, or which batch, it came from.
    """

    dataset: Any
    collate: Callable[[list[Any]], Any] | None
    transform: Callable[[np.ndarray, SampleRandom], np.ndarray] | None
    seed: int

    def __call__(self, epoch: int, indices: np.ndarray) -> Any:
        batch = self._collated(indices)
        if self.transform is None:
            return batch
        random = SampleRandom(self.seed, epoch, indices)
        try:
            return _transformed(self.transform, batch, random)
        except Exception as error:
            error.add_note(f"transforming the batch of {_listed(indices)}")
            raise

    def _collated(self, indices: np.ndarray) -> Any:
        dataset, chosen = self.dataset, indices
        # By type: a class derived from Subset may have a __getitem__ of its own.
        while type(dataset) is Subset:
            dataset, chosen = dataset.dataset, dataset.indices[chosen]
        if isinstance(dataset, np.ndarray) or is_tensor(dataset):
            dataset = Rows(host_array(dataset))  # their own ``take`` means something else
        if self.collate is None and hasattr(dataset, "take"):
            try:
                return dataset.take(chosen)
            except Exception as error:
                error.add_note(f"taking the batch of {_listed(indices)}")
                raise
        samples = []
        for index, place in zip(indices.tolist(), chosen.tolist(), strict=True):
            try:
                samples.append(dataset[place])
            except Exception as error:
                error.add_note(f"loading sample {index}")
                raise
        try:
            return (self.collate or default_collate)(samples)
        except Exception as error:
            error.add_note(f"collating the batch of {_listed(indices)}")
            raise


def _transformed(transform: Callable[..., Any], batch: Any, random: SampleRandom) -> Any:
    if isinstance(batch, np.ndarray) or is_tensor(batch):
        return transform(host_array(batch), random)
    if isinstance(batch, (tuple, list)) and batch:
        first = transform(host_array(batch[0]), random)
        if hasattr(batch, "_make"):
            return batch._make([first, *batch[1:]])  # a named tuple
        return type(batch)([first, *batch[1:]])
    raise DtypeError(
        "DataLoader: transform needs batches that are an array or begin with one, got "
        f"{type(batch).__name__}; transform the samples in the data set instead"
    )


def _listed(indices: np.ndarray) -> str:
    names = ", ".join(map(str, indices[:8].tolist()))
    return f"samples {names}" + (f", ... ({len(indices)} in all)" if len(indices) > 8 else "")
