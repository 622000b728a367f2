"""Fully connected layers, and modules that only reshape."""

from __future__ import annotations

import math
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError
from ..ops.creation import zeros
from ..ops.reduction import normalize_axes
from ..ops.shaping import reshape
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


def size_argument(name: str, key: str, value: Any, least: int = 1) -> int:
    """Return a size as an integer; raise unless it is at least ``least``."""
    try:
        found = value.__index__()
    except AttributeError:
        found = least - 1
    if found < least:
        raise ArgumentError(f"{name}: {key} must be an integer of at least {least}, got {value!r}")
    return found


def reset_weight_and_bias(weight: Tensor, bias: Tensor | None) -> None:
    """Draw a weight and a bias as PyTorch does: evenly, within one over the root of the inputs."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        inputs, _ = init.fans("reset_parameters", weight)
        bound = 1 / math.sqrt(inputs) if inputs else 0.0
        init.uniform_(bias, -bound, bound)


class Linear(Module):
    """A fully connected layer: ``activation(x @ weight.T + bias)``.

    Parameters
    ----------
    in_features, out_features : int
        The length of the last axis of the input and of the output.
    bias : bool
        Whether to add a bias.
    activation : str, optional
        An activation computed together with the layer, forward and backward: relu, leaky_relu,
        sigmoid, tanh, silu, gelu or gelu_tanh.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (out_features, in_features)
    bias : Tensor, shape (out_features,), or None

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Linear(3, 5)(tfl.zeros((2, 3))).shape
    (2, 5)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        self.in_features = size_argument("Linear", "in_features", in_features, 0)
        self.out_features = size_argument("Linear", "out_features", out_features, 0)
        F.check_activation("Linear", activation)
        self.activation = activation
        shape = (self.out_features, self.in_features)
        self.weight = Parameter(zeros(shape, dtype=dtype, device=device))
        self.bias = Parameter(zeros(shape[:1], dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        reset_weight_and_bias(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias, self.activation)

    def extra_repr(self) -> str:
        text = f"in_features={self.in_features}, out_features={self.out_features}, "
        text += f"bias={self.bias is not None}"
        return text if self.activation is None else f"{text}, activation={self.activation!r}"


class Identity(Module):
    """Hand the input on as it is; arguments are accepted and ignored.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Identity()(tfl.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        return x


class Flatten(Module):
    """Take axes together; by default all but the first.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last axis to take together.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Flatten()(tfl.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Take one axis apart into several.

    Parameters
    ----------
    dim : int
        The axis.
    unflattened_size : tuple of int
        The lengths of the new axes; one of them may be -1.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Unflatten(1, (3, 4))(tfl.zeros((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        dim = normalize_axes("Unflatten", self.dim, x.ndim)[0]
        return reshape(x, (*x.shape[:dim], *self.unflattened_size, *x.shape[dim + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Bilinear(Module):
    """A bilinear form for each output: ``x1 @ weight[o] @ x2 + bias[o]``.

    Parameters
    ----------
    in1_features, in2_features, out_features : int
        The length of the last axis of the inputs and of the output.
    bias : bool
        Whether to add a bias.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (out_features, in1_features, in2_features)
    bias : Tensor, shape (out_features,), or None

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Bilinear(2, 3, 5)(tfl.zeros((4, 2)), tfl.zeros((4, 3))).shape
    (4, 5)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features = size_argument("Bilinear", "in1_features", in1_features)
        self.in2_features = size_argument("Bilinear", "in2_features", in2_features)
        self.out_features = size_argument("Bilinear", "out_features", out_features)
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.weight = Parameter(zeros(shape, dtype=dtype, device=device))
        self.bias = Parameter(zeros(shape[:1], dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
