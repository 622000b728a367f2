"""The runtime on a GPU: what the recorded CuPy stands for in the other tests, on the real one."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.data import DataLoader
from tensorflowlite.errors import DeviceError, OutOfMemoryError

pytestmark = pytest.mark.skipif(not tfl.cuda.is_available(), reason=tfl.cuda.why_not())


def test_the_peak() -> None:
    x = tfl.ones(1 << 20, device="cuda")
    tfl.cuda.reset_peak_memory_stats()
    used = tfl.cuda.memory_allocated()
    assert used >= x.nbytes and tfl.cuda.max_memory_allocated() == used
    y = x + x
    del y
    assert tfl.cuda.memory_allocated() == used
    assert tfl.cuda.max_memory_allocated() == used + x.nbytes


def test_events_and_streams() -> None:
    start, end = tfl.cuda.Event(enable_timing=True), tfl.cuda.Event(enable_timing=True)
    side = tfl.cuda.Stream()
    with tfl.cuda.stream(side), tfl.cuda.nvtx.range("square"):
        start.record()
        x = tfl.ones((500, 500), device="cuda")
        y = x @ x
        end.record()
        assert tfl.cuda.current_stream() == side
    tfl.cuda.current_stream().wait_stream(side)
    assert float(y[0, 0]) == 500
    end.synchronize()
    assert end.query() and start.elapsed_time(end) > 0


def test_every_batch_arrives() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 1000)).astype(np.float32)
    loader = DataLoader(x, batch_size=64, device="cuda")
    for _ in range(2):
        sums = [(batch * 2 - batch).sum(axis=1) for batch in loader]
        found = np.concatenate([one.to("cpu").numpy() for one in sums])
        np.testing.assert_allclose(found, x.sum(axis=1), rtol=1e-4, atol=1e-3)


def test_memory_that_runs_out() -> None:
    x = tfl.ones((300, 301), device="cuda")
    with pytest.raises(OutOfMemoryError) as caught:
        tfl.zeros(1 << 50, device="cuda")
    text = str(caught.value)
    assert text.startswith("zeros: cuda must have room for 4.00 PiB, got too little: ")
    assert " free on the device, " in text and str(x.shape) in text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system doesn't fork")
def test_a_fork() -> None:
    x = tfl.ones(2, device="cuda")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            x + x
        except DeviceError as error:
            code = 0 if "forked" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert float((x + x).sum()) == 4
