"""Methods of `Tensor` that are no operation by themselves, or that have a form of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..backend import dtypes
from ..core import tape
from ..core.entry import lift
from ..core.tensor import Tensor
from ..errors import DtypeError, ShapeError, UnsupportedArgumentError
from . import elementwise as e
from . import joining, reduction
from .arguments import as_tensor, one_axis
from .casting import astype, clone, to_device
from .indexing import getitem, take
from .matrix import matmul
from .shaping import (
    _permute,
    _reshape,
    broadcast_shapes,
    broadcast_to,
    flip,
    matrix_transpose,
    permute_dims,
    reshape,
    shape_argument,
)


# -- gradients -------------------------------------------------------------------------------------
def backward(
    x: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Accumulate the gradients of this tensor in the leaves that it depends on.

    Parameters
    ----------
    gradient : Tensor, optional
        The incoming gradient, of this tensor's shape; needed unless it holds one element.
    retain_graph : bool, optional
        Keep what was saved, for another backward pass; by default as ``create_graph``.
    create_graph : bool
        Record the pass itself, for derivatives of higher order.
    inputs : Tensor or sequence of Tensor, optional
        Accumulate in these alone, leaves or not; by default in every leaf.

    Raises
    ------
    GradientError
        The tensor doesn't require grad, isn't a scalar, or its graph was freed.
    StaleValueError
        A saved value was changed in place.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """
    if isinstance(inputs, Tensor):
        inputs = [inputs]
    tape.backward([x], [gradient], retain_graph, create_graph, inputs)


# -- casts and devices -----------------------------------------------------------------------------
def to(x: Tensor, *args: Any, device: Any = None, dtype: Any = None, copy: bool = False,
       non_blocking: bool = False) -> Tensor:  # fmt: skip
    """Return the tensor on a device, in a dtype, or as another tensor is; itself where it is so.

    Parameters
    ----------
    *args : str, dtype or Tensor
        A device, a dtype, both in any order, or a tensor to be like.
    device : str, optional
        Where to.
    dtype : dtype, optional
        The wanted dtype.
    copy : bool
        Whether to copy also where nothing changes.
    non_blocking : bool
        For PyTorch's sake: a copy to a device never waits longer than it must.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(2).to("cpu", tfl.float64)
    tensor([1., 1.], dtype=float64)
    """
    for value in args:
        if type(value) is Tensor:
            device, dtype = value.device, value.dtype
        elif isinstance(value, str):
            device = value
        elif value is not None:
            dtype = value
    out = x
    if dtype is not None:
        out = astype(out, dtype, copy=False)
    if device is not None:
        out = to_device(out, device)
    return clone(out) if copy and out is x else out


def cpu(x: Tensor) -> Tensor:
    """Return the tensor on the CPU; itself where it is there."""
    return to_device(x, "cpu")


def cuda(x: Tensor, device: Any = None) -> Tensor:
    """Return the tensor on a GPU, given as a number or as ``"cuda:1"``: `to_device`."""
    if device is None:
        return to_device(x, "cuda")
    return to_device(x, f"cuda:{device}" if isinstance(device, int) else device)


def cast_to(name: str, dtype: str) -> Callable[[Tensor], Tensor]:
    """Return the method that casts to one dtype."""
    wanted = dtypes.as_dtype(dtype)

    def cast(x: Tensor) -> Tensor:
        return astype(x, wanted, copy=False)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"Return the tensor as {dtype}; itself where it is."
    return cast


def type_as(x: Tensor, other: Tensor) -> Tensor:
    """Return the tensor in the dtype and on the device of another.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(2).type_as(tfl.zeros(1, dtype=tfl.int64))
    tensor([1, 1])
    """
    return to(x, other)


# -- what it is ------------------------------------------------------------------------------------
def dim(x: Tensor) -> int:
    """The number of axes, as `ndim`."""
    return x.array.ndim


def numel(x: Tensor) -> int:
    """The number of elements, as `size`."""
    return x.array.size


def element_size(x: Tensor) -> int:
    """The number of bytes of an element."""
    return x.array.dtype.itemsize


def is_contiguous(x: Tensor) -> bool:
    """Whether the elements lie in memory one after the other, in C order."""
    return x.array.flags.c_contiguous


