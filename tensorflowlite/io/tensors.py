"""The safetensors format, through the official package's ``serialize`` and ``deserialize``.

The package's own NumPy reader doesn't know bfloat16; the table of dtypes here does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy
import safetensors

from ..backend import backend_of, dtypes, is_array
from ..core.tensor import Tensor
from ..errors import ArgumentError, DataError, DtypeError
from ..ops.creation import asarray
from .files import FilePath, can_be, check_path, parse_json, read_bytes, write_atomically

# complex128 is the one dtype of ours that the format lacks.
_READ: dict[str, numpy.dtype[Any]] = {
    "BOOL": dtypes.bool_,
    "I8": dtypes.int8,
    "I16": dtypes.int16,
    "I32": dtypes.int32,
    "I64": dtypes.int64,
    "U8": dtypes.uint8,
    "U16": dtypes.uint16,
    "U32": dtypes.uint32,
    "U64": dtypes.uint64,
    "F16": dtypes.float16,
    "BF16": dtypes.bfloat16,
    "F32": dtypes.float32,
    "F64": dtypes.float64,
    "C64": dtypes.complex64,
}
_WRITABLE = frozenset(_READ.values())
# Newer releases of the package read the arrays where they lie; older ones take their bytes.
_TensorSpec = getattr(safetensors, "TensorSpec", None)


def save_safetensors(
    path: FilePath, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors to a safetensors file, atomically.

    Where the write fails (a full disk, say), a file that stood there before is unchanged.

    Parameters
    ----------
    path : str or path
        The file; its folder must exist.
    tensors : mapping of str to Tensor or array
        Any shapes and memory layouts, on any device. Every dtype but complex128.
    metadata : mapping of str to str, optional
        Text that is kept in the file's header.

    Raises
    ------
    ArgumentError
        Where a name, or a part of the metadata, isn't text.
    DtypeError
        Where a value is no tensor or array, or the format has no such dtype.
    WriteError
        Where the file can't be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import tensorflowlite as tfl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     tfl.save_safetensors(path, {"weight": tfl.ones((2, 2))})
    ...     tfl.load_safetensors(path)
    {'weight': tensor([[1., 1.],
            [1., 1.]])}
    """
    check_path("save_safetensors", path, "tensors")
    write_atomically(path, encode("save_safetensors", tensors, metadata), op="save_safetensors")


def encode(
    op: str, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None
) -> bytes | bytearray:
    """Return the bytes of the file that `save_safetensors` writes."""
    check_metadata(op, metadata)
    arrays = {name: _host(op, name, value) for name, value in tensors.items()}
    specifications = {name: _describe(array) for name, array in arrays.items()}
    try:
        # `arrays` holds the memory that the specifications point to.
        content = safetensors.serialize(specifications, dict(metadata or {}) or None)
    except safetensors.SafetensorError as error:
        raise DataError(f"{op}: the format must be able to hold the tensors, got {error}") from None
    return _in_order(bytes(content), sorted(metadata or {}))


def check_metadata(op: str, metadata: Mapping[str, str] | None) -> None:
    """Raise unless it is text by name."""
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ArgumentError(
                f"{op}: metadata must be text by name, got {key!r}: {type(value).__name__}; "
                "convert it with json.dumps"
            )


def _in_order(content: bytes, keys: list[str]) -> bytes | bytearray:
    """Return a file's bytes with its metadata sorted; the package's order is another each time."""
    if len(keys) < 2:
        return content
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = {key: header["__metadata__"][key] for key in keys}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    # The data, which may be large, are copied once.
    return bytearray().join(
        (len(text).to_bytes(8, "little"), text, memoryview(content)[8 + length :])
    )


