"""Two-dimensional pooling."""

from __future__ import annotations

from typing import Any

from ..backend.windows import Padding, Pair, out_length
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from .conv import pair
from .declare import general
from .reduction import as_tensor

_MAX = ("kernel", "stride", "padding", "dilation", "ceil")
_AVERAGE = ("kernel", "stride", "padding", "ceil", "padded")


def _max_rule(k, g, x, out, kernel, stride, padding, dilation, ceil):
    geometry = (kernel, stride, padding, dilation, ceil)
    where = k.max_pool2d_places(x, out, *geometry)
    return k.max_pool2d_scatter(g, where, x.shape, *geometry)


def _scatter_rule(k, g, where, kernel, stride, padding, dilation, ceil):
    return k.max_pool2d_gather(g, where, kernel, stride, padding, dilation, ceil)


def _gather_rule(k, g, where, x_shape, kernel, stride, padding, dilation, ceil):
    return k.max_pool2d_scatter(g, where, x_shape, kernel, stride, padding, dilation, ceil)


_max_pool2d = general(
    "max_pool2d", ("x",), (_max_rule,), "The maximum of each window.", attributes=_MAX
)
_max_pool2d_places = general(
    "max_pool2d_places",
    ("x", "y"),
    None,
    "Which place of each window holds its maximum ``y``: the first where several do.",
    attributes=_MAX,
)
_max_pool2d_scatter = general(
    "max_pool2d_scatter",
    ("y", "where"),
    (_scatter_rule, None),
    "Zeros of ``shape`` with ``y`` added at the chosen place of each window.",
    attributes=("shape", *_MAX),
)
_max_pool2d_gather = general(
    "max_pool2d_gather",
    ("x", "where"),
    (_gather_rule, None),
    "The values of ``x`` at the chosen place of each window.",
    attributes=_MAX,
)
_avg_pool2d = general(
    "avg_pool2d",
    ("x",),
    (
        lambda k, g, x_shape, kernel, stride, padding, ceil, padded: k.avg_pool2d_gradient(
            g, x_shape, kernel, stride, padding, ceil, padded
        ),
    ),
    "The mean of each window.",
    attributes=_AVERAGE,
)
_avg_pool2d_gradient = general(
    "avg_pool2d_gradient",
    ("y",),
    (
        lambda k, g, kernel, stride, padding, ceil, padded: k.avg_pool2d(
            g, kernel, stride, padding, ceil, padded
        ),
    ),
    "The gradient ``y`` of `avg_pool2d`'s output, taken to its images of ``shape``.",
    attributes=("shape", *_AVERAGE),
)


def _geometry(name: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
              ceil: bool) -> tuple[Pair, Pair, Padding, Pair]:  # fmt: skip
    """Return kernel, stride, padding and dilation as pairs, or say what is wrong."""
    if x.ndim != 4:
        raise ShapeError(
            f"{name}: x must be (images, channels, height, width), got x {x.array.shape}"
        )
    kernel = pair(name, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else pair(name, "stride", stride, 1)
    pads = pair(name, "padding", padding, 0)
    gaps = pair(name, "dilation", dilation, 1)
    both = (pads[0], pads[0]), (pads[1], pads[1])
    for a in (0, 1):
        if pads[a] > kernel[a] // 2:
            raise ArgumentError(
                f"{name}: padding must be at most half of kernel_size, got padding {pads} with "
                f"kernel_size {kernel}"
            )
        if out_length(x.array.shape[2 + a], kernel[a], steps[a], both[a], gaps[a], ceil) < 1:
            raise ShapeError(
                f"{name}: the window must fit in the padded image, got x {x.array.shape} with "
                f"kernel_size {kernel}, padding {pads} and dilation {gaps}"
            )
    return kernel, steps, both, gaps


def max_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False) -> Tensor:  # fmt: skip
    """Return the maximum of each window of an image.

    Parameters
    ----------
    x : Tensor, shape (images, channels, height, width)
    kernel_size : int or (int, int)
        The window.
    stride : int or (int, int), optional
        The step between windows; by default the window's own size.
    padding : int or (int, int)
        How far windows may begin before the image, and end behind it; at most half a window.
    dilation : int or (int, int)
        The step between places inside the window.
    ceil_mode : bool
        Also take windows that hang over the far edge.

    Returns
    -------
    Tensor, shape (images, channels, out_height, out_width)

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
    >>> from tensorflowlite.ops.pooling import max_pool2d
    >>> max_pool2d(tfl.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2)
    tensor([[[[4.]]]])
    """
    x = as_tensor(x)
    geometry = _geometry("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool2d(x, *geometry, bool(ceil_mode))


def avg_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:  # fmt: skip
    """Return the mean of each window of an image.

    Parameters
    ----------
    x : Tensor, shape (images, channels, height, width)
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`; the padding holds zeros.
    count_include_pad : bool
        Whether the padding counts in the mean.

    Returns
    -------
    Tensor, shape (images, channels, out_height, out_width)

    Raises
    ------
    ShapeError
        ``x`` isn't a batch of images, or the window doesn't fit.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.pooling import avg_pool2d
    >>> avg_pool2d(tfl.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2)
    tensor([[[[2.5]]]])
    """
    x = as_tensor(x)
    kernel, steps, pads, _ = _geometry("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool2d(x, kernel, steps, pads, bool(ceil_mode), bool(count_include_pad))


max_pool2d.primitive = _max_pool2d.primitive  # type: ignore[attr-defined]
avg_pool2d.primitive = _avg_pool2d.primitive  # type: ignore[attr-defined]
