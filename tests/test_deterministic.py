"""`use_deterministic_algorithms`: every operation has the same bits again, on any threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend.cuda import gemm as cuda_gemm
from tensorflowlite.core import tape
from tensorflowlite.nn import functional as F

from . import device_ways
from . import op_properties as properties
from .backends import TestBackend, all_backends
from .fake_cublas import cache as cache  # fixtures
from .fake_cublas import fake as fake
from .op_table import Row
from .test_cuda_gemm import NOTHING, PROBLEM, staged
from .test_op_table import ROWS

pytestmark = pytest.mark.usefixtures("kernels_as_before")


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    tfl.use_deterministic_algorithms(True)
    yield
    tfl.use_deterministic_algorithms(False)


@pytest.fixture
def any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the shadow device add atomically as a GPU does: in another order each time."""
    rng, in_order = np.random.default_rng(0), device_ways._at

    def add_at(function: Any, array: Any, key: Any, value: Any) -> None:
        if function is not np.add or array.dtype.kind not in "fc":
            in_order(function, array, key, value)
            return
        places = np.arange(array.size).reshape(array.shape)[key]
        value = np.broadcast_to(value, places.shape).reshape(-1)
        order = rng.permutation(value.size)
        np.add.at(array.reshape(-1), places.reshape(-1)[order], value[order])

    monkeypatch.setattr(device_ways, "_at", add_at)


def bits(row: Row, backend: TestBackend, dtype: str) -> list[bytes]:
    """Return what a row's samples give, and their gradients."""
    rng, found = np.random.default_rng(3), []
    for sample in row.drawn(dtype):
        tensors, leaves = properties.on_backend(sample, backend, row.orders > 0)
        outputs = properties.call(row.function, tensors)
        found += [backend.host(y).tobytes() for y in outputs]
        used = [y for y in outputs if y.requires_grad]
        if used:
            weights = [backend.tensor(properties.dense(rng, y.shape, y.dtype)) for y in used]
            gradients = tape.grad(used, leaves, weights)
            found += [b"" if g is None else backend.host(g).tobytes() for g in gradients]
    return found


@pytest.mark.parametrize("backend", all_backends(), ids=str)
def test_every_row_of_the_op_table(backend: TestBackend, any_order: None) -> None:
    """Run again on another number of threads; the numbers are those of the first float dtype."""
    different = []
    with np.errstate(all="ignore"):
        for row in ROWS:
            dtype = "float32" if "float32" in row.dtypes else row.dtypes[0]
            tfl.set_num_threads(1)
            first = bits(row, backend, dtype)
            tfl.set_num_threads(3)
            if bits(row, backend, dtype) != first:
                different.append(row.name)
    assert different == []


# What is large enough to be shared by threads: the op table's samples are small.
class Leaves:
    """The leaves of a call, drawn again the same each time."""

    def __init__(self) -> None:
        self.drawn: list[tfl.Tensor] = []

    def __call__(self, *shape: int) -> tfl.Tensor:
        values = np.random.default_rng(len(self.drawn)).standard_normal(shape)
        self.drawn.append(tfl.tensor(values.astype(np.float32), requires_grad=True))
        return self.drawn[-1]


def labels(count: int, classes: int) -> tfl.Tensor:
    return tfl.tensor(np.random.default_rng(0).integers(0, classes, count))


