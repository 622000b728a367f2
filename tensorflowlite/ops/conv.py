"""Convolution over any number of axes, and what else a sliding window does.

The two gradients of a convolution are operations of their own: each is linear in both its inputs.
The gradient by the input is also the transposed convolution.
"""

from __future__ import annotations

from typing import Any

from ..backend.slots.windows import Lengths, Padding, out_lengths
from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from .arguments import as_tensor, public
from .declare import general

_GEOMETRY = ("stride", "padding", "dilation", "groups")
AXES = {1: "length", 2: "height, width", 3: "depth, height, width"}
_COUNTS = {1: "one", 2: "two of them", 3: "three of them"}


def _by_input(k, g, weight, x_shape, stride, padding, dilation, groups):
    return k.convolution_input_gradient(g, weight, x_shape, stride, padding, dilation, groups)


def _by_weight(k, g, x, weight_shape, stride, padding, dilation, groups):
    return k.convolution_weight_gradient(g, x, weight_shape, stride, padding, dilation, groups)


def _input_gradient_by_weight(k, g, y, weight_shape, stride, padding, dilation, groups):
    return k.convolution_weight_gradient(y, g, weight_shape, stride, padding, dilation, groups)


def _weight_gradient_by_input(k, g, y, x_shape, stride, padding, dilation, groups):
    return k.convolution_input_gradient(y, g, x_shape, stride, padding, dilation, groups)


_convolution = general(
    "convolution",
    ("x", "weight"),
    (_by_input, _by_weight),
    "Correlation of the images ``x`` with the kernels ``weight``.",
    attributes=_GEOMETRY,
)
_convolution_input_gradient = general(
    "convolution_input_gradient",
    ("y", "weight"),
    (
        lambda k, g, weight, stride, padding, dilation, groups: k.convolution(
            g, weight, stride, padding, dilation, groups
        ),
        _input_gradient_by_weight,
    ),
    "The gradient ``y`` of a convolution's output, taken to its images of ``shape``.",
    attributes=("shape", *_GEOMETRY),
)
_convolution_weight_gradient = general(
    "convolution_weight_gradient",
    ("y", "x"),
    (
        lambda k, g, x, stride, padding, dilation, groups: k.convolution(
            x, g, stride, padding, dilation, groups
        ),
        _weight_gradient_by_input,
    ),
    "The gradient ``y`` of a convolution's output, taken to its kernels of ``shape``.",
    attributes=("shape", *_GEOMETRY),
)
_window_columns = general(
    "window_columns",
    ("x",),
    (
        lambda k, g, x_shape, kernel, stride, padding, dilation: k.window_images(
            g, x_shape, kernel, stride, padding, dilation
        ),
    ),
    "The values of ``x`` under each window, as a column.",
    attributes=("kernel", "stride", "padding", "dilation"),
)
_window_images = general(
    "window_images",
    ("x",),
    (
        lambda k, g, kernel, stride, padding, dilation: k.window_columns(
            g, kernel, stride, padding, dilation
        ),
    ),
    "Images of ``shape`` into which the columns ``x`` are added back.",
    attributes=("shape", "kernel", "stride", "padding", "dilation"),
)


def lengths(name: str, what: str, value: Any, least: int, count: int) -> Lengths:
    """Return an integer, or one per axis, as one per axis; raise for less than ``least``."""
    every = tuple(value) if isinstance(value, tuple | list) else (value,) * count
    if len(every) == 1 < count and isinstance(value, tuple | list):
        every *= count  # as PyTorch has it
    try:
        found = tuple([n.__index__() for n in every])
    except AttributeError:
        found = ()
    if len(found) != count or min(found) < least:
        raise ArgumentError(
            f"{name}: {what} must be an integer of at least {least}, or {_COUNTS[count]}, got "
            f"{value!r}"
        )
    return found


def batched(name: str, x: Tensor, axes: int) -> tuple[Tensor, bool]:
    """Return images as a batch, and whether one alone was given."""
    if x.ndim == axes + 2:
        return x, False
    if x.ndim == axes + 1:
        return x[None], True
    raise ShapeError(f"{name}: x must be (images, channels, {AXES[axes]}), got x {x.shape}")