def contiguous(x: Tensor) -> Tensor:
    """Return the tensor with its elements in C order; itself where they are."""
    return x if x.array.flags.c_contiguous else clone(x)


def is_floating_point(x: Tensor) -> bool:
    """Whether the dtype is a real float one."""
    return x.array.dtype in dtypes.real_inexact


def is_complex(x: Tensor) -> bool:
    """Whether the dtype is a complex one."""
    return x.array.dtype.kind == "c"


# -- python's protocols ----------------------------------------------------------------------------
def iterate(x: Tensor) -> Iterator[Tensor]:
    """Iterate over the first axis."""
    if x.array.ndim == 0:
        raise DtypeError("iter: a tensor without axes can't be iterated over, got shape ()")
    return iter(joining.unstack(x))


def contains(x: Tensor, value: Any) -> bool:
    """Whether an element equals ``value``."""
    equal = x == value  # False where the value is no operand
    return isinstance(equal, Tensor) and bool(reduction.any(equal))


def divmod(x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
    """Quotient rounded towards minus infinity, and remainder."""
    return e.floor_divide(x, y), e.remainder(x, y)


# -- elementwise -----------------------------------------------------------------------------------
def scaled(y: Any, x: Tensor, alpha: Any) -> Any:
    """Return ``alpha * y``; ``y`` itself where that is the same."""
    return y if type(alpha) is int and alpha == 1 else lift(y, x) * alpha


def add(x: Tensor, y: Any, *, alpha: Any = 1) -> Tensor:
    """Sum, elementwise: ``x + alpha * y``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([3.0]).add(tfl.tensor([1.0]), alpha=2)
    tensor([5.])
    """
    return e.add(x, scaled(y, x, alpha))


def sub(x: Tensor, y: Any, *, alpha: Any = 1) -> Tensor:
    """Difference, elementwise: ``x - alpha * y``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([3.0]).sub(tfl.tensor([1.0]), alpha=2)
    tensor([1.])
    """
    return e.subtract(x, scaled(y, x, alpha))


def addcmul(x: Tensor, y: Any, z: Any, *, value: Any = 1) -> Tensor:
    """Sum with a product, elementwise: ``x + value * y * z``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(1).addcmul(tfl.tensor([2.0]), tfl.tensor([3.0]), value=0.5)
    tensor([4.])
    """
    return e.add(x, e.multiply(scaled(y, x, value), z))


def addcdiv(x: Tensor, y: Any, z: Any, *, value: Any = 1) -> Tensor:
    """Sum with a quotient, elementwise: ``x + value * y / z``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(1).addcdiv(tfl.tensor([6.0]), tfl.tensor([3.0]), value=0.5)
    tensor([2.])
    """
    return e.add(x, e.divide(scaled(y, x, value), z))


def lerp(x: Tensor, end: Any, weight: Any) -> Tensor:
    """Go part of the way to ``end``, elementwise: ``x + weight * (end - x)``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([1.0, 2.0]).lerp(tfl.tensor([3.0, 6.0]), 0.5)
    tensor([2., 4.])
    """
    return e.add(x, e.multiply(e.subtract(lift(end, x), x), weight))


def clamp_min(x: Tensor, min: Any) -> Tensor:
    """Limit the elements from below: ``clip(min=min)``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([-1.0, 2.0]).clamp_min(0)
    tensor([0., 2.])
    """
    return e.clip(x, min, None)


def clamp_max(x: Tensor, max: Any) -> Tensor:
    """Limit the elements from above: ``clip(max=max)``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([-1.0, 2.0]).clamp_max(0)
    tensor([-1.,  0.])
    """
    return e.clip(x, None, max)


def round(x: Tensor, decimals: int = 0) -> Tensor:
    """Round to a number of decimals; halves go to the even digit.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([1.26, 2.74]).round(decimals=1)
    tensor([1.3, 2.7])
    """
    if decimals == 0:
        return e.round(x)
    scale = 10.0**decimals
    return e.round(x * scale) / scale


def where(x: Tensor, condition: Any, y: Any) -> Tensor:
    """Return ``x`` where the condition is true, and ``y`` elsewhere.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.tensor([-1.0, 2.0])
    >>> x.where(x > 0, 0.0)
    tensor([0., 2.])
    """
    return e.where(condition, x, y)


# -- shapes ----------------------------------------------------------------------------------------
def reshaped(x: Tensor, /, *lengths: Any, **options: Any) -> Tensor:
    """Return the elements in another shape, given as one tuple or as integers."""
    if not lengths:
        return reshape(x, **options)
    if len(lengths) > 1 and not options:
        return _reshape(x, shape_argument("reshape", lengths))
    return reshape(x, lengths[0] if len(lengths) == 1 else lengths, **options)


functools.update_wrapper(reshaped, reshape)


def view(x: Tensor, *shape: Any) -> Tensor:
    """Return the elements in another shape: `reshape`.

    Raises
    ------
    UnsupportedArgumentError
        A dtype is given: use ``astype``, which converts the values.
    """
    if len(shape) == 1:
        (shape,) = shape
        if isinstance(shape, type | str) or hasattr(shape, "kind"):
            raise UnsupportedArgumentError(
                f"view: a shape is needed, got the dtype {shape!r}; use astype(dtype)"
            )
    return reshape(x, shape)


def view_as(x: Tensor, other: Tensor) -> Tensor:
    """Return the elements in the shape of another tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.arange(4).view_as(tfl.zeros((2, 2)))
    tensor([[0, 1],
            [2, 3]])
    """
    return reshape(x, other.array.shape)


_REVERSED = tuple(tuple(range(ndim))[::-1] for ndim in range(65))


def reversed_axes(x: Tensor) -> Tensor:
    """The tensor with its axes in reverse order, as a view."""
    return _permute(x, _REVERSED[x.array.ndim])


def adjoint(x: Tensor) -> Tensor:
    """The conjugate of the tensor with its last two axes exchanged."""
    turned = matrix_transpose(x)
    return e.conj(turned) if x.array.dtype.kind == "c" else turned


def t(x: Tensor) -> Tensor:
    """Return the transpose of a matrix; a vector as it is."""
    if x.array.ndim > 2:
        raise ShapeError(f"t: at most two axes are expected, got shape {x.shape}; use mT")
    return reversed_axes(x)


def transpose(x: Tensor, *axes: Any, **spelling: Any) -> Tensor:
    """Return a view with the axes in another order; by default reversed.

    Parameters
    ----------
    *axes : tuple of int, or int for each axis
        The axes in their new order. Two integers are refused: NumPy takes them for a permutation,
        PyTorch for two axes to exchange.

    Raises
    ------
    UnsupportedArgumentError
        Two integers are given.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.zeros((2, 3, 4)).transpose((2, 0, 1)).shape
    (4, 2, 3)
    """
    if spelling or (len(axes) == 2 and not isinstance(axes[0], tuple | list)):
        pair = ", ".join(str(one) for one in (*axes, *spelling.values()))
        raise UnsupportedArgumentError(
            f"transpose: a tuple of all axes is needed, got {pair}; use swapaxes({pair}), or "
            "permute_dims with a tuple"
        )
    if not axes or axes == (None,):
        return reversed_axes(x)
    if len(axes) == 1 and isinstance(axes[0], tuple | list):
        (axes,) = axes
    return permute_dims(x, tuple(axes))


def flipped(x: Tensor, *axes: Any, axis: Any = None, dims: Any = None) -> Tensor:
    """Return a view with the elements in reverse order along some axes; by default along all."""
    if axes:
        axis = axes[0] if len(axes) == 1 else axes
    return flip(x, axis if dims is None else dims)


def expand(x: Tensor, *shape: Any) -> Tensor:
    """Return a read-only view repeated to a shape; -1 keeps a length.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([[1.0], [2.0]]).expand(-1, 2)
    tensor([[1., 1.],
            [2., 2.]])
    """
    wanted = shape_argument("expand", shape[0] if len(shape) == 1 else shape)
    have = x.array.shape
    new = len(wanted) - len(have)
    if new < 0 or -1 in wanted[:new]:
        raise ShapeError(f"expand: -1 stands for a length that is there, got {have} -> {wanted}")
    lengths = [have[i - new] if n == -1 else n for i, n in enumerate(wanted)]
    return broadcast_to(x, tuple(lengths))


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """Return a read-only view repeated to the shape of another tensor.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([1.0, 2.0]).expand_as(tfl.zeros((2, 2)))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return broadcast_to(x, other.array.shape)


def tile(x: Tensor, *repetitions: Any) -> Tensor:
    """Return the tensor laid side by side along each axis."""
    return joining.tile(x, repetitions[0] if len(repetitions) == 1 else repetitions)


def repeat(x: Tensor, repeats: Any, *more: Any, axis: int | None = None) -> Tensor:
    """Return the tensor with each element repeated, along an axis or of all in a row.

    Raises
    ------
    UnsupportedArgumentError
        More than one positional argument is given: PyTorch lays whole tensors side by side.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.arange(2).repeat(2)
    tensor([0, 0, 1, 1])
    """
    if more:
        times = (repeats, *more)
        raise UnsupportedArgumentError(
            f"repeat: one positional argument is allowed, got {times}; use tile({times}) to lay "
            "tensors side by side, or axis= to repeat elements along an axis"
        )
    return joining.repeat(x, repeats, axis=axis)


def repeat_interleave(x: Tensor, repeats: Any, dim: int | None = None) -> Tensor:
    """Return the tensor with each element repeated: PyTorch's name of `repeat`."""
    return joining.repeat(x, repeats, axis=dim)


def index_select(x: Tensor, dim: int, index: Any) -> Tensor:
    """Return the slices at ``index`` along an axis: `take`."""
    return take(x, index, axis=dim)


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """Return the slice at ``index`` along an axis, without it, as a view.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([[1.0, 2.0], [3.0, 4.0]]).select(1, 0)
    tensor([1., 3.])
    """
    return getitem(x, (*(slice(None),) * one_axis("select", dim, x.array.ndim), index))


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Return ``length`` places along an axis, from ``start`` on, as a view.

    Raises
    ------
    ShapeError
        They reach beyond the axis.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.arange(5).narrow(0, 1, 3)
    tensor([1, 2, 3])
    """
    axis = one_axis("narrow", dim, x.array.ndim)
    size = x.array.shape[axis]
    first = start + size if start < 0 else start
    if not 0 <= first <= first + length <= size:
        raise ShapeError(
            f"narrow: the places must lie on the axis, got {start} and length {length} of {size}"
        )
    return getitem(x, (*(slice(None),) * axis, slice(first, first + length)))


def masked_select(x: Tensor, mask: Any) -> Tensor:
    """Return the elements where ``mask`` is true, in a row.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x = tfl.arange(4)
    >>> x.masked_select(x > 1)
    tensor([2, 3])
    """
    mask = as_tensor(mask)
    shape = broadcast_shapes(x.array.shape, mask.array.shape)
    return getitem(broadcast_to(x, shape), broadcast_to(mask, shape))


# -- products --------------------------------------------------------------------------------------
def _product(name: str, x_ndim: int, y_ndim: int, doc: str) -> Callable[[Tensor, Tensor], Tensor]:
    def product(x: Tensor, y: Tensor) -> Tensor:
        if x.array.ndim != x_ndim or y.array.ndim != y_ndim:
            raise ShapeError(
                f"{name}: inputs of {x_ndim} and {y_ndim} axes are needed, got {x.shape} and "
                f"{y.shape}; matmul takes any"
            )
        return matmul(x, y)

    product.__name__ = product.__qualname__ = name
    product.__doc__ = doc
    return product


mm = _product("mm", 2, 2, "Product of two matrices: `matmul`.")
bmm = _product("bmm", 3, 3, "Products of two stacks of matrices: `matmul`.")
mv = _product("mv", 2, 1, "Product of a matrix and a vector: `matmul`.")


def dot(x: Tensor, y: Any) -> Tensor:
    """Inner product of vectors, product of matrices; as `matmul`, for at most two axes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([1.0, 2.0]).dot(tfl.tensor([3.0, 4.0]))
    tensor(11.)
    """
    y = lift(y, x)
    if x.array.ndim > 2 or y.array.ndim > 2:
        raise ShapeError(
            f"dot: at most two axes are expected, got {x.shape} and {y.shape}; use matmul for "
            "stacks of matrices, or tensordot"
        )
    return matmul(x, y)
