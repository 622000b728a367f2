"""Batches of tensors on a device, begun before they are asked for where that pays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..backend import Device, backend_for
from ..core.messages import no_room
from ..core.tensor import Tensor
from .collate import map_leaves


class Mover:
    """Turns batches of host arrays and tensors into batches of tensors on a device.

    Parameters
    ----------
    device
        Where the tensors go.
    is_numeric
        Tells which arrays become tensors.
    """

    def __init__(self, device: Any, is_numeric: Callable[[Any], bool]) -> None:
        self._device = Device(str(device))
        self._is_numeric = is_numeric
        self._uploader = backend_for(self._device).uploader(self._device)

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yield every batch, after the copies of those that follow were begun.

        An error of the data set reaches the caller after the batches that came before it.
        """
        begun: deque[_Begun] = deque()
        error: Exception | None = None
        more = True
        try:
            while True:
                while more and len(begun) <= self._uploader.ahead:
                    try:
                        batch = next(batches)
                    except StopIteration:
                        more = False
                    except Exception as failure:
                        more, error = False, failure
                    else:
                        begun.append(self._begin(batch))
                        del batch  # the host's memory of it
                if not begun:
                    break
                yield self._finish(begun.popleft())
            if error is not None:
                raise error
        finally:
            error = None  # its traceback holds this frame
            for one in begun:
                self._uploader.drop(one.ticket)

    def _begin(self, batch: Any) -> _Begun:
        arrays: list[Any] = []

        def leave(leaf: Any) -> Any:
            if isinstance(leaf, Tensor) and leaf.node is None and type(leaf.array) is np.ndarray:
                leaf = leaf.array
            if isinstance(leaf, Tensor):  # on a device already, or with a history
                return leaf.to(device=self._device)
            if not isinstance(leaf, np.ndarray) or not self._is_numeric(leaf.dtype):
                return leaf
            arrays.append(Tensor(leaf).array)
            return _Place(len(arrays) - 1)

        outline = map_leaves(leave, batch)
        try:
            return _Begun(outline, self._uploader.begin(arrays))
        except MemoryError as error:
            raise no_room("DataLoader", error, self._device) from error

    def _finish(self, begun: _Begun) -> Any:
        arrays = self._uploader.finish(begun.ticket)

        def fill(leaf: Any) -> Any:
            return Tensor(arrays[leaf.number]) if isinstance(leaf, _Place) else leaf

        return map_leaves(fill, begun.outline)


class _Place:
    """Where in a batch the tensor of an array belongs."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class _Begun:
    """A batch on its way: its structure, and what the uploader knows it by."""

    __slots__ = ("outline", "ticket")

    def __init__(self, outline: Any, ticket: Any) -> None:
        self.outline, self.ticket = outline, ticket
