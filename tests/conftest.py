"""What all tests share: hypothesis without randomness or deadlines, and what a machine lacks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

import tensorflowlite as tfl
from tensorflowlite.backend.native import extension as native
from tests.backends import backend as backend  # a fixture: a test runs on every backend

settings.register_profile("tensorflowlite", derandomize=True, deadline=None)
settings.load_profile("tensorflowlite")

# Suites of their own, whose modules need an extra: `parity` compares with PyTorch, `browser` opens
# the page of a story, `docs` looks at the built documentation.
SUITES = {"parity/*": "torch", "browser/*": "playwright", "docs/*": "nbclient"}
collect_ignore_glob = [
    suite for suite, needed in SUITES.items() if importlib.util.find_spec(needed) is None
]


@pytest.fixture(autouse=True)
def stories_without_gaps() -> Iterator[None]:
    """Holds that no story had something that it couldn't record: users see a note only."""
    yield
    recording = sys.modules.get("tensorflowlite.story.recording")
    if recording is not None:
        failures, recording.failures[:] = list(recording.failures), []
        if failures:
            raise failures[0]


def why_no_native_rows() -> str:
    """Why this machine can't build the extension (or was told not to use it); "" where it can."""
    if os.environ.get("TENSORFLOWLITE_NATIVE") == "0":
        return "TENSORFLOWLITE_NATIVE=0"
    if shutil.which("g++") is None:
        return "no C++ compiler"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "no Python headers"
    return ""


@pytest.fixture
def native_module() -> ModuleType:
    """The native extension. Where the machine can build it, its absence is a failure."""
    if native.module is None:
        if reason := why_no_native_rows():
            pytest.skip(reason)
        pytest.fail(f"the native extension isn't loaded: {native.why_not()}")
    return native.module


@pytest.fixture
def kernels_as_before() -> Iterator[None]:
    """Leaves the number of threads and the instruction set as they were."""
    threads, module = tfl.get_num_threads(), native.module
    instructions = None if module is None else module.instruction_set()
    yield
    tfl.set_num_threads(threads)
    if module is not None:
        module.use_instruction_set(instructions)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if native.module is not None:
        text = f"loaded ({native.module.instruction_set()})"
    else:
        reason = why_no_native_rows()
        text = f"not loaded, its rows are {'skipped' if reason else 'failed'}: {native.why_not()}"
    terminalreporter.write_line(f"native extension: {text}")
    ran = sum(
        report.when == "call" and report.nodeid.startswith("tests/parity/")
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
    )
    if "parity/*" in collect_ignore_glob:
        text = 'not run (pip install "tensorflowlite[parity]")'
    else:
        text = f"ran ({ran} tests)" if ran else "not selected"
    terminalreporter.write_line(f"parity with PyTorch: {text}")
