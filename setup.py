"""What pyproject.toml can't say: the native extension, and the folders mapped into the package.

A build of the extension that fails or is impossible isn't an error: the package then runs on NumPy
alone, and ``tensorflowlite/_native_build.json`` keeps the reason. The environment variable
``TENSORFLOWLITE_NO_NATIVE=1`` skips the build, ``CXX`` names another compiler than g++.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "tensorflowlite"
RECORD = "_native_build.json"
SOURCES = sorted(f"csrc/{path.name}" for path in (ROOT / "csrc").glob("*.cpp"))

# -ffp-contract=off: random normals have the same bits on every CPU.
# In the files of CONTRACTED a product and a sum become a fused multiply-add, where the processor
# has it: their results differ in the last bits between instruction sets.
# -fno-trapping-math and -fno-math-errno change no value; loops with a choice in them need them to
# become vector code.
COMPILE = [
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-trapping-math",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-pthread",
]
CONTRACTED = {
    "attention", "bias_activation", "convolution", "elements", "functions", "gated_activation",
    "losses",
    "normalization", "softmax",
}  # fmt: skip
# Some hundred loops of vectors: -O3 compiles twice as long, and they run no faster.
MANY_LOOPS = {"elements": ["-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic"]}
LINK = ["-shared", "-pthread"]
LINK += ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
# CUDA's libraries are loaded when they are first needed.
LINK += ["-ldl"] if sys.platform == "linux" else []


class BuildFailure(Exception):
    """Why there is no extension: one line, and what the compiler printed."""

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


def compiler() -> list[str]:
    command = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    if shutil.which(command[0]) is None:
        raise BuildFailure(f"no C++ compiler: {command[0]} isn't installed")
    return command


def include_directories() -> list[str]:
    """Where the headers of Python and pybind11 are."""
    # Two paths, which differ where a virtual environment lies over a system's Python.
    paths = sysconfig.get_paths()
    python = [paths[name] for name in ("include", "platinclude") if paths.get(name)]
    if not any((Path(path) / "Python.h").is_file() for path in python):
        raise BuildFailure(f"no Python headers: Python.h isn't in {python[0]}")
    try:
        import pybind11
    except ImportError:
        raise BuildFailure("no pybind11: it isn't installed where the package is built") from None
    return [*dict.fromkeys(python), pybind11.get_include()]


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, text=True, errors="replace", capture_output=True)
    output = done.stdout + done.stderr
    if done.returncode != 0:
        lines = output.splitlines()
        first = next(
            (line for line in lines if "error" in line), lines[-1] if lines else "no output"
        )
        raise BuildFailure(f"{Path(command[0]).name} failed: {first.strip()}", output)
    return output


def options(source: str) -> list[str]:
    """How one file is compiled."""
    name = Path(source).stem
    contracted = ["-ffp-contract=fast"] if name in CONTRACTED else []
    return [*COMPILE, *contracted, *MANY_LOOPS.get(name, [])]


def fingerprint(commands: list[str]) -> str:
    """Changes when the extension has to be built again."""
    digest = hashlib.sha256("\n".join([sys.version, *commands]).encode())
    for folder in ("csrc", "kernels/include"):
        for path in sorted((ROOT / folder).iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


class BuildNative(build_ext):
    """Builds the extension by one compiler call per source, and outlives its failure."""

    def run(self) -> None:
        if self.inplace or self.editable_mode:
            folder = PACKAGE
        else:
            folder = Path(self.build_lib) / "tensorflowlite"
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
        try:
            current, output = self.build(target)
            record = {"reason": "", "output": output, "fingerprint": current}
        except (BuildFailure, OSError) as failure:
            # An extension of older sources would be worse than none.
            target.unlink(missing_ok=True)
            output = getattr(failure, "output", "")
            record = {"reason": " ".join(str(failure).split()), "output": output[-4000:]}
            print(f"tensorflowlite: built without its native extension: {record['reason']}")
            print(output, end="")
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def build(self, target: Path) -> tuple[str, str]:
        """Make `target` and return its fingerprint and what the compiler said of it."""
        if os.environ.get("TENSORFLOWLITE_NO_NATIVE") == "1":
            raise BuildFailure("skipped by TENSORFLOWLITE_NO_NATIVE=1 at build time")
        command = compiler()
        includes = ["-Ikernels/include"]
        # The compiler doesn't warn of others' headers.
        includes += [word for path in include_directories() for word in ("-isystem", path)]
        flags = [*LINK, *(word for source in SOURCES for word in options(source))]
        current = fingerprint([run([*command, "--version"]), *command, *flags])
        built = self.reuse(target, current)
        if built is not None:
            return current, built
        temporary = Path(self.build_temp).resolve()
        temporary.mkdir(parents=True, exist_ok=True)
        objects = [str(temporary / f"{Path(source).stem}.o") for source in SOURCES]
        with ThreadPoolExecutor() as pool:
            said = list(
                pool.map(
                    lambda source, out: run(
                        [*command, *options(source), *includes, "-c", source, "-o", out]
                    ),
                    SOURCES,
                    objects,
                )
            )
        # Linked aside and moved: a process that has the old one loaded keeps it.
        linked = temporary / target.name
        run([*command, *objects, *LINK, "-o", str(linked)])
        target.unlink(missing_ok=True)
        shutil.move(linked, target)
        return current, "".join(said)

    def reuse(self, target: Path, current: str) -> str | None:
        """Copy the extension beside the sources to `target`, and return what the compiler said.

        None where it isn't of these sources.
        """
        built = PACKAGE / target.name
        try:
            record = json.loads((PACKAGE / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if record.get("fingerprint") != current or not built.is_file():
            return None
        if built.resolve() != target.resolve():
            shutil.copy2(built, target)
        return str(record.get("output", ""))

    def get_outputs(self) -> list[str]:
        folder = Path(self.build_lib) / "tensorflowlite"
        names = [f"_native{sysconfig.get_config_var('EXT_SUFFIX')}", RECORD]
        return [str(folder / name) for name in names if (folder / name).exists()]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


def version() -> str:
    names: dict[str, str] = {}
    exec((PACKAGE / "version.py").read_text(encoding="utf-8"), names)
    return names["__version__"]


def readme() -> str:
    path = ROOT / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


# kernels/ and benchmarks/ lie beside the package in a checkout and inside it in a wheel, but for
# kernels/host/, which only tests use.
mapped = {
    f"tensorflowlite._{name}": name for name in ("kernels", "benchmarks") if (ROOT / name).is_dir()
}
folders = [
    package + "".join(f".{part}" for part in path.relative_to(name).parts)
    for package, name in mapped.items()
    for path in [Path(name), *sorted(Path(name).rglob("*/"))]
    if path.is_dir() and path.name not in ("__pycache__", "host")
]

setup(
    version=version(),
    long_description=readme(),
    long_description_content_type="text/markdown",
    packages=find_packages(include=["tensorflowlite", "tensorflowlite.*"]) + folders,
    package_dir=mapped,
    package_data={
        "": ["py.typed", "*.pyi", "*.cu", "*.cuh"],
        "tensorflowlite.story.page": ["story.js", "story.css"],
    },
    include_package_data=False,
    ext_modules=[Extension("tensorflowlite._native", SOURCES)],
    cmdclass={"build_ext": BuildNative},
    zip_safe=False,
)
