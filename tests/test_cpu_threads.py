"""The threads of kernels and BLAS: one pool for both, and the same bits for any number."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import threads
from tensorflowlite.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("kernels_as_before")


def started_with(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_chosen_count_holds_for_kernels_and_blas(native_module: ModuleType, count: int) -> None:
    tfl.set_num_threads(count)
    assert tfl.get_num_threads() == native_module.num_threads() == count
    if threads._blas.known:
        assert threads._blas.count() == count


@pytest.mark.parametrize("count", [0, -1, 1025, 2.0, True, "2", None])
def test_wrong_counts(count: Any) -> None:
    before = tfl.get_num_threads()
    with pytest.raises(ArgumentError, match=r"^set_num_threads: count must be an integer"):
        tfl.set_num_threads(count)
    assert tfl.get_num_threads() == before


def test_environment_and_affinity(native_module: ModuleType) -> None:
    program = "import tensorflowlite as tfl; print(tfl.get_num_threads())"
    assert started_with(program, OMP_NUM_THREADS="3") == "3"
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + program
    environment = {"OMP_NUM_THREADS": "", "OPENBLAS_NUM_THREADS": ""}
    assert started_with(one, **environment) == "1"


def test_chosen_while_blas_is_held() -> None:
    tfl.set_num_threads(2)
    with threads.one_blas_thread():
        tfl.set_num_threads(3)
    if threads._blas.known:
        assert threads._blas.count() == 3


def test_products_are_right_on_the_pool(native_module: ModuleType) -> None:
    """Their jobs wait for each other: each needs a thread, whatever else the pool does."""
    tfl.set_num_threads(3)
    generator = np.random.default_rng(0)
    x = generator.integers(-4, 5, (300, 200)).astype(np.float32)
    expected = x.astype(np.int64) @ x.T.astype(np.int64)
    wrong: list[int] = []

    def work() -> None:
        z = np.ones((200, 2000), np.float32)
        for i in range(30):
            native_module.bias_activation_forward(z, None, "gelu")
            if not np.array_equal(x @ x.T, expected):
                wrong.append(i)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def trained(steps: int = 5, optimizer_name: str = "AdamW") -> list[bytes]:
    """The parameters of a small network with a layer of each kind after some steps."""
    tfl.manual_seed(0)
    nn = tfl.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 6 * 6, 200),
        nn.LayerNorm(200),
        nn.Dropout(0.1),
        nn.Linear(200, 10),
    )
    optimizer = getattr(tfl.optim, optimizer_name)(model.parameters(), lr=1e-3)
    generator = np.random.default_rng(0)
    x = tfl.tensor(generator.normal(size=(64, 1, 28, 28)).astype(np.float32))
    y = tfl.tensor(generator.integers(0, 10, 64))
    for _ in range(steps):
        optimizer.zero_grad()
        tfl.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return [parameter.detach().numpy().tobytes() for parameter in model.parameters()]


def test_whole_steps_have_the_same_bits_again() -> None:
    tfl.set_num_threads(2)
    assert trained() == trained()


def test_whole_steps_on_other_numbers_of_threads(deterministic: None) -> None:
    tfl.set_num_threads(2)
    on_two = trained()
    tfl.set_num_threads(1)
    assert trained() == on_two
    tfl.set_num_threads(3)
    assert trained() == on_two


@pytest.fixture
def deterministic() -> Iterator[None]:
    tfl.use_deterministic_algorithms(True)
    yield
    tfl.use_deterministic_algorithms(False)


def test_other_blas_keeps_to_one_thread(deterministic: None) -> None:
    if not threads._blas.known:
        return
    tfl.set_num_threads(3)
    assert threads._blas.count() == 1 and tfl.get_num_threads() == 3
    tfl.use_deterministic_algorithms(False)
    assert threads._blas.count() == 3


def test_wrong_mode() -> None:
    with pytest.raises(ArgumentError, match=r"^use_deterministic_algorithms: mode must be"):
        tfl.use_deterministic_algorithms(1)  # type: ignore[arg-type]
    assert not tfl.are_deterministic_algorithms_enabled()


def test_whole_steps_without_the_extension() -> None:
    """The same training on NumPy alone gives parameters that differ by rounding.

    By SGD: Adam's first steps have the size of the learning rate also where a gradient is nothing
    but rounding, as that of a bias before a batch norm.
    """
    program = (
        "import sys; from tests.test_cpu_threads import trained\n"
        "sys.stdout.write(''.join(one.hex() + '\\n' for one in trained(5, 'SGD')))"
    )
    on_numpy = started_with(program, TENSORFLOWLITE_NATIVE="0").split()
    ours = trained(5, "SGD")
    assert len(on_numpy) == len(ours)
    for one, other in zip(ours, on_numpy, strict=True):
        found = np.frombuffer(one, np.float32)
        expected = np.frombuffer(bytes.fromhex(other), np.float32)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "sizes", [(1, 3000, 300), (200, 130, 90), (1000, 70, 513), (33, 999, 1000), (400, 400, 400)]
)
def test_products_in_blocks(native_module: ModuleType, deterministic: None, sizes, dtype) -> None:
    """The same bits on any number of threads, whatever order the matrices lie in."""
    rows, depth, columns = sizes
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, depth)).astype(dtype)
    y = generator.normal(size=(depth, columns)).astype(dtype)
    exact = x.astype(np.longdouble) @ y.astype(np.longdouble)
    wide = np.zeros((depth, 2 * columns), dtype)
    wide[:, :columns] = y
    spread = np.zeros((2 * rows, 2 * depth), dtype)
    spread[::2, ::2] = x
    forms = [
        (x, y),
        (x, np.asfortranarray(y)),
        (np.asfortranarray(x), y),
        (np.asfortranarray(x), np.asfortranarray(y)),
        (x, wide[:, :columns]),
        (spread[::2, ::2], y),
        (x[::-1], y),
    ]
    scale = np.abs(x).astype(np.longdouble) @ np.abs(y)
    for a, b in forms:
        found = []
        for count in (1, 2, 3):
            tfl.set_num_threads(count)
            found.append((tfl.asarray(a) @ tfl.asarray(b)).numpy())
        assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
        expected = exact[::-1] if a.strides[0] < 0 else exact
        bound = 2 * np.sqrt(depth) * np.finfo(dtype).eps
        weights = scale[::-1] if a.strides[0] < 0 else scale
        assert (np.abs(found[0] - expected) <= bound * weights).all()


def test_binding_of_products_refuses(native_module: ModuleType) -> None:
    x, out = np.ones((3, 4), np.float32), np.empty((3, 3), np.float32)
    product = native_module.product
    wrong: list[tuple[Any, ...]] = [
        (x, x, out),
        (x, x.T.astype(np.float64), out),
        (x.astype(np.float16), x.T.astype(np.float16), out.astype(np.float16)),
        (x, x.T, np.empty((3, 4), np.float32)),
        (x, x.T, np.empty((6, 3), np.float32)[::2]),
        (x[:, ::2], x.T[::2], out),
        (x[::-1], x.T, out),
        (x[:0], x.T, out[:0]),
        (np.broadcast_to(x[0], (3, 4)), x.T, out),
        (x[0], x.T, out),
        (out, out, out),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"^product: .* must .*, got "):
            product(*arguments)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        product(x, x.T, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_for_any_number_of_threads(native_module: ModuleType, dtype: Any) -> None:
    generator = np.random.default_rng(0)
    found: dict[int, list[bytes]] = {}
    for count in (1, 2, 4):
        tfl.set_num_threads(count)
        generator = np.random.default_rng(0)
        found[count] = []
        for shape in [(700, 130), (3, 5000), (900, 7), (40, 30, 70)]:
            g, z = generator.normal(size=(2, *shape)).astype(dtype)
            bias = generator.normal(size=shape[1]).astype(dtype)
            dz, db = np.empty_like(z), np.empty_like(bias)
            suffix = "_channels" if len(shape) == 3 else ""
            forward = getattr(native_module, f"bias_activation_forward{suffix}")
            getattr(native_module, f"bias_activation_backward{suffix}")(g, z, "gelu", dz, db)
            found[count] += [a.tobytes() for a in (forward(z, bias, "gelu"), dz, db)]
    assert found[1] == found[2] == found[4]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_threads_of_its_own(native_module: ModuleType) -> None:
    program = """
import os, numpy as np, tensorflowlite as tfl
from tensorflowlite.backend.native import extension as native
tfl.set_num_threads(2)
z, x = np.ones((500, 2000), np.float32), np.ones((400, 400), np.float32)
def work():
    return native.module.bias_activation_forward(z, None, "gelu").sum(), (x @ x).sum()
expected = work()
child = os.fork()
if child == 0:
    os._exit(0 if work() == expected else 1)
assert work() == expected
print(os.waitpid(child, 0)[1])
"""
    assert started_with(program) == "0"
