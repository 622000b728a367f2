"""Activations as modules."""

from __future__ import annotations

from ..core.tensor import Tensor
from ..ops import activation as _ops
from . import functional as F
from .module import Module


class _InPlace(Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()


class ReLU(_InPlace):
    """``max(x, 0)``; its derivative at 0 is 0.

    Parameters
    ----------
    inplace : bool
        Accepted for the sake of code written for PyTorch; a new tensor is made all the same.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ReLU()(tfl.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return _ops.relu(x)


class LeakyReLU(Module):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float
        The slope of the negative side.
    inplace : bool
        As in `ReLU`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.LeakyReLU(0.5)(tfl.tensor([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """``x`` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    alpha : float
        Minus the limit of the negative side.
    inplace : bool
        As in `ReLU`.

    References
    ----------
    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential
    linear units", 2016.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ELU()(tfl.tensor([0.0, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Sigmoid()(tfl.tensor([0.0]))
    tensor([0.5])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Tanh()(tfl.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)


class SiLU(_InPlace):
    """``x * sigmoid(x)``, also known as swish.

    References
    ----------
    Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.SiLU()(tfl.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return _ops.silu(x)


class GELU(Module):
    """``x`` times the normal distribution function of ``x``.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        Whether to use the error function or the approximation by tanh.

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.GELU()(tfl.tensor([0.0]))
    tensor([0.])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"
