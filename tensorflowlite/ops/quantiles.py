"""Medians, quantiles and percentiles, with NumPy's methods, and the same without NaN.

The elements along the axes are sorted; gradients go to the elements that the result stands between.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import dtypes
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError
from . import elementwise as e
from .arguments import as_tensor, happens
from .casting import astype
from .creation import asarray, full
from .indexing import take, take_along_axis
from .reducing import either_axis, kept_shape, normalize_axes, refuse
from .reduction import sum as _sum
from .shaping import _permute, _reshape, moveaxis
from .sorting import sort

# Hyndman and Fan (1996), Sample quantiles in statistical packages: the plotting positions alpha
# and beta of the continuous methods.
_CONTINUOUS = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
_DISCRETE = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")
METHODS = (*_CONTINUOUS, *_DISCRETE, "averaged_inverted_cdf", "midpoint")


def in_a_row(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return ``x`` with some axes joined into one, the last."""
    stay = tuple([i for i in range(x.ndim) if i not in axes])
    lengths = tuple([x.shape[i] for i in stay])
    joined = math.prod([x.shape[i] for i in axes])
    if stay + axes != tuple(range(x.ndim)):
        x = _permute(x, stay + axes)
    return _reshape(x, (*lengths, joined))


def _real(name: str, x: Any) -> Tensor:
    x = as_tensor(x)
    if x.dtype.kind == "c":
        raise DtypeError(f"{name}: x must be real, got {x.dtype}")
    return x


