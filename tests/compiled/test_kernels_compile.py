"""Every kernel compiles for every architecture that its file is for, and keeps to its registers.

NVRTC compiles without a GPU and without a toolkit. A file's first variant is compiled for each
architecture, every further one for two of them, which take turns.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import activation_slots as cuda_activation_slots
from tensorflowlite.backend.cuda import attention_slots as cuda_attention_slots
from tensorflowlite.backend.cuda import convolution as cuda_convolution
from tensorflowlite.backend.cuda import hopper as cuda_hopper
from tensorflowlite.backend.cuda import kernels, nvrtc
from tensorflowlite.backend.cuda import layout as cuda_layout
from tensorflowlite.backend.cuda import normalization_slots as cuda_normalization_slots
from tensorflowlite.backend.cuda import pooling_slots as cuda_pooling_slots
from tensorflowlite.backend.cuda import tiles as cuda_tiles
from tensorflowlite.backend.cuda.gemm import Problem

from ..compilers import need_nvrtc, spills_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "kernels"
FILES = sorted(path.name for path in FOLDER.glob("*.cu"))

Defines = dict[str, Any]


def types() -> list[Defines]:
    return [{"TFL_TYPE": name} for name in kernels.TYPE_NAMES.values()]


def activations(*names: str) -> list[Defines]:
    return [
        cuda_activation_slots.defines_of(dtype, name)
        for name in names
        for dtype in kernels.TYPE_NAMES
    ]


def attention(width: int, *names: Any) -> list[Defines]:
    return [cuda_attention_slots.tiles_of(dtype, width).variant for dtype in names]


def hopper(columns: int, *problem: Any) -> Defines:
    return cuda_hopper.defines(cuda_hopper.Problem(512, 512, 512, *problem), columns)


def tiles(
    dtype: Any, transposed: tuple[bool, bool], packed: tuple[bool, bool], *end: str,
    rows: int = 128, tf32: bool = False,
) -> Defines:  # fmt: skip
    """Return a variant for operands that lie so, and a kind of problem with an activation."""
    kind, activation = end
    a, b = [256 if one else 2 for one in packed]
    problem = Problem(kind, 512, 512, 512, *transposed, 512, 512, dtype, (a, b, 256), tf32,
                      activation)  # fmt: skip
    return cuda_tiles.defines(problem, cuda_tiles.Plan(rows, rows, 1, 1), (8, 0))


def rows(long_blocks: int, *columns: int) -> list[Defines]:
    """Return the variants for rows of so many columns, of each type."""
    return [
        cuda_layout.row_layout(1, n, dtype, long_blocks).defines
        for n in columns
        for dtype in kernels.TYPE_NAMES
    ]


def gradient_rows(*columns: int) -> list[Defines]:
    return [
        cuda_normalization_slots.gradient_layout(1, n, dtype, 1).defines
        for n in columns
        for dtype in kernels.TYPE_NAMES
    ]


def convolution(file: str, *cases: tuple[Any, ...]) -> list[Defines]:
    """Return the variants for (dtype, channels, outputs, kernel, stride), on large tiles."""
    found = []
    for dtype, channels, outputs, kernel, stride, *rounded in cases:
        geometry = cuda_convolution.Geometry(
            (32, channels, 64, 64), (outputs, channels, kernel, kernel), (stride, stride),
            ((0, 0), (0, 0)), (1, 1), 1,
        )  # fmt: skip
        plan = cuda_convolution.plan_of(file, geometry, dtype, False, bool(rounded), 3, "gelu")
        found.append(plan.variant)
    return found


# Channels last, element by element, single places, and each way to multiply; double needs the
# fewest registers.
CONVOLUTIONS: list[tuple[Any, ...]] = [
    (dtypes.float16, 128, 128, 3, 1),
    (dtypes.bfloat16, 130, 130, 3, 1),
    (dtypes.float32, 130, 130, 3, 1),
    (dtypes.float32, 128, 128, 1, 1, True),
]


def pooling(size: int, kernel: int, *names: Any) -> list[Defines]:
    window = ((kernel, kernel), (1, 1), ((0, 0), (0, 0)), (1, 1))
    shape = (64, 64, size, size)
    return [
        cuda_pooling_slots.plan_of(shape, False, dtype, window, False).variant for dtype in names
    ]


# The variants of each file that stand for all: every type, and what takes the most registers.
VARIANTS: dict[str, list[Defines]] = {
    "attention.cu": [
        *attention(128, dtypes.bfloat16, dtypes.float16, dtypes.float32),
        *attention(64, dtypes.float16, dtypes.float32),
        *attention(32, dtypes.bfloat16, dtypes.float32),
    ],
    "bias_activation.cu": activations("gelu", "relu", "gelu_tanh"),
    "channels_last.cu": types(),
    **{
        file: convolution(file, *CONVOLUTIONS)
        for file in (cuda_convolution.FORWARD, cuda_convolution.INPUT, cuda_convolution.WEIGHT)
    },
    "convolution_direct.cu": activations("gelu"),
    "embedding.cu": types(),
    "gated_activation.cu": activations("gelu", "silu"),
    "gemm_hopper.cu": [
        hopper(256, dtypes.bfloat16, False, False, cuda_hopper.BACKWARD, "gelu"),
        hopper(256, dtypes.bfloat16, True, True),
        hopper(192, dtypes.float16, False, False, cuda_hopper.FORWARD, "gelu_tanh"),
        hopper(128, dtypes.float16, False, True, cuda_hopper.BACKWARD, "silu"),
    ],
    "gemm_tiles.cu": [
        tiles(dtypes.float16, (False, True), (False, False), "backward", "gelu"),
        tiles(dtypes.bfloat16, (False, True), (True, True), "forward", "tanh"),
        tiles(dtypes.float32, (True, False), (True, True), "backward", "gelu"),
        tiles(dtypes.float32, (False, True), (True, False), "backward", "gelu", tf32=True),
        tiles(dtypes.float64, (False, True), (False, False), "backward", "gelu", rows=64),
        tiles(dtypes.float32, (False, False), (True, True), "gated", "gelu"),
        tiles(dtypes.bfloat16, (True, True), (True, True), "gated", "gelu"),
        tiles(dtypes.float16, (False, False), (True, True), "gated", "gelu"),
        tiles(dtypes.float32, (False, False), (True, True), "gated", "gelu", tf32=True),
        tiles(dtypes.float64, (False, False), (True, True), "gated", "silu", rows=64),
    ],
    "normalization.cu": rows(1, 1000, 4096, 32000),
    "normalization_gradient.cu": gradient_rows(200, 1000, 4096, 8192),
    "optimizers.cu": types(),
    "pooling.cu": [
        *pooling(64, 4, *kernels.TYPE_NAMES),
        *pooling(64, 5, dtypes.bfloat16),
        *pooling(64, 7, dtypes.float64),
        *pooling(1024, 3, dtypes.float32),
    ],
    "random.cu": types(),
    "reduction.cu": types(),
    "softmax.cu": rows(2, 100, 1000, 4096, 32000),
}

# Bytes that a kernel may spill, and why: (file, kernel) -> (bytes of stores, reason).
SPILLS: dict[tuple[str, str], tuple[int, str]] = {}

# What the machine code of a file must hold, by its names in PTX and in a disassembly.
INSTRUCTIONS = {
    "attention.cu": (("mma.sync.aligned.m16n8k16", "ldmatrix.sync"), ("HMMA", "LDSM")),
    cuda_convolution.FORWARD: (
        ("mma.sync.aligned.m16n8k16", "ldmatrix.sync", "cp.async.cg"),
        ("HMMA", "LDSM", "LDGSTS"),
    ),
    "gemm_tiles.cu": (("mma.sync.aligned.m16n8k16", "ldmatrix.sync"), ("HMMA", "LDSM")),
    "gemm_hopper.cu": (
        ("wgmma.mma_async", "cp.async.bulk.tensor"),
        ("HGMMA", "UTMALDG", "UTMASTG"),
    ),
}


class Case(NamedTuple):
    file: str
    variant: int
    architecture: str

    def options(self) -> list[str]:
        return kernels.options_of(self.file, VARIANTS[self.file][self.variant])


def cases() -> Iterator[Case]:
    for file in FILES:
        architectures = kernels.ONLY.get(file, kernels.ARCHITECTURES)
        count = len(architectures)
        for variant in range(len(VARIANTS.get(file, []))):
            turn = {architectures[variant % count], architectures[(variant + count // 2) % count]}
            for architecture in architectures:
                if variant == 0 or architecture in turn:
                    yield Case(file, variant, architecture)


CASES = list(cases())


def name_of(case: Case) -> str:
    return "-".join(map(str, case))


def compile_case(case: Case) -> tuple[bytes, str]:
    source = kernels.source_of(case.file)
    options = [*case.options(), "--ptxas-options=-v"]
    return nvrtc.compile_source(source, case.file, case.architecture, options)


def compile_with_nvcc(file: str) -> tuple[str, str]:
    """Return the PTX that nvcc makes of a file ("" where it refuses), and what it printed."""
    architecture = kernels.ONLY.get(file, ("sm_80",))[0]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "out.ptx")
        options = [f"-arch={architecture}", "-std=c++17", f"-I{FOLDER / 'include'}", "-ptx"]
        options += [*Case(file, 0, architecture).options(), str(FOLDER / file), "-o", str(out)]
        done = subprocess.run(["nvcc", *options], capture_output=True, text=True)
        return out.read_text() if done.returncode == 0 else "", done.stderr


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[dict[Any, Future[Any]]]:
    """What the compilers make of all that was selected: they run beside each other."""
    selected = [item for item in request.session.items if isinstance(item, pytest.Function)]
    arguments = [getattr(item, "callspec", None) for item in selected]
    pool = ThreadPoolExecutor()
    found: dict[Any, Future[Any]] = {}
    for item, spec in zip(selected, arguments, strict=True):
        if item.function is test_no_kernel_spills and spec is not None:
            case = spec.params["case"]
            found[case] = pool.submit(compile_case, case)
        elif item.function is test_nvcc_compiles_it_too and spec is not None:
            file = spec.params["file"]
            found[file] = pool.submit(compile_with_nvcc, file)
    yield found
    pool.shutdown(cancel_futures=True)


def test_every_file_has_variants() -> None:
    assert sorted(VARIANTS) == FILES
    assert all(VARIANTS.values())
    assert {file for file, _ in SPILLS} | set(INSTRUCTIONS) | set(kernels.ONLY) <= set(FILES)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_no_kernel_spills(case: Case, results: dict[Any, Future[Any]]) -> None:
    need_nvrtc()
    code, log = results[case].result()
    assert code.startswith(b"\x7fELF")
    found = spills_of(log)
    assert set(kernels.entries_of(case.file)) <= set(found), log
    allowed = {name: SPILLS.get((case.file, name), (0, ""))[0] for name in found}
    assert all(found[name] <= allowed[name] for name in found), log


def test_a_spill_is_seen() -> None:
    need_nvrtc()
    source = """
