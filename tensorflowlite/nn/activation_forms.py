"""Activations of straight lines, shrinkage and learnt or random slopes, as modules."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..ops.creation import full
from . import functional as F
from .activation import _InPlace
from .init import constant_
from .module import Module
from .parameter import Parameter


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``; the identity where ``beta * x`` is above a threshold.

    Parameters
    ----------
    beta : float
        How sharp the bend is.
    threshold : float
        Where the identity begins.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Softplus()(tfl.tensor([30.0]))
    tensor([30.])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class ReLU6(_InPlace):
    """The input held between 0 and 6.

    Parameters
    ----------
    inplace : bool
        As in `ReLU`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ReLU6()(tfl.tensor([-1.0, 9.0]))
    tensor([0., 6.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)


class PReLU(Module):
    """``x`` where it is positive, elsewhere ``x`` times a slope that is learnt.

    Parameters
    ----------
    num_parameters : int
        How many slopes: one for all, or one for each channel.
    init : float
        What the slopes start from.
    device, dtype
        Where the slopes live, and their dtype; float32 by default.

    References
    ----------
    He et al., "Delving deep into rectifiers", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.PReLU()(tfl.tensor([-2.0, 2.0])).detach()
    tensor([-0.5,  2. ])
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(full((num_parameters,), init, dtype=dtype, device=device))

    def reset_parameters(self) -> None:
        """Set the slopes to what they start from."""
        constant_(self.weight, self.init)

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """``x`` where it is positive, elsewhere a random share of it; the mean one in evaluation.

    Parameters
    ----------
    lower : float
        The least share.
    upper : float
        The greatest share.
    inplace : bool
        As in `ReLU`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.RReLU(0.25, 0.75).eval()(tfl.tensor([-2.0, 2.0]))
    tensor([-1.,  2.])
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(x, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


class CELU(Module):
    """``x`` where it is positive, ``alpha * (exp(x / alpha) - 1)`` elsewhere.

    Parameters
    ----------
    alpha : float
        Minus the limit of the negative side.
    inplace : bool
        As in `ReLU`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.CELU()(tfl.tensor([0.0, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return F.celu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class SELU(_InPlace):
    """The self-normalising `ELU`.

    Parameters
    ----------
    inplace : bool
        As in `ReLU`.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.SELU()(tfl.tensor([0.0, 1.0]))
    tensor([0.      , 1.050701])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(x)


class Mish(_InPlace):
    """``x * tanh(softplus(x))``.

    Parameters
    ----------
    inplace : bool
        As in `ReLU`.

    References
    ----------
    Misra, "Mish: a self regularized non-monotonic activation function", 2019.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Mish()(tfl.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.mish(x)


class Softsign(Module):
    """``x / (1 + abs(x))``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Softsign()(tfl.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.softsign(x)


class Hardtanh(Module):
    """The input held between two bounds.

    Parameters
    ----------
    min_val : float
        The lower bound.
    max_val : float
        The upper bound.
    inplace : bool
        As in `ReLU`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Hardtanh()(tfl.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Tensor) -> Tensor:
        return F.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Hardsigmoid(_InPlace):
    """A sigmoid of straight lines: ``relu6(x + 3) / 6``.

    Parameters
    ----------
    inplace : bool
        As in `ReLU`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Hardsigmoid()(tfl.tensor([-4.0, 0.0]))
    tensor([0. , 0.5])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.hardsigmoid(x)


class Hardswish(_InPlace):
    """``x * relu6(x + 3) / 6``.

    Parameters
    ----------
    inplace : bool
        As in `ReLU`.

    References
    ----------
    Howard et al., "Searching for MobileNetV3", 2019.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Hardswish()(tfl.tensor([0.0, 4.0]))
    tensor([0., 4.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(x)


class LogSigmoid(Module):
    """The logarithm of the sigmoid, exact also where that underflows.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.LogSigmoid()(tfl.tensor([-1000.0]))
    tensor([-1000.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.logsigmoid(x)


class Tanhshrink(Module):
    """``x - tanh(x)``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Tanhshrink()(tfl.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.tanhshrink(x)


class Softshrink(Module):
    """``x`` brought nearer to 0 by ``lambd``; 0 where it is within that.

    Parameters
    ----------
    lambd : float
        How far from 0.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Softshrink()(tfl.tensor([-2.0, 0.25]))
    tensor([-1.5,  0. ])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        return F.softshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Hardshrink(Module):
    """``x``; 0 where its magnitude is at most ``lambd``.

    Parameters
    ----------
    lambd : float
        How far from 0.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Hardshrink()(tfl.tensor([-2.0, 0.25]))
    tensor([-2.,  0.])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        return F.hardshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Threshold(Module):
    """``x`` where it exceeds a threshold, a given value elsewhere.

    Parameters
    ----------
    threshold : float
        What must be exceeded.
    value : float
        What is put in place of the others.
    inplace : bool
        As in `ReLU`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Threshold(1.0, -5.0)(tfl.tensor([0.1, 2.0]))
    tensor([-5.,  2.])
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value = threshold, value

    def forward(self, x: Tensor) -> Tensor:
        return F.threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"
