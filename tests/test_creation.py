"""Making tensors: default dtypes, sharing of memory, devices, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import (
    ArgumentError,
    DeviceError,
    DtypeError,
    GradientError,
    ShapeError,
)

from .backends import TestBackend
from .backends import backend as backend


@pytest.mark.parametrize("make", [tfl.tensor, tfl.asarray])
def test_python_data_takes_the_default_dtypes(make) -> None:
    for data, dtype in [
        (1, "int64"), (1.5, "float32"), (True, "bool"), (1j, "complex64"), ([1, 2.5], "float32"),
        ([[1, 2], [3, 4]], "int64"), ([], "float32"), ((1.0, 2.0), "float32"),
        ([tfl.tensor(1.0), 2.0], "float32"), ([True, False], "bool"), (range(3), "int64"),
    ]:  # fmt: skip
        assert make(data).dtype.name == dtype, data


def test_a_range_is_rounded_once() -> None:
    exact = np.arange(0.0, 100.0, 0.3)
    for dtype in ("float32", "float16"):
        np.testing.assert_array_equal(
            tfl.arange(0.0, 100.0, 0.3, dtype=dtype).numpy(), exact.astype(dtype)
        )


@pytest.mark.parametrize("make", [tfl.tensor, tfl.asarray])
def test_arrays_keep_their_dtype(make) -> None:
    for dtype in ("float64", "float16", "int8", "uint16", "complex128", "bool"):
        assert make(np.ones(2, dtype)).dtype == dtype
    assert make(np.float64(1.0)).dtype == np.float64
    assert make([1.5, 2.5], dtype=tfl.bfloat16).dtype == tfl.bfloat16
    assert make([1.5, 2.5], dtype="bfloat16").tolist() == [1.5, 2.5]
    assert make(np.ones(2), dtype=float).dtype == tfl.float32


def test_every_filler_has_the_defaults_and_takes_a_gradient_and_a_device() -> None:
    x = tfl.ones((2, 3), dtype=tfl.float64)
    for made, shape, dtype in [
        (tfl.zeros((2, 3)), (2, 3), "float32"), (tfl.ones(2), (2,), "float32"),
        (tfl.empty((2,)), (2,), "float32"), (tfl.full((2,), 1.5), (2,), "float32"),
        (tfl.full((), 2), (), "int64"), (tfl.full(1, True), (1,), "bool"),
        (tfl.full(1, 1j), (1,), "complex64"), (tfl.full(2, tfl.tensor(0.5)), (2,), "float32"),
        (tfl.zeros_like(x), (2, 3), "float64"), (tfl.ones_like(x, dtype=tfl.int8), (2, 3), "int8"),
        (tfl.full_like(x, 7), (2, 3), "float64"), (tfl.empty_like(x), (2, 3), "float64"),
        (tfl.arange(3), (3,), "int64"), (tfl.arange(0.0, 1.0, 0.25), (4,), "float32"),
        (tfl.arange(5, 1, -2), (2,), "int64"), (tfl.linspace(0, 1, 5), (5,), "float32"),
        (tfl.linspace(0, 1j, 5), (5,), "complex64"), (tfl.eye(3), (3, 3), "float32"),
        (tfl.eye(2, 3, k=1, dtype=tfl.bfloat16), (2, 3), "bfloat16"),
        (tfl.arange(300, dtype=tfl.bfloat16), (300,), "bfloat16"),
    ]:  # fmt: skip
        assert made.shape == shape and made.dtype.name == dtype
    for make in (
        lambda **o: tfl.zeros(2, **o), lambda **o: tfl.ones(2, **o), lambda **o: tfl.empty(2, **o),
        lambda **o: tfl.full(2, 1.0, **o), lambda **o: tfl.zeros_like(x, **o),
        lambda **o: tfl.ones_like(x, **o), lambda **o: tfl.full_like(x, 2.0, **o),
        lambda **o: tfl.empty_like(x, **o), lambda **o: tfl.arange(2.0, **o),
        lambda **o: tfl.linspace(0, 1, 3, **o), lambda **o: tfl.eye(2, **o),
        lambda **o: tfl.tensor([1.0], **o), lambda **o: tfl.asarray([1.0], **o),
    ):  # fmt: skip
        made = make(requires_grad=True, device="cpu")
        assert made.requires_grad and made.is_leaf and made.device == "cpu"
        with pytest.raises(DeviceError, match="device: must be one of"):
            make(device="tpu")


def test_values() -> None:
    np.testing.assert_array_equal(
        tfl.linspace(0, 1, 4, endpoint=False).numpy(), [0, 0.25, 0.5, 0.75]
    )
    np.testing.assert_array_equal(tfl.arange(1, 7, 2).numpy(), [1, 3, 5])
    np.testing.assert_array_equal(tfl.eye(3, k=-1).numpy(), np.eye(3, k=-1))
    np.testing.assert_array_equal(tfl.full((2, 2), 3.5).numpy(), np.full((2, 2), 3.5))
    # Half precision rounds each value once: not the step, which would be added up.
    assert tfl.arange(0, 300, dtype=tfl.bfloat16)[257].item() == 256
    assert tfl.arange(0, 300, dtype=tfl.bfloat16)[259].item() == 260


def test_tensor_copies_and_asarray_shares() -> None:
    a = np.zeros(3)
    copied, shared = tfl.tensor(a), tfl.asarray(a)
    a[0] = 1
    assert copied.tolist() == [0, 0, 0] and shared.tolist() == [1, 0, 0]
    assert tfl.from_numpy(a).numpy() is a
    t = tfl.ones(2)
    assert tfl.asarray(t) is t
    assert tfl.asarray(t, copy=True) is not t
    assert not np.shares_memory(tfl.tensor(t).numpy(), t.numpy())
    assert np.shares_memory(tfl.from_dlpack(a).numpy(), a)
    with pytest.raises(
        DtypeError, match="asarray: with copy=False data must be an array, got list"
    ):
        tfl.asarray([1.0], copy=False)
    with pytest.raises(DtypeError, match="asarray: with copy=False data must be float32"):
        tfl.asarray(a, dtype=tfl.float32, copy=False)


def test_asarray_of_a_tensor_keeps_its_history() -> None:
    x = tfl.tensor([1.0, 2.0], requires_grad=True)
    (tfl.asarray(x, dtype=tfl.float64) * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_meshgrid_carries_gradients() -> None:
    x, y = (
        tfl.tensor([1.0, 2.0], requires_grad=True),
        tfl.tensor([1.0, 2.0, 3.0], requires_grad=True),
    )
    first, second = tfl.meshgrid(x, y, indexing="ij")
    (first * second).sum().backward()
    assert x.grad.tolist() == [6, 6] and y.grad.tolist() == [3, 3, 3]


def test_lengths_one_by_one() -> None:
    for make in (tfl.zeros, tfl.ones, tfl.empty):
        assert make(2, 3).shape == make((2, 3)).shape == make(shape=(2, 3)).shape == (2, 3)
        assert make(2, 0, 1, dtype=tfl.int8).dtype == tfl.int8
    assert tfl.zeros(2, 2).tolist() == [[0, 0], [0, 0]] and tfl.ones(1, 2).tolist() == [[1, 1]]


def test_refusals() -> None:
    for call, error, text in [
        (lambda: tfl.tensor([1, [2, 3]]), ShapeError, "must be rectangular, got sequences of un"),
        (lambda: tfl.tensor("text"), DtypeError, "tensor: data must be numbers, got 'text'"),
        (
            lambda: tfl.tensor([1, 2], requires_grad=True),
            DtypeError,
            "must be a float or complex one, got int64",
        ),
        (
            lambda: tfl.tensor([1j], dtype=tfl.float32),
            DtypeError,
            "tensor: complex data can't become real",
        ),
        (
            lambda: tfl.zeros((-1, 2)),
            ShapeError,
            "zeros: lengths must not be negative, got (-1, 2)",
        ),
        (lambda: tfl.empty(-1), ShapeError, "empty: lengths must not be negative, got (-1,)"),
        (
            lambda: tfl.zeros(2.5),
            DtypeError,
            "zeros: shape must be an integer or a sequence of integers, got 2.5",
        ),
        (
            lambda: tfl.zeros((2, 3), float),
            DtypeError,
            "zeros: shape must be an integer or a sequence of integers, got ((2, 3), <class",
        ),
        (lambda: tfl.zeros(2, int), DtypeError, "zeros: shape must be an integer or a sequence"),
        (lambda: tfl.zeros(2, device=0), DeviceError, "device: must be one of 'cpu', 'cuda'"),
        (lambda: tfl.empty(2, device=0), DeviceError, "device: must be one of 'cpu', 'cuda'"),
        (lambda: tfl.zeros(2, dtype="float8"), DtypeError, "dtype: must be one of bool, int8"),
        (
            lambda: tfl.full(2, [1, 2]),
            DtypeError,
            "an operand must be a Tensor, an array or a number, got list",
        ),
        (
            lambda: tfl.full(2, tfl.ones(2)),
            ShapeError,
            "full: the value must be one number, got shape (2,)",
        ),
        (lambda: tfl.arange(0, 1, 0), ArgumentError, "arange: step must not be 0"),
        (
            lambda: tfl.linspace(0, 1, -1),
            ArgumentError,
            "linspace: num must not be negative, got -1",
        ),
        (lambda: tfl.eye(-1), ShapeError, "eye: lengths must not be negative"),
        (
            lambda: tfl.meshgrid(tfl.ones((2, 2))),
            ShapeError,
            "meshgrid: each tensor must have one axis",
        ),
        (
            lambda: tfl.meshgrid(indexing="yx"),
            ArgumentError,
            "meshgrid: indexing must be 'xy' or 'ij', got 'yx'",
        ),
        (
            lambda: tfl.from_numpy([1.0]),
            DtypeError,
            "from_numpy: a NumPy array is needed, got list",
        ),
        (
            lambda: tfl.from_dlpack([1.0]),
            DtypeError,
            "from_dlpack: an object with __dlpack__ is needed, got list",
        ),
    ]:
        with pytest.raises(error) as caught:
            call()
        assert text in str(caught.value)


# -- of tensors: their gradients stay --------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "expected", "count"),
    [
        (lambda t: tfl.full((2, 3), t), np.full((2, 3), 1.5), 6),
        (lambda t: tfl.full((), t, dtype=tfl.float64), np.array(1.5), 1),
        (lambda t: tfl.full(2, t[None]), np.full(2, 1.5), 2),
        (lambda t: tfl.full((0,), t), np.zeros(0), 0),
        (lambda t: tfl.full_like(tfl.zeros(3), t), np.full(3, 1.5), 3),
        (lambda t: tfl.zeros(1, dtype=tfl.float64).new_full((2,), t), np.full(2, 1.5), 2),
        (lambda t: tfl.tensor([t, t * 2, 7.0]), np.array([1.5, 3, 7]), 3),
        (lambda t: tfl.tensor([[t, 1], [2.5, t]], dtype=tfl.float64), [[1.5, 1], [2.5, 1.5]], 2),
        (lambda t: tfl.asarray((t, np.float32(2))), [1.5, 2], 1),
        (lambda t: tfl.tensor([t.broadcast_to((2,)), [3, 4]]), [[1.5, 1.5], [3, 4]], 2),
        (lambda t: tfl.zeros(1).new_tensor([t, 2]), [1.5, 2], 1),
    ],
)  # fmt: skip
def test_gradients_flow_to_tensors_among_the_data(make, expected, count) -> None:
    t = tfl.tensor(1.5, requires_grad=True)
    made = make(t)
    np.testing.assert_array_equal(made.detach().numpy(), expected)
    made.sum().backward()
    assert t.grad.item() == count
    with tfl.no_grad():
        assert not make(t).requires_grad


def test_sequences_of_tensors_on_a_device(backend: TestBackend) -> None:
    t, whole = backend.leaf(np.array([1.5, 2.5])), backend.tensor(np.array([1, 2]))
    for made in (tfl.tensor([t, [3.0, 4.0]]), tfl.full((2, 2), t[0]), tfl.tensor([[t[0], 1]] * 2)):
        assert made.requires_grad and made.device == t.device and made.dtype == "float64"
    assert tfl.tensor([whole, t]).dtype == "float64" and tfl.tensor([whole, whole]).dtype == "int64"
    assert tfl.tensor([t, t], device="cpu").device == "cpu"
    leaf = tfl.tensor([t, t], requires_grad=True)
    assert leaf.is_leaf and leaf.requires_grad


def test_what_cannot_keep_a_gradient_raises() -> None:
    t = tfl.tensor(1.5, requires_grad=True)
    for call, text in (
        (lambda: tfl.arange(t, 3), "arange: start and step must be numbers, got a tensor that req"),
        (lambda: tfl.arange(0, 3, t), r"requires grad; use start \+ step \* arange\(n\)"),
        (lambda: tfl.linspace(0, t, 3), "linspace: start and stop must be numbers, got a tensor"),
    ):
        with pytest.raises(GradientError, match=text):
            call()
    assert tfl.arange(0, t).tolist() == [0, 1]
    assert tfl.linspace(0, t.detach(), 3).tolist() == [0, 0.75, 1.5]
    with pytest.raises(ShapeError, match=r"tensor: nested data must be rectangular, got .* \(1,\)"):
        tfl.tensor([t, [1.0]])
    with pytest.raises(ShapeError, match=r"full: the value must be one number, got shape \(2,\)"):
        tfl.full(2, tfl.zeros(2))
    with pytest.raises(ShapeError, match=r"full: lengths must not be negative, got \(-1,\)"):
        tfl.full(-1, t)


@pytest.mark.parametrize("make", [tfl.tensor, tfl.asarray])
def test_arrays_with_swapped_bytes_are_turned_round(make):
    swapped = np.array([1.5, -2.0]).astype(np.dtype("f4").newbyteorder())
    found = make(swapped)
    assert found.dtype == tfl.float32 and found.dtype.isnative
    assert found.tolist() == [1.5, -2.0]
    assert make(swapped, dtype=tfl.float64).dtype == tfl.float64


def test_long_doubles_are_cast_where_a_dtype_is_given():
    long = np.ones(2, np.longdouble)
    if long.dtype == np.float64:
        pytest.skip("long double is float64 here")
    assert tfl.tensor(long, dtype=tfl.float64).dtype == tfl.float64
    with pytest.raises(DtypeError, match="tensor: the dtype must be one of"):
        tfl.tensor(long)


def test_arange_of_fractions_rounds_each_integer_and_not_the_step():
    assert tfl.arange(0, 3, 0.5, dtype=tfl.int64).tolist() == [0, 0, 1, 1, 2, 2]
