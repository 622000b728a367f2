"""Files that were made to do harm: each is refused in one sentence, before memory is asked for."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.data import read_csv, read_idx, read_npz
from tensorflowlite.errors import ArgumentError, DataError, TensorflowliteError
from tensorflowlite.io import read_metadata, seal
from tensorflowlite.io.tensors import encode
from tensorflowlite.train.checkpoint import read_checkpoint

MOST = 32 << 20  # bytes that a refusal may take, beside what the file is long


def refused(read: Callable[[Any], Any], path: Path, content: bytes) -> str:
    """Return the sentence with which a file is refused."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < MOST + 2 * len(content)
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 1000 and str(path) in text and ", got " in text
    return text


# -- safetensors -----------------------------------------------------------------------------------
def tensors(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
TEXT = json.dumps(ONE).encode()
HEADERS = {
    "a header of 2**63 bytes": (2**63).to_bytes(8, "little") + b"{}",
    "a header longer than the file": (10**9).to_bytes(8, "little") + b"{}",
    "a name twice": tensors(b'{"a":%s,"a":%s}' % (TEXT, TEXT), b"abcd"),
    "metadata twice": tensors(b'{"__metadata__":{"a":"1","a":"2"}}'),
    "a part twice": tensors(b'{"a":{"dtype":"F32",%s}' % TEXT[1:], b"abcd"),
    "deep nesting": tensors(b'{"a":' + b"[" * 100_000),
    "NaN": tensors(b'{"__metadata__":{"a":NaN}}'),
    "an infinite offset": tensors(TEXT.join((b'{"a":', b"}")).replace(b"4]", b"Infinity]")),
    "an empty tensor of huge axes": tensors(
        {"a": ONE | {"shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}
    ),
    "a product over 2**64": tensors({"a": ONE | {"shape": [2**33, 2**33]}}, b"abcd"),
    "100 axes": tensors({"a": ONE | {"shape": [1] * 100}}, b"abcd"),
    "offsets over each other": tensors({"a": ONE, "b": ONE}, b"abcd"),
    "offsets with a gap": tensors({"a": ONE, "b": ONE | {"data_offsets": [8, 12]}}, bytes(12)),
    "offsets beyond the end": tensors({"a": ONE | {"data_offsets": [2**40, 2**40 + 4]}}, b"abcd"),
    "offsets backwards": tensors({"a": ONE | {"data_offsets": [4, 0]}}, b"abcd"),
    "a negative length": tensors({"a": ONE | {"shape": [-1]}}, b"abcd"),
    "half a letter": tensors(b'{"__metadata__":{"a":"\\ud800"}}'),
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_of_safetensors(tmp_path: Path, what: str) -> None:
    for read in (tfl.load_safetensors, tfl.load, tfl.load_program, read_metadata, read_checkpoint):
        refused(read, tmp_path / "x", HEADERS[what])


def test_a_bool_of_another_byte_is_true(tmp_path: Path) -> None:
    """Such a one is true and false at once in NumPy; PyTorch and others write 1."""
    path = tmp_path / "x"
    entry = {"dtype": "BOOL", "shape": [3], "data_offsets": [0, 3]}
    path.write_bytes(tensors({"a": entry}, b"\0\1\7"))
    assert tfl.load_safetensors(path)["a"].numpy().tobytes() == b"\0\1\1"


STRUCTURES = (
    "NaN", "[Infinity]", '{"dict":[["a",1],["a",2]]}', '{"dict":[[1.5,1]]}', '{"dict":[[true,1]]}',
    '{"dict":{"ab":1}}', '{"tuple":"abc"}', '{"float":"1e5"}', '{"tuple":[],"tuple":[1]}',
    '[{"tensor":"four"},{"tensor":"four"}]', '{"scalar":"four"}', '{"complex tensor":"four"}',
    '{"complex array":"wide"}', '{"tensor":"other"}', "9" * 5000, "[" * 100_000, '{"x":"four"}',
)  # fmt: skip


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda text: text[:40])
def test_structures_of_trees(tmp_path: Path, structure: str) -> None:
    arrays = {"four": np.ones(4), "wide": np.ones((2, 4))}
    content = encode("save", arrays, {"tensorflowlite.structure": structure})
    assert "got a damaged one" in refused(tfl.load, tmp_path / "x", content)


@pytest.mark.parametrize("version", ["9" * 5000, "²", "", "-1", "1_0"], ids=lambda text: text[:9])
def test_versions_of_checkpoints(tmp_path: Path, version: str) -> None:
    metadata = {"tensorflowlite.structure": "1", "tensorflowlite.checkpoint": version}
    content = seal.seal(encode("save", {}, metadata | seal.UNSEALED))
    assert "a format of at most version" in refused(read_checkpoint, tmp_path / "x", content)


# -- IDX -------------------------------------------------------------------------------------------
def test_shapes_of_idx_that_no_array_can_have(tmp_path: Path) -> None:
    many = bytes([0, 0, 8, 255]) + b"\0\0\0\1" * 255 + b"x"
    huge = bytes([0, 0, 8, 4]) + bytes(4) + b"\xff" * 12
    for content in (many, huge):
        assert "one that an array can have" in refused(read_idx, tmp_path / "x", content)


def zeros(count: int) -> bytes:
    """Return gzip data of so many zeros behind an IDX header that says so."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packer:
        packer.write(struct.pack(">BBBBI", 0, 0, 8, 1, count))
        for _ in range(count >> 20):
            packer.write(bytes(1 << 20))
    return file.getvalue()


def test_gzip_bombs(tmp_path: Path) -> None:
    bomb = zeros(48 << 20)
    path = tmp_path / "x"
    small = gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 1)) + bomb
    assert "has bytes after its end" in refused(read_idx, path, small)
    huge = gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 2**32 - 1) + bytes(10_000))
    assert "must unpack to at most 1073741824 bytes" in refused(read_idx, path, huge)


# -- NPZ -------------------------------------------------------------------------------------------
def npy(description: str, shape: Any, data: bytes = b"abcd") -> bytes:
    header = f"{{'descr': {description}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as made:
        warnings.simplefilter("ignore")  # of double names
        for name, content in members:
            made.writestr(name, content)
    return file.getvalue()


def raw(header: bytes) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header


GOOD = npy("'<f4'", (1,))
MEMBERS = {
    "an array of TiB": npy("'<f4'", (2**45,)),
    "a shape that overflows": npy("'<f4'", (2**62, 2**62)),
    "a negative length": npy("'<f4'", (-1,)),
    "a length that is a bool": npy("'<f4'", (True,)),
    "100 axes": npy("'<f4'", (1,) * 100),
    "elements of 2 GiB": npy("'|V2147483647'", (1,)),
    "elements of no byte": npy("'|S0'", (2**61,)),
    "elements that are arrays": npy("('<f4', (2,))", (1,)),
    "objects": npy("'|O'", (1,)),
    "objects in a field": npy("[('a', '<f4'), ('b', '|O')]", (1,)),
    "a character beyond Unicode": npy("'<U1'", (1,), b"\xff" * 4),
    "bytes after the end": npy("'<f4'", (1,), b"abcdefgh"),
    "a header that is no text": raw(b"{'descr': '''"),
    "a header of brackets": raw(b"(" * 9000),
    "a header of minus signs": raw(b"-" * 9000 + b"1"),
    "a header of 4 GiB": b"\x93NUMPY\2\0\xff\xff\xff\xff",
    "a format that isn't there": b"\x93NUMPY\x09\0" + GOOD[8:],
}


@pytest.mark.parametrize("what", MEMBERS)
def test_members_of_npz(tmp_path: Path, what: str) -> None:
    refused(read_npz, tmp_path / "x", archive(("a.npy", GOOD), ("b.npy", MEMBERS[what])))


@pytest.mark.parametrize("name", ["../a.npy", "/a.npy", "a/../../b.npy", "..\\a.npy", "C:a.npy"])
def test_names_that_lead_out_of_a_folder(tmp_path: Path, name: str) -> None:
    assert "must stay within a folder" in refused(read_npz, tmp_path / "x", archive((name, GOOD)))


def test_names_that_stand_twice(tmp_path: Path) -> None:
    for other in ("a", "a.npy"):
        content = archive(("a.npy", GOOD), (other, GOOD))
        assert "must differ, got 'a' twice" in refused(read_npz, tmp_path / "x", content)


def test_archives_that_lie(tmp_path: Path) -> None:
    path, good = tmp_path / "x", archive(("a.npy", GOOD))
    directory = good.index(b"PK\1\2")
    for place, value in ((8, 1), (10, 99)):  # encrypted; a method that isn't there
        content = bytearray(good)
        content[directory + place] = value
        content[place - 2] = value
        assert "damaged data" in refused(read_npz, path, bytes(content))
    # A member's size made up, in both places.
    content = bytearray(good)
    content[directory + 24 : directory + 28] = content[22:26] = (2**30).to_bytes(4, "little")
    assert "damaged data" in refused(read_npz, path, bytes(content))


def test_zip_bombs(tmp_path: Path) -> None:
    member = npy("'|u1'", (16 << 20,), bytes(16 << 20))
    packed = bytearray(archive(("a.npy", member), method=zipfile.ZIP_DEFLATED))
    # Two entries of the directory for the same data: many would unpack to much.
    start, end = packed.index(b"PK\1\2"), packed.index(b"PK\5\6")
    entry = bytearray(packed[start:end])
    entry[46] = ord("b")
    tail = bytearray(packed[end:])
    tail[8:12] = struct.pack("<HH", 2, 2)
    tail[12:16] = struct.pack("<I", 2 * len(entry))
    double = bytes(packed[:end] + entry + tail)
    said = refused(read_npz, tmp_path / "x", double)
    assert "members that overlap at 'b.npy'" in said
    # What it says that it unpacks to is refused before it is unpacked.
    sizes = struct.pack("<I", 2**31)
    content = bytes(packed[: start + 24]) + sizes + bytes(packed[start + 28 :])
    said = refused(read_npz, tmp_path / "x", content)
    assert "must unpack to at most 1073741824 bytes, got 2147483648" in said


# -- CSV -------------------------------------------------------------------------------------------
def table(path: Any) -> Any:
    return read_csv(path, "y")


@pytest.mark.parametrize(
    "content",
    [
        b",".join(b"c%d" % number for number in range(200_000)) + b",y\n1\n",
        b"a,y\n" + b"1," * 400_000 + b"1\n",
        b"a,y\n" + b'"1\n",' * 400_000 + b"1\n",
    ],
    ids=["header", "row", "lines"],
)
def test_too_many_columns(tmp_path: Path, content: bytes) -> None:
    assert "a row must have at most 131072 fields" in refused(table, tmp_path / "x", content)


def test_long_fields(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert "field larger than field limit" in refused(table, path, b"a,y\n" + b"1" * 2_000_000)
    assert "must hold numbers, got 'xxx" in refused(table, path, b"a,y\n" + b"x" * 99_999 + b",1\n")
    assert "column 'a\\nb' must hold" in refused(table, path, b'"a\nb",y\nx,1\n')
    path.write_bytes(b"x" * 99_999 + b",z\n1,2\n")
    with pytest.raises(ArgumentError) as caught:
        table(path)
    assert len(str(caught.value)) < 500


def test_the_byte_that_is_no_text_behind_a_byte_order_mark(tmp_path: Path) -> None:
    said = refused(table, tmp_path / "x", b"\xef\xbb\xbfa,y\n1,\xff\n")
    assert "got the byte ff in row 2" in said


def test_many_columns_and_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    header = ",".join(f"c{i}" for i in range(1000)) + ",y\n\n"
    path.write_text(header + ("1," * 1000 + "2\n" + "1," * 1000 + "3\n") * 150)
    assert table(path).features.shape == (300, 1000)


# -- programs --------------------------------------------------------------------------------------
def call_of(path: Path, change: Callable[[Any], None]) -> None:
    """Export a program and change its first call, as one who signs it anew."""
    import hashlib

    tfl.export(lambda x, y: (x * y).astype(tfl.float64), path, tfl.ones(3), tfl.ones(3))
    arrays, metadata = tfl.load_safetensors(path), read_metadata(path)
    document = json.loads(metadata["tensorflowlite.program"])
    change(document["calls"])
    text = json.dumps(document)
    digest = hashlib.sha256(text.encode()).hexdigest()
    signed = {"tensorflowlite.program": text, "tensorflowlite.digest": digest}
    tfl.save_safetensors(path, arrays, metadata | signed)


ARGUMENTS: dict[str, Callable[[Any], None]] = {
    "an array to write to": lambda calls: calls[0]["arguments"].append({"value": 0}),
    "fewer": lambda calls: calls[0]["arguments"].pop(),
    "a text for a dtype": lambda calls: calls[1]["arguments"].__setitem__(1, "S2000000000"),
    "objects for a dtype": lambda calls: calls[1]["arguments"].__setitem__(1, "O"),
    "another shape": lambda calls: calls[0].update(
        slot="ones_like", arguments=[{"value": 0}, None, "K", True, [2**40]]
    ),
}


@pytest.mark.parametrize("what", ARGUMENTS)
def test_calls_of_programs_with_other_arguments(tmp_path: Path, what: str) -> None:
    path = tmp_path / "program"
    call_of(path, ARGUMENTS[what])
    assert "got other arguments than" in refused(tfl.load_program, path, path.read_bytes())


def test_what_a_call_takes_for_no_array_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "program"
    call_of(path, lambda calls: calls[0].update(slot="cumulative_sum"))
    program = tfl.load_program(path)
    with pytest.raises(TensorflowliteError) as caught:
        program(tfl.ones(3), tfl.ones(3))
    assert isinstance(caught.value, DataError) and "\n" not in str(caught.value)


def test_a_tensor_for_what_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "program"
    tfl.export(lambda x, power: x**power, path, tfl.ones(3), 2.0)
    with pytest.raises(ArgumentError, match=r"as it was recorded, 2.0, got tensor") as caught:
        tfl.load_program(path)(tfl.ones(3), tfl.ones((3, 3)))
    assert "\n" not in str(caught.value)
