"""Normalisation over the batch, and over the last axes.

Each is one operation with one joint rule. What it keeps for backward is its input and the
statistics: the mean and one over the standard deviation, with the normalised axes kept.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import Kept, dtypes
from ..core.fused import fused
from ..core.tensor import Tensor
from ..errors import DtypeError, ShapeError
from .declare import general
from .elementwise import rsqrt
from .gradient import cast
from .reduction import as_tensor
from .shaping import _reshape


def _statistics_rule(k, g, x, out, axes, eps, centered):
    """Take the gradients of the mean and of one over the standard deviation to ``x``."""
    share = 1 / math.prod([x.shape[axis] for axis in axes])
    rstd = k.getitem(out, 1)
    slope = k.getitem(g, 1) * (rstd * rstd * rstd) * -share
    if not centered:
        return slope * x
    return slope * (x - k.getitem(out, 0)) + k.getitem(g, 0) * share


_norm_statistics = general(
    "norm_statistics",
    ("x",),
    (_statistics_rule,),
    "The mean (0 unless ``centered``) and one over the standard deviation, in one array.",
    attributes=("axes", "eps", "centered"),
)


def _decomposed_gradient(k: Any, y: Any, x: Any, statistics: Any, *rest: Any) -> tuple[Any, ...]:
    *weight, axes, parameter_axes, centered, parts = rest
    share = 1 / math.prod([x.shape[axis] for axis in axes])
    rstd = k.getitem(statistics, 1)
    normal = (x - k.getitem(statistics, 0) if centered else x) * rstd
    g = y * weight[0] if weight else y
    dx = g - normal * (k.sum(g * normal, Kept(axes)) * share)
    if centered:
        dx = dx - k.sum(g, Kept(axes)) * share
    found = [dx * rstd]
    if parts > 1:
        found.append(k.sum(y * normal, Kept(parameter_axes)))
    if parts > 2:
        found.append(k.sum(y, Kept(parameter_axes)))
    return tuple(found)


_norm_gradient = fused(
    "norm_gradient",
    ("y", "x", "statistics", "weight"),
    _decomposed_gradient,
    attributes=("axes", "parameter_axes", "centered", "parts"),
    variadic=True,
    outputs=0,
    doc="The gradient ``y`` of a normalisation, taken to its input, its weight and its bias.",
)


def _gradients(k: Any, g: Any, x: Any, statistics: Any, parameters: Any, axes: Any,
               parameter_axes: Any, centered: bool, shape: Any) -> tuple[Any, ...]:  # fmt: skip
    """Return the gradients of the input and the parameters; ``shape`` broadcasts a parameter."""
    weight = [k.reshape(one, shape) for one in parameters[:1]]
    dx, *sums = k.norm_gradient(
        g, x, statistics, *weight, axes, parameter_axes, centered, 1 + len(parameters)
    )
    return dx, *[k.reshape(one, p.shape) for one, p in zip(sums, parameters, strict=True)]


def _batch_axes(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _batch_rule(k, g, x, parameters, residual, eps):
    axes = _batch_axes(x)
    shape = (1, x.shape[1], *[1] * (x.ndim - 2))
    return _gradients(k, g[0], x, residual, parameters, axes, axes, True, shape)


_batch_norm = general(
    "batch_norm",
    ("x", "parameters"),
    _batch_rule,
    "Normalised over all axes but the second, with the mean and the variance that were used.",
    attributes=("eps",),
    variadic=True,
    outputs=3,
    keeps_residual=True,
    rebuild_residual=lambda k, x, *rest: k.norm_statistics(x, _batch_axes(x), rest[-1], True),
)


def _last_axes(x: Any, count: int) -> tuple[int, ...]:
    return tuple(range(x.ndim - count, x.ndim))


def _last_rule(k, g, x, parameters, residual, count, centered):
    shape = x.shape[x.ndim - count :]
    lead = tuple(range(x.ndim - count))
    return _gradients(k, g, x, residual, parameters, _last_axes(x, count), lead, centered, shape)


_layer_norm = general(
    "layer_norm",
    ("x", "parameters"),
    lambda k, g, x, parameters, residual, count: _last_rule(
        k, g, x, parameters, residual, count, True
    ),
    "Normalised over the last ``count`` axes.",
    attributes=("count", "eps"),
    variadic=True,
    keeps_residual=True,
    rebuild_residual=lambda k, x, *rest: k.norm_statistics(
        x, _last_axes(x, rest[-2]), rest[-1], True
    ),
)
_rms_norm = general(
    "rms_norm",
    ("x", "parameters"),
    lambda k, g, x, parameters, residual, count: _last_rule(
        k, g, x, parameters, residual, count, False
    ),
    "Divided by the root of the mean square over the last ``count`` axes.",
    attributes=("count", "eps"),
    variadic=True,
    keeps_residual=True,
    rebuild_residual=lambda k, x, *rest: k.norm_statistics(
        x, _last_axes(x, rest[-2]), rest[-1], False
    ),
)


def _check_float(name: str, x: Tensor) -> None:
    if x.dtype not in dtypes.real_inexact:
        raise DtypeError(f"{name}: x must be of a float dtype, got {x.dtype}")


def _check_batch(x: Tensor, parameters: dict[str, Any]) -> None:
    _check_float("batch_norm", x)
    if x.ndim < 2:
        raise ShapeError(f"batch_norm: x must be (images, channels, ...), got x {x.array.shape}")
    wanted = (x.array.shape[1],)
    for name, value in parameters.items():
        if value is not None and value.shape != wanted:
            raise ShapeError(
                f"batch_norm: {name} must have shape {wanted}, a number per channel of x "
                f"{x.array.shape}, got {value.shape}"
            )


def _parameters(name: str, weight: Any, bias: Any) -> tuple[Any, ...]:
    """Return the parameters that are there; a bias needs a weight before it."""
    if bias is None:
        return () if weight is None else (weight,)
    if weight is None:
        from .elementwise import ones_like_slot

        weight = ones_like_slot(bias.detach())
    return weight, bias


def batch_norm(x: Any, weight: Any = None, bias: Any = None,
               eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Normalise each channel over the batch: the form for training.

    Parameters
    ----------
    x : Tensor, shape (images, channels, ...)
        A float dtype. The statistics are taken in float32 at least.
    weight, bias : Tensor, shape (channels,), optional
        Scale and shift of what was normalised.
    eps : float
        Added to the variance.

    Returns
    -------
    out : Tensor
        Of the shape and dtype of ``x``.
    mean, variance : Tensor, shape (channels,)
        The statistics that were used, without history; the variance divides by the count.

    Raises
    ------
    ShapeError
        A parameter doesn't have a number per channel, or a channel has only one value.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.normalization import batch_norm
    >>> out, mean, variance = batch_norm(tfl.tensor([[1.0], [3.0]]), eps=0.0)
    >>> out
    tensor([[-1.],
            [ 1.]])
    >>> mean, variance
    (tensor([2.]), tensor([1.]))
    """
    x = as_tensor(x)
    _check_batch(x, {"weight": weight, "bias": bias})
    if math.prod([x.array.shape[axis] for axis in _batch_axes(x)]) < 2:
        raise ShapeError(
            "batch_norm: training needs more than one value per channel, got x "
            f"{x.array.shape}; use a larger batch, or eval()"
        )
    out, mean, variance = _batch_norm(x, *_parameters("batch_norm", weight, bias), float(eps))
    return out, mean.detach(), variance.detach()


