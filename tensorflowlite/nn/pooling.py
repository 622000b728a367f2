"""Pooling layers."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..ops.conv import lengths
from . import functional as F
from .module import Module

Size = int | tuple[int, ...]


class _Pool(Module):
    """What the pools share: a window, and how it slides."""

    axes: int

    def _start(self, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool
               ) -> None:  # fmt: skip
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self._check(kernel_size=1, stride=1, padding=0)

    def _check(self, **least: int) -> None:
        for key, low in least.items():
            lengths(type(self).__name__, key, getattr(self, key), low, self.axes)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
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
        self.dilation, self.return_indices = dilation, return_indices
        self._start(kernel_size, stride, padding, ceil_mode)
        self._check(dilation=1)

    def forward(self, x: Tensor) -> Any:
        return getattr(F, f"max_pool{self.axes}d")(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return f"{text}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class _Adaptive(Module):
    axes: int
    what: str
    output_size: Any
    return_indices = False

    def forward(self, x: Tensor) -> Any:
        pool = getattr(F, f"adaptive_{self.what}_pool{self.axes}d")
        more = (self.return_indices,) if self.what == "max" else ()
        return pool(x, self.output_size, *more)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class MaxPool1d(_MaxPool):
    """The greatest element of each window of sequences of shape (N, C, L).

    Parameters
    ----------
    kernel_size : int
        The size of the windows.
    stride : int, optional
        How far the windows move at a time; by default their size.
    padding : int
        How far the windows reach over the edges.
    dilation : int
        The distance between the elements of a window.
    return_indices : bool
        Whether to return the places of the maxima in the flattened input too.
    ceil_mode : bool
        Whether windows that begin inside and end outside count too.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.MaxPool1d(2)(tfl.arange(4.0).reshape(1, 1, 4))
    tensor([[[1., 3.]]])
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """The greatest element of each window of images of shape (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or (int, int)
        The size of the windows.
    stride : int or (int, int), optional
        How far the windows move at a time; by default their size.
    padding : int or (int, int)
        How far the windows reach over the edges.
    dilation : int or (int, int)
        The distance between the elements of a window.
    return_indices : bool
        Whether to return the places of the maxima in the flattened input too.
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

    axes = 2


class MaxPool3d(_MaxPool):
    """The greatest element of each window of volumes of shape (N, C, D, H, W).

    Parameters
    ----------
    kernel_size : int or (int, int, int)
        The size of the windows.
    stride : int or (int, int, int), optional
        How far the windows move at a time; by default their size.
    padding : int or (int, int, int)
        How far the windows reach over the edges.
    dilation : int or (int, int, int)
        The distance between the elements of a window.
    return_indices : bool
        Whether to return the places of the maxima in the flattened input too.
    ceil_mode : bool
        Whether windows that begin inside and end outside count too.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.MaxPool3d(2)(tfl.arange(8.0).reshape(1, 1, 2, 2, 2))
    tensor([[[[[7.]]]]])
    """

    axes = 3


class AvgPool1d(_Pool):
    """The mean of each window of sequences of shape (N, C, L).

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As in `MaxPool1d`.
    count_include_pad : bool
        Whether the padding counts as zeros in the mean.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AvgPool1d(2)(tfl.arange(4.0).reshape(1, 1, 4))
    tensor([[[0.5, 2.5]]])
    """

    axes = 1

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.count_include_pad = count_include_pad
        self._start(kernel_size, stride, padding, ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class AvgPool2d(_Pool):
    """The mean of each window of images of shape (N, C, H, W).

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As in `MaxPool2d`.
    count_include_pad : bool
        Whether the padding counts as zeros in the mean.
    divisor_override : int, optional
        What sums are divided by, instead of the number of places.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AvgPool2d(2)(tfl.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]])
    """

    axes = 2

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override
        self._start(kernel_size, stride, padding, ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


class AvgPool3d(_Pool):
    """The mean of each window of volumes of shape (N, C, D, H, W).

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As in `MaxPool3d`.
    count_include_pad : bool
        Whether the padding counts as zeros in the mean.
    divisor_override : int, optional
        What sums are divided by, instead of the number of places.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AvgPool3d(2)(tfl.arange(8.0).reshape(1, 1, 2, 2, 2))
    tensor([[[[[3.5]]]]])
    """

    axes = 3

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override
        self._start(kernel_size, stride, padding, ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool3d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


class AdaptiveAvgPool1d(_Adaptive):
    """The mean of windows of sequences (N, C, L), as many as the output is to have.

    Parameters
    ----------
    output_size : int or one per axis
        The output's size; None keeps the input's.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AdaptiveAvgPool1d(2)(tfl.zeros((2, 3, 5))).shape
    (2, 3, 2)
    """

    axes = 1
    what = "avg"

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size


class AdaptiveAvgPool2d(_Adaptive):
    """The mean of windows of images (N, C, H, W), as many as the output is to have.

    Parameters
    ----------
    output_size : int or one per axis
        The output's size; None keeps the input's.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AdaptiveAvgPool2d(2)(tfl.zeros((2, 3, 5, 5))).shape
    (2, 3, 2, 2)
    """

    axes = 2
    what = "avg"

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size


class AdaptiveAvgPool3d(_Adaptive):
    """The mean of windows of volumes (N, C, D, H, W), as many as the output is to have.

    Parameters
    ----------
    output_size : int or one per axis
        The output's size; None keeps the input's.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AdaptiveAvgPool3d(2)(tfl.zeros((2, 3, 5, 5, 5))).shape
    (2, 3, 2, 2, 2)
    """

    axes = 3
    what = "avg"

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size


class AdaptiveMaxPool1d(_Adaptive):
    """The greatest element of windows of sequences (N, C, L), as many as the output is to have.

    Parameters
    ----------
    output_size : int or one per axis
        The output's size; None keeps the input's.
    return_indices : bool
        Whether to return the places of the maxima in the flattened input too.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AdaptiveMaxPool1d(2)(tfl.zeros((2, 3, 5))).shape
    (2, 3, 2)
    """

    axes = 1
    what = "max"

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices


class AdaptiveMaxPool2d(_Adaptive):
    """The greatest element of windows of images (N, C, H, W), as many as the output is to have.

    Parameters
    ----------
    output_size : int or one per axis
        The output's size; None keeps the input's.
    return_indices : bool
        Whether to return the places of the maxima in the flattened input too.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AdaptiveMaxPool2d(2)(tfl.zeros((2, 3, 5, 5))).shape
    (2, 3, 2, 2)
    """

    axes = 2
    what = "max"

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices


class AdaptiveMaxPool3d(_Adaptive):
    """The greatest element of windows of volumes (N, C, D, H, W), as many as the output is to have.

    Parameters
    ----------
    output_size : int or one per axis
        The output's size; None keeps the input's.
    return_indices : bool
        Whether to return the places of the maxima in the flattened input too.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.AdaptiveMaxPool3d(2)(tfl.zeros((2, 3, 5, 5, 5))).shape
    (2, 3, 2, 2, 2)
    """

    axes = 3
    what = "max"

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices
