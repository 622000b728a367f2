"""Methods of `Tensor` that are no operation by themselves, or that have a form of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..backend import dtypes
from ..core import tape
from ..core.entry import lift
from ..core.tensor import Tensor
from ..core.views import change_in_place, prepare_change
from ..errors import DtypeError, GradientError, ShapeError, UnsupportedArgumentError
from . import elementwise as e
from . import joining, random, reduction
from .arguments import as_tensor, one_axis
from .casting import astype, clone, to_device
from .indexing import getitem, setitem, take
from .matrix import matmul
from .shaping import (
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
    tape.backward([x], [gradient], retain_graph, create_graph)


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
    """Return the tensor on a GPU, given as a number or as ``"cuda:1"``; by default on the first."""
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
    """Return the tensor in the dtype and on the device of another."""
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
    equal = e.equal.operator(x, value)
    return equal is not NotImplemented and bool(reduction.any(equal))


def divmod(x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
    """Quotient rounded towards minus infinity, and remainder."""
    return e.floor_divide(x, y), e.remainder(x, y)


# -- elementwise -----------------------------------------------------------------------------------
def _scaled(y: Any, x: Tensor, alpha: Any) -> Any:
    return y if type(alpha) is int and alpha == 1 else lift(y, x) * alpha


def add(x: Tensor, y: Any, *, alpha: Any = 1) -> Tensor:
    """Sum, elementwise: ``x + alpha * y``."""
    return e.add(x, _scaled(y, x, alpha))


def sub(x: Tensor, y: Any, *, alpha: Any = 1) -> Tensor:
    """Difference, elementwise: ``x - alpha * y``."""
    return e.subtract(x, _scaled(y, x, alpha))


def addcmul(x: Tensor, y: Any, z: Any, *, value: Any = 1) -> Tensor:
    """Sum with a product, elementwise: ``x + value * y * z``."""
    return e.add(x, e.multiply(_scaled(y, x, value), z))


def addcdiv(x: Tensor, y: Any, z: Any, *, value: Any = 1) -> Tensor:
    """Sum with a quotient, elementwise: ``x + value * y / z``."""
    return e.add(x, e.divide(_scaled(y, x, value), z))


def lerp(x: Tensor, end: Any, weight: Any) -> Tensor:
    """Go part of the way to ``end``, elementwise: ``x + weight * (end - x)``."""
    return e.add(x, e.multiply(e.subtract(lift(end, x), x), weight))


def clamp_min(x: Tensor, min: Any) -> Tensor:
    """Limit the elements from below: ``clip(min=min)``."""
    return e.clip(x, min, None)


def clamp_max(x: Tensor, max: Any) -> Tensor:
    """Limit the elements from above: ``clip(max=max)``."""
    return e.clip(x, None, max)


def round(x: Tensor, decimals: int = 0) -> Tensor:
    """Round to a number of decimals; halves go to the even digit."""
    if decimals == 0:
        return e.round(x)
    scale = 10.0**decimals
    return e.round(x * scale) / scale


def where(x: Tensor, condition: Any, y: Any) -> Tensor:
    """Return ``x`` where the condition is true, and ``y`` elsewhere."""
    return e.where(condition, x, y)


# -- into the tensor itself ------------------------------------------------------------------------
def add_(x: Tensor, y: Any, *, alpha: Any = 1) -> Tensor:
    """Like ``x + alpha * y``, into the tensor itself; returns it."""
    return change_in_place(e.add.primitive, "add_", x, lift(_scaled(y, x, alpha), x))


def sub_(x: Tensor, y: Any, *, alpha: Any = 1) -> Tensor:
    """Like ``x - alpha * y``, into the tensor itself; returns it."""
    return change_in_place(e.subtract.primitive, "sub_", x, lift(_scaled(y, x, alpha), x))


def abs_(x: Tensor) -> Tensor:
    """Like `abs`, into the tensor itself; returns it."""
    if x.array.dtype.kind == "c":
        raise DtypeError(
            f"abs_: the tensor must be real, got {x.dtype}, whose modulus is of another dtype; "
            "use abs()"
        )
    return change_in_place(e.abs.primitive, "abs_", x)


def addcmul_(x: Tensor, y: Any, z: Any, *, value: Any = 1) -> Tensor:
    """Like ``x + value * y * z``, into the tensor itself; returns it."""
    product = e.multiply(_scaled(y, x, value), z)
    return change_in_place(e.add.primitive, "addcmul_", x, product)


def addcdiv_(x: Tensor, y: Any, z: Any, *, value: Any = 1) -> Tensor:
    """Like ``x + value * y / z``, into the tensor itself; returns it."""
    quotient = e.divide(_scaled(y, x, value), z)
    return change_in_place(e.add.primitive, "addcdiv_", x, quotient)


def lerp_(x: Tensor, end: Any, weight: Any) -> Tensor:
    """Go part of the way to ``end``, in the tensor itself; returns it."""
    step = e.multiply(e.subtract(lift(end, x), x), weight)
    return change_in_place(e.add.primitive, "lerp_", x, step)


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
    """Set all elements to a number; returns the tensor."""
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
    """Limit the elements to a range, in the tensor itself; returns it."""
    if min is not None:
        change_in_place(e._clip_low.primitive, "clamp_", x, lift(min, x))
    if max is not None:
        change_in_place(e._clip_high.primitive, "clamp_", x, lift(max, x))
    return x


def masked_fill_(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Set the elements where ``mask`` is true to a number; returns the tensor."""
    prepare_change("masked_fill_", x)
    setitem(x, broadcast_to(mask, x.array.shape), value)
    return x


