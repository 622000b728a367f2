"""The checks of kernels find what is wrong with one, and cuBLASLt gets matrices as they lie."""

from __future__ import annotations

import ctypes
import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import check_kernels, check_ways, cuda_cublaslt
from benchmarks.check_kernels import Device, Poisoned, check_slot, error_of, run
from benchmarks.check_maker import Maker, Sample
from benchmarks.check_samples import SAMPLES
from benchmarks.cuda_lab import plain_backend
from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda import slots as cuda_slots
from tensorflowlite.backend.cuda.gemm import Candidate, Gemm, Operands, Problem

REFERENCE = plain_backend(np)


class Kernels:
    """Counts as launched whatever a slot of these tests says it launched."""

    def ready(self, file: str, **defines: Any) -> bool:
        return True

    def launch(self, *args: Any, **kwargs: Any) -> None:
        pass


def device() -> Device:
    return Device(np, Kernels())


def samples(name: str) -> list[Sample]:
    return list(SAMPLES[name](Maker(np.random.default_rng(0), True, REFERENCE)))


def checked(name: str, slot: Callable[..., Any], launches: bool = True) -> dict[str, Any]:
    on = device()

    def launching(*args: Any) -> Any:
        if launches:
            on.kernels.launch("some.cu", "some")
        return slot(*args)

    return check_slot(on, name, launching, REFERENCE, samples(name))


def single(name: str) -> Callable[..., Any]:
    """Return the library's slot computed in float64 and rounded once, as a good kernel does."""

    def slot(*args: Any) -> Any:
        wide = [check_kernels.widened(value) for value in args]
        dtype = args[0].dtype
        found = getattr(REFERENCE, name)(*wide)
        if isinstance(found, tuple):
            return tuple(np.asarray(one).astype(dtype) for one in found)
        return np.asarray(found).astype(dtype)

    return slot


# -- the samples -----------------------------------------------------------------------------------
def test_the_library_passes_its_own_samples() -> None:
    """Each maker's arguments are what its slot takes, and its tolerance fits rounding."""
    on = Device(np)
    rows = run(on, on.table(), True, 0, lambda row: None)
    assert [row["slot"] for row in rows] == sorted(SAMPLES)
    assert {row["slot"]: row["failures"] for row in rows if row["status"] != "PASS"} == {}
    assert all(row["samples"] for row in rows)


def test_small_runs_are_small() -> None:
    for name in SAMPLES:
        found = samples(name)
        assert 1 <= len(found) <= 80, name
        arrays = [x for one in found for x in one.args if isinstance(x, np.ndarray)]
        assert max((x.size for x in arrays), default=0) <= 4096, name


def test_products_are_exact_on_integers_in_each_layout() -> None:
    labels = [one.label for one in samples("matmul") if one.exact]
    for dtype in ("bfloat16", "float32"):
        for layout in ("nn", "nt", "tn", "tt"):
            assert any(dtype in label and f" {layout} " in label for label in labels)


# -- what is found ---------------------------------------------------------------------------------
def test_a_good_slot_passes() -> None:
    for name in ("gelu", "bias_activation_gradient", "matmul", "softmax"):
        found = checked(name, single(name))
        assert found["status"] == "PASS", found
        assert found["worst"] <= 1 and found["launches"] == found["samples"]


def _last_element(out: Any) -> Any:
    out = np.array(out)
    out.reshape(-1)[-1:] += np.asarray(0.05, out.dtype)
    return out


def _unwritten(out: Any) -> Any:
    made = Poisoned(np).empty(out.shape, out.dtype)
    made.reshape(-1)[:-1] = out.reshape(-1)[:-1]
    return made


@pytest.mark.parametrize(
    "spoil", [_last_element, _unwritten, lambda out: out[:-1] if out.ndim else out[None]]
)
@pytest.mark.parametrize("name", ["gelu", "matmul", "softmax"])
def test_a_wrong_element_is_found(name: str, spoil: Callable[[Any], Any]) -> None:
    slot = single(name)
    found = checked(name, lambda *args: spoil(slot(*args)))
    assert found["status"] == "FAIL" and found["failed"] >= found["samples"] // 2


def test_a_second_output_counts() -> None:
    slot = single("bias_activation_gradient")

    def short(*args: Any) -> Any:
        return slot(*args)[0], slot(args[0][1:], args[1][1:], *args[2:])[1]

    assert checked("bias_activation_gradient", short)["status"] == "FAIL"


def test_a_changed_input_is_found() -> None:
    slot = single("gelu")

    def writing(x: Any, approximate: str) -> Any:
        out = slot(x, approximate)
        x.reshape(-1)[:1] = 7
        return out

    assert checked("gelu", writing)["status"] == "FAIL"