LARGE: dict[str, Any] = {
    "matmul": lambda draw: draw(130, 300) @ draw(300, 170),
    "batched matmul": lambda draw: draw(6, 70, 90) @ draw(6, 90, 80).contiguous(),
    "einsum": lambda draw: tfl.einsum("bij,bkj->bik", draw(6, 70, 90), draw(6, 80, 90)),
    "linear": lambda draw: F.linear(draw(200, 150), draw(170, 150), draw(170)),
    "conv2d": lambda draw: F.conv2d(draw(8, 6, 20, 20), draw(12, 6, 3, 3), draw(12), padding=1),
    "conv1d": lambda draw: F.conv1d(draw(8, 6, 200), draw(12, 6, 5), stride=2),
    "conv_transpose2d": lambda draw: F.conv_transpose2d(draw(4, 6, 14, 14), draw(6, 8, 3, 3)),
    "max_pool2d": lambda draw: F.max_pool2d(draw(8, 8, 20, 20), 3, 2),
    "avg_pool2d": lambda draw: F.avg_pool2d(draw(8, 8, 20, 20), 2),
    "batch_norm": lambda draw: F.batch_norm(draw(32, 8, 14, 14), None, None, training=True),
    "layer_norm": lambda draw: F.layer_norm(draw(200, 256), (256,), draw(256), draw(256)),
    "softmax": lambda draw: F.softmax(draw(200, 300), -1),
    "cross_entropy": lambda draw: F.cross_entropy(draw(400, 100), labels(400, 100)),
    "attention": lambda draw: F.scaled_dot_product_attention(*[draw(2, 4, 80, 32) for _ in "qkv"]),
    "gelu": lambda draw: F.gelu(draw(300, 200)),
    "embedding": lambda draw: F.embedding(labels(3000, 50), draw(50, 64)),
    "index": lambda draw: draw(50, 64)[labels(3000, 50)],
    "sums": lambda draw: draw(700, 300).sum(0) + draw(300, 700).mean(1).sum() + draw(90000).var(),
    "cumsum": lambda draw: tfl.cumulative_sum(draw(400, 300), axis=0),
    "logsumexp": lambda draw: tfl.logsumexp(draw(300, 400), axis=0),
    "solve": lambda draw: tfl.linalg.solve(draw(150, 150) + 20 * tfl.eye(150), draw(150, 150)),
    "qr": lambda draw: tfl.linalg.qr(draw(150, 120))[0],
    "svd": lambda draw: tfl.linalg.svdvals(draw(120, 100)),
    "fft": lambda draw: tfl.real(tfl.fft.fft2(draw(120, 130))),
    "interpolate": lambda draw: F.interpolate(draw(4, 4, 20, 20), (50, 50), mode="bilinear"),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_large_calls(name: str) -> None:
    """Forward and backward; on one number of threads twice."""
    found = []
    for threads in (1, 2, 3, 2):
        tfl.set_num_threads(threads)
        draw = Leaves()
        out = LARGE[name](draw)
        (out * out).sum().backward()
        tensors = [out.detach(), *[leaf.grad for leaf in draw.drawn]]
        found.append([one.numpy().tobytes() for one in tensors])
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "complex64"])
def test_sums_in_one_place_are_exact_to_rounding(dtype: str, any_order: None) -> None:
    """On a device, where thousands of elements go to few places, by each kind of key."""
    backend = all_backends()[-1]
    rng = np.random.default_rng(0)
    index = rng.integers(-7, 7, 3000)
    column = rng.integers(0, 5, 3000)
    for key in [(index,), (index, column), (slice(None), column), (index, slice(1, 4))]:
        x = backend.leaf(np.zeros((7, 5)), dtype)
        out = x[tuple(backend.tensor(k) if isinstance(k, np.ndarray) else k for k in key)]
        g = rng.standard_normal(out.shape) + (1j if dtype == "complex64" else 0)
        g = backend.host(backend.tensor(g, dtype=dtype))
        exact = np.zeros((7, 5), np.complex128 if dtype == "complex64" else np.float64)
        np.add.at(exact, key, g.astype(exact.dtype))
        (found,) = tape.grad([out], [x], [backend.tensor(g)])
        close = {"float32": 1e-5, "float64": 1e-13, "bfloat16": 8e-3, "complex64": 1e-5}[dtype]
        given = backend.host(found).astype(exact.dtype)
        np.testing.assert_allclose(given, exact, rtol=close, atol=close * 30)


def test_nothing_is_timed(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product on a GPU takes the first way that works; what was measured stays for later."""
    monkeypatch.setattr(cuda_gemm, "LARGE", 0)
    gemm, stage, queue = staged({"bad": 0.5, "slow": 3.0, "fast": 1.0}, ("bad",))
    assert gemm.run(PROBLEM, NOTHING) == ("slow",) and queue.timed == []
    tfl.use_deterministic_algorithms(False)
    assert gemm.run(PROBLEM, NOTHING) == ("fast",) and gemm.chosen() == {PROBLEM: "fast"}
    tfl.use_deterministic_algorithms(True)
    assert gemm.run(PROBLEM, NOTHING) == ("slow",) and gemm.chosen() == {PROBLEM: "slow"}
    assert stage.ran[-1] == "slow"


@pytest.mark.usefixtures("any_order")
def test_a_program_recorded_before_is_recorded_again() -> None:
    """`jit` looks at the mode: what it recorded without it isn't replayed with it."""
    backend = all_backends()[-1]
    index, x = backend.tensor(labels(3000, 5).numpy()), backend.leaf(np.ones((5, 3)), "float32")
    weights = backend.tensor(np.random.default_rng(1).standard_normal((3000, 3)), dtype="float32")

    def step() -> tfl.Tensor:
        return tfl.autograd.grad((x[index] * weights).sum(), x)[0]

    tfl.use_deterministic_algorithms(False)
    replayed = tfl.jit(step)
    assert len({backend.host(replayed()).tobytes() for _ in range(6)}) > 1
    tfl.use_deterministic_algorithms(True)
    assert len({backend.host(f()).tobytes() for f in 6 * [replayed] + [step]}) == 1
