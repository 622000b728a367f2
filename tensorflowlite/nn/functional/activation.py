"""Activations as functions with ``dim``."""

from __future__ import annotations

from ...core.tensor import Tensor
from ...ops import activation as _activation


def softmax(input: Tensor, dim: int) -> Tensor:
    """Return ``exp(input)`` divided by its sum along ``dim``.

    Parameters
    ----------
    input : Tensor
        Any shape with at least one axis.
    dim : int
        The axis along which the result sums to 1.

    Returns
    -------
    Tensor
        Of the shape of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.softmax(tfl.tensor([1.0, 1.0]), dim=-1)
    tensor([0.5, 0.5])
    """
    return _activation.softmax(input, dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """Return the logarithm of `softmax`, computed without overflow.

    Parameters
    ----------
    input : Tensor
        Any shape with at least one axis.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        Of the shape of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.log_softmax(tfl.tensor([[7.0]]), dim=1)
    tensor([[0.]])
    """
    return _activation.log_softmax(input, dim)
