"""Taking in other libraries' arrays, without a copy."""

from __future__ import annotations

from typing import Any

from ..backend import backend_for, backend_of, dtypes, numpy_backend
from ..core.tensor import Tensor, wrap
from ..errors import DeviceError, DtypeError
from .arguments import known
from .creation import _finish, move


def from_numpy(array: Any, /, *, requires_grad: bool = False) -> Tensor:
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
    found: Any = array
    if found.dtype not in dtypes.supported:
        found = known("from_numpy", found)
    return _finish(wrap(found, None), requires_grad)


def from_dlpack(
    x: Any, /, *, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor that shares the memory of another library's array, by DLPack.

    A change made through the other library isn't seen by the tape.

    Parameters
    ----------
    x : object with ``__dlpack__`` and ``__dlpack_device__``
        An array on the CPU or on a CUDA device.
    device : str, optional
        Where the tensor lives; by default where ``x`` does.
    copy : bool or None
        True always copies, False raises where sharing isn't possible.
    requires_grad : bool
        Whether to accumulate gradients of it.

    Returns
    -------
    Tensor

    Raises
    ------
    DtypeError
        ``x`` doesn't speak DLPack, or is on another kind of device.
    DeviceError
        With ``copy=False``, the array is on another device.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflowlite as tfl
    >>> tfl.from_dlpack(np.arange(3.0))
    tensor([0., 1., 2.], dtype=float64)
    """
    if not hasattr(x, "__dlpack_device__"):
        raise DtypeError(
            f"from_dlpack: an object with __dlpack__ is needed, got {type(x).__name__}"
        )
    kind = _DLPACK_DEVICES.get(int(x.__dlpack_device__()[0]))
    if kind is None:
        raise DtypeError(
            "from_dlpack: the array must be on the CPU or a CUDA device, got "
            f"{x.__dlpack_device__()}"
        )
    array = backend_for(kind).from_dlpack(x)
    found = array if device is None else move(array, device)
    if found is not array:
        if copy is False:
            raise DeviceError(
                f"from_dlpack: with copy=False the array must be on {device} already, got "
                f"{backend_of(array).device_of(array)}"
            )
    elif copy:
        found = backend_of(array).copy(array)
    return _finish(wrap(found, None), requires_grad)


_DLPACK_DEVICES = {1: "cpu", 2: "cuda", 3: "cpu", 13: "cuda"}  # also pinned and managed memory
