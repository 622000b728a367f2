"""The benchmarks' own machinery, without a GPU: what is timed, what is recorded, what is told."""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as program
from benchmarks import (
    cpu_jit_results,
    cpu_results,
    cuda,
    cuda_results,
    measure_cuda,
    overhead,
    table,
)
from benchmarks.cuda_lab import OURS, Bar, Case, Check, Lab, LeftOut, Row, distance, open_lab, worst
from benchmarks.measure_cuda import CpuTimer, Measurement, Plan, TimeLimit, interleaved, limited
from tensorflowlite.backend import dtypes
from tensorflowlite.backend.cuda.gemm import Problem

CHECKOUT = Path(__file__).resolve().parents[1]


class FakeTimer:
    """Takes a call's time from the call itself, and notes who was called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def once(self, call: Callable[[], Any]) -> float:
        self.calls.append(call)
        return float(call())

    def many(self, call: Callable[[], Any], number: int) -> float:
        return sum(self.once(call) for _ in range(number)) / number

    def synchronize(self) -> None:
        pass


PLAN = Plan(iterations=4, warm_up=1, number=3, least=2, seconds=1e9)


@pytest.fixture
def lab() -> Lab:
    return Lab("cpu", np, FakeTimer(), PLAN, against=("torch", "cupy"))


def row(
    build: Callable[[Lab], Case], *bars: Bar, name: str = "a", ceiling: str | None = None
) -> Row:
    return Row(name, f"row {name}", build, bars, ceiling)


def right() -> list[Check]:
    return [Check("out", 1e-9, 1e-3)]


def case(ours: float = 2.0, checks: Callable[[], list[Check]] = right, **options: Any) -> Case:
    peers = options.pop("peers", {"torch": lambda: lambda: 3.0})
    return Case(lambda: ours, peers, checks, **options)


def read(path: Path) -> dict[str, Any]:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def record(tmp_path: Path) -> cuda_results.Record:
    head = {"kind": "cuda", "device": "cuda", "started": "2030-01-01T00:00:00+00:00", "machine": {}}
    return cuda_results.Record(tmp_path / "deeper" / "result.json", head)


# -- timing ----------------------------------------------------------------------------------------
def test_median_and_spread() -> None:
    measured = Measurement.of([float(x) for x in range(101, 0, -1)])
    assert (measured.median, measured.low, measured.high, measured.count) == (51, 11, 91, 101)
    one = Measurement.of([2.0])
    assert (one.median, one.low, one.high) == (2, 2, 2)


def test_contenders_take_turns() -> None:
    timer = FakeTimer()
    calls = {"a": lambda: 1.0, "b": lambda: 2.0}
    times, failed = interleaved(timer, calls, PLAN)
    assert timer.calls == [calls["a"], calls["b"]] * 5  # a warm-up and four rounds
    assert failed == {} and times["a"].median == 1 and times["b"].count == 4


def test_runs_of_calls_where_the_host_counts() -> None:
    timer = FakeTimer()
    times, _ = interleaved(timer, {"a": lambda: 1.0}, PLAN, hosted=True)
    assert len(timer.calls) == 3 * (1 + 2) and times["a"].count == 2


def test_one_that_raises_is_left_out_of_later_rounds() -> None:
    answers = iter([1.0, 1.0])
    timer = FakeTimer()
    times, failed = interleaved(timer, {"a": lambda: next(answers), "b": lambda: 2.0}, PLAN)
    assert failed == {"a": "StopIteration"} and list(times) == ["b"] and times["b"].count == 4
    assert len(timer.calls) == 3 + 5


def test_a_row_out_of_time_takes_the_least_rounds() -> None:
    ticks = itertools.count()
    plan = Plan(iterations=50, warm_up=0, least=3, seconds=0.5)
    times, _ = interleaved(FakeTimer(), {"a": lambda: 1.0}, plan, clock=lambda: next(ticks))
    assert times["a"].count == 3


def test_the_cpu_timer_measures_calls() -> None:
    timer = CpuTimer()
    assert 5 <= timer.once(lambda: time.sleep(0.005)) < 500
    assert 5 <= timer.many(lambda: time.sleep(0.005), 2) < 500


def test_what_takes_too_long_is_stopped() -> None:
    with pytest.raises(TimeLimit, match=r"0\.02 s"), limited(0.02):
        time.sleep(5)
    with limited(math.inf):
        pass
    with limited(60):
        time.sleep(0.03)  # the first timer is off


def test_the_cuda_timer_flushes_before_it_times() -> None:
    """On a CuPy that notes what is asked of it: the flush comes before the start event."""
    told: list[str] = []
    size = 4 * 60 * 2**20

    class Event:
        made = 0

        def __init__(self) -> None:
            self.name = f"event {Event.made}"
            Event.made += 1

        def record(self) -> None:
            told.append(f"{self.name} recorded")

        def synchronize(self) -> None:
            told.append(f"{self.name} awaited")

    def memset_async(value: int, nbytes: int) -> None:
        assert nbytes == size
        told.append("flushed")

    def empty(count: int, dtype: Any) -> Any:
        assert count == size
        return SimpleNamespace(data=SimpleNamespace(memset_async=memset_async), nbytes=size)

    runtime = SimpleNamespace(
        getDevice=lambda: 0, getDeviceProperties=lambda device: {"l2CacheSize": 60 * 2**20}
    )
    events = SimpleNamespace(
        Event=Event, runtime=runtime, get_elapsed_time=lambda start, end: 0.25
    )
    cupy = SimpleNamespace(uint8="uint8", cuda=events, empty=empty)
    timer = measure_cuda.CudaTimer(cupy)
    assert timer.once(lambda: told.append("called")) == 0.25
    assert told.count("flushed") > 1  # long enough for the host to hand over the call
    rest = [one for one in told if one != "flushed"]
    assert told[-len(rest) :] == rest
    assert rest == ["event 0 recorded", "called", "event 1 recorded", "event 1 awaited"]


# -- one row ---------------------------------------------------------------------------------------
def test_a_row_holds_times_rates_and_verdicts(lab: Lab) -> None:
    lab.ceilings["copy"] = 4e9
    bars = Bar("torch", 1.2, 1.6), Bar("copy", 0.9), Bar("cublaslt", 0.9), Bar("operations", 1e9)
    taken = cuda.take(lab, row(lambda lab: case(bytes=8e6, operations=4e6), *bars))
    assert taken["status"] == "measured" and taken["checks"][0]["error"] == 1e-9
    ours = taken["contenders"][OURS]
    assert ours["median_ms"] == 2 and ours["iterations"] == 4 and ours["gb_per_s"] == 4
    keys = ("found", "met", "stretch_met")
    met = {bar["of"]: tuple(bar.get(key) for key in keys) for bar in taken["bars"]}
    assert met == {
        "torch": (1.5, True, False), "copy": (1.0, True, None), "cublaslt": (None, None, None),
        "operations": (2e9, True, None),
    }  # fmt: skip
    slower = cuda.take(lab, row(lambda lab: case(4.0), Bar("torch", 1.2)))
    assert slower["bars"][0]["met"] is False and slower["bars"][0]["found"] == 0.75


def test_a_row_tells_which_ways_its_products_went(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of this row, though the row before had the same."""
    problem = Problem("product", 4, 8, 3, False, True, 3, 3, dtypes.bfloat16, (16, 16, 256))
    chosen: dict[Problem, str] = {}
    gemm = SimpleNamespace(chosen=lambda: chosen, forget=chosen.clear)
    monkeypatch.setattr(lab, "k", SimpleNamespace(matmul=SimpleNamespace(gemm=gemm)))
    for name in ("tiles 64x64", "hopper 256"):

        def check(name: str = name) -> list[Check]:
            chosen[problem] = name
            return right()

        taken = cuda.take(lab, row(lambda lab, check=check: case(checks=check)))  # type: ignore[misc]
        assert taken["products"] == [f"product nt 4x8x3 bfloat16: {name}"]
        lab.clear()
        assert "products" not in cuda.take(lab, row(lambda lab: case()))


