"""Dropout."""

from __future__ import annotations

from ..core.tensor import Tensor
from ..errors import ArgumentError
from . import functional as F
from .module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p must lie in [0, 1], got {p}")
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
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

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)


class Dropout1d(_Dropout):
    """Zero whole channels at random in training mode, and scale the others up.

    Parameters
    ----------
    p : float
        The probability, in [0, 1].
    inplace : bool
        As in `Dropout`.

    References
    ----------
    Tompson et al., "Efficient object localization using convolutional networks", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Dropout1d(0.5)(tfl.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout1d(x, self.p, self.training)


class Dropout2d(_Dropout):
    """Zero whole channels at random in training mode, and scale the others up.

    Parameters
    ----------
    p : float
        The probability, in [0, 1].
    inplace : bool
        As in `Dropout`.

    References
    ----------
    Tompson et al., "Efficient object localization using convolutional networks", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Dropout2d(0.5)(tfl.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout2d(x, self.p, self.training)


class Dropout3d(_Dropout):
    """Zero whole channels at random in training mode, and scale the others up.

    Parameters
    ----------
    p : float
        The probability, in [0, 1].
    inplace : bool
        As in `Dropout`.

    References
    ----------
    Tompson et al., "Efficient object localization using convolutional networks", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Dropout3d(0.5)(tfl.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout3d(x, self.p, self.training)


class AlphaDropout(_Dropout):
    """Set elements at random to the limit of SELU, keeping mean and variance.

    Parameters
    ----------
    p : float
        The probability, in [0, 1].
    inplace : bool
        As in `Dropout`.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AlphaDropout(0.5)(tfl.ones((2, 3))).shape
    (2, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """Set whole channels at random to the limit of SELU.

    Parameters
    ----------
    p : float
        The probability, in [0, 1].
    inplace : bool
        As in `Dropout`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.FeatureAlphaDropout(0.5)(tfl.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.feature_alpha_dropout(x, self.p, self.training)
