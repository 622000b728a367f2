"""Builds what checks csrc: the driver of tests/native, and the extension under a sanitizer.

Object files are kept in the user's cache under a hash of all that they are of, so that test
processes share them and a second run compiles nothing.
"""

from __future__ import annotations

import ast
import fcntl
import functools
import hashlib
import os
import re
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import host_kernels

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
CHECKS = ROOT / "tests" / "native"
INCLUDES = (CSRC, ROOT / "kernels" / "include")

# Parts without a file of their name in tests/native: what checks them is elsewhere.
ELSEWHERE = {
    "blas": "tests/test_cpu_threads.py",
    "convolution_plan": "tests/native/convolution.cpp",
    "cublas_lt": "tests/test_cuda_blas.py",
    "dynamic_library": "tests/test_cuda_blas.py",
    "elements_program": "tests/native/elements.cpp",
}


@functools.cache
def build_settings() -> dict[str, Any]:
    """Return setup.py's COMPILE and CONTRACTED."""
    settings = {}
    for statement in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in ("COMPILE", "CONTRACTED"):
                settings[name] = ast.literal_eval(statement.value)
    return settings


def options_of(source: Path) -> list[str]:
    """Return the options that setup.py compiles a file with, but for how far it optimises."""
    settings = build_settings()
    options = [option for option in settings["COMPILE"] if option != "-O3"]
    if source.parent == CSRC and source.stem in settings["CONTRACTED"]:
        options.append("-ffp-contract=fast")
    return options


def kernels_of(family: str) -> list[str]:
    """Return the names of the functions in a family's table; none where a part has no table."""
    text = (CSRC / f"{family}.hpp").read_text(encoding="utf-8")
    return re.findall(r"\(\*(\w+)\)\(", text)


def _included(source: Path) -> set[Path]:
    """Return the project's files that a source is of."""
    found, left = set(), [source]
    while left:
        file = left.pop()
        found.add(file)
        names = re.findall(r'#(?:include|define TFL_FAMILY) "([^"]+)"', file.read_text("utf-8"))
        for name in names:
            places = (folder / name for folder in (file.parent, *INCLUDES))
            left += [place for place in places if place.is_file() and place not in found]
    return found


@functools.cache
def is_binding(source: Path) -> bool:
    """Whether a source is of the Python module."""
    return any("<pybind11/" in file.read_text(encoding="utf-8") for file in _included(source))


def parts() -> list[str]:
    """Return the parts of csrc, families of kernels among them, but for the Python module."""
    return sorted(path.stem for path in CSRC.glob("*.cpp") if not is_binding(path))


def driver_sources() -> list[Path]:
    """Return what the driver is linked of: its own files and the parts of csrc."""
    linked = [CSRC / f"{name}.cpp" for name in parts() if "cuda" not in ELSEWHERE.get(name, "")]
    return [*sorted(CHECKS.glob("*.cpp")), *linked]


@functools.cache
def _folder() -> Path:
    """Return where what is made is kept; what nobody took for a month is removed."""
    folder = host_kernels._folder().parent / "native"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_file() and time.time() - path.stat().st_mtime > 30 * 24 * 3600:
            path.unlink(missing_ok=True)
    return folder


@dataclass(frozen=True)
class Toolchain:
    """A compiler, and what it is told beside setup.py's options."""

    compiler: str
    options: tuple[str, ...]
    linking: tuple[str, ...] = ()
    binding: tuple[str, ...] = ()  # instead of `options` for the files of the Python module

    def version(self) -> str:
        return _version(self.compiler)

    def object_of(self, source: Path) -> Path:
        """Return a source's object file, compiled unless it is there already."""
        options = [*options_of(source), *(f"-I{folder}" for folder in INCLUDES)]
        options += self.binding if is_binding(source) else self.options
        digest = hashlib.sha256("\0".join([self.version(), str(source), *options]).encode())
        for file in sorted(_included(source)):
            digest.update(file.read_bytes())
        target = _folder() / f"{source.stem}-{digest.hexdigest()[:32]}.o"
        return self._kept(target, [str(source), *options, "-c"])

    def linked(self, sources: Sequence[Path], name: str, *options: str) -> Path:
        """Return a program or library of sources, two of which are compiled at a time."""
        build_settings()  # not by two threads at once: CPython 3.11 can't parse so
        with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
            objects = list(pool.map(self.object_of, sources))
        words = [*map(str, objects), *self.linking, *options]
        key = hashlib.sha256("\0".join([self.version(), *words]).encode()).hexdigest()[:32]
        target = _folder() / f"{key}-{name}"
        return self._kept(target, ["-pthread", *words])

    def _kept(self, target: Path, words: list[str]) -> Path:
        """Return a file that the compiler makes, unless it is there already."""
        # One process makes it, aside and moved into place; the others wait.
        with open(target.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if target.is_file():
                target.touch()
                return target
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                made = Path(scratch, target.name)
                _run([self.compiler, *words, "-o", str(made)])
                made.replace(target)
        return target


@functools.cache
def _version(compiler: str) -> str:
    return _run([compiler, "--version"])


def _run(command: list[str]) -> str:
    # The compiler itself isn't to be sanitized.
    variables = {name: text for name, text in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def driver(toolchain: Toolchain) -> Path:
    """Return the program that runs the checks."""
    return toolchain.linked(driver_sources(), "checks")


def extension(toolchain: Toolchain) -> Path:
    """Return the Python module, which another process is to load."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return toolchain.linked(sorted(CSRC.glob("*.cpp")), f"_native{suffix}", "-shared", "-ldl")


def python_headers() -> tuple[str, ...]:
    """Return the options that name the directories of Python's and pybind11's headers."""
    import pybind11

    paths = sysconfig.get_paths()
    folders = dict.fromkeys([paths["include"], paths["platinclude"], pybind11.get_include()])
    return tuple(word for folder in folders for word in ("-isystem", folder))
