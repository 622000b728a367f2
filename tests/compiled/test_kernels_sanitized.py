"""The kernels under AddressSanitizer: they stay inside their arrays and their shared memory.

Tests marked ``sanitized`` run again, in a process that was started with the sanitizer's library, on
kernels compiled with it. Every kernel that the host can run has such a test, whose shapes are
ragged: no multiples of a tile, a pack or a block.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tensorflowlite.backend.cuda import kernels

from .. import test_host_shim
from ..compilers import need_host
from ..host_kernels import SANITIZE_VARIABLE, sanitizer_variables

ROOT = Path(__file__).resolve().parents[2]
MARK = "mark.sanitized"
BACKEND_VARIABLE = "TENSORFLOWLITE_TEST_BACKEND"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """The environment of a sanitized process."""
    need_host()
    found = sanitizer_variables()
    if not found:
        pytest.skip("AddressSanitizer (libasan.so) isn't installed")
    # On the host, whatever backend the other tests run on.
    environment = {name: os.environ[name] for name in os.environ if name != BACKEND_VARIABLE}
    return environment | found | {SANITIZE_VARIABLE: str(tmp_path / "ran")}


PROGRAM = """
import sys
from pathlib import Path
from tensorflowlite.backend.cuda import kernels
from tests import test_host_shim
kernels.kernels_directory = lambda: Path(sys.argv[1])
assert test_host_shim.run_moments("ascending")
print("right")
"""

BUGS = {
    "reads one element past its input": ("x + blockIdx.x * columns", "x + 1 + blockIdx.x * columns",
                                         "READ of size 4"),
    "reads one element before its input": ("x + blockIdx.x * columns",
                                           "x - 1 + blockIdx.x * columns", "READ of size 4"),
    "writes one element past its output": ("mean[blockIdx.x]", "mean[blockIdx.x + 1]",
                                           "WRITE of size 4"),
    "reads past its dynamic shared memory": ("row[columns - 1 - i]", "row[columns - i]",
                                             "READ of size 4"),
    "writes past its dynamic shared memory": ("row[i] = tfl", "row[i + 1] = tfl",
                                              "WRITE of size 4"),
    "nothing": ("", "", ""),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_the_sanitizer_sees(bug: str, variables: dict[str, str], tmp_path: Path) -> None:
    old, new, report = BUGS[bug]
    text = test_host_shim.MOMENTS
    assert not old or text.count(old) == 1
    (tmp_path / "test.cu").write_text(text.replace(old, new) if old else text)
    (tmp_path / "include").symlink_to(ROOT / "kernels" / "include")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    if not report:
        assert done.stdout == "right\n", done.stderr
        assert (tmp_path / "ran").read_text() == "moments\n"
    else:
        assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr, done.stderr
        assert report in done.stderr and "test.cu:" in done.stderr


def test_kernels_stay_inside_their_arrays(variables: dict[str, str], tmp_path: Path) -> None:
    tests = [str(p) for p in sorted((ROOT / "tests").glob("test_*.py")) if MARK in p.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "sanitized"]
    done = subprocess.run(
        [*command, *tests], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    ran = set((tmp_path / "ran").read_text().split())
    files = {path.name for path in (ROOT / "kernels").glob("*.cu")} - set(kernels.ONLY)
    on_host = {entry for file in files for entry in kernels.entries_of(file)}
    assert on_host <= ran, f"mark a test with ragged shapes as sanitized, of: {on_host - ran}"
