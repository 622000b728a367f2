"""Convolution layers."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.conv import lengths
from ..ops.creation import zeros
from . import functional as F
from .linear import reset_weight_and_bias, size_argument
from .module import Module
from .parameter import Parameter

Size = int | tuple[int, ...]
_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What the convolutions and their transposes share."""

    axes: int
    transposed = False

    def _start(
        self,
        channels: tuple[int, int],
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        name, axes = type(self).__name__, self.axes
        modes = ("zeros",) if self.transposed else _PADDING_MODES
        if padding_mode not in modes:
            raise ArgumentError(
                f"{name}: padding_mode must be {' or '.join(map(repr, modes))}, got "
                f"{padding_mode!r}"
            )
        self.in_channels = size_argument(name, "in_channels", channels[0])
        self.out_channels = size_argument(name, "out_channels", channels[1])
        self.groups = size_argument(name, "groups", groups)
        if self.in_channels % groups or self.out_channels % groups:
            raise ArgumentError(
                f"{name}: groups must divide in_channels and out_channels, got "
                f"groups={groups}, in_channels={channels[0]}, out_channels={channels[1]}"
            )
        self.kernel_size = lengths(name, "kernel_size", kernel_size, 1, axes)
        self.stride = lengths(name, "stride", stride, 1, axes)
        self.dilation = lengths(name, "dilation", dilation, 1, axes)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ArgumentError(
                    f"{name}: padding must be numbers, 'same' or 'valid', got {padding!r}"
                )
            if padding == "same" and set(self.stride) != {1}:
                raise ArgumentError(
                    f"{name}: padding='same' needs a stride of 1, got {self.stride}"
                )
            self.padding: tuple[int, ...] | str = padding
        else:
            self.padding = lengths(name, "padding", padding, 0, axes)
        self.padding_mode = padding_mode
        first, second = reversed(channels) if not self.transposed else channels
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(zeros(shape, dtype=dtype, device=device))
        self.bias: Tensor | None = None
        if bias:
            self.bias = Parameter(zeros(self.out_channels, dtype=dtype, device=device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        reset_weight_and_bias(self.weight, self.bias)

    def _around(self) -> tuple[int, ...]:
        """Return the padding as `functional.pad` takes it."""
        if self.padding == "valid":
            return (0, 0) * self.axes
        if self.padding == "same":
            whole = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            both = [(n // 2, n - n // 2) for n in whole]
        else:
            both = [(int(n), int(n)) for n in self.padding]
        return tuple([n for one in reversed(both) for n in one])

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        defaults = {"padding": (0,) * self.axes, "dilation": (1,) * self.axes,
                    "output_padding": (0,) * self.axes, "groups": 1}  # fmt: skip
        for key, default in defaults.items():
            value = getattr(self, key, default)
            if value != default:
                text += f", {key}={value}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Forward(_Convolution):
    activation: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._around(), self.padding_mode), 0
        convolve = getattr(F, f"conv{self.axes}d")
        return convolve(
            x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups,
            activation=self.activation,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.activation is None else f"{text}, activation={self.activation!r}"


class _Transposed(_Convolution):
    transposed = True
    output_padding: tuple[int, ...]

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        more = self.output_padding if output_size is None else self._more(x, output_size)
        convolve = getattr(F, f"conv_transpose{self.axes}d")
        return convolve(
            x, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation
        )

    def _more(self, x: Tensor, output_size: Any) -> tuple[int, ...]:
        """Return the output padding that gives the wanted size."""
        name, axes = type(self).__name__, self.axes
        wanted = tuple(output_size)[-axes:]
        padding: Any = self.padding
        least = tuple([
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(x.shape[-axes:], self.stride, padding, self.dilation,
                                     self.kernel_size, strict=True)
        ])  # fmt: skip
        most = tuple([n + s - 1 for n, s in zip(least, self.stride, strict=True)])
        if len(wanted) != axes or not all(
            low <= n <= high for low, n, high in zip(least, wanted, most, strict=True)
        ):
            raise ShapeError(
                f"{name}: output_size must lie between {least} and {most}, got {output_size}"
            )
        return tuple([n - low for n, low in zip(wanted, least, strict=True)])


class Conv1d(_Forward):
    """A convolution over sequences of shape (N, in_channels, L), with bias and activation.

    Parameters
    ----------
    in_channels, out_channels : int
        The number of channels of the input and of the output.
    kernel_size : int
        The size of the filters.
    stride : int
        How far the filters move at a time.
    padding : int, "same" or "valid"
        How much to put around the input; "same" keeps its size, "valid" puts nothing.
    dilation : int
        The distance between the elements of a filter.
    groups : int
        Into how many parts the channels are divided, each filtered on its own.
    bias : bool
        Whether to add a bias.
    padding_mode : str
        What to put around the input: "zeros", "reflect", "replicate" or "circular".
    activation : str, optional
        An activation computed together with the layer; see `Linear`.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (out_channels, in_channels // groups, *kernel_size)
    bias : Tensor, shape (out_channels,), or None

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Conv1d(1, 4, 3, padding=1)(tfl.zeros((2, 1, 8))).shape
    (2, 4, 8)
    """

    axes = 1

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
        F.check_activation("Conv1d", activation)
        self.activation = activation
        self._start((in_channels, out_channels), kernel_size, stride, padding, dilation, groups,
                    bias, padding_mode, device, dtype)  # fmt: skip


class Conv2d(_Forward):
    """A convolution over images of shape (N, in_channels, H, W), with bias and activation.

    Parameters
    ----------
    in_channels, out_channels : int
        The number of channels of the input and of the output.
    kernel_size : int or (int, int)
        The size of the filters.
    stride : int or (int, int)
        How far the filters move at a time.
    padding : int or (int, int), "same" or "valid"
        How much to put around the input; "same" keeps its size, "valid" puts nothing.
    dilation : int or (int, int)
        The distance between the elements of a filter.
    groups : int
        Into how many parts the channels are divided, each filtered on its own.
    bias : bool
        Whether to add a bias.
    padding_mode : str
        What to put around the input: "zeros", "reflect", "replicate" or "circular".
    activation : str, optional
        An activation computed together with the layer; see `Linear`.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (out_channels, in_channels // groups, *kernel_size)
    bias : Tensor, shape (out_channels,), or None

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Conv2d(1, 4, 3, padding=1)(tfl.zeros((2, 1, 8, 8))).shape
    (2, 4, 8, 8)
    """

    axes = 2

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
        F.check_activation("Conv2d", activation)
        self.activation = activation
        self._start((in_channels, out_channels), kernel_size, stride, padding, dilation, groups,
                    bias, padding_mode, device, dtype)  # fmt: skip


class Conv3d(_Forward):
    """A convolution over volumes of shape (N, in_channels, D, H, W), with bias and activation.

    Parameters
    ----------
    in_channels, out_channels : int
        The number of channels of the input and of the output.
    kernel_size : int or (int, int, int)
        The size of the filters.
    stride : int or (int, int, int)
        How far the filters move at a time.
    padding : int or (int, int, int), "same" or "valid"
        How much to put around the input; "same" keeps its size, "valid" puts nothing.
    dilation : int or (int, int, int)
        The distance between the elements of a filter.
    groups : int
        Into how many parts the channels are divided, each filtered on its own.
    bias : bool
        Whether to add a bias.
    padding_mode : str
        What to put around the input: "zeros", "reflect", "replicate" or "circular".
    activation : str, optional
        An activation computed together with the layer; see `Linear`.
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (out_channels, in_channels // groups, *kernel_size)
    bias : Tensor, shape (out_channels,), or None

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.Conv3d(1, 4, 3, padding=1)(tfl.zeros((2, 1, 8, 8, 8))).shape
    (2, 4, 8, 8, 8)
    """

    axes = 3

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
        F.check_activation("Conv3d", activation)
        self.activation = activation
        self._start((in_channels, out_channels), kernel_size, stride, padding, dilation, groups,
                    bias, padding_mode, device, dtype)  # fmt: skip


class ConvTranspose1d(_Transposed):
    """A transposed convolution over sequences of shape (N, in_channels, L).

    Parameters
    ----------
    in_channels, out_channels : int
        The number of channels of the input and of the output.
    kernel_size, stride, padding, dilation : int
        Of the convolution whose gradient this is.
    output_padding : int
        How much larger the output is on its far side.
    groups : int
        Into how many parts the channels are divided, each filtered on its own.
    bias : bool
        Whether to add a bias.
    padding_mode : str
        "zeros".
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (in_channels, out_channels // groups, *kernel_size)
    bias : Tensor, shape (out_channels,), or None

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ConvTranspose1d(4, 1, 2, stride=2)(tfl.zeros((2, 4, 4))).shape
    (2, 1, 8)
    """

    axes = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(padding, str):
            raise ArgumentError(
                f"ConvTranspose1d: padding must be numbers, got {padding!r}"
            )
        self.output_padding = lengths(
            "ConvTranspose1d", "output_padding", output_padding, 0, 1
        )
        self._start((in_channels, out_channels), kernel_size, stride, padding, dilation, groups,
                    bias, padding_mode, device, dtype)  # fmt: skip


class ConvTranspose2d(_Transposed):
    """A transposed convolution over images of shape (N, in_channels, H, W).

    Parameters
    ----------
    in_channels, out_channels : int
        The number of channels of the input and of the output.
    kernel_size, stride, padding, dilation : int or (int, int)
        Of the convolution whose gradient this is.
    output_padding : int or (int, int)
        How much larger the output is on its far side.
    groups : int
        Into how many parts the channels are divided, each filtered on its own.
    bias : bool
        Whether to add a bias.
    padding_mode : str
        "zeros".
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (in_channels, out_channels // groups, *kernel_size)
    bias : Tensor, shape (out_channels,), or None

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ConvTranspose2d(4, 1, 2, stride=2)(tfl.zeros((2, 4, 4, 4))).shape
    (2, 1, 8, 8)
    """

    axes = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(padding, str):
            raise ArgumentError(
                f"ConvTranspose2d: padding must be numbers, got {padding!r}"
            )
        self.output_padding = lengths(
            "ConvTranspose2d", "output_padding", output_padding, 0, 2
        )
        self._start((in_channels, out_channels), kernel_size, stride, padding, dilation, groups,
                    bias, padding_mode, device, dtype)  # fmt: skip


class ConvTranspose3d(_Transposed):
    """A transposed convolution over volumes of shape (N, in_channels, D, H, W).

    Parameters
    ----------
    in_channels, out_channels : int
        The number of channels of the input and of the output.
    kernel_size, stride, padding, dilation : int or (int, int, int)
        Of the convolution whose gradient this is.
    output_padding : int or (int, int, int)
        How much larger the output is on its far side.
    groups : int
        Into how many parts the channels are divided, each filtered on its own.
    bias : bool
        Whether to add a bias.
    padding_mode : str
        "zeros".
    device, dtype
        Where the parameters live, and their dtype; float32 by default.

    Attributes
    ----------
    weight : Tensor, shape (in_channels, out_channels // groups, *kernel_size)
    bias : Tensor, shape (out_channels,), or None

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ConvTranspose3d(4, 1, 2, stride=2)(tfl.zeros((2, 4, 4, 4, 4))).shape
    (2, 1, 8, 8, 8)
    """

    axes = 3

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(padding, str):
            raise ArgumentError(
                f"ConvTranspose3d: padding must be numbers, got {padding!r}"
            )
        self.output_padding = lengths(
            "ConvTranspose3d", "output_padding", output_padding, 0, 3
        )
        self._start((in_channels, out_channels), kernel_size, stride, padding, dilation, groups,
                    bias, padding_mode, device, dtype)  # fmt: skip