def _padding(name: str, value: Any, kernel: Lengths, stride: Lengths, dilation: Lengths
             ) -> Padding:  # fmt: skip
    axes = len(kernel)
    if value == "valid":
        return ((0, 0),) * axes
    if value == "same":
        if set(stride) != {1}:
            raise ArgumentError(f"{name}: padding 'same' needs stride 1, got stride {stride}")
        whole = [d * (n - 1) for n, d in zip(kernel, dilation, strict=True)]
        return tuple([(n // 2, n - n // 2) for n in whole])
    if isinstance(value, str):
        numbers = {1: "", 2: " or two", 3: " or three"}[axes]
        raise ArgumentError(
            f"{name}: padding must be 'same', 'valid', an integer{numbers}, got {value!r}"
        )
    return tuple([(n, n) for n in lengths(name, "padding", value, 0, axes)])


def convolution_geometry(
    name: str, axes: int, x_shape: tuple[int, ...], weight_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None, stride: Any, padding: Any, dilation: Any, groups: int,
) -> tuple[Lengths, Padding, Lengths, int]:  # fmt: skip
    """Return stride, padding, dilation and groups as the slots take them, or say what is wrong."""
    if len(x_shape) != axes + 2 or len(weight_shape) != axes + 2:
        raise ShapeError(
            f"{name}: x must be (images, channels, {AXES[axes]}) and weight (out_channels, "
            f"channels / groups, {AXES[axes]}), got x {x_shape} and weight {weight_shape}"
        )
    outputs, within = weight_shape[:2]
    kernel = weight_shape[2:]
    if not isinstance(groups, int) or groups < 1 or outputs % groups:
        raise ArgumentError(
            f"{name}: groups must divide out_channels={outputs}, got groups={groups!r}"
        )
    if x_shape[1] != within * groups:
        raise ShapeError(
            f"{name}: x must have {within * groups} channels, got x {x_shape} with weight "
            f"{weight_shape} and groups={groups}"
        )
    if bias_shape is not None and bias_shape != (outputs,):
        raise ShapeError(f"{name}: the bias must have shape ({outputs},), got {bias_shape}")
    steps = lengths(name, "stride", stride, 1, axes)
    gaps = lengths(name, "dilation", dilation, 1, axes)
    around = _padding(name, padding, kernel, steps, gaps)
    if min(out_lengths(x_shape[2:], kernel, steps, around, gaps)) < 1:
        raise ShapeError(
            f"{name}: the kernel must fit in the padded image, got x {x_shape}, weight "
            f"{weight_shape}, padding {around} and dilation {gaps}"
        )
    return steps, around, gaps, groups


def convolution(x: Any, weight: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                groups: int = 1) -> Tensor:  # fmt: skip
    """Correlate images with kernels: what networks call a convolution.

    Parameters
    ----------
    x : Tensor, shape (images, channels, *size)
        One to three axes of size.
    weight : Tensor, shape (out_channels, channels / groups, *kernel)
    stride, dilation : int or tuple of int
        Steps between windows, and between the places inside a window.
    padding : int, tuple of int, 'same' or 'valid'
        Zeros on both sides of each axis; 'same' keeps the size (stride 1 only).
    groups : int
        Into how many groups the channels fall that don't see each other.

    Returns
    -------
    Tensor, shape (images, out_channels, *out_size)

    Raises
    ------
    ShapeError
        The channels don't match, or the kernel is larger than the padded image.
    ArgumentError
        A stride, padding, dilation or number of groups that has no meaning.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.ops.conv import convolution
    >>> convolution(tfl.ones((1, 1, 3, 3)), tfl.ones((1, 1, 2, 2)))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    x, weight = as_tensor(x), as_tensor(weight)
    axes = min(max(weight.ndim - 2, 1), 3)
    geometry = convolution_geometry(
        f"conv{axes}d", axes, x.shape, weight.shape, None, stride, padding, dilation, groups
    )
    return _convolution(x, weight, *geometry)


convolution.primitive = _convolution.primitive  # type: ignore[attr-defined]


# -- transposed ------------------------------------------------------------------------------------
def _transposed(axes: int) -> Any:
    """Return the transposed convolution over so many axes."""
    name = f"conv_transpose{axes}d"

    def run(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
            output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:  # fmt: skip
        weight = as_tensor(weight)
        x, alone = batched(name, as_tensor(input), axes)
        if weight.ndim != axes + 2:
            raise ShapeError(
                f"{name}: weight must be (channels, out_channels / groups, {AXES[axes]}), got "
                f"{weight.shape}"
            )
        if not isinstance(groups, int) or groups < 1 or weight.shape[0] % groups:
            raise ArgumentError(
                f"{name}: groups must divide the channels, got groups={groups!r} with weight "
                f"{weight.shape}"
            )
        if x.shape[1] != weight.shape[0]:
            raise ShapeError(
                f"{name}: x must have {weight.shape[0]} channels, got x {x.shape} with weight "
                f"{weight.shape}"
            )
        steps = lengths(name, "stride", stride, 1, axes)
        gaps = lengths(name, "dilation", dilation, 1, axes)
        pads = lengths(name, "padding", padding, 0, axes)
        more = lengths(name, "output_padding", output_padding, 0, axes)
        if any(n >= max(s, d) for n, s, d in zip(more, steps, gaps, strict=True)):
            raise ArgumentError(
                f"{name}: output_padding must be less than stride or dilation, got "
                f"output_padding {more} with stride {steps} and dilation {gaps}"
            )
        channels = weight.shape[1] * groups
        if bias is not None and bias.shape != (channels,):
            raise ShapeError(f"{name}: the bias must have shape ({channels},), got {bias.shape}")
        size = tuple([
            (x.shape[2 + a] - 1) * steps[a] - 2 * pads[a] + gaps[a] * (weight.shape[2 + a] - 1)
            + more[a] + 1
            for a in range(axes)
        ])  # fmt: skip
        if min(size) < 1:
            raise ShapeError(
                f"{name}: the output must not be empty, got size {size} from x {x.shape}, weight "
                f"{weight.shape} and padding {pads}"
            )
        around = tuple([(n, n) for n in pads])
        shape = (x.shape[0], channels, *size)
        out = _convolution_input_gradient(x, weight, shape, steps, around, gaps, groups)
        if bias is not None:
            out = out + bias.reshape((channels,) + (1,) * axes)
        return out[0] if alone else out

    run.__doc__ = f"""Return the transposed convolution: the gradient of a convolution as a layer.

    Parameters
    ----------
    input : Tensor, shape (images, channels, {AXES[axes]})
        Or one image alone, without the first axis.
    weight : Tensor, shape (channels, out_channels / groups, {AXES[axes]} of the kernel)
    bias : Tensor, shape (out_channels,), optional
    stride, padding, dilation
        Of the convolution whose gradient this is.
    output_padding : int or one per axis
        How much larger the output is on its far side, of the sizes that the convolution maps to
        one.
    groups : int
        Into how many groups the channels fall that don't see each other.

    Returns
    -------
    Tensor, shape (images, out_channels, {AXES[axes]})

    Raises
    ------
    ShapeError
        The channels don't match, or the output would be empty.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.{name}(tfl.ones((1, 1{", 2" * axes})), tfl.ones((1, 3{", 2" * axes})), stride=2).shape
    {(1, 3) + (4,) * axes}
    """
    return public(name, run)


conv_transpose1d, conv_transpose2d, conv_transpose3d = map(_transposed, (1, 2, 3))


# -- columns ---------------------------------------------------------------------------------------
def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
           ) -> Tensor:  # fmt: skip
    """Return the values under each window of images, as columns.

    Parameters
    ----------
    input : Tensor, shape (images, channels, height, width)
        Or one image alone.
    kernel_size, dilation, padding, stride : int or (int, int)
        The window, and how it slides.

    Returns
    -------
    Tensor, shape (images, channels * kernel_height * kernel_width, windows)

    Raises
    ------
    ShapeError
        The window doesn't fit.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.unfold(tfl.arange(9.0).reshape(1, 1, 3, 3), 2)
    tensor([[[0., 1., 3., 4.],
             [1., 2., 4., 5.],
             [3., 4., 6., 7.],
             [4., 5., 7., 8.]]])
    """
    x, alone = batched("unfold", as_tensor(input), 2)
    geometry = _column_geometry("unfold", kernel_size, stride, padding, dilation)
    if min(out_lengths(x.shape[2:], *geometry)) < 1:
        raise ShapeError(f"unfold: the window must fit in the padded image, got x {x.shape}")
    out = _window_columns(x, *geometry)
    return out[0] if alone else out


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
         stride: Any = 1) -> Tensor:  # fmt: skip
    """Add columns back into the images that `unfold` takes them from.

    Parameters
    ----------
    input : Tensor, shape (images, channels * kernel_height * kernel_width, windows)
        Or one image's alone.
    output_size : int or (int, int)
        Height and width of the images.
    kernel_size, dilation, padding, stride : int or (int, int)
        The window, and how it slides.

    Returns
    -------
    Tensor, shape (images, channels, height, width)

    Raises
    ------
    ShapeError
        The columns aren't those of such images.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.nn import functional as F
    >>> F.fold(tfl.ones((1, 4, 4)), 3, 2)
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    x = as_tensor(input)
    alone = x.ndim == 2
    x = x[None] if alone else x
    size = lengths("fold", "output_size", output_size, 1, 2)
    geometry = _column_geometry("fold", kernel_size, stride, padding, dilation)
    count = out_lengths(size, *geometry)
    window = geometry[0][0] * geometry[0][1]
    if x.ndim != 3 or x.shape[1] % window or x.shape[2] != count[0] * count[1]:
        raise ShapeError(
            f"fold: x must be (images, channels * {window}, {count[0] * count[1]}), got x {x.shape}"
        )
    out = _window_images(x, (x.shape[0], x.shape[1] // window, *size), *geometry)
    return out[0] if alone else out


def _column_geometry(name: str, kernel: Any, stride: Any, padding: Any, dilation: Any
                     ) -> tuple[Lengths, Lengths, Padding, Lengths]:  # fmt: skip
    pads = lengths(name, "padding", padding, 0, 2)
    return (
        lengths(name, "kernel_size", kernel, 1, 2),
        lengths(name, "stride", stride, 1, 2),
        tuple([(n, n) for n in pads]),
        lengths(name, "dilation", dilation, 1, 2),
    )
