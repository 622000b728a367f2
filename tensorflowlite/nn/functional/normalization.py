"""Normalisation of batches, groups, instances and neighbouring channels."""

from __future__ import annotations

import math
from typing import Any

from ...backend import dtypes
from ...core.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops import normalization as _normalization
from ...ops.creation import zeros
from ...ops.gradient import cast
from ...ops.joining import concat
from ...ops.reduction import as_tensor
from ...ops.reduction import mean as mean_of
from ...ops.shaping import reshape
from ...runtime import set_mode
from .precision import in_float32


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel, with the batch's mean and variance or with running ones.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        A float dtype.
    running_mean, running_var : Tensor, shape (C,), or None
        In training they are changed in place; the variance is the unbiased one.
    weight, bias : Tensor, shape (C,), optional
        Scale and shift.
    training : bool
        Whether to use, and to take in, the figures of the batch.
    momentum : float
        The share of the batch in the running figures.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Raises
    ------
    ShapeError
        A parameter doesn't have one number per channel, or in training a channel one value only.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.batch_norm(tfl.tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm: running_mean and running_var are needed without training, got None"
            )
        return _normalization.batch_norm_inference(
            input, running_mean, running_var, weight, bias, eps
        )
    shape = input.shape[1:2]
    for name, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is not None and running.shape != shape:
            raise ShapeError(
                f"batch_norm: {name} must have shape {shape}, a number per channel of x "
                f"{input.shape}, got {running.shape}"
            )
    out, mean, variance = _normalization.batch_norm(input, weight, bias, eps)
    count = input.size // input.shape[1]
    with set_mode(grad=False):
        _move_towards(running_mean, mean, momentum)
        _move_towards(running_var, variance * (count / (count - 1)), momentum)
    return out


def _move_towards(running: Tensor | None, value: Tensor, share: Any) -> None:
    if running is None:
        return
    keep = 1 - share
    if isinstance(share, Tensor):  # a number that a recorded step computes
        wide = dtypes.accumulator(running.dtype)
        keep, share = cast(keep, wide), cast(share, wide)
    if running.dtype in dtypes.half:  # rounded once
        wide = cast(running, dtypes.float32)
        running[...] = cast(wide + (cast(value, wide.dtype) - wide) * share, running.dtype)
        return
    running *= keep
    running += cast(value, running.dtype) * share


@in_float32
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each sample over groups of channels.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        A float dtype.
    num_groups : int
        Into how many groups the channels are divided.
    weight, bias : Tensor, shape (C,), optional
        Scale and shift.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    References
    ----------
    Wu and He, "Group normalization", 2018.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.group_norm(tfl.tensor([[1.0, 3.0, 0.0, 4.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    input = as_tensor(input)
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: input must be (N, C, ...) with channels that divide into {num_groups} "
            f"groups, got {input.shape}"
        )
    channels = input.shape[1]
    _check_channels("group_norm", channels, weight=weight, bias=bias)
    if not input.size:
        return _scaled(input, weight, bias)
    width = channels // num_groups * math.prod(input.shape[2:])
    if input.shape[0] * width == 1:
        raise ShapeError(
            f"group_norm: more than one value per group is needed, got input {input.shape}"
        )
    rows = reshape(input, (input.shape[0], num_groups, width))
    return _scaled(
        reshape(_normalization.layer_norm(rows, width, None, None, eps), input.shape), weight, bias
    )


def _check_channels(name: str, channels: int, **parameters: Tensor | None) -> None:
    for what, value in parameters.items():
        if value is not None and value.shape != (channels,):
            raise ShapeError(
                f"{name}: {what} must have shape ({channels},), a number per channel, got "
                f"{value.shape}"
            )


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return ``x`` scaled and shifted by numbers per channel, in its dtype."""
    shape, dtype = (-1, *[1] * (x.ndim - 2)), x.dtype
    if weight is not None:
        x = x * reshape(weight, shape)
    if bias is not None:
        x = x + reshape(bias, shape)
    return x if x.dtype == dtype else cast(x, dtype)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        A float dtype.
    running_mean, running_var : Tensor, shape (C,), optional
        With ``use_input_stats`` they are changed in place, else they are normalised with.
    weight, bias : Tensor, shape (C,), optional
        Scale and shift.
    use_input_stats : bool
        Whether to use, and to take in, the figures of the input.
    momentum : float
        The share of the input in the running figures.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.instance_norm(tfl.tensor([[[1.0, 3.0]]]), eps=0.0)
    tensor([[[-1.,  1.]]])
    """
    input = as_tensor(input)
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if input.ndim < 3:
        raise ShapeError(f"instance_norm: input must be (N, C, ...), got {input.shape}")
    count, channels = input.shape[:2]
    size = math.prod(input.shape[2:])
    if size == 1:
        raise ShapeError(
            f"instance_norm: more than one value per channel is needed, got input {input.shape}"
        )
    _check_channels(
        "instance_norm", channels, weight=weight, bias=bias,
        running_mean=running_mean, running_var=running_var,
    )  # fmt: skip
    if not input.size:
        return _scaled(input, weight, bias)
    # Half precision is rounded once, after scale and shift.
    wide = cast(input, dtypes.accumulator(input.dtype))
    row = reshape(wide, (1, count * channels, *input.shape[2:]))
    out, mean, variance = _normalization.batch_norm(row, None, None, eps)
    with set_mode(grad=False):
        variance = variance * (size / (size - 1))
        for running, found in ((running_mean, mean), (running_var, variance)):
            _move_towards(running, mean_of(reshape(found, (count, channels)), axis=0), momentum)
    return cast(_scaled(reshape(out, input.shape), weight, bias), input.dtype)


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide by a power of the mean of squares over neighbouring channels.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        At least three axes.
    size : int
        How many channels count as neighbours.
    alpha : float
        The factor of the mean.
    beta : float
        The exponent.
    k : float
        Added to the mean.

    Returns
    -------
    Tensor
        Of the shape of ``input``.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.local_response_norm(tfl.ones((1, 4, 2)), 2).shape
    (1, 4, 2)
    """
    input = as_tensor(input)
    if input.ndim < 3:
        raise ShapeError(f"local_response_norm: input must be (N, C, ...), got {input.shape}")
    if size < 1:
        raise ArgumentError(f"local_response_norm: size must be at least 1, got {size}")
    if input.dtype in dtypes.half:
        wide = local_response_norm(cast(input, dtypes.float32), size, alpha, beta, k)
        return cast(wide, input.dtype)
    channels = input.shape[1]
    squares = input * input
    before, after = size // 2, (size - 1) // 2
    edge = [zeros((input.shape[0], n, *input.shape[2:]), dtype=input.dtype, device=input.device)
            for n in (before, after)]  # fmt: skip
    padded = concat([edge[0], squares, edge[1]], axis=1)
    total = padded[:, :channels]
    for start in range(1, size):
        total = total + padded[:, start : start + channels]
    return input / (k + (alpha / size) * total) ** beta
