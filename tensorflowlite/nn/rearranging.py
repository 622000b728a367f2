"""einops on tensors: the backend that einops finds, and its layers.

``einops.array_api`` needs nothing of this: it works on any array of the Array API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from einops import einsum as einsum
from einops import pack as pack
from einops import parse_shape as parse_shape
from einops import rearrange as rearrange
from einops import reduce as reduce
from einops import repeat as repeat
from einops import unpack as unpack
from einops._backends import AbstractBackend
from einops.layers import RearrangeMixin, ReduceMixin
from einops.layers._einmix import _EinmixMixin

from ..backend import dtypes
from ..core.tensor import Tensor
from ..ops import creation, joining, shaping
from ..ops import einsum as products
from .init import uniform_
from .module import Module
from .parameter import Parameter


class TensorflowliteBackend(AbstractBackend):
    """What einops asks of a library; einops finds the class by itself once it is imported."""

    framework_name = "tensorflowlite"

    def is_appropriate_type(self, tensor: Any) -> bool:
        """Whether the tensor is one of ours."""
        return isinstance(tensor, Tensor)

    def from_numpy(self, x: Any) -> Tensor:
        """Return a tensor; a float one requires grad."""
        tensor = creation.tensor(x)
        return tensor.requires_grad_() if self.is_float_type(tensor) else tensor

    def to_numpy(self, x: Tensor) -> Any:
        """Return the elements as a NumPy array."""
        return x.detach().cpu().numpy()

    def arange(self, start: int, stop: int) -> Tensor:
        """Return the integers of a range."""
        return creation.arange(start, stop, dtype=dtypes.int64)

    def stack_on_zeroth_dimension(self, tensors: Sequence[Tensor]) -> Tensor:
        """Stack tensors along a new first axis."""
        return joining.stack(tensors)

    def add_axis(self, x: Tensor, new_position: int) -> Tensor:
        """Insert an axis of length 1."""
        return shaping.expand_dims(x, new_position)

    def tile(self, x: Tensor, repeats: Sequence[int]) -> Tensor:
        """Repeat the whole along each axis; axes of length 1 take no memory for it."""
        lengths = tuple([n * times for n, times in zip(x.shape, repeats, strict=True)])
        alone = all(n == 1 or times == 1 for n, times in zip(x.shape, repeats, strict=True))
        return shaping.broadcast_to(x, lengths) if alone else joining.tile(x, tuple(repeats))

    def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        """Join tensors along an axis."""
        return joining.concat(tensors, axis)

    def is_float_type(self, x: Tensor) -> bool:
        """Whether the elements are floats."""
        return x.dtype in dtypes.inexact and x.dtype.kind != "c"

    def einsum(self, pattern: str, *x: Tensor) -> Tensor:
        """Sum products by a pattern."""
        return products.einsum(pattern, *x)

    def layers(self) -> Any:
        """Return the module that holds the layers."""
        from . import rearranging

        return rearranging


class Rearrange(RearrangeMixin, Module):
    """`einops.rearrange` as a layer.

    Parameters
    ----------
    pattern : str
        The axes before and after, ``"b c h w -> b (c h w)"``.
    **axes_lengths
        Lengths of axes that the shape doesn't tell.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.einops import Rearrange
    >>> Rearrange("b c h w -> b (c h w)")(tfl.zeros((2, 3, 4, 4))).shape
    (2, 48)
    """

    def __init__(self, pattern: str, **axes_lengths: int) -> None:
        Module.__init__(self)
        RearrangeMixin.__init__(self, pattern, **axes_lengths)

    def forward(self, input: Tensor) -> Tensor:
        """Rearrange the axes."""
        return self._apply_recipe(input)


class Reduce(ReduceMixin, Module):
    """`einops.reduce` as a layer.

    Parameters
    ----------
    pattern : str
        The axes before and after, ``"b c (h 2) (w 2) -> b c h w"``.
    reduction : str
        ``"mean"``, ``"max"``, ``"min"``, ``"sum"`` or ``"prod"``.
    **axes_lengths
        Lengths of axes that the shape doesn't tell.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.einops import Reduce
    >>> Reduce("b c (h 2) (w 2) -> b c h w", "max")(tfl.zeros((2, 3, 4, 4))).shape
    (2, 3, 2, 2)
    """

    def __init__(self, pattern: str, reduction: str, **axes_lengths: int) -> None:
        Module.__init__(self)
        ReduceMixin.__init__(self, pattern, reduction, **axes_lengths)

    def forward(self, input: Tensor) -> Tensor:
        """Reduce the axes that the pattern's right side lacks."""
        return self._apply_recipe(input)


class EinMix(_EinmixMixin, Module):
    """A linear layer by a pattern, as `einops.layers` has it.

    Parameters
    ----------
    pattern : str
        The axes of input and output, ``"b c -> b d"``.
    weight_shape : str
        The axes of the weight, ``"c d"``.
    bias_shape : str, optional
        The axes of the bias, ``"d"``.
    **axes_lengths
        The lengths of the axes of the weight.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.einops import EinMix
    >>> EinMix("b c -> b d", weight_shape="c d", bias_shape="d", c=3, d=4)(tfl.zeros((2, 3))).shape
    (2, 4)
    """

    def __init__(self, pattern: str, weight_shape: str, bias_shape: str | None = None,
                 **axes_lengths: Any) -> None:  # fmt: skip
        Module.__init__(self)
        _EinmixMixin.__init__(self, pattern, weight_shape, bias_shape, **axes_lengths)

    def _create_parameters(self, weight_shape: Any, weight_bound: float, bias_shape: Any,
                           bias_bound: float) -> None:  # fmt: skip
        self.weight = Parameter(creation.empty(weight_shape))
        uniform_(self.weight, -weight_bound, weight_bound)
        self.bias = None
        if bias_shape is not None:
            self.bias = Parameter(creation.empty(bias_shape))
            uniform_(self.bias, -bias_bound, bias_bound)

    def _create_rearrange_layers(self, pre_reshape_pattern: str | None,
                                 pre_reshape_lengths: dict[str, int] | None,
                                 post_reshape_pattern: str | None,
                                 post_reshape_lengths: dict[str, int] | None) -> None:  # fmt: skip
        self.pre_rearrange = self.post_rearrange = None
        if pre_reshape_pattern is not None:
            self.pre_rearrange = Rearrange(pre_reshape_pattern, **pre_reshape_lengths or {})
        if post_reshape_pattern is not None:
            self.post_rearrange = Rearrange(post_reshape_pattern, **post_reshape_lengths or {})

    def forward(self, input: Tensor) -> Tensor:
        """Apply the weight and the bias."""
        if self.pre_rearrange is not None:
            input = self.pre_rearrange(input)
        result = products.einsum(self.einsum_pattern, input, self.weight)
        if self.bias is not None:
            result = result + self.bias
        return result if self.post_rearrange is None else self.post_rearrange(result)
