"""The stages of `make gpu`, without a GPU: what a sanitizer said, and what is called clean."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sanitize

CHECKOUT = Path(__file__).resolve().parents[1]

# -- compute-sanitizer -----------------------------------------------------------------------------
CLEAN = "slot PASS\n========= ERROR SUMMARY: 0 errors\n"
RACE_FREE = "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
RACE = "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)\n"
REFUSED = "========= Error: Device not supported. Please refer to the documentation\n"
CHECKS = {"rows": [{"slot": "gelu", "launches": 3, "status": "PASS"}]}
IDLE = {"rows": [{"slot": "gelu", "launches": 0, "status": "PASS"}]}


@pytest.mark.parametrize(
    ("status", "text", "checks", "expected"),
    [
        (0, CLEAN, CHECKS, "clean"),
        (0, RACE_FREE, CHECKS, "clean"),
        (99, RACE, CHECKS, "found"),
        (0, RACE, CHECKS, "found"),
        (99, "========= ERROR SUMMARY: 3 errors\n", CHECKS, "found"),
        (1, REFUSED, {}, "refused"),
        (99, REFUSED + "========= ERROR SUMMARY: 1 error\n", {}, "refused"),
        (0, REFUSED + CLEAN, IDLE, "refused"),
        (0, CLEAN, IDLE, "failed"),
        (0, CLEAN, {}, "failed"),
        (0, "no summary", CHECKS, "failed"),
        (1, CLEAN, {"rows": [{"slot": "gelu", "launches": 3, "status": "FAIL"}]}, "failed"),
        (None, CLEAN, CHECKS, "out of time"),
    ],
)
def test_what_a_sanitizer_said(status: Any, text: str, checks: Any, expected: str) -> None:
    assert sanitize.judge("memcheck", status, text, checks)["status"] == expected


def _sanitized(texts: dict[str, tuple[int, str]]) -> sanitize.Run:
    def run(command: Any, seconds: float) -> tuple[int | None, str]:
        tool = command[command.index("--tool") + 1]
        assert ("--no-poison" in command) == (tool == "initcheck")
        assert {"check-kernels", "--small", "--no-pool"} <= set(command) and 0 < seconds <= 400
        path = Path(command[command.index("--save") + 1])
        path.write_text(json.dumps(CHECKS if "SUMMARY" in texts[tool][1] else {}))
        return texts[tool]

    return run


@pytest.mark.parametrize(("racecheck", "status"), [((0, RACE_FREE), 0), ((99, RACE), 1),
                                                   ((1, REFUSED), 0)])  # fmt: skip
def test_all_tools_run_and_only_all_clean_is_clean(
    racecheck: tuple[int, str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    texts = dict.fromkeys(sanitize.TOOLS, (0, CLEAN)) | {"racecheck": racecheck}
    monkeypatch.setattr(sanitize, "find_sanitizer", lambda: "/opt/compute-sanitizer")
    monkeypatch.setattr(sanitize.take, "__defaults__", (_sanitized(texts), print, time.monotonic))
    path = tmp_path / "sanitize.json"
    assert sanitize.main(["--budget", "400", "--save", str(path)]) == status
    content = json.loads(path.read_text())
    assert [one["tool"] for one in content["rows"]] == list(sanitize.TOOLS)
    assert content["clean"] is (racecheck[1] == RACE_FREE)
    assert ("not clean" in capsys.readouterr().out) is not content["clean"]


def test_without_a_sanitizer_nothing_is_called_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sanitize, "find_sanitizer", lambda: None)
    assert sanitize.main(["--save", str(tmp_path / "x.json")]) == 0
    assert json.loads((tmp_path / "x.json").read_text())["clean"] is False
    for arguments in (["--tools", "memcheck,valgrind"], ["--budget", "-1"]):
        with pytest.raises(SystemExit, match="2"):
            sanitize.main(arguments)


def test_a_tool_out_of_time_is_stopped() -> None:
    status, text = sanitize.run_command(["sh", "-c", "echo begun; sleep 60; echo done"], 0.5)
    assert status is None and text == "begun\n"
    assert sanitize.run_command(["sh", "-c", "echo x; exit 3"], 60) == (3, "x\n")


# -- the stages ------------------------------------------------------------------------------------
def test_the_stages_of_make_gpu() -> None:
    done = subprocess.run(
        ["make", "-n", "gpu", "PYTHON=python3"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    parts = [
        "gpu-check gpu-sanitize gpu-bench", "TENSORFLOWLITE_TEST_BACKEND=cupy",
        "benchmarks check-kernels", "train digits --device cuda", "benchmarks sanitize",
        "benchmarks --device cuda --against torch,torch-compile,cupy,cublaslt",
    ]  # fmt: skip
    places = [done.stdout.index(part) for part in parts]
    assert places == sorted(places) and "--keep-going" in done.stdout
