"""Methods and operators of tensors."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.errors import (
    DtypeError,
    ShapeError,
    TensorflowliteError,
    UnsupportedArgumentError,
)
from tensorflowlite.ops import methods

from .backends import TestBackend
from .backends import backend as backend
from .operands import ARITHMETIC, BITWISE, COMPARISONS, INTEGERS, A, B, same


# -- the table -------------------------------------------------------------------------------------
def test_every_entry_is_attached_and_described() -> None:
    for name, value in methods.METHODS.items():
        assert vars(tfl.Tensor)[name] is value
        described = value.fget if isinstance(value, property) else getattr(value, "hook", value)
        assert callable(described)
        if not name.startswith("__"):
            assert described.__doc__, name


# -- operators -------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", ARITHMETIC + COMPARISONS)
def test_operators_of_tensors_and_numbers(op: Any, backend: TestBackend) -> None:
    x, y = backend.tensor(A), backend.tensor(B)
    same(op(x, y), op(A, B), backend)
    same(op(x, 2), op(A, 2), backend)
    same(op(x, 2.5), op(A, 2.5), backend)
    same(op(2, x), op(2, A), backend)
    same(op(np.float64(2.5), x), op(2.5, A), backend)


@pytest.mark.parametrize("op", [*ARITHMETIC, *COMPARISONS, operator.matmul])
def test_operators_with_arrays_of_numpy(op: Any) -> None:
    right = B.T.copy() if op is operator.matmul else B
    for found in (op(tfl.Tensor(A), right), op(A, tfl.Tensor(right))):
        assert type(found) is tfl.Tensor
        np.testing.assert_allclose(found.numpy(), op(A, right))


def test_arrays_keep_gradients_flowing() -> None:
    x = tfl.Tensor(B, requires_grad=True)
    (A * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), A)


@pytest.mark.parametrize("op", BITWISE)
def test_bitwise_operators(op: Any, backend: TestBackend) -> None:
    x, other = backend.tensor(INTEGERS), INTEGERS[::-1] % 4
    same(op(x, backend.tensor(other)), op(INTEGERS, other), backend)
    same(op(x, 1), op(INTEGERS, 1), backend)
    same(op(2, x), op(2, INTEGERS), backend)


def test_unary_operators(backend: TestBackend) -> None:
    x = backend.tensor(A - 3)
    same(-x, -(A - 3), backend)
    same(+x, A - 3, backend)
    same(abs(x), np.abs(A - 3), backend)
    same(~backend.tensor(INTEGERS), ~INTEGERS, backend)
    same(~(x > 0), ~(A - 3 > 0), backend)
    same((x > 0) & (x < 2) | (x == -2), (A - 3 > 0) & (A - 3 < 2) | (A - 3 == -2), backend)


def test_divmod(backend: TestBackend) -> None:
    for found, expected in (
        (divmod(backend.tensor(A), 2), divmod(A, 2)),
        (divmod(7, backend.tensor(A)), divmod(7, A)),
    ):
        for one, other in zip(found, expected, strict=True):
            same(one, other, backend)


@pytest.mark.parametrize("op", [*ARITHMETIC, operator.matmul, operator.and_, divmod, operator.lt])
@pytest.mark.parametrize("other", ["text", None, {1.0: 2.0}, object()])
def test_unknown_operands_give_type_errors(op: Any, other: Any) -> None:
    for left, right in ((tfl.ones(3), other), (other, tfl.ones(3))):
        if (isinstance(left, str) and op is operator.mod) or (
            other == "text" and op is operator.mul
        ):
            continue  # that is formatting, and repeating
        with pytest.raises(TypeError) as caught:
            op(left, right)
        assert not isinstance(caught.value, DtypeError)  # it is Python's own


def test_unknown_operands_are_not_equal() -> None:
    x = tfl.ones(3)
    assert (x == "text") is False and (x != None) is True  # noqa: E711


class Other:
    """Knows what to do with a tensor on its left."""

    def __radd__(self, other: Any) -> str:
        return "mine"

    __rmatmul__ = __rsub__ = __rmod__ = __radd__


def test_the_other_operand_gets_its_turn() -> None:
    x: Any = tfl.ones((2, 2))
    assert x + Other() == x - Other() == x % Other() == x @ Other() == "mine"
    x += Other()
    assert x == "mine"


# -- Python's protocols ----------------------------------------------------------------------------
def test_iteration(backend: TestBackend) -> None:
    x = backend.leaf(A)
    first, second = x
    same(first.detach(), A[0], backend)
    (first * 2 + second).sum().backward()
    np.testing.assert_array_equal(backend.host(x.grad), [[2, 2, 2], [1, 1, 1]])
    assert [one.item() for one in backend.tensor(np.arange(3))] == [0, 1, 2]
    assert list(backend.tensor(np.zeros((0, 2)))) == []
    with pytest.raises(TypeError, match=r"iter: a tensor without axes can't be iterated over"):
        iter(tfl.tensor(1.0))


def test_iterated_slices_are_views(backend: TestBackend) -> None:
    x = backend.tensor(A.copy())
    for row in x:
        row.zero_()
    same(x, np.zeros_like(A), backend)


def test_containment(backend: TestBackend) -> None:
    x = backend.tensor(A)
    assert 3.0 in x and 7 not in x and "text" not in x and None not in x


def test_power_of_three_arguments_is_no_operation() -> None:
    with pytest.raises(TypeError):
        pow(tfl.ones(2), 2, 3)


# -- casts and devices -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("float", tfl.float32), ("double", tfl.float64), ("half", tfl.float16),
        ("short", tfl.int16), ("bfloat16", tfl.bfloat16),
        ("int", tfl.int32), ("long", tfl.int64), ("bool", tfl.bool_),
    ],
)  # fmt: skip
def test_casts(name: str, dtype: Any, backend: TestBackend) -> None:
    x = backend.tensor(np.array([0.0, 1.5, 2.0]))
    cast = getattr(x, name)()
    assert cast.dtype == dtype
    assert getattr(cast, name)() is cast
    assert x.astype(dtype).dtype == dtype


def test_casts_keep_gradients_among_floats(backend: TestBackend) -> None:
    x = backend.leaf(A)
    x.float().sum().backward()
    assert x.grad.dtype == tfl.float64
    assert not x.int().requires_grad


def test_to(backend: TestBackend) -> None:
    x = backend.tensor(A)
    assert x.to() is x and x.to(backend.device) is x and x.to(tfl.float64) is x
    assert x.to(dtype=tfl.float64, copy=True) is not x
    moved = x.to("cpu", tfl.float32)
    assert moved.device == "cpu" and moved.dtype == tfl.float32
    assert x.cpu().device == "cpu"
    like = x.to(moved)
    assert like.device == "cpu" and like.dtype == tfl.float32
    assert x.type_as(moved).dtype == tfl.float32
    assert moved.to(device=backend.device, non_blocking=True).device == backend.device


def test_layout(backend: TestBackend) -> None:
    x = backend.tensor(A)
    assert x.is_contiguous() and x.contiguous() is x
    turned = x.T
    assert not turned.is_contiguous()
    same(turned.contiguous(), A.T, backend)
    assert turned.contiguous().is_contiguous()
    assert (x.dim(), x.numel(), x.size, x.element_size(), x.itemsize) == (2, 6, 6, 8, 8)
    assert x.is_floating_point() and not x.is_complex()
    assert backend.tensor(A * 1j).is_complex()


# -- shapes ----------------------------------------------------------------------------------------
CUBE = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (lambda x: x.reshape(4, 6), CUBE.reshape(4, 6)),
        (lambda x: x.reshape((4, -1)), CUBE.reshape(4, 6)),
        (lambda x: x.reshape(24), CUBE.reshape(24)),
        (lambda x: x.reshape(shape=(6, 4)), CUBE.reshape(6, 4)),
        (lambda x: x.view(6, 4), CUBE.reshape(6, 4)),
        (lambda x: x.view((-1,)), CUBE.reshape(24)),
        (lambda x: x.view_as(tfl.zeros((4, 6))), CUBE.reshape(4, 6)),
        (lambda x: x.flatten(), CUBE.reshape(24)),
        (lambda x: x.flatten(start_dim=1), CUBE.reshape(2, 12)),
        (lambda x: x.flatten(0, end_dim=1), CUBE.reshape(6, 4)),
        (lambda x: x.ravel(), CUBE.reshape(24)),
        (lambda x: x.transpose(), CUBE.transpose()),
        (lambda x: x.transpose((2, 0, 1)), CUBE.transpose(2, 0, 1)),
        (lambda x: x.transpose(2, 0, 1), CUBE.transpose(2, 0, 1)),
        (lambda x: x.permute(2, 0, 1), CUBE.transpose(2, 0, 1)),
        (lambda x: x.permute((2, 0, 1)), CUBE.transpose(2, 0, 1)),
        (lambda x: x.permute(dims=(2, 0, 1)), CUBE.transpose(2, 0, 1)),
        (lambda x: x.permute_dims((2, 0, 1)), CUBE.transpose(2, 0, 1)),
        (lambda x: x.T, CUBE.T),
        (lambda x: x.mT, CUBE.swapaxes(1, 2)),
        (lambda x: x.mH, CUBE.swapaxes(1, 2)),
        (lambda x: x[0].t(), CUBE[0].T),
        (lambda x: x[0, 0].t(), CUBE[0, 0]),
        (lambda x: x.swapaxes(0, -1), CUBE.swapaxes(0, -1)),
        (lambda x: x.moveaxis(0, -1), np.moveaxis(CUBE, 0, -1)),
        (lambda x: x.unsqueeze(1).squeeze(dim=1), CUBE),
        (lambda x: x.expand_dims(0).squeeze(), CUBE),
        (lambda x: x[:, :1].expand(-1, 3, 4), np.broadcast_to(CUBE[:, :1], (2, 3, 4))),
        (lambda x: x[0].expand(2, -1, -1), np.broadcast_to(CUBE[0], (2, 3, 4))),
        (lambda x: x[0].expand_as(x), np.broadcast_to(CUBE[0], (2, 3, 4))),
        (lambda x: x.flip(0, -1), np.flip(CUBE, (0, -1))),
        (lambda x: x.flip(dims=(1,)), np.flip(CUBE, 1)),
        (lambda x: x.flip(), np.flip(CUBE)),
        (lambda x: x.roll(1, 0), np.roll(CUBE, 1, 0)),
        (lambda x: x.roll(shifts=2, dims=-1), np.roll(CUBE, 2, -1)),
        (lambda x: x.diagonal(1, dim1=1, dim2=2), np.diagonal(CUBE, 1, 1, 2)),
        (lambda x: x.tril(diagonal=-1), np.tril(CUBE, -1)),
        (lambda x: x.triu(1), np.triu(CUBE, 1)),
        (lambda x: x.chunk(2, dim=2)[1], CUBE[:, :, 2:]),
        (lambda x: x.split(3, axis=1)[2], CUBE[:, 2:]),
        (lambda x: x.unbind(1)[2], CUBE[:, 2]),
        (lambda x: x.tile(2, 1, 1), np.tile(CUBE, (2, 1, 1))),
        (lambda x: x.tile((2,)), np.tile(CUBE, (2,))),
        (lambda x: x.repeat(2), np.repeat(CUBE, 2)),
        (lambda x: x.repeat(2, axis=1), np.repeat(CUBE, 2, 1)),
        (lambda x: x.repeat_interleave(2, dim=1), np.repeat(CUBE, 2, 1)),
        (lambda x: x.select(1, -1), CUBE[:, -1]),
        (lambda x: x.narrow(2, 1, 2), CUBE[:, :, 1:3]),
        (lambda x: x.take([1, 5]), np.take(CUBE, [1, 5])),
        (lambda x: x.index_select(2, [3, 0]), CUBE[:, :, [3, 0]]),
        (lambda x: x.masked_select(x > 20), CUBE[CUBE > 20]),
        (lambda x: x.masked_fill(x > 3, 0), np.where(CUBE > 3, 0, CUBE)),
        (lambda x: x.where(x > 3, -x), np.where(CUBE > 3, CUBE, -CUBE)),
        (lambda x: x.clamp(min=3, max=9), np.clip(CUBE, 3, 9)),
        (lambda x: (x / 7).round(decimals=2), np.round(CUBE / 7, 2)),
        (lambda x: x.amax(dim=(0, 1)), CUBE.max((0, 1))),
        (lambda x: x.amin(dim=1, keepdim=True), CUBE.min(1, keepdims=True)),
        (lambda x: x.cumsum(dim=1), CUBE.cumsum(1)),
        (lambda x: x.softmax(dim=1).sum(1), np.ones((2, 4))),
        (lambda x: x.mul(2).add(1).sub(3).div(2).pow(2).neg(), -(((CUBE * 2 - 2) / 2) ** 2)),
    ],
)  # fmt: skip
def test_methods_against_numpy(method: Any, expected: Any) -> None:
    found = method(tfl.Tensor(CUBE))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert found.shape == expected.shape


def test_products(backend: TestBackend) -> None:
    x, y = backend.tensor(A), backend.tensor(B)
    same(x.mm(y.T), A @ B.T, backend)
    same(x.matmul(y.mT), A @ B.T, backend)
    same(x.mv(y[0]), A @ B[0], backend)
    same(x[0].dot(y[0]), np.asarray(A[0] @ B[0]), backend)
    cube = backend.tensor(CUBE)
    same(cube.bmm(cube.mT), CUBE @ CUBE.swapaxes(1, 2), backend)
    for name, one, two, text in (
        ("mm", cube, x, r"mm: inputs of 2 and 2 axes are needed, got \(2, 3, 4\) and \(2, 3\)"),
        ("bmm", x, x, "bmm: inputs of 3 and 3 axes"),
        ("dot", cube, x, "dot: at most two axes are expected"),
    ):
        with pytest.raises(ShapeError, match=text):
            getattr(one, name)(two)


# -- what would mean something else ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda x: x.transpose(0, 1),
            "transpose: a tuple of all axes is needed, got 0, 1; use swapaxes(0, 1), or "
            "permute_dims with a tuple",
        ),
        (lambda x: x.transpose(-2, -1), "use swapaxes(-2, -1), or permute_dims with a tuple"),
        (lambda x: x.transpose(dim0=0, dim1=1), "use swapaxes(0, 1)"),
        (
            lambda x: x.repeat(2, 3),
            "repeat: one positional argument is allowed, got (2, 3); use tile((2, 3)) to lay",
        ),
        (lambda x: x.split(1, dim=0), "split: axis= is needed, got dim="),
        (lambda x: x.view(tfl.int32), "got the dtype dtype('int32'); use astype(dtype)"),
        (lambda x: x.view("int32"), "view: a shape is needed"),
        (lambda x: x.max(dim=0), "max: dim= is PyTorch's spelling; use axis= for the values"),
        (lambda x: x.min(dim=0), "min: dim= is PyTorch's spelling; use axis= for the values"),
        (lambda x: x.sort(dim=0), "sort: dim= is PyTorch's spelling"),
        (lambda x: x.var(dim=0), "var: dim= is PyTorch's spelling; use axis=, and correction=1"),
        (lambda x: x.std(dim=0), "std: dim= is PyTorch's spelling; use axis=, and correction=1"),
        (
            lambda x: x.flatten(start_dim=0, start_axis=0),
            "flatten: one of start_axis and start_dim is needed, got both",
        ),
    ],
)  # fmt: skip
def test_refused_spellings(call: Any, text: str) -> None:
    with pytest.raises(UnsupportedArgumentError) as caught:
        call(tfl.ones((2, 2)))
    assert text in str(caught.value)
    assert isinstance(caught.value, TypeError) and isinstance(caught.value, TensorflowliteError)


def test_true_is_no_axis() -> None:
    for call in (lambda x: x.std(False), lambda x: x.sum(True)):
        with pytest.raises(
            DtypeError, match="axis must be an integer, a tuple of them or None, got"
        ):
            call(tfl.ones((2, 2)))


def test_other_errors_of_methods() -> None:
    with pytest.raises(
        ShapeError, match=r"t: at most two axes are expected, got shape \(2, 3, 4\); use mT"
    ):
        tfl.zeros((2, 3, 4)).t()
    with pytest.raises(
        ShapeError, match=r"expand: -1 stands for a length that is there, got \(3,\) -> \(-1, 3\)"
    ):
        tfl.zeros(3).expand(-1, 3)
    with pytest.raises(
        ShapeError, match="narrow: the places must lie on the axis, got 1 and length 3 of 3"
    ):
        tfl.zeros(3).narrow(0, 1, 3)
