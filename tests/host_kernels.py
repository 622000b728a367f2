"""The kernels on NumPy arrays: the same ``.cu`` files, compiled by g++ and run by fibers.

``kernels/host/`` holds what they need of CUDA. The launcher, its checks and the choice of files are
the package's own (``backend.cuda.kernels.Kernels``); the compiler and the driver are the host's.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from tensorflowlite.backend.cuda import kernels
from tensorflowlite.backend.cuda.kernels import Function, Kernels

ROOT = Path(__file__).resolve().parents[1]
HOST = ROOT / "kernels" / "host"
INCLUDE = ROOT / "kernels" / "include"

ORDERS = ("ascending", "descending", "shuffled")

# Contraction is off as in the native extension; alignment and bounds are checked by handlers of
# cuda_host.hpp's own, which name the place.
OPTIONS = (
    "-std=c++17", "-O1", "-g1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off",
    "-fsanitize=alignment,bounds", "-w",
)  # fmt: skip
SANITIZE = ("-fsanitize=address", "-fno-omit-frame-pointer")
SANITIZE_VARIABLE = "TENSORFLOWLITE_TEST_SANITIZE"


class HostKernelError(AssertionError):
    """A kernel that g++ refuses, or that does what a GPU wouldn't survive."""


def why_not() -> str:
    """Return why kernels can't run on this machine's host; "" where they can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "fibers are written for Linux on x86-64"
    if shutil.which(_compiler()[0]) is None:
        return f"no C++ compiler: {_compiler()[0]}"
    return ""


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX", "")) or ["g++"]


@functools.cache
def sanitizer_variables() -> dict[str, str]:
    """Return the variables of a process that loads AddressSanitizer; {} where there is none."""
    command = [*_compiler(), "-print-file-name=libasan.so"]
    path = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    if not Path(path).is_absolute():
        return {}
    # The interpreter's own memory isn't the kernels' business.
    return {
        "LD_PRELOAD": path,
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "PYTHONMALLOC": "malloc",
    }


@functools.cache
def _folder() -> Path:
    """Return where compiled libraries are kept: the user's cache, or a folder of this process."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "tensorflowlite" / "host"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="tensorflowlite-host-"))


@functools.cache
def _common() -> bytes:
    """Return what every library depends on beside its kernel's text and the options."""
    version = subprocess.run([*_compiler(), "--version"], capture_output=True, check=True).stdout
    headers = [*sorted(HOST.iterdir()), INCLUDE / "host_math.cuh"]
    return version + b"".join(path.read_bytes() for path in headers)


def program_of(source: str) -> str:
    """Return a C++ program of a kernel file's text: what it needs before it, entries after it."""
    entries = re.findall(r'extern "C" TFL_KERNEL\(([^)]*)\)\s*(\w+)\(', source)
    ends = [
        f'extern "C" __attribute__((visibility("default"))) const char* launch_{name}(\n'
        f"    const tfl_host::Launch& launch) {{\n"
        f"  return tfl_host::run<{name}>(launch, {bounds});\n}}\n"
        for bounds, name in entries
    ]
    return "\n".join(['#include "cuda_host.hpp"', source, '#line 1 "entries"', *ends])


def build(source: str, options: tuple[str, ...]) -> Path:
    """Return the shared library of a kernel file's text, compiled unless it is there already."""
    shared = (*options, "-shared", str(_scheduler("-fsanitize=address" in options)))
    return _made(program_of(source), ".so", shared)


@functools.cache
def _scheduler(sanitized: bool) -> Path:
    """Return the object file of what all libraries have in common."""
    options = ("-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", *sanitized * SANITIZE)
    return _made((HOST / "fibers.cpp").read_text(encoding="utf-8"), ".o", (*options, "-c"))


def _made(program: str, kind: str, options: tuple[str, ...]) -> Path:
    """Return what the compiler makes of a program; it is kept under a hash of all that it's of."""
    key = hashlib.sha256(_common() + "\0".join([program, *options]).encode()).hexdigest()
    target = _folder() / f"{key[:32]}{kind}"
    if target.is_file():
        return target
    # Aside and moved into place: test processes that compile at once don't disturb each other.
    with tempfile.TemporaryDirectory(dir=_folder()) as scratch:
        text = Path(scratch, "kernel.cpp")
        text.write_text(program, encoding="utf-8")
        made = Path(scratch, f"made{kind}")
        places = (f"-I{HOST}", f"-I{INCLUDE}", "-o", str(made))
        command = [*_compiler(), str(text), *options, *places]
        # The compiler itself isn't to be sanitized.
        variables = {name: text for name, text in os.environ.items() if name != "LD_PRELOAD"}
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        if done.returncode:
            raise HostKernelError(f"the host's compiler refuses the kernel:\n{done.stderr}")
        made.replace(target)
    return target


