"""Shapes as functions with ``dim``."""

from __future__ import annotations

from ...core.tensor import Tensor
from ...ops import shaping as _shaping


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the tensor with the axes from ``start_dim`` to ``end_dim`` taken together.

    Parameters
    ----------
    input : Tensor
        Any shape.
    start_dim, end_dim : int
        The first and the last axis to take together.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.flatten(tfl.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    return _shaping.flatten(input, start_dim, end_dim)
