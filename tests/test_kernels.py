"""The kernels' runtime on a recorded driver: sources, compiling, the cache, the launcher."""

from __future__ import annotations

import copy
import doctest
import itertools
import os
import re
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import check_kernels
from benchmarks.check_samples import SAMPLES, Maker
from tensorflowlite.backend.cuda import kernel_cache, kernels, nvrtc
from tensorflowlite.backend.cuda.kernels import Kernels, architecture_for
from tensorflowlite.errors import ArgumentError, DeviceError

from .compilers import need_nvrtc

ROOT = Path(__file__).resolve().parents[1]

SCALE = """
#include "outer.cuh"
#include "inner.cuh"
extern "C" TFL_KERNEL(128) scale(float* x, long long n, double factor) {
  if (threadIdx.x < n) x[threadIdx.x] *= factor * ONE;
}
extern "C" TFL_KERNEL(128)
    shift(float* x) { x[threadIdx.x] += TFL_STEP; }
"""
OUTER = '#pragma once\n#include "inner.cuh"\n#define TFL_KERNEL(n) __global__ void\n'
INNER = "#pragma once\n#define ONE 1\n"


class Placed(np.ndarray):
    """An array that lies on a device of this number; None: on the host."""

    device_number: int | None = 0


class RecordedDriver:
    """Stands in for a GPU: keeps what it is given to load and to launch."""

    def __init__(self, capability: tuple[int, int] = (8, 0)) -> None:
        self.capability_value = capability
        self.current = 0
        self.loaded: list[tuple[bytes, list[str]]] = []
        self.launched: list[tuple[Any, ...]] = []
        self.refuses = False

    def capability(self) -> tuple[int, int]:
        return self.capability_value

    def multiprocessors(self) -> int:
        return 7

    def device(self) -> int:
        return self.current

    def device_of(self, array: Any) -> int | None:
        return getattr(array, "device_number", 0)

    def address(self, array: Any) -> int:
        return array.ctypes.data

    def load(self, machine_code: bytes, entries: list[str]) -> dict[str, Any]:
        if self.refuses:
            raise DeviceError(f"{entries[0]}: the driver must take the kernel, got no image")
        self.loaded.append((machine_code, entries))
        return {entry: self._function(entry) for entry in entries}

    def _function(self, entry: str) -> Any:
        return lambda *launch: self.launched.append((entry, *launch))


def fake_compile(file: str, defines: Any, architecture: str) -> bytes:
    return f"{file} {sorted(defines.items())} {architecture}".encode()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Kernels of this test's own."""
    (tmp_path / "kernels" / "include").mkdir(parents=True)
    (tmp_path / "kernels" / "scale.cu").write_text(SCALE)
    (tmp_path / "kernels" / "include" / "outer.cuh").write_text(OUTER)
    (tmp_path / "kernels" / "include" / "inner.cuh").write_text(INNER)
    monkeypatch.setattr(kernels, "kernels_directory", lambda: tmp_path / "kernels")
    kernels.source_of.cache_clear()
    yield tmp_path / "kernels"
    kernels.source_of.cache_clear()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENSORFLOWLITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_cache, "_warned", [])
    return tmp_path / "cache"


@pytest.fixture
def driver() -> RecordedDriver:
    return RecordedDriver()


@pytest.fixture
def launcher(folder: Path, driver: RecordedDriver) -> Kernels:
    return Kernels(driver, fake_compile)


# ---- sources


def test_headers_stand_once_and_lines_keep_their_numbers(folder: Path) -> None:
    source = kernels.source_of("scale.cu")
    assert source.count("#define ONE 1") == 1
    assert "#include" not in source and "#pragma once" not in source
    file, number = "", 0
    for line in source.splitlines():
        if line.startswith("#line"):
            number, file = int(line.split()[1]), line.split('"')[1]
            continue
        original = {"scale.cu": SCALE, "outer.cuh": OUTER, "inner.cuh": INNER}[file]
        told = original.splitlines()[number - 1]
        assert line == ("" if told.startswith(("#pragma once", "#include")) else told)
        number += 1


def test_entries_are_the_marked_functions(folder: Path) -> None:
    assert kernels.entries_of("scale.cu") == ["scale", "shift"]


def test_every_kernel_of_every_file_is_an_entry() -> None:
    """The launcher finds kernels by their mark: none is written in another way."""
    for path in sorted((ROOT / "kernels").glob("*.cu")):
        text = path.read_text(encoding="utf-8")
        assert text.count("TFL_KERNEL(") == len(kernels.entries_of(path.name)) > 0, path.name
        assert "__global__" not in text, path.name


