"""The readers of IDX and NPZ files and the digits: what they return, and each error's sentence."""

from __future__ import annotations

import gzip
import re
import struct
import sys

import numpy as np
import pytest

from tensorflowlite.data import load_digits, read_idx, read_idx_folder, read_npz
from tensorflowlite.errors import DataError, MissingDependencyError

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx_bytes(array, code="u1"):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[code], array.ndim, *array.shape)
    return header + array.astype(code).tobytes()


def write_pair(folder, prefix, images=4, labels=4, suffix="", separator="-"):
    compress = gzip.compress if suffix else bytes
    pixels = np.arange(images * 6).reshape(images, 2, 3) % 251
    (folder / f"{prefix}-images{separator}idx3-ubyte{suffix}").write_bytes(
        compress(idx_bytes(pixels))
    )
    (folder / f"{prefix}-labels{separator}idx1-ubyte{suffix}").write_bytes(
        compress(idx_bytes(np.arange(labels)))
    )
    return pixels


def sentence(call, *arguments, **keywords):
    """Return the text of the DataError that the call raises; it is one line."""
    with pytest.raises(DataError) as caught:
        call(*arguments, **keywords)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_every_dtype_comes_back_in_native_order(tmp_path, code, compress):
    values = np.array([[1, 2, 3], [100, 5, 6]])
    path = tmp_path / "file"
    path.write_bytes(compress(idx_bytes(values, code)))
    read = read_idx(path)
    assert read.dtype == np.dtype(code).newbyteorder("=") and read.dtype.isnative
    np.testing.assert_array_equal(read, values)
    read[0] = 0  # it owns its memory


def test_an_array_without_elements_is_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(idx_bytes(np.empty((0, 2, 2))))
    assert read_idx(str(path)).shape == (0, 2, 2)


def test_truncated_idx_file(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(np.zeros((10, 28, 100)))[: 16 + 1200])
    assert sentence(read_idx, path) == (
        "read_idx: the file must hold 28000 bytes of data after its header, got 1200; "
        f"'{path}' is truncated"
    )


def test_trailing_bytes(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(np.zeros(3)) + b"xy")
    assert sentence(read_idx, path) == (
        "read_idx: the file must hold 3 bytes of data after its header, got 5; "
        f"'{path}' has bytes after its end"
    )


@pytest.mark.parametrize("start", [b"\x89PNG", b"\0\0\x0a\1", b"\0\0\x08\0", b"\0\1\x08\1"])
def test_wrong_magic(tmp_path, start):
    path = tmp_path / "picture.png"
    path.write_bytes(start + bytes(40))
    assert sentence(read_idx, path) == (
        "read_idx: the file must begin with the bytes 00 00, a type code (08 09 0b 0c 0d 0e) and "
        f"the number of dimensions, got {start.hex(' ')}; '{path}' is no IDX file"
    )


def test_header_cut_short(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(np.zeros((2, 2, 2)))[:9])
    assert sentence(read_idx, path) == (
        f"read_idx: the header of 3 dimensions must be 16 bytes long, got 9; '{path}' is truncated"
    )
    path.write_bytes(b"\0\0")
    assert "a magic number of 4 bytes, got 2 bytes in all" in sentence(read_idx, path)


def test_a_made_up_header_asks_for_no_memory(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, *(2**32 - 1,) * 3))
    assert f"must hold {(2**32 - 1) ** 3} bytes" in sentence(read_idx, path)


