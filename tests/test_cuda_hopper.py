"""The Hopper kernel: what it takes, and on such a GPU what it computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import devices as cuda
from tensorflowlite.backend.cuda import hopper as cuda_hopper
from tensorflowlite.backend.cuda import kernels
from tensorflowlite.backend.cuda.hopper import BACKWARD, FORWARD, PLAIN, Problem
from tests.rows.fused import applied, slope

BF16, F16 = dtypes.bfloat16, dtypes.float16
LAYOUTS = [(False, False), (False, True), (True, True), (True, False)]
# Whole tiles, parts of one, several with ragged ends, more steps of depth than stages.
SIZES = [
    (256, 256, 64), (128, 256, 128), (384, 512, 192), (200, 264, 72), (1000, 776, 520), (64, 8, 8),
    (520, 1032, 2048),
]  # fmt: skip
ACTIVATIONS = (None, "relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh")


def test_what_it_takes() -> None:
    problem = Problem(128, 256, 64, BF16, False, False)
    assert cuda_hopper.accepts(problem)
    assert not cuda_hopper.accepts(problem._replace(dtype=dtypes.float32))
    assert not cuda_hopper.accepts(problem._replace(k=60))  # rows of 120 bytes
    assert not cuda_hopper.accepts(problem._replace(n=4))
    assert not cuda_hopper.accepts(problem._replace(m=0))
    # m is no row's length, but where `a` is stored as k x m.
    assert cuda_hopper.accepts(problem._replace(m=3))
    assert not cuda_hopper.accepts(problem._replace(m=3, a_transposed=True))


@pytest.mark.parametrize("columns", cuda_hopper.TILE_COLUMNS)
@pytest.mark.parametrize("epilogue", [PLAIN, FORWARD, BACKWARD])
def test_a_block_fits(columns: int, epilogue: int) -> None:
    assert cuda_hopper.shared_bytes(columns, epilogue) <= 227 * 1024


def why_no_hopper() -> str:
    if reason := cuda.why_not():
        return reason
    import cupy

    found = cupy.cuda.Device().compute_capability
    return "" if found == "90" else f"a GPU of capability 9.0 is needed, got {found}"


class Lab:
    """Products of random matrices on the GPU, and their references in float64."""

    def __init__(self) -> None:
        import cupy

        from tensorflowlite.backend.cuda.cupy_driver import CupyDriver

        self.xp = cupy
        self.kernels = kernels.Kernels(CupyDriver(cupy))
        self.generator = np.random.default_rng(5)

    def matrix(self, draw: Callable[..., Any], shape: tuple[int, int], dtype: Any) -> Any:
        return self.xp.asarray(draw(shape).astype(dtype))

    def operands(self, draw: Callable[..., Any], problem: Problem) -> tuple[Any, Any, Any]:
        """Return a and b as they are stored, and their product."""
        m, n, k, dtype = problem[:4]
        a, b = self.matrix(draw, (m, k), dtype), self.matrix(draw, (n, k), dtype)
        product = a.astype("f8") @ b.astype("f8").T
        stored_a = self.xp.ascontiguousarray(a.T) if problem.a_transposed else a
        stored_b = self.xp.ascontiguousarray(b.T) if problem.b_transposed else b
        return stored_a, stored_b, product

    def poisoned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        made = self.xp.empty(shape, dtype)
        made.view("u1").fill(255)
        return made

    def normal(self, shape: tuple[int, ...]) -> Any:
        return self.generator.normal(size=shape)

    def small_integers(self, shape: tuple[int, ...]) -> Any:
        return self.generator.integers(-4, 5, shape)


@pytest.fixture(scope="module")
def lab() -> Lab:
    if reason := why_no_hopper():
        pytest.skip(reason)
    made = Lab()
    variants = [
        cuda_hopper.defines(Problem(8, 8, 8, dtype, *layout, epilogue, activation), columns)
        for dtype in (BF16, F16)
        for layout in LAYOUTS
        for epilogue, activation in ((PLAIN, None), (FORWARD, "gelu_tanh"), (BACKWARD, "gelu_tanh"))
        for columns in cuda_hopper.TILE_COLUMNS
    ]
    with ThreadPoolExecutor() as pool:  # the compiler releases the interpreter
        list(pool.map(lambda one: kernels.compiled(cuda_hopper.FILE, one, "sm_90a"), variants))
    return made


@pytest.mark.parametrize("columns", cuda_hopper.TILE_COLUMNS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", [BF16, F16], ids=str)
def test_small_integers_are_exact(lab: Lab, dtype: Any, layout: Any, columns: int) -> None:
    for m, n, k in SIZES:
        problem = Problem(m, n, k, dtype, *layout)
        if not cuda_hopper.accepts(problem):
            continue
        a, b, product = lab.operands(lab.small_integers, problem)
        out = lab.poisoned((m, n), dtype)
        cuda_hopper.run(lab.kernels, problem, columns, a, b, out)
        expected = lab.xp.asnumpy(product).astype(dtype)
        assert np.array_equal(lab.xp.asnumpy(out), expected), (m, n, k)


def check_epilogues(lab: Lab, problem: Problem, columns: int) -> None:
    """Hold the forward and the backward epilogue to float64."""
    m, n, _, dtype = problem[:4]
    name, xp = problem.activation, lab.xp
    a, b, product = lab.operands(lab.normal, problem)
    product = xp.asnumpy(product)
    bias = xp.asarray(lab.normal((n,)).astype(dtype))
    out, saved = lab.poisoned((m, n), dtype), lab.poisoned((m, n), dtype)
    forward = problem._replace(epilogue=FORWARD)
    cuda_hopper.run(lab.kernels, forward, columns, a, b, out, bias, saved)
    z = product + xp.asnumpy(bias).astype("f8")
    near(xp.asnumpy(saved), z, 4e-3)
    near(xp.asnumpy(out), applied(z, name), 4e-3)

    from_output = name in ("relu", "leaky_relu", "sigmoid", "tanh")
    kept = lab.normal((m, n))
    kept = (applied(kept, name) if from_output else kept).astype(dtype)
    dz = lab.poisoned((m, n), dtype)
    sums = lab.poisoned((cuda_hopper.partial_rows(m), n), dtypes.float32)
    backward = problem._replace(epilogue=BACKWARD)
    cuda_hopper.run(lab.kernels, backward, columns, a, b, dz, saved=xp.asarray(kept),
                    partial_sums=sums)  # fmt: skip
    wide = kept.astype("f8")
    expected = product * (1 if name is None else slope(wide, name))
    near(xp.asnumpy(dz), expected, 4e-3)
    db = xp.asnumpy(sums).astype("f8").sum(0)
    bound = 1e-5 * m**0.5 * np.abs(expected).max()
    assert np.abs(db - expected.sum(0)).max() <= bound


def near(found: Any, expected: Any, share: float) -> None:
    assert np.abs(found.astype("f8") - expected).max() <= share * np.abs(expected).max()


@pytest.mark.parametrize("columns", cuda_hopper.TILE_COLUMNS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", [BF16, F16], ids=str)
def test_epilogues_of_sizes(lab: Lab, dtype: Any, layout: Any, columns: int) -> None:
    for m, n, k in SIZES:
        problem = Problem(m, n, k, dtype, *layout, activation="gelu_tanh")
        if cuda_hopper.accepts(problem):
            check_epilogues(lab, problem, columns)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_epilogues_of_activations(lab: Lab, activation: str | None) -> None:
    for layout in ((False, False), (False, True)):
        check_epilogues(lab, Problem(200, 264, 72, BF16, *layout, activation=activation), 256)


def test_the_same_bits_again(lab: Lab) -> None:
    problem = Problem(1000, 776, 520, BF16, False, True, BACKWARD, "gelu_tanh")
    a, b, _ = lab.operands(lab.normal, problem)
    saved = lab.matrix(lab.normal, (1000, 776), BF16)
    found = []
    for _ in range(3):
        dz = lab.poisoned((1000, 776), BF16)
        sums = lab.poisoned((cuda_hopper.partial_rows(1000), 776), dtypes.float32)
        cuda_hopper.run(lab.kernels, problem, 256, a, b, dz, saved=saved, partial_sums=sums)
        found.append(lab.xp.asnumpy(dz).tobytes() + lab.xp.asnumpy(sums).tobytes())
    assert found[0] == found[1] == found[2]