def test_random_numbers_are_compiled_without_contraction() -> None:
    assert kernels.options_of("random.cu", {"TFL_B": 2, "TFL_A": 1}) == [
        "-DTFL_A=1", "-DTFL_B=2", "--fmad=false",
    ]  # fmt: skip
    assert kernels.options_of("scale.cu", {}) == []


@pytest.mark.parametrize(
    ("capability", "plain", "hopper"),
    [
        ((7, 5), "sm_75", None), ((8, 0), "sm_80", None), ((8, 6), "sm_86", None),
        ((8, 9), "sm_89", None), ((9, 0), "sm_90", "sm_90a"), ((10, 0), "sm_100", None),
        ((10, 3), "sm_103", None), ((12, 0), "sm_120", None), ((12, 1), "sm_121", None),
    ],
)  # fmt: skip
def test_architectures(capability: tuple[int, int], plain: str, hopper: str | None) -> None:
    assert architecture_for("bias_activation.cu", capability) == plain
    assert architecture_for("gemm_hopper.cu", capability) == hopper


def test_no_file_for_the_device_is_no_failure(driver: RecordedDriver) -> None:
    def never(*args: Any) -> bytes:
        raise AssertionError("nothing is compiled for a device that the file isn't for")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Kernels(driver, never).ready("gemm_hopper.cu") is False


# ---- NVRTC


def test_machine_code_and_report(folder: Path) -> None:
    need_nvrtc()
    code, log = nvrtc.compile_source(
        kernels.source_of("scale.cu"), "scale.cu", "sm_80", ["-DTFL_STEP=1", "--ptxas-options=-v"]
    )
    assert code.startswith(b"\x7fELF") and b"scale" in code
    assert "0 bytes spill stores" in log


