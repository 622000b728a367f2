"""Dropout."""

from __future__ import annotations

from ..core.tensor import Tensor
from ..errors import ArgumentError
from . import functional as F
from .module import Module


class Dropout(Module):
    """Zero elements at random in training mode, and scale the others up.

    Parameters
    ----------
    p : float
        The probability that an element is zeroed, in [0, 1].
    inplace : bool
        Accepted for the sake of code written for PyTorch; a new tensor is made all the same.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> drop = nn.Dropout(0.5).eval()
    >>> drop(tfl.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"Dropout: p must lie in [0, 1], got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
