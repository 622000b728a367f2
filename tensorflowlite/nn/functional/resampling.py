"""Images at other sizes: interpolation, shuffling between channels and places, padding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...core.tensor import Tensor
from ...errors import ArgumentError, DtypeError, ShapeError
from ...ops.creation import asarray
from ...ops.indexing import take
from ...ops.padding import pad as _pad
from ...ops.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

_AXES_OF = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3),
    "linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,),
}  # fmt: skip
_ADAPTIVE = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
_MODES = {
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}
# For each output along an axis, what it reads: places and weights, one list per tap.
Taps = list[tuple[list[int], list[float]]]


# -- interpolation ---------------------------------------------------------------------------------
def interpolate(
    input: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Return images at another size.

    Parameters
    ----------
    input : Tensor, shape (images, channels, *size)
        One to three axes of size.
    size : int or one per axis, optional
        The size of the output.
    scale_factor : float or one per axis, optional
        The output's size over the input's; one of the two is needed.
    mode : str
        ``"nearest"``, ``"nearest-exact"``, ``"area"`` (the mean of what falls together), and
        ``"linear"``, ``"bilinear"``, ``"trilinear"`` by the number of axes, or ``"bicubic"``.
    align_corners : bool, optional
        Whether the corners' centres fall together, rather than the images' edges; for the linear
        and cubic modes.
    recompute_scale_factor : bool, optional
        Whether to read places by the ratio of the sizes, rather than by the given scale factor.
    antialias : bool
        False: what is skipped when an image shrinks isn't averaged.

    Returns
    -------
    Tensor, shape (images, channels, *output_size)

    Raises
    ------
    ArgumentError
        A mode that isn't for so many axes, or not one of ``size`` and ``scale_factor``.

    Notes
    -----
    The cubic kernel is Keys' with a = -0.75 (1981, "Cubic convolution interpolation for digital
    image processing").

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.interpolate(tfl.tensor([[[1.0, 2.0]]]), size=4, mode="linear", align_corners=False)
    tensor([[[1.  , 1.25, 1.75, 2.  ]]])
    """
    axes = input.ndim - 2
    if axes not in (1, 2, 3):
        raise ShapeError(
            f"interpolate: input must have one to three axes of size, got {input.shape}"
        )
    if mode not in _AXES_OF or axes not in _AXES_OF[mode]:
        raise ArgumentError(
            f"interpolate: mode must be one for {axes} axes of size "
            f"({', '.join(m for m, n in _AXES_OF.items() if axes in n)}), got {mode!r}"
        )
    if antialias:
        raise ArgumentError("interpolate: antialias must be False, got True; use mode='area'")
    smooth = mode in ("linear", "bilinear", "bicubic", "trilinear")
    if align_corners is not None and not smooth:
        raise ArgumentError(
            f"interpolate: align_corners is for linear and cubic modes, got mode {mode!r}"
        )
    lengths, scales = _output_size(input, axes, size, scale_factor, recompute_scale_factor)
    if min(lengths) < 1 or 0 in input.shape[2:]:
        raise ShapeError(
            f"interpolate: sizes must be at least 1, got input {input.shape} and output {lengths}"
        )
    if mode == "area":
        return _ADAPTIVE[axes](input, lengths)
    if input.dtype.kind not in "fV" and smooth:
        raise DtypeError(f"interpolate: a float dtype is needed for {mode!r}, got {input.dtype}")
    corners = bool(align_corners)
    for a in range(axes):
        taps = _taps(mode, input.shape[2 + a], lengths[a], scales[a], corners)
        input = _resample(input, 2 + a, taps)
    return input


def _output_size(
    input: Tensor, axes: int, size: Any, factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], list[float | None]]:
    """Return the output's lengths, and the given scales (None: by the ratio of the sizes)."""
    if (size is None) == (factor is None):
        got = "none" if size is None else "both"
        raise ArgumentError(f"interpolate: one of size and scale_factor is needed, got {got}")
    given = size if size is not None else factor
    every = tuple(given) if isinstance(given, tuple | list) else (given,) * axes
    if len(every) != axes:
        what = "size" if size is not None else "scale_factor"
        raise ArgumentError(f"interpolate: {what} must be one or {axes} numbers, got {given!r}")
    if size is not None:
        if recompute:
            raise ArgumentError("interpolate: recompute_scale_factor needs scale_factor, got size")
        return tuple([int(n) for n in every]), [None] * axes
    lengths = tuple([math.floor(input.shape[2 + a] * float(every[a])) for a in range(axes)])
    return lengths, [None] * axes if recompute else [float(one) for one in every]


