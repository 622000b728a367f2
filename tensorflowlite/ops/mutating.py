"""Methods of `Tensor` that change the tensor itself, beyond those made of one operation."""

from __future__ import annotations

from typing import Any

from ..core.entry import lift, primitive
from ..core.tensor import Tensor
from ..core.views import change_in_place, prepare_change
from ..errors import DtypeError, GradientError, ShapeError
from . import elementwise as e
from . import random
from .casting import astype, clone, to_device
from .indexing import setitem
from .matrix import matmul
from .shaping import broadcast_to
from .tensor_methods import scaled


def add_(x: Tensor, y: Any, *, alpha: Any = 1) -> Tensor:
    """Like ``x + alpha * y``, into the tensor itself; returns it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(2).add_(tfl.ones(2), alpha=2)
    tensor([3., 3.])
    """
    return change_in_place(primitive("add"), "add_", x, lift(scaled(y, x, alpha), x))


def sub_(x: Tensor, y: Any, *, alpha: Any = 1) -> Tensor:
    """Like ``x - alpha * y``, into the tensor itself; returns it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(2).sub_(tfl.ones(2), alpha=2)
    tensor([-1., -1.])
    """
    return change_in_place(primitive("subtract"), "sub_", x, lift(scaled(y, x, alpha), x))


def abs_(x: Tensor) -> Tensor:
    """Like `abs`, into the tensor itself; returns it."""
    if x.array.dtype.kind == "c":
        raise DtypeError(
            f"abs_: the tensor must be real, got {x.dtype}, whose modulus is of another dtype; "
            "use abs()"
        )
    return change_in_place(primitive("abs"), "abs_", x)


def addcmul_(x: Tensor, y: Any, z: Any, *, value: Any = 1) -> Tensor:
    """Like ``x + value * y * z``, into the tensor itself; returns it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(1).addcmul_(tfl.tensor([2.0]), tfl.tensor([3.0]), value=0.5)
    tensor([4.])
    """
    product = e.multiply(scaled(y, x, value), z)
    return change_in_place(primitive("add"), "addcmul_", x, product)


def addcdiv_(x: Tensor, y: Any, z: Any, *, value: Any = 1) -> Tensor:
    """Like ``x + value * y / z``, into the tensor itself; returns it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(1).addcdiv_(tfl.tensor([6.0]), tfl.tensor([3.0]), value=0.5)
    tensor([2.])
    """
    quotient = e.divide(scaled(y, x, value), z)
    return change_in_place(primitive("add"), "addcdiv_", x, quotient)


def lerp_(x: Tensor, end: Any, weight: Any) -> Tensor:
    """Go part of the way to ``end``, in the tensor itself; returns it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([1.0, 2.0]).lerp_(tfl.tensor([3.0, 6.0]), 0.5)
    tensor([2., 4.])
    """
    step = e.multiply(e.subtract(lift(end, x), x), weight)
    return change_in_place(primitive("add"), "lerp_", x, step)


def detach_(x: Tensor) -> Tensor:
    """Forget how the tensor was made; returns it. Views can't."""
    if type(x.base) is tuple:
        raise GradientError("detach_: the tensor must not be a view, got one; use detach()")
    x.node = None
    return x


def matmul_(x: Tensor, y: Any) -> Tensor:
    """Like ``x @ y``, into the tensor itself; returns it. The shape must stay."""
    prepare_change("matmul_", x)
    product = matmul(clone(x), y)
    if product.array.shape != x.array.shape:
        raise ShapeError(
            f"matmul_: the product must have the tensor's shape, got {product.shape} into "
            f"{x.shape}; use x = x @ y"
        )
    setitem(x, ..., product)
    return x


def _assign(name: str, x: Tensor, value: Any) -> Tensor:
    prepare_change(name, x)
    setitem(x, ..., value)
    return x


def zero_(x: Tensor) -> Tensor:
    """Set all elements to zero; returns the tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(2).zero_()
    tensor([0., 0.])
    """
    return _assign("zero_", x, False)


def fill_(x: Tensor, value: Any) -> Tensor:
    """Set all elements to a number; returns the tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.zeros(2).fill_(3)
    tensor([3., 3.])
    """
    return _assign("fill_", x, value)


def copy_(x: Tensor, source: Any) -> Tensor:
    """Take over the elements of another tensor, of any dtype and device; returns the tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.zeros(2).copy_(tfl.tensor([1, 2]))
    tensor([1., 2.])
    """
    source = astype(lift(source, x), x.array.dtype, copy=False)
    return _assign("copy_", x, to_device(source, x.device))


def clamp_(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Limit the elements to a range, in the tensor itself; returns it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([-2.0, 2.0]).clamp_(0, 1)
    tensor([0., 1.])
    """
    if min is not None:
        change_in_place(primitive("clip_low"), "clamp_", x, lift(min, x))
    if max is not None:
        change_in_place(primitive("clip_high"), "clamp_", x, lift(max, x))
    return x


def masked_fill_(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Set the elements where ``mask`` is true to a number; returns the tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([1.0, 2.0])
    >>> x.masked_fill_(x > 1, 0)
    tensor([1., 0.])
    """
    prepare_change("masked_fill_", x)
    setitem(x, broadcast_to(mask, x.array.shape), value)
    return x


def uniform_(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Set the elements to numbers drawn evenly from [low, high); returns the tensor."""
    drawn = random.uniform(low, high, x.array.shape, dtype=x.dtype, device=x.device)
    return copy_(x, drawn)


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Set the elements to numbers drawn from a normal distribution; returns the tensor."""
    drawn = random.normal(mean, std, x.array.shape, dtype=x.dtype, device=x.device)
    return copy_(x, drawn)
