"""The reader of NPZ files: ZIP archives of arrays, which whoever wrote them may have made up.

What an array takes is known from its header before memory for it is asked for, and must be what the
archive says that the member is long.
"""

from __future__ import annotations

import io
import os
import re
import struct
import warnings
import zipfile
import zlib
from typing import Any

import numpy as np

from ..errors import DataError
from ..io.files import can_be
from .readers import FilePath, most_unpacked

_HEADER = 16384  # bytes of a member that are read first; NumPy refuses headers over 10000
_CHUNK = 1 << 20
_READERS: dict[Any, Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
try:
    from lzma import LZMAError as _LZMAError
except ImportError:  # Python was built without
    _LZMAError = zlib.error  # type: ignore[assignment, misc]


def read_npz(path: FilePath) -> dict[str, np.ndarray]:
    """Read all arrays of an NPZ file, as ``numpy.savez`` writes it.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays under their names.

    Raises
    ------
    DataError
        Where the file can't be read, is no NPZ file, is damaged or cut short, holds an array of
        Python objects (those are pickled, and nothing is unpickled here), names that lead out of
        a folder, or compressed data that would take 100 times the file's memory and over 1 GiB.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from tensorflowlite.data import read_npz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "data.npz")
    ...     np.savez(path, x=np.ones((2, 3), np.float32), y=np.array([0, 1]))
    ...     arrays = read_npz(path)
    >>> arrays["x"].shape, arrays["y"].tolist()
    ((2, 3), [0, 1])
    """
    start = _first_bytes(path, 6)
    if start == b"\x93NUMPY":
        raise DataError(
            "read_npz: the file must be an NPZ archive of arrays, got a single array in NPY form; "
            f"read '{path}' with numpy.load"
        )
    if not start.startswith((b"PK\3\4", b"PK\5\6")):
        raise DataError(
            "read_npz: the file must be an NPZ archive, which begins with the bytes 50 4b, got "
            f"{start.hex(' ') or 'an empty file'}; '{path}' is no NPZ file"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(".npy") for member in members]
            _check_names(names, path)
            _check_sizes(members, os.path.getsize(path), path)
            pairs = zip(names, members, strict=True)
            return {name: _read_member(archive, member, name, path) for name, member in pairs}
    except (
        zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, UnicodeError,
        # What zipfile raises for encrypted members, methods it lacks, and damaged ones of LZMA.
        NotImplementedError, RuntimeError, _LZMAError,
    ) as error:  # fmt: skip
        raise _damaged(path, f"{' '.join(str(error).split()):.200}") from None


def _check_names(names: list[str], path: FilePath) -> None:
    seen: set[str] = set()
    for name in names:
        # Nothing is unpacked here, but who writes files under these names must be safe as well.
        if ".." in re.split(r"[/\\]", name) or re.match(r"[/\\]|[A-Za-z]:", name) or "\0" in name:
            raise DataError(
                f"read_npz: the names of arrays must stay within a folder, got {name!r:.80}; "
                f"'{path}' was made by hand"
            )
        if name in seen:
            raise DataError(
                f"read_npz: the names of arrays must differ, got {name!r:.80} twice; '{path}' was "
                "made by hand"
            )
        seen.add(name)


def _check_sizes(members: list[zipfile.ZipInfo], packed: int, path: FilePath) -> None:
    """Refuse members that lie over each other, and more data than a file so long may hold."""
    end = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        if member.header_offset < end:
            raise _damaged(path, f"members that overlap at '{member.filename:.80}'")
        end = member.header_offset + member.compress_size
    unpacked = sum(member.file_size for member in members)
    if unpacked > most_unpacked(packed):
        raise DataError(
            f"read_npz: the archive must unpack to at most {most_unpacked(packed)} bytes, got "
            f"{unpacked} of {packed}; save '{path}' with numpy.savez, uncompressed, if you trust it"
        )


def _read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, path: FilePath
) -> np.ndarray:
    with archive.open(member) as file:
        start = file.read(_HEADER)
        if not start.startswith(b"\x93NUMPY"):
            raise DataError(
                "read_npz: every member of the archive must be an array in NPY form, got "
                f"'{name:.80}' in another form; '{path}' is no NPZ file"
            )
        shape, in_columns, dtype, offset = _header(start, name, path)
        if dtype.hasobject:
            raise DataError(
                f"read_npz: arrays must hold numbers, got Python objects in '{name:.80}', which "
                f"only unpickling could read; save '{path}' again with numeric arrays"
            )
        odd = dtype.itemsize == 0 or dtype.subdtype is not None
        if odd or not can_be(shape, dtype.itemsize):
            raise _damaged(path, f"an array of {dtype} and shape {shape!s:.80}")
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if size != member.file_size - offset:
            raise _damaged(path, f"{member.file_size - offset} bytes for {size} in '{name:.80}'")
        data = bytearray(start[offset:])
        # What the archive says of its size may be made up: memory grows as data comes.
        while chunk := file.read(_CHUNK):
            data += chunk
    if len(data) != size:
        raise _damaged(path, f"{len(data)} bytes for {size} in '{name:.80}'")
    if dtype.kind == "U":
        _check_text(data, dtype, name, path)
    if dtype == np.bool_:
        # A bool of another byte than 0 or 1 is true and false at once in NumPy.
        array = np.frombuffer(data, np.uint8) != 0
    else:
        array = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if in_columns else "C")


def _header(start: bytes, name: str, path: FilePath) -> tuple[tuple[int, ...], bool, Any, int]:
    """Return shape, order, dtype, and where the data begins."""
    file = io.BytesIO(start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            version = np.lib.format.read_magic(file)
            if version not in _READERS:
                raise ValueError(f"the version {version} of the format")
            shape, in_columns, dtype = _READERS[version](file)
    # A header is a Python literal, and what the parsers say of a damaged one is nearly anything:
    # TokenError, RecursionError and MemoryError (of the parser's stack), TypeError, ...
    except Exception as error:
        text = " ".join(str(error).split())
        raise _damaged(path, f"{type(error).__name__} in '{name:.80}': {text:.80}") from None
    if not all(type(n) is int for n in shape):
        raise _damaged(path, f"an array of shape {shape!s:.80}")
    return shape, in_columns, dtype, file.tell()


def _check_text(data: bytearray, dtype: Any, name: str, path: FilePath) -> None:
    """NumPy takes any 32 bits for a character, and raises where it is looked at."""
    codes = np.frombuffer(data, np.dtype("u4").newbyteorder(dtype.byteorder))
    if codes.size and codes.max() > 0x10FFFF:
        raise _damaged(path, f"characters that aren't Unicode in '{name:.80}'")


def _first_bytes(path: FilePath, count: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise DataError(
            f"read_npz: the path must name a readable file, got '{path}'; {error.strerror}"
        ) from None


def _damaged(path: FilePath, what: str) -> DataError:
    return DataError(
        f"read_npz: the archive must be whole, got damaged data ({what}); '{path}' is truncated "
        "or was changed"
    )