def _taps(mode: str, length: int, count: int, scale: float | None, corners: bool) -> Taps:
    """Return what each output along an axis reads."""
    step = length / count if scale is None else 1 / scale
    if mode.startswith("nearest"):
        shift = 0.5 if mode == "nearest-exact" else 0.0
        places = [min(math.floor((i + shift) * step), length - 1) for i in range(count)]
        return [(places, [1.0] * count)]
    if corners:
        step = (length - 1) / (count - 1) if count > 1 else 0.0
        centres = [i * step for i in range(count)]
    else:
        centres = [(i + 0.5) * step - 0.5 for i in range(count)]
    if mode == "bicubic":
        return _cubic(centres, length)
    centres = [max(one, 0.0) for one in centres]
    below = [min(math.floor(one), length - 1) for one in centres]
    above = [min(place + 1, length - 1) for place in below]
    shares = [one - place for one, place in zip(centres, below, strict=True)]
    return [(below, [1 - share for share in shares]), (above, shares)]


def _cubic(centres: list[float], length: int) -> Taps:
    near: Callable[[float], float] = lambda t: (1.25 * t - 2.25) * t * t + 1  # noqa: E731
    far: Callable[[float], float] = lambda t: ((-0.75 * t + 3.75) * t - 6) * t + 3  # noqa: E731
    first = [math.floor(one) for one in centres]
    shares = [one - place for one, place in zip(centres, first, strict=True)]
    found = []
    for shift, weight in (
        (-1, lambda t: far(1 + t)),
        (0, near),
        (1, lambda t: near(1 - t)),
        (2, lambda t: far(2 - t)),
    ):
        places = [min(max(place + shift, 0), length - 1) for place in first]
        found.append((places, [weight(share) for share in shares]))
    return found


def _resample(x: Tensor, axis: int, taps: Taps) -> Tensor:
    total: Any = None
    tail = (1,) * (x.ndim - axis - 1)
    for places, weights in taps:
        part = take(x, asarray(places, device=x.device), axis=axis)
        if weights != [1.0] * len(weights):
            scale = asarray(weights, dtype=x.dtype, device=x.device)
            part = part * scale.reshape((-1, *tail))
        total = part if total is None else total + part
    return total


