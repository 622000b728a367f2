"""Normalisation layers."""

from __future__ import annotations

from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.creation import ones, zeros
from ..runtime import mode, set_mode
from . import functional as F
from . import init
from .linear import size_argument
from .module import Module
from .parameter import Parameter


class _BatchNorm(Module):
    """What batch normalisation of every number of axes shares."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _spare = frozenset(("num_batches_tracked",))  # older networks' states don't have it
    _ndims: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = size_argument(name, "num_features", num_features)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ArgumentError(f"{name}: momentum must lie in [0, 1] or be None, got {momentum}")
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        where = {"dtype": dtype, "device": device}
        self.weight = Parameter(ones(num_features, **where)) if affine else None
        self.bias = Parameter(zeros(num_features, **where)) if affine and bias else None
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **where) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **where) if tracked else None)
        self.register_buffer(
            "num_batches_tracked", zeros((), dtype=int, device=device) if tracked else None
        )

    def reset_running_stats(self) -> None:
        """Forget the running mean and variance."""
        if self.running_mean is not None and self.running_var is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
        if self.num_batches_tracked is not None:
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Set the parameters and the running figures to what they start from."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in self._ndims or x.shape[1] != self.num_features:
            forms = " or ".join(self._forms())
            raise ShapeError(
                f"{type(self).__name__}: x must have shape {forms}, got {x.shape}"
            )
        count = self.num_batches_tracked if self.training else None
        factor = self.momentum
        if factor is None:
            factor = 0.0 if count is None else self._share_of(count)
        out = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or self.running_mean is None, factor, self.eps,
        )  # fmt: skip
        if count is not None:
            with set_mode(grad=False):
                count += 1
        return out

    @staticmethod
    def _share_of(count: Tensor) -> Any:
        """Return the share of the next batch in a mean of all, which a recorded step computes."""
        if mode.capture is not None:
            return 1.0 / (count.astype(dtypes.float64) + 1.0)
        return 1.0 / (float(count) + 1)

    def _forms(self) -> list[str]:
        axes = {2: "", 3: ", L", 4: ", H, W", 5: ", D, H, W"}
        return [f"(N, {self.num_features}{axes[ndim]})" for ndim in self._ndims]

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation over inputs of shape (N, C) or (N, C, L).

    In training mode with the mean and variance of the batch, in evaluation mode with the running
    ones.

    Parameters
    ----------
    num_features : int
        The number of channels, C.
    eps : float
        Added to the variance.
    momentum : float or None
        The share of a batch in the running figures; None averages over all batches.
    affine : bool
        Whether to scale and shift by parameters.
    track_running_stats : bool
        Whether to keep running figures; without them the batch's are used in every mode.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.
    bias : bool
        Whether to shift, where ``affine``.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> norm = nn.BatchNorm1d(2, affine=False, eps=0.0)
    >>> norm(tfl.tensor([[1.0, 5.0], [3.0, 9.0]]))
    tensor([[-1., -1.],
            [ 1.,  1.]])
    """

    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation over images of shape (N, C, H, W).

    Parameters as in `BatchNorm1d`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.BatchNorm2d(3)(tfl.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation over volumes of shape (N, C, D, H, W).

    Parameters as in `BatchNorm1d`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.BatchNorm3d(3)(tfl.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)
    """

    _ndims = (5,)


def _shape(name: str, normalized_shape: Any) -> tuple[int, ...]:
    if not isinstance(normalized_shape, tuple | list):
        normalized_shape = (normalized_shape,)
    if not normalized_shape:
        raise ArgumentError(f"{name}: normalized_shape must name an axis, got ()")
    return tuple([size_argument(name, "normalized_shape", n) for n in normalized_shape])


class LayerNorm(Module):
    """Layer normalisation over the last axes.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The lengths of the axes to normalise over.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether to scale and shift by parameters.
    bias : bool
        Whether to shift.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.LayerNorm(2, eps=0.0)(tfl.tensor([[1.0, 3.0]])).detach()
    tensor([[-1.,  1.]])
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        shape, where = self.normalized_shape, {"dtype": dtype, "device": device}
        self.weight = Parameter(ones(shape, **where)) if elementwise_affine else None
        shifted = elementwise_affine and bias
        self.bias = Parameter(zeros(shape, **where)) if shifted else None

    def reset_parameters(self) -> None:
        """Set the parameters to what they start from."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Division by the root of the mean of squares over the last axes.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The lengths of the axes to normalise over.
    eps : float, optional
        Added to the mean of squares; by default the dtype's machine epsilon.
    elementwise_affine : bool
        Whether to scale by a parameter.
    device, dtype
        Where the parameter lives, and its dtype; float32 by default.

    References
    ----------
    Zhang and Sennrich, "Root mean square layer normalization", 2019.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.RMSNorm(2, eps=0.0)(tfl.tensor([[3.0, 3.0]])).detach()
    tensor([[1., 1.]])
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape("RMSNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        weight = ones(self.normalized_shape, dtype=dtype, device=device)
        self.weight = Parameter(weight) if elementwise_affine else None

    def reset_parameters(self) -> None:
        """Set the parameter to what it starts from."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}"
        )
