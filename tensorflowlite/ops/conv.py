"""Convolution. Its two gradients are operations of their own: each is linear in both its inputs."""

from __future__ import annotations

from typing import Any

from ..backend.windows import Padding, Pair, out_length
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from .declare import general
from .reduction import as_tensor

_GEOMETRY = ("stride", "padding", "dilation", "groups")

_conv2d = general(
    "conv2d",
    ("x", "weight"),
    (
        lambda k, g, weight, x_shape, stride, padding, dilation, groups: k.conv2d_input_gradient(
            g, weight, x_shape, stride, padding, dilation, groups
        ),
        lambda k, g, x, weight_shape, stride, padding, dilation, groups: k.conv2d_weight_gradient(
            g, x, weight_shape, stride, padding, dilation, groups
        ),
    ),
    "Correlation of the images ``x`` with the kernels ``weight``.",
    attributes=_GEOMETRY,
)
_conv2d_input_gradient = general(
    "conv2d_input_gradient",
    ("y", "weight"),
    (
        lambda k, g, weight, stride, padding, dilation, groups: k.conv2d(
            g, weight, stride, padding, dilation, groups
        ),
        lambda k, g, y, weight_shape, stride, padding, dilation, groups: k.conv2d_weight_gradient(
            y, g, weight_shape, stride, padding, dilation, groups
        ),
    ),
    "The gradient ``y`` of a convolution's output, taken to its images of ``shape``.",
    attributes=("shape", *_GEOMETRY),
)
_conv2d_weight_gradient = general(
    "conv2d_weight_gradient",
    ("y", "x"),
    (
        lambda k, g, x, stride, padding, dilation, groups: k.conv2d(
            x, g, stride, padding, dilation, groups
        ),
        lambda k, g, y, x_shape, stride, padding, dilation, groups: k.conv2d_input_gradient(
            y, g, x_shape, stride, padding, dilation, groups
        ),
    ),
    "The gradient ``y`` of a convolution's output, taken to its kernels of ``shape``.",
    attributes=("shape", *_GEOMETRY),
)


def pair(name: str, what: str, value: Any, least: int) -> Pair:
    """Return an integer, or two, as two; raise for what is less than ``least``."""
    both = value if isinstance(value, tuple | list) else (value, value)
    try:
        found = tuple([n.__index__() for n in both])
    except AttributeError:
        found = ()
    if len(found) != 2 or min(found) < least:
        raise ArgumentError(
            f"{name}: {what} must be an integer of at least {least}, or two of them, got {value!r}"
        )
    return found


def _padding(value: Any, kernel: Pair, stride: Pair, dilation: Pair) -> Padding:
    if value == "valid":
        return (0, 0), (0, 0)
    if value == "same":
        if stride != (1, 1):
            raise ArgumentError(f"conv2d: padding 'same' needs stride 1, got stride {stride}")
        whole = [dilation[a] * (kernel[a] - 1) for a in (0, 1)]
        return (whole[0] // 2, whole[0] - whole[0] // 2), (whole[1] // 2, whole[1] - whole[1] // 2)
    if isinstance(value, str):
        raise ArgumentError(
            f"conv2d: padding must be 'same', 'valid', an integer or two, got {value!r}"
        )
    rows, columns = pair("conv2d", "padding", value, 0)
    return (rows, rows), (columns, columns)


def convolution_geometry(
    x_shape: tuple[int, ...], weight_shape: tuple[int, ...], bias_shape: tuple[int, ...] | None,
    stride: Any, padding: Any, dilation: Any, groups: int,
) -> tuple[Pair, Padding, Pair, int]:  # fmt: skip
    """Return stride, padding, dilation and groups as the slots take them, or say what is wrong."""
    if len(x_shape) != 4 or len(weight_shape) != 4:
        raise ShapeError(
            "conv2d: x must be (images, channels, height, width) and weight (out_channels, "
            f"channels / groups, height, width), got x {x_shape} and weight {weight_shape}"
        )
    outputs, within = weight_shape[:2]
    kernel = weight_shape[2:]
    if not isinstance(groups, int) or groups < 1 or outputs % groups:
        raise ArgumentError(
            f"conv2d: groups must divide out_channels={outputs}, got groups={groups!r}"
        )
    if x_shape[1] != within * groups:
        raise ShapeError(
            f"conv2d: x must have {within * groups} channels, got x {x_shape} with weight "
            f"{weight_shape} and groups={groups}"
        )
    if bias_shape is not None and bias_shape != (outputs,):
        raise ShapeError(f"conv2d: the bias must have shape ({outputs},), got {bias_shape}")
    stride = pair("conv2d", "stride", stride, 1)
    dilation = pair("conv2d", "dilation", dilation, 1)
    padding = _padding(padding, kernel, stride, dilation)
    for a in (0, 1):
        if out_length(x_shape[2 + a], kernel[a], stride[a], padding[a], dilation[a]) < 1:
            raise ShapeError(
                f"conv2d: the kernel must fit in the padded image, got x {x_shape}, weight "
                f"{weight_shape}, padding {padding} and dilation {dilation}"
            )
    return stride, padding, dilation, groups


def conv2d(x: Any, weight: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Tensor:  # fmt: skip
    """Correlate images with kernels: what networks call a convolution.

    Parameters
    ----------
    x : Tensor, shape (images, channels, height, width)
    weight : Tensor, shape (out_channels, channels / groups, kernel_height, kernel_width)
    stride, dilation : int or (int, int)
        Steps between windows, and between the places inside a window.
    padding : int, (int, int), 'same' or 'valid'
        Zeros on both sides of height and width; 'same' keeps the size (stride 1 only).
    groups : int
        Into how many groups the channels fall that don't see each other.

    Returns
    -------
    Tensor, shape (images, out_channels, out_height, out_width)

    Raises
    ------
    ShapeError
        The channels don't match, or the kernel is larger than the padded image.
    ArgumentError
        A stride, padding, dilation or number of groups that has no meaning.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.conv import conv2d
    >>> conv2d(tfl.ones((1, 1, 3, 3)), tfl.ones((1, 1, 2, 2)))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    x, weight = as_tensor(x), as_tensor(weight)
    geometry = convolution_geometry(
        x.array.shape, weight.array.shape, None, stride, padding, dilation, groups
    )
    return _conv2d(x, weight, *geometry)


conv2d.primitive = _conv2d.primitive  # type: ignore[attr-defined]
