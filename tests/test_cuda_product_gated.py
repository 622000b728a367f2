"""The backward of gated features as a product's epilogue: the kernel, the choice, and the slot."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import Backend, dtypes, numpy_backend
from tensorflowlite.backend.cuda import gemm as cuda_gemm
from tensorflowlite.backend.cuda import tiles as cuda_tiles
from tensorflowlite.backend.cuda.gemm import Problem, described
from tensorflowlite.backend.cuda.gemm_sources import (
    BlasSource,
    HopperSource,
    TilesSource,
    Unfused,
    activation_kernels,
)
from tensorflowlite.backend.slots import library as library_slots
from tensorflowlite.core.primitive import registry
from tensorflowlite.nn import functional as F
from tests import shadow
from tests.fake_cublas import (
    KERNELS,
    NO_KERNELS,
    TYPES,
    Fake,
    Shop,
    close,
    gated_gradients,
    normal,
)
from tests.fake_cublas import cache as cache  # fixtures
from tests.fake_cublas import fake as fake
from tests.fake_cublas import shop as shop
from tests.host_kernels import ORDERS, HostKernels
from tests.kernel_comparing import check, shifted, strided
from tests.rows.fused import gated_gradient

from .test_cuda_gemm import NOTHING, staged
from .test_cuda_tiles import (
    BF16,
    ENDS,
    F16,
    F32,
    F64,
    LAYOUTS,
    NAMES,
    Case,
    Choosy,
    hold,
    numbers,
    on_host,
    run,
)

PROBLEM = Problem("gated", 512, 512, 512, False, False, 512, 512, BF16, (256, 256, 256),
                  activation="silu")  # fmt: skip


# -- the kernel ------------------------------------------------------------------------------------
def cases() -> list[Case]:
    """Return every dtype with every layout, and among them every activation."""
    types = [(F16, False), (BF16, False), (F32, False), (F32, True), (F64, False)]
    return [
        Case(dtype, layout, "gated", NAMES[i % 7], rounded, (i % 3 != 0, i % 3 != 1))
        for i, ((dtype, rounded), layout) in enumerate(itertools.product(types, LAYOUTS))
    ]


CASES = cases()
SANITIZED = (0, 5, 10, 15, 19)


def tile_of(number: int) -> int:
    return 128 if number % 2 and CASES[number].dtype != F64 else 64


def test_the_cases_are_all_there() -> None:
    assert {one.activation for one in CASES} == set(NAMES)
    assert len({(one.dtype, one.tf32, one.layout) for one in CASES}) == 20
    assert len({(one.dtype, one.tf32) for one in map(CASES.__getitem__, SANITIZED)}) == 5


@on_host
@pytest.mark.parametrize("number", [
    pytest.param(number, marks=[pytest.mark.sanitized] * (number in SANITIZED))
    for number in range(20)
])  # fmt: skip
def test_against_float64(number: int) -> None:
    """Ragged sizes: rows that can be written by packs and not, the depth whole and split."""
    case, kernels = CASES[number], HostKernels(ORDERS[number % 3])
    tile = tile_of(number)
    for sizes, splits in (((70, 45, 83), 1), ((67, 72, 83), 1), ((67, 45, 83), 3), ((1, 1, 1), 1)):
        found, operands = run(case, (tile, tile, splits), sizes, kernels, numbers(number))
        hold(case, found, operands)


@on_host
@pytest.mark.parametrize("dtype", [F16, BF16])
@pytest.mark.parametrize("splits", [1, 2])
def test_sums_are_rounded_once(dtype: Any, splits: int) -> None:
    """1 + 3/8 of a step between numbers is 1 when it's rounded, and 1.5 of it 1.5 and a step."""
    step = 2.0**-10 if dtype == F16 else 2.0**-7

    def draw(shape: Any) -> Any:
        found = np.zeros(shape)
        if shape == (3, 64):
            found[:, 0], found[:, 40] = 1, 3 / 8 * step
        elif shape == (64, 8):
            found[:] = 1
        else:
            found[:] = 0.75  # of y, doubled; what 4 of it is, ReLU leaves as it is
        return found

    case = Case(dtype, (False, False), "gated", "relu")
    (dgate, dy), operands = run(case, (64, 64, splits), (3, 8, 64), HostKernels(), draw)
    assert (operands.saved == 3).all() and (operands.gated == 1.5).all()
    assert (dgate.astype(F64) == 1.5 + step).all()
    assert (dy.astype(F64) == np.float64(3 + 9 / 8 * step).astype(dtype).astype(F64)).all()


