"""Writes that either happen whole or not at all, and reads whose failures are one sentence."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

from ..errors import ArgumentError, DataError, TensorflowliteError

FilePath = str | os.PathLike[str]


class WriteError(TensorflowliteError, OSError):
    """A file that can't be written. What stood there before is unchanged."""


_cleaned: set[str] = set()  # the targets whose stale temporaries this process looked for


def write_atomically(
    path: FilePath, content: Any, *, op: str = "write", previous: Sequence[FilePath] = ()
) -> None:
    """Write a file so that its name always stands for whole content: the old or the new.

    The content goes into a temporary file in the same folder, is forced to the disk, and takes the
    name only then; the folder is forced to the disk last. Where anything fails, the temporary file
    is removed. One that a killed process left goes at the next process's first write of the file.

    Parameters
    ----------
    path : str or path
        The file. A symbolic link stays one: the file that it points to is replaced.
    content : bytes-like
        All of the file.
    op : str
        In whose name an error is raised.
    previous : sequence of str or path
        Names in the same folder that the contents before keep: what stood under ``path`` gets the
        first of them, what had that one the second, and so on. The last content goes.

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
    folder = os.path.dirname(target)
    try:
        if target not in _cleaned:
            remove_stale(target)
            _cleaned.add(target)
        with _temporary(target) as (file, temporary):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            # Held open, and so locked, until it has its name: nobody takes it for a stale one.
            if fcntl is None:
                file.close()
            _shift(target, [os.path.join(folder, os.path.basename(one)) for one in previous])
            os.replace(temporary, target)
        _sync_folder(folder)
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


@contextlib.contextmanager
def _temporary(target: str) -> Iterator[tuple[Any, str]]:
    """Open a temporary file beside the target, locked for as long as it is open."""
    while True:
        path = _temporary_name(target)
        file: Any = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")
        if _lock(file.fileno(), wait=True) and not os.fstat(file.fileno()).st_nlink:
            file.close()  # another process took it for a stale one before it was locked
            continue
        break
    try:
        with file:
            yield file, path
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _temporary_name(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")


def _lock(descriptor: int, wait: bool = False) -> bool:
    """Take a file's lock, which ends with the process; False where it can't be had."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # another process has it, or the file system knows no locks
        return False
    return True


def temporaries(folder: FilePath, name: str = "") -> list[str]:
    """Return the temporary files in a folder, of one target or of all, by their names."""
    pattern = re.compile(rf"\.{re.escape(name) or '.+'}\.[0-9a-f]{{8}}\.tmp")
    try:
        return [entry for entry in os.listdir(folder) if pattern.fullmatch(entry)]
    except OSError:
        return []


def remove_stale(target: str) -> None:
    """Remove the temporary files of a target whose processes are dead: nobody holds their locks."""
    folder, name = os.path.split(target)
    for entry in temporaries(folder, name):
        path = os.path.join(folder, entry)
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR)
            try:
                if _lock(descriptor):
                    os.unlink(path)
            finally:
                os.close(descriptor)


def _shift(target: str, previous: Sequence[str]) -> None:
    """Let what stands under the target be found under the first of the names as well, and so on."""
    if not previous or not os.path.exists(target):
        return
    # What vanishes meanwhile was moved by another process that writes the same file.
    with contextlib.suppress(FileNotFoundError):
        if os.path.samefile(target, previous[0]):
            return  # a process was killed after this and before the target was replaced
    for newer, older in reversed(list(itertools.pairwise(previous))):
        with contextlib.suppress(FileNotFoundError):
            os.replace(newer, older)
    # A second name, so that the target's own stands for a whole file all the time.
    second = _temporary_name(target)
    try:
        os.link(target, second)
    except OSError:  # the file system has none
        os.replace(target, previous[0])
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            os.replace(second, previous[0])
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(second)
        raise


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


_MOST_AXES = 64  # of an array in NumPy


def can_be(shape: Sequence[int], itemsize: int) -> bool:
    """Whether an array may have a shape that a file names; NumPy counts an axis of 0 as 1."""
    size = math.prod(max(n, 1) for n in shape) * max(itemsize, 1)
    return len(shape) <= _MOST_AXES and min(shape, default=0) >= 0 and size < 2**63


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text means, or raise a ``ValueError`` where readers would differ.

    Python takes the last of double names and reads NaN and infinity, which aren't JSON.
    """
    return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        for name, _ in pairs:  # the first of two that are equal is gone when the second comes
            if found.pop(name, pairs) is pairs:
                raise ValueError(f"the name {name!r:.80} twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"the number {name}")


def read_bytes(op: str, path: FilePath) -> bytes:
    """Return a file's bytes, or raise a ``DataError`` in the name of ``op``."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except MemoryError:
        raise DataError(
            f"{op}: the file must fit into memory, got {os.path.getsize(path)} bytes; '{path}'"
        ) from None
    except OSError as error:
        raise DataError(
            f"{op}: the path must name a readable file, got '{path}'; {error.strerror}"
        ) from None
