"""What a profile shows: tables, traces, ranges of a GPU; and what it says to bad input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.debug import profiling
from tensorflowlite.debug.profile_table import duration
from tensorflowlite.errors import ArgumentError, StateError
from tensorflowlite.io import WriteError

from . import fake_cupy
from .profiles import EXP, batch, check_sums, network, of_kind, profiled_step, step_of

CHECKOUT = Path(__file__).resolve().parents[1]


# -- what it shows ---------------------------------------------------------------------------------
def test_the_table() -> None:
    prof = profiled_step()
    text = prof.table(by="operation", sort="total", limit=3)
    lines = text.splitlines()
    assert lines[0].split()[0] == "operation" and set(lines[1]) == {"-"}
    assert lines[2].startswith("(outside)") and "100.0 %" in lines[2]
    assert re.match(r"\(\d+ more\)", lines[5]) and lines[7].startswith("all ")
    ends = {len(line) for line in lines[2:5]}
    assert len(ends) == 1  # columns are aligned
    assert " events; recording takes " in lines[-1] and prof.overhead > 0
    assert str(prof) == prof.table("module")
    assert repr(prof).startswith("<profile: ")
    names = [line.split("  ")[0] for line in prof.table("module", "name", None).splitlines()]
    listed = names[2 : names.index("all") - 1]
    assert listed == sorted(listed) and "2.first" in listed
    calls = [int(line.split()[-1]) for line in prof.table(sort="calls").splitlines()[2:8]]
    assert calls == sorted(calls, reverse=True)
    assert "return tfl.exp(self.second(hidden))" in prof.table(by="line", limit=None)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"), (999, "999 ns"), (1000, "1.00 us"), (9_996, "10.0 us"), (99_960, "100 us"),
        (999_600, "1.00 ms"), (1_234_000, "1.23 ms"), (2_500_000_000, "2.50 s "),
    ],
)  # fmt: skip
def test_durations(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


def test_bad_input(tmp_path: Path) -> None:
    prof = profiled_step(1)
    with pytest.raises(ArgumentError, match=r"by must be one of 'module', 'operation', .* got"):
        prof.table(by="layer")
    with pytest.raises(ArgumentError, match=r"sort must be one of 'self', 'total', .*got 'time'"):
        prof.table(sort="time")
    for limit in (0, -1, 2.5, True, "all"):
        with pytest.raises(ArgumentError, match="limit must be an integer of at least 1 or None"):
            prof.table(limit=limit)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="trace must be the path of a file, got function"):
        tfl.profile(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="path must be the path of a file, got int"):
        prof.export_chrome_trace(3)  # type: ignore[arg-type]
    new = tfl.profile()
    assert str(new) == "profile: nothing is recorded yet" and repr(new)[0] == "<"
    with tfl.profile() as empty:
        pass
    assert str(empty).splitlines()[-1].startswith("1 event; ")
    with pytest.raises(StateError, match=r"profile\.table: .* got one that was never on"):
        new.table()
    with pytest.raises(StateError, match=r"profile\.step: the profile must be on"):
        new.step()
    with new:
        assert str(new).startswith("profile: on, with ")
        for look in (lambda: new.events, lambda: new.total, lambda: new.table()):
            with pytest.raises(StateError, match="must have ended, got one that is on"):
                look()
        with pytest.raises(StateError, match="got one that is on"):
            new.export_chrome_trace(tmp_path / "trace.json")
    with pytest.raises(StateError, match=r"profile\.step: the profile must be on"):
        new.step()


# -- traces ----------------------------------------------------------------------------------------
def check_trace(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Hold a trace to Chrome's format."""
    assert set(content) == {"traceEvents", "displayTimeUnit", "otherData"}
    found = content["traceEvents"]
    named = {one["tid"] for one in found if one["ph"] == "M" and one["name"] == "thread_name"}
    slices: dict[int, list[tuple[float, float]]] = {}
    starts, ends = {}, {}
    for one in found:
        assert isinstance(one["name"], str) and isinstance(one["pid"], int)
        assert isinstance(one["tid"], int)
        if one["ph"] == "M":
            assert isinstance(one["args"]["name"], str)
            continue
        assert one["tid"] in named and one["ts"] >= 0
        if one["ph"] == "X":
            assert one["dur"] >= 0 and isinstance(one["args"], dict)
            slices.setdefault(one["tid"], []).append((one["ts"], one["ts"] + one["dur"]))
        else:
            assert one["ph"] in "sf" and one["cat"] == one["name"] == "gradient"
            (starts if one["ph"] == "s" else ends)[one["id"]] = one
            assert one["ph"] == "s" or one["bp"] == "e"
    assert starts.keys() == ends.keys()
    for key, one in starts.items():
        assert one["ts"] < ends[key]["ts"]
        for end in (one, ends[key]):  # an arrow needs a slice that it begins and ends in
            assert any(low <= end["ts"] <= high for low, high in slices[end["tid"]])
    for of_row in slices.values():  # one lies in another or beside it
        open_ones: list[float] = []
        for low, high in sorted(of_row, key=lambda one: (one[0], -one[1])):
            while open_ones and open_ones[-1] <= low + 1e-6:
                open_ones.pop()
            assert not open_ones or high <= open_ones[-1] + 1e-6
            open_ones.append(high)
    return [one for one in found if one["ph"] == "X"]


