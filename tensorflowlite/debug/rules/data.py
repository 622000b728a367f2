"""TFL5..: the batches."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from ...core.tensor import Tensor
from ...transforms.sites import Site
from .declare import Limits, Rule
from .values import extremes

if TYPE_CHECKING:
    from ..findings import Report

_FEW = 2  # batches: of one, the order is no matter


class _Epochs:
    """What is known of a loader: trained epochs, and the labels of the one under way."""

    def __init__(self) -> None:
        self.epochs = self.trained = 0
        self.classes: tuple[Any, Any] | None = None  # the least and the greatest so far
        self.sorted = True

    def add(self, labels: Any) -> None:
        """Take in the labels of a batch that was trained on."""
        self.trained += 1
        if not (isinstance(labels, Tensor) and labels.ndim == 1 and labels.dtype.kind in "iu"):
            self.sorted = False
            return
        values = labels.tolist()
        if not values:
            return
        low, high = extremes(labels)
        before = low if self.classes is None else self.classes[1]
        if values != sorted(values) or low < before:
            self.sorted = False
        self.classes = (low if self.classes is None else self.classes[0], high)


class NeverShuffled(Rule):
    """A loader that trains in one order only, or in the order of the classes."""

    id = "TFL501"
    name = "never-shuffled"
    found = "training goes through a DataLoader with shuffle=False, got {order}"
    mend = "pass shuffle=True (or a sampler) to the loader of the training part"

    def __init__(self, report: Report, limits: Limits) -> None:
        super().__init__(report, limits)
        self._known: weakref.WeakKeyDictionary[Any, _Epochs] = weakref.WeakKeyDictionary()

    def after_batch(self, loader: Any, batch: Any, trained: bool) -> None:
        if not trained or loader.shuffle or loader.sampler is not None:
            return
        known = self._known.setdefault(loader, _Epochs())
        known.add(batch[-1] if isinstance(batch, tuple | list) and batch else None)

    def after_epoch(self, loader: Any) -> None:
        known = self._known.get(loader)
        if known is None or known.trained < _FEW:
            return
        known.epochs += 1
        if known.sorted and known.classes is not None and known.classes[0] < known.classes[1]:
            self.tell(Site(), order="labels in the order of the classes")
        elif known.epochs == 2:
            self.tell(Site(), order="the same batches in two epochs")
        known.trained, known.classes, known.sorted = 0, None, True