@pytest.mark.parametrize("error", [1e-2, math.nan, math.inf])
def test_a_wrong_result_is_not_timed(lab: Lab, error: float) -> None:
    wrong = case(checks=lambda: [*right(), Check("db", error, 1e-3)])
    taken = cuda.take(lab, row(lambda lab: wrong, Bar("torch", 1.0)))
    assert taken["status"] == "wrong" and "db" in taken["error"]
    assert lab.timer.calls == [] and taken["contenders"] == {}  # type: ignore[attr-defined]
    json.dumps(taken, allow_nan=False)


def test_errors_of_a_row_are_recorded(lab: Lab) -> None:
    def broken(lab: Lab) -> Case:
        raise MemoryError("no room")

    def left_out(lab: Lab) -> Case:
        raise LeftOut("kernels are launched on GPUs")

    taken = cuda.take(lab, row(broken))
    assert taken["status"] == "error" and taken["error"] == "MemoryError: no room"
    assert "broken" in taken["traceback"]
    taken = cuda.take(lab, row(left_out))
    assert (taken["status"], taken["error"]) == ("left out", "kernels are launched on GPUs")

    def fails() -> float:
        raise ValueError("ours")

    taken = cuda.take(lab, row(lambda lab: Case(fails, {}, right)))
    assert taken["status"] == "error" and taken["error"] == "ValueError: ours"


