"""The runtime on a GPU: what the recorded CuPy stands for in the other tests, on the real one."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.backend.cuda.graph_driver import CupyGraphs
from tensorflowlite.data import DataLoader
from tensorflowlite.errors import DeviceError, OutOfMemoryError
from tensorflowlite.nn import functional as F

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


class Launches:
    """Counts the graphs that are recorded and launched on the device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recorded = self.launched = 0
        record, launch = CupyGraphs.record, CupyGraphs.launch

        def counted_record(graphs: CupyGraphs, pool: Any) -> Any:
            self.recorded += 1
            return record(graphs, pool)

        def counted_launch(graphs: CupyGraphs, graph: Any) -> None:
            self.launched += 1
            launch(graphs, graph)

        monkeypatch.setattr(CupyGraphs, "record", counted_record)
        monkeypatch.setattr(CupyGraphs, "launch", counted_launch)


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Launches:
    return Launches(monkeypatch)


def trained(jit: Any, optimizer: Any, steps: int, dropout: float = 0.0) -> list[Any]:
    """Return the losses of training, and then parameters and gradients."""
    tfl.manual_seed(5)
    rng = np.random.default_rng(0)
    layers = [nn.Linear(784, 512), nn.ReLU(), nn.Dropout(dropout), nn.Linear(512, 10)]
    model = nn.Sequential(*layers).to("cuda")
    opt = optimizer(model.parameters())

    @jit
    def step(x: Any, target: Any) -> Any:
        opt.zero_grad()
        loss = F.cross_entropy(model(x), target)
        loss.backward()
        opt.step()
        return loss

    losses = []
    for _ in range(steps):
        x = tfl.tensor(rng.normal(size=(512, 784)).astype(np.float32)).to("cuda")
        target = tfl.tensor(rng.integers(0, 10, 512)).to("cuda")
        losses.append(step(x, target))
    kept = [*losses, *model.parameters(), *[p.grad for p in model.parameters()]]
    return [one.to("cpu").detach().numpy() for one in kept]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("optimizer", [
    lambda p: optim.AdamW(p, lr=1e-3), lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
], ids=["AdamW", "SGD"])  # fmt: skip
def test_a_training_step_is_one_graph(
    optimizer: Any, dropout: float, launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = trained(tfl.jit, optimizer, 20, dropout)
    # As it is, recorded twice; then as it is, aside, and as a graph.
    assert (launches.recorded, launches.launched) == (1, 15)
    monkeypatch.setenv("TENSORFLOWLITE_CUDA_GRAPHS", "0")
    one_by_one = trained(tfl.jit, optimizer, 20, dropout)
    assert launches.launched == 15
    assert [x.tobytes() for x in found] == [x.tobytes() for x in one_by_one]
    plain = trained(lambda function: function, optimizer, 20, dropout)
    for ours, theirs in zip(found[:20], plain[:20], strict=True):  # products may be others
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_what_a_stream_can_t_record_runs_between_graphs(launches: Launches) -> None:
    def function(x: Any) -> Any:
        y = tfl.tanh(x * 2) + 1
        order = tfl.sort(y, -1)
        z = tfl.linalg.inv(y @ tfl.mT(y) + 10 * tfl.eye(4, device="cuda"))
        return tfl.sin(order) * 2 + 1, z * 2 + 1

    step = tfl.jit(function)
    for i in range(12):
        x = tfl.tensor(np.random.default_rng(i).normal(size=(4, 8)).astype(np.float32)).to("cuda")
        for ours, theirs in zip(step(x), function(x), strict=True):
            np.testing.assert_allclose(ours.to("cpu").numpy(), theirs.to("cpu").numpy(), 1e-5, 1e-6)
    assert launches.launched > 0
    assert "a CUDA graph" in step.explain() and "as they are" in step.explain()


def test_a_copy_from_the_host_is_seen(launches: Launches) -> None:
    """CuPy takes the addresses of many arrays to the device: a graph would keep stale ones."""
    step = tfl.jit(lambda x: tfl.concat([tfl.tanh(x * i) + 1 for i in range(12)]) * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(12):
            x = tfl.full((5, 3), float(i), device="cuda")
            rows = [np.full((5, 3), 2 * np.tanh(float(i) * k) + 2) for k in range(12)]
            np.testing.assert_allclose(step(x).to("cpu").numpy(), np.concatenate(rows), rtol=1e-5)


def test_graphs_on_two_streams_and_after_the_cache_is_emptied(launches: Launches) -> None:
    step = tfl.jit(lambda x: tfl.tanh(x * 2) + tfl.sin(x) * 3)
    streams = [tfl.cuda.Stream(), tfl.cuda.Stream()]
    x = tfl.ones((1000, 1000), device="cuda")
    tfl.cuda.current_stream().synchronize()
    found = []
    for i in range(16):
        with streams[i % 2]:
            found.append((i, step(x * i)))
        tfl.cuda.empty_cache()
    for stream in streams:
        stream.synchronize()
    for i, y in found:
        assert abs(float(y[0, 0]) - (np.tanh(2.0 * i) + 3 * np.sin(i))) < 1e-4
    step.cache_clear()  # while nothing is known of what still runs
    assert launches.launched == 11


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
