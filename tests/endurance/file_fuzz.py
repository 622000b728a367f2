"""Reads damaged files until something goes wrong; run as a program, for a crash ends the process.

``python -m tests.endurance.file_fuzz READER SEED COUNT FOLDER`` makes COUNT damaged files of the
corpus and reads each. Reading must return what an independent reader finds there, or raise an error
of the library of one line, in bounded memory and time. What did neither is kept in the FOLDER, and
so is the last input (``input``), for a crash. ``--again READER FILE`` reads one of them once more.
"""

from __future__ import annotations

import contextlib
import csv
import gc
import gzip
import hashlib
import io
import random
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

import tensorflowlite as tfl
from tensorflowlite.data import read_csv, read_idx, read_npz
from tensorflowlite.errors import TensorflowliteError
from tensorflowlite.io import read_metadata
from tensorflowlite.io.trees import encode_tree
from tensorflowlite.train.checkpoint import read_checkpoint

from ..jit_worlds import snapshot
from ..test_export_damage import subject
from . import mutations

CORPUS = Path(__file__).with_name("corpus")
MEMORY = 2 << 30  # of addresses
LONGEST = 1 << 20  # bytes of an input
SECONDS = 10  # of the processor, for one input
GROWTH = 64 << 20  # of resident memory, after the first fifth of the inputs
_IDX = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class Wrong(Exception):
    """A file that was read as something else than it holds."""


class Slow(BaseException):
    """A file that takes too long; nothing that is read catches it."""


def require(condition: Any, what: str) -> None:
    if not condition:
        raise Wrong(what)


def equal(one: Any, other: Any) -> bool:
    """Whether two arrays are the same in shape, dtype and bytes."""
    same = one.shape == other.shape and one.dtype == other.dtype
    return bool(same and one.tobytes() == other.tobytes())


# -- the readers, and what must hold of what they return -------------------------------------------
def read_safetensors(path: str, content: bytes, original: bool) -> None:
    found = tfl.load_safetensors(path)
    read_metadata(path)
    entries = dict(safetensors.deserialize(content))
    require(entries.keys() == found.keys(), "other names")
    for name, tensor in found.items():
        array, entry = tensor.numpy(), entries[name]
        require(list(array.shape) == list(entry["shape"]), "another shape")
        if array.dtype == np.bool_:
            entry["data"] = bytes(map(bool, entry["data"]))
        require(array.tobytes() == bytes(entry["data"]), "other bytes")
    with contextlib.suppress(KeyError, AttributeError):  # dtypes that NumPy hasn't
        for name, other in safetensors.numpy.load(content).items():
            array = found[name].numpy()
            require(array.dtype == np.bool_ or equal(array, other), "another array")


def read_tree(path: str, content: bytes, original: bool) -> None:
    found = tfl.load(path)
    encode_tree("save", found, {})


def read_sealed(path: str, content: bytes, original: bool) -> None:
    state = read_checkpoint(path)
    require(type(state) is not bytes, "a state")
    resealed = _sealed_by_us(content)
    require(original or resealed, "a changed checkpoint")


def _sealed_by_us(content: bytes) -> bool:
    """Whether the file has the seal of its content, found without the library."""
    key = b'"tensorflowlite.seal":"sha256:'
    start = content.index(key) + len(key)
    blank = content[:start] + b"0" * 64 + content[start + 64 :]
    return hashlib.sha256(blank).hexdigest().encode() == content[start : start + 64]


class Programs:
    """Loads programs and calls them; a text that nobody signed anew gives the same result."""

    def __init__(self) -> None:
        path = CORPUS / "program/program"
        _, self.args = subject()
        self.digest = read_metadata(path)["tensorflowlite.digest"]
        self.expected = snapshot(self._called(tfl.load_program(path)))

    def _called(self, program: Any) -> Any:
        # A program may change what it is given.
        x, tokens, power = self.args
        args = [tfl.asarray(x, copy=True), tfl.asarray(tokens, copy=True), power]
        with np.errstate(all="ignore"):
            program(*args)
            return program(*args)

    def __call__(self, path: str, content: bytes, original: bool) -> None:
        program = tfl.load_program(path)
        program.explain()
        found = self._called(program)
        if read_metadata(path)["tensorflowlite.digest"] == self.digest:
            require(snapshot(found) == self.expected, "another result")


def read_idx_file(path: str, content: bytes, original: bool) -> None:
    found = read_idx(path)
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    count, dtype = content[3], np.dtype(_IDX[content[2]])
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(count)]
    body = content[4 + 4 * count :]
    require(list(found.shape) == shape, "another shape")
    require(found.astype(dtype).tobytes() == body, "other bytes")


