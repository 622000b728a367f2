"""Tensors as objects: what they keep alive, copies, texts, and the ways out of a tensor."""

from __future__ import annotations

import copy
import gc
import pickle
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.autograd import no_grad
from tensorflowlite.backend import dtypes
from tensorflowlite.core.entry import lift
from tensorflowlite.errors import (
    ArgumentError,
    DeviceError,
    DtypeError,
    GradientError,
    ShapeError,
)

from . import shadow
from .backends import TestBackend
from .op_properties import memory_of

A = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


# -- what stays alive ------------------------------------------------------------------------------
@pytest.fixture
def without_collector() -> Any:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_activations_that_no_rule_saved_are_freed_at_once(
    backend: TestBackend, without_collector: None
) -> None:
    x = backend.leaf(A)
    y = x + 1.0
    reference = weakref.ref(y.array)
    z = y + 2.0
    del y
    assert reference() is None
    z.sum().backward()
    np.testing.assert_array_equal(backend.host(x.grad), np.ones((2, 3)))


def test_activations_that_a_rule_saved_live_until_backward(
    backend: TestBackend, without_collector: None
) -> None:
    x = backend.leaf(A)
    y = x + 1.0
    reference = weakref.ref(y.array)
    z = (y * y).sum()
    del y
    assert reference() is not None
    z.backward()
    assert reference() is None, "the pass frees what the nodes saved, though the root lives"


def test_bytes_of_a_chain() -> None:
    """Of 50 sums of 1 MB each only what the caller holds stays; of 50 products all inputs do."""
    x = tfl.tensor(np.full(131072, -1.0), requires_grad=True)
    w = tfl.tensor(np.ones(131072))
    megabytes = []
    for step in (lambda y: y + w, lambda y: y * w, lambda y: tfl.tanh(y)):
        tracemalloc.start()
        y = x
        for _ in range(50):
            y = step(y)
        megabytes.append(tracemalloc.get_traced_memory()[0] / 2**20)
        tracemalloc.stop()
        del y
    assert megabytes[0] < 1.5 and megabytes[1] < 1.5, "y * w keeps only w where w is constant"
    assert 49 < megabytes[2] < 51, "tanh keeps its output"


def test_graphs_make_no_cycles(backend: TestBackend, without_collector: None) -> None:
    x = backend.leaf(A)
    y = tfl.exp(x * 2.0)
    v, u = y[0], y.reshape(6)
    v *= 3.0
    y[1] = v
    z = (u * u).sum()
    y.retain_grad()
    y.register_hook(lambda g: g * 1.0)
    references = [weakref.ref(t) for t in (y, v, u, z)]
    arrays = [weakref.ref(t.array) for t in (y, u, z)]
    del y, v, u, z
    assert [r() for r in references] == [None] * 4
    assert [r() for r in arrays] == [None] * 3


def test_a_recorded_pass_makes_no_cycles(backend: TestBackend, without_collector: None) -> None:
    x = backend.leaf(A)
    y = tfl.exp(x)
    (g,) = tfl.autograd.grad((y * y).sum(), x, create_graph=True)
    references = [weakref.ref(y), weakref.ref(g)]
    arrays = [weakref.ref(y.array), weakref.ref(g.array)]
    del y, g
    assert all(r() is None for r in references + arrays)


def test_an_error_in_backward_keeps_nothing(backend: TestBackend, without_collector: None) -> None:
    x = backend.leaf(A)
    y = tfl.exp(x)
    reference = weakref.ref(y.array)
    z = y.sum()
    y += 1.0
    try:
        z = y.sum()
        z.backward()
    except GradientError:
        pass
    del y, z
    assert reference() is None


def test_nothing_is_copied_to_the_host() -> None:
    """A whole step on a device: forward, backward, changes in place, an update."""
    device = shadow.install()
    before = shadow.HostCopies.count
    x = tfl.Tensor(device.from_host(A, tfl.tensor(0).device))
    w = tfl.Tensor(device.from_host(A.T.copy(), x.device), True)
    for _ in range(2):
        h = tfl.tanh(x) @ w
        v = h[0]
        v *= 2.0
        loss = (tfl.where(h > 0.0, h, h * 0.1) * x[:, :1]).sum()
        loss.backward()
        with no_grad():
            w -= w.grad * 0.1
        w.grad = None
    assert shadow.HostCopies.count == before
    loss.item()
    assert shadow.HostCopies.count == before + 1


# -- copies ----------------------------------------------------------------------------------------
def test_deepcopy_of_a_leaf(backend: TestBackend) -> None:
    x = backend.leaf(A)
    (x * x).sum().backward()
    pair = copy.deepcopy([x, x, x.grad])
    assert pair[0] is pair[1] and pair[0] is not x
    assert pair[0].requires_grad and pair[0].is_leaf
    assert not np.shares_memory(memory_of(pair[0].array), memory_of(x.array))
    np.testing.assert_array_equal(backend.host(pair[0].grad), 2 * A)
    with no_grad():
        pair[0].grad.add_(1.0)
    np.testing.assert_array_equal(backend.host(x.grad), 2 * A)
    with pytest.raises(GradientError, match="deepcopy: the tensor must be a leaf"):
        copy.deepcopy(x * 2.0)