def test_another_dtype_is_found() -> None:
    slot = single("relu")
    found = checked("relu", lambda x: slot(x).astype(np.float16))
    assert found["status"] == "FAIL" and "dtype float16" in found["failures"][0]


def test_an_optimizer_that_forgets_its_step_is_found() -> None:
    def forgets(lr: Any, step: Any, *args: Any) -> Any:
        REFERENCE.sgd_step(lr, step, *args)
        step -= 1
        return ()

    assert checked("sgd_step", REFERENCE.sgd_step)["status"] == "PASS"
    assert checked("sgd_step", forgets)["status"] == "FAIL"


def test_random_bits_must_be_equal() -> None:
    def next_stream(state: Any, *args: Any) -> Any:
        state[1] += 1
        out = REFERENCE.random_normal(state, *args)
        state[1] -= 1
        return out

    assert checked("random_normal", REFERENCE.random_normal)["status"] == "PASS"
    assert checked("random_normal", next_stream)["status"] == "FAIL"


def test_a_slot_that_raises_fails_and_the_others_go_on() -> None:
    def raises(*args: Any) -> Any:
        raise RuntimeError("misaligned address")

    rows: list[dict[str, Any]] = []
    on = device()
    table = {"relu": raises, "dropout": REFERENCE.dropout}
    on.kernels.launched["counted"] = 0
    run(on, table, True, 0, rows.append)
    assert [row["slot"] for row in rows] == ["dropout", "relu"]
    assert "misaligned address" in rows[1]["failures"][0]


def test_a_slot_no_kernel_ran_for_fails() -> None:
    found = checked("gelu", single("gelu"), launches=False)
    assert found["status"] == "FAIL" and "no kernel was launched" in found["failures"][0]
    assert checked("matmul", single("matmul"), launches=False)["status"] == "PASS"


def test_a_kernel_that_does_not_compile_fails() -> None:
    slot = single("gelu")

    def warns(*args: Any) -> Any:
        import warnings

        warnings.warn("kernels: gelu.cu: it must compile", RuntimeWarning, stacklevel=1)
        return slot(*args)

    found = checked("gelu", warns)
    assert found["status"] == "FAIL" and "it must compile" in found["failures"][0]


def test_a_slot_without_samples_fails() -> None:
    (row,) = run(device(), {"brand_new": lambda x: x}, True, 0, lambda row: None)
    assert row["status"] == "FAIL" and "no samples" in row["failures"][0]
    assert "FAIL  brand_new" in check_kernels.line(row)


def test_errors_know_nan_infinity_and_nothing() -> None:
    x = np.array([1.0, np.nan, np.inf], np.float32)
    assert error_of(x, x.astype("f8"), False, 1e-6) == 0
    assert error_of(x, np.array([1.0, np.nan, -np.inf]), False, 1e-6) == np.inf
    assert error_of(x, np.array([1.0, 2.0, np.inf]), False, 1e-6) == np.inf
    assert error_of(None, None, False, 0) == 0 and error_of(None, x, False, 0) == np.inf
    assert error_of(x[:1], np.array([1 + 2e-3]), False, 1e-3) == pytest.approx(2, rel=1e-2)
    assert error_of(np.array([1, 2]), np.array([1, 3]), False, 1e-3) == np.inf
    assert error_of(np.float32([0, 1]), np.array([0.0, 1.0 + 1e-9]), True, 1.0) == np.inf


def test_memory_is_poisoned() -> None:
    space = Poisoned(np)
    for dtype in (dtypes.bfloat16, dtypes.float32):
        made = [space.empty((3, 4), dtype), space.empty((), dtype)]
        made.append(space.empty_like(np.zeros((3, 4), dtype, order="F")))
        assert all(np.isnan(one.astype("f8")).all() for one in made)
    assert (space.empty((2,), np.int64) == -1).all() and space.empty((0,)).size == 0
    assert space.arange(3).tolist() == [0, 1, 2]


# -- the slots and the program ---------------------------------------------------------------------
def test_what_a_slot_does_not_accept_goes_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def family(xp: Any, kernels: Any, library: Any) -> dict[str, Any]:
        def sgd_step(*args: Any) -> Any:
            raise AssertionError("not for these")

        sgd_step.accepts = lambda *args: False  # type: ignore[attr-defined]
        assert library("layer_norm") is not None and np.isnan(xp.empty(3)).all()
        return {"sgd_step": sgd_step}

    monkeypatch.setattr(cuda_slots, "slots", family)
    on = device()
    (row,) = run(on, on.table(), True, 0, lambda row: None)
    assert row["failures"] == ["no kernel was launched: every sample went to the library"]


