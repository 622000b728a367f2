"""Wheels, editable installs, the bare checkout and failed builds, each run outside the checkout."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import tensorflowlite
from tensorflowlite.backend import paths, philox

CHECKOUT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / "setup.py").is_file(), reason="the tests lie outside a checkout"
)


def python(program: str, *, cwd: Path, path: list[Path], **variables: str) -> str:
    """What a program prints in a fresh interpreter that finds `path` first."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, out: Path, **variables: str) -> Path:
    """Run a hook of the build backend as pip does, without its isolated environment."""
    program = f"import sys; from setuptools import build_meta; build_meta.{kind}(sys.argv[1])"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program, str(out)],
        cwd=source,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = out.iterdir()
    return archive


def copy_checkout(target: Path) -> Path:
    """A bare checkout: the sources alone, nothing built."""
    names = ["pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "README.md", "CHANGELOG.md"]
    target.mkdir()
    for name in names:
        if (CHECKOUT / name).is_file():
            shutil.copy(CHECKOUT / name, target)
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "_native_build.json")
    for folder in ("csrc", "kernels", "benchmarks", "tensorflowlite"):
        shutil.copytree(CHECKOUT / folder, target / folder, ignore=ignored)
    return target


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("checkout") / "source")


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel") / "dist"
    return build("build_wheel", source, out, TENSORFLOWLITE_NO_NATIVE="1")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


DESCRIBE = """
import json, tensorflowlite
from tensorflowlite.backend import paths, philox
from tensorflowlite.backend.native import extension as native
print(json.dumps({
    "package": tensorflowlite.__file__,
    "version": tensorflowlite.__version__,
    "kernels": str(paths.kernels_directory()),
    "benchmarks": str(paths.benchmarks_directory()),
    "native": native.module is not None,
    "why_not": native.why_not(),
    "normals": philox.normal(1, 2, 5).tolist(),
}))
"""


def check_places(found: dict[str, object], package: Path, kernels: Path, benchmarks: Path) -> None:
    assert found["package"] == str(package / "__init__.py")
    assert found["version"] == tensorflowlite.__version__
    assert found["kernels"] == str(kernels)
    assert found["benchmarks"] == str(benchmarks)
    assert (kernels / "include" / "activations.cuh").is_file()
    assert (benchmarks / "__main__.py").is_file()


def test_wheel_holds_one_top_level_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        text = archive.read(metadata).decode()
        assert "tensorflowlite = tensorflowlite.cli:main" in archive.read(entry_points).decode()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"tensorflowlite", metadata.split("/")[0]}
    shipped = {str(p.relative_to(CHECKOUT)) for p in (CHECKOUT / "kernels").rglob("*.cu*")}
    assert {f"tensorflowlite/_{name}" for name in shipped} <= set(names)
    assert not [name for name in names if name.startswith("tensorflowlite/_kernels/host")]
    python_files = {
        str(p.relative_to(CHECKOUT))
        for folder in ("tensorflowlite", "benchmarks")
        for p in (CHECKOUT / folder).rglob("*.py")
        if (p.parent / "__init__.py").is_file() or folder == "benchmarks"
    }
    placed = {re.sub("^benchmarks/", "tensorflowlite/_benchmarks/", name) for name in python_files}
    assert placed <= set(names)
    assert "tensorflowlite/py.typed" in names
    assert {f"tensorflowlite/story/page/story.{kind}" for kind in ("js", "css")} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    # The run-time dependencies are these three.
    required = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==).*$", text, re.MULTILINE)
    assert sorted(required) == ["ml_dtypes", "numpy", "safetensors"]
    extras = set(re.findall(r"^Provides-Extra: (.+)$", text, re.MULTILINE))
    assert {"cuda12", "cuda13", "train", "tensorboard", "test", "parity", "dev"} <= extras


def test_from_a_wheel(installed: Path, tmp_path: Path) -> None:
    found = json.loads(python(DESCRIBE, cwd=tmp_path, path=[installed]))
    package = installed / "tensorflowlite"
    check_places(found, package, package / "_kernels", package / "_benchmarks")
    assert found["native"] is False
    assert found["why_not"] == "skipped by TENSORFLOWLITE_NO_NATIVE=1 at build time"