def read_npz_file(path: str, content: bytes, original: bool) -> None:
    found = read_npz(path)
    with np.load(path, allow_pickle=False) as archive:
        require(set(archive.files) == set(found), "other names")
        for name in archive.files:
            array = archive[name]
            if array.dtype == np.bool_:
                array = array.view(np.uint8) != 0
            require(equal(array, found[name]), "another array")
            repr(found[name])


def read_csv_file(path: str, content: bytes, original: bool) -> None:
    target = "y" if b"y" in content.split(b"\n")[0] else "kind"
    table = read_csv(path, target)
    text = content.decode("utf-8-sig")
    for delimiter in ",;\t|":
        with contextlib.suppress(csv.Error):
            lines = io.StringIO(text, newline="")
            rows = list(filter(None, csv.reader(lines, delimiter=delimiter)))
            names = [name.strip() for name in rows[0]]
            if set(names) == {*table.feature_names, target}:
                break
    else:
        raise Wrong("other columns")
    place = names.index(target)
    values = [[float(text) for i, text in enumerate(row) if i != place] for row in rows[1:]]
    with np.errstate(over="ignore"):
        require(np.array_equal(np.array(values, np.float32), table.features), "other values")
    require(len(table.target) == len(values), "another length")
    require(np.isfinite(table.features).all(), "a value that isn't finite")
    if table.class_names is not None:
        require(table.target.max(initial=0) < len(table.class_names), "a class")


Read = Callable[[str, bytes, bool], None]
READERS: dict[str, Callable[[], Read]] = {
    "safetensors": lambda: read_safetensors,
    "tree": lambda: read_tree,
    "checkpoint": lambda: read_sealed,
    "program": Programs,
    "idx": lambda: read_idx_file,
    "npz": lambda: read_npz_file,
    "csv": lambda: read_csv_file,
}


# -- the fuzzer ------------------------------------------------------------------------------------
def outcome(read: Read, path: str, content: bytes, original: bool) -> str:
    """Read a file: "accepted", "refused", or what was wrong."""
    with open(path, "wb") as file:
        file.write(content)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        read(path, content, original)
    except TensorflowliteError as error:
        if "\n" in str(error).strip() or len(str(error)) > 2000:
            return f"an error of more than a sentence: {error!r:.200}"
        if _asked_for_memory(error):
            return f"asked for memory that isn't there: {error}"
        return "refused"
    except Slow:
        return f"took more than {SECONDS} seconds"
    except Exception as error:
        return f"raised {type(error).__name__}: {error!s:.300}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return "accepted"


def _asked_for_memory(error: BaseException | None) -> bool:
    """Whether memory that isn't there was behind an error: its size should have been checked."""
    for _ in range(10):
        if isinstance(error, MemoryError):
            return True
        error = None if error is None else error.__cause__
    return False


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def limit() -> None:
    """Bound what the process may take, and let an input that is slow be told."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    def tell(*_: Any) -> None:
        raise Slow

    signal.signal(signal.SIGVTALRM, tell)
    warnings.simplefilter("ignore")


def fuzz(reader: str, seed: int, count: int, folder: Path) -> int:
    rng = random.Random(f"{reader} {seed}")
    read = READERS[reader]()
    corpus = [path.read_bytes() for path in sorted((CORPUS / reader).iterdir())]
    structured = getattr(mutations, reader)
    path = str(folder / "input")
    found = {"accepted": 0, "refused": 0}
    wrong = 0
    limit()
    for content in corpus:
        said = outcome(read, path, content, True)
        assert said == "accepted", f"{reader}: a good file: {said}"
    known, begun, before = set(corpus), time.perf_counter(), 0
    for number in range(count):
        content = rng.choice(corpus)
        change = structured if rng.random() < 0.5 else mutations.blind
        content = change(rng, content, corpus)[:LONGEST]
        said = outcome(read, path, content, content in known)
        if said in found:
            found[said] += 1
        else:
            wrong += 1
            kept = folder / f"{reader}-{hashlib.sha256(content).hexdigest()[:12]}"
            kept.write_bytes(content)
            if wrong <= 20:
                print(f"{kept}: {said}".encode("ascii", "backslashreplace").decode())
        if number == count // 5:
            gc.collect()
            before = resident()
    gc.collect()
    growth = resident() - before
    if growth > GROWTH:
        wrong += 1
        print(f"{reader}: resident memory grew by {growth >> 20} MiB")
    seconds = time.perf_counter() - begun
    print(
        f"{reader}: {count} inputs in {seconds:.1f} s, {found['accepted']} accepted, "
        f"{found['refused']} refused, {growth / 2**20:.1f} MiB more, {wrong} wrong"
    )
    return 1 if wrong else 0


def main(*args: str) -> int:
    if args[0] == "--again":
        content = Path(args[2]).read_bytes()
        limit()
        print(outcome(READERS[args[1]](), "/tmp/again", content, False))
        return 0
    reader, seed, count, folder = args
    return fuzz(reader, int(seed), int(count), Path(folder))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
