"""A child that was forked after CUDA had started: no GPU, in one sentence, and the rest works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system doesn't fork")

SENTENCE = (
    "this process was forked from one that had started CUDA, which doesn't survive a fork; start "
    'processes by the spawn method: multiprocessing.get_context("spawn")'
)

# The parent has a driver, and what stands for CuPy; `child` runs in a fork.
SETTING = """
import os, sys, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks while threads run
import numpy as np
import tensorflowlite as tfl
from tensorflowlite.backend.cuda import probe as cuda_probe
from tests import fake_cupy, shadow
from tests.test_cuda_probe import FakeDriver

os.environ.pop("CUDA_VISIBLE_DEVICES", None)
cuda_probe._load = lambda: FakeDriver()
driver = cuda_probe.driver
shadow.ShadowArray.__module__, shadow.ShadowArray.__name__ = "cupy", "ndarray"

def forked(child):
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        try:
            child()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0

def told(call):
    try:
        print("nothing", call())
    except tfl.errors.DeviceError as error:
        print(error)
"""


def run(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SETTING + program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_use_of_the_gpu_says_so() -> None:
    lines = run("""
from contextlib import ExitStack
with ExitStack() as stack:
    cupy = stack.enter_context(fake_cupy.installed())
    cuda_probe._State.started = True
    x = tfl.ones(3, device="cuda", requires_grad=True)
    y = (x * 2).sum()
    loader = tfl.data.DataLoader(np.zeros(4), device="cuda")
    next(iter(loader))
    cuda_probe.driver = driver  # in the child the real one answers

    def child():
        for call in (
            lambda: x * 2, lambda: x + 1, lambda: x.sum(), lambda: x.device, lambda: y.backward(),
            lambda: x.detach().numpy(), lambda: x.detach().add_(1), lambda: tfl.matmul(x, x),
            lambda: tfl.zeros(3, device="cuda"), lambda: tfl.ones(2).to("cuda"),
            lambda: tfl.cuda.synchronize(), lambda: tfl.cuda.memory_allocated(),
            lambda: tfl.cuda.Event(), lambda: next(iter(loader)),
            lambda: tfl.randn(2, device="cuda"), lambda: tfl.stack([x, x]),
            lambda: loader._moves[1]._uploader.begin([np.zeros(2)]),
        ):
            told(call)
        print(tfl.cuda.is_available(), tfl.default_device(), tfl.cuda.why_not())

    forked(child)
    print((x * 2).array._array.tolist(), tfl.cuda.memory_allocated())
""")
    *refused, state, parent = lines
    assert len(refused) == 17
    for line in refused:
        assert line == f"cuda: a usable NVIDIA GPU is needed, got none: {SENTENCE}"
    assert state == f"False cpu {SENTENCE}"
    assert parent == "[2.0, 2.0, 2.0] 0"


def test_what_the_child_of_a_probe_can_do() -> None:
    """Asking the driver starts CUDA; before that, and where it doesn't start, nothing is lost."""
    lines = run("""
cuda_probe._load = lambda: None
print("no NVIDIA driver" in tfl.cuda.why_not())
forked(lambda: print("no NVIDIA driver" in tfl.cuda.why_not()))
for function in (cuda_probe.driver, cuda_probe.why_not):
    function.cache_clear()
cuda_probe._load = lambda: FakeDriver()
forked(lambda: print(tfl.cuda.device_count()))
assert tfl.cuda.device_count() == 1
model = tfl.nn.Sequential(tfl.nn.Linear(3, 4), tfl.nn.ReLU())
model(tfl.ones((2, 3)))
cuda_probe._load = lambda: 1 / 0  # nobody asks it in the child

def child():
    loader = tfl.data.DataLoader(np.ones((4, 3), np.float32), batch_size=2)
    for batch in loader:
        model(batch).sum().backward()
    print(len(loader), model[0].bias.grad.shape, tfl.default_device())

forked(child)
forked(lambda: forked(lambda: print(tfl.cuda.why_not())))  # a child's child
""")
    assert lines == ["True", "True", "1", "2 (4,) cpu", SENTENCE]


def test_workers_of_a_loader_never_ask_the_driver(tmp_path: Path) -> None:
    """They begin anew, so that CUDA in the loader's process is nothing to them."""
    (tmp_path / "script.py").write_text("""
import numpy as np
import tensorflowlite as tfl
from tensorflowlite.backend.cuda import probe as cuda_probe
from tests.test_cuda_probe import FakeDriver

class Asking:
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return np.array([cuda_probe._State.started, cuda_probe._State.forked])

if __name__ == "__main__":
    cuda_probe._load = lambda: FakeDriver()
    tfl.cuda.device_count()
    assert cuda_probe._State.started
    with tfl.data.DataLoader(Asking(), batch_size=2, num_workers=1) as loader:
        print([batch.tolist() for batch in loader])
""")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "[[[False, False], [False, False]]]\n", done.stderr