def test_from_an_editable_install(tmp_path: Path) -> None:
    source = copy_checkout(tmp_path / "source")
    archive = build("build_editable", source, tmp_path / "dist", TENSORFLOWLITE_NO_NATIVE="1")
    site = tmp_path / "site"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(site)
    # Without `site`, whose own .pth files may hold an editable install of this checkout, and with
    # the new folder first: the modules that those files import have the same name.
    libraries = {
        Path(str(importlib.metadata.distribution(name).locate_file("")))
        for name in ("numpy", "ml_dtypes", "safetensors")
    }
    program = f"""
import site, sys
sys.path.insert(0, {str(site)!r})
site.addsitedir({str(site)!r})
{DESCRIBE}"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, libraries))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    check_places(found, source / "tensorflowlite", source / "kernels", source / "benchmarks")
    assert found["why_not"] == "skipped by TENSORFLOWLITE_NO_NATIVE=1 at build time"


def test_from_a_bare_checkout(tmp_path: Path) -> None:
    source = copy_checkout(tmp_path / "source")
    found = json.loads(python(DESCRIBE, cwd=tmp_path, path=[source]))
    check_places(found, source / "tensorflowlite", source / "kernels", source / "benchmarks")
    assert found["why_not"] == "not built; run: python setup.py build_ext --inplace"


def test_missing_folder_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "tensorflowlite")
    with pytest.raises(FileNotFoundError) as caught:
        paths.kernels_directory()
    assert str(caught.value) == (
        "tensorflowlite: the folder 'kernels' must be in the package as _kernels or beside it, "
        f"got neither under {tmp_path}; install the package again"
    )


def test_sdist_holds_the_sources(source: Path, tmp_path: Path) -> None:
    archive = build("build_sdist", source, tmp_path / "dist")
    with tarfile.open(archive) as opened:
        names = {name.split("/", 1)[1] for name in opened.getnames() if "/" in name}
    for folder in ("csrc", "kernels"):
        wanted = {str(p.relative_to(CHECKOUT)) for p in (CHECKOUT / folder).rglob("*.[chi]*")}
        assert wanted and wanted <= names
    assert "kernels/host/cuda_host.hpp" in names
    assert {"LICENSE", "pyproject.toml", "setup.py", "tensorflowlite/py.typed"} <= names
    assert not [name for name in names if name.endswith((".so", ".o", "_native_build.json"))]


def build_in_place(source: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=source,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fake_compiler(folder: Path, name: str, body: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.skipif(os.name != "posix", reason="the compilers of this test are shell scripts")
def test_a_failed_build_keeps_its_reason(source: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "no-such-compiler")
    broken = fake_compiler(
        tmp_path,
        "broken",
        'case "$*" in *--version*) echo 1;; *) echo "a.cpp:1: error: no memory" >&2; exit 1;; esac',
    )
    reasons = {
        missing: f"no C++ compiler: {missing} isn't installed",
        broken: "broken failed: a.cpp:1: error: no memory",
    }
    for command, reason in reasons.items():
        assert reason in build_in_place(source, CXX=command)
        found = json.loads(python(DESCRIBE, cwd=tmp_path, path=[source]))
        assert (found["native"], found["why_not"]) == (False, reason)
        assert found["normals"] == philox.normal(1, 2, 5).tolist()
    record = json.loads((source / "tensorflowlite" / "_native_build.json").read_text())
    assert "a.cpp:1: error: no memory" in record["output"]


@pytest.mark.skipif(os.name != "posix", reason="the compiler of this test is a shell script")
def test_a_build_keeps_warnings(tmp_path: Path) -> None:
    source = copy_checkout(tmp_path / "source")
    compiler = fake_compiler(
        tmp_path,
        "warning",
        'for word; do if [ "$last" = -o ]; then echo made > "$word"; fi; last=$word; done\n'
        'case "$*" in *pool.cpp*) echo "csrc/pool.cpp:1: warning: odd" >&2;; *) echo 1;; esac',
    )
    for _ in ("made", "found there"):
        build_in_place(source, CXX=compiler)
        record = json.loads((source / "tensorflowlite" / "_native_build.json").read_text())
        assert record["reason"] == "" and "csrc/pool.cpp:1: warning: odd" in record["output"]


def test_native_wheel(native_module: ModuleType, tmp_path: Path) -> None:
    """A wheel takes the extension that was built in place from the same sources, and works."""
    source = copy_checkout(tmp_path / "source")
    built = Path(str(native_module.__file__))
    shutil.copy2(built, source / "tensorflowlite")
    shutil.copy(built.parent / "_native_build.json", source / "tensorflowlite")
    archive = build("build_wheel", source, tmp_path / "dist")
    assert "none-any" not in archive.name
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "site")
    found = json.loads(python(DESCRIBE, cwd=tmp_path, path=[tmp_path / "site"]))
    assert (found["native"], found["why_not"]) == (True, "")
    without = python(DESCRIBE, cwd=tmp_path, path=[tmp_path / "site"], TENSORFLOWLITE_NATIVE="0")
    assert json.loads(without)["normals"] == found["normals"]


def test_changed_sources_are_built_again(native_module: ModuleType, tmp_path: Path) -> None:
    source = copy_checkout(tmp_path / "source")
    record = json.loads(
        (Path(str(native_module.__file__)).parent / "_native_build.json").read_text()
    )
    target = source / "tensorflowlite" / Path(str(native_module.__file__)).name
    target.write_bytes(b"old")
    (source / "tensorflowlite" / "_native_build.json").write_text(json.dumps(record))
    build_in_place(source)
    assert target.read_bytes() == b"old"
    for file in (source / "csrc").glob("*.cpp"):  # the others would take their time
        file.write_text("#error changed\n")
    assert "changed" in build_in_place(source)
    assert not target.exists()


def test_version_is_one() -> None:
    names: dict[str, str] = {}
    exec((CHECKOUT / "tensorflowlite" / "version.py").read_text(), names)
    assert tensorflowlite.__version__ == names["__version__"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", tensorflowlite.__version__)


def test_import_is_light(tmp_path: Path) -> None:
    """None of the optional libraries, and few modules: what is rarely said comes later."""
    program = """
import sys
import numpy
before = set(sys.modules)
import tensorflowlite
new = set(sys.modules) - before
heavy = {"cupy", "matplotlib", "sklearn", "tqdm", "scipy", "torch", "tensorboardX"}
heavy |= {"tensorflowlite.backend.cuda.kernels", "tensorflowlite.core.shortage"}
assert not heavy & new, heavy & new
print(len([name for name in new if name.startswith("tensorflowlite")]), len(new))
"""
    ours, all_new = map(int, python(program, cwd=tmp_path, path=[CHECKOUT]).split())
    assert ours <= 90 and all_new <= 180, f"{ours} modules of our own, {all_new} in all"