def test_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    model = network()
    step = step_of(model, optim.SGD(model.parameters(), lr=0.1))
    with tfl.profile(trace=path) as prof:
        for _ in range(3):
            step(*batch())
            prof.step()
    content = json.loads(path.read_bytes())
    slices = check_trace(content)
    assert len(slices) == len(prof.events) + 4
    (first, *_) = [one for one in slices if one["name"] == "exp" and one["cat"] == "operation"]
    assert first["args"]["module"] == "2" and first["args"]["shapes"] == ["float32 (4, 3)"]
    assert first["args"]["line"].endswith(f"profiles.py:{EXP}, in forward")
    flows = [one for one in content["traceEvents"] if one["ph"] == "s"]
    assert len(flows) == len(of_kind(prof, "gradient"))
    iterations = [one["name"] for one in slices if one["cat"] == "iteration"]
    assert iterations == [f"iteration {i}" for i in range(4)]
    assert [one.name for one in tmp_path.iterdir()] == ["trace.json"]
    assert "events; recording takes " in content["otherData"]["notes"][0]


def test_names_of_any_kind(tmp_path: Path) -> None:
    name = '"</script><b>\n\u2028é\\'
    Odd = type(name, (nn.Module,), {"forward": lambda self, x: tfl.exp(x)})
    path = tmp_path / "trace.json"
    with tfl.profile(trace=str(path)) as prof:
        Odd()(tfl.ones(2))
    slices = check_trace(json.loads(path.read_text()))
    assert [one["name"] for one in slices if one["cat"] == "module"] == [name]
    assert '"</script><b>??é\\' in prof.table() and len(prof.table().splitlines()) == 7


def test_thousands_of_events(tmp_path: Path) -> None:
    x = tfl.ones(2)
    with tfl.profile(trace=tmp_path / "trace.json") as prof:
        for _ in range(5000):
            x = x * 1.0
    check_sums(prof)
    assert len(of_kind(prof, "operation", "multiply")) == 5000
    check_trace(json.loads((tmp_path / "trace.json").read_text()))


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    ran = []
    for path, hint in (
        (tmp_path / "none" / "trace.json", "there is no such folder"),
        (tmp_path, "that is a folder"),
        (f"{tmp_path}/", "that is a folder"),
    ):
        told = pytest.raises(WriteError, match=f"profile: trace must be .*: {hint}")
        with told, tfl.profile(trace=path):
            ran.append(path)
    assert ran == [] and profiling._on == []
    folder = tmp_path / "gone"
    folder.mkdir()
    prof = tfl.profile(trace=folder / "trace.json")
    with pytest.raises(WriteError, match="profile: the file must be written whole"), prof:
        tfl.exp(tfl.ones(2))
        folder.rmdir()
    assert len(of_kind(prof, "operation", "exp")) == 1  # it isn't lost
    prof.export_chrome_trace(tmp_path / "trace.json")
    check_trace(json.loads((tmp_path / "trace.json").read_text()))
    folder.mkdir()
    warned = pytest.warns(RuntimeWarning, match="written whole")
    with pytest.raises(ZeroDivisionError), warned, prof:
        folder.rmdir()
        raise ZeroDivisionError