def test_deepcopy_keeps_the_layout(backend: TestBackend) -> None:
    x = tfl.Tensor(backend.array(np.asfortranarray(A)), True)
    copied = copy.deepcopy(x)
    (copied * 1.0).sum().backward()
    assert copied.grad.strides == copied.strides


def test_pickle() -> None:
    x = tfl.tensor(A, requires_grad=True)
    again = pickle.loads(pickle.dumps(x))
    np.testing.assert_array_equal(again.detach().numpy(), A)
    assert again.requires_grad and again.dtype == tfl.float64
    with pytest.raises(GradientError, match="pickle: the tensor must not require grad"):
        pickle.dumps(x * 2.0)


def test_pickle_of_a_devices_tensor_is_refused() -> None:
    device = shadow.install()
    for requires_grad in (False, True):
        x = tfl.Tensor(device.from_host(A, tfl.tensor(0).device), requires_grad)
        with pytest.raises(DeviceError, match=r"pickle: .*use cpu"):
            pickle.dumps(x)


def test_identity_and_equality(backend: TestBackend) -> None:
    x, y = backend.tensor(A), backend.tensor(A)
    assert len({x, y, x}) == 2 and hash(x) == hash(x)
    np.testing.assert_array_equal(backend.host(x == y), np.ones((2, 3), bool))
    assert {x: 1}[x] == 1


# -- texts -----------------------------------------------------------------------------------------
def test_marks_of_a_repr(backend: TestBackend) -> None:
    place = "" if backend.on_host else f", device='{backend.device}'"
    x = backend.leaf(np.array([1.0, 2.0]), np.float32)
    assert repr(x) == f"tensor([1., 2.]{place}, requires_grad=True)"
    assert repr(x * 2.0) == f"tensor([2., 4.]{place}, grad_fn=multiply)"
    assert repr(x.detach()) == f"tensor([1., 2.]{place})"
    assert repr(backend.tensor(np.array([1, 2]))) == f"tensor([1, 2]{place})"
    assert repr(backend.tensor(np.array(1.5))) == f"tensor(1.5, dtype=float64{place})"
    y = (x * 2.0).sum()
    y.backward()
    assert repr(y) == f"tensor(6.{place}, grad_fn=freed)"
    assert repr(backend.tensor(np.ones((2, 2), np.float32))) in (
        f"tensor([[1., 1.],\n        [1., 1.]]{place})"
    )
    assert f"{backend.tensor(np.array(1.5)):.3f}" == "1.500"


# -- ways out --------------------------------------------------------------------------------------
def exports(t: Any) -> list[Any]:
    return [
        lambda: np.asarray(t),
        lambda: np.array(t),
        lambda: t.__array__(),
        lambda: t.numpy(),
        lambda: t.__array_interface__,
        lambda: t.__dlpack__(),
        lambda: np.from_dlpack(t),
        lambda: np.ones(3) + np.asarray(t),
    ]


@pytest.mark.parametrize("index", range(8))
def test_exports_that_would_lose_a_gradient(index: int) -> None:
    """RuntimeError, never AttributeError: NumPy would then read the elements one by one."""
    for t in (tfl.tensor(A, requires_grad=True), tfl.tensor(A, requires_grad=True) * 2.0):
        with pytest.raises(RuntimeError, match="the tensor must not require grad, or its gradient"):
            exports(t)[index]()


def test_exports_of_a_devices_tensor() -> None:
    device = shadow.install()
    t = tfl.Tensor(device.from_host(A, tfl.tensor(0).device))
    for export in exports(t)[:5]:
        with pytest.raises(RuntimeError, match=r"cpu\(\)"):
            export()
    assert t.__cuda_array_interface__["shape"] == (2, 3)
    with pytest.raises(RuntimeError, match="the tensor must not require grad"):
        _ = tfl.Tensor(t.array, True).__cuda_array_interface__
    with pytest.raises(AttributeError):
        _ = tfl.tensor(A).__cuda_array_interface__


def test_exports_of_a_plain_tensor_share_memory() -> None:
    t = tfl.tensor(A)
    for found in (np.asarray(t), t.numpy(), np.from_dlpack(t)):
        assert np.shares_memory(found, t.array)
    assert not np.shares_memory(np.array(t), t.array)
    assert np.asarray(t, dtype=np.float32).dtype == np.float32


