"""Reductions and sorting: what goes beyond the op table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorflowlite as tfl
from tensorflowlite.errors import ShapeError, UnsupportedArgumentError

from .backends import TestBackend
from .backends import backend as backend


def gradient(function: Any, x: Any, backend: TestBackend) -> Any:
    """Return the gradient of the sum of ``function(x)``."""
    leaf = backend.leaf(np.asarray(x))
    function(leaf).sum().backward()
    return backend.host(leaf.grad)


# -- ties, NaN, infinity ---------------------------------------------------------------------------
@pytest.mark.parametrize("function", [tfl.max, tfl.min])
def test_ties_share_the_gradient(function: Any, backend: TestBackend) -> None:
    x = np.array([[2.0, 2.0, 2.0, 2.0], [1.0, 3.0, 1.0, 3.0]])
    found = gradient(lambda t: function(t, axis=1), x, backend)
    second = [0, 0.5, 0, 0.5] if function is tfl.max else [0.5, 0, 0.5, 0]
    np.testing.assert_array_equal(found, [[0.25] * 4, second])
    np.testing.assert_array_equal(
        gradient(function, np.zeros((2, 3)), backend), np.full((2, 3), 1 / 6)
    )


@pytest.mark.parametrize("function", [tfl.max, tfl.min])
def test_nan_is_the_extreme_and_takes_the_gradient(function: Any, backend: TestBackend) -> None:
    x = np.array([1.0, np.nan, 3.0])
    assert math.isnan(function(backend.tensor(x)).item())
    np.testing.assert_array_equal(gradient(function, x, backend), [0, 1, 0])


def test_logsumexp_of_infinities(backend: TestBackend) -> None:
    x = np.array([[-np.inf, -np.inf], [-np.inf, 0.0], [1e4, 1e4], [-1e4, -1e4]])
    out = tfl.logsumexp(backend.tensor(x), axis=1)
    np.testing.assert_allclose(
        backend.host(out), [-np.inf, 0, 1e4 + math.log(2), -1e4 + math.log(2)]
    )
    found = gradient(lambda t: tfl.logsumexp(t, axis=1), x, backend)
    np.testing.assert_allclose(found, [[0, 0], [0, 1], [0.5, 0.5], [0.5, 0.5]])


def test_logsumexp_of_nothing(backend: TestBackend) -> None:
    empty = backend.tensor(np.zeros((0, 3), np.float32))
    np.testing.assert_array_equal(
        backend.host(tfl.logsumexp(empty, 0)), np.full(3, -np.inf, np.float32)
    )
    assert tfl.logsumexp(empty, 0, keepdims=True).shape == (1, 3)


def test_mean_and_var_of_nothing_are_nan(backend: TestBackend) -> None:
    empty = backend.tensor(np.zeros((0, 2), np.float32))
    for function in (tfl.mean, tfl.var, tfl.std):
        out = function(empty, axis=0)
        assert out.dtype == tfl.float32 and np.isnan(backend.host(out)).all()


# -- products with zeros ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([2.0, 3.0, 4.0], [12, 8, 6]),
        ([2.0, 0.0, 4.0], [0, 8, 0]),
        ([0.0, 0.0, 4.0], [0, 0, 0]),
        ([0.0], [1]),
        ([1.0, 2.0, 0.0, 4.0, 5.0], [0, 0, 40, 0, 0]),
    ],
)
def test_gradient_of_a_product_with_zeros(x: Any, expected: Any, backend: TestBackend) -> None:
    np.testing.assert_array_equal(gradient(tfl.prod, x, backend), expected)


def test_second_derivatives_of_products_with_two_zeros(backend: TestBackend) -> None:
    x = backend.leaf(np.array([0.0, 0.0, 3.0]))
    (first,) = tfl.autograd.grad(tfl.prod(x), x, create_graph=True)
    (second,) = tfl.autograd.grad(first[0], x)
    np.testing.assert_array_equal(backend.host(second), [0, 3, 0])


def test_cumulative_prod_with_zeros_against_the_definition(backend: TestBackend) -> None:
    x = np.array([2.0, 0.0, 3.0, 0.0, 5.0])
    expected = [
        sum(np.prod(np.delete(x[: j + 1], i)) for j in range(i, len(x))) for i in range(len(x))
    ]
    found = gradient(lambda t: tfl.cumulative_prod(t), x, backend)
    np.testing.assert_allclose(found, expected)


# -- accuracy --------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [tfl.float16, tfl.bfloat16])
def test_the_mean_of_more_elements_than_float16_counts(dtype: Any, backend: TestBackend) -> None:
    """Divided by 70000 in float16, which is infinite there, the gradient would be zero."""
    x = backend.leaf(np.ones((7, 10000)), dtype)
    (tfl.mean(x) * 1000).backward()
    found = backend.host(x.grad)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(np.float64), 1000 / 70000, rtol=1e-2)
    x.grad = None
    (tfl.max(x) * 1000).backward()  # as many ties
    found = backend.host(x.grad)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(np.float64), 1000 / 70000, rtol=1e-2)


@pytest.mark.parametrize("dtype", [tfl.float16, tfl.bfloat16])
def test_halves_are_accumulated_in_float32(dtype: Any, backend: TestBackend) -> None:
    ones = backend.tensor(np.ones(4096), dtype=dtype)
    assert tfl.sum(ones).item() == 4096
    assert tfl.mean(ones).item() == 1
    assert tfl.cumulative_sum(ones)[-1].item() == 4096
    assert tfl.sum(ones).dtype == tfl.mean(ones).dtype == dtype
    large = backend.tensor(np.full(100, 300.0), dtype=dtype)  # whose squares overflow in float16
    assert tfl.var(large - 300.0 + 300.0).item() == 0


@pytest.mark.parametrize("dtype", [tfl.float32, tfl.float64])
def test_var_of_a_large_mean_keeps_its_digits(dtype: Any, backend: TestBackend) -> None:
    offset = 2.0**20
    x = backend.tensor(offset + np.tile([0.0, 1.0, 2.0, 3.0], 64), dtype=dtype)
    assert tfl.var(x).item() == 1.25
    assert tfl.std(x, correction=1).item() == pytest.approx(math.sqrt(1.25 * 256 / 255), rel=1e-6)


def test_correction(backend: TestBackend) -> None:
    x = backend.tensor(np.array([1.0, 2.0, 4.0]))
    assert tfl.var(x).item() == pytest.approx(14 / 9)
    assert tfl.var(x, correction=1).item() == pytest.approx(7 / 3)
    assert tfl.var(x, correction=3).item() == math.inf
    assert math.isnan(tfl.var(x[:1], correction=1).item())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_gradient_of_std_where_all_are_equal_is_nan(backend: TestBackend) -> None:
    assert np.isnan(gradient(tfl.std, np.ones(3), backend)).all()


def test_var_of_complex_numbers(backend: TestBackend) -> None:
    z = np.array([1 + 1j, 1 - 1j, -1 + 0j])
    out = tfl.var(backend.tensor(z))
    assert out.dtype == tfl.float64
    assert out.item() == pytest.approx(np.var(z))
    np.testing.assert_allclose(gradient(tfl.var, z, backend), 2 * (z - z.mean()) / 3)


# -- dtypes ----------------------------------------------------------------------------------------
def test_dtypes_follow_numpy(backend: TestBackend) -> None:
    for name in ("bool", "uint8", "int32", "int64", "float16", "float32"):
        array = np.ones((2, 3)).astype(name)
        tensor = backend.tensor(array)
        for function, reference in (
            (tfl.sum, np.sum), (tfl.prod, np.prod), (tfl.mean, np.mean), (tfl.var, np.var),
            (tfl.max, np.max), (tfl.cumsum, np.cumsum),
        ):  # fmt: skip
            assert function(tensor).dtype == reference(array).dtype, (name, reference)


def test_dtype_to_work_in(backend: TestBackend) -> None:
    x = backend.leaf(np.full(3, 0.5, np.float32))
    out = tfl.sum(x, dtype=tfl.float64)
    assert out.dtype == tfl.float64
    out.backward()
    assert x.grad.dtype == tfl.float32
    assert tfl.sum(backend.tensor(np.array([200, 100], np.uint8)), dtype=tfl.uint8).item() == 44
    assert tfl.mean(backend.tensor(np.array([1, 2])), dtype=tfl.float32).dtype == tfl.float32
    assert tfl.cumulative_sum(x, dtype=tfl.float64).dtype == tfl.float64
    assert tfl.sum(x, dtype=tfl.int64).node is None


# -- argmax, sorting -------------------------------------------------------------------------------
def test_the_first_of_equal_extremes(backend: TestBackend) -> None:
    x = backend.tensor(np.array([1.0, 3.0, 3.0, 1.0]))
    assert tfl.argmax(x).item() == 1 and tfl.argmin(x).item() == 0
    assert tfl.argmax(x.reshape(2, 2)).item() == 1


@pytest.mark.parametrize("descending", [False, True])
def test_sorting_is_stable(descending: bool, backend: TestBackend) -> None:
    x = backend.tensor(np.array([1.0, 0.0, 1.0, 0.0, 1.0]))
    found = backend.host(tfl.argsort(x, descending=descending))
    np.testing.assert_array_equal(found, [0, 2, 4, 1, 3] if descending else [1, 3, 0, 2, 4])


def test_nan_sorts_as_the_greatest(backend: TestBackend) -> None:
    x = backend.tensor(np.array([np.nan, 1.0, -np.inf, np.inf]))
    np.testing.assert_array_equal(backend.host(tfl.argsort(x)), [2, 1, 3, 0])
    np.testing.assert_array_equal(backend.host(tfl.argsort(x, descending=True)), [0, 3, 1, 2])
    np.testing.assert_array_equal(backend.host(tfl.topk(x, 2, largest=False).values), [-np.inf, 1])


def test_gradient_of_sorting_goes_back_to_each_element(backend: TestBackend) -> None:
    x = backend.leaf(np.array([3.0, 1.0, 2.0, 1.0]))
    (tfl.sort(x) * backend.tensor(np.array([1.0, 10.0, 100.0, 1000.0]))).sum().backward()
    np.testing.assert_array_equal(backend.host(x.grad), [1000, 1, 100, 10])


def test_topk_is_a_named_pair(backend: TestBackend) -> None:
    x = backend.leaf(np.array([[3.0, 1.0, 2.0], [4.0, 6.0, 6.0]]))
    found = tfl.topk(x, 2)
    values, indices = found
    assert values is found.values and indices is found.indices
    assert indices.dtype == tfl.int64 and not indices.requires_grad
    np.testing.assert_array_equal(backend.host(indices), [[0, 2], [1, 2]])
    values.sum().backward()
    np.testing.assert_array_equal(backend.host(x.grad), [[1, 0, 1], [0, 1, 1]])


# -- PyTorch's names -------------------------------------------------------------------------------
SAME = (tfl.sum, tfl.mean, tfl.prod, tfl.any, tfl.all, tfl.argmax, tfl.argmin, tfl.logsumexp)


@pytest.mark.parametrize("function", SAME)
def test_dim_and_keepdim_mean_the_same(function: Any, backend: TestBackend) -> None:
    x = backend.tensor(np.arange(6.0).reshape(2, 3))
    ours, theirs = function(x, axis=1, keepdims=True), function(x, dim=1, keepdim=True)
    assert ours.shape == theirs.shape == (2, 1)
    np.testing.assert_array_equal(backend.host(ours), backend.host(theirs))
    method = getattr(x, function.__name__)
    np.testing.assert_array_equal(backend.host(method(dim=-1)), backend.host(function(x, -1)))
    with pytest.raises(UnsupportedArgumentError, match="one of axis and dim is needed, got both"):
        function(x, 0, dim=0)


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min_refuse_dim(name: str) -> None:
    x = tfl.ones((2, 3))
    for options in ({"dim": 1}, {"dim": 1, "keepdim": True}, {"axis": 1, "keepdim": True}):
        with pytest.raises(UnsupportedArgumentError) as caught:
            getattr(x, name)(**options)
        text = f"PyTorch's spelling; use axis= for the values and arg{name}(axis=) for the indices"
        assert str(caught.value).startswith(f"{name}: ") and text in str(caught.value)
    with pytest.raises(UnsupportedArgumentError, match=f"{name}imum"):
        getattr(tfl, name)(x, x)


def test_sort_refuses_dim() -> None:
    text = r"sort: dim= is PyTorch's spelling; use axis= for the values and argsort\(axis=\)"
    with pytest.raises(UnsupportedArgumentError, match=text):
        tfl.ones(3).sort(dim=0)


@pytest.mark.parametrize("name", ["var", "std"])
def test_var_and_std_take_dim_beside_a_correction_only(name: str) -> None:
    x = tfl.tensor([[1.0, 2.0], [3.0, 5.0]])
    text = f"{name}: dim= is PyTorch's spelling; use axis=, and correction=1 to divide by n - 1"
    with pytest.raises(UnsupportedArgumentError, match=text):
        getattr(x, name)(dim=1)
    with pytest.raises(UnsupportedArgumentError, match=f"{name}: unbiased= is PyTorch's spelling"):
        getattr(x, name)(unbiased=False)
    with pytest.raises(UnsupportedArgumentError, match="unbiased="):
        getattr(x, name)(1, correction=1, unbiased=False)
    given = getattr(x, name)(dim=1, correction=1, keepdim=True)
    assert given.tolist() == getattr(x, name)(axis=1, correction=1, keepdims=True).tolist()


def test_what_differs_in_silence() -> None:
    x = tfl.tensor([[1.0, 3.0], [2.0, 2.0]])
    assert x.max(1).tolist() == [3.0, 2.0]
    assert x.std().item() == pytest.approx(np.std([1, 3, 2, 2]))
    assert x.sort().tolist() == [[1.0, 3.0], [2.0, 2.0]]
    assert [piece.shape for piece in tfl.ones(6).split(2)] == [(3,), (3,)]


# -- views that fill in for the rest ---------------------------------------------------------------
def test_cumsum_flattens_without_an_axis(backend: TestBackend) -> None:
    x = np.arange(6.0).reshape(2, 3)
    for ours, numpys in ((tfl.cumsum, np.cumsum), (tfl.cumprod, np.cumprod)):
        np.testing.assert_array_equal(backend.host(ours(backend.tensor(x))), numpys(x))
        np.testing.assert_array_equal(backend.host(ours(backend.tensor(x), dim=1)), numpys(x, 1))


def test_errors_of_extremes_name_shape_and_axis() -> None:
    with pytest.raises(ShapeError) as caught:
        tfl.zeros((2, 0)).max(1)
    assert str(caught.value) == "max: the axes must not be empty, got shape (2, 0) with axis (1,)"
    assert tfl.zeros((2, 0)).max(0).shape == (0,)


# -- at random -------------------------------------------------------------------------------------
@st.composite
def reduced(draw: Any) -> tuple[Any, Any, bool]:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    axes: Any = st.none()
    if shape:
        axes |= st.integers(-len(shape), len(shape) - 1)
        axes |= st.lists(st.integers(0, len(shape) - 1), unique=True).map(tuple)
    values = np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape)
    return np.asarray(values), draw(axes), draw(st.booleans())


@given(reduced())
def test_reductions_against_numpy(case: tuple[Any, Any, bool]) -> None:
    array, axis, keepdims = case
    for name in ("sum", "prod", "any", "all", "count_nonzero"):
        found = getattr(tfl, name)(tfl.Tensor(array), axis, keepdims=keepdims)
        expected = getattr(np, name)(array, axis, keepdims=keepdims)
        assert found.shape == np.shape(expected)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    axes = range(array.ndim) if axis is None else np.atleast_1d(axis).astype(int)
    if 0 in [array.shape[i] for i in axes]:
        with pytest.raises(ShapeError, match="max: the axes must not be empty"):
            tfl.max(tfl.Tensor(array), axis)
        return
    for name in ("mean", "var", "std", "max", "min"):
        found = getattr(tfl, name)(tfl.Tensor(array), axis, keepdims=keepdims)
        expected = getattr(np, name)(array, axis, keepdims=keepdims)
        assert found.shape == np.shape(expected)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-14)


@given(reduced())
def test_gradients_have_the_input_s_shape(case: tuple[Any, Any, bool]) -> None:
    array, axis, keepdims = case
    for function in (tfl.sum, tfl.mean, tfl.prod, tfl.logsumexp):
        leaf = tfl.Tensor(array.copy(), requires_grad=True)
        out = function(leaf, axis, keepdims=keepdims)
        out.backward(tfl.ones_like(out))
        assert leaf.grad.shape == array.shape
        assert np.isfinite(leaf.grad.numpy()).all()
