"""Padding layers."""

from __future__ import annotations

from ..core.tensor import Tensor
from . import functional as F
from .module import Module

Size = int | tuple[int, ...]


class _Pad(Module):
    axes: int
    mode: str
    value: float | None = None

    def __init__(self, padding: Size) -> None:
        super().__init__()
        every = (padding,) * (2 * self.axes) if isinstance(padding, int) else tuple(padding)
        self.padding = every

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_Pad):
    """Pad the last axis with zeros.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ZeroPad1d(1)(tfl.zeros((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1
    mode = "constant"


class ZeroPad2d(_Pad):
    """Pad the last two axes with zeros.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ZeroPad2d(1)(tfl.zeros((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2
    mode = "constant"


class ZeroPad3d(_Pad):
    """Pad the last three axes with zeros.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ZeroPad3d(1)(tfl.zeros((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3
    mode = "constant"


class ReflectionPad1d(_Pad):
    """Pad the last axis with the input mirrored at its edge.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ReflectionPad1d(1)(tfl.zeros((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """Pad the last two axes with the input mirrored at its edge.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ReflectionPad2d(1)(tfl.zeros((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """Pad the last three axes with the input mirrored at its edge.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ReflectionPad3d(1)(tfl.zeros((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Pad the last axis with the outermost elements.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ReplicationPad1d(1)(tfl.zeros((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """Pad the last two axes with the outermost elements.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ReplicationPad2d(1)(tfl.zeros((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """Pad the last three axes with the outermost elements.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ReplicationPad3d(1)(tfl.zeros((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """Pad the last axis with the elements of the other end.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.CircularPad1d(1)(tfl.zeros((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """Pad the last two axes with the elements of the other end.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.CircularPad2d(1)(tfl.zeros((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """Pad the last three axes with the elements of the other end.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.CircularPad3d(1)(tfl.zeros((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3
    mode = "circular"


class ConstantPad1d(_Pad):
    """Pad the last axis with a number.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.
    value : float
        The number.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ConstantPad1d(1, 2.5)(tfl.zeros((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1
    mode = "constant"

    def __init__(self, padding: Size, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(_Pad):
    """Pad the last two axes with a number.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.
    value : float
        The number.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ConstantPad2d(1, 2.5)(tfl.zeros((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2
    mode = "constant"

    def __init__(self, padding: Size, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad3d(_Pad):
    """Pad the last three axes with a number.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements: everywhere, or before and behind each axis, the last axis first.
    value : float
        The number.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn
    >>> nn.ConstantPad3d(1, 2.5)(tfl.zeros((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3
    mode = "constant"

    def __init__(self, padding: Size, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"