def test_a_peer_that_fails_does_not_stop_the_others(lab: Lab) -> None:
    def makes_nothing() -> Any:
        raise RuntimeError("no such op")

    def missing() -> Any:
        raise LeftOut("it isn't installed")

    def wrong() -> Any:
        return (lambda: 1.0), lambda: [Check("product", 1.0, 1e-3)]

    lab.against = ("a", "b", "c", "d")
    peers = {"a": makes_nothing, "b": missing, "c": wrong, "d": lambda: lambda: 3.0,
             "unasked": makes_nothing}  # fmt: skip
    bars = tuple(Bar(name, 1.0) for name in "abcd")
    taken = cuda.take(lab, row(lambda lab: case(peers=peers), *bars))
    assert taken["status"] == "measured"
    told = taken["contenders"]
    assert set(told) == {OURS, "a", "b", "c", "d"}
    assert told["a"]["error"] == "RuntimeError: no such op"
    assert told["b"] == {"left_out": "it isn't installed"}
    assert "relative error 1" in told["c"]["error"] and "median_ms" not in told["c"]
    judged = {bar["of"]: bar.get("met", bar.get("why")) for bar in taken["bars"]}
    assert judged["a"] == "RuntimeError: no such op" and judged["b"] == "it isn't installed"
    assert judged["d"] is True


def test_a_ceiling_is_its_best_contender(lab: Lab) -> None:
    peers = {"x": lambda: lambda: 4.0, "y": lambda: lambda: 2.0}  # asked for or not
    copy = row(lambda lab: Case(None, peers, list, bytes=8e6), ceiling="copy")
    taken = cuda.take(lab, copy)
    assert taken["status"] == "measured" and lab.ceilings == {"copy": 4e9}


def test_errors_are_relative_and_see_nan_and_shapes() -> None:
    x = np.array([1.0, 2.0, 4.0])
    assert worst(np.array([1.0, 2.0, 4.04]), x) == pytest.approx(0.01)
    assert distance(x * 1.01, x) == pytest.approx(0.01)
    hole = np.array([1.0, np.nan, 4.0])
    assert math.isnan(worst(hole, x)) and math.isnan(distance(hole, x))
    assert not Check("x", worst(hole, x), 1e9).right
    assert worst(x[:2], x) == distance(x[:2], x) == math.inf


def test_memory_is_poisoned_and_data_are_random(lab: Lab) -> None:
    x, y = lab.normal((64,)), lab.normal((64,))
    assert x.dtype.name == "bfloat16" and (x != y).any() and x.astype("f8").std() > 0.5
    seen: list[Any] = []

    class Space:
        @staticmethod
        def empty(shape: Any, dtype: Any) -> Any:
            seen.append(np.zeros(shape, dtype))
            return seen[-1]

    lab.xp = Space
    lab.poison(((3,), x.dtype), ((2, 2), np.dtype("f4")))
    assert all(np.isnan(block.astype("f8")).all() for block in seen)


