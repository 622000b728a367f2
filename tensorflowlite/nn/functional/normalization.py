"""Normalization of batches, with running statistics."""

from __future__ import annotations

from ...core.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops import normalization as _normalization
from ...ops.gradient import cast
from ...runtime import set_mode


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


def _move_towards(running: Tensor | None, value: Tensor, share: float) -> None:
    if running is not None:
        running *= 1 - share
        running += cast(value, running.dtype) * share
