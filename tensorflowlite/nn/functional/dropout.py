"""Dropout."""

from __future__ import annotations

from ...core.tensor import Tensor
from ...errors import ArgumentError
from ...ops import random as _random


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero elements at random and scale the others up, in training.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    p : float
        The probability that an element is zeroed, in [0, 1].
    training : bool
        False returns the input as it is.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Raises
    ------
    ArgumentError
        ``p`` isn't a probability.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> sorted(set(F.dropout(tfl.ones(100), 0.75).tolist()))
    [0.0, 4.0]
    """
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p must lie in [0, 1], got {p}")
    if not training or p == 0:
        return input
    return input * 0.0 if p == 1 else _random.dropout(input, p)