# -- a run of rows ---------------------------------------------------------------------------------
def test_rows_are_written_as_they_are_taken(lab: Lab, record: cuda_results.Record) -> None:
    seen: list[list[str]] = []

    def looking(lab: Lab) -> Case:
        seen.append([one["name"] for one in read(record.path)["rows"]])
        return case()

    def stopped(lab: Lab) -> Case:
        raise KeyboardInterrupt

    rows = [row(looking, name="a"), row(looking, name="b"), row(stopped, name="c")]
    with pytest.raises(KeyboardInterrupt):
        cuda.run(lab, rows, record, math.inf, say=lambda text: None)
    assert seen == [[], ["a"]]
    content = read(record.path)
    assert [one["name"] for one in content["rows"]] == ["a", "b"]
    assert all("time" in one for one in content["rows"])
    assert [path.name for path in record.path.parent.iterdir()] == ["result.json"]


def test_a_broken_device_does_not_end_the_run(
    lab: Lab, record: cuda_results.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(lab: Lab) -> None:
        raise RuntimeError("illegal address")

    monkeypatch.setattr(Lab, "clear", broken)
    told: list[str] = []
    rows = [row(lambda lab: case(), name=name) for name in "ab"]
    cuda.run(lab, rows, record, math.inf, say=told.append)
    assert len(read(record.path)["rows"]) == 2 and "RuntimeError: illegal address" in told[1]


def test_rows_beyond_the_budget_are_recorded_as_not_taken(
    lab: Lab, record: cuda_results.Record
) -> None:
    ticks = itertools.count()  # the clock is read once at the start, and before each row
    rows = [row(lambda lab: case(), name=name) for name in "abc"]
    cuda.run(lab, rows, record, 2.5, say=lambda text: None, clock=lambda: next(ticks))
    statuses = [(one["name"], one["status"]) for one in read(record.path)["rows"]]
    assert statuses == [("a", "measured"), ("b", "measured"), ("c", "not taken")]


def test_a_failed_write_leaves_the_file_before_it(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    cuda_results.write(path, {"a": 1})
    with pytest.raises(ValueError):
        cuda_results.write(path, {"a": math.nan})
    with pytest.raises(TypeError):
        cuda_results.write(path, {"a": object()})
    assert read(path) == {"a": 1} and len(list(tmp_path.iterdir())) == 1


# -- the table and the README ----------------------------------------------------------------------
def result(started: str = "2030-01-01", device: str = "cuda") -> dict[str, Any]:
    def measured(median: float) -> dict[str, float]:
        return {"median_ms": median, "low_ms": median * 0.9, "high_ms": median * 1.1}

    rows = [
        {"name": "copy", "title": "copy", "status": "measured",
         "contenders": {"memcpy": measured(2.0)}},
        {"name": "a", "title": "product a|b", "status": "measured", "note": "smaller",
         "contenders": {OURS: measured(1.0), "torch": measured(1.5), "cublaslt": {"error": "no"}},
         "bars": [
             {"of": "torch", "least": 1.03, "stretch": 1.05, "found": 1.5, "met": True,
              "stretch_met": True},
             {"of": "copy", "least": 0.9, "stretch": None, "found": 0.7, "met": False},
             {"of": "cublaslt", "least": 0.9, "stretch": None, "found": None, "why": "no"},
         ]},
        {"name": "b", "title": "b", "status": "wrong", "error": "dZ: relative error 1",
         "contenders": {}},
        {"name": "launch", "title": "launch", "status": "measured",
         "contenders": {OURS: measured(0.004)}},
    ]  # fmt: skip
    gpu = {"name": "NVIDIA X1", "driver_version": "580.1"}
    machine = {"numpy": "2.4", "cupy": "14.2", "torch": None, "nvrtc": "13.0", "gpu": gpu}
    return {
        "kind": "cuda", "device": device, "started": started, "machine": machine, "rows": rows,
        "whole": True, "quick": False, "scale": 1.0,
        "ceilings": {"copy": 4.3e12, "matmul": 7.9e14},
    }  # fmt: skip


def test_the_table() -> None:
    lines = cuda_results.table(result()).splitlines()
    assert lines[0] == f"| | {OURS} | memcpy | torch | cublaslt | bar |"
    assert all(line.count("|") == 7 for line in lines)
    assert lines[3] == (
        "| product a/b (smaller) | 1 ms (0.9–1.1) | — | 1.5 ms (1.35–1.65) | — | 1.5 × torch: met, "
        "stretch too; 0.7 of copy: gap, wanted 0.9; × cublaslt: not judged, no |"
    )
    assert lines[4].endswith("| wrong: dZ: relative error 1 |")
    assert "| 4 µs (3.6–4.4) |" in lines[5]
    assert cuda_results.heading(result()) == (
        "NVIDIA X1, driver 580.1, NVRTC 13.0, numpy 2.4, cupy 14.2, 2030-01-01, copy 4.3 TB/s, "
        "bf16 matmul 790 TFLOP/s"
    )


def test_the_block_holds_the_newest_result_of_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "overhead.json").write_text(json.dumps({"machine": {}, "operations": {}}))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "cpu.json").write_text(json.dumps(result("2032-01-01", "cpu")))
    for number, less in enumerate(({"whole": False}, {"quick": True}, {"scale": 0.5})):
        path = tmp_path / f"less-{number}.json"
        path.write_text(json.dumps(result("2033-01-01") | less))
    assert cuda_results.block(tmp_path) == cuda_results.NOT_YET
    (tmp_path / "b-old.json").write_text(json.dumps(result("2030-01-01")))
    (tmp_path / "a-new.json").write_text(json.dumps(result("2031-01-01")))
    text = f"before\n{cuda_results.BEGIN}\nold\n{cuda_results.END}\nafter\n"
    found = cuda_results.with_block(text, tmp_path)
    assert found.startswith("before\n") and found.endswith("\nafter\n") and "old\n" not in found
    assert "benchmarks/results/a-new.json" in found and cuda_results.table(result()) in found
    assert cuda_results.with_block(found, tmp_path) == found


