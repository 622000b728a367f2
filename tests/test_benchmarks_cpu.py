"""The CPU suite: what contenders compute, their processes, what is refused, whole small runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import tensorflowlite as tfl
from benchmarks import (
    contenders,
    cpu,
    cpu_data,
    cpu_lab,
    cpu_results,
    cpu_rows_ops,
    cpu_rows_steps,
    cpu_suites,
)
from benchmarks.agreement import compare
from benchmarks.contender_base import Case, LeftOut
from benchmarks.contender_modules import Modules
from benchmarks.contender_numpy import Numpy
from benchmarks.contender_worker import Server
from benchmarks.contenders import OURS, Failed, Plan, Process, at_rest, timed
from benchmarks.cpu_lab import Bench, take
from benchmarks.cpu_rows_steps import Row

CHECKOUT = Path(__file__).resolve().parents[1]
ROWS = {row.name: row for row in cpu.rows_of(("ops", "steps"))}
TINY = {
    row.name: (cpu_rows_ops if row.suite == "ops" else cpu_rows_steps).tiny(row)
    for row in ROWS.values()
}


def ours() -> Modules:
    return Modules(tfl, lambda tensor: np.array(tensor.detach().numpy()))


# -- the rows --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", TINY)
def test_ours_and_numpy_agree_on_every_row(name: str) -> None:
    """Where NumPy has the row: the same data, losses, gradients and parameters."""
    spec = TINY[name].spec
    case = ours().build(spec)
    found = case.outcome()
    assert all(np.isfinite(array).all() for array in found.values())
    case.renew()
    case.call()
    try:
        other = Numpy().build(spec)
    except LeftOut:
        assert spec.get("model") in ("cnn", "gpt") or spec.get("op") in (
            "conv2d", "attention", "max_pool2d", "batch_norm", "dropout", "gelu",
        ) or spec.get("activation") == "gelu"  # fmt: skip
        return
    assert case.digest == other.digest
    checks = compare(spec, found, other.outcome())
    assert len(checks) == len(found)
    assert [check for check in checks if not check.right] == []


def test_the_rows_of_the_headline() -> None:
    headline = [row.name for row in ROWS.values() if row.headline]
    assert headline == [
        "mlp-16", "mlp-64", "mlp-256", "mlp-1024", "mlp-gelu", "cnn-32", "cnn-128", "gpt-128",
        "gpt-256", "gelu", "layer-norm", "cross-entropy", "conv-64-32",
    ]  # fmt: skip
    assert len(ROWS) == len(cpu.rows_of(("ops", "steps"))) and ROWS.keys() == TINY.keys()


def test_the_work_of_rows_counted_by_hand() -> None:
    products = [784 * 256, 256 * 128, 128 * 10]
    assert ROWS["mlp-16"].operations == 2 * 16 * (3 * sum(products) - products[0])
    count = sum(products) + 256 + 128 + 10
    touched = 4 * 16 * (784 + 2 * (256 + 128 + 10))
    assert ROWS["mlp-16"].bytes == touched + 32 * count
    assert ROWS["conv-64-32"].operations == 3 * 2 * 16 * 64 * 64 * 9 * 32 * 32
    assert ROWS["matmul"].operations == 3 * 2 * 1024**3
    assert ROWS["gelu"].bytes == 5 * 4 * 2048**2 and ROWS["gelu"].operations == 0
    assert ROWS["adamw-10m"].bytes == 28e7


def test_the_start_does_not_depend_on_the_order_of_sizes() -> None:
    spec = TINY["mlp-16"].spec
    again = dict(reversed(spec.items()))
    assert cpu_data.digest(cpu_data.parameters(spec)) == cpu_data.digest(cpu_data.parameters(again))
    other = cpu_data.parameters({**spec, "batch": 7})
    assert cpu_data.digest(cpu_data.parameters(spec)) != cpu_data.digest(other)


def test_renewing_goes_back_to_the_start() -> None:
    """Weights and moments: the same losses again."""
    for contender in (ours(), Numpy()):
        case = contender.build(TINY["mlp-16"].spec)
        losses = []
        for _ in range(2):
            case.renew()
            losses.append([float(case.call()) for _ in range(5)])
        assert losses[0] == losses[1] and losses[0][4] < losses[0][0]


# -- agreement -------------------------------------------------------------------------------------
def outcome(name: str = "mlp-64") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return TINY[name].spec, Numpy().build(TINY[name].spec).outcome()


@pytest.mark.parametrize("name", ["loss:0", "loss:3", "gradient:0.weight", "parameter:2.bias"])
@pytest.mark.parametrize("change", [1.05, -1.0, np.nan])
def test_a_wrong_value_is_found(name: str, change: float) -> None:
    spec, theirs = outcome()
    wrong = {key: array.copy() for key, array in theirs.items()}
    place = np.unravel_index(np.abs(wrong[name]).argmax(), wrong[name].shape)
    wrong[name][place] *= change
    bad = [check.what for check in compare(spec, wrong, theirs) if not check.right]
    assert bad == [name]
    assert [check for check in compare(spec, theirs, theirs) if not check.right] == []


def test_what_is_missing_or_of_another_shape_is_found() -> None:
    spec, theirs = outcome()
    less = {key: array for key, array in theirs.items() if key != "gradient:2.bias"}
    (check,) = compare(spec, less, theirs)
    assert not check.right and "gradient:2.bias" in check.what
    other = {**theirs, "gradient:2.bias": theirs["gradient:2.bias"][:, None]}
    bad = [check.what for check in compare(spec, other, theirs) if not check.right]
    assert bad == ["gradient:2.bias"]


def test_where_rounding_decides_parameters_may_differ() -> None:
    """Adam moves a parameter of gradient 1e-9 as far as any other."""
    spec, theirs = outcome()
    key = "0.weight"
    gradient = theirs[f"gradient:{key}"].copy()
    gradient[0, 0] = 1e-9
    theirs[f"gradient:{key}"] = gradient
    moved = theirs[f"parameter:{key}"].copy()
    moved[0, 0] += 4e-3
    found = compare(spec, {**theirs, f"parameter:{key}": moved}, theirs)
    assert all(check.right for check in found)


# -- processes -------------------------------------------------------------------------------------
def test_a_process_answers_and_says_what_went_wrong(tmp_path: Path) -> None:
    with Process("numpy", 1) as worker:
        assert worker.versions == {"numpy": np.__version__}
        spec = TINY["layer-norm"].spec
        digest = worker.ask("build", spec=spec)
        assert digest == ours().build(spec).digest
        assert set(worker.ask("outcome")) == {
            "out", "gradient:x", "gradient:weight", "gradient:bias",
        }  # fmt: skip
        assert 0 < worker.ask("warm", seconds=0.0, least=3) < 1
        assert 0 < worker.ask("run", number=3) < 1
        with pytest.raises(LeftOut, match="no conv2d written by hand"):
            worker.ask("build", spec=TINY["conv-64-32"].spec)
        with pytest.raises(Failed, match="numpy: KeyError: 'shape'") as failure:
            worker.ask("build", spec={"kind": "op", "op": "sum"})
        assert "Traceback" in failure.value.__notes__[0]
        assert worker.ask("build", spec=spec) == digest  # it goes on
        assert at_rest([worker]) and not worker.busy()

        seen = []
        thread = threading.Thread(target=worker.ask, args=("warm",),
                                  kwargs={"seconds": 0.3, "least": 1})  # fmt: skip
        thread.start()
        while thread.is_alive():
            seen.append(worker.busy())
            time.sleep(0.005)
        assert any(seen)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(Failed, match="numpy: its process ended with status -9"):
            worker.ask("run", number=1)


def test_it_runs_from_a_folder_of_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an installed package; names of our modules are no names of libraries."""
    folder = tmp_path / "_benchmarks"
    shutil.copytree(CHECKOUT / "benchmarks", folder, ignore=shutil.ignore_patterns("results"))
    monkeypatch.setattr(contenders, "START", folder / "start.py")
    with Process("numpy", 1) as worker:
        assert worker.ask("build", spec=TINY["sum"].spec)