def test_an_error_names_file_line_and_architecture(
    folder: Path, cache: Path, driver: RecordedDriver
) -> None:
    need_nvrtc()
    with pytest.raises(nvrtc.CompileError) as caught:
        kernels.compiled("scale.cu", {}, "sm_80")
    assert str(caught.value) == (
        "scale.cu: it must compile for sm_80, got: "
        'scale.cu(8): error: identifier "TFL_STEP" is undefined'
    )
    assert "1 error detected" in caught.value.log
    launcher = Kernels(driver)
    with pytest.warns(RuntimeWarning) as told:
        assert launcher.ready("scale.cu") is False
    assert [str(one.message) for one in told] == [
        f"kernels: {caught.value}; the slower way without the kernel is taken"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert launcher.ready("scale.cu") is False
        with pytest.raises(DeviceError, match=r"scale: scale\.cu must run on this device; ask re"):
            launcher.launch("scale.cu", "scale", {}, 1, 32, None, 0, 1.0)
    assert driver.loaded == [] and list(cache.glob("*")) == []


def test_an_error_in_a_header_names_the_header(folder: Path, cache: Path) -> None:
    need_nvrtc()
    (folder / "include" / "inner.cuh").write_text(f"{INNER}\nint wrong = ;\n")
    with pytest.raises(nvrtc.CompileError, match=r"got: inner\.cuh\(4\): error: expected an expr"):
        kernels.compiled("scale.cu", {"TFL_STEP": 1}, "sm_80")


def test_an_architecture_that_nvrtc_lacks(folder: Path, cache: Path) -> None:
    need_nvrtc()
    with pytest.raises(nvrtc.CompileError, match=r"^scale\.cu: it must compile for sm_10, got: "):
        kernels.compiled("scale.cu", {"TFL_STEP": 1}, "sm_10")


def test_no_compiler_is_told_once(
    folder: Path, cache: Path, driver: RecordedDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvrtc, "compiler", lambda: None)
    launcher = Kernels(driver)
    with pytest.warns(RuntimeWarning) as told:
        assert not launcher.ready("scale.cu", TFL_STEP=1)
        assert not launcher.ready("scale.cu", TFL_STEP=2)
    (message,) = [str(one.message) for one in told]
    assert "run: pip install nvidia-cuda-nvrtc" in message


def test_a_driver_that_refuses(launcher: Kernels, driver: RecordedDriver) -> None:
    driver.refuses = True
    with pytest.warns(RuntimeWarning, match="scale: the driver must take the kernel, got no image"):
        assert launcher.ready("scale.cu") is False
    driver.refuses = False
    assert launcher.ready("scale.cu") is False  # asked once per process


def test_every_slot_falls_back_where_nothing_compiles(driver: RecordedDriver) -> None:
    """One warning per file and reason; the results are the library's."""

    def refuse(file: str, defines: Any, architecture: str) -> bytes:
        raise nvrtc.CompileError(f"{file}: it must compile for {architecture}, got: a.cuh(1): b")

    device = check_kernels.Device(np, Kernels(driver, refuse), poison=False)
    maker = Maker(np.random.default_rng(0), True, device.library)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for name, slot in device.table().items():
            for sample in itertools.islice(SAMPLES[name](maker), 3):
                given, expected = copy.deepcopy(sample.args), copy.deepcopy(sample.args)
                results = slot(*given), getattr(device.library, name)(*expected)
                found, wanted = map(check_kernels.flat, results)
                for one, other in zip([*found, *given], [*wanted, *expected], strict=True):
                    assert type(one) is type(other), f"{name} {sample.label}"
                    if isinstance(one, np.ndarray):
                        assert one.tobytes() == other.tobytes(), f"{name} {sample.label}"
    assert driver.launched == driver.loaded == []
    texts = [str(one.message) for one in told if "kernels: " in str(one.message)]
    assert len(texts) == len(set(texts)) >= 8
    for text in texts:
        assert re.fullmatch(
            r"kernels: (\w+\.cu): it must compile for sm_80, got: a\.cuh\(1\): b; the slower way "
            "without the kernel is taken",
            text,
        )


def test_first_error() -> None:
    log = "a.cu(1): warning\n  a.cu(2): error: b\nerror: c"
    assert nvrtc.first_error(log) == "a.cu(2): error: b"
    assert nvrtc.first_error("only this\n") == "only this"
    assert nvrtc.first_error("\n") == "no message"


def test_examples() -> None:
    for module in (kernels, nvrtc, kernel_cache):
        assert doctest.testmod(module).failed == 0


# ---- the cache


def count_compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []

    def compile_source(source: str, name: str, architecture: str, options: Any) -> Any:
        made.append(architecture)
        return f"{architecture} {options}".encode(), ""

    monkeypatch.setattr(nvrtc, "compile_source", compile_source)
    monkeypatch.setattr(nvrtc, "compiler", lambda: nvrtc.Compiler(None, (13, 0)))  # type: ignore[arg-type]
    return made


def test_a_variant_is_compiled_once(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = count_compilations(monkeypatch)
    code = kernels.compiled("scale.cu", {"TFL_STEP": 1}, "sm_80")
    assert kernels.compiled("scale.cu", {"TFL_STEP": 1}, "sm_80") == code
    assert len(made) == 1 and len(list(cache.iterdir())) == 1
    # Whatever it depends on makes another one.
    kernels.compiled("scale.cu", {"TFL_STEP": 2}, "sm_80")
    kernels.compiled("scale.cu", {"TFL_STEP": 1}, "sm_90")
    (folder / "include" / "inner.cuh").write_text(f"{INNER}// changed\n")
    kernels.source_of.cache_clear()
    kernels.compiled("scale.cu", {"TFL_STEP": 1}, "sm_80")
    monkeypatch.setattr(nvrtc, "compiler", lambda: nvrtc.Compiler(None, (13, 1)))  # type: ignore[arg-type]
    kernels.compiled("scale.cu", {"TFL_STEP": 1}, "sm_80")
    assert len(made) == 5


@pytest.mark.parametrize("damage", [
    lambda whole: b"", lambda whole: whole[:5], lambda whole: whole[:-1],
    lambda whole: b"X" + whole[1:], lambda whole: whole + b"\0",
])  # fmt: skip
def test_a_damaged_entry_is_made_again(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: Any
) -> None:
    made = count_compilations(monkeypatch)
    code = kernels.compiled("scale.cu", {}, "sm_80")
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert kernels.compiled("scale.cu", {}, "sm_80") == code
    assert len(made) == 2 and entry.read_bytes() == whole


def test_a_folder_that_cannot_be_written_to_is_told_once(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = count_compilations(monkeypatch)
    cache.write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="cache folder must be writable") as told:
        first = kernels.compiled("scale.cu", {}, "sm_80")
        assert kernels.compiled("scale.cu", {}, "sm_80") == first
        kernels.compiled("scale.cu", {"TFL_STEP": 1}, "sm_80")
    assert len(told) == 1 and "TENSORFLOWLITE_CACHE names another folder" in str(told[0].message)
    assert len(made) == 3


def test_a_user_without_home_compiles_each_time(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    made = count_compilations(monkeypatch)
    monkeypatch.delenv("TENSORFLOWLITE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.warns(RuntimeWarning, match="Could not determine home directory"):
        kernels.compiled("scale.cu", {}, "sm_80")
    assert made == ["sm_80"]


def test_a_write_that_fails_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        kernel_cache.store("name", b"content")
    assert list(cache.iterdir()) == []
    assert kernel_cache.load("name") is None


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TENSORFLOWLITE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernel_cache.directory() == tmp_path / "tensorflowlite"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kernel_cache.directory() == tmp_path / ".cache" / "tensorflowlite"
    monkeypatch.setenv("TENSORFLOWLITE_CACHE", "~/kept")
    assert kernel_cache.directory() == tmp_path / "kept"


def test_processes_that_compile_at_once(tmp_path: Path) -> None:
    """Without a GPU in sight; each gets the whole machine code, and one entry stays."""
    need_nvrtc()
    program = """
import hashlib
from tensorflowlite.backend.cuda import kernels
code = kernels.compiled(
    "bias_activation.cu", {"TFL_TYPE": "float", "TFL_ACTIVATION": "tfl::Relu"}, "sm_80"
)
assert code.startswith(bytes([127]) + b"ELF")
print(hashlib.sha256(code).hexdigest())
"""
    variables = {"TENSORFLOWLITE_CACHE": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, env=os.environ | variables,
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    printed = [one.communicate()[0] for one in running]
    assert [one.returncode for one in running] == [0, 0]
    assert len(set(printed)) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".cubin"]


def test_hidden_devices_are_a_sentence() -> None:
    program = "import tensorflowlite as tfl; print(tfl.cuda.is_available(), tfl.cuda.why_not())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.stdout == (
        'False CUDA_VISIBLE_DEVICES is "", which hides every GPU; to see all of them run: '
        "unset CUDA_VISIBLE_DEVICES\n"
    )


# ---- the launcher


def test_a_variant_is_loaded_once_per_device(launcher: Kernels, driver: RecordedDriver) -> None:
    assert launcher.ready("scale.cu", TFL_STEP=1)
    launcher.launch("scale.cu", "scale", {"TFL_STEP": 1}, 1, 32, None, 0, 1.0)
    launcher.launch("scale.cu", "shift", {"TFL_STEP": 1}, 1, 32, None)
    code = b"scale.cu [('TFL_STEP', 1)] sm_80"
    assert driver.loaded == [(code, ["scale", "shift"])]
    launcher.launch("scale.cu", "scale", {"TFL_STEP": 2}, 1, 32, None, 0, 1.0)
    driver.current = 1
    launcher.launch("scale.cu", "scale", {"TFL_STEP": 1}, 1, 32, None, 0, 1.0)
    assert len(driver.loaded) == 3
    assert [launch[0] for launch in driver.launched] == ["scale", "shift", "scale", "scale"]


def test_what_arguments_become(launcher: Kernels, driver: RecordedDriver) -> None:
    x = np.zeros((3, 4), np.float32)
    record = np.zeros((), [("a", np.int64), ("b", np.float32, 3)])[()]
    structure = kernels.ByValue(bytes(range(128)))
    numbers = (7, True, 0.5, np.uint64(2**64 - 1), np.float32(2), np.float64(3))
    given = (structure, record, x, x[1], None, *numbers)
    launcher.launch("scale.cu", "scale", {}, (2, 3), (16, 2), *given, shared=64)
    ((entry, grid, block, shared, layout, packed),) = driver.launched
    assert (entry, grid, block, shared) == ("scale", (2, 3), (16, 2), 64)
    address = x.ctypes.data
    assert layout == "128s20sPPPqqdLfd"
    assert struct.unpack(layout, packed) == (
        structure.content, record.tobytes(), address, address + 16, 0, 7, 1, 0.5, 2**64 - 1, 2, 3
    )  # fmt: skip
    assert packed[152:160] == address.to_bytes(8, "little")  # aligned as C aligns it


def test_no_block_launches_nothing(launcher: Kernels, driver: RecordedDriver) -> None:
    launcher.launch("scale.cu", "scale", {}, 0, 32, None, 0, 1.0)
    launcher.launch("scale.cu", "scale", {}, (5, 0, 2), 32, None, 0, 1.0)
    assert driver.loaded == driver.launched == []
    with pytest.raises(ArgumentError):  # its arguments are checked all the same
        launcher.launch("scale.cu", "scale", {}, 0, 32, np.zeros((4, 4))[:, 1], 0, 1.0)


ARRAY = np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (ARRAY.T, r"array 1 must be in C order, got strides \(4, 24\) of shape \(6, 4\)"),
        (ARRAY[:, ::2], r"array 1 must be in C order, got strides \(24, 8\) of shape \(4, 3\)"),
        (np.broadcast_to(ARRAY[0], (4, 6)), r"array 1 must be in C order, got strides \(0, 4\)"),
        ("text", "argument 1 must be an array, a number or None, got str"),
        ([1.0], "argument 1 must be an array, a number or None, got list"),
        (1j, "argument 1 must be an array, a number or None, got complex"),
        (np.complex64(1j), "all numbers must fit in the types of kernels"),
        (np.longdouble(1), "all numbers must fit in the types of kernels"),
        (2**63, "all numbers must fit in the types of kernels"),
        (kernels.ByValue(b"12345678"), "argument 1, a structure, must come before all others"),
        (np.zeros((), "V8")[()], "argument 1, a structure, must come before all others"),
    ],
)
def test_arguments_that_are_refused(
    launcher: Kernels, driver: RecordedDriver, argument: Any, message: str
) -> None:
    with pytest.raises(ArgumentError, match=f"^scale: {message}"):
        launcher.launch("scale.cu", "scale", {}, 1, 32, ARRAY, argument)
    assert driver.launched == []


@pytest.mark.parametrize(("number", "where"), [(0, "device 0"), (None, "the host")])
def test_arrays_of_another_device(
    launcher: Kernels, driver: RecordedDriver, number: int | None, where: str
) -> None:
    driver.current = 1
    x = ARRAY.view(Placed)
    x.device_number = number
    message = f"scale: all arrays must lie on the current device 1, got array 0 on {where}"
    with pytest.raises(DeviceError, match=f"^{message}$"):
        launcher.launch("scale.cu", "scale", {}, 1, 32, x, 0, 1.0)
    x.device_number = 1
    launcher.launch("scale.cu", "scale", {}, 1, 32, x, 0, 1.0)
    assert len(driver.launched) == 1


GRID = r"the grid must have at most \(2147483647, 65535, 65535\) blocks"
BLOCK = r"a block must have 1 ... 1024 threads, at most \(1024, 1024, 64\) along its axes"


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        (2**31, 32, rf"{GRID}, got \(2147483648,\)"),
        ((1, 65536), 32, rf"{GRID}, got \(1, 65536\)"),
        ((1, 1, 65536), 32, GRID),
        (-1, 32, GRID),
        ((1, 1, 1, 1), 32, GRID),
        ((), 32, GRID),
        (1, 0, rf"{BLOCK}, got \(0,\)"),
        (1, 1025, BLOCK),
        (1, (32, 33), BLOCK),
        (1, (-4, -8), BLOCK),
        (1, (1, 1, 65), BLOCK),
        (1, (1, 1, 1, 1), BLOCK),
    ],
)
def test_sizes_that_are_refused(
    launcher: Kernels, driver: RecordedDriver, grid: Any, block: Any, message: str
) -> None:
    with pytest.raises(ArgumentError, match=f"^scale: {message}"):
        launcher.launch("scale.cu", "scale", {}, grid, block, None, 0, 1.0)
    assert driver.launched == []