@on_host
@pytest.mark.parametrize(("dtype", "splits"), [(F16, 1), (F32, 1), (BF16, 3), (F64, 2)], ids=str)
def test_every_order_of_threads_gives_the_same_bits(dtype: Any, splits: int) -> None:
    case, found = Case(dtype, (False, False), "gated", "gelu"), []
    for order in ORDERS:
        pair, operands = run(case, (64, 64, splits), (70, 45, 170), HostKernels(order), numbers(1))
        hold(case, pair, operands)
        found.append(b"".join(one.tobytes() for one in pair))
    assert found[0] == found[1] == found[2]


@on_host
@pytest.mark.parametrize("place", range(2))
def test_outputs_that_begin_anywhere(place: int) -> None:
    case = Case(BF16, (False, False), "gated", "silu")
    problem, operands = case.problem((20, 24, 40), numbers(3))
    outputs = [np.full((20, 24), np.nan, BF16) for _ in range(2)]
    outputs[place] = shifted(outputs[place])
    launch = cuda_tiles.launcher(np, HostKernels(), problem, cuda_tiles.Plan(64, 64, 1, 2))
    out, dy = outputs
    launch(operands.a, operands.b, out, None, operands.saved, None, operands.gated, dy)
    hold(case, (out, dy), operands)


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.0, 30.0, -30.0])


@on_host
@pytest.mark.parametrize("activation", NAMES)
def test_nan_and_infinity_are_as_in_two_passes(activation: str) -> None:
    """Of every gate with every sum and every y."""
    kernels = HostKernels()
    sums, gates, ys = (one.reshape(-1) for one in np.meshgrid(*[SPECIAL] * 3, indexing="ij"))
    sums, gates, ys = (one[:, None].astype(F32) for one in (sums, gates, ys))
    one = np.ones((1, 1), F32)
    problem = Problem("gated", len(sums), 1, 1, False, False, 1, 1, F32, (16, 16, 16),
                      activation=activation)  # fmt: skip
    operands = cuda_gemm.Operands(sums, one, None, gates, ys)
    kernel = activation_kernels(np, kernels).gated_gradient
    apart = kernel(sums.copy(), gates, ys, activation)
    # No reference for gates of NaN and infinity, where kernels know more limits.
    with np.errstate(all="ignore"):
        parts = numpy_backend.product_gated_gradient(*operands[:2], gates, ys, activation)
    tried = 0
    for candidate in TilesSource(np, kernels, ENDS).candidates(problem):
        tried += 1
        for found, wanted, other in zip(candidate.run(operands), apart, parts, strict=True):
            np.testing.assert_array_equal(found, wanted)
            there = np.isfinite(gates)
            np.testing.assert_allclose(found[there], other[there], 1e-5, 1e-30)
    assert tried == 2