def test_each_way_of_a_product_is_looked_at() -> None:
    """By its name, also where another one would be taken; those that aren't there have no row."""
    spoiled = {"tiles 64x64 split 2"}

    class Source:
        version = "1"

        def candidates(self, problem: Problem) -> list[Candidate]:
            names = ["unfused", "tiles 64x64 split 2"] if problem.k > 16 else ["unfused"]
            return [Candidate(name, functools.partial(compute, name)) for name in names]

    def compute(name: str, operands: Operands) -> tuple[Any]:
        launched.append(name)
        a, b = operands[:2]
        return ((a.astype("f8") @ b.astype("f8") + 9 * (name in spoiled)).astype(a.dtype),)

    def matmul(x: Any, y: Any) -> Any:
        on.kernels.launch("", "", {}, 1, 1)
        (m, k), n = x.shape, y.shape[1]
        problem = Problem("product", m, n, k, False, False, k, n, x.dtype, (16, 16, 16))
        return gemm.run(problem, Operands(x, y))[0]

    launched: list[str] = []
    on: Any = device()
    queue = SimpleNamespace(capturing=lambda: False)
    gemm = Gemm(np, None, SimpleNamespace(device=lambda: 0), queue)  # type: ignore[arg-type]
    gemm.sources.append(Source())
    matmul.gemm = gemm  # type: ignore[attr-defined]
    table = dict.fromkeys(check_ways.SLOTS, matmul)
    ways = {name: slot for name, slot in check_ways.slots(table) if name.startswith("matmul")}
    assert len(ways) == len(check_ways.WAYS) == 9
    make = Maker(np.random.default_rng(0), True, REFERENCE)
    two = [make.normal((4, 32), np.float32), make.normal((32, 8), np.float32)]
    few = {"matmul": lambda make: [Sample("one", tuple(two))]}

    def statuses() -> dict[str, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(check_kernels, "SAMPLES", few)
            rows = run(on, {"matmul": matmul, **ways}, True, 0, lambda row: None)
        return {row["slot"]: row["status"] for row in rows}

    assert statuses() == {
        "matmul": "PASS", "matmul by unfused": "PASS", "matmul by tiles 64x64 split": "FAIL",
    }  # fmt: skip
    spoiled.clear()
    assert set(statuses().values()) == {"PASS"}
    assert "tiles 64x64 split 2" in launched and gemm.chosen() == {}
    assert list(check_ways.slots({"gelu": matmul})) == []


def test_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_kernels, "host_device", lambda poison: Device(np, None, poison))
    path = tmp_path / "checks.json"
    arguments = ["--device", "cpu", "--small", "--slots", "gelu,relu", "--seed", "3"]
    assert check_kernels.main([*arguments, "--save", str(path)]) == 0
    content = json.loads(path.read_text())
    assert [row["slot"] for row in content["rows"]] == ["gelu", "relu"] and content["seed"] == 3
    assert capsys.readouterr().out.count("PASS") == 2
    with pytest.raises(SystemExit, match="2"):
        check_kernels.main(["--device", "cpu", "--slots", "nothing"])
    monkeypatch.setattr(
        "tensorflowlite.backend.cuda.devices.why_not", lambda: "no driver was found"
    )
    assert check_kernels.main(["--save", str(path)]) == 2
    assert "no driver was found" in capsys.readouterr().out


def test_nothing_checked_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = device()
    monkeypatch.setattr(cuda_slots, "slots", lambda *args: {})
    monkeypatch.setattr(check_kernels, "host_device", lambda poison: empty)
    assert check_kernels.main(["--device", "cpu", "--save", str(tmp_path / "x.json")]) == 1


# -- cuBLASLt --------------------------------------------------------------------------------------
class Placed(np.ndarray[Any, Any]):
    """An array that tells its address as CuPy's do."""

    @property
    def data(self) -> Any:  # type: ignore[override]
        return SimpleNamespace(ptr=self.ctypes.data)


def placed(x: Any) -> Any:
    return np.asarray(x, np.float32).view(Placed)


