"""The products' kernel for every chip, run on the host, and which ways there are for a problem."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest

from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import gemm_sources as cuda_gemm_sources
from tensorflowlite.backend.cuda import tiles as cuda_tiles
from tensorflowlite.backend.cuda.blas import alignment
from tensorflowlite.backend.cuda.gemm import Candidate, Operands, Problem
from tensorflowlite.backend.cuda.gemm_sources import Activations, TilesSource, saves_output
from tensorflowlite.backend.cuda.tiles import Plan
from tests.host_kernels import ORDERS, HostDriver, HostKernels, why_not
from tests.kernel_comparing import COMPUTING, check
from tests.rows.fused import applied, gated_gradient, slope

F16, BF16, F32, F64 = dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64
NAMES = ("relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh")
LAYOUTS = [(False, False), (False, True), (True, True), (True, False)]
on_host = pytest.mark.skipif(bool(why_not()), reason=why_not())


# -- problems and their references -----------------------------------------------------------------
def total(partials: Any, dtype: Any, activation: str) -> Any:
    assert partials.dtype == dtypes.accumulator(dtype)
    return partials.astype(F64).sum(0).astype(dtype)


ENDS = Activations(lambda dtype, name: True, None, None, total, None, None)  # type: ignore[arg-type]


def tf32(x: Any) -> Any:
    """Return floats rounded to 11 digits, ties away from zero."""
    bits = x.view(np.uint32)
    special = ~np.isfinite(x)
    return np.where(special, bits, (bits + 0x1000) & ~np.uint32(0x1FFF)).view(np.float32)


def lying(values: Any, transposed: bool, packed: bool) -> tuple[Any, int]:
    """Return the same values as they may lie in memory, between NaN, and their leading dimension.

    Packed, their rows begin at multiples of 16 bytes; else the first one doesn't.
    """
    stored = values.swapaxes(-1, -2) if transposed else values
    size = 16 // values.itemsize
    leading = -(-stored.shape[-1] // size) * size + size + (0 if packed else 1)
    count = stored[..., 0].size * leading
    room = np.full(count + 3 * size, np.nan, values.dtype)
    start = -room.ctypes.data % 16 // values.itemsize + (0 if packed else 1)
    found = room[start : start + count].reshape(*stored.shape[:-1], leading)
    found = found[..., : stored.shape[-1]]
    found[...] = stored
    return (found.swapaxes(-1, -2) if transposed else found), leading


class Case(NamedTuple):
    """What one variant of the kernel does."""

    dtype: Any
    layout: tuple[bool, bool]
    kind: str = "product"
    activation: str | None = None
    tf32: bool = False
    packed: tuple[bool, bool] = (True, True)

    def problem(self, sizes: Any, draw: Any, bias: bool = True) -> tuple[Problem, Operands]:
        """Return a problem of these sizes on random numbers."""
        m, n, k = sizes
        a, a_leading = lying(draw((m, k)).astype(self.dtype), self.layout[0], self.packed[0])
        b, b_leading = lying(draw((k, n)).astype(self.dtype), self.layout[1], self.packed[1])
        forward, backward = self.kind == "forward", self.kind == "backward"
        operands = Operands(a, b)
        if forward and bias:
            operands = operands._replace(bias=draw((n,)).astype(self.dtype))
        if backward:
            kept = 4 * draw((m, n))
            kept = applied(kept, self.activation) if saves_output(self.activation) else kept
            operands = operands._replace(saved=kept.astype(self.dtype))
        if self.kind == "gated":
            gate, y = 4 * draw((m, n)), 2 * draw((m, n))
            operands = operands._replace(saved=gate.astype(self.dtype), gated=y.astype(self.dtype))
        problem = Problem(
            self.kind, m, n, k, *self.layout, a_leading, b_leading, np.dtype(self.dtype),
            (alignment(a.ctypes.data), alignment(b.ctypes.data), 16), self.tf32, self.activation,
            forward and bias,
        )  # fmt: skip
        return problem, operands


def source_on(kernels: Any) -> TilesSource:
    return TilesSource(PoisonedNumpy, kernels, ENDS)


class PoisonedNumpy:
    """NumPy whose new arrays hold NaN."""

    @staticmethod
    def empty(shape: Any, dtype: Any) -> Any:
        return np.full(shape, np.nan, dtype)


def run(case: Case, plan: tuple[int, int, int], sizes: Any, kernels: Any, draw: Any,
        bias: bool = True) -> tuple[tuple[Any, ...], Operands]:  # fmt: skip
    """Compute a case with these tiles and this many parts of the depth."""
    rows, columns, splits = plan
    problem, operands = case.problem(sizes, draw, bias)
    steps = -(-sizes[2] * np.dtype(case.dtype).itemsize // 64)
    part = -(-steps // splits)
    whole = Plan(rows, columns, -(-steps // part), part)
    assert whole.splits == splits
    return source_on(kernels)._runner(problem, whole)(operands), operands


def hold(case: Case, found: tuple[Any, ...], operands: Operands) -> None:
    """Hold what a case gave to float64."""
    a, b = np.array(operands.a), np.array(operands.b)
    if case.tf32:
        a, b = tf32(a), tf32(b)
    z = a.astype(F64) @ b.astype(F64)
    name, dtype = case.activation, case.dtype
    if case.kind == "product":
        check(found[0], z, dtype)
        return
    if case.kind == "forward":
        z = z if operands.bias is None else z + operands.bias.astype(F64)
        out, saved = found
        check(out, applied(z, name), dtype)
        if name is None:
            assert saved is None
        elif saves_output(name):
            assert saved is out
        else:
            check(saved, z, dtype)
        return
    if case.kind == "gated":
        gate, y = operands.saved.astype(F64), operands.gated.astype(F64)
        for one, other in zip(found, gated_gradient(z, gate, y, name), strict=True):
            check(one, other, dtype)
        return
    dz, db = found
    z = z * slope(operands.saved.astype(F64), name)
    check(dz, z, dtype)
    check(db, z.sum(0), dtype, COMPUTING[dtype], np.abs(z).sum(0).max())


def numbers(seed: int) -> Any:
    """Return a maker of numbers whose products are of order one, where activations bend."""
    generator = np.random.default_rng(seed)
    return lambda shape: generator.normal(size=shape) * 0.45


# -- what the kernel computes ----------------------------------------------------------------------
def cases() -> list[Case]:
    """Return every dtype with every layout, and among them every kind with every activation."""
    types = [(F16, False), (BF16, False), (F32, False), (F32, True), (F64, False)]
    ends: list[Any] = [("product", None), *[("forward", name) for name in (None, *NAMES)],
                       ("product", None), *[("backward", name) for name in NAMES],
                       ("product", None), ("product", None), ("product", None)]  # fmt: skip
    found = []
    for i, ((dtype, rounded), layout) in enumerate(itertools.product(types, LAYOUTS)):
        kind, name = ends[7 * i % 20]
        found.append(Case(dtype, layout, kind, name, rounded, (i % 3 != 0, i % 3 != 1)))
    return found


CASES = cases()
SANITIZED = (0, 6, 11, 13, 17)


def tile_of(number: int) -> int:
    return 128 if number % 2 and CASES[number].dtype != F64 else 64


def numbered(kind: str, activation: str | None = None) -> list[int]:
    """Return the numbers of the cases that end so."""
    return [i for i, one in enumerate(CASES) if one[2:4] == (kind, activation)]


def test_the_cases_are_all_there() -> None:
    assert {(one.kind, one.activation) for one in CASES} == {
        ("product", None), *itertools.product(["forward"], [None, *NAMES]),
        *itertools.product(["backward"], NAMES),
    }  # fmt: skip
    assert len({(one.dtype, one.tf32, one.layout) for one in CASES}) == 20
    assert len({(one.dtype, one.tf32) for one in map(CASES.__getitem__, SANITIZED)}) == 5
    products = map(CASES.__getitem__, numbered("product"))
    assert len({(one.dtype, one.tf32) for one in products}) == 5


@on_host
@pytest.mark.parametrize("number", [
    pytest.param(number, marks=[pytest.mark.sanitized] * (number in SANITIZED))
    for number in range(20)
])  # fmt: skip
def test_against_float64(number: int) -> None:
    """Ragged sizes: rows that can be written by packs and not, the depth whole and split."""
    case, kernels = CASES[number], HostKernels(ORDERS[number % 3])
    tile = tile_of(number)
    for sizes, splits in (((70, 45, 83), 1), ((67, 72, 83), 3), ((1, 1, 1), 1)):
        plan = (tile, tile, splits)
        found, operands = run(case, plan, sizes, kernels, numbers(number), bias=splits != 3)
        hold(case, found, operands)


@on_host
@pytest.mark.parametrize("number", numbered("product"))
def test_small_integers_are_exact(number: int) -> None:
    case, tile = CASES[number], tile_of(number)
    generator = np.random.default_rng(3)
    for sizes, splits in (((130, 70, 77), 1), ((20, 150, 190), 2)):
        found, operands = run(case, (tile, tile, splits), sizes, HostKernels(),
                              lambda shape: generator.integers(-4, 5, shape))  # fmt: skip
        wanted = operands.a.astype(F64) @ operands.b.astype(F64)
        np.testing.assert_array_equal(found[0].astype(F64), wanted.astype(case.dtype).astype(F64))


@on_host
@pytest.mark.parametrize("packed", [(True, True), (False, True)])
def test_every_order_of_threads_gives_the_same_bits(packed: Any) -> None:
    """Operands that are copied while a block computes, and such that go through registers."""
    case = Case(F16, (False, False), "backward", "silu", packed=packed)
    found = []
    for order in ORDERS:
        results, operands = run(case, (64, 64, 1), (70, 45, 170), HostKernels(order), numbers(1))
        hold(case, results, operands)
        found.append(b"".join(one.tobytes() for one in results))
    assert found[0] == found[1] == found[2]


class OldDriver(HostDriver):
    def capability(self) -> tuple[int, int]:
        return 7, 5


class OldKernels(HostKernels):
    """Those of a chip without asynchronous copies."""

    def __init__(self, order: str) -> None:
        super().__init__(order)
        self.driver = OldDriver(order)
        compile = self._compile
        self._compile = lambda file, defines, architecture: compile(
            file, {**defines, "TFL_ASYNC": 0}, architecture
        )


@on_host
@pytest.mark.parametrize("case", [Case(F16, (True, True)), Case(F32, (False, True), tf32=True)])
def test_without_asynchronous_copies(case: Case) -> None:
    """Two stages, and floats with all their digits where there is no tf32."""
    for order in ORDERS:
        found, operands = run(case, (64, 64, 1), (70, 45, 170), OldKernels(order), numbers(2))
        hold(case._replace(tf32=False), found, operands)


@on_host
def test_nan_and_infinity_go_through() -> None:
    draw = numbers(4)

    def spoiled(shape: Any) -> Any:
        made = draw(shape)
        if shape == (5, 40):
            made[1, 39], made[3, 0] = np.nan, np.inf
        return made

    ends = [("product", None), ("forward", "relu"), ("forward", "gelu_tanh"), ("forward", "tanh")]
    for number in [number for end in ends for number in numbered(*end)]:
        tile = tile_of(number)
        for splits in (1, 2):
            found, _ = run(CASES[number], (tile, tile, splits), (5, 9, 40), HostKernels(), spoiled)
            out = found[0].astype(F64)
            assert np.isnan(out[1]).all()
            assert np.isfinite(out[[0, 2, 4]]).all()
            # From infinite sums come infinity, NaN, or the ends of what a function gives.
            ends_of = {-1.0, 1.0} if CASES[number].activation == "tanh" else {0.0}
            assert set(out[3, np.isfinite(out[3])]) <= ends_of
            assert CASES[number].activation == "tanh" or not np.isfinite(out[3]).all()


@on_host
def test_many_tiles() -> None:
    """More rows of tiles than a band has."""
    case = Case(F32, (False, True), packed=(False, False))
    found, operands = run(case, (64, 64, 1), (64 * 9 + 3, 130, 5), HostKernels(), numbers(5))
    hold(case, found, operands)


@on_host
@pytest.mark.parametrize(("dtype", "splits"), [(F32, 1), (BF16, 1), (F32, 2)], ids=str)
def test_batches(dtype: Any, splits: int) -> None:
    """Matrices some distance apart, one for all, and alone where the distance isn't aligned."""
    draw = numbers(6)
    for shared in (False, True):
        a = lying(draw((3, 7, 40)).astype(dtype), False, True)[0]
        b = lying(draw((40, 9) if shared else (3, 40, 9)).astype(dtype), True, True)[0]
        strides = [0 if x.ndim == 2 else x.strides[0] // x.itemsize for x in (a, b)]
        leading = [max(x.strides[-2:]) // x.itemsize for x in (a, b)]
        problem = Problem("product", 7, 9, 40, False, True, *leading, dtype, (16, 16, 256),
                          batch=3, a_stride=strides[0], b_stride=strides[1])  # fmt: skip
        steps = -(-40 * dtype.itemsize // 64)
        plan = Plan(64, 64, splits, -(-steps // splits))
        (out,) = source_on(HostKernels())._runner(problem, plan)(Operands(a, b))
        check(out, a.astype(F64) @ b.astype(F64), dtype)


# -- which ways there are --------------------------------------------------------------------------
PROBLEM = Problem("product", 512, 512, 512, False, True, 512, 512, BF16, (256, 256, 256))


def names(problem: Problem) -> list[str]:
    return [plan.name for plan in cuda_tiles.plans(problem)]


def test_what_it_takes() -> None:
    accepts = cuda_tiles.accepts
    assert accepts(PROBLEM, (8, 0)) and accepts(PROBLEM, (12, 0))
    assert not accepts(PROBLEM, (7, 5))
    for dtype in (F16, F32, F64):
        assert accepts(PROBLEM._replace(dtype=dtype), (7, 5))
    assert not accepts(PROBLEM._replace(dtype=np.dtype("i4")), (9, 0))
    assert not accepts(PROBLEM._replace(k=0), (9, 0))
    assert not accepts(PROBLEM._replace(m=2**31), (9, 0))
    assert accepts(PROBLEM._replace(batch=4), (9, 0))
    assert not accepts(PROBLEM._replace(kind="forward", batch=4), (9, 0))


def test_tiles_and_splits_follow_from_the_shape() -> None:
    small, large = "tiles 64x64", "tiles 128x128"
    assert names(PROBLEM._replace(m=4096, n=4096)) == [large, small]
    # 64 small tiles by 16 steps, 16 large ones
    assert names(PROBLEM) == [f"{small} split 2", small, f"{large} split 2", large]
    assert names(PROBLEM._replace(m=16, n=10, k=8192)) == [
        f"{small} split 32", small, f"{large} split 32", large,
    ]  # fmt: skip
    assert names(PROBLEM._replace(m=16, n=10, k=64)) == [small, large]
    assert names(PROBLEM._replace(dtype=F64, m=4096, n=4096)) == [small]
    assert names(PROBLEM._replace(m=16, n=10, k=8192, batch=2**20)) == [large, small]
    assert names(PROBLEM._replace(m=2**31 - 1, n=2**31 - 1)) == []
    for problem in (PROBLEM, PROBLEM._replace(m=16, k=8191), PROBLEM._replace(k=70000, dtype=F32)):
        steps = -(-problem.k * problem.dtype.itemsize // 64)
        for plan in cuda_tiles.plans(problem):  # whole, and no part without a step
            assert (plan.splits - 1) * plan.steps < steps <= plan.splits * plan.steps


def test_elements_are_fetched_in_packs_where_all_rows_are_aligned() -> None:
    def groups(**changes: Any) -> tuple[int, int]:
        problem = PROBLEM._replace(**changes)
        plan = next(cuda_tiles.plans(problem))
        found = cuda_tiles.defines(problem, plan, (9, 0))
        return found["TFL_A_GROUP"], found["TFL_B_GROUP"]

    assert groups() == (8, 8)
    assert groups(dtype=F32) == (4, 4) and groups(dtype=F64) == (2, 2)
    assert groups(a_leading=516) == (1, 8) and groups(b_leading=516, dtype=F32) == (4, 4)
    assert groups(alignments=(8, 16, 256)) == (1, 8)


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)])
def test_blocks_fit(capability: tuple[int, int]) -> None:
    from tensorflowlite.backend.cuda.kernels import _MOST_SHARED

    for layout, dtype in itertools.product(LAYOUTS, (F16, F32, F64)):
        problem = PROBLEM._replace(a_transposed=layout[0], b_transposed=layout[1], dtype=dtype)
        for plan in cuda_tiles.plans(problem):
            most = _MOST_SHARED[capability]
            assert cuda_tiles.shared_bytes(problem, plan, capability) <= most


class Choosy:
    """Kernels of which some variants can't be had."""

    def __init__(self, refused: Any, capability: tuple[int, int] = (8, 0)) -> None:
        self.refused, self.driver = refused, HostDriver()
        self.driver.capability = lambda: capability  # type: ignore[method-assign]

    def ready(self, file: str, **defines: Any) -> bool:
        return not self.refused(defines)


def test_candidates() -> None:
    def found(problem: Problem, refused: Any = lambda defines: False, ends: Activations = ENDS,
              capability: tuple[int, int] = (8, 0)) -> list[str]:  # fmt: skip
        source = TilesSource(np, Choosy(refused, capability), ends)  # type: ignore[arg-type]
        made: list[Candidate] = list(source.candidates(problem))
        return [one.name for one in made]

    everything = names(PROBLEM)
    assert found(PROBLEM) == everything and len(everything) > 1
    assert found(PROBLEM, lambda defines: defines["TFL_ROWS"] == 128) == everything[:2]
    assert found(PROBLEM, capability=(7, 5)) == []
    backward = PROBLEM._replace(kind="backward", activation="gelu")
    assert found(backward)
    assert found(backward, ends=ENDS._replace(ready=lambda dtype, name: False)) == []
    assert found(PROBLEM._replace(kind="forward", activation="softplus")) == []


def test_the_version_is_the_text_s(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_on(Choosy(None))
    before = source.version
    assert before == source_on(Choosy(None)).version
    monkeypatch.setattr(cuda_gemm_sources, "source_of", lambda file: "another")
    assert source.version != before