def test_no_result_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_results, "FOLDER", tmp_path)
    machine = {"gpu": {"name": "NVIDIA H200 (MIG 1g)"}}
    names = []
    for _ in range(3):
        path = cuda_results.default_path("", machine)
        path.write_text("{}")
        names.append(path.name)
    assert names[0][10:] == "-nvidia-h200-mig-1g.json"
    assert names[1:] == [f"{names[0][:-5]}-2.json", f"{names[0][:-5]}-3.json"]
    assert cuda_results.default_path("sanitize", machine).name.endswith("-1g-sanitize.json")
    assert cuda_results.default_path("", {}) == Path("runs/benchmarks-cuda-cpu.json")


@pytest.mark.parametrize(
    "text",
    ["", cuda_results.BEGIN, cuda_results.END + cuda_results.BEGIN,
     (cuda_results.BEGIN + cuda_results.END) * 2],
)  # fmt: skip
def test_a_document_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        cuda_results.with_block(text)


def test_the_readme_is_up_to_date() -> None:
    """`python -m benchmarks table --readme` writes it."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert cuda_results.with_block(text) == text


def test_the_table_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(result()))
    assert table.main([str(path)]) == 0
    assert cuda_results.table(result()) in capsys.readouterr().out
    path.write_text(json.dumps({"rows": []}))
    for arguments in ([str(path)], [str(tmp_path / "none.json")], [], ["--readme", str(path)]):
        with pytest.raises(SystemExit, match="2"):
            table.main(arguments)
    readme = tmp_path / "README.md"
    all_of = (cpu_results, cpu_jit_results, cuda_results)
    readme.write_text("\n".join(f"{of.BEGIN}\nold\n{of.END}" for of in all_of))
    monkeypatch.setattr(table, "README", readme)
    assert table.main(["--readme"]) == 0
    assert readme.read_text() == "\n".join(f"{of.BEGIN}\n{of.block()}\n{of.END}" for of in all_of)


# -- the programs ----------------------------------------------------------------------------------
def test_names_lead_to_programs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program.resolve(["overhead", "--check"]) == ("overhead", ["--check"])
    assert program.resolve(["check-kernels", "--small"]) == ("check_kernels", ["--small"])
    for device in (["--device", "cuda"], ["--quick", "--device=cuda:1"]):
        assert program.resolve(device) == ("cuda", device)
    for device in (["--device", "cpu"], ["--quick"], ["--suite", "steps"], ["--device"]):
        assert program.resolve(device) == ("cpu", device)
    assert program.resolve(["cuda", "--device", "cpu"]) == ("cuda", ["--device", "cpu"])
    for arguments in ([], ["measure"], ["nothing"]):
        assert program.main(arguments) == 2
    assert "overhead" in capsys.readouterr().out
    monkeypatch.setattr(overhead, "main", lambda arguments: [7, arguments])
    assert program.main(["overhead", "--save", "x"]) == [7, ["--save", "x"]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--against", "torch"], "--device"),
        (["--device", "cpu", "--against", "torch,jax"], "got jax"),
        (["--device", "cpu", "--rows", "gemm-nt-4096,other"], "--rows: must name rows among"),
        (["--device", "cpu", "--rows", ","], "--rows: must name rows among"),
        (["--device", "cpu", "--budget", "0"], "--budget: must be positive, got 0"),
        (["--device", "cpu", "--scale", "-1"], "--scale: must be positive, got -1"),
        (["--device", "cpu", "--compile-budget", "nan"], "--compile-budget: must be positive"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cuda.main(arguments)
    assert text in capsys.readouterr().err


def test_without_a_gpu_it_says_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "tensorflowlite.backend.cuda.devices.why_not", lambda: "no driver was found"
    )
    monkeypatch.setattr("benchmarks.cuda_lab.backend_for", _no_device)
    assert cuda.main(["--device", "cuda", "--save", str(tmp_path / "x.json")]) == 2
    assert "no driver was found" in capsys.readouterr().out
    assert not (tmp_path / "x.json").exists()


def _no_device(device: str) -> Any:
    from tensorflowlite.errors import DeviceError

    raise DeviceError("cuda: a usable NVIDIA GPU is needed, got none: no driver was found")


def test_the_ceilings_come_first() -> None:
    assert [one.name for one in cuda.chosen("adamw")] == ["copy", "matmul", "adamw"]
    names = [one.name for one in cuda.ROWS]
    assert names[:2] == ["copy", "matmul"] and len(set(names)) == len(names)
    contenders = {"copy", "matmul", "operations", "torch", "torch-compile", "cupy", "cublaslt"}
    assert all(bar.of in contenders for one in cuda.ROWS for bar in one.bars)


def test_every_row_runs_on_a_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Small, on NumPy and PyTorch where it is there; all results are right."""
    path = tmp_path / "cpu.json"
    arguments = ["cuda", "--device", "cpu", "--quick", "--against", "torch,cupy,cublaslt"]
    assert program.main([*arguments, "--save", str(path)]) == 0, capsys.readouterr().out
    content = read(path)
    statuses = {one["name"]: one["status"] for one in content["rows"]}
    assert list(statuses) == [one.name for one in cuda.ROWS]
    assert statuses.pop("launch") == "left out"
    assert set(statuses.values()) == {"measured"}
    assert set(content["ceilings"]) == {"copy", "matmul"} and content["scale"] < 1
    for one in content["rows"]:
        told = one["contenders"].get("cublaslt")
        assert told is None or told == {"left_out": "cuBLASLt is for GPUs"}
    assert str(path) in capsys.readouterr().out
    assert not cuda_results.is_cuda_result(content)


