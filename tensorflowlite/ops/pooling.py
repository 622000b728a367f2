"""Pooling over any number of axes."""

from __future__ import annotations

import math
from typing import Any

from ..backend import dtypes
from ..backend.slots.windows import Lengths, Padding, out_length
from ..core.fused import fused
from ..core.tape import DEFER, defer
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from . import casting as _casting
from . import creation as _creation
from . import elementwise as _elementwise
from . import reduction as _reduction
from .arguments import as_tensor, public
from .conv import AXES, batched, lengths
from .declare import general
from .fused import LayerGradient, _conv_act, defer_to_activations
from .indexing import take, take_along_axis

_MAX = ("kernel", "stride", "padding", "dilation", "ceil")
_AVERAGE = ("kernel", "stride", "padding", "ceil", "padded", "divisor")


class PoolGradient(LayerGradient):
    """Stands for the gradient that the pooling of maxima gives its input."""

    __slots__ = ("g", "where", "shape", "window")
    axis = 1

    def __init__(self, g: Any, where: Any, shape: Any, window: tuple[Any, ...]) -> None:
        self.g, self.where, self.shape, self.window = g, where, shape, window

    def evaluate(self, k: Any) -> Any:
        return k.max_pool_scatter(self.g, self.where, self.shape, *self.window)

    def activated(self, k: Any, saved: Any, activation: str) -> Any:
        return k.pool_activation_gradient(self.g, self.where, saved, activation, *self.window)


def _max_rule(k, g, need, x_shape, residual, kernel, stride, padding, dilation, ceil):
    gradient = PoolGradient(g, residual, x_shape, (kernel, stride, padding, dilation, ceil))
    return gradient if need[0] is DEFER else gradient.evaluate(k)


def _scatter_rule(k, g, where, kernel, stride, padding, dilation, ceil):
    return k.max_pool_gather(g, where, kernel, stride, padding, dilation, ceil)


def _gather_rule(k, g, where, x_shape, kernel, stride, padding, dilation, ceil):
    return k.max_pool_scatter(g, where, x_shape, kernel, stride, padding, dilation, ceil)


_max_pool = general(
    "max_pool",
    ("x",),
    (_max_rule,),
    "The maximum of each window; ``keep`` its place as well, which the gradient needs.",
    attributes=(*_MAX, "keep"),
    keeps_residual=True,
)
_max_pool_places = general(
    "max_pool_places",
    ("x", "y"),
    None,
    "Which place of each window holds its maximum ``y``: the first where several do.",
    attributes=_MAX,
)
_max_pool_scatter = general(
    "max_pool_scatter",
    ("y", "where"),
    (_scatter_rule, None),
    "Zeros of ``shape`` with ``y`` added at the chosen place of each window.",
    attributes=("shape", *_MAX),
)
def _pool_activation_gradient(
    k: Any, y: Any, where: Any, saved: Any, activation: str, *window: Any
) -> Any:
    g = k.max_pool_scatter(y, where, saved.shape, *window)
    return k.bias_activation_gradient(g, saved, activation, 1)


pool_activation_gradient = fused(
    "pool_activation_gradient",
    ("y", "where", "saved"),
    _pool_activation_gradient,
    attributes=("activation", *_MAX),
    outputs=2,
    doc="`bias_activation_gradient` of `max_pool_scatter`: of a convolution before a pooling.",
)
_max_pool_gather = general(
    "max_pool_gather",
    ("x", "where"),
    (_gather_rule, None),
    "The values of ``x`` at the chosen place of each window.",
    attributes=_MAX,
)
_avg_pool = general(
    "avg_pool",
    ("x",),
    (
        lambda k, g, x_shape, kernel, stride, padding, ceil, padded, divisor: k.avg_pool_gradient(
            g, x_shape, kernel, stride, padding, ceil, padded, divisor
        ),
    ),
    "The mean of each window.",
    attributes=_AVERAGE,
)
_avg_pool_gradient = general(
    "avg_pool_gradient",
    ("y",),
    (
        lambda k, g, kernel, stride, padding, ceil, padded, divisor: k.avg_pool(
            g, kernel, stride, padding, ceil, padded, divisor
        ),
    ),
    "The gradient ``y`` of `avg_pool2d`'s output, taken to its images of ``shape``.",
    attributes=("shape", *_AVERAGE),
)


