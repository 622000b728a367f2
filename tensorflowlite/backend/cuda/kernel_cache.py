"""Compiled kernels on disk, so that a kernel is compiled once per machine.

One file per kernel, named by a hash of all that it depends on; its last 32 bytes are a checksum. A
file is written aside and moved into place, so that processes that compile at once don't disturb
each other, and one that doesn't hold what its checksum says is made again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from pathlib import Path

_CHECKSUM = hashlib.sha256
_SIZE = _CHECKSUM().digest_size
_warned: list[str] = []


def directory() -> Path:
    """Return the folder of compiled kernels.

    ``TENSORFLOWLITE_CACHE`` names another one than the user's cache directory.

    Examples
    --------
    >>> directory().is_absolute()
    True
    """
    chosen = os.environ.get("TENSORFLOWLITE_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "tensorflowlite"


def key_of(*parts: str) -> str:
    """Return the name under which what depends on these texts is kept."""
    return _CHECKSUM("\0".join(parts).encode()).hexdigest()


def load(name: str) -> bytes | None:
    """Return what is kept under a name; None where there is nothing, or nothing whole."""
    try:
        whole = (directory() / name).read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None
    content, checksum = whole[:-_SIZE], whole[-_SIZE:]
    return content if _CHECKSUM(content).digest() == checksum else None


def store(name: str, content: bytes) -> None:
    """Keep something under a name; warn once where the folder can't be written to."""
    try:
        folder = directory()
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name[:16]}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content + _CHECKSUM(content).digest())
            os.replace(temporary, folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except (OSError, RuntimeError) as error:
        # Told once: the error's text names a temporary file, which is another one each time.
        if not _warned:
            _warned.append(name)
            warnings.warn(
                f"kernels: the cache folder must be writable, got {error}; kernels are compiled "
                "again in each process (TENSORFLOWLITE_CACHE names another folder)",
                RuntimeWarning,
                stacklevel=2,
            )