def test_without_pytorch_it_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "cpu.json"
    arguments = ["--device", "cpu", "--quick", "--against", "torch,torch-compile", "--rows"]
    assert cuda.main([*arguments, "chained-gelu", "--save", str(path)]) == 0
    assert "torch: PyTorch for this device isn't installed" in capsys.readouterr().out
    (taken,) = [one for one in read(path)["rows"] if one["name"] == "chained-gelu"]
    for name in ("torch", "torch-compile"):
        assert taken["contenders"][name] == {"left_out": "PyTorch isn't installed"}


def test_a_wrong_kernel_makes_a_wrong_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bias gradient that misses one row of 64 is found, and not timed."""
    lab = open_lab("cpu", (), True, None, 1.0)
    true = lab.k.bias_activation_gradient

    def wrong(g: Any, saved: Any, activation: str, axis: int) -> Any:
        return true(g, saved, activation, axis)[0], true(g[1:], saved[1:], activation, axis)[1]

    (lone,) = [one for one in cuda.ROWS if one.name == "dact-db"]
    assert cuda.take(lab, lone)["status"] == "measured"
    monkeypatch.setattr(lab.k, "bias_activation_gradient", wrong)
    taken = cuda.take(lab, lone)
    assert taken["status"] == "wrong" and taken["error"].startswith("db: ")
    assert taken["contenders"] == {}