def test_wrong_number_of_dimensions(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(idx_bytes(np.zeros(3)))
    assert sentence(read_idx, path, dimensions=3) == (
        "read_idx: the file must hold an array of 3 dimensions, got 1; "
        f"'{path}' holds something else"
    )


def test_damaged_gzip(tmp_path):
    path = tmp_path / "labels.gz"
    whole = gzip.compress(idx_bytes(np.random.default_rng(0).integers(0, 255, 5000)))
    path.write_bytes(whole[: len(whole) // 2])
    assert sentence(read_idx, path) == (
        f"read_idx: the file must be whole gzip data, got an early end; '{path}' is truncated"
    )
    path.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])
    text = sentence(read_idx, path)
    assert text.startswith("read_idx: the file must be whole gzip data, got damaged data (CRC")
    assert text.endswith(f"'{path}' must be copied again")
    path.write_bytes(whole[:40] + b"\xff" * 40 + whole[80:])
    assert "damaged data (" in sentence(read_idx, path)


def test_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "nothing"
    assert sentence(read_idx, path) == (
        f"read_idx: the path must name a readable file, got '{path}'; No such file or directory"
    )
    assert "Is a directory" in sentence(read_idx, tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_folder_with_train_and_test(tmp_path, suffix, separator):
    pixels = write_pair(tmp_path, "train", 5, 5, suffix, separator)
    write_pair(tmp_path, "t10k", 3, 3, suffix, separator)
    (tmp_path / "README").write_text("a file of no interest")
    (images, labels), (test_images, test_labels) = read_idx_folder(tmp_path)
    assert images.dtype == np.uint8 and labels.dtype == np.int64
    np.testing.assert_array_equal(images, pixels)
    np.testing.assert_array_equal(labels, np.arange(5))
    assert test_images.shape == (3, 2, 3) and test_labels.shape == (3,)


def test_folder_with_other_prefixes(tmp_path):
    write_pair(tmp_path, "emnist-letters-train", 5, 5, ".gz")
    write_pair(tmp_path, "emnist-letters-test", 2, 2, ".gz")
    train, test = read_idx_folder(tmp_path)
    assert len(train[0]) == 5 and len(test[0]) == 2


def test_folder_with_a_single_pair(tmp_path):
    write_pair(tmp_path, "t10k", 3, 3, ".gz")
    plain = write_pair(tmp_path, "t10k", 4, 4)  # the plain file comes first
    train, test = read_idx_folder(tmp_path)
    assert test is None
    np.testing.assert_array_equal(train[0], plain)


def test_folder_without_labels_or_images(tmp_path):
    write_pair(tmp_path, "train")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert sentence(read_idx_folder, tmp_path) == (
        "read_idx_folder: every file of images must have its labels beside it, got "
        f"'train-images-idx3-ubyte' alone; put train-labels-idx1-ubyte[.gz] into '{tmp_path}'"
    )
    write_pair(tmp_path, "train")
    (tmp_path / "train-images-idx3-ubyte").unlink()
    assert "put train-images-idx3-ubyte[.gz] into" in sentence(read_idx_folder, tmp_path)


def test_folder_whose_counts_differ(tmp_path):
    write_pair(tmp_path, "train", images=4, labels=3)
    path = tmp_path / "train-images-idx3-ubyte"
    assert sentence(read_idx_folder, tmp_path) == (
        "read_idx_folder: images and labels must be equally many, and at least one, got 4 images "
        f"and 3 labels; '{path}' and 'train-labels-idx1-ubyte' don't belong together"
    )
    write_pair(tmp_path, "train", images=0, labels=0)
    assert "got 0 images and 0 labels" in sentence(read_idx_folder, tmp_path)


def test_folder_with_nothing_or_too_much(tmp_path):
    assert "got an empty folder" in sentence(read_idx_folder, tmp_path)
    (tmp_path / "notes.txt").write_text("")
    text = sentence(read_idx_folder, tmp_path)
    assert "PREFIX-images-idx3-ubyte[.gz]" in text and "got notes.txt" in text
    write_pair(tmp_path, "left")
    write_pair(tmp_path, "right")
    assert "got left, right; leave one data set in" in sentence(read_idx_folder, tmp_path)
    missing = tmp_path / "missing"
    assert sentence(read_idx_folder, missing) == (
        f"read_idx_folder: the path must name a folder, got '{missing}'; No such file or directory"
    )


def test_folder_with_swapped_contents(tmp_path):
    write_pair(tmp_path, "train")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros(4)))
    assert "must hold an array of 3 dimensions, got 1" in sentence(read_idx_folder, tmp_path)


def test_npz_holds_what_was_saved(tmp_path):
    path = tmp_path / "data.npz"
    saved = {"x": np.ones((2, 3), np.float32), "y": np.arange(2), "name": np.array("digits")}
    for save in (np.savez, np.savez_compressed):
        save(path, **saved)
        read = read_npz(path)
        assert list(read) == list(saved)
        for name, array in saved.items():
            np.testing.assert_array_equal(read[name], array)


def test_npz_is_never_unpickled(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.ones(2), objects=np.array([{"a": 1}, None], dtype=object))
    assert sentence(read_npz, path) == (
        "read_npz: arrays must hold numbers, got Python objects in 'objects', which only "
        f"unpickling could read; save '{path}' again with numeric arrays"
    )


def test_truncated_npz(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.arange(1000.0), y=np.arange(1000.0))
    whole = path.read_bytes()
    for keep in (10, 5000, len(whole) - 4):
        path.write_bytes(whole[:keep])
        text = sentence(read_npz, path)
        assert text.startswith("read_npz: the archive must be whole, got damaged data (")
        assert text.endswith(f"'{path}' is truncated or was changed")
    path.write_bytes(whole[:600] + bytes(800) + whole[1400:])
    assert "damaged data (Bad CRC-32 for file" in sentence(read_npz, path)


def test_misnamed_npz(tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(b"\x80\x04\x95 a pickle")
    assert sentence(read_npz, path) == (
        "read_npz: the file must be an NPZ archive, which begins with the bytes 50 4b, got "
        f"80 04 95 20 61 20; '{path}' is no NPZ file"
    )
    path.write_bytes(b"")
    assert "got an empty file" in sentence(read_npz, path)
    with open(path, "wb") as file:
        np.save(file, np.ones(3))
    assert "got a single array in NPY form" in sentence(read_npz, path)
    missing = tmp_path / "missing.npz"
    assert sentence(read_npz, missing) == (
        f"read_npz: the path must name a readable file, got '{missing}'; No such file or directory"
    )


def test_zip_of_something_else(tmp_path):
    import zipfile

    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "dear reader")
    assert "got 'letter.txt' in another form" in sentence(read_npz, path)


def test_digits():
    images, labels = load_digits()
    assert images.shape == (1797, 1, 8, 8) and images.dtype == np.float32
    assert images.min() == 0 and images.max() == 1
    assert labels.dtype == np.int64 and np.bincount(labels).min() >= 174


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        MissingDependencyError, match=re.escape('pip install "tensorflowlite[train]"')
    ):
        load_digits()
