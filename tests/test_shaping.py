"""Shaping, joining and casting, beyond the op table: views, in-place changes, dtypes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorflowlite as tfl
from tensorflowlite.errors import DtypeError, ShapeError, UnsupportedArgumentError
from tests.backends import backend as backend


def numbered(*shape, dtype=np.float64):
    return (np.arange(np.prod(shape, dtype=int)) + 1).reshape(shape).astype(dtype)


VIEWS = {
    "reshape": lambda x: tfl.reshape(x, (4, 3)),
    "flatten": lambda x: tfl.flatten(x),
    "squeeze": lambda x: tfl.squeeze(tfl.expand_dims(x, 1), 1),
    "expand_dims": lambda x: tfl.expand_dims(x, (0, -1)),
    "permute_dims": lambda x: tfl.permute_dims(x, (1, 0)),
    "swapaxes": lambda x: tfl.swapaxes(x, 0, -1),
    "moveaxis": lambda x: tfl.moveaxis(x, 0, 1),
    "matrix_transpose": tfl.matrix_transpose,
    "flip": lambda x: tfl.flip(x, 1),
    "diagonal": lambda x: tfl.diagonal(x, 1),
    "split": lambda x: tfl.split(x, 3)[1],
    "chunk": lambda x: tfl.chunk(x, 2, 1)[1],
    "unstack": lambda x: tfl.unstack(x, 1)[2],
    "unstack of a column": lambda x: tfl.unstack(tfl.unstack(x)[2])[1],
    "split of a split": lambda x: tfl.split(tfl.split(x, 3)[2], 2, axis=1)[0],
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory_and_record_what_is_done_to_them(name, backend) -> None:
    view_of = VIEWS[name]
    leaf = backend.leaf(numbered(3, 4))
    w = backend.leaf(3.0)
    x = leaf * 1.0
    view = view_of(x)
    view *= w
    a, weights = numbered(3, 4), numbered(3, 4) ** 2
    inside = np.zeros((3, 4), bool)
    places = view_of(tfl.tensor(np.arange(12).reshape(3, 4))).numpy().reshape(-1)
    inside.reshape(-1)[places] = True
    np.testing.assert_allclose(backend.host(x), np.where(inside, 3 * a, a))
    (x * backend.tensor(weights)).sum().backward()
    np.testing.assert_allclose(backend.host(leaf.grad), np.where(inside, 3 * weights, weights))
    np.testing.assert_allclose(backend.host(w.grad), (a * weights)[inside].sum())


def test_views_see_what_is_done_to_their_root() -> None:
    w = tfl.tensor([2.0, 3.0, 4.0, 5.0], requires_grad=True)
    x = tfl.zeros((3, 4)) * 1.0
    first, second, third = tfl.split(x, 3)
    x[1] = w
    (second * second).sum().backward()
    assert w.grad.tolist() == [4, 6, 8, 10]
    assert first.sum().item() == third.sum().item() == 0


def test_copies_are_copies() -> None:
    for function in (
        lambda x: tfl.tile(x, 1), lambda x: tfl.repeat(x, 1, axis=0), lambda x: tfl.roll(x, 0),
        lambda x: tfl.concat([x]), tfl.clone, lambda x: tfl.reshape(x, (3,), copy=True),
        lambda x: tfl.astype(x, tfl.float32), tfl.real, tfl.clip,
    ):  # fmt: skip
        x = tfl.ones(3)
        changed = function(x)
        changed += 1
        assert x.tolist() == [1, 1, 1]
        assert changed.tolist() == [2, 2, 2]
    x = tfl.ones(3)
    assert tfl.astype(x, tfl.float32, copy=False) is x


def test_reshape_without_a_copy() -> None:
    x = tfl.zeros((2, 3))
    assert np.shares_memory(tfl.reshape(x, (3, 2), copy=False).numpy(), x.numpy())
    with pytest.raises(
        ShapeError, match=r"reshape: with copy=False the memory must allow a view, got strides"
    ):
        tfl.reshape(tfl.permute_dims(x, (1, 0)), (6,), copy=False)


def test_unstacking_costs_one_gradient_of_the_whole() -> None:
    x = tfl.tensor(numbered(500, 2), requires_grad=True)
    total = sum((row * i).sum() for i, row in enumerate(tfl.unstack(x)))
    total.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.arange(500)[:, None] * np.ones(2))


def test_pieces_that_nobody_uses_have_a_zero_gradient() -> None:
    x = tfl.tensor(numbered(4, 2), requires_grad=True)
    _, used = tfl.split(x, 2)
    used.sum().backward()
    assert x.grad.tolist() == [[0, 0], [0, 0], [1, 1], [1, 1]]


def test_pytorch_spelling_of_split_raises() -> None:
    with pytest.raises(UnsupportedArgumentError, match="split: axis= is needed, got dim="):
        tfl.split(tfl.zeros(4), 2, dim=0)


def test_aliases_mean_the_same() -> None:
    x = tfl.tensor(numbered(2, 3))
    for ours, theirs in [
        (tfl.concat([x, x], axis=1), tfl.cat([x, x], dim=1)),
        (tfl.expand_dims(x, -1), tfl.unsqueeze(x, -1)),
        (tfl.permute_dims(x, (1, 0)), tfl.permute(x, (1, 0))),
        (tfl.unstack(x, axis=1)[1], tfl.unbind(x, dim=1)[1]),
        (tfl.clip(x, 2, 4), tfl.clamp(x, 2, 4)),
        (tfl.where(x > 2, 0.0, x), tfl.masked_fill(x, x > 2, 0.0)),
        (tfl.multiply(x, 3), tfl.mul(x, 3)),
        (tfl.subtract(x, 3), tfl.sub(x, 3)),
        (tfl.divide(x, 3), tfl.div(x, 3)),
        (x.softmax(-1), tfl.softmax(x, dim=-1)),
        (x.log_softmax(0), tfl.log_softmax(x, dim=0)),
    ]:
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        assert ours.dtype == theirs.dtype


def test_random_aliases_draw_the_same_numbers() -> None:
    x = tfl.zeros((2, 3), dtype=tfl.float64)
    for ours, theirs in [
        (lambda: tfl.random.permutation(9), lambda: tfl.randperm(9)),
        (lambda: tfl.random.randint(0, 9, (2, 3)), lambda: tfl.randint(0, 9, (2, 3))),
        (lambda: tfl.rand(2, 3, dtype=tfl.float64), lambda: tfl.rand_like(x)),
        (lambda: tfl.randn(2, 3), lambda: tfl.randn_like(x, dtype=tfl.float32)),
    ]:
        tfl.manual_seed(5)
        one = ours()
        tfl.manual_seed(5)
        other = theirs()
        np.testing.assert_array_equal(one.numpy(), other.numpy())
        assert one.dtype == other.dtype


def test_pytorchs_names_of_dtypes_and_devices() -> None:
    for name, dtype in {"half": "float16", "float": "float32", "double": "float64",
                        "short": "int16", "int": "int32", "long": "int64"}.items():  # fmt: skip
        assert getattr(tfl, name) == tfl.zeros(1, dtype=getattr(tfl, name)).dtype == dtype
        assert getattr(tfl.zeros(1), name)().dtype == getattr(tfl, name)
    assert tfl.zeros(1).to(tfl.device("cpu")).device == tfl.device("cpu")


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4, min_side=0))
def test_broadcast_shapes_are_numpys(case) -> None:
    assert tfl.broadcast_shapes(*case.input_shapes) == case.result_shape


@given(st.lists(st.integers(0, 4), max_size=4), st.data())
def test_moveaxis_is_numpys(shape, data) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    count = data.draw(st.integers(0, len(shape)))
    source, destination = (
        tuple(order[:count]),
        tuple(data.draw(st.permutations(range(len(shape))))[:count]),
    )
    a = numbered(*shape)
    np.testing.assert_array_equal(
        tfl.moveaxis(tfl.tensor(a), source, destination).numpy(),
        np.moveaxis(a, source, destination),
    )


# -- dtypes ----------------------------------------------------------------------------------------
def test_bfloat16_promotes_as_the_table_says() -> None:
    half, other = tfl.ones(2, dtype=tfl.bfloat16), tfl.ones(2, dtype=tfl.float16)
    condition = tfl.tensor([True, False])
    for found in (
        half + other, half * other, tfl.where(condition, half, other), tfl.concat([half, other]),
        tfl.stack([other, half]), half @ other, tfl.einsum("i,i->i", half, other),
    ):  # fmt: skip
        assert found.dtype == tfl.float32
    for dtype, wanted in [
        (tfl.bool, tfl.bfloat16), (tfl.int8, tfl.bfloat16), (tfl.int16, tfl.float32),
        (tfl.int64, tfl.float64), (tfl.float32, tfl.float32), (tfl.complex64, tfl.complex64),
    ]:  # fmt: skip
        beside = tfl.ones(2, dtype=dtype)
        for found in (
            half + beside, tfl.where(condition, beside, half), tfl.concat([half, beside]),
            tfl.stack([half, beside]), tfl.matmul(half, beside), tfl.einsum("i,i->i", half, beside),
        ):  # fmt: skip
            assert found.dtype == wanted, (dtype, found)
        assert tfl.result_type(half, dtype) == wanted
    assert tfl.where(condition, half, 0.5).dtype == tfl.bfloat16
    assert (half * 2.0).dtype == tfl.bfloat16
    assert tfl.result_type(tfl.bfloat16, 1j) == tfl.complex64


def test_numbers_beside_each_other_take_the_defaults() -> None:
    condition = tfl.tensor([True, False])
    assert tfl.where(condition, 1, 0).dtype == tfl.int64
    assert tfl.where(condition, 1, 0.5).dtype == tfl.float32
    assert tfl.where(condition, 1j, 0.5).dtype == tfl.complex64
    assert tfl.where(condition, True, False).dtype == tfl.bool
    assert tfl.where(condition, tfl.ones(2, dtype=tfl.int8), 3).dtype == tfl.int8
    assert tfl.where(condition, 0.0, tfl.ones(2, dtype=tfl.float64)).dtype == tfl.float64


def test_casts_and_gradients() -> None:
    x = tfl.tensor([1.5, -2.5], requires_grad=True)
    assert not tfl.astype(x, tfl.int64).requires_grad
    assert not tfl.astype(x, tfl.bool).requires_grad
    wide = tfl.astype(x, tfl.complex128)
    assert wide.requires_grad
    tfl.real(wide * (2 + 1j)).sum().backward()
    assert x.grad.dtype == tfl.float32 and x.grad.tolist() == [2, 2]
    with pytest.raises(DtypeError, match=r"use real\(\), imag\(\) or abs\(\)"):
        tfl.astype(wide, tfl.float32)
    assert tfl.astype(tfl.tensor([1j, 0j]), tfl.bool).tolist() == [True, False]


def test_questions_about_dtypes() -> None:
    assert tfl.can_cast(tfl.int8, tfl.bfloat16) and not tfl.can_cast(tfl.bfloat16, tfl.float16)
    assert not tfl.can_cast(tfl.float64, tfl.float32)
    assert tfl.finfo(tfl.bfloat16).bits == 16 and tfl.finfo(tfl.complex64).dtype == tfl.float32
    assert tfl.iinfo(tfl.uint8).max == 255
    assert tfl.isdtype(tfl.bfloat16, "real floating") and not tfl.isdtype(tfl.bool, "numeric")
    assert tfl.isdtype(tfl.int8, (tfl.int16, "signed integer"))
    with pytest.raises(
        DtypeError, match="finfo: the dtype must be a float or complex one, got int64"
    ):
        tfl.finfo(tfl.int64)
    with pytest.raises(DtypeError, match="iinfo: the dtype must be an integer one, got float32"):
        tfl.iinfo(tfl.float32)


def test_moves_between_devices_carry_gradients_back(backend) -> None:
    if backend.on_host:
        x = tfl.ones(2)
        assert tfl.to_device(x, "cpu") is x
        return
    x = tfl.tensor([1.0, 2.0], requires_grad=True)
    there = tfl.to_device(x, backend.device)
    assert type(there.array) is backend.array_type
    (there * there).sum().backward()
    assert type(x.grad.array) is np.ndarray and x.grad.tolist() == [2, 4]
    y = backend.leaf([1.0, 2.0])
    (tfl.to_device(y, "cpu") * 3).sum().backward()
    np.testing.assert_array_equal(backend.host(y.grad), [3, 3])
