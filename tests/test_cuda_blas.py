"""The extension's cuBLASLt products, on a stand-in library that computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import blas as cuda_blas
from tensorflowlite.backend.cuda.blas import alignment, batch_stride, layout
from tests.fake_cublas import (
    ROUNDING,
    TYPES,
    Fake,
    HostDriver,
    HostQueue,
    gelu,
    gelu_derivative,
    normal,
)

CHECKOUT = Path(__file__).resolve().parents[1]
LAYOUTS = ["nn", "nt", "tn", "tt"]
EPILOGUES = [
    "default", "bias", "relu", "relu_bias", "gelu", "gelu_bias", "gelu_aux", "gelu_aux_bias",
    "dgelu", "dgelu_bgrad", "sum_a", "sum_b",
]  # fmt: skip
SIZES = [(5, 8, 7), (16, 24, 3), (1, 16, 9), (13, 8, 1)]
WORKSPACE = 1 << 16


@pytest.fixture
def fake(native_module: ModuleType) -> Fake:
    return Fake()


@pytest.fixture
def library(native_module: ModuleType, fake: Fake) -> Any:
    found = native_module.CublasLt([fake.path])
    found.open()
    return found


def stored(shape: tuple[int, int], transposed: bool, dtype: Any, seed: int, spare: int = 3) -> Any:
    """Return a matrix of this shape whose memory has rows (or columns) with room between them."""
    rows, columns = shape[::-1] if transposed else shape
    whole = normal((rows, columns + spare), dtype, seed)[:, :columns]
    return whole.T if transposed else whole


def leading(array: Any, transposed: bool) -> int:
    return array.strides[1 if transposed else 0] // array.itemsize


def expected(epilogue: str, a: Any, b: Any, bias: Any, aux: Any) -> dict[str, Any]:
    """Return what an epilogue writes, in float64."""
    a, b = a.astype("f8"), b.astype("f8")
    z = a @ b
    if epilogue.endswith("bias"):
        z = z + bias.astype("f8")
    found = {"out": z}
    if epilogue.startswith("relu"):
        found["out"] = np.maximum(z, 0)
    if epilogue.startswith("gelu"):
        found["out"] = gelu(z)
        if "aux" in epilogue:
            found["aux"] = z
    if epilogue.startswith("dgelu"):
        found["out"] = z * gelu_derivative(aux.astype("f8"))
        if "bgrad" in epilogue:
            found["bias"] = found["out"].sum(0)
    if epilogue == "sum_a":
        found["bias"] = a.sum(1)
    if epilogue == "sum_b":
        found["bias"] = b.sum(0)
    return found


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("epilogue", EPILOGUES)
@pytest.mark.parametrize("layouts", LAYOUTS)
def test_products(library: Any, fake: Fake, layouts: str, epilogue: str, dtype: Any) -> None:
    """Every layout, dtype and epilogue, of ragged sizes and rows with room between them."""
    for m, n, k in SIZES:
        a = stored((m, k), layouts[0] == "t", dtype, 1)
        b = stored((k, n), layouts[1] == "t", dtype, 2)
        out = np.full((m, n + 2), 7, dtype)
        bias = normal((m if epilogue == "sum_a" else n,), dtype, 3)
        aux = normal((m, n + 8), dtype, 4)
        wanted = expected(epilogue, a, b, bias, aux[:, :n])
        plan = library.plan(
            m=m, n=n, k=k, a_transposed=layouts[0] == "t", b_transposed=layouts[1] == "t",
            a_leading=leading(a, layouts[0] == "t"), b_leading=leading(b, layouts[1] == "t"),
            out_leading=n + 2, dtype=dtype.name, epilogue=epilogue, aux_leading=n + 8,
        )  # fmt: skip
        library.search(plan, 16, WORKSPACE)
        run(library, plan, 0, a, b, out, bias, aux)
        found = {"out": out[:, :n], "bias": bias, "aux": aux[:, :n]}
        for name, reference in wanted.items():
            size = np.abs(reference).max() + k
            slack = 4e-10 if "dgelu" in epilogue else 1e-14  # of the reference's difference
            tolerance = (
                1.001 * ROUNDING[dtype] * np.abs(reference)
                + (slack + 1e-15) * size
                + 1e-7 * (dtype == dtypes.float16)
            )
            error = np.abs(found[name].astype("f8") - reference)
            assert (error <= tolerance).all(), (name, m, n, k)
        assert (out[:, n:] == 7).all()
        assert fake.stream() == 0x57


def run(library: Any, plan: Any, algorithm: int, a: Any, b: Any, out: Any, bias: Any = None,
        aux: Any = None, workspace: int = WORKSPACE, **scales: float) -> None:  # fmt: skip
    room = np.empty(workspace, np.uint8)

    def place(array: Any) -> int:
        return 0 if array is None else array.ctypes.data

    library.run(plan, algorithm, place(a), place(b), place(out), place(bias), place(aux),
                place(room), workspace, 0x57, **scales)  # fmt: skip


def plain(library: Any, m: int = 4, n: int = 8, k: int = 3, **rest: Any) -> Any:
    sizes = {"m": m, "n": n, "k": k, "a_leading": k, "b_leading": n, "out_leading": n}
    arguments = {"a_transposed": False, "b_transposed": False, "dtype": "float32", **sizes, **rest}
    return library.plan(**arguments)


def test_batches_and_scales(library: Any) -> None:
    a, b = normal((3, 4, 5), "f4", 1), normal((5, 8), "f4", 2)
    out = normal((3, 4, 8), "f4", 3)
    wanted = 2.0 * (a.astype("f8") @ b) + 0.5 * out.astype("f8")
    plan = plain(library, 4, 8, 5, batch=3, a_stride=20, b_stride=0, out_stride=32)
    library.search(plan, 1, 0)
    run(library, plan, 0, a, b, out, alpha=2.0, beta=0.5)
    np.testing.assert_allclose(out, wanted, rtol=1e-6, atol=1e-6)


def test_a_batch_of_epilogues(library: Any) -> None:
    a, b, bias = normal((2, 4, 5), "f4", 1), normal((2, 5, 8), "f4", 2), normal((2, 8), "f4", 3)
    out, aux = np.empty((2, 4, 8), "f4"), np.empty((2, 4, 8), "f4")
    plan = plain(library, 4, 8, 5, batch=2, a_stride=20, b_stride=40, out_stride=32,
                 epilogue="gelu_aux_bias", aux_leading=8)  # fmt: skip
    library.search(plan, 1, 0)
    run(library, plan, 0, a, b, out, bias, aux)
    z = a.astype("f8") @ b + bias[:, None]
    np.testing.assert_allclose(aux, z, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(out, gelu(z), rtol=1e-6, atol=1e-6)


def test_tf32_is_asked_for(library: Any) -> None:
    """Float32 stays what it is unless the plan says otherwise."""
    a, b = np.full((4, 3), 1 + 2.0**-20, "f4"), np.ones((3, 8), "f4")
    found = {}
    for tf32 in (False, True):
        plan = plain(library, tf32=tf32)
        library.search(plan, 1, 0)
        out = np.empty((4, 8), "f4")
        run(library, plan, 0, a, b, out)
        found[tf32] = out[0, 0]
    assert found[True] == 3 and found[False] > 3


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_what_a_search_asks_for(library: Any, fake: Fake, dtype: Any) -> None:
    """Half precision never meets in half precision; the library's a is our b."""
    plan = plain(library, dtype=dtype.name, epilogue="gelu_aux_bias", aux_leading=8)
    library.search(plan, 3, 12345, a=2, b=4, out=8, bias=16, aux=256)
    assert len(plan.algorithms) == 3
    assert fake.preference(1) == 12345
    assert fake.preference(3) == (2 if dtype.itemsize == 2 else 7)
    assert [fake.preference(i) for i in (5, 6, 7, 8)] == [4, 2, 8, 8]
    assert [fake.pointer_alignment(i) for i in (0, 1)] == [16, 256]