# -- between channels and places -------------------------------------------------------------------
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Spread channels over places: (..., C * r², H, W) becomes (..., C, H * r, W * r).

    Parameters
    ----------
    input : Tensor, shape (..., channels * upscale_factor ** 2, height, width)
    upscale_factor : int
        The factor r.

    Returns
    -------
    Tensor, shape (..., channels, height * upscale_factor, width * upscale_factor)

    Raises
    ------
    ShapeError
        The channels can't be divided so.

    Notes
    -----
    Shi et al. 2016, "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network".

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.pixel_shuffle(tfl.arange(4.0).reshape(1, 4, 1, 1), 2)
    tensor([[[[0., 1.],
              [2., 3.]]]])
    """
    factor = _factor("pixel_shuffle", "upscale_factor", upscale_factor)
    if input.ndim < 3 or input.shape[-3] % (factor * factor):
        raise ShapeError(
            f"pixel_shuffle: input must have a multiple of {factor * factor} channels, got "
            f"{input.shape}"
        )
    *lead, channels, height, width = input.shape
    n = len(lead)
    apart = input.reshape(*lead, channels // factor**2, factor, factor, height, width)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return apart.permute_dims(order).reshape(
        *lead, channels // factor**2, height * factor, width * factor
    )


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Gather places into channels: the inverse of `pixel_shuffle`.

    Parameters
    ----------
    input : Tensor, shape (..., channels, height * downscale_factor, width * downscale_factor)
    downscale_factor : int
        The factor r.

    Returns
    -------
    Tensor, shape (..., channels * downscale_factor ** 2, height, width)

    Raises
    ------
    ShapeError
        Height or width can't be divided so.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.pixel_unshuffle(tfl.arange(4.0).reshape(1, 1, 2, 2), 2).shape
    (1, 4, 1, 1)
    """
    factor = _factor("pixel_unshuffle", "downscale_factor", downscale_factor)
    if input.ndim < 3 or input.shape[-2] % factor or input.shape[-1] % factor:
        raise ShapeError(
            f"pixel_unshuffle: height and width must be multiples of {factor}, got {input.shape}"
        )
    *lead, channels, height, width = input.shape
    n = len(lead)
    apart = input.reshape(*lead, channels, height // factor, factor, width // factor, factor)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return apart.permute_dims(order).reshape(
        *lead, channels * factor**2, height // factor, width // factor
    )


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Deal the channels out again: the first of each group, then the second of each.

    Parameters
    ----------
    input : Tensor, shape (images, channels, ...)
    groups : int
        Into how many groups the channels fall.

    Returns
    -------
    Tensor
        Of the shape of ``input``.

    Raises
    ------
    ShapeError
        The channels can't be divided so.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.channel_shuffle(tfl.arange(4.0).reshape(1, 4, 1), 2).reshape(4)
    tensor([0., 2., 1., 3.])
    """
    number = _factor("channel_shuffle", "groups", groups)
    if input.ndim < 3 or input.shape[1] % number:
        raise ShapeError(
            f"channel_shuffle: input must have a multiple of {number} channels, got {input.shape}"
        )
    images, channels, *size = input.shape
    apart = input.reshape(images, number, channels // number, *size)
    return apart.swapaxes(1, 2).reshape(input.shape)


def _factor(name: str, what: str, value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{name}: {what} must be an integer of at least 1, got {value!r}")
    return value


# -- padding ---------------------------------------------------------------------------------------
def pad(
    input: Tensor, pad: tuple[int, ...], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Put elements around a tensor, or take them away; the last axis comes first.

    Parameters
    ----------
    input : Tensor
        Any shape.
    pad : tuple of int
        How many elements before and behind the last axis, then the last but one, and so on;
        negative ones are taken away.
    mode : str
        ``"constant"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
    value : float, optional
        What the constant padding holds; 0 by default.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        An unknown mode, or a number of elements that has no meaning.
    ShapeError
        More is to be padded or taken away than an axis has.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.pad(tfl.tensor([[1.0, 2.0]]), (1, 2))
    tensor([[0., 1., 2., 0., 0.]])
    """
    if mode not in _MODES:
        raise ArgumentError(f"pad: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    if value is not None and mode != "constant":
        raise ArgumentError(f"pad: value is for mode 'constant', got mode {mode!r}")
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ArgumentError(
            f"pad: pad must hold two numbers for each of at most {input.ndim} axes, got {pad}"
        )
    pairs = [(0, 0)] * (input.ndim - len(pad) // 2)
    pairs += [(pad[i], pad[i + 1]) for i in reversed(range(0, len(pad), 2))]
    for (before, behind), length in zip(pairs, input.shape, strict=True):
        most = {"reflect": length - 1, "circular": length}.get(mode, math.inf)
        if length + before + behind < 0 or max(before, behind, 0) > max(most, 0):
            raise ShapeError(
                f"pad: an axis of length {length} can't be padded by {(before, behind)} with mode "
                f"{mode!r}, got input {input.shape}"
            )
    if any(n < 0 for one in pairs for n in one):
        kept = tuple([
            slice(max(-before, 0), length - max(-behind, 0))
            for (before, behind), length in zip(pairs, input.shape, strict=True)
        ])  # fmt: skip
        input = input[kept]
        pairs = [(max(before, 0), max(behind, 0)) for before, behind in pairs]
    if not any(n for one in pairs for n in one):
        return input.clone()
    if mode == "constant":
        return _pad(input, pairs, constant_values=0 if value is None else value)
    return _pad(input, pairs, mode=_MODES[mode])
