"""Softmax in its forms, and gates, as modules."""

from __future__ import annotations

from ..core.tensor import Tensor
from ..errors import ShapeError
from . import functional as F
from .module import Module


class Softmax(Module):
    """``exp(x)``, divided by its sum along an axis.

    Parameters
    ----------
    dim : int, optional
        The axis; without it the one that `functional.softmax` takes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Softmax(dim=-1)(tfl.tensor([1.0, 1.0]))
    tensor([0.5, 0.5])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of the softmax along an axis, computed without overflow.

    Parameters
    ----------
    dim : int, optional
        The axis; without it the one that `functional.softmax` takes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.LogSoftmax(dim=-1)(tfl.tensor([1.0])).item()
    0.0
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmin(Module):
    """The softmax of ``-x``.

    Parameters
    ----------
    dim : int, optional
        The axis; without it the one that `functional.softmax` takes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Softmin(dim=0)(tfl.tensor([1.0, 1.0]))
    tensor([0.5, 0.5])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.softmin(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax2d(Module):
    """The softmax over the channels of images: each place sums to 1.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Softmax2d()(tfl.zeros((1, 2, 1, 1)))[0, :, 0, 0]
    tensor([0.5, 0.5])
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: x must be (N, C, H, W) or (C, H, W), got {x.shape}")
        return F.softmax(x, -3)


class GLU(Module):
    """The first half of the input, times the sigmoid of the second half.

    Parameters
    ----------
    dim : int
        The axis to halve.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.GLU()(tfl.tensor([2.0, 0.0]))
    tensor([1.])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
