"""Files: safetensors, trees, atomic writes and what goes wrong with them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors

import tensorflowlite as tfl
from tensorflowlite.errors import ArgumentError, DataError, DtypeError
from tensorflowlite.io import WriteError, files, read_metadata, tensors, write_atomically

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", ml_dtypes.bfloat16,
]  # fmt: skip


def same(x: np.ndarray, y: np.ndarray) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)], ids=str)
def test_safetensors_round_trip(tmp_path: Path, dtype: object, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    path = tmp_path / "x.safetensors"
    tfl.save_safetensors(path, {"x": tfl.tensor(values), "y": values})
    loaded = tfl.load_safetensors(path)
    assert list(loaded) == ["x", "y"]
    assert same(loaded["x"].numpy(), values) and same(loaded["y"].numpy(), values)
    loaded["x"].numpy()[...] = 0  # the memory is the caller's own


def test_layouts_and_byte_orders(tmp_path: Path) -> None:
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    layouts = {
        "transposed": base.T,
        "strided": base[::2, ::-3],
        "broadcast": np.broadcast_to(base[0], (3, 6)),
        "big": base.astype(">f4"),
    }
    path = tmp_path / "x.safetensors"
    tfl.save_safetensors(path, layouts)
    for name, tensor in tfl.load_safetensors(path).items():
        assert same(tensor.numpy(), layouts[name].astype("<f4").copy()), name


def test_a_tensor_that_requires_grad_is_saved_without_history(tmp_path: Path) -> None:
    x = tfl.tensor([1.0, 2.0], requires_grad=True)
    path = tmp_path / "x.safetensors"
    tfl.save_safetensors(path, {"x": x, "y": x * 2})
    loaded = tfl.load_safetensors(path)
    assert loaded["y"].tolist() == [2.0, 4.0]
    assert not loaded["x"].requires_grad


def test_metadata_and_the_package_itself_agree(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tfl.save_safetensors(path, {"x": tfl.ones(2)}, metadata={"task": "digits", "ü": "λ"})
    assert read_metadata(path) == {"task": "digits", "ü": "λ"}
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata() == {"task": "digits", "ü": "λ"}
        assert file.get_tensor("x").tolist() == [1.0, 1.0]
    tfl.save_safetensors(path, {})
    assert tfl.load_safetensors(path) == {} and read_metadata(path) == {}


def test_releases_of_the_package_that_take_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {}

    def serialize(specifications: dict, metadata: object) -> bytes:
        taken.update(specifications)
        return b"content"

    monkeypatch.setattr(tensors, "_TensorSpec", None)
    monkeypatch.setattr(safetensors, "serialize", serialize)
    tfl.save_safetensors(tmp_path / "x", {"x": np.array([1, 2], np.int16)})
    assert taken == {"x": {"dtype": "int16", "shape": [2], "data": b"\1\0\2\0"}}


@pytest.mark.parametrize(
    ("values", "metadata", "error", "text"),
    [
        ({"z": np.zeros(1, np.complex128)}, None, DtypeError,
         "save_safetensors: safetensors has no dtype complex128, got it for 'z'; use tfl.save"),
        ({"z": np.array(["a"])}, None, DtypeError, "safetensors has no dtype <U1, got it for 'z'"),
        ({"z": np.array([None])}, None, DtypeError, "safetensors has no dtype object"),
        ({"n": 3}, None, DtypeError,
         "every value must be a tensor or an array, got int for 'n'; tfl.save takes numbers"),
        ({3: np.zeros(1)}, None, ArgumentError, "the names must be text, got 3"),
        ({}, {"epoch": 3}, ArgumentError, "metadata must be text by name, got 'epoch': int"),
    ],
    ids=["complex128", "text", "objects", "number", "name", "metadata"],
)  # fmt: skip
def test_what_cannot_be_saved_leaves_the_file(
    tmp_path: Path, values: dict, metadata: object, error: type, text: str
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(error) as caught:
        tfl.save_safetensors(path, values, metadata)  # type: ignore[arg-type]
    assert text in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["x.safetensors"]


# -- files that aren't what they should be ---------------------------------------------------------
def whole(tmp_path: Path) -> bytes:
    path = tmp_path / "whole.safetensors"
    tfl.save_safetensors(path, {"x": tfl.ones((2, 3))})
    return path.read_bytes()


@pytest.mark.parametrize("read", [tfl.load_safetensors, tfl.load, read_metadata])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[:30],
        lambda content: content[:-1],
        lambda content: content + b"more",
        lambda content: b"PK\3\4 this is an archive of another kind",
        lambda content: content.replace(b"F32", b"X32"),
    ],
    ids=["empty", "no length", "half a header", "cut", "longer", "another format", "dtype"],
)
def test_truncated_and_misnamed_files(tmp_path: Path, read: object, spoil: object) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(spoil(whole(tmp_path)))  # type: ignore[operator]
    with pytest.raises(DataError, match=r"must be whole safetensors data, got .* bytes") as caught:
        read(path)  # type: ignore[operator]
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{read.__name__}: ")  # type: ignore[attr-defined]


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="load_safetensors: the path must name a readable file"):
        tfl.load_safetensors(tmp_path / "nothing.safetensors")
    with pytest.raises(DataError, match="load: the path must name a readable file"):
        tfl.load(tmp_path)


def test_a_dtype_that_the_library_lacks(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F8_E5M2", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(DataError, match="got F8_E5M2 for 'x'"):
        tfl.load_safetensors(path)


# -- trees -----------------------------------------------------------------------------------------
def check_tree(x: object, y: object) -> None:
    assert type(x) is type(y)
    if isinstance(x, dict):
        assert list(x) == list(y)  # type: ignore[call-overload]
        for key in x:
            check_tree(x[key], y[key])  # type: ignore[index]
    elif isinstance(x, (list, tuple)):
        assert len(x) == len(y)  # type: ignore[arg-type]
        for one, other in zip(x, y, strict=True):  # type: ignore[call-overload]
            check_tree(one, other)
    elif isinstance(x, tfl.Tensor):
        assert same(x.numpy(), y.numpy())  # type: ignore[attr-defined]
    elif isinstance(x, np.ndarray):
        assert same(x, y)  # type: ignore[arg-type]
    else:
        assert x == y or (x != x and y != y)


@pytest.mark.parametrize(
    "tree",
    [
        None, True, 0, -(2**80), 1.5, float("nan"), -float("inf"), "", "λ\n\0", [], (), {},
        tfl.tensor(2.5),
        np.arange(3, dtype=np.int8),
        np.float32(1.25),
        {"a": [1, (2.0, "three", None, [True])], 4: {5: {}}, "": {"": tfl.ones(1)}},
        {"a.b": tfl.ones(1), "a": {"b": tfl.zeros(2)}, "a.b'": np.ones(3)},
        {"__metadata__": tfl.ones(1), "tensor": "tensor", "dict": [{"float": "x"}]},
        [tfl.tensor(np.array(1 + 2j)), np.zeros((2, 0), np.complex128), np.complex128(3j)],
        {"half": tfl.tensor(np.ones(2, ml_dtypes.bfloat16)), "empty": tfl.zeros((0, 3))},
    ],
    ids=repr,
)  # fmt: skip
def test_tree_round_trip(tmp_path: Path, tree: object) -> None:
    path = tmp_path / "tree.safetensors"
    tfl.save(path, tree)
    check_tree(tree, tfl.load(path))


def test_tensors_stand_under_their_paths(tmp_path: Path) -> None:
    path = tmp_path / "tree.safetensors"
    tfl.save(path, {"model": {"encoder.0.weight": tfl.ones(1)}, "more": [tfl.ones(1)]})
    assert list(tfl.load_safetensors(path)) == ["model.encoder.0.weight", "more.0"]


def test_trees_that_cannot_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "tree.safetensors"
    with pytest.raises(DtypeError, match=r"save: the tree may hold .* got set at 'a\.1'"):
        tfl.save(path, {"a": [1, {2}]})
    with pytest.raises(DtypeError, match=r"must be text or integers, got 1\.5"):
        tfl.save(path, {1.5: 1})
    endless: list = []
    endless.append(endless)
    with pytest.raises(ArgumentError, match="nested too deeply or contains itself"):
        tfl.save(path, endless)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("save", [tfl.save, tfl.save_safetensors])
def test_the_path_comes_first(tmp_path: Path, save: object) -> None:
    path = tmp_path / "x"
    with pytest.raises(ArgumentError, match=r"^save\w*: the path must come first, got dict; save"):
        save({"x": tfl.ones(1)}, path)  # type: ignore[operator]
    assert not path.exists()


def test_a_module_is_saved_by_its_state(tmp_path: Path) -> None:
    with pytest.raises(DtypeError, match=r"got Linear in its place; save its state_dict\(\)$"):
        tfl.save(tmp_path / "x", tfl.nn.Linear(1, 1))


def test_load_wants_a_structure(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tfl.save_safetensors(path, {"x": tfl.ones(1)})
    with pytest.raises(DataError, match=r"read '.*' with tfl\.load_safetensors"):
        tfl.load(path)
    for structure in ("{", '{"tensor": "y"}', '{"call": "os.system"}', '{"a": 1, "b": 2}', "{}"):
        tfl.save_safetensors(path, {}, metadata={"tensorflowlite.structure": structure})
        with pytest.raises(DataError, match="the structure in the file must be whole"):
            tfl.load(path)


# -- writes that fail ------------------------------------------------------------------------------
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    tfl.save_safetensors(path, {"x": tfl.ones(1)})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(WriteError) as caught:
        tfl.save_safetensors(path, {"x": tfl.zeros(9)})
    assert str(caught.value) == (
        "save_safetensors: the file must be written whole, got 'No space left on device' for "
        f"'{path}'; what stood there before is unchanged"
    )
    assert isinstance(caught.value, OSError)
    assert tfl.load_safetensors(path)["x"].tolist() == [1.0]
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_an_interrupt_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    write_atomically(path, b"old")

    def interrupt(source: str, target: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


def test_a_write_that_really_stops_half_way(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tfl.save(path, {"x": tfl.ones(10)})
    script = (
        "import resource, sys\nimport tensorflowlite as tfl\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "tfl.save(sys.argv[1], {'x': tfl.ones(100_000)})\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "save: the file must be written whole, got 'File too large'" in finished.stderr
    assert tfl.load(path)["x"].shape == (10,)
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_write_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="make the folder first"):
        write_atomically(tmp_path / "nowhere" / "x", b"")
    with pytest.raises(WriteError, match="name a file, not a folder"):
        write_atomically(tmp_path, b"")


def test_links_and_permissions(tmp_path: Path) -> None:
    real = tmp_path / "real"
    link = tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_atomically(link, b"new")
    assert link.is_symlink() and real.read_bytes() == b"new"
    mask = os.umask(0)
    os.umask(mask)
    assert real.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomically(path, b"old")
    script = (
        "import os, sys\nfrom tensorflowlite.io import files\n"
        "files.os.replace = lambda a, b: os._exit(9)\n"
        "files.write_atomically(sys.argv[1], b'new')\n"
    )
    finished = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert finished.returncode == 9
    assert path.read_bytes() == b"old"
