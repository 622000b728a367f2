"""Making tensors from data, and filled with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import (  # fmt: skip
    Device,
    backend_for,
    backend_of,
    dtypes,
    from_data,
    is_array,
    ndarray,
    numpy_backend,
)
from ..core.messages import no_room
from ..core.tensor import Tensor, wrap
from ..errors import ArgumentError, DtypeError, ShapeError
from ..runtime import mode, shared
from .arguments import as_tensor, known, plain_numbers, shape_argument
from .arguments import move as move
from .casting import astype, clone, to_device
from .nested import holds_tensors, stacked
from .shaping import _broadcast_to, _reshape


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a new tensor that holds a copy of ``data``.

    Parameters
    ----------
    data : array, number or nested sequence of them
        Python numbers become float32, int64, complex64 or bool; an array keeps its dtype. A
        tensor is copied without its history, as PyTorch does (``clone()`` keeps it); gradients
        flow to tensors in a sequence, as with `stack`.
    dtype : dtype, optional
        The dtype to convert to.
    device : str, optional
        Where the tensor lives; by default where ``data`` is, the CPU for Python data.
    requires_grad : bool
        Whether to accumulate gradients of it; then it has no history.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    return _finish(_make("tensor", data, dtype, device, copy=True), requires_grad)


def asarray(
    data: Any,
    /,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor for ``data``, sharing the memory of an array where it can.

    A change made through the array isn't seen by the tape: nothing warns when a saved value is
    changed behind its back.

    Parameters
    ----------
    data : array, Tensor, number or nested sequence
        A tensor comes back as it is, unless a copy, cast or transfer is asked for.
    dtype, device
        As in `tensor`.
    copy : bool or None
        True always copies, False raises where sharing isn't possible.
    requires_grad : bool
        Whether to accumulate gradients of it.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflowlite as tfl
    >>> a = np.zeros(2)
    >>> t = tfl.asarray(a)
    >>> a[0] = 5
    >>> t
    tensor([5., 0.], dtype=float64)
    """
    if type(data) is not Tensor:
        return _finish(_make("asarray", data, dtype, device, copy), requires_grad)
    out = data if device is None else to_device(data, device)
    if dtype is not None:
        out = astype(out, dtype, copy=False)
    if copy is False and out is not data:
        raise DtypeError(
            f"asarray: with copy=False the tensor must be {dtype or data.dtype} on "
            f"{device or data.device} already, got {data.dtype} on {data.device}"
        )
    return _finish(clone(out) if copy and out is data else out, requires_grad)


def _make(name: str, data: Any, dtype: Any, device: Any, copy: bool | None) -> Tensor:
    dtype = None if dtype is None else dtypes.as_dtype(dtype)
    if isinstance(data, list | tuple) and copy is not False and holds_tensors(data):
        joined = stacked(name, data, lambda one: _make(name, one, None, None, True), dtype)
        return joined if device is None else to_device(joined, device)
    if shared.captures and type(data) is Tensor:
        data = data.detach()  # which makes it part of what is recorded
    source = data.array if type(data) is Tensor else data
    array = source if is_array(source) else from_data(name, source, dtype)
    if copy is False and not is_array(source):
        raise DtypeError(
            f"{name}: with copy=False data must be an array, got {type(data).__name__}"
        )
    if array.dtype not in dtypes.supported:
        array = known(name, array, dtype, copy is not False)
    found = array
    if dtype is not None and found.dtype != dtype:
        if found.dtype.kind == "c" and dtype.kind not in "cb":
            raise DtypeError(
                f"{name}: complex data can't become real, got {found.dtype} -> {dtype}; "
                "use real(), imag() or abs()"
            )
        found = backend_of(found).cast(found, dtype)
    if device is not None:
        found = move(found, device)
    if copy is False and found is not array:
        raise DtypeError(
            f"{name}: with copy=False data must be {dtype or array.dtype} on the device already, "
            f"got {array.dtype}"
        )
    if copy and found is source:
        found = backend_of(found).copy(found)
    elif shared.captures and found is data:
        mode.capture.shared.add(id(found))
    return wrap(found, None)


