"""Readers of whole files: IDX (the format of MNIST), and the digits of scikit-learn.

Every failure is a ``DataError`` of one sentence that holds the path. Nothing is ever unpickled.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, MissingDependencyError
from ..io.files import can_be

FilePath = str | os.PathLike[str]
Pair = tuple[np.ndarray, np.ndarray]

# The third byte of an IDX file. All types are big-endian.
_IDX_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_LONGEST_HEADER = 4 + 4 * 255
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_IDX_NAME = re.compile(r"(?P<prefix>.*?)[-_.]?(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?")


def read_bytes(op: str, path: FilePath) -> bytes:
    """Return the bytes of the file ``path``, or raise a ``DataError`` in the name of ``op``."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"{op}: the path must name a readable file, got '{path}'; {error.strerror}"
        ) from None


def read_idx(path: FilePath, *, dimensions: int | None = None) -> np.ndarray:
    """Read one IDX file, plain or compressed by gzip.

    Parameters
    ----------
    path : str or path
        The file. Whether it is compressed is told by its first bytes, not by its name.
    dimensions : int, optional
        The number of dimensions that the file must have: 3 for images, 1 for labels.

    Returns
    -------
    numpy.ndarray
        The array with the shape that the file states, in the machine's byte order: uint8, int8,
        int16, int32, float32 or float64.

    Raises
    ------
    DataError
        Where the file can't be read, is no IDX file, is cut short, has bytes after its end, or
        has another number of dimensions.

    Examples
    --------
    >>> import os, tempfile
    >>> from tensorflowlite.data import read_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "labels-idx1-ubyte")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    content: bytes | bytearray = read_bytes("read_idx", path)
    if content.startswith(_GZIP_MAGIC):
        content = _decompress(bytes(content), path)
    shape, dtype, start = _header(content, path, dimensions)
    # Python integers: a header that was made up can't overflow.
    expected, actual = math.prod(shape) * dtype.itemsize, len(content) - start
    if actual != expected:
        reason = "is truncated" if actual < expected else "has bytes after its end"
        raise DataError(
            f"read_idx: the file must hold {expected!s:.40} bytes of data after its header, got "
            f"{actual}; '{path}' {reason}"
        )
    if not can_be(shape, dtype.itemsize):
        raise DataError(
            f"read_idx: the shape must be one that an array can have, got {shape!s:.80}; "
            f"'{path}' is damaged"
        )
    values = np.frombuffer(content, dtype=dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _header(
    content: bytes | bytearray, path: FilePath, dimensions: int | None
) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return the shape and the dtype that the first bytes say, and where the data begins."""
    if len(content) < 4:
        raise DataError(
            f"read_idx: the file must begin with a magic number of 4 bytes, got {len(content)} "
            f"bytes in all; '{path}' is empty or truncated"
        )
    dtype = _IDX_DTYPES.get(content[2])
    count = content[3]
    if content[:2] != b"\0\0" or dtype is None or count == 0:
        raise DataError(
            "read_idx: the file must begin with the bytes 00 00, a type code (08 09 0b 0c 0d 0e) "
            f"and the number of dimensions, got {content[:4].hex(' ')}; '{path}' is no IDX file"
        )
    if dimensions is not None and count != dimensions:
        raise DataError(
            f"read_idx: the file must hold an array of {dimensions} dimensions, got {count}; "
            f"'{path}' holds something else"
        )
    start = 4 + 4 * count
    if len(content) < start:
        raise DataError(
            f"read_idx: the header of {count} dimensions must be {start} bytes long, got "
            f"{len(content)}; '{path}' is truncated"
        )
    return tuple(np.frombuffer(content, ">u4", count, 4).tolist()), dtype, start


def most_unpacked(packed: int) -> int:
    """Return how many bytes compressed data may unpack to: 100 times as many, or 1 GiB.

    Images and tables come near 10 times; a thousand times takes someone who wants it.
    """
    return max(1 << 30, 100 * packed)


def _decompress(packed: bytes, path: FilePath) -> bytearray:
    """Return what gzip data hold, as far as the header inside says that it goes, and a bit more."""
    content, most = bytearray(), _LONGEST_HEADER
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            content += file.read(most)
            if len(content) == most:
                shape, dtype, start = _header(content, path, None)
                most = start + math.prod(shape) * dtype.itemsize
                if most > most_unpacked(len(packed)):
                    raise DataError(
                        f"read_idx: the file must unpack to at most {most_unpacked(len(packed))} "
                        f"bytes, got {most!s:.40} of {len(packed)}; unpack '{path}' if you trust it"
                    )
                # The end of the data is where gzip's checksum is looked at.
                while len(content) <= most and (chunk := file.read(_CHUNK)):
                    content += chunk
        return content
    except EOFError:
        fault, hint = "an early end", "is truncated"
    except (gzip.BadGzipFile, zlib.error) as error:
        fault, hint = f"damaged data ({error})", "must be copied again"
    raise DataError(f"read_idx: the file must be whole gzip data, got {fault}; '{path}' {hint}")


class IdxFolder(NamedTuple):
    """What ``read_idx_folder`` found: pairs of images (N, rows, columns) and labels (N,).

    ``test`` is None where the folder holds a single pair, which is ``train`` then, whatever its
    name: who splits it is the caller.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data import IdxFolder
    >>> train, test = IdxFolder((np.zeros((2, 8, 8), np.uint8), np.zeros(2, np.int64)), None)
    >>> train[0].shape
    (2, 8, 8)
    """

    train: Pair
    test: Pair | None