def batch_norm_inference(x: Any, mean: Tensor, variance: Tensor, weight: Any = None,
                         bias: Any = None, eps: float = 1e-5) -> Tensor:  # fmt: skip
    """Normalise each channel with given statistics: the form for evaluation.

    Parameters
    ----------
    x : Tensor, shape (images, channels, ...)
    mean, variance : Tensor, shape (channels,)
        The statistics to normalise with.
    weight, bias, eps
        As in `batch_norm`.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.normalization import batch_norm_inference
    >>> mean, variance = tfl.tensor([2.0]), tfl.tensor([4.0])
    >>> batch_norm_inference(tfl.tensor([[6.0]]), mean, variance, eps=0.0)
    tensor([[2.]])
    """
    x = as_tensor(x)
    _check_batch(x, {"mean": mean, "variance": variance, "weight": weight, "bias": bias})
    scale = rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (1, x.array.shape[1], *[1] * (x.ndim - 2))
    out = x * _reshape(scale, shape) + _reshape(shift, shape)
    return out if out.dtype == x.dtype else cast(out, x.dtype)


def _over_last(name: str, op: Any, x: Any, normalized_shape: Any, parameters: dict[str, Any],
               eps: float) -> Tensor:  # fmt: skip
    x = as_tensor(x)
    _check_float(name, x)
    shape = normalized_shape if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
    shape = tuple(shape)
    if not shape or x.array.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{name}: the last axes of x must be normalized_shape={shape}, got x {x.array.shape}"
        )
    for what, value in parameters.items():
        if value is not None and value.shape != shape:
            raise ShapeError(
                f"{name}: {what} must have the shape {shape} of normalized_shape, got {value.shape}"
            )
    given = _parameters(name, parameters["weight"], parameters.get("bias"))
    return op(x, *given, len(shape), float(eps))


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None,
               eps: float = 1e-5) -> Tensor:  # fmt: skip
    """Normalise over the last axes: each row by its own mean and variance.

    Parameters
    ----------
    input : Tensor, shape (..., *normalized_shape)
        A float dtype. The statistics are taken in float32 at least.
    normalized_shape : int or tuple of int
        The lengths of the axes to normalise over.
    weight, bias : Tensor, shape normalized_shape, optional
        Scale and shift of what was normalised.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.normalization import layer_norm
    >>> layer_norm(tfl.tensor([[1.0, 3.0]]), 2, eps=0.0)
    tensor([[-1.,  1.]])
    """
    parameters = {"weight": weight, "bias": bias}
    return _over_last("layer_norm", _layer_norm, input, normalized_shape, parameters, eps)


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Tensor:
    """Divide by the root of the mean square over the last axes.

    Parameters
    ----------
    input : Tensor, shape (..., *normalized_shape)
        A float dtype. The mean square is taken in float32 at least.
    normalized_shape : int or tuple of int
        The lengths of the axes to normalise over.
    weight : Tensor, shape normalized_shape, optional
        Scale of what was normalised.
    eps : float, optional
        Added to the mean square; by default the rounding unit of the dtype of ``input``.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``input``.

    References
    ----------
    Zhang and Sennrich, "Root mean square layer normalization", 2019.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.normalization import rms_norm
    >>> rms_norm(tfl.tensor([[3.0, 4.0, 0.0, 0.0]]), 4)
    tensor([[1.2, 1.6, 0. , 0. ]])
    """
    x = as_tensor(input)
    if eps is None:
        _check_float("rms_norm", x)
        eps = dtypes.float_limits(x.dtype).eps
    return _over_last("rms_norm", _rms_norm, x, normalized_shape, {"weight": weight}, eps)


batch_norm.primitive = _batch_norm.primitive  # type: ignore[attr-defined]
layer_norm.primitive = _layer_norm.primitive  # type: ignore[attr-defined]
rms_norm.primitive = _rms_norm.primitive  # type: ignore[attr-defined]