def test_errors(native_module: ModuleType, library: Any, fake: Fake) -> None:
    a, b, out = normal((4, 3), "f4", 1), normal((3, 8), "f4", 2), np.empty((4, 8), "f4")
    plan = plain(library, epilogue="bias")
    with pytest.raises(ValueError, match=r"algorithm must be below 0, .* got 0"):
        run(library, plan, 0, a, b, out, a)
    library.search(plan, 16, WORKSPACE)
    with pytest.raises(ValueError, match="every array of the epilogue 'bias' must be given"):
        run(library, plan, 0, a, b, out)
    with pytest.raises(ValueError, match="the workspace must have 2048 bytes, got 2047"):
        run(library, plan, 2, a, b, out, a, workspace=2047)
    fake.fail(1)
    with pytest.raises(
        RuntimeError, match=r"cublasLtMatmul: .* got CUBLAS_STATUS_EXECUTION_FAILED"
    ):
        run(library, plan, 1, a, b, out, b)
    fake.refuse(4)
    with pytest.raises(RuntimeError, match=r"AlgoGetHeuristic: .* CUBLAS_STATUS_NOT_SUPPORTED"):
        library.search(plan, 1, 0)
    with pytest.raises(RuntimeError, match=r"must be open, got no handle; call open\(\)"):
        native_module.CublasLt([fake.path]).search(plan, 1, 0)
    for rest, message in [
        ({"dtype": "int8"}, "dtype must be float16, bfloat16, float32 or float64, got 'int8'"),
        ({"epilogue": "silu"}, "epilogue must be one of bias, .* got 'silu'"),
        ({"a_leading": 2}, "a_leading must be at least 3, got 2"),
        ({"b_transposed": True, "b_leading": 2}, "b_leading must be at least 3, got 2"),
        ({"out_leading": 7}, "out_leading must be at least 8, got 7"),
        ({"epilogue": "gelu_aux"}, "aux_leading must be at least 8, got 0"),
        ({"k": 0}, "m, n, k and batch must be at least 1, got 4, 8, 0, 1"),
        ({"tf32": True, "dtype": "float64"}, "tf32 must go with float32, got 'float64'"),
    ]:
        with pytest.raises(ValueError, match=message):
            plain(library, **rest)