def test_numpy_functions_are_recorded_on_every_device(backend: TestBackend) -> None:
    x, ones = backend.leaf(A), backend.array(np.ones((2, 3)))
    for result in (np.exp(x), np.add.reduce(x), np.concatenate([x, x]), np.add(x, ones)):
        assert type(result) is tfl.Tensor and result.requires_grad
        assert result.device == x.device
    assert np.exp(backend.tensor(A)).requires_grad is False


def test_arrays_reach_the_reflected_operators(backend: TestBackend) -> None:
    x = backend.leaf(A)
    other = backend.array(np.full((2, 3), 2.0))
    for result in (other * x, other + x, other - x, other / (x * x + 1.0), other @ x.T):
        assert type(result) is tfl.Tensor and result.requires_grad


def test_numbers_are_weak(backend: TestBackend) -> None:
    x = backend.leaf(A, np.float32)
    for y in (x * 2.0, np.float64(2.0) * x, x / np.sqrt(2.0), 2 * x, x + np.int64(3), 1.0 - x):
        assert type(y) is tfl.Tensor and y.dtype == tfl.float32
    assert (x * backend.tensor(np.array(2.0))).dtype == tfl.float64


def test_numbers_without_axes_stay_arrays(backend: TestBackend) -> None:
    x = backend.leaf(np.array(2.0))
    for y in (x * 2.0, tfl.exp(x), x.sum(), x + x, -x, x.reshape(()), tfl.abs(x), x > 1.0):
        assert type(y.array) is backend.array_type and y.shape == ()
    (x * x).backward()
    assert type(x.grad.array) is backend.array_type


def test_truth_and_numbers(backend: TestBackend) -> None:
    assert bool(backend.tensor(np.array(1.0))) and not bool(backend.tensor(np.zeros((1, 1))))
    with pytest.raises(ShapeError, match=r"bool: .*got shape \(2, 3\)"):
        bool(backend.tensor(A))
    text = r"item: the tensor must hold one element, got shape \(2, 3\); use tolist\(\), or reduce"
    for read in (tfl.Tensor.item, float, int):
        with pytest.raises(ShapeError, match=text):
            read(backend.tensor(A))
    with pytest.raises(DtypeError, match=r"format: a 0-d tensor is needed for '.3f', got shape"):
        format(backend.tensor(A), ".3f")
    assert range(5)[backend.tensor(np.array(3))] == 3
    with pytest.raises(DtypeError, match="index: a 0-d integer tensor is needed, got float64"):
        range(5)[backend.tensor(np.array(3.0))]
    with pytest.raises(DtypeError, match="len: a tensor without axes has no length"):
        len(backend.tensor(np.array(3.0)))


def test_operands_that_are_none() -> None:
    text = r"must be a Tensor, an array or a number, got list; make a tensor of it with tensor\("
    with pytest.raises(DtypeError, match=text):
        tfl.exp([1.0])
    text = r"^power: Integers to negative integer powers are not allowed, got int64 \(\) and int64"
    with pytest.raises(ArgumentError, match=text):
        tfl.tensor(3) ** -1


def test_what_may_require_grad(backend: TestBackend) -> None:
    for dtype in dtypes.inexact:
        assert backend.tensor(np.ones(2), True, dtype).requires_grad
    for dtype in ("int64", "bool", "uint8"):
        with pytest.raises(DtypeError, match=f"requires_grad_: .*got {dtype}; cast with astype"):
            backend.tensor(np.ones(2), True, np.dtype(dtype))
    with pytest.raises(GradientError, match="requires_grad_: only a leaf can stop requiring grad"):
        (backend.leaf(A) * 2.0).requires_grad_(False)


def test_mixed_devices() -> None:
    device = shadow.install()
    t = tfl.Tensor(device.from_host(A, tfl.tensor(0).device))
    for call in (lambda: t + tfl.tensor(A), lambda: tfl.tensor(A) * t, lambda: t @ tfl.tensor(A.T)):
        with pytest.raises(DeviceError, match=r"the tensors must be on one device, got .*move one"):
            call()
    with pytest.raises(DeviceError, match="the tensors must be on one device"):
        tfl.where(t > 0.0, tfl.tensor(A), t)
    with pytest.raises(DeviceError, match=r"grad: must be on the tensor's device"):
        tfl.Tensor(t.array, True).grad = tfl.tensor(A)


def test_a_number_is_sent_to_a_device_once() -> None:
    shadow.install()
    x = tfl.ones(2, device="shadow")
    assert lift(2.5, x).array is lift(2.5, x).array
    assert lift(2, x).array is not lift(True, x).array
    with np.errstate(divide="ignore"):
        signs = [1.0 / (x * value) for value in (0.0, -0.0)]
    assert [s.tolist() for s in signs] == [[np.inf, np.inf], [-np.inf, -np.inf]]


def test_devices_by_kind_and_number() -> None:
    device = tfl.device("cuda", 1)
    assert device == "cuda:1" and (device.type, device.index) == ("cuda", 1)
    assert tfl.device("cpu").index is None