extern "C" __global__ void __launch_bounds__(1024) greedy(float* x) {
  float kept[128];
#pragma unroll
  for (int i = 0; i < 128; ++i) kept[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 128; ++i) x[(127 - i) * 1024 + threadIdx.x] = kept[i];
}
extern "C" __global__ void modest(float* x) { x[threadIdx.x] = 1; }
"""
    options = ["--ptxas-options=-v"]
    for architecture in kernels.ARCHITECTURES:
        log = nvrtc.compile_source(source, "greedy.cu", architecture, options)[1]
        found = spills_of(log)
        assert found["greedy"] > 0 and found["modest"] == 0, log


@pytest.mark.parametrize("file", FILES)
def test_nvcc_compiles_it_too(file: str, results: dict[Any, Future[Any]]) -> None:
    """With the headers as files of their own: what a developer's tools see."""
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc isn't installed")
    ptx, printed = results[file].result()
    assert ptx, printed
    assert all(f".entry {entry}(" in ptx for entry in kernels.entries_of(file))


@pytest.mark.parametrize("file", INSTRUCTIONS)
def test_the_instructions_meant_are_there(file: str, tmp_path: Path) -> None:
    """In a disassembly where a tool for it is installed, else in the PTX."""
    need_nvrtc()
    in_ptx, in_machine_code = INSTRUCTIONS[file]
    source, options = kernels.source_of(file), Case(file, 0, "").options()
    architecture = kernels.ONLY.get(file, ("sm_80",))[0]
    if tool := shutil.which("nvdisasm"):
        code, _ = nvrtc.compile_source(source, file, architecture, options)
        (tmp_path / "code.cubin").write_bytes(code)
        command = [tool, "-c", str(tmp_path / "code.cubin")]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        wanted = in_machine_code
    else:
        compute = architecture.replace("sm_", "compute_")
        text = nvrtc.compile_source(source, file, compute, options)[0].decode()
        assert f".target {architecture}" in text
        wanted = in_ptx
    # Names of functions and comments don't count.
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if not line.startswith(("//", ".", "$"))]
    missing = [one for one in wanted if not any(one in line for line in lines)]
    assert missing == []
