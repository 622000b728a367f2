"""Normalisation of groups, instances and neighbouring channels."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.creation import ones, zeros
from ..ops.shaping import reshape
from . import functional as F
from . import init
from .linear import size_argument
from .module import Module
from .normalization import _BatchNorm
from .parameter import Parameter


class GroupNorm(Module):
    """Normalisation of each sample over groups of channels.

    Parameters
    ----------
    num_groups : int
        Into how many groups the channels are divided.
    num_channels : int
        The number of channels.
    eps : float
        Added to the variance.
    affine : bool
        Whether to scale and shift by parameters.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.
    bias : bool
        Whether to shift, where ``affine``.

    References
    ----------
    Wu and He, "Group normalization", 2018.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.GroupNorm(2, 6)(tfl.ones((4, 6, 5))).shape
    (4, 6, 5)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = size_argument("GroupNorm", "num_groups", num_groups)
        self.num_channels = size_argument("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ArgumentError(
                "GroupNorm: num_channels must divide into num_groups, got "
                f"{num_channels} and {num_groups}"
            )
        self.eps, self.affine = eps, affine
        where = {"dtype": dtype, "device": device}
        self.weight = Parameter(ones(num_channels, **where)) if affine else None
        self.bias = Parameter(zeros(num_channels, **where)) if affine and bias else None

    def reset_parameters(self) -> None:
        """Set the parameters to what they start from."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class _InstanceNorm(_BatchNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, x: Tensor) -> Tensor:
        batched = x.ndim == self._ndims[0]
        if not batched and x.ndim != self._ndims[0] - 1:
            form = self._forms()[0]
            raise ShapeError(
                f"{type(self).__name__}: x must have shape {form}, or that without N, got {x.shape}"
            )
        if self.affine and x.shape[-self._ndims[0] + 1] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: x must have {self.num_features} channels, got {x.shape}"
            )
        out = F.instance_norm(
            x if batched else reshape(x, (1, *x.shape)),
            self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip
        return out if batched else reshape(out, x.shape)


class InstanceNorm1d(_InstanceNorm):
    """Normalisation of each channel of each sample, of shape (N, C, L) or (C, L).

    Parameters
    ----------
    num_features : int
        The number of channels, C.
    eps : float
        Added to the variance.
    momentum : float
        The share of an input in the running figures.
    affine : bool
        Whether to scale and shift by parameters.
    track_running_stats : bool
        Whether to keep running figures, and to normalise with them in evaluation mode.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.
    bias : bool
        Whether to shift, where ``affine``.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.InstanceNorm1d(3)(tfl.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    _ndims = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Normalisation of each channel of each sample, of shape (N, C, H, W) or (C, H, W).

    Parameters as in `InstanceNorm1d`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.InstanceNorm2d(3)(tfl.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _ndims = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Normalisation of each channel of each sample, of shape (N, C, D, H, W) or (C, D, H, W).

    Parameters as in `InstanceNorm1d`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.InstanceNorm3d(3)(tfl.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)
    """

    _ndims = (5,)


class LocalResponseNorm(Module):
    """Division by a power of the mean of squares over neighbouring channels.

    Parameters
    ----------
    size : int
        How many channels count as neighbours.
    alpha : float
        The factor of the mean.
    beta : float
        The exponent.
    k : float
        Added to the mean.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.LocalResponseNorm(2)(tfl.ones((1, 4, 2))).shape
    (1, 4, 2)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size_argument("LocalResponseNorm", "size", size)
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
