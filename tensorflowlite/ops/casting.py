"""Casting to other dtypes, copies, and moves between devices."""

from __future__ import annotations

from typing import Any

from ..backend import Device, backend_for, backend_of, dtypes, is_array, ndarray, number_types
from ..backend.dtypes import FloatLimits, IntegerLimits
from ..core.tensor import Tensor, wrap
from ..errors import DtypeError, UnsupportedArgumentError
from .arguments import as_tensor
from .declare import general, unary
from .gradient import cast as _cast

clone = unary(
    "clone",
    lambda g: g,
    """Return a copy that gradients flow through.

    Parameters
    ----------
    x : Tensor
        Any shape and dtype.

    Returns
    -------
    Tensor
        Contiguous.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.clone(tfl.ones(2))
    tensor([1., 1.])
    """,
)


def clone_for(x: Any, *others: Any) -> Tensor:
    """Return a copy that values of ``others`` can be written into: inside vmap, of every sample."""
    x = as_tensor(x)
    if any(type(one) is Tensor and type(one.array) is not ndarray for one in (x, *others)):
        from ..core.batching import spread_over

        x = spread_over(x, others)
    return clone(x)  # type: ignore[no-any-return]


# The pair (from, to): the gradient goes the way back.
_to_device = general(
    "to_device",
    ("x",),
    (lambda k, g, move: k.to_device(g, (move[1], move[0])),),
    "The same values on another device.",
    attributes=("move",),
)


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """Return the tensor in another dtype.

    Parameters
    ----------
    x : Tensor
        Any shape.
    dtype : dtype
        The wanted dtype. Gradients flow between float and complex dtypes; integers and bool have
        none.
    copy : bool
        Whether to copy where ``x`` has the dtype already; False returns ``x`` itself then.
    device : str, optional
        Where the result lives; by default where ``x`` does.

    Returns
    -------
    Tensor

    Raises
    ------
    DtypeError
        A complex tensor is asked to become a real one: say real(), imag() or abs().

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.astype(tfl.tensor([1.7, -1.7]), tfl.int64)
    tensor([ 1, -1])
    """
    x = as_tensor(x)
    if device is not None:
        moved = to_device(x, device)
        x, copy = moved, copy and moved is x
    found = dtypes.as_dtype(dtype)
    have = x.array.dtype
    if have == found:
        return clone(x) if copy else x
    if have.kind == "c" and found.kind not in "cb":
        raise DtypeError(
            f"astype: a complex tensor can't become a real one, got {have} -> {found}; "
            "use real(), imag() or abs()"
        )
    if found not in dtypes.inexact and x.node is not None:
        x = wrap(x.array, None)  # what holds integers has no gradient
    return _cast(x, found)


def to_device(x: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    """Return the tensor on a device; itself where it is there. Gradients go the way back.

    Parameters
    ----------
    x : Tensor
        Any shape.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    stream : None
        The transfer runs in the device's current stream.

    Returns
    -------
    Tensor

    Raises
    ------
    DeviceError
        The device isn't known, or isn't usable here.
    UnsupportedArgumentError
        A stream is given.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.to_device(tfl.ones(2), "cpu").device
    Device('cpu')
    """
    x = as_tensor(x)
    if stream is not None:
        raise UnsupportedArgumentError(
            f"to_device: stream must be None, got {stream!r}; the current stream is used"
        )
    there = backend_for(device)
    here = x.device
    if here == device or (there is backend_of(x.array) and device == there.device_type):
        return x
    return _to_device(x, (here, Device(device)))


def _dtype_of(value: Any) -> Any:
    if type(value) is Tensor or is_array(value):
        return value.dtype
    return dtypes.as_dtype(value)


def result_type(*values: Any) -> Any:
    """Return the dtype that an operation on these operands gives.

    Parameters
    ----------
    *values : Tensor, array, dtype or number
        Numbers are weak: they change the kind at most.

    Returns
    -------
    numpy.dtype

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.result_type(tfl.float32, tfl.int64), tfl.result_type(tfl.bfloat16, 2.0).name
    (dtype('float64'), 'bfloat16')
    """
    numbers = [value for value in values if isinstance(value, number_types)]
    others = [_dtype_of(value) for value in values if not isinstance(value, number_types)]
    if not values:
        raise DtypeError("result_type: at least one operand is needed, got none")
    if not others:  # the default dtype of the highest kind
        kinds = [as_tensor(number).array.dtype.kind for number in numbers]
        return dtypes.default[max(kinds, key="biufc".index)]
    found = dtypes.promote(*others)
    for number in numbers:
        weak = number.item() if hasattr(number, "item") else number
        found = dtypes.with_scalar(found, weak)
    return found


def can_cast(source: Any, target: Any, /) -> bool:
    """Whether every value of one dtype can be held by another.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.can_cast(tfl.float32, tfl.float64), tfl.can_cast(tfl.int64, tfl.float32)
    (True, False)
    """
    have, want = _dtype_of(source), dtypes.as_dtype(target)
    return have == want or dtypes.promote(have, want) == want


def finfo(kind: Any, /) -> FloatLimits:
    """Return the limits of a float dtype; of a complex one those of its parts.

    Parameters
    ----------
    kind : dtype or Tensor
        The dtype, or a tensor of it.

    Returns
    -------
    FloatLimits
        With the attributes ``bits``, ``eps``, ``max``, ``min``, ``smallest_normal`` and ``dtype``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.finfo(tfl.float32).max > 1e38, tfl.finfo(tfl.bfloat16).bits
    (True, 16)
    """
    return dtypes.float_limits(dtypes.real_of(_dtype_of(kind)))


def iinfo(kind: Any, /) -> IntegerLimits:
    """Return the limits of an integer dtype.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.iinfo(tfl.int8).max
    127
    """
    return dtypes.integer_limits(_dtype_of(kind))


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "fV",
    "complex floating": "c",
    "numeric": "iufVc",
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is another one, or of a kind.

    Parameters
    ----------
    dtype : dtype
        The dtype in question.
    kind : dtype, str or tuple of them
        ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``,
        ``"real floating"``, ``"complex floating"`` or ``"numeric"``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.isdtype(tfl.bfloat16, "real floating"), tfl.isdtype(tfl.int8, ("bool", "numeric"))
    (True, True)
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    found = dtypes.as_dtype(dtype)
    if isinstance(kind, str) and kind in _KINDS:
        return found.kind in _KINDS[kind]
    return found == dtypes.as_dtype(kind)