def _places(method: str, n: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the places below and above each quantile of ``n`` elements, and how far between."""
    weight: Tensor | None = None
    if method in _CONTINUOUS:
        alpha, beta = _CONTINUOUS[method]
        at = (n - 1) * q if method == "linear" else n * q + (alpha + q * (1 - alpha - beta) - 1)
        low = e.floor(at)
        high, weight = low + 1, at - low
    elif method in ("lower", "higher", "nearest", "midpoint"):
        at = (n - 1) * q
        low, high = e.floor(at), e.ceil(at)
        if method == "midpoint":
            weight = e.where(low == high, 0.0, e.zeros_like_slot(at) + 0.5)
        else:
            low = high = {"lower": low, "higher": high, "nearest": e.round(at)}[method]
    else:
        at = n * q - (1.5 if method == "closest_observation" else 1.0)
        low = e.floor(at)
        exact = at == low
        high = low + 1
        if method == "averaged_inverted_cdf":
            weight = e.where(exact, 0.5, e.zeros_like_slot(at) + 1.0)
        else:
            if method == "closest_observation":
                exact = e.logical_and(exact, e.remainder(low, 2.0) == 1)
            low = high = e.where(exact, low, high)
    last = e.maximum(n - 1, 0.0)
    low, high = [astype(e.minimum(e.maximum(p, 0.0), last), dtypes.int64) for p in (low, high)]
    return low, high, weight


def _between(low: Tensor, high: Tensor, weight: Tensor | None) -> Tensor:
    """Return what lies between two tensors, from the nearer one so that both ends are exact."""
    if weight is None:
        return low
    weight = astype(weight, low.dtype, copy=False)
    apart = high - low
    return e.where(weight >= 0.5, high - apart * (1 - weight), low + apart * weight)


def _quantile(name: str, x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip: bool,
              scale: float = 1.0) -> Tensor:  # fmt: skip
    x = _real(name, x)
    if method not in METHODS:
        known = ", ".join(map(repr, sorted(METHODS)))
        raise ArgumentError(f"{name}: method must be one of {known}, got {method!r}")
    points = asarray(q, dtype=dtypes.float64, device=x.device).detach() / scale
    if points.size and happens(e.logical_not(e.logical_and(points >= 0, points <= 1))):
        raise ArgumentError(f"{name}: q must lie in [0, {scale:g}], got {q}")
    if x.dtype.kind in "biu" and (method not in _DISCRETE or x.dtype.kind == "b"):
        x = astype(x, dtypes.float64)
    axes = normalize_axes(name, axis, x.ndim)
    ordered = sort(in_a_row(x, axes))
    length = ordered.shape[-1]
    if not length:
        raise ArgumentError(f"{name}: at least one element is needed, got shape {x.shape}")
    flat = _reshape(points, (points.size,))
    if skip and x.dtype in dtypes.inexact:
        count = astype(_sum(e.logical_not(e.isnan(ordered)), -1, keepdims=True), dtypes.float64)
        low, high, weight = _places(method, count, flat)
        out = _between(
            take_along_axis(ordered, low, -1), take_along_axis(ordered, high, -1), weight
        )
    else:
        low, high, weight = _places(method, full((), float(length), dtype=dtypes.float64,
                                                 device=x.device), flat)  # fmt: skip
        above = take(ordered, high, axis=-1) if weight is not None else ordered
        out = _between(take(ordered, low, axis=-1), above, weight)
        if x.dtype in dtypes.inexact:
            last = ordered[..., -1:]  # NaN sorts to the end
            out = e.where(e.isnan(last), last, out)
    shape = kept_shape(x.shape, axes) if keepdims else out.shape[:-1]
    return _reshape(moveaxis(out, -1, 0), (*points.shape, *shape))


def _spelled(name: str, axis: Any, method: str, keepdims: bool, spelling: dict[str, Any]) -> Any:
    """Return axis, method and keepdims, from PyTorch's names too."""
    axis = either_axis(name, axis, spelling.pop("dim", None))
    keepdims = keepdims or spelling.pop("keepdim", False)
    method = spelling.pop("interpolation", method)
    if spelling:
        raise ArgumentError(f"{name}: no such argument, got {next(iter(spelling))}=")
    return axis, method, keepdims


def quantile(
    x: Any,
    q: Any,
    /,
    axis: Any = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
    **spelling: Any,
) -> Tensor:
    """The values below which given parts of the elements lie.

    Parameters
    ----------
    x : Tensor
        Real, any shape.
    q : float, sequence or Tensor
        The parts, in [0, 1].
    axis : int or tuple of int, optional
        The axes to reduce; None means all.
    method : str
        What to give between two elements, as in NumPy: ``"linear"``, ``"lower"``, ``"higher"``,
        ``"midpoint"``, ``"nearest"``, ``"inverted_cdf"``, ``"averaged_inverted_cdf"``,
        ``"closest_observation"``, ``"interpolated_inverted_cdf"``, ``"hazen"``, ``"weibull"``,
        ``"median_unbiased"`` or ``"normal_unbiased"``.
    keepdims : bool
        Leave the reduced axes in place with length 1.

    Returns
    -------
    Tensor
        Of ``q``'s shape and then what is left of ``x``'s; in the dtype of a float ``x``. NaN where
        an element is NaN. PyTorch's ``dim``, ``keepdim`` and ``interpolation`` are taken too.

    Raises
    ------
    ArgumentError
        There are no elements, or ``q`` lies outside [0, 1].

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.quantile(tfl.tensor([1.0, 2.0, 4.0]), 0.75)
    tensor(3.)
    """
    axis, method, keepdims = _spelled("quantile", axis, method, keepdims, spelling)
    return _quantile("quantile", x, q, axis, method, keepdims, False)


def nanquantile(
    x: Any,
    q: Any,
    /,
    axis: Any = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
    **spelling: Any,
) -> Tensor:
    """The values below which given parts of the elements lie that aren't NaN.

    Parameters
    ----------
    x, q, axis, method, keepdims
        As in `quantile`.

    Returns
    -------
    Tensor
        NaN where all elements are.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.nanquantile(tfl.tensor([1.0, float("nan"), 3.0]), 0.5)
    tensor(2.)
    """
    axis, method, keepdims = _spelled("nanquantile", axis, method, keepdims, spelling)
    return _quantile("nanquantile", x, q, axis, method, keepdims, True)


def percentile(
    x: Any, q: Any, /, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """The values below which given percentages of the elements lie: `quantile` of ``q / 100``.

    Parameters
    ----------
    x, axis, method, keepdims
        As in `quantile`.
    q : float, sequence or Tensor
        The percentages, in [0, 100].

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.percentile(tfl.tensor([1.0, 2.0, 4.0]), 75)
    tensor(3.)
    """
    return _quantile("percentile", x, q, axis, method, keepdims, False, 100.0)


def nanpercentile(
    x: Any, q: Any, /, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """The values below which given percentages of the elements lie that aren't NaN.

    Parameters
    ----------
    x, axis, method, keepdims
        As in `nanquantile`.
    q : float, sequence or Tensor
        The percentages, in [0, 100].

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.nanpercentile(tfl.tensor([1.0, float("nan"), 3.0]), 50)
    tensor(2.)
    """
    return _quantile("nanpercentile", x, q, axis, method, keepdims, True, 100.0)


def median(x: Any, /, axis: Any = None, *, keepdims: bool = False, **spelling: Any) -> Tensor:
    """The middle element along axes; of an even number, the mean of the two in the middle.

    Parameters
    ----------
    x : Tensor
        Real, any shape.
    axis : int or tuple of int, optional
        The axes to reduce; None means all.
    keepdims : bool
        Leave the reduced axes in place with length 1.

    Returns
    -------
    Tensor
        float64 for integers. NaN where an element is NaN, or where there are none.

    Raises
    ------
    UnsupportedArgumentError
        PyTorch's ``dim`` is given: its median is the lower of two, and a pair.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.median(tfl.tensor([4.0, 1.0, 2.0, 3.0]))
    tensor(2.5)
    """
    if spelling:
        refuse("median", spelling, "axis= for the middle, or quantile(0.5, method='lower')")
    return _median("median", x, axis, keepdims, False)


def nanmedian(x: Any, /, axis: Any = None, *, keepdims: bool = False, **spelling: Any) -> Tensor:
    """The middle of the elements along axes that aren't NaN.

    Parameters
    ----------
    x, axis, keepdims
        As in `median`.

    Returns
    -------
    Tensor
        NaN where all elements are.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.nanmedian(tfl.tensor([1.0, float("nan"), 3.0]))
    tensor(2.)
    """
    if spelling:
        refuse("nanmedian", spelling, "axis= for the middle, or nanquantile(0.5, method='lower')")
    return _median("nanmedian", x, axis, keepdims, True)


def _median(name: str, x: Any, axis: Any, keepdims: bool, skip: bool) -> Tensor:
    x = _real(name, x)
    axes = normalize_axes(name, axis, x.ndim)
    if any(x.shape[one] == 0 for one in axes):
        left = [n for i, n in enumerate(x.shape) if i not in axes]
        shape = kept_shape(x.shape, axes) if keepdims else tuple(left)
        dtype = x.dtype if x.dtype in dtypes.inexact else dtypes.float64
        return full(shape, math.nan, dtype=dtype, device=x.device)
    # The mean of the middle ones is what lies halfway between them.
    return _quantile(name, x, 0.5, axis, "averaged_inverted_cdf", keepdims, skip)