def test_missing_libraries(native_module: ModuleType, tmp_path: Path) -> None:
    missing = str(tmp_path / "libcublasLt.so.99")
    with pytest.raises(RuntimeError, match=r"a shared library must load, got .*libcublasLt.so.99"):
        native_module.CublasLt([missing])
    with pytest.raises(RuntimeError, match="got no candidates"):
        native_module.CublasLt([])
    # A library of another kind.
    with pytest.raises(RuntimeError, match="it must have cublasLtCreate, got none"):
        native_module.CublasLt([missing, native_module.__file__])
    blas = cuda_blas.Blas(np, HostDriver(), HostQueue(), [missing])
    assert "run: pip install nvidia-cublas" in blas.why_not()


def test_the_real_library_agrees(native_module: ModuleType) -> None:
    """Its descriptors, which need no GPU, take and give back every number."""
    real = [path for path in cuda_blas.candidates() if "/" in path and Path(path).is_file()]
    if not real:
        pytest.skip("libcublasLt isn't installed")
    library = native_module.CublasLt(real)
    assert library.version >= 120000
    codes = {"float16": (2, 68, 0), "bfloat16": (14, 68, 0), "float32": (0, 68, 0),
             "float64": (1, 70, 1)}  # fmt: skip
    for dtype, (code, compute, scale) in codes.items():
        for epilogue, number in native_module.epilogues().items():
            strides = {"a_stride": 18, "b_stride": 24, "out_stride": 32}
            plan = plain(library, dtype=dtype, epilogue=epilogue, aux_leading=128, batch=3,
                         a_transposed=True, a_leading=6, **strides)  # fmt: skip
            found = plan.described()
            assert found["aux_leading"] == (128 if number & 128 else 0)
            assert {key: found[key] for key in ("compute_type", "scale_type", "epilogue")} == {
                "compute_type": compute, "scale_type": scale, "epilogue": number,
            }  # fmt: skip
            assert (found["transpose_a"], found["transpose_b"]) == (0, 1)
            for letter, wanted in {
                "a": (8, 3, 8, 24), "b": (4, 3, 6, 18), "out": (8, 4, 8, 32),
            }.items():  # fmt: skip
                parts = ("rows", "columns", "leading", "stride", "type", "batch")
                assert [found[f"{letter}_{part}"] for part in parts] == [*wanted, code, 3]


def test_importing_reaches_no_cuda_library(native_module: ModuleType) -> None:
    program = (
        "from tensorflowlite.backend.cuda import product_slots\n"
        "from tensorflowlite.backend.native import extension\n"
        "assert extension.module\n"
        "print(*{line.split('/')[-1] for line in open('/proc/self/maps') if '.so' in line})"
    )
    if not Path("/proc/self/maps").exists():
        pytest.skip("only Linux tells what a process has loaded")
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert "_native" in done.stdout
    assert not [name for name in done.stdout.split() if "cublas" in name or "libcuda" in name]


# -- how matrices lie ------------------------------------------------------------------------------
def test_layouts() -> None:
    x = np.zeros((6, 8))
    for view, wanted in [
        (x, (False, 8)), (x.T, (True, 8)), (x[:, :3], (False, 8)), (x[:, :3].T, (True, 8)),
        (x[::2], (False, 16)), (x[:, ::2], None), (x[::-1], None), (x[:1, ::2], (True, 2)),
        (x[:, :1], (False, 8)), (x[:1], (False, 8)), (x[:, :1].T, (True, 8)),
        (np.broadcast_to(x[:1], (6, 8)), None), (x[:1, :1], (False, 1)),
    ]:  # fmt: skip
        assert layout(view.shape, view.strides, 8) == wanted, view.strides


def test_batch_strides() -> None:
    x = np.zeros((2, 3, 4, 5))
    for view, wanted in [
        (x, 20), (x[:1], 20), (x[:, :1], 60), (x[:, ::2], None), (x[::-1], None),
        (np.broadcast_to(x[:1, :1], x.shape), 0), (np.broadcast_to(x[:1], x.shape), None),
        (x.swapaxes(0, 1), None),
    ]:  # fmt: skip
        assert batch_stride(view.shape[:2], view.strides[:2], 8) == wanted


def test_alignments() -> None:
    assert [alignment(n) for n in (512, 256, 128, 48, 8, 6, 7)] == [256, 256, 16, 16, 8, 2, 1]
