"""The dispatcher of products on the GPU: what it measures, chooses and keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import gemm as cuda_gemm
from tensorflowlite.backend.cuda import hopper as cuda_hopper
from tensorflowlite.backend.cuda import tuning as cuda_tuning
from tensorflowlite.backend.cuda.gemm import Candidate, Operands, Problem
from tensorflowlite.backend.cuda.gemm_sources import BlasSource, epilogue_of
from tensorflowlite.errors import ArgumentError, DeviceError, DtypeError
from tests.fake_cublas import (
    FORMULAS,
    KERNELS,
    Fake,
    NoKernels,
    Shop,
    close,
    gelu,
    gemm_on_host,
    normal,
)
from tests.fake_cublas import cache as cache  # fixtures
from tests.fake_cublas import fake as fake
from tests.fake_cublas import shop as shop


# -- our kernel for Hopper -------------------------------------------------------------------------
@pytest.mark.parametrize("layouts", ["nn", "nt", "tn"])
def test_our_kernel_takes_part(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, all_large: None, layouts: str
) -> None:
    """It gets operands as it wants them, and its results are what the other ways give."""
    dtype, launched = dtypes.bfloat16, []

    def run(kernels: Any, problem: Any, columns: int, a: Any, b: Any, out: Any, bias: Any = None,
            saved: Any = None, partial_sums: Any = None) -> None:  # fmt: skip
        launched.append((problem, columns))
        # Memory in C order, as the kernel reads it.
        rows = a.T if problem.a_transposed else a
        depth = b if problem.b_transposed else b.T
        assert rows.flags.c_contiguous and depth.flags.c_contiguous
        z = a.astype("f8") @ b.astype("f8")
        if problem.epilogue == 1:
            z = z + bias.astype("f8")
            if saved is not None:
                saved[:] = z
            z = z if problem.activation is None else FORMULAS[problem.activation][0](z)
        if problem.epilogue == 2:
            z = z * FORMULAS[problem.activation][1](saved.astype("f8"))
            for i in range(len(partial_sums)):
                partial_sums[i] = z[64 * i : 64 * i + 64].sum(0)
        out[:] = z

    monkeypatch.setattr(cuda_hopper, "run", run)
    shop = Shop(KERNELS)
    monkeypatch.setattr(
        NoKernels, "ready", lambda self, file, **defines: defines.get("TFL_N") in (128, 256)
    )
    shop.queue.name = layouts

    def cost(work: Callable[[], Any]) -> float:
        count = len(launched)
        work()
        if len(launched) == count:
            return 1e6
        problem, columns = launched[-1]
        return columns + (0 if problem.epilogue else 1000)

    shop.queue.cost = cost
    m, n, k = 80, 16, 8
    x = normal((k, m), dtype, 1).T if layouts[0] == "t" else normal((m, k), dtype, 1)
    y = normal((n, k), dtype, 2).T if layouts[1] == "t" else normal((k, n), dtype, 2)
    z = x.astype("f8") @ y.astype("f8")
    close(shop.matmul(x, y), z, dtype)
    problem, columns = launched[-1]
    assert columns == 128
    assert (problem.a_transposed, problem.b_transposed) == (layouts[0] == "t", layouts[1] == "n")
    bias, saved = normal((n,), dtype, 3), normal((m, n), dtype, 4)
    for activation in ("relu", "silu", None):
        count = len(launched)
        out, kept = shop.linear_act(x, y.T, bias, activation)
        assert launched[count:] and launched[-1][0].epilogue == 1
        whole = z + bias.astype("f8")
        close(out, whole if activation is None else FORMULAS[activation][0](whole), dtype)
        if activation == "silu":
            close(kept, whole, dtype)
        else:
            assert kept is (None if activation is None else out)
    dz, db = shop.gradient(x, y, saved, "silu")
    reference = z * FORMULAS["silu"][1](saved.astype("f8"))
    close(dz, reference, dtype)
    close(db, reference.sum(0), dtype)
    assert launched[-1][0].epilogue == 2
    # Rows with room between them, and addresses that aren't multiples of 16, go elsewhere.
    count = len(launched)
    wide = np.zeros((m, k + 8), dtype)[:, :k]
    shifted = np.zeros(m * k + 1, dtype)[1:].reshape(m, k)
    for a in (wide, shifted):
        shop.matmul(a, y)
    shop.matmul(np.zeros((2, m, k), dtype), np.zeros((2, k, n), dtype))
    assert len(launched) == count


# -- the dispatcher --------------------------------------------------------------------------------
PROBLEM = Problem("product", 4, 8, 3, False, False, 3, 8, dtypes.float32, (16, 16, 256))


class Stage:
    """A source whose candidates cost what a test says."""

    version = "stage 1"

    def __init__(self, costs: dict[str, float], failing: tuple[str, ...] = ()) -> None:
        self.costs, self.failing = costs, failing
        self.ran: list[str] = []
        self.asked = 0

    def candidates(self, problem: Problem) -> list[Candidate]:
        self.asked += 1
        return [Candidate(name, lambda _, name=name: self._run(name)) for name in self.costs]  # type: ignore[misc]

    def _run(self, name: str) -> tuple[Any, ...]:
        self.ran.append(name)
        if name in self.failing:
            raise DeviceError(f"{name} fails")
        return (name,)

    def cost(self, run: Callable[[], Any]) -> float:
        run()
        return self.costs[self.ran[-1]]


def staged(costs: dict[str, float], failing: tuple[str, ...] = ()) -> tuple[Any, Stage, Any]:
    gemm, queue, _ = gemm_on_host()
    stage = Stage(costs, failing)
    queue.cost = stage.cost
    gemm.sources.append(stage)
    return gemm, stage, queue


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_gemm, "LARGE", 0)


NOTHING = Operands(None, None)


def test_the_fastest_is_chosen_once(fake: Fake, all_large: None) -> None:
    gemm, stage, queue = staged({"slow": 3.0, "fast": 1.0, "slower": 4.0, "slowest": 9.0})
    assert gemm.run(PROBLEM, NOTHING) == ("fast",)
    assert gemm.chosen() == {PROBLEM: "fast"}
    timed = list(queue.timed)
    # All of them, then the three best in turns.
    assert stage.ran[:4] == ["slow", "fast", "slower", "slowest"]
    assert stage.ran[4:-1] == ["fast", "slow", "slower"] * 3
    stage.ran.clear()
    assert gemm.run(PROBLEM, NOTHING) == ("fast",)
    assert stage.ran == ["fast"] and queue.timed == timed and stage.asked == 1
    # Another layout is another problem.
    gemm.run(PROBLEM._replace(b_transposed=True), NOTHING)
    assert stage.asked == 2


def test_a_second_look_corrects_the_first(fake: Fake, all_large: None) -> None:
    """One slow first run (of code that is loaded then) doesn't decide."""
    gemm, stage, queue = staged({"one": 2.0, "other": 1.0})
    seen: list[str] = []

    def cost(run: Callable[[], Any]) -> float:
        run()
        seen.append(stage.ran[-1])
        return 5.0 if seen == ["one", "other"] else stage.costs[stage.ran[-1]]

    queue.cost = cost
    assert gemm.run(PROBLEM, NOTHING) == ("other",)