defer(_max_pool.primitive, _conv_act.primitive)
defer_to_activations(_max_pool.primitive)


def _geometry(name: str, x: Tensor, axes: int, kernel_size: Any, stride: Any, padding: Any,
              dilation: Any, ceil: bool) -> tuple[Lengths, Lengths, Padding, Lengths]:  # fmt: skip
    """Return kernel, stride, padding and dilation per axis, or say what is wrong."""
    kernel = lengths(name, "kernel_size", kernel_size, 1, axes)
    given = stride is not None and stride != ()
    steps = lengths(name, "stride", stride, 1, axes) if given else kernel
    pads = lengths(name, "padding", padding, 0, axes)
    gaps = lengths(name, "dilation", dilation, 1, axes)
    for a in range(axes):
        if pads[a] > kernel[a] // 2:
            raise ArgumentError(
                f"{name}: padding must be at most half of kernel_size, got padding {pads} with "
                f"kernel_size {kernel}"
            )
        both = pads[a], pads[a]
        if out_length(x.shape[2 + a], kernel[a], steps[a], both, gaps[a], ceil) < 1:
            raise ShapeError(
                f"{name}: the window must fit in the padded image, got x {x.shape} with "
                f"kernel_size {kernel}, padding {pads} and dilation {gaps}"
            )
    return kernel, steps, tuple([(n, n) for n in pads]), gaps


def _one_of(outputs: Any, alone: bool) -> Any:
    """Return outputs of a batch, or of its one image."""
    if not alone:
        return outputs
    return tuple([one[0] for one in outputs]) if type(outputs) is tuple else outputs[0]


# -- maximum ---------------------------------------------------------------------------------------
def _indices(where: Tensor, size: Lengths, kernel: Lengths, stride: Lengths, padding: Padding,
             dilation: Lengths) -> Tensor:  # fmt: skip
    """Return the place in the flattened image that each window's chosen element has."""
    places = _casting.astype(where, dtypes.int64)
    flat: Any = 0
    factor = 1
    for a in reversed(range(len(size))):
        starts = _creation.arange(where.shape[2 + a], device=where.device) * stride[a]
        starts = starts - padding[a][0]
        starts = starts.reshape((-1,) + (1,) * (len(size) - 1 - a))
        flat = flat + (starts + places % kernel[a] * dilation[a]) * factor
        places, factor = places // kernel[a], factor * size[a]
    return flat


