"""Making tensors from data, and filled with numbers."""

from __future__ import annotations

from typing import Any

from ..backend import Device, backend_for, backend_of, dtypes, from_data, is_array, numpy_backend
from ..core.tensor import Tensor, wrap
from ..errors import DtypeError


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a new tensor that holds a copy of ``data``.

    Parameters
    ----------
    data : array, number or nested sequence of them
        Python numbers become float32, int64, complex64 or bool; an array keeps its dtype.
    dtype : dtype, optional
        The dtype to convert to.
    device : str, optional
        Where the tensor lives; by default where ``data`` is, the CPU for Python data.
    requires_grad : bool
        Whether to accumulate gradients of it.

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
    made = _make("tensor", data, dtype, device, copy=True)
    return made.requires_grad_() if requires_grad else made


def asarray(data: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
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
    if type(data) is Tensor and dtype is None and device is None and not copy:
        return data
    return _make("asarray", data, dtype, device, copy)


def from_numpy(array: Any, /) -> Tensor:
    """Return a tensor that shares the memory of a NumPy array.

    A change made through NumPy isn't seen by the tape.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflowlite as tfl
    >>> tfl.from_numpy(np.arange(3))
    tensor([0, 1, 2])
    """
    if not isinstance(array, numpy_backend.array_type):
        raise DtypeError(f"from_numpy: a NumPy array is needed, got {type(array).__name__}")
    return _make("from_numpy", array, None, None, False)


def _make(name: str, data: Any, dtype: Any, device: Any, copy: bool | None) -> Tensor:
    dtype = None if dtype is None else dtypes.as_dtype(dtype)
    source = data.array if type(data) is Tensor else data
    array = source if is_array(source) else from_data(name, source, dtype)
    if dtype is not None and array.dtype != dtype:
        array = backend_of(array).cast(array, dtype)
    if device is not None:
        array = move(array, device)
    if copy and array is source:
        array = backend_of(array).copy(array)
    if copy is False and array is not source and not is_array(source):
        raise DtypeError(f"{name}: with copy=False data must be an array, got {type(data).__name__}")
    return wrap(array, None)


def move(array: Any, device: Any) -> Any:
    """Return an array on another device; the array itself where it is there already."""
    here = backend_of(array)
    there = backend_for(device)
    if here is there and Device(device) in (there.device_of(array), there.device_type):
        return array
    return there.from_host(here.to_host(array), Device(device))


def _fill(name: str, shape: Any, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    from .shaping import shape_argument

    backend = backend_for(device or "cpu")
    found = dtypes.default["f"] if dtype is None else dtypes.as_dtype(dtype)
    made = wrap(backend.filled(shape_argument(name, shape), value, found, Device(device or "cpu")), None)
    return made.requires_grad_() if requires_grad else made


def zeros(shape: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of zeros, float32 by default.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.zeros((2, 2))
    tensor([[0., 0.],
            [0., 0.]])
    """
    return _fill("zeros", shape, 0, dtype, device, requires_grad)


def ones(shape: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of ones, float32 by default.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.ones(3)
    tensor([1., 1., 1.])
    """
    return _fill("ones", shape, 1, dtype, device, requires_grad)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return evenly spaced values in [start, stop); int64 for integers, else float32.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.arange(3), tfl.arange(0, 1, 0.5)
    (tensor([0, 1, 2]), tensor([0. , 0.5]))
    """
    if stop is None:
        start, stop = 0, start
    if dtype is None:
        floating = any(isinstance(value, float) for value in (start, stop, step))
        dtype = dtypes.default["f" if floating else "i"]
    array = numpy_backend.arange(start, stop, step, dtype=dtypes.as_dtype(dtype))
    return wrap(array if device is None else move(array, device), None)
