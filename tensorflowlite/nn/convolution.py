"""Convolution and pooling layers."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError
from ..ops.creation import zeros
from . import functional as F
from .linear import reset_weight_and_bias, size_argument
from .module import Module
from .parameter import Parameter

Size = int | tuple[int, int]


def pair(name: str, key: str, value: Any, least: int) -> tuple[int, int]:
    """Return an integer, or two, as two; raise unless they are at least ``least``."""
    values = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2:
        raise ArgumentError(f"{name}: {key} must be an integer or two, got {value!r}")
    height, width = [size_argument(name, key, one, least) for one in values]
    return height, width


class Conv2d(Module):
    """A convolution over images of shape (N, in_channels, H, W), with bias and activation.

    Parameters
    ----------
    in_channels, out_channels : int
        The number of channels of the input and of the output.
    kernel_size : int or (int, int)
        The height and width of the filters.
    stride : int or (int, int)
        How far the filters move at a time.
    padding : int, (int, int), "same" or "valid"
        How many zeros to put around the image; "same" keeps its size, "valid" puts none.
    dilation : int or (int, int)
        The distance between the elements of a filter.
    groups : int
        Into how many parts the channels are divided, each filtered on its own.
    bias : bool
        Whether to add a bias.
    padding_mode : str
        What to put around the image: "zeros".
    activation : str, optional
        An activation computed together with the layer; see `Linear`.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (out_channels, in_channels // groups, height, width)
    bias : Tensor, shape (out_channels,), or None

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Conv2d(1, 4, 3, padding=1)(tfl.zeros((2, 1, 8, 8))).shape
    (2, 4, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        if padding_mode != "zeros":
            raise ArgumentError(f"Conv2d: padding_mode must be 'zeros', got {padding_mode!r}")
        F.check_activation("Conv2d", activation)
        self.in_channels = size_argument("Conv2d", "in_channels", in_channels)
        self.out_channels = size_argument("Conv2d", "out_channels", out_channels)
        self.groups = size_argument("Conv2d", "groups", groups)
        if in_channels % groups or out_channels % groups:
            raise ArgumentError(
                "Conv2d: groups must divide in_channels and out_channels, got "
                f"groups={groups}, in_channels={in_channels}, out_channels={out_channels}"
            )
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ArgumentError(
                    f"Conv2d: padding must be numbers, 'same' or 'valid', got {padding!r}"
                )
            if padding == "same" and self.stride != (1, 1):
                raise ArgumentError(
                    f"Conv2d: padding='same' needs a stride of 1, got {self.stride}"
                )
            self.padding: tuple[int, int] | str = padding
        else:
            self.padding = pair("Conv2d", "padding", padding, 0)
        self.activation = activation
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(zeros(shape, dtype=dtype, device=device))
        self.bias = Parameter(zeros(out_channels, dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        reset_weight_and_bias(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups,
            activation=self.activation,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        for key, default in (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            value = getattr(self, key)
            if value != default:
                text += f", {key}={value}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.activation is None else f"{text}, activation={self.activation!r}"


class MaxPool2d(Module):
    """The greatest element of each window of images of shape (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or (int, int)
        The height and width of the windows.
    stride : int or (int, int), optional
        How far the windows move at a time; by default their size.
    padding : int or (int, int)
        How far the windows reach over the edges.
    dilation : int or (int, int)
        The distance between the elements of a window.
    return_indices : bool
        Whether to return the places of the maxima too: False.
    ceil_mode : bool
        Whether windows that begin inside and end outside count too.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.MaxPool2d(2)(tfl.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        if return_indices:
            raise ArgumentError("MaxPool2d: return_indices must be False, got True")
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode
        pair("MaxPool2d", "kernel_size", kernel_size, 1)
        pair("MaxPool2d", "stride", self.stride, 1)
        pair("MaxPool2d", "padding", padding, 0)
        pair("MaxPool2d", "dilation", dilation, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window of images of shape (N, C, H, W).

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As in `MaxPool2d`.
    count_include_pad : bool
        Whether the padding counts as zeros in the mean.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AvgPool2d(2)(tfl.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]])
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad = count_include_pad
        pair("AvgPool2d", "kernel_size", kernel_size, 1)
        pair("AvgPool2d", "stride", self.stride, 1)
        pair("AvgPool2d", "padding", padding, 0)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
