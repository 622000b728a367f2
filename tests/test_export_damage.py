"""Files of programs that were cut, changed or made to do harm: one clear error, or the result."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn
from tensorflowlite.errors import DataError, TensorflowliteError
from tensorflowlite.io import read_metadata
from tensorflowlite.nn import functional as F

from .jit_worlds import batch, snapshot

CASES = int(os.environ.get("TENSORFLOWLITE_FUZZ", "400"))
KEY, DIGEST = "tensorflowlite.program", "tensorflowlite.digest"


def subject() -> tuple[Any, tuple[Any, ...]]:
    """A function with many kinds of arguments, and what to call it with."""
    tfl.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(12, 4),
    ).eval()  # fmt: skip
    table, mask = nn.Embedding(5, 4).eval(), tfl.tensor([True, False, True, True])

    def run(x: Any, tokens: Any, power: float) -> Any:
        y = model(x) + table(tokens).sum(1)
        z = tfl.zeros((2, 4))
        z[0] = y[0, ::-1]
        z = tfl.where(mask, z, -float("inf"))
        parts = tfl.stack([y.reshape(4, 2).T.sum(-1), z[:, 0]]).cumsum(0)
        spread = F.pad(F.one_hot(tokens, 5), (1, 2))
        return {"y": y.softmax(-1) ** power, "parts": [parts, z.astype(tfl.bfloat16)], "s": spread}

    tokens = tfl.tensor([[0, 1, 4], [2, 2, 3]])
    return run, (batch(0, 2, 2, 4, 4), tokens, 2.0)


class Files:
    """A good file, and others made of it."""

    def __init__(self, folder: Path) -> None:
        run, self.args = subject()
        self.path = folder / "program"
        tfl.export(run, self.path, *self.args)
        self.content = self.path.read_bytes()
        self.document = json.loads(read_metadata(self.path)[KEY])
        self.arrays = tfl.load_safetensors(self.path)
        self.expected = snapshot(self.called())

    def called(self) -> Any:
        """Load the file that stands there, and call the program twice."""
        with np.errstate(all="ignore"):
            program = tfl.load_program(self.path)
            program(*self.args)
            program.explain()
            return program(*self.args)

    def write(self, document: Any, arrays: Any = None, signed: bool = True) -> None:
        """Write a file of this text, as one who knows how the checksums are made."""
        arrays = self.arrays if arrays is None else arrays
        text = document if isinstance(document, str) else json.dumps(document)
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest() if signed else "0"
        tfl.save_safetensors(self.path, arrays, {KEY: text, DIGEST: digest})


@pytest.fixture(scope="module")
def files(tmp_path_factory: Any) -> Files:
    return Files(tmp_path_factory.mktemp("damage"))


def test_the_good_file_gives_the_result(files: Files) -> None:
    files.write(files.document)
    assert snapshot(files.called()) == files.expected


def test_flipped_bytes(files: Files) -> None:
    """Whatever byte changes, the result is right or an error of ours tells."""
    rng = random.Random(1)
    told = 0
    for _ in range(CASES):
        content = bytearray(files.content)
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
        files.path.write_bytes(content)
        told += _told(files)
    assert told > CASES * 0.9


def test_cut_files(files: Files) -> None:
    rng = random.Random(2)
    lengths = {0, 1, 7, 8, 9, len(files.content) - 1}
    lengths |= {rng.randrange(len(files.content)) for _ in range(100)}
    for length in lengths:
        files.path.write_bytes(files.content[:length])
        with pytest.raises(DataError, match=r"^load_program: "):
            tfl.load_program(files.path)
    files.path.write_bytes(files.content + b"more")
    with pytest.raises(DataError, match=r"^load_program: "):
        tfl.load_program(files.path)


def _told(files: Files) -> bool:
    """Whether an error of ours was raised; else the result must be right."""
    try:
        found = files.called()
    except TensorflowliteError as error:
        assert "\n" not in str(error)
        return True
    assert snapshot(found) == files.expected
    return False


def test_a_text_without_its_checksum(files: Files) -> None:
    files.write(files.document, signed=False)
    with pytest.raises(DataError, match=r"must be whole, got a text with another checksum"):
        tfl.load_program(files.path)
    arrays = {name: one.astype(one.dtype) for name, one in files.arrays.items()}
    name = next(name for name, one in arrays.items() if one.dtype == tfl.float32)
    arrays[name] = arrays[name] + 1
    files.write(files.document, arrays)
    with pytest.raises(DataError, match=r"must be whole, got arrays with other checksums"):
        tfl.load_program(files.path)


# -- edits by one who signs them -------------------------------------------------------------------
def places(node: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the ways to all parts of a text."""
    yield way
    if isinstance(node, dict):
        for key, part in node.items():
            yield from places(part, (*way, key))
    elif isinstance(node, list):
        for i, part in enumerate(node):
            yield from places(part, (*way, i))


JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 1000, 2**31, 2**40, 2**62, -(2**63), 10**30, 0.5, -0.0,
    1e308, "", "x", "__class__", "add", "reshape", "float32", "bfloat16", "object", [], [0], [[]],
    [1, 2], {}, {"value": 0}, {"value": 10**6}, {"value": -1}, {"slice": [0, None, 0]},
    {"slice": [2**62, None, -1]}, {"dtype": "int8"}, {"dtype": "O"}, {"float": "nan"},
    {"float": "1e3"}, {"ellipsis": True}, {"index": "array"}, {"kept": [0]}, {"kept": [{}]},
    {"list": [1]}, {"complex": [0.0, 1.0]}, {"unknown": 1}, {"value": 0, "float": "nan"},
]  # fmt: skip