def read_idx_folder(path: FilePath) -> IdxFolder:
    """Read a folder of IDX files in MNIST's naming.

    The images are ``PREFIX-images-idx3-ubyte``, the labels ``PREFIX-labels-idx1-ubyte``, each with
    or without ``.gz`` (the plain file is read where there are both). The prefixes of two pairs
    must end with ``train`` and with ``t10k`` or ``test``; a single pair may have any.

    Parameters
    ----------
    path : str or path
        The folder.

    Returns
    -------
    IdxFolder
        ``train`` and ``test``, each images uint8 (N, rows, columns) and labels int64 (N,).
        ``test`` is None for a single pair.

    Raises
    ------
    DataError
        Where the folder holds no pair or pairs that can't be told apart, a part is missing, the
        numbers of images and labels differ, or a file can't be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from tensorflowlite.data import read_idx_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, data in (
    ...         ("t10k-images-idx3-ubyte", [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 5, 6]),
    ...         ("t10k-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 1, 9]),
    ...     ):
    ...         with open(os.path.join(folder, name), "wb") as file:
    ...             _ = file.write(bytes(data))
    ...     read_idx_folder(folder)
    IdxFolder(train=(array([[[5, 6]]], dtype=uint8), array([9])), test=None)
    """
    images, labels = _find_idx_files(path)
    for prefix in sorted(images.keys() ^ labels.keys()):
        found, missing, rank = "images", "labels", 1
        if prefix in labels:
            found, missing, rank = "labels", "images", 3
        file = (images | labels)[prefix].name
        wanted = f"{prefix}-{missing}-idx{rank}-ubyte[.gz]".lstrip("-")
        raise DataError(
            f"read_idx_folder: every file of {found} must have its {missing} beside it, got "
            f"'{file}' alone; put {wanted} into '{path}'"
        )
    if len(images) == 1:
        (prefix,) = images
        return IdxFolder(_read_pair(images[prefix], labels[prefix]), None)
    train = [prefix for prefix in images if prefix.lower().endswith("train")]
    test = [prefix for prefix in images if prefix.lower().endswith(("t10k", "test"))]
    if len(images) != 2 or len(train) != 1 or len(test) != 1:
        raise DataError(
            "read_idx_folder: the folder must hold one pair of images and labels, or one for "
            "training (train-...) and one for testing (t10k-... or test-...), got "
            f"{', '.join(sorted(images))}; leave one data set in '{path}'"
        )
    return IdxFolder(
        _read_pair(images[train[0]], labels[train[0]]), _read_pair(images[test[0]], labels[test[0]])
    )


def _find_idx_files(path: FilePath) -> tuple[dict[str, Path], dict[str, Path]]:
    try:
        # Sorted: the plain name comes before the one with .gz and is the one that is kept.
        files = sorted(Path(path).iterdir())
    except OSError as error:
        raise DataError(
            f"read_idx_folder: the path must name a folder, got '{path}'; {error.strerror}"
        ) from None
    found: dict[str, dict[str, Path]] = {"images": {}, "labels": {}}
    for file in files:
        match = _IDX_NAME.fullmatch(file.name)
        if match is not None:
            found[match["kind"]].setdefault(match["prefix"], file)
    if not found["images"] and not found["labels"]:
        names = ", ".join(file.name for file in files[:5]) + (", ..." if len(files) > 5 else "")
        raise DataError(
            "read_idx_folder: the folder must hold files named PREFIX-images-idx3-ubyte[.gz] and "
            f"PREFIX-labels-idx1-ubyte[.gz], got {names or 'an empty folder'}; '{path}'"
        )
    return found["images"], found["labels"]


def _read_pair(images_path: Path, labels_path: Path) -> Pair:
    images = read_idx(images_path, dimensions=3)
    labels = read_idx(labels_path, dimensions=1)
    if len(images) != len(labels) or len(images) == 0:
        raise DataError(
            "read_idx_folder: images and labels must be equally many, and at least one, got "
            f"{len(images)} images and {len(labels)} labels; '{images_path}' and "
            f"'{labels_path.name}' don't belong together"
        )
    return images, labels.astype(np.int64)


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Load the UCI handwritten digits, which ship inside scikit-learn.

    Returns
    -------
    images : numpy.ndarray
        float32 (1797, 1, 8, 8), from 0 to 1.
    labels : numpy.ndarray
        int64 (1797,), the digits 0 to 9.

    Raises
    ------
    MissingDependencyError
        Where scikit-learn isn't installed.

    Notes
    -----
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998.

    Examples
    --------
    >>> from tensorflowlite.data import load_digits
    >>> images, labels = load_digits()
    >>> images.shape, labels[:4].tolist()
    ((1797, 1, 8, 8), [0, 1, 2, 3])
    """
    try:
        from sklearn import datasets
    except ImportError:
        raise MissingDependencyError(
            "load_digits: the digits come with scikit-learn, got no module 'sklearn'; "
            'pip install "tensorflowlite[train]"'
        ) from None
    digits = datasets.load_digits()
    images = digits.images.astype(np.float32)[:, np.newaxis] / np.float32(16)
    return images, digits.target.astype(np.int64)