def uniform_(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Set the elements to numbers drawn evenly from [low, high); returns the tensor."""
    return copy_(x, random.uniform(low, high, x.array.shape, device=x.device))


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Set the elements to numbers drawn from a normal distribution; returns the tensor."""
    return copy_(x, random.normal(mean, std, x.array.shape, device=x.device))


# -- shapes ----------------------------------------------------------------------------------------
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
    """Return the elements in the shape of another tensor."""
    return reshape(x, other.array.shape)


def reversed_axes(x: Tensor) -> Tensor:
    """The tensor with its axes in reverse order, as a view."""
    return permute_dims(x, tuple(range(x.array.ndim))[::-1])


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
    """Return a read-only view repeated to a shape; -1 keeps a length."""
    wanted = shape_argument("expand", shape[0] if len(shape) == 1 else shape)
    have = x.array.shape
    new = len(wanted) - len(have)
    if new < 0 or -1 in wanted[:new]:
        raise ShapeError(f"expand: -1 stands for a length that is there, got {have} -> {wanted}")
    lengths = [have[i - new] if n == -1 else n for i, n in enumerate(wanted)]
    return broadcast_to(x, tuple(lengths))


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """Return a read-only view repeated to the shape of another tensor."""
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
    """Return the slice at ``index`` along an axis, without it, as a view."""
    return getitem(x, (*(slice(None),) * one_axis("select", dim, x.array.ndim), index))


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Return ``length`` places along an axis, from ``start`` on, as a view.

    Raises
    ------
    ShapeError
        They reach beyond the axis.
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
    """Return the elements where ``mask`` is true, in a row."""
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


mm = _product("mm", 2, 2, "Product of two matrices.")
bmm = _product("bmm", 3, 3, "Products of two stacks of matrices.")
mv = _product("mv", 2, 1, "Product of a matrix and a vector.")


def dot(x: Tensor, y: Any) -> Tensor:
    """Inner product of vectors, product of matrices; as `matmul`, for at most two axes."""
    y = lift(y, x)
    if x.array.ndim > 2 or y.array.ndim > 2:
        raise ShapeError(
            f"dot: at most two axes are expected, got {x.shape} and {y.shape}; use matmul for "
            "stacks of matrices, or tensordot"
        )
    return matmul(x, y)