def _host(op: str, name: Any, value: Any) -> numpy.ndarray[Any, Any]:
    if not isinstance(name, str):
        raise ArgumentError(f"{op}: the names must be text, got {name!r}")
    array = value.array if isinstance(value, Tensor) else value
    if not is_array(array):
        raise DtypeError(
            f"{op}: every value must be a tensor or an array, got {type(value).__name__} for "
            f"'{name}'; tfl.save takes numbers and text as well"
        )
    host = backend_of(array).to_host(array)
    little = host.dtype.newbyteorder("<") if host.dtype.byteorder == ">" else host.dtype
    if little not in _WRITABLE:
        hint = "use tfl.save, or save its real and its imaginary part"
        if little != dtypes.complex128:
            hint = "cast it first"
        raise DtypeError(f"{op}: safetensors has no dtype {little}, got it for '{name}'; {hint}")
    # numpy.ascontiguousarray would make a 1-d array of a 0-d one.
    return numpy.asarray(host, dtype=little, order="C")


def _describe(array: numpy.ndarray[Any, Any]) -> Any:
    name, shape = array.dtype.name, list(array.shape)
    if _TensorSpec is None:
        return {"dtype": name, "shape": shape, "data": array.tobytes()}
    return _TensorSpec(dtype=name, shape=shape, data_ptr=array.ctypes.data, data_len=array.nbytes)


def load_safetensors(path: FilePath, device: Any = None) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file.

    Parameters
    ----------
    path : str or path
        The file.
    device : str, optional
        Where the tensors go; the CPU by default.

    Returns
    -------
    dict of str to Tensor
        The tensors under their names, in the order of their names; none requires grad.

    Raises
    ------
    DataError
        Where the file can't be read, is cut short, or is no safetensors file.

    Examples
    --------
    >>> import os, tempfile
    >>> import tensorflowlite as tfl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "one.safetensors")
    ...     tfl.save_safetensors(path, {"step": tfl.tensor(3)})
    ...     tfl.load_safetensors(path)["step"].item()
    3
    """
    arrays, _ = decode("load_safetensors", path)
    return {name: asarray(array, device=device) for name, array in arrays.items()}


def read_metadata(path: FilePath) -> dict[str, str]:
    """Return the metadata in the header of a safetensors file.

    Examples
    --------
    >>> import os, tempfile
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite.io import read_metadata
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "one.safetensors")
    ...     tfl.save_safetensors(path, {"x": tfl.ones(1)}, metadata={"task": "digits"})
    ...     read_metadata(path)
    {'task': 'digits'}
    """
    return decode("read_metadata", path)[1]


def decode(op: str, path: FilePath) -> tuple[dict[str, numpy.ndarray[Any, Any]], dict[str, str]]:
    """Return the arrays, sorted by name, and the metadata of a safetensors file."""
    return decode_bytes(op, read_bytes(op, path), path)


def decode_bytes(
    op: str, content: bytes, path: FilePath
) -> tuple[dict[str, numpy.ndarray[Any, Any]], dict[str, str]]:
    """Return what `decode` does of a file's bytes; the path is for the messages."""
    try:
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise DataError(
            f"{op}: the file must be whole safetensors data, got {len(content)} bytes "
            f"({_reason(error)}); '{path}' is truncated or no safetensors file"
        ) from None
    try:
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{op}: the header must be JSON that all readers read alike, got {error}; '{path}' was "
            "changed or made by hand"
        ) from None
    arrays = {}
    for name, entry in sorted(entries, key=lambda item: item[0]):
        dtype = _READ.get(entry["dtype"])
        if dtype is None:
            raise DataError(
                f"{op}: every tensor must have a dtype of this library, got {entry['dtype']} for "
                f"'{name}'; '{path}' needs another reader"
            )
        if not can_be(entry["shape"], dtype.itemsize):
            raise DataError(
                f"{op}: every tensor must have a shape that an array can have, got "
                f"{entry['shape']!s:.80} for '{name}'; '{path}' needs another reader"
            )
        # A bytearray, and the copy of bytes, can be written to.
        data = entry["data"] if isinstance(entry["data"], bytearray) else bytearray(entry["data"])
        array = numpy.frombuffer(data, dtype).reshape(entry["shape"])
        # A bool of another byte than 0 or 1 is true and false at once in NumPy.
        arrays[name] = array.view(dtypes.uint8) != 0 if dtype == dtypes.bool_ else array
    return arrays, dict(header.get("__metadata__") or {})


def _reason(error: Exception) -> str:
    text = " ".join(str(error).removeprefix("Error while deserializing: ").split())
    return f"{text:.200}"