# -- the choice ------------------------------------------------------------------------------------
class Counting(HostKernels):
    """Kernels that tell which ran."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[str] = []

    def launch(self, file: str, entry: str, *args: Any, **options: Any) -> None:  # type: ignore[override]
        self.launched.append(entry)
        super().launch(file, entry, *args, **options)


def operands_of(rows: tuple[int, ...], k: int, n: int, dtype: Any) -> list[Any]:
    shapes = [(*rows, k), (k, n), (*rows, n), (*rows, n)]
    return [normal(shape, dtype, i) for i, shape in enumerate(shapes)]


@on_host
@pytest.mark.parametrize("quick", ["gemm_tiles", "gated_activation_backward"])
def test_both_ways_race(fake: Fake, monkeypatch: pytest.MonkeyPatch, quick: str) -> None:
    monkeypatch.setattr(cuda_gemm, "LARGE", 0)
    kernels = Counting()
    shop = Shop(kernels=kernels)
    shop.queue.name = quick

    def cost(work: Callable[[], Any]) -> float:
        kernels.launched.clear()
        work()
        return 1.0 if kernels.launched == [quick] else 2.0

    shop.queue.cost = cost
    x, w, gate, y = operands_of((20,), 30, 24, dtypes.bfloat16)
    for _ in range(2):
        kernels.launched.clear()
        found = shop.gated(x, w, gate, y, "silu")
        reference = gated_gradients(x.astype("f8") @ w.astype("f8"), gate, y, "silu")
        for one, other in zip(found, reference, strict=True):
            close(one, other, dtypes.bfloat16, 3)
    assert kernels.launched == [quick]  # cuBLASLt's product isn't among them
    names = {problem.kind: name for problem, name in shop.gemm.chosen().items()}
    assert names["gated"] == ("tiles 64x64" if quick == "gemm_tiles" else "unfused")


def test_who_takes_it(fake: Fake) -> None:
    class Ready(Choosy):
        def __init__(self) -> None:
            super().__init__(lambda defines: False, (9, 0))

    shop, kernels = Shop(KERNELS), Ready()
    for activation in NAMES:
        problem = PROBLEM._replace(activation=activation)
        assert BlasSource(np, shop.gemm.blas).candidates(problem) == []
    hopper = HopperSource(np, kernels, KERNELS)  # type: ignore[arg-type]
    assert list(hopper.candidates(PROBLEM)) == []
    assert list(hopper.candidates(PROBLEM._replace(kind="backward")))
    unfused = Unfused(shop.gemm, KERNELS)
    assert [one.name for one in unfused.candidates(PROBLEM)] == ["unfused"]
    assert unfused.candidates(PROBLEM._replace(activation="tanh")) == []
    assert Unfused(shop.gemm, NO_KERNELS).candidates(PROBLEM) == []
    # Nor are sums of columns added up: it needs no other kernel.
    tiles = TilesSource(np, kernels, NO_KERNELS)  # type: ignore[arg-type]
    assert len(list(tiles.candidates(PROBLEM))) == 4
    assert list(tiles.candidates(PROBLEM._replace(activation="softplus"))) == []
    assert list(tiles.candidates(PROBLEM._replace(batch=2))) == []


def test_the_choice_on_disk_is_its_own(
    fake: Fake, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_gemm, "LARGE", 0)
    kinds = [PROBLEM, PROBLEM._replace(kind="backward"), PROBLEM._replace(activation="gelu")]
    for count in (len(kinds), 0):  # measured, and found
        gemm, _, queue = staged({"slow": 3.0, "fast": 1.0})
        for i, problem in enumerate(kinds, 1):
            assert gemm.run(problem, NOTHING) == ("fast",)
            assert bool(queue.timed) is bool(count)
            queue.timed.clear()
            assert len(list(cache.iterdir())) == (i if count else len(kinds))
    assert described(PROBLEM) == "gated nn 512x512x512 bfloat16 silu"


# -- the slot --------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("activation", ["relu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("rows", [(5,), (2, 3)])
def test_product_gated_gradient(
    shop: Shop, fake: Fake, rows: Any, activation: str, dtype: Any
) -> None:
    x, w, gate, y = operands_of(rows, 7, 8, dtype)
    reference = gated_gradients(x.astype("f8") @ w.astype("f8"), gate, y, activation)
    for laid in (
        (x, w, gate, y), (strided(x), np.asfortranarray(w), strided(gate), np.asfortranarray(y)),
        (np.asfortranarray(x), shifted(w), np.asfortranarray(gate), shifted(y)),
    ):  # fmt: skip
        before = [one.copy() for one in laid]
        assert shop.gated.accepts(*laid, activation)
        found = shop.gated(*laid, activation)
        for one, other in zip(found, reference, strict=True):
            assert one.flags.c_contiguous
            close(one, other, dtype, 3)
        for one, other in zip(laid, before, strict=True):
            np.testing.assert_array_equal(one, other)
    assert fake.runs()[-1][1] == "default" and shop.left == []


@on_host
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("view", [shifted, strided])
@pytest.mark.parametrize("place", range(4))
def test_without_the_library_it_is_our_kernel(
    fake: Fake, dtype: Any, view: Callable[..., Any], place: int
) -> None:
    """In one launch, also where an array has gaps, or begins at no multiple of 16 bytes."""
    kernels = Counting()
    shop = Shop(kernels=kernels)
    shop.gemm.blas.reason = "cuBLASLt: none"
    arrays = operands_of((6,), 7, 8, dtype)
    arrays[place] = view(arrays[place])
    with pytest.warns(RuntimeWarning, match="our own kernel takes its place"):
        assert shop.gated.accepts(*arrays, "silu")
    for _ in range(2):  # the first time it is tried
        kernels.launched.clear()
        found = shop.gated(*arrays, "silu")
    assert kernels.launched == ["gemm_tiles"]
    x, w, gate, y = (one.astype("f8") for one in arrays)
    for one, other in zip(found, gated_gradient(x @ w, gate, y, "silu"), strict=True):
        check(one, other, dtype)
    ((problem, name),) = shop.gemm.chosen().items()
    assert name == "tiles 64x64" and fake.runs() == []
    lying = problem.alignments[min(place, 2)]
    assert lying < 16 if view is shifted else lying >= 16


@on_host
def test_the_product_gives_its_memory(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two passes a gradient is written over the product, which nobody else has."""
    shop = Shop(kernels=HostKernels())
    x, w, gate, y = operands_of((5,), 7, 8, dtypes.float32)
    made: list[Any] = []
    empty = np.empty

    def kept(shape: Any, dtype: Any) -> Any:
        made.append(empty(shape, dtype))
        return made[-1]

    monkeypatch.setattr(np, "empty", kept)
    monkeypatch.setattr(np, "empty_like", lambda one: kept(one.shape, one.dtype))
    for _ in range(2):  # the first time it is tried
        made.clear()
        found = shop.gated(x, w, gate, y, "silu")
    assert list(shop.gemm.chosen().values()) == ["cublaslt default 0", "unfused"]
    assert len(made) == 2 and all(map(np.shares_memory, found, made))


