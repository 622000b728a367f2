"""Native slots of the convolution over one or two axes and of its two gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..base import accepting
from .extension import in_c_order

_FLOATS = (dtypes.float32, dtypes.float64)
# Elements that a row of 512 places reads: more of them are left to NumPy, for a thread copies them.
_ROOM = 1 << 25
# A convolution of single places is one matrix product. NumPy's was quicker for fewer outputs or
# places than these (AMD Zen 4, AVX-512, one thread; by up to 2.1 and 1.3 times).
_OUTPUTS = 8
_PLACES = 4


def _over_two(array: Any) -> Any:
    """Return images or kernels over one axis as such over two; others as they are."""
    return array if array.ndim == 4 else array.reshape(*array.shape[:2], 1, array.shape[2])


def _geometry_over_two(stride: Any, padding: Any, dilation: Any, groups: int) -> tuple[Any, ...]:
    if len(stride) == 2:
        return stride, padding, dilation, groups
    return (1, *stride), ((0, 0), *padding), (1, *dilation), groups


def _fits(inputs: int, kernel: Any, stride: Any, dilation: Any) -> bool:
    """Whether what the places of a row read is small enough to be copied."""
    room = inputs
    for length, step, gap in zip(kernel, stride, dilation, strict=True):
        room *= gap * (length - 1) + step
    return room * 512 <= _ROOM


def _pointwise(kernel: Any, stride: Any, padding: Any) -> bool:
    return math.prod(kernel) == math.prod(stride) == 1 and not any(map(any, padding))


class Convolutions:
    """The calls of the extension: arrays and geometry over one or two axes."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def forward(self, x: Any, w: Any, *geometry: Any, bias: Any = None,
                activation: str = "identity", keep_before: bool = False
                ) -> tuple[Any, Any]:  # fmt: skip
        """Return activation(z + bias), and z + bias itself where asked for it."""
        bias = None if bias is None else in_c_order(bias)
        x, w, axes = _over_two(in_c_order(x)), _over_two(in_c_order(w)), x.ndim
        out, before = self.module.convolution(
            x, w, *_geometry_over_two(*geometry), bias, activation, keep_before
        )
        if axes == 3:
            out = out[:, :, 0]
            before = None if before is None else before[:, :, 0]
        return out, before

    def input_gradient(self, y: Any, w: Any, shape: Any, *geometry: Any) -> Any:
        over_two = shape if len(shape) == 4 else (*shape[:2], 1, shape[2])
        return self.module.convolution_input_gradient(
            _over_two(in_c_order(y)), _over_two(in_c_order(w)), over_two,
            *_geometry_over_two(*geometry),
        ).reshape(shape)

    def weight_gradient(self, y: Any, x: Any, shape: Any, *geometry: Any) -> Any:
        over_two = shape if len(shape) == 4 else (*shape[:2], 1, shape[2])
        return self.module.convolution_weight_gradient(
            _over_two(in_c_order(y)), _over_two(in_c_order(x)), over_two,
            *_geometry_over_two(*geometry),
        ).reshape(shape)

    def accepts(self, one: Any, other: Any, x_shape: Any, w_shape: Any, *geometry: Any) -> bool:
        """Whether the extension takes a convolution of these shapes, for arrays of one dtype."""
        stride, padding, dilation, groups = geometry
        return (
            one.dtype in _FLOATS
            and one.dtype == other.dtype
            and len(x_shape) in (3, 4)
            and math.prod(x_shape) > 0
            and math.prod(w_shape) > 0
            and _fits(w_shape[1], w_shape[2:], stride, dilation)
            and not (
                _pointwise(w_shape[2:], stride, padding)
                and (w_shape[0] < _OUTPUTS * groups or math.prod(x_shape[2:]) < _PLACES)
            )
        )


def slots(module: Any, library: Callable[[str], Callable[..., Any]]) -> dict[str, Any]:
    """Return the slots; ``module`` is the extension, ``library`` finds NumPy's slots by name."""
    native = Convolutions(module)

    def convolution(x: Any, w: Any, *geometry: Any) -> Any:
        return native.forward(x, w, *geometry)[0]

    def convolution_input_gradient(y: Any, w: Any, shape: Any, *geometry: Any) -> Any:
        return native.input_gradient(y, w, shape, *geometry)

    def convolution_weight_gradient(y: Any, x: Any, shape: Any, *geometry: Any) -> Any:
        return native.weight_gradient(y, x, shape, *geometry)

    def accepts(x: Any, w: Any, *geometry: Any) -> bool:
        return native.accepts(x, w, x.shape, w.shape, *geometry)

    def accepts_input(y: Any, w: Any, shape: Any, *geometry: Any) -> bool:
        return native.accepts(y, w, shape, w.shape, *geometry)

    def accepts_weight(y: Any, x: Any, shape: Any, *geometry: Any) -> bool:
        return native.accepts(y, x, x.shape, shape, *geometry)

    accepting(convolution, accepts, by_form=True)
    accepting(convolution_input_gradient, accepts_input, by_form=True)
    accepting(convolution_weight_gradient, accepts_weight, by_form=True)
    return {
        "convolution": convolution,
        "convolution_input_gradient": convolution_input_gradient,
        "convolution_weight_gradient": convolution_weight_gradient,
    }