class _Launch(ctypes.Structure):
    """``tfl_host::Launch`` of kernels/host/fibers.hpp."""

    _fields_ = (
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("shared", ctypes.c_uint64),
        ("order", ctypes.c_int32),
        ("seed", ctypes.c_uint32),
        ("count", ctypes.c_int32),
        ("values", ctypes.POINTER(ctypes.c_void_p)),
        ("sizes", ctypes.POINTER(ctypes.c_uint64)),
        ("kinds", ctypes.c_char_p),
    )


# NumPy's letters of the kinds that struct's letters stand for.
_KINDS = {"P": "u", "s": "V", "?": "b", "e": "f", "f": "f", "d": "f"}
_KINDS |= dict.fromkeys("bhilq", "i") | dict.fromkeys("BHILQ", "u")


class HostDriver:
    """Loads the libraries that ``build`` made, and launches in one order of threads."""

    def __init__(self, order: str = "ascending", seed: int = 1, log: str | None = None) -> None:
        self._order = ORDERS.index(order)
        self._seed = seed
        self._log = log

    def capability(self) -> tuple[int, int]:
        return 8, 0

    def multiprocessors(self) -> int:
        return 4

    def device(self) -> int:
        return 0

    def device_of(self, array: Any) -> int | None:
        return 0 if isinstance(array, numpy.ndarray) else None

    def address(self, array: numpy.ndarray) -> int:
        return array.ctypes.data

    def load(self, machine_code: bytes, entries: list[str]) -> dict[str, Function]:
        """Return the functions of a library, whose path stands for its machine code."""
        # PyDLL keeps the interpreter's lock: a library runs one launch at a time.
        library = ctypes.PyDLL(os.fsdecode(machine_code))
        return {entry: self._launcher(library[f"launch_{entry}"], entry) for entry in entries}

    def _launcher(self, function: Any, entry: str) -> Function:
        function.restype = ctypes.c_char_p

        def launch(grid: Any, block: Any, shared: int, layout: str, packed: bytes) -> None:
            letters = re.findall(r"\d*\w", layout)
            sizes = [struct.calcsize(letter) for letter in letters]
            ends = [struct.calcsize("".join(letters[: i + 1])) for i in range(len(letters))]
            start, count = ctypes.cast(packed, ctypes.c_void_p).value or 0, len(letters)
            error = function(ctypes.byref(_Launch(
                (*grid, 1, 1)[:3], (*block, 1, 1)[:3], shared, self._order, self._seed, count,
                (ctypes.c_void_p * count)(*[start + end - size
                                            for size, end in zip(sizes, ends, strict=True)]),
                (ctypes.c_uint64 * count)(*sizes),
                "".join(_KINDS[letter[-1]] for letter in letters).encode(),
            )))  # fmt: skip
            if error is not None:
                raise HostKernelError(f"{entry}: {error.decode()}")
            if self._log:
                with open(self._log, "a", encoding="utf-8") as out:
                    out.write(f"{entry}\n")

        return launch


class HostKernels(Kernels):
    """The launcher of the package over NumPy arrays.

    Parameters
    ----------
    order
        In which order a block's threads run: one of ``ORDERS``. A kernel must pass all three.
    sanitize
        Compile with AddressSanitizer; the process must have been started with its library. Where
        it isn't said, as the variable ``TENSORFLOWLITE_TEST_SANITIZE`` says: it names a file, to
        which the names of the kernels that ran are added (tests/compiled/).
    seed
        Of the shuffled order.
    """

    def __init__(
        self,
        order: str = "ascending",
        sanitize: bool | None = None,
        seed: int = 1,
    ) -> None:
        log = os.environ.get(SANITIZE_VARIABLE)
        sanitized = bool(log) if sanitize is None else sanitize
        if sanitized and "libasan" not in os.environ.get("LD_PRELOAD", ""):
            raise HostKernelError("AddressSanitizer isn't loaded: see sanitizer_variables()")

        def compile(file: kernels.Source, defines: Mapping[str, Any], architecture: str) -> bytes:
            options = [f"-D{name}={value}" for name, value in sorted(defines.items())]
            source = kernels.source_of(file)
            library = build(source, (*OPTIONS, *sanitized * SANITIZE, *options))
            return os.fsencode(library)

        super().__init__(HostDriver(order, seed, log), compile)
