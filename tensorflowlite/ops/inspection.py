"""What the array namespace can do, as the Array API standard asks for it."""

from __future__ import annotations

from typing import Any

from ..backend import Device, backend_for, dtypes
from ..backend.cuda import devices as cuda
from ..errors import ArgumentError

_NAMES = (
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128"
)
_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


class ArrayNamespaceInfo:
    """What `__array_namespace_info__` returns: capabilities, devices and dtypes.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> info = tfl.__array_namespace_info__()
    >>> info.capabilities()["boolean indexing"], info.default_device()
    (True, Device('cpu'))
    >>> info.default_dtypes()["real floating"]
    dtype('float32')
    >>> sorted(info.dtypes(kind="complex floating"))
    ['complex128', 'complex64']
    >>> "cpu" in info.devices()
    True
    """

    def capabilities(self) -> dict[str, Any]:
        """Return what the namespace can do: boolean indexing, data-dependent shapes, axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """Return the device of new tensors: the CPU."""
        return Device("cpu")

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """Return the dtypes that new tensors have by default, by their kind.

        Parameters
        ----------
        device : str, optional
            They are the same on every device.
        """
        _known(device)
        return {
            "real floating": dtypes.default["f"],
            "complex floating": dtypes.default["c"],
            "integral": dtypes.default["i"],
            "indexing": dtypes.int64,
        }

    def devices(self) -> list[Device]:
        """Return the devices that can be used here."""
        count = cuda.device_count() if cuda.is_available() else 0
        return [Device("cpu"), *[Device(f"cuda:{i}") for i in range(count)]]

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """Return the dtypes of the standard, by name; float16 and bfloat16 stand beside it.

        Parameters
        ----------
        device : str, optional
            They are the same on every device.
        kind : str or tuple of str, optional
            Only those of a kind, as in `isdtype`.

        Raises
        ------
        ArgumentError
            There is no such kind.
        """
        _known(device)
        kinds = tuple(_KINDS) if kind is None else kind if isinstance(kind, tuple) else (kind,)
        for one in kinds:
            if one not in _KINDS:
                raise ArgumentError(f"dtypes: kind must be one of {', '.join(_KINDS)}, got {one!r}")
        letters = "".join([_KINDS[one] for one in kinds])
        found = {name: dtypes.as_dtype(name) for name in _NAMES.split()}
        return {name: dtype for name, dtype in found.items() if dtype.kind in letters}


def _known(device: Any) -> None:
    if device is not None:
        backend_for(device)  # raises for a device that isn't there


def __array_namespace_info__() -> ArrayNamespaceInfo:
    """Return what the namespace can do, as the Array API standard asks for it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> tfl.__array_namespace_info__().capabilities()["max dimensions"]
    64
    """
    return ArrayNamespaceInfo()
