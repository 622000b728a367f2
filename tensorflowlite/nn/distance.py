"""Distances of pairs as modules."""

from __future__ import annotations

from ..core.tensor import Tensor
from . import functional as F
from .module import Module


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along an axis.

    Parameters
    ----------
    dim : int
        The axis along which a vector lies.
    eps : float
        The least length that is divided by.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.CosineSimilarity()(tfl.tensor([[3.0, 0.0]]), tfl.tensor([[2.0, 0.0]]))
    tensor([1.])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of differences along the last axis.

    Parameters
    ----------
    p : float
        The order of the norm.
    eps : float
        Added to each difference: the distance of equal vectors has a derivative.
    keepdim : bool
        Whether the last axis stays, with length 1.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.PairwiseDistance(eps=0.0)(tfl.tensor([[3.0, 4.0]]), tfl.zeros((1, 2)))
    tensor([5.])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.p, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)
