"""Writes that either happen whole or not at all, and reads whose failures are one sentence."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Any

from ..errors import ArgumentError, DataError, TensorflowliteError

FilePath = str | os.PathLike[str]


class WriteError(TensorflowliteError, OSError):
    """A file that can't be written. What stood there before is unchanged."""


def write_atomically(path: FilePath, content: Any, *, op: str = "write") -> None:
    """Write a file so that its name always stands for whole content: the old or the new.

    The content goes into a temporary file in the same folder, is forced to the disk, and takes the
    name only then. Where anything fails, the temporary file is removed.

    Parameters
    ----------
    path : str or path
        The file. A symbolic link stays one: the file that it points to is replaced.
    content : bytes-like
        All of the file.
    op : str
        In whose name an error is raised.

    Raises
    ------
    WriteError
        Where the folder doesn't exist or can't be written to, or the disk is full.

    Examples
    --------
    >>> import os, tempfile
    >>> from tensorflowlite.io import write_atomically
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "note.txt")
    ...     write_atomically(path, b"whole")
    ...     os.listdir(folder)
    ['note.txt']
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        _write_and_rename(temporary, target, folder, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(
            f"{op}: the file must be written whole, got '{reason}' for '{path}'; {_hint(target)}"
        ) from error


def check_path(op: str, path: Any, given: str) -> None:
    """Raise unless the first argument names a file: PyTorch's ``save`` takes it as the second."""
    if not isinstance(path, str | bytes | os.PathLike):
        raise ArgumentError(
            f"{op}: the path must come first, got {type(path).__name__}; {op}(path, {given})"
        )


def _write_and_rename(temporary: str, target: str, folder: str, content: Any) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    # The file stands whole by now; some file systems can't sync a folder.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _hint(target: str) -> str:
    if os.path.isdir(target):
        return "name a file, not a folder"
    if not os.path.isdir(os.path.dirname(target)):
        return "make the folder first"
    return "what stood there before is unchanged" if os.path.exists(target) else "nothing was left"


def read_bytes(op: str, path: FilePath) -> bytes:
    """Return a file's bytes, or raise a ``DataError`` in the name of ``op``."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(
            f"{op}: the path must name a readable file, got '{path}'; {error.strerror}"
        ) from None