def test_the_largest_sizes_are_launched(launcher: Kernels, driver: RecordedDriver) -> None:
    launcher.launch("scale.cu", "scale", {}, (2**31 - 1, 65535, 65535), 1024, None, 0, 1.0)
    launcher.launch("scale.cu", "scale", {}, 1, (4, 4, 64), None, 0, 1.0)
    assert len(driver.launched) == 2


@pytest.mark.parametrize(
    ("capability", "kibibytes"),
    [
        ((7, 5), 64), ((8, 0), 163), ((8, 6), 99), ((8, 9), 99), ((9, 0), 227), ((10, 0), 227),
        ((12, 0), 99), ((77, 0), 48),
    ],
)  # fmt: skip
def test_shared_memory(
    launcher: Kernels, driver: RecordedDriver, capability: tuple[int, int], kibibytes: int
) -> None:
    driver.capability_value = capability
    most = kibibytes * 1024
    launcher.launch("scale.cu", "scale", {}, 1, 32, None, 0, 1.0, shared=most)
    message = f"^scale: a block must have at most {most} bytes of shared memory on this device, got"
    with pytest.raises(ArgumentError, match=f"{message} {most + 1}$"):
        launcher.launch("scale.cu", "scale", {}, 1, 32, None, 0, 1.0, shared=most + 1)
    with pytest.raises(ArgumentError, match=r"on this device, got -1$"):
        launcher.launch("scale.cu", "scale", {}, 1, 32, None, 0, 1.0, shared=-1)
    assert len(driver.launched) == 1


def test_every_architecture_has_a_known_size_of_shared_memory() -> None:
    known = {f"sm_{major}{minor}" for major, minor in kernels._MOST_SHARED}
    assert set(kernels.ARCHITECTURES) <= known
