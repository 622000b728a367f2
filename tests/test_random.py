"""Random tensors: reproducible, of the right distribution, and dropout's gradient."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import philox
from tensorflowlite.errors import ArgumentError
from tensorflowlite.ops.random import dropout

from .backends import TestBackend
from .backends import backend as backend


def test_the_same_seed_gives_the_same_numbers():
    draws = []
    for _ in range(2):
        tfl.manual_seed(11)
        draws.append(
            [tfl.rand(5).tolist(), tfl.randn(2, 2).tolist(), tfl.random.permutation(9).tolist()]
        )
    assert draws[0] == draws[1]


def test_draws_are_the_streams_of_the_definition():
    tfl.manual_seed(11)
    first, second = tfl.rand(6), tfl.randn(6, dtype=tfl.float64)
    np.testing.assert_array_equal(first.numpy(), philox.uniform(11, 0, 6))
    np.testing.assert_array_equal(second.numpy(), philox.normal(11, 1, 6, np.float64))


def test_state_can_be_kept_and_set_again():
    tfl.manual_seed(3)
    tfl.rand(4)
    state = tfl.random.get_state()
    expected = tfl.rand(4).tolist()
    tfl.manual_seed(99)
    tfl.random.set_state(state)
    assert tfl.rand(4).tolist() == expected


def test_distributions():
    tfl.manual_seed(0)
    u = tfl.random.uniform(-2, 3, (20000,)).numpy()
    assert u.min() >= -2 and u.max() < 3 and abs(u.mean() - 0.5) < 0.05
    n = tfl.random.normal(1.0, 2.0, (20000,)).numpy()
    assert abs(n.mean() - 1) < 0.06 and abs(n.std() - 2) < 0.05
    k = tfl.random.randint(3, 7, (20000,)).numpy()
    assert set(k.tolist()) == {3, 4, 5, 6} and k.dtype == np.int64
    assert np.bincount(k)[3:].min() > 4700


def test_dtypes():
    assert tfl.rand(2).dtype == tfl.float32
    assert tfl.rand(2, dtype=tfl.bfloat16).dtype == tfl.bfloat16
    assert tfl.random.normal(0, 2, (2,), dtype=tfl.float16).dtype == tfl.float16


def test_dropout_keeps_the_expectation_and_masks_the_gradient():
    tfl.manual_seed(5)
    x = tfl.ones((100, 100), requires_grad=True)
    y = dropout(x, 0.25)
    kept = y.detach().numpy() != 0
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_allclose(y.detach().numpy()[kept], 1 / 0.75, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), kept / np.float32(0.75), rtol=1e-6)


def test_dropout_differs_from_call_to_call():
    x = tfl.ones(1000)
    assert dropout(x, 0.5).tolist() != dropout(x, 0.5).tolist()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: tfl.manual_seed(-1), "manual_seed: seed must be an integer in"),
        (lambda: tfl.manual_seed(1.5), "manual_seed: seed must be an integer in"),
        (lambda: tfl.random.normal(0, -1, (2,)), "normal: std must not be negative, got -1"),
        (lambda: tfl.random.randint(5, 5, (2,)), "randint: low must be below high, got 5 and 5"),
        (lambda: dropout(tfl.ones(2), 1.0), r"dropout: probability must lie in \[0, 1\), got 1.0"),
        (lambda: tfl.rand(2, dtype=tfl.int64), "random: dtype must be a float one, got int64"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()


@pytest.mark.parametrize("dtype", [tfl.float16, tfl.bfloat16])
def test_even_halves_stay_below_one(dtype, backend: TestBackend):
    tfl.manual_seed(0)
    drawn = backend.host(tfl.rand(100000, dtype=dtype, device=backend.device)).astype(np.float64)
    assert drawn.min() >= 0 and 0.99 < drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.01


def test_a_device_has_one_state_by_all_its_names(backend: TestBackend):
    tfl.manual_seed(5)
    short = backend.device.partition(":")[0]
    first = backend.host(tfl.rand(4, device=short)).tolist()
    second = backend.host(tfl.rand(4, device=backend.device)).tolist()
    assert first == philox.uniform(5, 0, 4).tolist()
    assert second == philox.uniform(5, 1, 4).tolist()


def test_threads_draw_different_numbers():
    tfl.manual_seed(0)
    drawn: list[list[float]] = [[] for _ in range(4)]

    def draw(into: list[float]) -> None:
        for _ in range(2000):
            into.append(tfl.rand((), dtype=tfl.float64).item())

    threads = [threading.Thread(target=draw, args=(into,)) for into in drawn]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert len({number for one in drawn for number in one}) == 8000


def test_whole_numbers_with_one_bound_and_a_shape():
    for shape in ((50,), [5, 10], 50):
        x = tfl.randint(3, shape) if shape != 50 else tfl.randint(3, shape=shape)
        assert set(x.ravel().tolist()) == {0, 1, 2}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.usefixtures("kernels_as_before")
def test_dropout_in_one_pass_gives_the_bits_of_numpy(native_module: Any, dtype: str) -> None:
    from tensorflowlite.backend import backend_for
    from tensorflowlite.backend.slots import random as random_slots

    slot = backend_for("cpu").dropout
    rng = np.random.default_rng(0)
    for shape in [(), (0, 3), (7,), (300, 401), (30, 20)]:
        x = np.asarray(rng.standard_normal(shape), dtype)
        if x.ndim == 1:
            x[:4] = [np.nan, np.inf, -np.inf, -0.0]
        x = x.T if shape == (30, 20) else x
        for p in (0.1, 0.5, 1 - 2**-40):
            with np.errstate(all="ignore"):
                expected = random_slots.slots(np)["dropout"](x, np.array([5, 6], np.uint64), p)
            assert all(type(a) is np.ndarray or a.shape == () for a in expected)
            for chosen in native_module.instruction_sets():
                native_module.use_instruction_set(chosen)
                for threads in (1, 2, 3):
                    tfl.set_num_threads(threads)
                    with np.errstate(all="ignore"):
                        found = slot(x, np.array([5, 6], np.uint64), p)
                    for a, b in zip(found, expected, strict=True):
                        assert a.dtype == b.dtype
                        np.testing.assert_array_equal(a, b)


def test_dropout_of_the_extension_refuses(native_module: Any) -> None:
    x, out, keep = np.ones(4), np.full(4, 7.0), np.zeros(4, bool)
    read_only = np.zeros(4, bool)
    read_only.flags.writeable = False
    memory = np.ones(6)
    for bad in [
        (x.astype("i8"), out, keep), (x, out.astype("f4"), keep), (x, out[:3], keep),
        (x, out, keep[:3]), (x, out, keep.view("u1")), (x, out, read_only),
        (memory[:4], memory[2:], keep), (x.reshape(2, 2), out, keep), (x, out, x.view(bool)[:4]),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=r"^dropout: "):
            native_module.dropout(1, 2, 3, 1.0, *bad)
    assert (out == 7).all()
    assert not keep.any()


def test_a_device_goes_on_where_the_others_are(backend: TestBackend):
    """A model made on the CPU and moved draws there what it would have drawn on the CPU."""
    there = backend.device
    tfl.rand(3, device=there)  # in the life of another seed
    tfl.manual_seed(5)
    tfl.rand(4)
    tfl.rand(4)
    assert tfl.random.get_state(there) == [5, 2]
    tfl.rand(4)
    assert backend.host(tfl.rand(4, device=there)).tolist() == philox.uniform(5, 3, 4).tolist()
    # From then on each has its own place.
    assert tfl.rand(4).tolist() == philox.uniform(5, 4 if backend.on_host else 3, 4).tolist()
    assert backend.host(tfl.rand(4, device=there)).tolist() == philox.uniform(
        5, 5 if backend.on_host else 4, 4
    ).tolist()


@pytest.mark.parametrize("jit", [False, True])
def test_training_on_a_device_draws_as_on_the_cpu(backend: TestBackend, jit: bool):
    def masks(device: str) -> list[Any]:
        tfl.manual_seed(5)
        model = tfl.nn.Sequential(tfl.nn.Linear(6, 8), tfl.nn.Dropout(0.5)).to(device)
        x = tfl.ones((4, 6), device=device)
        step = tfl.jit(lambda x: model(x) != 0) if jit else lambda x: model(x) != 0
        return [step(x).to("cpu").tolist() for _ in range(6)]

    tfl.rand(1, device=backend.device)
    assert masks(backend.device) == masks("cpu")


def test_states_are_kept_where_something_was_drawn(backend: TestBackend):
    tfl.rand(1, device=backend.device)
    tfl.manual_seed(6)
    tfl.rand(2)
    states = tfl.ops.random.get_states()
    assert states == {"cpu": [6, 1]}
    first = tfl.rand(2, device=backend.device).tolist()
    tfl.ops.random.set_states(states)
    assert tfl.rand(2, device=backend.device).tolist() == first
