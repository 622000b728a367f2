"""``DataLoader``: batches of tensors from a data set, made here or by worker processes."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .. import runtime
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, OutOfRangeError, StateError
from .collate import map_leaves
from .fetch import Fetcher
from .moving import Mover
from .pool import WorkerPool
from .sampling import SampleRandom, check_seed, epoch_order


class DataLoader:
    """Gives a data set out in batches of tensors, epoch by epoch.

    Order and augmentation depend on the seed, the epoch and the sample alone: any number of
    workers gives the same batches. Each new iteration is the next epoch.

    Parameters
    ----------
    dataset : Dataset
        An object with ``__len__`` and ``__getitem__``, or also ``take``; see `Dataset`. Of an
        array or a tensor the samples are the rows.
    batch_size : int
        The number of samples in a batch; the last one may be smaller.
    shuffle : bool
        Whether every epoch has an order of its own.
    sampler : iterable of int, optional
        The indices of an epoch, in place of ``shuffle``. It is read once per epoch; where it has
        a method ``set_epoch``, that is called first.
    num_workers : int
        The number of processes that make batches. They start at the first iteration, live as
        long as the loader, and hand batches over in shared memory; the script must start below
        ``if __name__ == "__main__":``. With 0 the batches are made where they are asked for.
    collate_fn : callable, optional
        Makes a batch of a list of samples: arrays or tensors in tuples, lists and dicts. By
        default `default_collate`, or the data set's own ``take``.
    drop_last : bool
        Whether a last, smaller batch is left out.
    seed : int, optional
        Of the order and of ``transform``; by default the seed of ``manual_seed`` at the time when
        the loader is made.
    device : str or Device, optional
        Where the tensors go; by default they stay on the CPU. On a GPU the next batch is copied,
        from pinned memory and on a stream of its own, while the program computes on the one that
        it was given.
    prefetch_factor : int
        How many batches each worker may be ahead.
    transform : callable, optional
        ``transform(batch, random)``, applied to the first array of every batch; see
        `data.transforms`.
    timeout : float
        How many seconds to wait for a worker's answer before a `WorkerError` tells where it hangs;
        0 waits for ever.

    Raises
    ------
    ArgumentError
        Where an argument is outside its domain, or can't be sent to the workers.
    WorkerError
        While iterating, where a worker fails (with its traceback and the sample's index), crashes
        or doesn't answer in time (with its traceback) or is killed.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data import DataLoader, TensorDataset
    >>> data = TensorDataset(np.arange(5, dtype=np.float32), np.array([0, 1, 0, 1, 0]))
    >>> for x, y in DataLoader(data, batch_size=2):
    ...     print(x.numpy(), y.numpy())
    [0. 1.] [0 1]
    [2. 3.] [0 1]
    [4.] [0]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        sampler: Iterable[int] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        seed: int | None = None,
        device: Any = None,
        prefetch_factor: int = 2,
        transform: Callable[[np.ndarray, SampleRandom], np.ndarray] | None = None,
        timeout: float = 0.0,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("prefetch_factor", prefetch_factor, 1),
        ):
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ArgumentError(
                    f"DataLoader: {name} must be an integer of at least {least}, got {value!r}"
                )
        if not isinstance(timeout, (int, float)) or not 0 <= timeout < math.inf:
            raise ArgumentError(
                f"DataLoader: timeout must be a number of seconds of at least 0, got {timeout!r}"
            )
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise DtypeError(
                "DataLoader: the data set must have __len__ and __getitem__, got "
                f"{type(dataset).__name__}; wrap arrays in TensorDataset(x, y)"
            )
        if shuffle and sampler is not None:
            raise ArgumentError(
                "DataLoader: shuffle and sampler both state the order, got both; leave one out"
            )
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.sampler = sampler
        self.num_workers = int(num_workers)
        self.drop_last = drop_last
        self.device = device
        self.seed = runtime.seed.value if seed is None else check_seed("DataLoader", seed)
        self._epoch = 0  # of the iteration under way, or of the next one
        self._position = 0  # batches of it that were given out
        self._total = 0  # batches in the iteration under way
        self._under_way = False
        self._fetch = Fetcher(dataset, collate_fn, transform, self.seed)
        self._moves: tuple[Any, Mover] | None = None
        self._pool: WorkerPool | None = None
        if num_workers:
            self._pool = WorkerPool(
                self._fetch, self.num_workers, int(prefetch_factor), float(timeout)
            )
            weakref.finalize(self, self._pool.close)  # also runs when the interpreter ends

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        order: Any = self.dataset if self.sampler is None else self.sampler
        return self._batches(len(order))

    def _batches(self, samples: int) -> int:
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self._under_way:
            self.set_epoch(self._epoch + 1)
        self._under_way = True
        order = self._order(self._epoch)
        self._total = self._batches(len(order))
        return self._iterate(self._epoch, order, self._position)

    def _iterate(self, epoch: int, order: np.ndarray, first: int) -> Iterator[Any]:
        size = self.batch_size
        order = order[first * size : self._total * size]
        batches: Iterator[Any]
        if self._pool is None:
            parts = (order[start : start + size] for start in range(0, len(order), size))
            batches = (self._fetch(epoch, part) for part in parts)
        else:
            batches = self._pool.run(epoch, order, size)
        ready = map(_to_tensors, batches) if self.device is None else self._mover()(batches)
        for number, batch in enumerate(ready, first + 1):
            if self._epoch == epoch:
                self._position = number
            yield batch

    def _mover(self) -> Mover:
        """Return what brings batches to the device; it is kept, for its memory is dear."""
        if self._moves is None or self._moves[0] != self.device:
            self._moves = (self.device, Mover(self.device, _is_numeric))
        return self._moves[1]

    def _order(self, epoch: int) -> np.ndarray:
        size = len(self.dataset)
        if self.sampler is None:
            return epoch_order(self.seed, epoch, size) if self.shuffle else np.arange(size)
        set_epoch = getattr(self.sampler, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)
        order = np.fromiter(self.sampler, np.int64)
        outside = order[(order < 0) | (order >= size)]
        if outside.size:
            raise OutOfRangeError(
                f"DataLoader: the sampler must give indices from 0 to {size - 1}, got {outside[0]}"
            )
        return order

    # -- epochs ----------------------------------------------------------------------------------
    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration the given epoch, from its first batch.

        Examples
        --------
        >>> from tensorflowlite.data import DataLoader
        >>> loader = DataLoader(range(6), batch_size=2, shuffle=True, seed=3)
        >>> loader.set_epoch(4)
        >>> loader.state_dict()
        {'seed': 3, 'epoch': 4, 'position': 0}
        """
        if epoch < 0:
            raise ArgumentError(
                f"DataLoader.set_epoch: the epoch must not be negative, got {epoch}"
            )
        self._epoch, self._position, self._under_way = int(epoch), 0, False

    def state_dict(self) -> dict[str, int]:
        """Return the seed, the epoch, and how many of its batches were given out.

        Examples
        --------
        >>> from tensorflowlite.data import DataLoader
        >>> loader = DataLoader(range(6), batch_size=2, seed=3)
        >>> batches = iter(loader)
        >>> _ = next(batches)
        >>> loader.state_dict()
        {'seed': 3, 'epoch': 0, 'position': 1}
        """
        if self._under_way and self._position == self._total:
            return {"seed": self.seed, "epoch": self._epoch + 1, "position": 0}
        return {"seed": self.seed, "epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Make the next iteration go on where ``state_dict`` was taken.

        Raises
        ------
        StateError
            Where the state is of another seed: it would go on in another order.

        Examples
        --------
        >>> from tensorflowlite.data import DataLoader
        >>> loader = DataLoader(range(6), batch_size=2)
        >>> loader.load_state_dict({"seed": loader.seed, "epoch": 0, "position": 2})
        >>> list(loader)
        [tensor([4, 5])]
        """
        if state["seed"] != self.seed:
            raise StateError(
                f"DataLoader.load_state_dict: the seed must be that of the loader, {self.seed}, "
                f"got {state['seed']}; make the loader with seed={state['seed']}"
            )
        self.set_epoch(state["epoch"])
        self._position = int(state["position"])

    # -- workers ---------------------------------------------------------------------------------
    def close(self) -> None:
        """End the workers and free the shared memory; a later iteration starts new ones.

        It happens by itself when the loader is no longer used.

        Examples
        --------
        >>> from tensorflowlite.data import DataLoader
        >>> with DataLoader(range(2), batch_size=2) as loader:  # closes it in the end
        ...     list(loader)
        [tensor([0, 1])]
        >>> loader.close()
        """
        if self._pool is not None:
            self._pool.close()

    def __enter__(self) -> DataLoader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _is_numeric(dtype: np.dtype[Any]) -> bool:
    # NumPy counts bfloat16, of another package, to the kind "V", as it does records.
    return dtype.kind in "biufc" or (dtype.kind == "V" and dtype.names is None)


def _to_tensors(batch: Any) -> Any:
    def convert(leaf: Any) -> Any:
        numeric = isinstance(leaf, np.ndarray) and _is_numeric(leaf.dtype)
        return Tensor(leaf) if numeric else leaf

    return map_leaves(convert, batch)
