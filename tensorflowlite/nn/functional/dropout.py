"""Dropout."""

from __future__ import annotations

import math

from ...core.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops import random as _random
from ...ops.creation import ones, ones_like
from ...ops.gradient import cast


def _check(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ArgumentError(f"{name}: p must lie in [0, 1], got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero elements at random and scale the others up, in training.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    p : float
        The probability that an element is zeroed, in [0, 1].
    training : bool
        False returns the input as it is.
    inplace : bool
        Accepted; a new tensor is made all the same.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Raises
    ------
    ArgumentError
        ``p`` isn't a probability.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> sorted(set(F.dropout(tfl.ones(100), 0.75).tolist()))
    [0.0, 4.0]
    """
    _check("dropout", p)
    if not training or p == 0:
        return input
    return input * 0.0 if p == 1 else _random.dropout(input, p)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels at random and scale the others up, in training.

    Parameters
    ----------
    input : Tensor, shape (N, C, L) or (C, L)
        A float dtype.
    p, training, inplace
        As in `dropout`, for each channel of each sample.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> out = F.dropout1d(tfl.ones((4, 100, 2)), 0.5)
    >>> sorted(set(out.flatten(2).sum(-1).flatten().tolist())) == [0.0, 2.0 * 2]
    True
    """
    _check("dropout1d", p)
    if input.ndim not in (2, 3):
        raise ShapeError(f"dropout1d: input must have 2 or 3 axes, got {input.shape}")
    return _whole_channels(input, p, training, alone=input.ndim == 2)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels at random and scale the others up, in training.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W)
        A float dtype. With three axes they are taken as (N, C, L).
    p, training, inplace
        As in `dropout`, for each channel of each sample.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> out = F.dropout2d(tfl.ones((4, 100, 2, 2)), 0.5)
    >>> sorted(set(out.flatten(2).sum(-1).flatten().tolist())) == [0.0, 2.0 * 4]
    True
    """
    _check("dropout2d", p)
    if input.ndim not in (3, 4):
        raise ShapeError(f"dropout2d: input must have 3 or 4 axes, got {input.shape}")
    return _whole_channels(input, p, training, alone=False)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels at random and scale the others up, in training.

    Parameters
    ----------
    input : Tensor, shape (N, C, D, H, W) or (C, D, H, W)
        A float dtype.
    p, training, inplace
        As in `dropout`, for each channel of each sample.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> out = F.dropout3d(tfl.ones((4, 100, 2, 2, 2)), 0.5)
    >>> sorted(set(out.flatten(2).sum(-1).flatten().tolist())) == [0.0, 2.0 * 8]
    True
    """
    _check("dropout3d", p)
    if input.ndim not in (4, 5):
        raise ShapeError(f"dropout3d: input must have 4 or 5 axes, got {input.shape}")
    return _whole_channels(input, p, training, alone=input.ndim == 4)


def _whole_channels(input: Tensor, p: float, training: bool, alone: bool) -> Tensor:
    if not training or p == 0:
        return input
    return input * dropout(_per_channel(input, alone), p)


def _per_channel(input: Tensor, alone: bool = False) -> Tensor:
    """Return a one for each channel of each sample."""
    lead = 1 if alone else 2
    shape = (*input.shape[:lead], *[1] * (input.ndim - lead))
    return ones(shape, dtype=input.dtype, device=input.device)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Set elements at random to the limit of `selu`, keeping the mean 0 and the variance 1.

    Parameters
    ----------
    input : Tensor
        Any shape; a float dtype.
    p, training, inplace
        As in `dropout`.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", 2017.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> len(set(F.alpha_dropout(tfl.ones(100), 0.5, training=True).tolist()))
    2
    """
    _check("alpha_dropout", p)
    return _to_the_limit(input, ones_like(input.detach()), p, training)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Set whole channels at random to the limit of `selu`.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        A float dtype.
    p, training, inplace
        As in `dropout`, for each channel of each sample.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.feature_alpha_dropout(tfl.ones((2, 3, 4)), 0.5, training=True).shape
    (2, 3, 4)
    """
    _check("feature_alpha_dropout", p)
    if input.ndim < 2:
        raise ShapeError(f"feature_alpha_dropout: input must be (N, C, ...), got {input.shape}")
    return _to_the_limit(input, _per_channel(input), p, training)


_LIMIT = 1.7580993408473766  # minus the limit of selu


def _to_the_limit(input: Tensor, one: Tensor, p: float, training: bool) -> Tensor:
    if not training or p == 0:
        return input
    if p == 1:
        return input * 0.0
    kept = cast(_random.dropout(one, p) != 0, input.dtype)
    scale = 1 / math.sqrt((_LIMIT * _LIMIT * p + 1) * (1 - p))
    shift = (kept - (1 - p)) * (_LIMIT * scale)
    return input * (kept * scale) + shift