def test_what_it_accepts(shop: Shop, fake: Fake) -> None:
    x, w, gate, y = operands_of((2, 3), 7, 8, dtypes.float32)
    accepts = shop.gated.accepts
    assert accepts(x, w, gate, y, "silu")
    assert not accepts(x, w, gate, y, "tanh")  # whose kernel isn't there
    assert not accepts(x, w, gate, y, "softplus")
    assert not accepts(x, w, gate, y[:1], "silu")
    assert not accepts(x, w, gate[..., :1], y[..., :1], "silu")
    assert not accepts(x, w, gate[:1], y[:1], "silu")
    assert not accepts(x, w, gate.astype("f2"), y, "silu")
    assert not accepts(x, w, gate, y.astype("f8"), "silu")
    assert not accepts(x, w[:6], gate, y, "silu")
    assert not accepts(x, w[0], gate, y, "silu")
    assert not accepts(x[0, 0], w, gate[0, 0], y[0, 0], "silu")
    assert not accepts(x[:0], w, gate[:0], y[:0], "silu")
    assert not accepts(*[one.astype(int) for one in (x, w, gate, y)], "silu")
    assert not Shop(NO_KERNELS).gated.accepts(x, w, gate, y, "silu")
    shop.driver.device_of = lambda array: int(array is y)  # type: ignore[method-assign]
    assert not accepts(x, w, gate, y, "silu")


# -- the tape --------------------------------------------------------------------------------------
def network(device: str, draw: np.random.Generator) -> tuple[list[tfl.Tensor], tfl.Tensor]:
    """Return the leaves of a SwiGLU block, and what it gives."""
    shapes = [(2, 6, 3), (5, 3), (5, 3), (4, 5)]
    arrays = [draw.normal(size=shape).astype(np.float32) for shape in shapes]
    leaves = [tfl.tensor(one, device=device, requires_grad=True) for one in arrays]
    x, w1, w3, w2 = leaves
    return leaves, F.linear(F.swiglu(F.linear(x, w1), F.linear(x, w3)), w2)


@on_host
def test_a_backward_pass_on_a_device_calls_it(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slots work on the memory of the shadow device's arrays."""
    kernels, calls = Counting(), []
    shop = Shop(kernels=kernels)
    slots = {**library_slots.slots(np), **shop.slots}
    k = Backend("cuda", np, np.ndarray, slots)
    device = shadow.install()

    def on_device(*args: Any) -> Any:
        *arrays, activation = args
        given = [one._array for one in arrays]
        calls.append(shop.gated.accepts(*given, activation))
        return tuple(map(shadow.ShadowArray, k.product_gated_gradient(*given, activation)))

    name = "product_gated_gradient"
    monkeypatch.setattr(device, name, on_device, raising=False)
    monkeypatch.setitem(registry[name].implementations, shadow.ShadowArray, on_device)
    found = []
    for place in ("cpu", "shadow:0"):
        leaves, out = network(place, np.random.default_rng(2))
        (out * out).sum().backward()
        found.append([leaf.grad.cpu().numpy() for leaf in leaves])  # type: ignore[union-attr]
    assert calls == [True] and set(kernels.launched) == {"gated_activation_backward"}
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, 1e-5, 1e-5)
