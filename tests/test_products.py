"""Products, beyond the op table: equations of every kind against NumPy, and accumulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorflowlite as tfl
from tensorflowlite.errors import DeviceError, ShapeError
from tests.backends import backend as backend

SIZES = dict(zip("abcde", (2, 3, 1, 2, 3), strict=True))


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@st.composite
def equations(draw):
    """An equation of one to four terms, explicit or implicit, with repeated letters."""
    terms = draw(st.lists(st.text("abcde", max_size=4), min_size=1, max_size=4))
    letters = sorted({letter for term in terms for letter in term})
    text = ",".join(terms)
    if draw(st.booleans()):
        kept = draw(st.lists(st.sampled_from(letters), unique=True)) if letters else []
        text += "->" + "".join(kept)
    return text, terms


@given(equations(), st.integers(0, 9))
@settings(max_examples=150)
def test_any_equation_is_numpys_and_differentiates(case, seed) -> None:
    text, terms = case
    arrays = [
        numbers(seed + i, *[SIZES[letter] for letter in term]) for i, term in enumerate(terms)
    ]
    arrays = [np.asarray(array) for array in arrays]
    xs = [tfl.tensor(array, requires_grad=True) for array in arrays]
    out = tfl.einsum(text, *xs)
    expected = np.einsum(text, *arrays)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-10, atol=1e-10)
    # The sum of products is linear in each operand: its gradient is found by trying every unit.
    weights = numbers(99, *expected.shape)
    (out * tfl.tensor(np.asarray(weights))).sum().backward()
    for i, x in enumerate(xs):
        direction = np.asarray(numbers(seed + 50 + i, *arrays[i].shape))
        changed = [*arrays[:i], direction, *arrays[i + 1 :]]
        slope = (np.einsum(text, *changed) * weights).sum()
        np.testing.assert_allclose((x.grad.numpy() * direction).sum(), slope, rtol=1e-9, atol=1e-9)


def test_an_operand_that_stands_twice() -> None:
    x = tfl.tensor(numbers(0, 3, 3), requires_grad=True)
    assert tfl.autograd.gradcheck(lambda x: tfl.einsum("ij,jk,ki->", x, x, x), x)
    assert tfl.autograd.gradgradcheck(lambda x: tfl.einsum("ij,jk,ki->", x, x, x), x)


def test_long_products_take_the_cheap_order() -> None:
    # From left to right the first product alone would hold 40 million numbers.
    a, b, c = numbers(0, 2000, 2), numbers(1, 2, 20000), numbers(2, 20000, 2)
    found = tfl.einsum("ij,jk,kl->il", *[tfl.tensor(one) for one in (a, b, c)])
    np.testing.assert_allclose(found.numpy(), a @ (b @ c))


def test_half_precision_is_accumulated_in_float32() -> None:
    for dtype in (tfl.bfloat16, tfl.float16):
        x, y = tfl.ones((2, 1000), dtype=dtype), tfl.ones((1000, 2), dtype=dtype)
        for found in (
            x @ y, tfl.einsum("ij,jk->ik", x, y), tfl.tensordot(x, y, 1), tfl.vecdot(x, x),
            tfl.einsum("ij->i", x),
        ):  # fmt: skip
            assert found.dtype == dtype and set(np.ravel(found.tolist())) == {1000.0}


def test_matmul_of_every_form_has_numpys_shape_and_a_gradient(backend) -> None:
    shapes = [(3,), (2, 3), (4, 2, 3), (5, 1, 2, 3)]
    others = [(3,), (3, 2), (4, 3, 2), (1, 4, 3, 2)]
    for first in shapes:
        for second in others:
            a, b = numbers(0, *first), numbers(1, *second)
            x, y = backend.leaf(a), backend.leaf(b)
            found = x @ y
            expected = a @ b
            np.testing.assert_allclose(backend.host(found.detach()), expected)
            weights = np.asarray(numbers(2, *expected.shape))
            (found * backend.tensor(weights)).sum().backward()
            for tensor, moved in ((x, lambda d, b=b: d @ b), (y, lambda d, a=a: a @ d)):
                direction = numbers(3, *tensor.shape)
                slope = (moved(direction) * weights).sum()
                np.testing.assert_allclose((backend.host(tensor.grad) * direction).sum(), slope)


def test_a_view_by_einsum_is_a_view() -> None:
    x = tfl.zeros((2, 3))
    transposed = tfl.einsum("ij->ji", x)
    transposed += 1
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_mixed_devices_raise(backend) -> None:
    if backend.on_host:
        with pytest.raises(
            ShapeError, match=r"matmul: inner sizes must match, got \(2, 3\) @ \(2, 3\)"
        ):
            tfl.ones((2, 3)) @ tfl.ones((2, 3))
        return
    here, there = tfl.ones((2, 2)), backend.tensor(np.ones((2, 2), np.float32))
    for call in (
        lambda: here @ there,
        lambda: tfl.einsum("ij,jk", there, here),
        lambda: tfl.concat([here, there]),
        lambda: tfl.where(here > 0, there, there),
        lambda: tfl.tensordot(here, there),
        lambda: here[there > 0],
    ):
        with pytest.raises(
            DeviceError,
            match=r"must be on one device, got .*; move one with to\(",
        ):
            call()
