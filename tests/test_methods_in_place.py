"""Methods and operators that change a tensor in place."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import (
    DtypeError,
    GradientError,
    ShapeError,
    StaleValueError,
)
from tensorflowlite.ops import methods

from .backends import TestBackend
from .backends import backend as backend
from .operands import INTEGERS, A, B, same

# -- operators in place ----------------------------------------------------------------------------
IN_PLACE = (
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv,
    operator.imod, operator.ipow,
)  # fmt: skip


@pytest.mark.parametrize("op", IN_PLACE)
def test_operators_in_place(op: Any, backend: TestBackend) -> None:
    for other in (B, B[0], 2.0):
        x = backend.tensor(A.copy())
        before, array = x, x.array
        found = op(x, other if isinstance(other, float) else backend.tensor(other))
        assert found is before and found.array is array
        same(found, op(A.copy(), other), backend)


@pytest.mark.parametrize(
    "op", [operator.iand, operator.ior, operator.ixor, operator.ilshift, operator.irshift]
)
def test_bitwise_operators_in_place(op: Any, backend: TestBackend) -> None:
    x = backend.tensor(INTEGERS.copy())
    array = x.array
    found = op(x, 2)
    assert found is x and x.array is array
    same(x, op(INTEGERS.copy(), 2), backend)


@pytest.mark.parametrize(
    "op", [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow]
)
def test_gradients_of_operators_in_place(op: Any, backend: TestBackend) -> None:
    grads = []
    for change in (op, getattr(operator, op.__name__[1:])):
        x, y = backend.leaf(A), backend.leaf(B)
        h = x * 1.5
        view = h[0]
        h = change(h, y)
        if change is op:
            assert view.requires_grad
        (h * backend.tensor(A)).sum().backward()
        grads.append((backend.host(x.grad), backend.host(y.grad)))
    for one, other in zip(*grads, strict=True):
        np.testing.assert_allclose(one, other)


def test_matmul_in_place(backend: TestBackend) -> None:
    square = np.array([[1.0, 2.0], [3.0, 4.0]])
    x, w = backend.leaf(square), backend.leaf(square.T.copy())
    h = x * 1.0
    before, array = h, h.array
    h @= w
    assert h is before and h.array is array
    same(h, square @ square.T, backend)
    (h * h).sum().backward()
    again = backend.leaf(square)
    v = backend.leaf(square.T.copy())
    product = again @ v
    (product * product).sum().backward()
    np.testing.assert_allclose(backend.host(x.grad), backend.host(again.grad))
    np.testing.assert_allclose(backend.host(w.grad), backend.host(v.grad))
    wide = backend.tensor(A)
    with pytest.raises(
        ShapeError, match=r"matmul_: the product must have the tensor's shape, got \(2, 2\) into"
    ):
        wide @= backend.tensor(B.T)


def test_in_place_refuses_what_does_not_fit(backend: TestBackend) -> None:
    x = backend.tensor(A.copy())
    with pytest.raises(ShapeError):
        x += backend.tensor(np.ones((4, 2, 3)))
    integers = backend.tensor(INTEGERS.copy())
    with pytest.raises(DtypeError):
        integers += 0.5
    with pytest.raises(DtypeError):
        integers /= 2
    with pytest.raises(DtypeError):
        x += backend.tensor(A * 1j)
    same(x, A, backend)
    same(integers, INTEGERS, backend)
    leaf = backend.leaf(A)
    with pytest.raises(
        GradientError, match="add_: the tensor must not be a leaf that requires grad"
    ):
        leaf += 1
    with tfl.no_grad():
        leaf += 1
    same(leaf.detach(), A + 1, backend)


def test_in_place_text_operand_is_a_type_error() -> None:
    x: Any = tfl.ones(3)
    for op in IN_PLACE:
        with pytest.raises(TypeError):
            op(x, "text")


@pytest.mark.parametrize("dtype", [tfl.float16, tfl.bfloat16])
def test_halves_in_place(dtype: Any, backend: TestBackend) -> None:
    x = backend.tensor(np.array([1.0, 2.0]), dtype=dtype)
    array = x.array
    x += 1
    x *= backend.tensor(np.array([0.5, 2.0], np.float32))
    x.sqrt_()
    assert x.array is array and x.dtype == dtype
    np.testing.assert_allclose(x.tolist(), [1, 2.45], rtol=1e-2)


# -- methods in place ------------------------------------------------------------------------------
UNARY = [*sorted(f"{f.__name__}_" for f in methods._UNARY_IN_PLACE), "neg_", "abs_"]


@pytest.mark.parametrize("name", UNARY)
def test_unary_methods_in_place(name: str, backend: TestBackend) -> None:
    """Values and gradients are those of the function, also through a view."""
    function = getattr(tfl.Tensor, name[:-1])
    values = np.array([[0.3, 0.5, 0.25], [0.75, 0.1, 0.9]]) + (1 if name == "acosh_" else 0)
    x, y = backend.leaf(values), backend.leaf(values)
    h, base = x * 1.0, backend.tensor(np.zeros((4, 3)))
    array = h.array
    assert getattr(h, name)() is h and h.array is array
    (h * backend.tensor(A)).sum().backward()
    base[1:3] = y
    getattr(base[1:3], name)()
    (base[1:3] * backend.tensor(A)).sum().backward()
    z = backend.leaf(values)
    out = function(z)
    (out * backend.tensor(A)).sum().backward()
    np.testing.assert_array_equal(backend.host(h.detach()), backend.host(out.detach()))
    np.testing.assert_allclose(backend.host(x.grad), backend.host(z.grad))
    np.testing.assert_allclose(backend.host(y.grad), backend.host(z.grad))


BINARY = [
    "mul_",
    "div_",
    "pow_",
    "atan2_",
    "hypot_",
    "copysign_",
    "remainder_",
    "floor_divide_",
    "add_",
    "sub_",
]


@pytest.mark.parametrize("name", BINARY)
def test_binary_methods_in_place(name: str, backend: TestBackend) -> None:
    grads = []
    for spelled in (name, name[:-1]):
        x, y = backend.leaf(A), backend.leaf(B)
        h = x * 1.5
        out = getattr(h, spelled)(y)
        assert (out is h) == (spelled == name)
        (out * backend.tensor(B)).sum().backward()
        grads.append([backend.host(t) for t in (out.detach(), x.grad, y.grad)])
    for one, other in zip(*grads, strict=True):
        np.testing.assert_allclose(one, other)


def test_alpha_and_value(backend: TestBackend) -> None:
    x, y = backend.tensor(A.copy()), backend.tensor(B)
    same(x.add(y, alpha=2), A + 2 * B, backend)
    same(x.sub(1, alpha=0.5), A - 0.5, backend)
    same(x.addcmul(y, y, value=0.5), A + 0.5 * B * B, backend)
    same(x.addcdiv(y, x, value=2), A + 2 * B / A, backend)
    same(x.lerp(y, 0.25), A + 0.25 * (B - A), backend)
    for name, args, options, expected in (
        ("add_", (y,), {"alpha": 2}, A + 2 * B),
        ("sub_", (y,), {"alpha": 3}, A - 3 * B),
        ("addcmul_", (y, y), {"value": 0.5}, A + 0.5 * B * B),
        ("addcdiv_", (y, y), {"value": 2}, A + 2.0),
        ("lerp_", (y, 0.25), {}, A + 0.25 * (B - A)),
    ):
        z = backend.tensor(A.copy())
        assert getattr(z, name)(*args, **options) is z
        same(z, expected, backend)


def test_gradient_of_lerp_in_place(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    (x * 1.0).lerp_(y, 0.25).sum().backward()
    np.testing.assert_allclose(backend.host(x.grad), 0.75)
    np.testing.assert_allclose(backend.host(y.grad), 0.25)


def test_filling_and_copying(backend: TestBackend) -> None:
    x = backend.tensor(A.copy())
    array = x.array
    assert x.zero_() is x
    same(x, np.zeros_like(A), backend)
    same(x.fill_(2.5), np.full_like(A, 2.5), backend)
    same(x.copy_(backend.tensor(INTEGERS)), INTEGERS.astype(float), backend)
    same(x.copy_(backend.tensor(A[0])), np.broadcast_to(A[0], A.shape), backend)
    same(
        x.masked_fill_(x > 2, -1), np.where(np.broadcast_to(A[0], A.shape) > 2, -1.0, A[0]), backend
    )
    same(
        x.masked_fill_(backend.tensor(np.array([True, False, False])), 9)[:, 0],
        np.array([9.0, 9.0]),
        backend,
    )
    assert x.array is array
    same(
        backend.tensor(np.array([1.7, -1.7])).copy_(backend.tensor(np.array([1, 2]))),
        np.array([1.0, 2.0]),
        backend,
    )
    same(backend.tensor(INTEGERS.copy()).copy_(backend.tensor(A + 0.5)), A.astype(int), backend)
    flags = backend.tensor(np.array([True, False]))
    same(flags.zero_(), np.array([False, False]), backend)
    same(flags.fill_(True), np.array([True, True]), backend)


def test_copying_moves_between_devices(backend: TestBackend) -> None:
    x = backend.tensor(np.zeros((2, 3)))
    source = tfl.Tensor(A.copy(), requires_grad=True)
    x.copy_(source)
    assert x.device == backend.device
    (x * x).sum().backward()
    assert type(source.grad.array) is np.ndarray
    np.testing.assert_array_equal(source.grad.numpy(), 2 * A)


def test_gradients_of_filling_and_copying(backend: TestBackend) -> None:
    x, y = backend.leaf(A), backend.leaf(B)
    h = x * 2.0
    h.copy_(y)
    h[0].zero_()
    h[1, 1:].masked_fill_(backend.tensor(np.array([True, False])), 3.0)
    h.sum().backward()
    np.testing.assert_array_equal(backend.host(y.grad), [[0, 0, 0], [1, 0, 1]])
    np.testing.assert_array_equal(backend.host(x.grad), np.zeros((2, 3)))


def test_clamp_in_place(backend: TestBackend) -> None:
    x = backend.leaf(A)
    h = (x * 1.0).clamp_(2, 5)
    same(h.detach(), np.clip(A, 2, 5), backend)
    h.sum().backward()
    np.testing.assert_array_equal(backend.host(x.grad), [[0, 1, 1], [1, 1, 0]])
    same(backend.tensor(A.copy()).clip_(max=3), np.minimum(A, 3), backend)
    same(backend.tensor(A).clamp_min(3), np.maximum(A, 3), backend)
    same(backend.tensor(A).clamp_max(3), np.minimum(A, 3), backend)


@pytest.mark.parametrize(
    "name", ["zero_", "exp_", "fill_", "copy_", "clamp_", "masked_fill_", "matmul_"]
)
def test_leaves_are_refused_by_name(name: str) -> None:
    x = tfl.ones((2, 2), requires_grad=True)
    arguments: dict[str, tuple[Any, ...]] = {
        "fill_": (1.0,), "copy_": (tfl.zeros((2, 2)),), "clamp_": (0,),
        "masked_fill_": (x > 0, 1.0),
    }  # fmt: skip
    if name == "matmul_":
        with pytest.raises(GradientError, match="matmul_: the tensor must not be a leaf"):
            x @= tfl.ones((2, 2))
        return
    with pytest.raises(GradientError, match=f"{name}: the tensor must not be a leaf"):
        getattr(x, name)(*arguments.get(name, ()))
    assert x.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_in_place_after_saving_is_told(backend: TestBackend) -> None:
    x = backend.leaf(A)
    h = x * 2.0
    out = h * h
    h.sqrt_()
    with pytest.raises(StaleValueError, match=r"multiply .*changed in place"):
        out.sum().backward()


def test_abs_of_complex_numbers_in_place() -> None:
    with pytest.raises(
        DtypeError, match=r"abs_: the tensor must be real, got complex64, .*use abs\(\)"
    ):
        tfl.tensor([1 + 1j]).abs_()


def test_random_filling(backend: TestBackend) -> None:
    tfl.manual_seed(0)
    x = backend.tensor(np.zeros((50, 40), np.float32))
    x.uniform_(2, 3)
    values = backend.host(x)
    assert values.min() >= 2 and values.max() < 3 and abs(values.mean() - 2.5) < 0.05
    assert abs(backend.host(x.normal_(1, 2)).mean() - 1) < 0.2
    half = backend.host(backend.tensor(np.zeros(20000), dtype=tfl.bfloat16).uniform_())
    assert 0.9 < half.astype(np.float64).max() < 1
    double = backend.host(backend.tensor(np.zeros(20)).uniform_())
    assert (double != double.astype(np.float32)).any()
    assert x.dtype == tfl.float32


def test_detach_in_place() -> None:
    x = tfl.ones(3, requires_grad=True)
    h = x * 2
    assert h.detach_() is h and not h.requires_grad
    with pytest.raises(GradientError, match="detach_: the tensor must not be a view"):
        (x * 2)[0].detach_()
