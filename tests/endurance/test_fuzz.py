"""Damaged files and bad arguments: a crash, a hang, another exception than the library's, or a file
read as something else than it holds, is a failure, and its input is kept.

A hundredth of the inputs, always the same; with ``TENSORFLOWLITE_SOAK=1`` (``make soak``) over a
million, other ones each time.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from . import mutations
from .file_fuzz import READERS

ROOT = Path(__file__).resolve().parents[2]
SOAK = os.environ.get("TENSORFLOWLITE_SOAK", "0") not in ("", "0")
# How many inputs each reader gets in the soak: the slower, the fewer.
INPUTS = {
    "safetensors": 320_000, "tree": 200_000, "checkpoint": 150_000, "program": 60_000,
    "idx": 250_000, "npz": 100_000, "csv": 150_000,
}  # fmt: skip
PROCESSES = 2
TIMEOUT = 1800


def run(*program: str) -> str:
    """Run a fuzzer; a crash and what it prints are a failure."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", *program],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    said = f"{' '.join(program)}\n{done.stdout}{done.stderr[-4000:]}"
    assert done.returncode >= 0, f"crashed by signal {-done.returncode}: {said}"
    assert done.returncode == 0, said
    return done.stdout


def test_every_reader_has_inputs_and_a_way_to_damage_them() -> None:
    assert INPUTS.keys() == READERS.keys()
    assert all(callable(getattr(mutations, reader)) for reader in READERS)


@pytest.mark.parametrize("reader", INPUTS)
def test_damaged_files(reader: str) -> None:
    seed = secrets.randbelow(2**32) if SOAK else 0
    count = INPUTS[reader] // (1 if SOAK else 100) // PROCESSES
    # Not pytest's folder, which goes when a few more sessions have begun. It stays on a failure.
    kept = Path(tempfile.mkdtemp(prefix=f"tensorflowlite-fuzz-{reader}-"))
    folders = [kept / str(number) for number in range(PROCESSES)]

    def one(number: int) -> str:
        folders[number].mkdir()
        parts = (reader, str(seed + number), str(count), str(folders[number]))
        return run("tests.endurance.file_fuzz", *parts)

    with ThreadPoolExecutor(PROCESSES) as pool:
        for said in pool.map(one, range(PROCESSES)):
            print(said, end="")
            found = re.search(r"(\d+) accepted, (\d+) refused", said)
            # Where all are refused, or none, what is tried is too much or too little.
            assert found and min(map(int, found.groups())) > count // 100, said
    shutil.rmtree(kept)


def test_bad_arguments_of_bindings(native_module: ModuleType, tmp_path: Path) -> None:
    said = run("tests.native_fuzz", str(tmp_path / "last"), "1500" if SOAK else "10")
    print(said, end="")
    assert said.endswith(" 0 wrong\n")