class FakeLibrary:
    """cuBLASLt's column-major product of float32 matrices, from what its descriptors say."""

    def __init__(self, algorithms: int = 3, refused: int = 0) -> None:
        self.objects: list[dict[Any, Any]] = []
        self.algorithms, self.refused, self.ran = algorithms, refused, []  # type: ignore[var-annotated]

    def _new(self, where: Any, **values: Any) -> int:
        self.objects.append(values)
        where._obj.value = len(self.objects)
        return 0

    def cublasLtCreate(self, where: Any) -> int:
        return self._new(where)

    def cublasLtMatrixLayoutCreate(self, where: Any, dtype: int, *sizes: Any) -> int:
        rows, columns, stride = (size.value for size in sizes)
        assert stride >= rows
        return self._new(where, dtype=dtype, rows=rows, columns=columns, stride=stride)

    def cublasLtMatmulDescCreate(self, where: Any, compute: int, scale: int) -> int:
        assert (compute, scale) == (68, 0)
        return self._new(where)

    def cublasLtMatmulDescSetAttribute(self, owner: Any, key: int, value: Any, size: Any) -> int:
        assert size.value == ctypes.sizeof(value._obj)
        self.objects[owner.value - 1][key] = value._obj.value
        return 0

    cublasLtMatmulPreferenceSetAttribute = cublasLtMatmulDescSetAttribute

    def cublasLtMatmulPreferenceCreate(self, where: Any) -> int:
        return self._new(where)

    def cublasLtMatmulPreferenceDestroy(self, owner: Any) -> int:
        return 0

    def cublasLtMatmulAlgoGetHeuristic(self, *args: Any) -> int:
        results, count = args[-2], args[-1]
        for i in range(self.algorithms):
            results[i].algorithm[0] = i
        count._obj.value = self.algorithms
        return 0

    def _matrix(self, layout: Any, address: Any) -> Any:
        at = self.objects[layout.value - 1]
        pointer = ctypes.cast(address.value, ctypes.POINTER(ctypes.c_float))
        memory = np.ctypeslib.as_array(pointer, (at["columns"], at["stride"]))
        return memory[:, : at["rows"]].T

    def cublasLtMatmul(self, handle: Any, description: Any, one: Any, a: Any, a_layout: Any,
                       b: Any, b_layout: Any, zero: Any, c: Any, c_layout: Any, d: Any,
                       d_layout: Any, algorithm: Any, *rest: Any) -> int:  # fmt: skip
        number = algorithm._obj[0]
        if number < self.refused:
            return 15
        self.ran.append(number)
        how = self.objects[description.value - 1]
        x, y = self._matrix(a_layout, a), self._matrix(b_layout, b)
        x, y = x.T if how[3] else x, y.T if how[4] else y
        out = self._matrix(d_layout, d)
        out[...] = x @ y
        if how[7] == cuda_cublaslt.BIAS:
            pointer = ctypes.cast(how[8], ctypes.POINTER(ctypes.c_float))
            out += np.ctypeslib.as_array(pointer, (len(out),))[:, None]
        return 0


def handle(library: FakeLibrary, times: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> Any:
    def once(call: Any) -> float:
        call()
        return times[library.ran[-1]]

    monkeypatch.setattr(cuda_cublaslt, "find_library", lambda: library)
    cupy = SimpleNamespace(
        uint8=np.uint8, empty=lambda n, dtype: placed(np.ones(4)),
        cuda=SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=0)),
    )  # fmt: skip
    return cuda_cublaslt.CublasLt(cupy, once)


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_cublaslt_gets_each_layout(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary()
    lt = handle(library, {0: 2.0, 1: 1.0, 2: 3.0}, monkeypatch)
    rng = np.random.default_rng(0)
    x, y = placed(rng.integers(-3, 4, (5, 7))), placed(rng.integers(-3, 4, (7, 3)))
    x = placed(x.T.copy()).T if layout[0] == "t" else x
    y = placed(y.T.copy()).T if layout[1] == "t" else y
    out, bias = placed(np.full((5, 3), np.nan)), placed(rng.integers(-3, 4, 3))
    call = lt.product(x, y, out, cuda_cublaslt.BIAS, bias)
    out.fill(np.nan)
    del library.ran[:]
    call()
    np.testing.assert_array_equal(np.asarray(out), np.asarray(x) @ np.asarray(y) + bias)
    assert library.ran == [1]  # the fastest of the three


def test_algorithms_that_refuse_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    x, out = placed(np.ones((4, 4))), placed(np.ones((4, 4)))
    library = FakeLibrary(refused=2)
    lt = handle(library, {2: 1.0}, monkeypatch)
    lt.product(x, x, out)()
    assert set(library.ran) == {2}
    lt = handle(FakeLibrary(refused=3), {}, monkeypatch)
    with pytest.raises(cuda_cublaslt.CublasLtError, match="no algorithm"):
        lt.product(x, x, out)
    with pytest.raises(cuda_cublaslt.CublasLtError, match="contiguous"):
        lt.product(placed(np.ones((4, 8)))[:, ::2], x, out)