def _maximum(axes: int) -> Any:
    name = f"max_pool{axes}d"

    def run(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
            ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
        x, alone = batched(name, as_tensor(input), axes)
        geometry = _geometry(name, x, axes, kernel_size, stride, padding, dilation, ceil_mode)
        out = _max_pool(x, *geometry, bool(ceil_mode), x.node is not None)
        if not return_indices:
            return _one_of(out, alone)
        where = _max_pool_places(x, out, *geometry, bool(ceil_mode))
        return _one_of((out, _indices(where, x.shape[2:], *geometry)), alone)

    run.__doc__ = f"""Return the maximum of each window of an image.

    Parameters
    ----------
    input : Tensor, shape (images, channels, {AXES[axes]})
        Or one image alone, without the first axis.
    kernel_size : int or one per axis
        The window.
    stride : int or one per axis, optional
        The step between windows; by default the window's own size.
    padding : int or one per axis
        How far windows may begin before the image, and end behind it; at most half a window.
    dilation : int or one per axis
        The step between places inside the window.
    ceil_mode : bool
        Also take windows that hang over the far edge.
    return_indices : bool
        Also return where in the flattened image each maximum stands, int64.

    Returns
    -------
    Tensor, shape (images, channels, {AXES[axes]})
        With ``return_indices`` a tuple of two.

    Raises
    ------
    ShapeError
        ``x`` isn't a batch of images, or the window doesn't fit.

    Notes
    -----
    Where several places hold the maximum, the gradient goes to the first one.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.{name}(tfl.arange({2.0**axes}).reshape((1, 1) + (2,) * {axes}), 2).item()
    {2.0**axes - 1}
    """
    return public(name, run, primitive=_max_pool.primitive)


max_pool1d, max_pool2d, max_pool3d = map(_maximum, (1, 2, 3))


# -- mean ------------------------------------------------------------------------------------------
def _average(axes: int) -> Any:
    name = f"avg_pool{axes}d"

    def pooled(input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
               count_include_pad: bool, divisor: Any) -> Tensor:  # fmt: skip
        x, alone = batched(name, as_tensor(input), axes)
        if divisor is not None and (not isinstance(divisor, int) or divisor == 0):
            raise ArgumentError(f"{name}: divisor_override must not be zero, got {divisor!r}")
        kernel, steps, pads, _ = _geometry(
            name, x, axes, kernel_size, stride, padding, 1, ceil_mode
        )
        out = _avg_pool(x, kernel, steps, pads, bool(ceil_mode), bool(count_include_pad), divisor)
        return _one_of(out, alone)

    run: Any
    if axes == 1:

        def run(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
                ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:  # fmt: skip
            return pooled(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)

    else:

        def run(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
                ceil_mode: bool = False, count_include_pad: bool = True,
                divisor_override: int | None = None) -> Tensor:  # fmt: skip
            return pooled(input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                          divisor_override)  # fmt: skip

    other = """
    divisor_override : int, optional
        What sums are divided by, instead of the number of places.""" * (axes > 1)
    run.__doc__ = f"""Return the mean of each window of an image.

    Parameters
    ----------
    input : Tensor, shape (images, channels, {AXES[axes]})
        Or one image alone, without the first axis.
    kernel_size, stride, padding, ceil_mode
        As in `max_pool{axes}d`; the padding holds zeros.
    count_include_pad : bool
        Whether the padding counts in the mean.{other}

    Returns
    -------
    Tensor, shape (images, channels, {AXES[axes]})

    Raises
    ------
    ShapeError
        ``x`` isn't a batch of images, or the window doesn't fit.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.{name}(tfl.arange({2.0**axes}).reshape((1, 1) + (2,) * {axes}), 2).item()
    {(2.0**axes - 1) / 2}
    """
    return public(name, run, primitive=_avg_pool.primitive)


avg_pool1d, avg_pool2d, avg_pool3d = map(_average, (1, 2, 3))


# -- windows that adapt to the size of the output --------------------------------------------------
def _sizes(name: str, x: Tensor, output_size: Any, axes: int) -> Lengths:
    """Return the output's lengths; None keeps the input's."""
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * axes
    if len(given) != axes:
        raise ArgumentError(f"{name}: output_size must have {axes} lengths, got {output_size!r}")
    whole = [x.shape[2 + a] if n is None else n for a, n in enumerate(given)]
    sizes = lengths(name, "output_size", tuple(whole), 1, axes)
    if 0 in x.shape[2:]:
        raise ShapeError(f"{name}: x must not be empty, got x {x.shape}")
    return sizes


def _starts_and_ends(size: int, count: int) -> list[tuple[int, int]]:
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _even(size: Lengths, count: Lengths) -> bool:
    return not any(n % m for n, m in zip(size, count, strict=True))


def _adaptive_average(axes: int) -> Any:
    name = f"adaptive_avg_pool{axes}d"

    def run(input: Any, output_size: Any) -> Tensor:
        x, alone = batched(name, as_tensor(input), axes)
        count = _sizes(name, x, output_size, axes)
        size = x.shape[2:]
        if _even(size, count):
            kernel = tuple([n // m for n, m in zip(size, count, strict=True)])
            pads = ((0, 0),) * axes
            return _one_of(_avg_pool(x, kernel, kernel, pads, False, True, None), alone)
        for a in range(axes):  # the mean over a box is the mean of means along its axes
            x = _means(x, 2 + a, _starts_and_ends(size[a], count[a]))
        return _one_of(x, alone)

    run.__doc__ = _adaptive_doc("mean", name, axes, f"{(2.0**axes - 1) / 2}", "")
    return public(name, run)


def _means(x: Tensor, axis: int, windows: list[tuple[int, int]]) -> Tensor:
    """Return the means over windows along an axis, gathered: windows differ by one at most."""
    longest = max([end - start for start, end in windows])
    places = [[min(start + i, end - 1) for i in range(longest)] for start, end in windows]
    weights = [[float(start + i < end) / (end - start) for i in range(longest)]
               for start, end in windows]  # fmt: skip
    total: Any = 0
    tail = (1,) * (x.ndim - axis - 1)
    for i in range(longest):
        index = _creation.asarray([row[i] for row in places], device=x.device)
        weight = _creation.asarray([row[i] for row in weights], dtype=x.dtype, device=x.device)
        total = total + take(x, index, axis=axis) * weight.reshape((-1, *tail))
    return total


def _adaptive_maximum(axes: int) -> Any:
    name = f"adaptive_max_pool{axes}d"

    def run(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        x, alone = batched(name, as_tensor(input), axes)
        count = _sizes(name, x, output_size, axes)
        size = x.shape[2:]
        if _even(size, count) and not return_indices:
            kernel = tuple([n // m for n, m in zip(size, count, strict=True)])
            geometry = (kernel, kernel, ((0, 0),) * axes, (1,) * axes, False)
            return _one_of(_max_pool(x, *geometry, x.node is not None), alone)
        index = _window_places(size, count)
        flat = x.reshape(*x.shape[:2], math.prod(size))
        places = _creation.asarray(index, device=x.device)
        windows = take(flat, places.reshape(-1), axis=2)
        windows = windows.reshape(*x.shape[:2], *places.shape)
        best = _reduction.argmax(windows, axis=-1, keepdims=True)
        out = take_along_axis(windows, best, axis=-1).reshape(*x.shape[:2], *count)
        if not return_indices:
            return _one_of(out, alone)
        every = _elementwise.where(best >= 0, places, 0)
        where = take_along_axis(every, best, axis=-1).reshape(*x.shape[:2], *count)
        return _one_of((out, where), alone)

    indices = """
    return_indices : bool
        Also return where in the flattened image each maximum stands, int64."""
    run.__doc__ = _adaptive_doc("maximum", name, axes, f"{2.0**axes - 1}", indices)
    return public(name, run)


def _window_places(size: Lengths, count: Lengths) -> list[list[int]]:
    """Return the flat places under each window; the last one repeats where others have more."""
    windows: list[list[int]] = [[0]]
    for length, number in zip(size, count, strict=True):
        spans = [range(start, end) for start, end in _starts_and_ends(length, number)]
        windows = [[p * length + i for p in window for i in span]
                   for window in windows for span in spans]  # fmt: skip
    longest = max(map(len, windows))
    return [window + window[-1:] * (longest - len(window)) for window in windows]


def _adaptive_doc(what: str, name: str, axes: int, shown: str, more: str) -> str:
    return f"""Return the {what} of windows chosen so that the output has a given size.

    Parameters
    ----------
    input : Tensor, shape (images, channels, {AXES[axes]})
        Or one image alone, without the first axis.
    output_size : int or one per axis
        The output's size; None keeps the input's.{more}

    Returns
    -------
    Tensor, shape (images, channels, *output_size)

    Raises
    ------
    ShapeError
        ``x`` isn't a batch of images, or is empty.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.{name}(tfl.arange({2.0**axes}).reshape((1, 1) + (2,) * {axes}), 1).item()
    {shown}
    """


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = map(_adaptive_average, (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = map(_adaptive_maximum, (1, 2, 3))