def _finish(made: Tensor, requires_grad: bool) -> Tensor:
    if not requires_grad:
        return made
    return (made if made.is_leaf else made.detach()).requires_grad_()


# -- filled with one value -------------------------------------------------------------------------
def _fill(
    name: str, shape: Any, value: Any, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    device = "cpu" if device is None else device
    backend = backend_for(device)
    found = dtypes.default["f"] if dtype is None else dtypes.as_dtype(dtype)
    shape = shape_argument(name, shape)
    try:
        array = backend.filled(shape, value, found, Device(device))
    except ValueError as error:
        raise ShapeError(f"{name}: lengths must not be negative, got {shape}") from error
    except MemoryError as error:
        raise no_room(name, error, device) from error
    return _finish(wrap(array, None), requires_grad)


def zeros(
    shape: Any, *lengths: int, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor of zeros, float32 by default.

    Parameters
    ----------
    shape, *lengths : int, or one tuple of int
        The shape of the result: ``(2, 3)``, or the lengths one by one.
    dtype, device, requires_grad
        As in `tensor`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.zeros((2, 2))
    tensor([[0., 0.],
            [0., 0.]])
    """
    return _fill("zeros", (shape, *lengths) if lengths else shape, 0, dtype, device, requires_grad)


def ones(
    shape: Any, *lengths: int, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor of ones, float32 by default.

    Parameters
    ----------
    shape, *lengths : int, or one tuple of int
        The shape of the result: ``(2, 3)``, or the lengths one by one.
    dtype, device, requires_grad
        As in `tensor`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(3)
    tensor([1., 1., 1.])
    """
    return _fill("ones", (shape, *lengths) if lengths else shape, 1, dtype, device, requires_grad)


def full(
    shape: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor that holds one value everywhere.

    Parameters
    ----------
    shape : int or tuple of int
        The shape of the result.
    fill_value : number, or Tensor of one element
        What to fill it with; gradients flow to a tensor.
    dtype : dtype, optional
        By default that of the value's kind: float32, int64, complex64 or bool; a tensor's own.
    device : str, optional
        Where the tensor lives; by default the CPU, or where ``fill_value`` is.
    requires_grad : bool
        Whether to accumulate gradients of it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.full(2, 7), tfl.full(2, 0.5)
    (tensor([7, 7]), tensor([0.5, 0.5]))
    """
    if type(fill_value) is Tensor:
        return _finish(_spread("full", fill_value, shape, dtype, device), requires_grad)
    value, found = _number("full", fill_value)
    return _fill("full", shape, value, dtype or found, device, requires_grad)


def _spread(name: str, value: Tensor, shape: Any, dtype: Any, device: Any) -> Tensor:
    """Return a tensor's one element everywhere, recorded."""
    wanted = shape_argument(name, shape)
    if value.array.size != 1:
        raise ShapeError(f"{name}: the value must be one number, got shape {value.shape}")
    if any(n < 0 for n in wanted):
        raise ShapeError(f"{name}: lengths must not be negative, got {wanted}")
    if dtype is not None:
        value = astype(value, dtype, copy=False)
    if device is not None:
        value = to_device(value, device)
    return clone(_broadcast_to(_reshape(value, ()), wanted))


def _number(name: str, value: Any) -> tuple[Any, Any]:
    """Return a number given as such, or as what holds one, and the dtype it goes by default."""
    if type(value) in (bool, int, float, complex):
        return value, dtypes.as_dtype(type(value))  # unrounded: float64 may be asked for
    held = as_tensor(value)
    if held.array.size != 1:
        raise ShapeError(f"{name}: the value must be one number, got shape {held.shape}")
    return held.item(), held.dtype


def empty(
    shape: Any, *lengths: int, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor whose elements aren't set, float32 by default.

    Parameters
    ----------
    shape, *lengths : int, or one tuple of int
        The shape of the result: ``(2, 3)``, or the lengths one by one.
    dtype, device, requires_grad
        As in `tensor`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.empty((2, 3)).shape
    (2, 3)
    """
    device = "cpu" if device is None else device
    backend = backend_for(device)
    wanted = shape_argument("empty", (shape, *lengths) if lengths else shape)
    like = backend.filled((), 0, dtypes.default["f"], Device(device))
    if any(n < 0 for n in wanted):
        raise ShapeError(f"empty: lengths must not be negative, got {wanted}")
    found = dtypes.default["f"] if dtype is None else dtypes.as_dtype(dtype)
    try:
        array = backend.empty_strided(like, wanted, found, (), False)
    except MemoryError as error:
        raise no_room("empty", error, backend.device_of(like)) from error
    return _finish(wrap(array, None), requires_grad)


def _like(name: str, x: Any, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    x = as_tensor(x)
    return filled_as(name, x, x.array.shape, value, dtype, device, requires_grad)


def filled_as(
    name: str, x: Tensor, shape: Any, value: Any, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    """Return one value everywhere, by default of the dtype and on the device of ``x``.

    Inside vmap it may hold a value for every sample, as ``x`` does.
    """
    found = x.array.dtype if dtype is None else dtype
    if type(value) is Tensor:
        spread = _spread(name, value, shape, found, device or x.device)
        if _batched(x):  # its own gradient is zero: it only says for which samples
            spread = spread + filled_as(name, x, shape, 0, found, device, False)
        return _finish(spread, requires_grad)
    if not _batched(x):
        return _fill(name, shape, value, found, device or x.device, requires_grad)
    filled: Any = backend_of(x.array).filled_like
    wanted, dtype = shape_argument(name, shape), dtypes.as_dtype(found)
    array = filled(x.array, wanted, value, dtype, Device(device or x.device))
    return _finish(wrap(array, None), requires_grad)


def _batched(x: Tensor) -> bool:
    return type(x.array) is not ndarray and backend_of(x.array).batches


def zeros_like(
    x: Tensor, /, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros of the shape, the dtype and on the device of ``x``.

    Parameters
    ----------
    x : Tensor
        What gives shape, dtype and device.
    dtype, device, requires_grad
        As in `tensor`; by default as ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.zeros_like(tfl.arange(3))
    tensor([0, 0, 0])
    """
    return _like("zeros_like", x, 0, dtype, device, requires_grad)


def ones_like(
    x: Tensor, /, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return ones of the shape, the dtype and on the device of ``x``.

    Parameters
    ----------
    x : Tensor
        What gives shape, dtype and device.
    dtype, device, requires_grad
        As in `tensor`; by default as ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones_like(tfl.arange(3))
    tensor([1, 1, 1])
    """
    return _like("ones_like", x, 1, dtype, device, requires_grad)


def full_like(
    x: Tensor,
    /,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return one value everywhere, of the shape, the dtype and on the device of ``x``.

    Parameters
    ----------
    x : Tensor
        What gives shape, dtype and device.
    fill_value : number, or Tensor of one element
        What to fill it with; gradients flow to a tensor.
    dtype, device, requires_grad
        As in `tensor`; by default as ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.full_like(tfl.zeros(2), 3)
    tensor([3., 3.])
    """
    value = fill_value if type(fill_value) is Tensor else _number("full_like", fill_value)[0]
    return _like("full_like", x, value, dtype, device, requires_grad)


def empty_like(
    x: Tensor, /, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor that isn't set, of the shape, the dtype and on the device of ``x``.

    Parameters
    ----------
    x : Tensor
        What gives shape, dtype and device.
    dtype, device, requires_grad
        As in `tensor`; by default as ``x``.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.empty_like(tfl.zeros((2, 3))).shape
    (2, 3)
    """
    x = as_tensor(x)
    if _batched(x):
        return _like("empty_like", x, 0, dtype, device, requires_grad)
    found = x.array.dtype if dtype is None else dtype
    return empty(x.array.shape, dtype=found, device=device or x.device, requires_grad=requires_grad)


# -- sequences and matrices ------------------------------------------------------------------------
def _from_host(array: Any, device: Any, requires_grad: bool) -> Tensor:
    return _finish(wrap(array if device is None else move(array, device), None), requires_grad)


def arange(
    start: Any,
    /,
    stop: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return evenly spaced values in [start, stop); int64 for integers, else float32.

    Parameters
    ----------
    start, stop : number
        The first value and the end; with one argument the values start at 0.
    step : number
        The distance from one value to the next; not 0.
    dtype, device, requires_grad
        As in `tensor`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.arange(3), tfl.arange(0, 1, 0.5)
    (tensor([0, 1, 2]), tensor([0. , 0.5]))
    """
    if stop is None:
        start, stop = 0, start
    stop = stop.item() if hasattr(stop, "item") else stop
    start, step = plain_numbers("arange: start and step", "start + step * arange(n)", start, step)
    if step == 0:
        raise ArgumentError("arange: step must not be 0, got 0")
    if dtype is None:
        floating = any(isinstance(value, float) for value in (start, stop, step))
        dtype = dtypes.default["f" if floating else "i"]
    found = dtypes.as_dtype(dtype)
    # In the dtype itself the step would be rounded before it is added so many times.
    real = found in dtypes.real_inexact
    fractions = found.kind in "iu" and any(type(v) is float for v in (start, stop, step))
    exact = dtypes.float64 if real or fractions else found
    array = numpy_backend.arange(start, stop, step, dtype=exact).astype(found, copy=False)
    return _from_host(array, device, requires_grad)


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    *,
    endpoint: bool = True,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return ``num`` evenly spaced values from ``start`` to ``stop``; float32 by default.

    Parameters
    ----------
    start, stop : number
        The first and the last value.
    num : int
        How many values.
    endpoint : bool
        Whether ``stop`` is one of them.
    dtype, device, requires_grad
        As in `tensor`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.linspace(0, 1, 3)
    tensor([0. , 0.5, 1. ])
    """
    if num < 0:
        raise ArgumentError(f"linspace: num must not be negative, got {num}")
    hint = "start + (stop - start) * linspace(0, 1, num)"
    first, last = plain_numbers("linspace: start and stop", hint, start, stop)
    if dtype is None:
        is_complex = isinstance(first, complex) or isinstance(last, complex)
        dtype = dtypes.default["c" if is_complex else "f"]
    array = numpy_backend.linspace(first, last, num, endpoint=endpoint)
    return _from_host(array.astype(dtypes.as_dtype(dtype), copy=False), device, requires_grad)


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a matrix with ones on a diagonal and zeros elsewhere; float32 by default.

    Parameters
    ----------
    n_rows, n_cols : int
        The shape; square with one argument.
    k : int
        Above (positive) or below the main diagonal.
    dtype, device, requires_grad
        As in `tensor`.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.eye(2, 3)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    found = dtypes.default["f"] if dtype is None else dtypes.as_dtype(dtype)
    try:
        array = numpy_backend.eye(n_rows, n_cols, k, dtype=found)
    except ValueError as error:
        raise ShapeError(f"eye: lengths must not be negative, got {(n_rows, n_cols)}") from error
    return _from_host(array, device, requires_grad)


def meshgrid(*xs: Tensor, indexing: str = "xy") -> list[Tensor]:
    """Return the coordinates of a grid: each tensor's values spread over all axes, as views.

    Parameters
    ----------
    *xs : Tensor, shape (n,)
        The coordinates along each axis.
    indexing : str
        ``"xy"``: the first two axes exchanged, as for pictures; ``"ij"``: in the order given.

    Returns
    -------
    list of Tensor

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> x, y = tfl.meshgrid(tfl.arange(3), tfl.arange(2), indexing="ij")
    >>> x.shape, y[0]
    ((3, 2), tensor([0, 1]))
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    tensors: Sequence[Tensor] = [as_tensor(x) for x in xs]
    for x in tensors:
        if x.array.ndim > 1:
            raise ShapeError(f"meshgrid: each tensor must have one axis, got shape {x.shape}")
    places = list(range(len(tensors)))
    if indexing == "xy" and len(tensors) > 1:
        places[:2] = [1, 0]
    lengths = [1] * len(tensors)
    for x, place in zip(tensors, places, strict=True):
        lengths[place] = x.array.size
    grids = []
    for x, place in zip(tensors, places, strict=True):
        own = [1] * len(tensors)
        own[place] = lengths[place]
        grids.append(_broadcast_to(_reshape(x, tuple(own)), tuple(lengths)))
    return grids
