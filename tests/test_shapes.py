"""Shapes at random: broadcasting, reductions and reshapes, values and gradients against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorflowlite as tfl
from tensorflowlite.errors import ShapeError

from .backends import TestBackend, all_backends

backends = st.sampled_from(all_backends())
small = {"max_dims": 4, "max_side": 4}
shapes = hnp.array_shapes(min_dims=0, min_side=0, **small)


def filled(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.asarray(np.random.default_rng(seed).uniform(0.5, 2.0, shape))


def summed_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum a gradient over the axes along which ``shape`` was broadcast, one axis at a time."""
    while g.ndim > len(shape):
        g = g.sum(0)
    for axis, n in enumerate(shape):
        if n == 1 and g.shape[axis] != 1:
            g = g.sum(axis, keepdims=True)
    return g


@settings(max_examples=150)
@given(backends, hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, **small))
def test_broadcasting(backend: TestBackend, found: Any) -> None:
    """(x * y + z) * w in any shapes that broadcast: values and the gradients of all three."""
    x, y, z = (filled(shape, i) for i, shape in enumerate(found.input_shapes))
    w = filled(found.result_shape, 3)
    a, b, c = (backend.leaf(array) for array in (x, y, z))
    out = a * b + c
    assert out.shape == found.result_shape
    np.testing.assert_allclose(backend.host(out), x * y + z, 1e-12)
    (out * backend.tensor(w)).sum().backward()
    for leaf, g in ((a, w * y), (b, w * x), (c, w * np.ones_like(x * y + z))):
        g = np.broadcast_to(g, found.result_shape)
        assert leaf.grad.shape == leaf.shape and leaf.grad.strides == leaf.strides
        np.testing.assert_allclose(backend.host(leaf.grad), summed_to(g, leaf.shape), 1e-12)


@settings(max_examples=100)
@given(backends, shapes, shapes)
def test_shapes_that_do_not_broadcast(backend: TestBackend, x: Any, y: Any) -> None:
    try:
        expected = np.broadcast_shapes(x, y)
    except ValueError:
        with pytest.raises(
            ShapeError,
            match=r"^add: shapes must broadcast, got \(.*\) and \(.*\): axis -\d has \d and \d$",
        ):
            backend.tensor(np.zeros(x)) + backend.tensor(np.zeros(y))
    else:
        assert (backend.tensor(np.zeros(x)) + backend.tensor(np.zeros(y))).shape == expected


@st.composite
def reductions(draw: Any) -> Any:
    """A shape, axes of it in any order and sign, and whether they are kept."""
    shape = draw(hnp.array_shapes(min_dims=0, min_side=1, **small))
    axes: Any = draw(
        st.none() | st.sets(st.integers(0, max(len(shape) - 1, 0)), max_size=len(shape))
    )
    if axes is not None:
        axes = [
            axis - len(shape) if draw(st.booleans()) else axis
            for axis in draw(st.permutations(sorted(axes)))
        ]
        axes = axes[0] if len(axes) == 1 and draw(st.booleans()) else tuple(axes)
    return shape, axes, draw(st.booleans())


SLOPES = {
    "sum": lambda x, y: np.ones_like(x),
    "mean": lambda x, y: np.ones_like(x) * (y.size / x.size),
    "prod": lambda x, y: y / x,
    "max": lambda x, y: (x == y) * 1.0,
    "min": lambda x, y: (x == y) * 1.0,
    "std": lambda x, y: None,
    "var": lambda x, y: None,
}


@settings(max_examples=300)
@given(backends, st.sampled_from(sorted(SLOPES)), reductions())
def test_reductions(backend: TestBackend, name: str, case: Any) -> None:
    shape, axes, keepdims = case
    x = filled(shape)
    leaf = backend.leaf(x)
    out = getattr(tfl, name)(leaf, axis=axes, keepdims=keepdims)
    expected = getattr(np, name)(x, axis=axes, keepdims=keepdims)
    np.testing.assert_allclose(backend.host(out), expected, 1e-12, 1e-14)
    assert out.shape == np.shape(expected)
    slope = SLOPES[name](x, np.asarray(getattr(np, name)(x, axis=axes, keepdims=True)))
    if slope is None:
        return
    w = filled(np.shape(expected), 1)
    (out * backend.tensor(w)).sum().backward()
    kept = np.shape(getattr(np, name)(x, axis=axes, keepdims=True))
    np.testing.assert_allclose(backend.host(leaf.grad), slope * w.reshape(kept), 1e-11)


@settings(max_examples=100)
@given(backends, st.sampled_from(["sum", "mean", "max"]), shapes, st.integers(-6, 6))
def test_axes_outside(backend: TestBackend, name: str, shape: Any, axis: int) -> None:
    t = backend.tensor(np.ones(shape))
    if -len(shape) <= axis < len(shape):
        return
    text = rf"^{name}: axis must lie in \[-{len(shape)}, {len(shape)}\), got {axis}"
    with pytest.raises(ShapeError, match=text.replace("-0", "-?0")):
        getattr(tfl, name)(t, axis=axis)


@st.composite
def reshapes(draw: Any) -> Any:
    """A shape, and another of the same size, maybe with -1 for a length that can be worked out."""
    shape = draw(hnp.array_shapes(min_dims=0, min_side=0, **small))
    factors = [n for n in shape if n != 1]
    factors = draw(st.permutations(factors))
    other: list[int] = []
    for n in factors:
        if other and draw(st.booleans()):
            other[-1] *= n
        else:
            other.append(n)
        if draw(st.booleans()):
            other.append(1)
    rest = [i for i, n in enumerate(other) if n != 0] if 0 not in shape else []
    if rest and draw(st.booleans()):
        other[draw(st.sampled_from(rest))] = -1
    return shape, tuple(other)


@settings(max_examples=200)
@given(backends, reshapes(), st.booleans(), st.data())
def test_reshape_and_permute(backend: TestBackend, case: Any, reverse: bool, data: Any) -> None:
    """Any reshape of any permutation, contiguous or not; the gradient goes the way back."""
    shape, other = case
    x = filled(shape)
    leaf = backend.leaf(x)
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    out = tfl.permute_dims(leaf, axes)
    expected = x.transpose(axes)
    if reverse and shape:
        out, expected = out[::-1], expected[::-1]
    out, expected = out.reshape(other), expected.reshape(other)
    np.testing.assert_array_equal(backend.host(out), expected)
    w = filled(expected.shape, 1)
    (out * backend.tensor(w)).sum().backward()
    g = w.reshape(x.transpose(axes).shape)
    g = g[::-1] if reverse and shape else g
    np.testing.assert_array_equal(backend.host(leaf.grad), g.transpose(np.argsort(axes)))


@settings(max_examples=100)
@given(backends, shapes, shapes)
def test_reshapes_that_do_not_fit(backend: TestBackend, shape: Any, other: Any) -> None:
    t = backend.tensor(np.zeros(shape))
    if np.prod(shape) == np.prod(other):
        assert t.reshape(other).shape == other
    else:
        with pytest.raises(ShapeError, match=r"^reshape: .*got \("):
            t.reshape(other)