def test_a_trace_of_what_raised(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with pytest.raises(ZeroDivisionError), tfl.profile(trace=path):
        tfl.exp(tfl.ones(2))
        raise ZeroDivisionError
    assert "exp" in {one["name"] for one in check_trace(json.loads(path.read_text()))}


# -- GPUs ------------------------------------------------------------------------------------------
@pytest.fixture
def cupy() -> Iterator[fake_cupy.FakeCupy]:
    with fake_cupy.installed() as found:
        yield found


def test_ranges_and_times_of_a_gpu(cupy: fake_cupy.FakeCupy, tmp_path: Path) -> None:
    x = tfl.ones((2, 3), device="cuda", requires_grad=True)
    path = tmp_path / "trace.json"
    with tfl.profile(trace=path) as prof:
        nn.Tanh()(x).sum().backward()
    ranges = [name for name in cupy.ranges if name != "end"]
    assert ranges == [one.name for one in prof.events[1:]]
    assert len(cupy.ranges) == 2 * len(ranges) and {"Tanh", "tanh", "backward"} <= set(ranges)
    assert all(one.device_duration == 1_500_000 for one in prof.events[1:])
    assert prof.events[0].device_duration is None
    header, _, *rows = prof.table(by="operation", limit=None).splitlines()
    assert header.split()[-1] == "GPU"
    told = {row.split("  ")[0]: row.split()[-2:] for row in rows}
    assert told["tanh"] == ["1.50", "ms"] and told["Tanh (module)"][-1] == "-"
    slices = json.loads(path.read_text())["traceEvents"]
    assert [one["name"] for one in slices if one.get("cat") == "GPU operation"] == ["tanh", "sum"]


def test_a_gpu_that_is_used_first_inside(cupy: fake_cupy.FakeCupy) -> None:
    from tensorflowlite.backend import base

    backend = base.by_device_type.pop("cuda")
    with tfl.profile() as prof:
        tfl.exp(tfl.ones(2))
        base.by_device_type["cuda"] = backend
        tfl.sin(tfl.ones(2, device="cuda"))
    timed = {one.name for one in prof.events if one.device_duration is not None}
    assert "sin" in timed and "exp" not in timed and "sin" in cupy.ranges


def test_nothing_is_recorded_on_a_stream_that_is_captured(
    cupy: fake_cupy.FakeCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_cupy.Stream, "is_capturing", lambda self: True, raising=False)
    made: list[Any] = []
    monkeypatch.setattr(fake_cupy.Event, "record", lambda self, stream=None: made.append(self))
    with tfl.profile() as prof:
        tfl.exp(tfl.ones(2, device="cuda"))
    assert not made and all(one.device_duration is None for one in prof.events)


def test_without_a_gpu_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, tensorflowlite as tfl\n"
        "assert not [m for m in sys.modules if m.startswith('tensorflowlite.debug')]\n"
        "assert 'profile' in dir(tfl) and 'profile' in dir(tfl.debug)\n"
        "assert 'tensorflowlite.debug.profiling' not in sys.modules\n"
        "with tfl.profile() as prof:\n    tfl.exp(tfl.ones(2))\n"
        "assert tfl.debug.profile is tfl.profile and 'exp' in prof.table('operation')\n"
        "for name in ('cuda.nvtx', 'cuda.timing'):\n"
        "    assert 'tensorflowlite.backend.' + name not in sys.modules, name\n"
        "assert 'cupy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=CHECKOUT)


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
def test_a_forked_child_records_nothing() -> None:
    program = (
        "import os, tensorflowlite as tfl\n"
        "with tfl.profile() as prof:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        count = str(prof)\n"
        "        tfl.exp(tfl.ones(2))\n"
        "        os._exit(0 if str(prof) == count else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    tfl.exp(tfl.ones(2))\n"
        "assert 'exp' in prof.table('operation')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=CHECKOUT)


def test_the_documented_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (CHECKOUT / "docs" / "profiling.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "example.py", "exec"), names)
    check_trace(json.loads((tmp_path / "trace.json").read_text()))
