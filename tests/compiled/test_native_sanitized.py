"""csrc under sanitizers: its checks in C++, its bindings, and both on another processor.

The checks are the program of ``tests/native``: every kernel of every instruction set between
guards, on several numbers of threads, against plain loops; and the pool and the memory cache in the
hands of several threads.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from .. import host_kernels, native_building
from ..conftest import why_no_native_rows
from ..native_building import CHECKS, ROOT, Toolchain

MARK = "mark.binding"
SANITIZERS = {"memory": ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
              "threads": ("-fsanitize=thread",)}  # fmt: skip
# Most of the time goes into compiling. How threads share the work is the same for all instruction
# sets.
COMPILING = {"memory": ("-O0", "-g1"), "threads": ("-O1", "-g1", "-DTFL_GENERIC")}
BUGS = {
    "memory": ("int* x = new int[4]; return x[argc + 3];", "heap-buffer-overflow"),
    "threads": (
        "int x = 0; std::thread other([&] { ++x; }); ++x; other.join(); return x - 2;",
        "data race",
    ),
}


def sanitized(kind: str, binding: tuple[str, ...] = ()) -> Toolchain:
    options = SANITIZERS[kind]
    compiling = (*COMPILING[kind], "-fno-omit-frame-pointer", *options)
    return Toolchain("g++", compiling, options, binding)


def environment() -> dict[str, str]:
    chosen = {
        "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
        "ASAN_OPTIONS": "detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    return {name: os.environ[name] for name in os.environ if name != "LD_PRELOAD"} | chosen


@functools.cache
def prefix_of(kind: str) -> tuple[str, ...] | None:
    """Return what a sanitized program is started with; None where its runtime is missing.

    ThreadSanitizer of older compilers refuses the addresses that newer kernels choose at random.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "empty.cpp"), Path(folder, "empty")
        source.write_text("int main() {}\n")
        command = ["g++", str(source), *SANITIZERS[kind], "-o", str(program)]
        if subprocess.run(command, capture_output=True).returncode:
            return None
        for prefix in ((), ("setarch", "--addr-no-randomize")):
            if prefix and shutil.which(prefix[0]) is None:
                continue
            if subprocess.run([*prefix, str(program)], capture_output=True).returncode == 0:
                return prefix
    return None


def prefix_or_skip(kind: str) -> tuple[str, ...]:
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler: g++ isn't installed")
    prefix = prefix_of(kind)
    if prefix is None:
        pytest.skip(f"no runtime of g++ for {SANITIZERS[kind][0]}")
    return prefix


def run_checks(command: Sequence[str], timeout: float = 100) -> None:
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[:6000]}"
    assert done.stdout.endswith(" passed, 0 failed\n")


@pytest.mark.parametrize("part", native_building.parts())
def test_every_part_has_checks(part: str) -> None:
    """Each has a file in tests/native, which names every function of a family's table."""
    file = CHECKS / f"{part}.cpp"
    if part in native_building.ELSEWHERE:
        assert not file.exists() and (ROOT / native_building.ELSEWHERE[part]).is_file()
        return
    assert file.is_file(), f"csrc/{part}.cpp has no checks: add tests/native/{part}.cpp"
    text = file.read_text(encoding="utf-8")
    assert "TFL_CHECK(" in text
    missing = [name for name in native_building.kernels_of(part) if name not in text]
    assert not missing, f"tests/native/{part}.cpp doesn't call {', '.join(missing)}"


@pytest.mark.parametrize("kind", SANITIZERS)
def test_the_sanitizer_sees(kind: str, tmp_path: Path) -> None:
    prefix = prefix_or_skip(kind)
    line, report = BUGS[kind]
    text = f"#include <thread>\nint main(int argc, char**) {{ (void)argc; {line} }}\n"
    (tmp_path / "bug.cpp").write_text(text)
    command = ["g++", "-pthread", *SANITIZERS[kind], "bug.cpp", "-o", "bug"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = subprocess.run(
        [*prefix, str(tmp_path / "bug")], env=environment(), capture_output=True, text=True
    )
    assert found.returncode != 0 and report in found.stderr


@pytest.mark.parametrize("kind", SANITIZERS)
def test_checks_pass(kind: str) -> None:
    prefix = prefix_or_skip(kind)
    run_checks([*prefix, str(native_building.driver(sanitized(kind)))])


def test_checks_pass_on_aarch64() -> None:
    """Vectors are the compiler's, so that NEON comes by itself."""
    needed = {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64": "qemu-user"}
    missing = [package for program, package in needed.items() if shutil.which(program) is None]
    if missing:
        pytest.skip(f"Debian's {' and '.join(missing)} aren't installed")
    program = native_building.driver(Toolchain("aarch64-linux-gnu-g++", ("-O1",), ("-static",)))
    run_checks(["qemu-aarch64", str(program)])


# In every process: the extension is loaded from a file that isn't the package's.
LENDING = """
import importlib.util, sys

class Lent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "tensorflowlite._native":
            return importlib.util.spec_from_file_location(name, {path!r})

sys.meta_path.insert(0, Lent)
"""


def test_bindings_under_address_sanitizer(tmp_path: Path) -> None:
    """Tests marked ``binding`` run again on an extension that is compiled with the sanitizer."""
    if reason := why_no_native_rows():
        pytest.skip(reason)
    prefix_or_skip("memory")
    # The bindings' own templates take long to compile with more.
    binding = ("-O0", "-g1", "-fsanitize=address", *native_building.python_headers())
    extension = str(native_building.extension(sanitized("memory", binding)))
    (tmp_path / "sitecustomize.py").write_text(LENDING.format(path=extension))
    variables = os.environ | host_kernels.sanitizer_variables()
    # The cache's blocks are whole pages, whose ends the sanitizer doesn't know.
    variables["TENSORFLOWLITE_MEMORY_CACHE"] = "0"
    # The sanitizer wraps the throwing of exceptions, which it looks for at the process's start.
    ask = ["g++", "-print-file-name=libstdc++.so.6"]
    library = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    variables["LD_PRELOAD"] += f":{library}"
    variables["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT)])

    def run(*words: str) -> str:
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[:6000]
        return done.stdout

    place = "from tensorflowlite.backend.native.extension import module; print(module.__file__)"
    assert run("-c", place).strip() == extension
    tests = [str(p) for p in sorted((ROOT / "tests").glob("test_*.py")) if MARK in p.read_text()]
    run("-m", "pytest", "-q", "--capture=sys", "-p", "no:cacheprovider", "-m", "binding", *tests)
