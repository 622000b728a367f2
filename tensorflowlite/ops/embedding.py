"""Rows of a table by their numbers."""

from __future__ import annotations

from typing import Any

from ..backend import INDEX, dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from .creation import asarray
from .declare import general
from .gradient import cast
from .reduction import as_tensor
from .reduction import max as greatest


def _by_weight(k, g, indices, weight_shape, padding_index):
    if padding_index is not None:
        g = g * k.reshape(indices != padding_index, (*indices.shape, 1))
    return k.scatter_add(g, indices, (INDEX,), weight_shape)


_embedding = general(
    "embedding",
    ("weight", "indices"),
    (_by_weight, None),
    "The rows of ``weight`` at ``indices``.",
    attributes=("padding_index",),
)
_one_hot = general(
    "one_hot", ("x",), None, "A row per index, with a one at that place.", attributes=("classes",)
)


def embedding(indices: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """Return the rows of ``weight`` that ``indices`` name.

    Parameters
    ----------
    indices : Tensor of integers
        Any shape.
    weight : Tensor, shape (rows, size)
    padding_idx : int, optional
        A row that gets no gradient; negative ones count from the end.

    Returns
    -------
    Tensor, shape (*indices.shape, size)

    Raises
    ------
    OutOfRangeError
        An index outside the rows. On a device, where a check would wait for it, its row is NaN.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.embedding import embedding
    >>> embedding(tfl.tensor([1, 0]), tfl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    indices, weight = asarray(indices), as_tensor(weight)
    if indices.dtype.kind not in "iu":
        raise DtypeError(f"embedding: indices must be integers, got {indices.dtype}")
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight must be (rows, size), got {weight.array.shape}")
    if padding_idx is not None:
        rows = weight.array.shape[0]
        if not -rows <= padding_idx < rows:
            raise ArgumentError(
                f"embedding: padding_idx must lie in [{-rows}, {rows}), got {padding_idx}"
            )
        padding_idx %= rows
    if indices.dtype != dtypes.int64:  # small ones can't be compared with the number of rows
        indices = cast(indices, dtypes.int64)
    return _embedding(weight, indices, padding_idx)


def one_hot(indices: Any, classes: int = -1) -> Tensor:
    """Return integers as rows with a one at that place and zeros elsewhere.

    Parameters
    ----------
    indices : Tensor of integers
        Any shape.
    classes : int
        The length of the rows; by default one more than the greatest index.

    Returns
    -------
    Tensor, shape (*indices.shape, classes)
        int64.

    Raises
    ------
    OutOfRangeError
        An index outside the classes. On a device, where a check would wait for it, its row is 0.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.embedding import one_hot
    >>> one_hot(tfl.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    indices = asarray(indices)
    if indices.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: class indices must be integers, got {indices.dtype}")
    if classes < 0:
        if not indices.size:
            raise ArgumentError("one_hot: num_classes is needed where there are no indices, got -1")
        classes = int(greatest(indices)) + 1
    return _one_hot(cast(indices, dtypes.int64), classes)


one_hot.primitive = _one_hot.primitive  # type: ignore[attr-defined]
embedding.primitive = _embedding.primitive  # type: ignore[attr-defined]
