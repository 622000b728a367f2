"""The one table of the methods and operators of `Tensor`."""

from __future__ import annotations

from typing import Any

from ..core import tape
from ..core.entry import binary_entry, lift
from ..core.tensor import Tensor
from ..core.views import change_in_place
from ..errors import DtypeError
from . import elementwise as e
from . import indexing, matrix, reduction, shaping
from .creation import move


def _operator(function: Any) -> Any:
    """Return an operation as an operator: NotImplemented for what is no operand."""
    if hasattr(function, "operator"):
        return function.operator  # the entry point itself, with that answer built in

    def operate(x: Any, y: Any) -> Any:
        try:
            return function(x, y)
        except DtypeError as error:
            return _decline(x, y, error)

    operate.__name__ = function.__name__
    return operate


def _decline(x: Any, y: Any, error: DtypeError) -> Any:
    try:
        lift(y, x)
    except DtypeError:
        return NotImplemented
    raise error


def _reflected(function: Any) -> Any:
    def operate(x: Any, y: Any) -> Any:
        try:
            y = lift(y, x)
        except DtypeError:
            return NotImplemented
        return function(y, x)

    return operate


def _in_place(function: Any) -> Any:
    op = function.primitive
    name = f"{op.name}_"

    def change(x: Tensor, *others: Any) -> Tensor:
        return change_in_place(op, name, x, *[lift(other, x) for other in others])

    change.__name__ = change.__qualname__ = name
    change.__doc__ = f"Like `{op.name}`, into the tensor itself; returns it."
    return change


def _shape_method(function: Any) -> Any:
    def method(x: Tensor, *shape: Any, **options: Any) -> Tensor:
        return function(x, shape[0] if len(shape) == 1 else shape, **options)

    method.__name__ = function.__name__
    method.__doc__ = function.__doc__
    return method


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


def clone(x: Tensor) -> Tensor:
    """Return a copy that gradients flow through."""
    return e.positive(x) if x.array.dtype.kind != "b" else e.logical_or(x, x)


def to(x: Tensor, *args: Any, device: Any = None, dtype: Any = None) -> Tensor:
    """Return the tensor on a device or in a dtype; itself where nothing changes."""
    for value in args:
        if isinstance(value, str):
            device = value
        else:
            dtype = value
    if dtype is not None:
        x = astype(x, dtype)
    return x if device is None else to_device(x, device)


_TABLE: dict[str, Any] = {
    "__add__": _operator(e.add), "__radd__": _operator(e.add), "__iadd__": _in_place(e.add),
    "__sub__": _operator(e.subtract), "__rsub__": _reflected(e.subtract),
    "__isub__": _in_place(e.subtract),
    "__mul__": _operator(e.multiply), "__rmul__": _operator(e.multiply),
    "__imul__": _in_place(e.multiply),
    "__truediv__": _operator(e.divide), "__rtruediv__": _reflected(e.divide),
    "__itruediv__": _in_place(e.divide),
    "__pow__": _operator(e.power), "__rpow__": _reflected(e.power), "__ipow__": _in_place(e.power),
    "__neg__": e.negative, "__pos__": e.positive, "__abs__": e.abs,
    "__eq__": _operator(e.equal), "__ne__": _operator(e.not_equal),
    "__lt__": _operator(e.less), "__le__": _operator(e.less_equal),
    "__gt__": _operator(e.greater), "__ge__": _operator(e.greater_equal),
    "__matmul__": _operator(matrix.matmul), "__rmatmul__": _reflected(matrix.matmul),
    "__getitem__": indexing.getitem, "__setitem__": indexing.setitem,
    "exp_": _in_place(e.exp), "mul_": _in_place(e.multiply), "add_": _in_place(e.add),
    "backward": backward, "clone": clone,
    "sum": reduction.sum, "reshape": _shape_method(shaping.reshape),
    "T": property(lambda x: shaping._permute(x, tuple(range(x.ndim))[::-1])),
    "mT": property(matrix.matrix_transpose),
}  # fmt: skip

for _name, _value in _TABLE.items():
    setattr(Tensor, _name, _value)