def edited(rng: random.Random, document: Any) -> Any:
    """Return a text with one or a few parts changed, left out or doubled."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ways = [way for way in places(document) if way]
        *way, last = rng.choice(ways)
        node = document
        for key in way:
            node = node[key]
        deed = rng.randrange(8)
        if deed == 0:
            del node[last]
        elif deed == 1 and isinstance(node, list):
            node.insert(last, copy.deepcopy(rng.choice(node)))
        elif deed == 2 and isinstance(node, list):
            rng.shuffle(node)
        elif deed == 3 and type(node[last]) is int:
            node[last] += rng.choice((-1, 1, 2, -3, 100, 10**9))
        elif deed == 4:
            *other, key = rng.choice(ways)
            source = document
            for one in other:
                source = source[one]
            node[last] = copy.deepcopy(source[key])
        else:
            node[last] = copy.deepcopy(rng.choice(JUNK))
    return document


@pytest.mark.parametrize("seed", range(4))
def test_edited_texts(files: Files, seed: int) -> None:
    """What was changed and signed runs, or an error of ours tells: nothing else ever happens."""
    rng = random.Random(seed)
    told = 0
    for _ in range(CASES):
        files.write(edited(rng, files.document))
        try:
            files.called()
        except TensorflowliteError:
            told += 1
    assert told > CASES * 0.8


# -- what would do harm ----------------------------------------------------------------------------
def changed(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def make(document: Any) -> Any:
        document = copy.deepcopy(document)
        found = change(document)
        return document if found is None else found

    return make


def _slot(name: str, operator: bool = False) -> Callable[[Any], Any]:
    def change(document: Any) -> None:
        document["calls"][0]["slot"] = name
        if operator:
            document["calls"][0]["operator"] = True

    return changed(change)


def _nested(depth: int) -> Any:
    node: Any = 1
    for _ in range(depth):
        node = [node]
    return node


def _set(*way: Any, value: Any) -> Callable[[Any], Any]:
    def change(document: Any) -> None:
        node = document
        for key in way[:-1]:
            node = node[key]
        node[way[-1]] = value

    return changed(change)


NAMES = (
    "fromfile", "save", "load", "memmap", "fromfunction", "frompyfunc", "vectorize", "namespace",
    "replace", "to_host", "from_host", "array_type", "device_of", "__class__", "__init__", "eval",
    "os.system", "add\n    import os", "v0", "getattr", "filled", "write_through", "random_uniform",
)  # fmt: skip


@pytest.mark.parametrize("operator", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_only_operations_are_named(files: Files, name: str, operator: bool) -> None:
    files.write(_slot(name, operator)(files.document))
    with pytest.raises(DataError, match=r"^load_program: (the program in|every call must)"):
        tfl.load_program(files.path)


HOSTILE = {
    "another version": _set("version", value=2),
    "another format": _set("format", value="pickle"),
    "a huge value": _set("values", 0, value=["float32", [2**40, 2**40], None]),
    "a negative length": _set("values", 0, value=["float32", [-1], None]),
    "a wrong length": _set("values", 2, value=["float32", [2, 2, 4, 5], None]),
    "a dtype of objects": _set("values", 0, 0, value="object"),
    "a value before it is made": _set("calls", 0, "arguments", 0, value={"value": 40}),
    "a value made twice": _set("calls", 1, "results", value=0),
    "a root that comes later": _set("values", 0, 2, value=3),
    "a nested argument": _set("calls", 0, "arguments", 0, value=_nested(60)),
    "a nested tree": _set("gives", value={"list": [_nested(200)]}),
    "code for a name": _set("gives", value={"named": ["X", ["a=print(1)"], [{"plain": 1}]]}),
    "a hidden name": _set("gives", value={"named": ["X", ["__class__"], [{"plain": 1}]]}),
    "an array that isn't there": _set("arrays", 0, "tensor", value="../x"),
    "axes that aren't there": _set("arrays", 0, "axes", value=[0, 1, 2, 9]),
    "a huge number": _set("calls", 0, "arguments", 1, value=10**40),
    "a result that isn't there": _set("gives", value={"value": 10**6}),
    "an input that isn't there": _set("gives", value={"input": 3}),
    "no arguments": _set("takes", value={"none": True}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_harm_is_refused_before_anything_runs(files: Files, name: str) -> None:
    files.write(HOSTILE[name](files.document))
    with pytest.raises(DataError, match=r"^load_program: "):
        tfl.load_program(files.path)


@pytest.mark.parametrize("text", ["", "[", "1", "[]", "{}", "null", '"x"', "[" * 100_000])
def test_a_text_that_is_no_program(files: Files, text: str) -> None:
    files.write(text)
    with pytest.raises(DataError, match=r"^load_program: the program in the file must be whole"):
        tfl.load_program(files.path)


def test_an_index_out_of_range_is_told_as_by_the_function(files: Files) -> None:
    """Wrong values in good files are no damage."""
    files.path.write_bytes(files.content)
    program = tfl.load_program(files.path)
    x, tokens, power = files.args
    assert snapshot(program(x, tokens, power)) == files.expected
    with pytest.raises(TensorflowliteError, match=r"^(embedding|getitem|take|one_hot)"):
        program(x, tokens + 100, power)