def test_one_that_fails_is_left_out(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    for least in (0, 2**62):
        monkeypatch.setattr(cuda_gemm, "LARGE", least)
        gemm, _, _ = staged({"bad": 0.5, "good": 1.0}, ("bad",))
        assert gemm.run(PROBLEM._replace(m=least % 7 + 4), NOTHING) == ("good",)
        gemm, _, _ = staged({"bad": 0.5}, ("bad",))
        with pytest.raises(DeviceError, match="must run, got bad fails for Problem"):
            gemm.run(PROBLEM._replace(m=least % 7 + 9), NOTHING)


def test_no_memory_is_no_other_error(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation tells of it, with what has the memory (``core/shortage.py``)."""
    for least in (0, 2**62):
        monkeypatch.setattr(cuda_gemm, "LARGE", least)
        gemm, stage, _ = staged({"only": 1.0})

        def full(name: str) -> Any:
            raise MemoryError("no room")

        monkeypatch.setattr(stage, "_run", full)
        with pytest.raises(MemoryError, match=r"^no room$"):
            gemm.run(PROBLEM, NOTHING)
        assert gemm.chosen() == {}


def test_small_problems_take_the_first(fake: Fake) -> None:
    gemm, stage, queue = staged({"first": 3.0, "second": 1.0})
    assert gemm.run(PROBLEM, NOTHING) == ("first",)
    assert queue.timed == [] and "second" not in stage.ran
    large = PROBLEM._replace(m=512, n=512, k=512)
    assert gemm.run(large, NOTHING) == ("second",)


def test_choices_are_kept_on_disk(fake: Fake, cache: Path, all_large: None) -> None:
    costs = {"slow": 3.0, "fast": 1.0}
    gemm, _, _ = staged(costs)
    gemm.run(PROBLEM, NOTHING)
    assert [path.suffix for path in cache.iterdir()] == [".choice"]

    def timed(change: Callable[[Any, Stage, Any], None] = lambda *_: None) -> tuple[int, Any]:
        gemm, stage, queue = staged(dict(costs))
        change(gemm, stage, queue)
        found = gemm.run(PROBLEM, NOTHING)
        return len(queue.timed), found

    assert timed() == (0, ("fast",))
    # Another GPU, another version of a source, a candidate that is gone: measured again.
    assert timed(lambda gemm, stage, queue: setattr(queue, "name", "another"))[0]
    assert timed(lambda gemm, stage, queue: setattr(stage, "version", "stage 2"))[0]
    count, found = timed(lambda gemm, stage, queue: stage.costs.pop("fast"))
    assert count and found == ("slow",)
    # What is broken on disk is measured again, too.
    for path in cache.iterdir():
        path.write_bytes(b"fast")
    assert timed()[0]


def test_nothing_is_timed_while_work_is_recorded(fake: Fake, all_large: None) -> None:
    gemm, stage, queue = staged({"first": 3.0, "second": 1.0})
    queue.recording = True
    assert gemm.run(PROBLEM, NOTHING) == ("first",)
    assert queue.timed == [] and stage.ran == ["first"] and gemm.chosen() == {}
    queue.recording = False
    assert gemm.run(PROBLEM, NOTHING) == ("second",)


def test_each_device_chooses(fake: Fake, all_large: None) -> None:
    gemm, _stage, queue = staged({"one": 1.0, "two": 2.0})
    gemm.run(PROBLEM, NOTHING)
    count = len(queue.timed)
    gemm.driver.number, queue.name = 1, "another GPU"
    assert gemm.chosen() == {}
    gemm.run(PROBLEM, NOTHING)
    assert len(queue.timed) == 2 * count


def test_all_ways_of_a_layer_race(fake: Fake, all_large: None) -> None:
    """cuBLASLt's epilogues against two passes, whose product has a race of its own."""
    x, w, b = normal((4, 7), "f2", 1), normal((8, 7), "f2", 2), normal((8,), "f2", 3)
    z = x.astype("f8") @ w.T + b
    for cheap in ("gelu_aux_bias", "default"):
        shop = Shop(KERNELS)
        shop.queue.name = cheap

        def cost(run: Callable[[], Any], cheap: str = cheap) -> float:
            run()
            algorithm, epilogue = fake.runs()[-1]
            return (0.0 if epilogue == cheap else 10.0) + (4 - algorithm)

        shop.queue.cost = cost
        out, saved = shop.linear_act(x, w, b, "gelu_tanh")
        close(out, gelu(z), dtypes.float16, 3)
        close(saved, z, dtypes.float16, 2)
        names = {problem.kind: name for problem, name in shop.gemm.chosen().items()}
        if cheap == "default":
            assert names == {"forward": "unfused", "product": "cublaslt default 3"}
        else:
            assert names["forward"] == "cublaslt gelu_aux_bias 3"


def test_algorithms_that_fail_leave_the_others(shop: Shop, fake: Fake) -> None:
    for algorithm in (0, 1):
        fake.fail(algorithm)
    x, y = normal((3, 4), "f4", 1), normal((4, 5), "f4", 2)
    close(shop.matmul(x, y), x.astype("f8") @ y, dtypes.float32)
    assert list(shop.gemm.chosen().values()) == ["cublaslt default 2"]
    for algorithm in (2, 3):
        fake.fail(algorithm)
    with pytest.raises(DeviceError, match="EXECUTION_FAILED"):
        shop.matmul(x, y)


def test_epilogues_only_where_they_mean_the_same() -> None:
    forward = PROBLEM._replace(kind="forward", bias=True, dtype=dtypes.bfloat16)
    backward = PROBLEM._replace(kind="backward", dtype=dtypes.bfloat16)
    found = {
        name: (
            epilogue_of(forward._replace(activation=name)),
            epilogue_of(forward._replace(activation=name, bias=False)),
            epilogue_of(backward._replace(activation=name)),
        )
        for name in ("relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh")
    }
    assert {name for name, ends in found.items() if any(ends)} == {"relu", "gelu_tanh"}
    assert found["relu"] == ("relu_bias", None, None)
    assert found["gelu_tanh"] == ("gelu_aux_bias", "gelu_aux", None)
    assert epilogue_of(forward._replace(activation="gelu_tanh", n=6)) is None
    assert epilogue_of(forward._replace(activation="gelu_tanh", dtype=dtypes.float32)) is None


def test_workspaces_are_kept_per_stream(shop: Shop) -> None:
    blas = shop.gemm.blas
    first = blas.workspace(0x57)
    assert blas.workspace(0x57) == first and blas.workspace(0x58) != first
    shop.driver.number = 1
    assert blas.workspace(0x57) != first


def test_the_stream_of_each_thread_has_a_workspace_in_each(shop: Shop) -> None:
    blas, per_thread = shop.gemm.blas, 2  # cudaStreamPerThread
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(blas.workspace(per_thread)))
    thread.start()
    thread.join()
    assert blas.workspace(per_thread) == blas.workspace(per_thread) != found[0]


# -- tune ------------------------------------------------------------------------------------------
def test_tune(fake: Fake, all_large: None) -> None:
    shop = Shop(KERNELS)
    backend = SimpleNamespace(namespace=np, **shop.slots)
    lines = cuda_tuning.tune_layers(backend, [(4, 6, 8)], "bfloat16", [None, "gelu_tanh"])
    starts = {line.split(":")[0] for line in lines}
    assert starts == {
        "forward nt 4x8x6 bfloat16 + bias",
        "forward nt 4x8x6 bfloat16 gelu_tanh + bias",
        "product nt 4x8x6 bfloat16",  # of the two passes
        "product nn 4x6x8 bfloat16",
        "product tn 8x6x4 bfloat16",
        "backward nn 4x8x6 bfloat16 gelu_tanh",
        "product nn 4x8x6 bfloat16",
    }
    assert all(": cublaslt" in line or ": unfused" in line for line in lines)
    with pytest.raises(ArgumentError, match=r"at least 1 each, got \(4, 0, 8\)"):
        cuda_tuning.tune_layers(backend, [(4, 0, 8)], "bfloat16", [None])
    with pytest.raises(DtypeError, match="must be a real floating dtype, got int64"):
        cuda_tuning.tune_layers(backend, [(4, 6, 8)], "int64", [None])


def test_tune_refuses_unknown_activations() -> None:
    for wrong in ("softmax", [None, "softmax"]):
        message = "^tune: activations must be None or of relu, .*, got 'softmax'$"
        with pytest.raises(ArgumentError, match=message):
            tfl.cuda.tune([(4, 6, 8)], activations=wrong)


@pytest.mark.skipif(tfl.cuda.is_available(), reason="a GPU is there")
def test_tune_without_a_gpu() -> None:
    with pytest.raises(DeviceError, match="a usable NVIDIA GPU is needed"):
        tfl.cuda.tune([(4, 6, 8)])


def test_a_library_that_fails_leaves_the_other_sources() -> None:
    class Broken:
        def plan(self, *args: Any) -> Any:
            raise DeviceError("cuBLASLt: INTERNAL_ERROR")

    assert BlasSource(np, Broken()).candidates(PROBLEM) == []