def test_no_process_for_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    refuse = LeftOut("PyTorch isn't installed")

    def start(self: Bench, name: str, threads: int | None = None) -> Any:
        if name == "torch":
            raise refuse
        return Worker(name)

    monkeypatch.setattr(Bench, "start", start)
    bench = Bench(["torch", "numpy"], 1, say=said.append)
    assert list(bench.hire()) == [OURS, "numpy"] and bench.against == ["numpy"]
    assert said == ["torch: PyTorch isn't installed; it is left out"]


class Worker:
    """A contender without a process: it notes what it is asked."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, name: str, answers: dict[str, Any] | None = None) -> None:
        self.name, self.versions, self.pid = name, {name: "1"}, os.getpid()
        self.answers = {"build": "digest", "warm": 0.05, "run": 0.05, **(answers or {})}

    def ask(self, question: str, **_: Any) -> Any:
        self.asked.append((self.name, question))
        answer = self.answers[question]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def busy(self) -> bool:
        return False

    def close(self) -> None:
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(Worker, "asked", found)
    return found


def bench_of(theirs: dict[str, Any], mine: dict[str, Any] | None = None) -> Bench:
    bench = Bench(["numpy"], 1, quick=True, tiny=True, say=lambda text: None)
    good = {"outcome": outcome("sum")[1]}
    bench.workers = {OURS: Worker(OURS, good | (mine or {})),
                     "numpy": Worker("numpy", good | theirs)}  # type: ignore[assignment]
    bench.start = lambda name, threads=None: Worker(name, good)  # type: ignore[assignment, method-assign, return-value]
    return bench


@pytest.mark.parametrize("other", ["values", "data"])
def test_contenders_that_differ_are_not_timed(other: str, asked: list[tuple[str, str]]) -> None:
    found = {"out": outcome("sum")[1]["out"] * 1.01}
    bench = bench_of({"values": {"outcome": found}, "data": {"build": "another"}}[other])
    taken = take(bench, ROWS["sum"])
    assert taken["status"] == "wrong" and "ratios" not in taken
    assert {"values": "differ: out: relative error 0.0099", "data": "from other data"}[
        other
    ] in taken["error"]
    assert not [what for _, what in asked if what in ("run", "warm")]


def test_a_contender_that_raises_is_left_out_and_ours_fails(asked: list[tuple[str, str]]) -> None:
    taken = take(bench_of({"outcome": Failed("numpy: it broke")}), ROWS["sum"])
    assert taken["status"] == "measured" and taken["ratios"] == {}
    assert taken["contenders"]["numpy"] == {"error": "numpy: it broke"}
    taken = take(bench_of({"build": LeftOut("none")}), ROWS["sum"])
    assert taken["contenders"]["numpy"] == {"left_out": "none"}
    taken = take(bench_of({}, {"build": Failed("ours: it broke")}), ROWS["sum"])
    assert taken["status"] == "error" and taken["error"] == "ours: it broke"


def test_a_wrong_row_fails_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--against", "numpy", "--suite", "ops", "--rows", "sum", "--quick", "--tiny"]
    monkeypatch.setattr(cpu_lab, "compare", lambda spec, one, two: compare(
        spec, {name: array + 1 for name, array in one.items()}, two
    ))  # fmt: skip
    assert cpu.main(arguments) == 1
    assert "sum: wrong: numpy and ours differ: out" in capsys.readouterr().out


# -- turns -----------------------------------------------------------------------------------------
def test_turns_alternate_and_one_works_at_a_time(asked: list[tuple[str, str]]) -> None:
    workers: Any = {"a": Worker("a", {"run": 0.01}), "b": Worker("b", {"run": 0.02})}
    timing = timed(workers, Plan(rounds=2, turn_seconds=0.2, repeats=1))
    assert asked == [("a", "warm"), ("b", "warm"), *zip("abba", ["run"] * 4, strict=True)]
    assert timing.times["a"].seconds == [0.01, 0.01] and timing.times["b"].number == 4
    assert timing.times["b"].as_json()["median_ms"] == 20 and timing.rounds == 2


def test_rounds_of_a_busy_machine_are_repeated(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0.0, 0.5, 0.0, 0.01, 0.0, 0.9, 0.0, 0.02])

    class Shares:
        def __init__(self, processes: Any) -> None:
            pass

        def share(self) -> float:
            return next(shares)

    monkeypatch.setattr(contenders, "Elsewhere", Shares)
    worker = Worker("a")
    times = iter([3.0, 1.0, 4.0, 2.0])
    monkeypatch.setattr(
        worker, "ask", lambda what, **_: next(times) if what == "run" else 1.0
    )
    timing = timed({"a": worker}, Plan(rounds=2, repeats=4))  # type: ignore[dict-item]
    assert sorted(timing.times["a"].seconds) == [1.0, 2.0]
    assert timing.rounds == 4 and timing.elsewhere == pytest.approx(0.015)


def test_a_row_has_an_end(asked: list[tuple[str, str]]) -> None:
    timing = timed({"a": Worker("a")}, Plan(rounds=50, least=3, seconds=0.0))  # type: ignore[dict-item]
    assert timing.rounds == len(timing.times["a"].seconds) == 3


def test_work_elsewhere_is_seen() -> None:
    from benchmarks.cpu_load import Elsewhere

    meter = Elsewhere([])
    other = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    try:
        time.sleep(0.5)
    finally:
        other.kill()
        other.wait()
    share = meter.share()
    assert share is not None and 0.1 < share <= 1


# -- memory ----------------------------------------------------------------------------------------
def test_the_peak_of_a_call_is_measured() -> None:
    """Of the first calls apart: they may compile."""
    sizes = [80 * 2**20, 40 * 2**20, 40 * 2**20]
    left = list(sizes)

    def call() -> None:
        bytearray(left.pop(0))  # past NumPy's allocator, which may have some at hand

    server = Server()
    server.case = Case(call, dict, "")
    found = server.memory(1, 2)
    for peak, size in (("first_peak", sizes[0]), ("peak", sizes[1])):  # counts are in batches
        assert 0.95 * size < found[peak] - found["before"] < 1.5 * size
    server.case = Case(lambda: None, dict, "")
    found = server.memory(1, 1)
    assert found["peak"] - found["before"] < sizes[1] / 4


# -- whole runs ------------------------------------------------------------------------------------
def test_a_small_run_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "result.json"
    arguments = [
        "--against", "numpy", "--suite", "steps,ops,memory", "--rows", "mlp-16,cnn-32,layer-norm",
        "--quick", "--tiny", "--threads", "1", "--save", str(path), "--plots", str(tmp_path),
    ]  # fmt: skip
    assert cpu.main(arguments) == 0
    output = capsys.readouterr().out
    content = json.loads(path.read_text())
    rows = content["rows"]
    assert [(row["name"], row["suite"]) for row in rows] == [
        ("mlp-16", "steps"), ("cnn-32", "steps"), ("layer-norm", "ops"), ("mlp-16", "memory"),
        ("cnn-32", "memory"),
    ]  # fmt: skip
    for row in rows[:3]:
        mine = row["contenders"][OURS]
        assert 0 < mine["low_ms"] <= mine["median_ms"] <= mine["high_ms"] and mine["rounds"] == 3
    assert rows[0]["contenders"]["numpy"]["compared"]["arrays"] == 12
    assert rows[0]["ratios"]["numpy"] > 0 and rows[1]["ratios"] == {}
    assert rows[1]["contenders"]["numpy"]["left_out"] == "only perceptrons are written by hand"
    assert rows[3]["contenders"]["numpy"]["above_bytes"] >= 0
    assert rows[3]["contenders"]["numpy"]["first_bytes"] >= 0
    assert content["threads"] == 1 and content["quick"] and not content["whole"]
    assert content["versions"]["numpy"] == {"numpy": np.__version__}
    assert content["machine"]["tensorflowlite"] == tfl.__version__ and content["notes"] == []
    assert content["rates"]["matmul"] > 1e8 and content["settings"]["rounds"] == 3
    assert "| layer norm 4096×1024 (tiny) |" in output and "share of the floor" in output
    assert (tmp_path / "result-ratios.png").read_bytes().startswith(b"\x89PNG")


def test_ours_under_jit(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    arguments = [
        "--jit", "--against", "eager", "--suite", "steps,ops,memory", "--rows", "mlp-16,layer-norm",
        "--quick", "--tiny", "--threads", "1", "--save", str(path),
    ]  # fmt: skip
    assert cpu.main(arguments) == 0
    content = json.loads(path.read_text())
    suites = [row["suite"] for row in content["rows"]]
    assert content["jit"] and suites == ["steps", "ops", "memory"]
    for row in content["rows"][:2]:
        assert row["ratios"]["eager"] > 0 and row["contenders"]["eager"]["compared"]["arrays"] > 0
    assert not cpu_results.is_cpu_result({**content, "whole": True, "quick": False})


def test_a_run_that_is_ended_leaves_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = iter([row.name for row in ROWS.values() if row.suite == "steps"])
    path = tmp_path / "part.json"

    def stopped(bench: Bench, row: Row) -> dict[str, Any]:
        if next(rows) == "mlp-256":
            raise KeyboardInterrupt
        return {"name": row.name, "suite": "steps", "status": "measured"}

    monkeypatch.setattr(cpu, "take", stopped)
    with pytest.raises(KeyboardInterrupt):
        cpu.main(["--against", "", "--suite", "steps", "--tiny", "--save", str(path)])
    content = json.loads(path.read_text())
    assert [row["name"] for row in content["rows"]] == ["mlp-16", "mlp-64"]
    assert content["whole"] is False


def test_a_small_run_of_growth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import cpu_scaling

    few = {"depth": cpu_scaling.rows(tiny=True)["depth"][:1]}
    monkeypatch.setattr(cpu_scaling, "rows", lambda tiny: few)
    monkeypatch.setattr(cpu_scaling, "thread_rows", lambda: [ROWS["mlp-16"]])
    path = tmp_path / "result.json"
    arguments = ["--against", "numpy", "--suite", "scaling", "--quick", "--tiny"]
    assert cpu.main([*arguments, "--save", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    lengths = [(row["axis"], row["length"]) for row in rows]
    cores = len(contenders.usable_cores())
    threads = [("threads", count) for count in sorted({1, cores})]
    assert lengths == [("depth", 2), *threads]
    assert all(row["contenders"].keys() == {OURS} for row in rows)  # NumPy isn't asked there


def test_the_overhead_program_runs_in_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "start.py"
    script.write_text(
        "import json, os, sys\n"
        "assert sys.argv[1:3] == ['overhead', '--save'] and os.environ['OMP_NUM_THREADS'] == '1'\n"
        "json.dump({'operations': {'exp(x)': 1}, 'machine': {}}, open(sys.argv[3], 'w'))\n"
        "print('told')\n"
    )
    monkeypatch.setattr(cpu_suites, "START", script)
    said: list[str] = []
    assert cpu_suites.overhead(Bench([], 1, say=said.append)) == {"operations": {"exp(x)": 1}}
    assert said == ["told"]
    script.write_text("raise SystemExit('it broke')")
    with pytest.raises(Failed, match="overhead: it broke"):
        cpu_suites.overhead(Bench([], 1, say=said.append))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--device", "tpu"], '--device: must be "cpu" or "cuda", got \'tpu\''),
        (["--against", "torch,cupy"], "--against: must be of torch, torch-compile, jax, numpy, "),
        (["--suite", "step"], "ops, steps, overhead, memory, scaling, got step"),
        (["--suite", ","], "--suite: must name some of ops"),
        (["--rows", "mlp-16,other"], "got other"),
        (["--rows", ","], "--rows: must name rows among mlp-16"),
        (["--threads", "0"], "--threads: must be from 1 to "),
        (["--threads", "100000"], "the usable cores; got 100000"),
        (["--python", "jax=/nowhere"], "--python: must be NAME=FILE"),
        (["--python", "/usr/bin/python3"], "--python: must be NAME=FILE"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cpu.main(arguments)
    assert text in " ".join(capsys.readouterr().err.split())


def test_make_bench_runs_it() -> None:
    done = subprocess.run(["make", "-n", "bench"], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "-m benchmarks --device cpu --against torch,torch-compile,jax,numpy" in done.stdout


def test_rows_in_their_smallest_size_say_so() -> None:
    assert isinstance(TINY["gpt-256"], Row) and TINY["gpt-256"].title.endswith("(tiny)")
    assert TINY["gpt-256"].operations < ROWS["gpt-256"].operations / 1000
